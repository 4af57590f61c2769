"""Inputs become points in understandable units, and points become inputs again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForImageClassification,
    ConvNextImageProcessor,
    EfficientNetImageProcessor,
    MobileViTImageProcessor,
    ResNetConfig,
    T5Config,
    T5ForSequenceClassification,
    TimmWrapperImageProcessor,
    ViTImageProcessor,
)

from hf_privacy.adversarial import EmbeddingSpace, FeatureSpace, PixelSpace, input_space
from hf_privacy.data import encode_images, load_digits_dataset
from hf_privacy.errors import InputError

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


@pytest.fixture(scope="module")
def colour_model():
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=3)
    return AutoModelForImageClassification.from_config(config)


def test_pixels_are_what_the_processor_was_given(digits):
    grey = torch.tensor(np.stack([np.asarray(image) for image in load_digits_dataset()[1200:1210]["image"]]))
    points = digits.space.points(digits.model, {"pixel_values": digits.inputs["pixel_values"][:10]})
    torch.testing.assert_close(points[:, 0], grey / 255, rtol=0, atol=1e-6)
    assert points.dtype == torch.float32


def test_normalised_pixels_survive_the_way_there_and_back_to_rounding():
    levels = (torch.arange(256).float() / 255).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    space = PixelSpace(tuple(IMAGENET["image_mean"]), tuple(IMAGENET["image_std"]))
    normalised = space.inputs(levels, {})["pixel_values"]
    points = space.points(None, {"pixel_values": normalised})
    torch.testing.assert_close(points, levels, rtol=0, atol=2e-7)
    assert points.min() >= 0
    assert points.max() <= 1
    torch.testing.assert_close(
        space.inputs(points, {"pixel_values": normalised})["pixel_values"], normalised, rtol=2e-6, atol=2e-6
    )


def test_pixel_inputs_keep_their_dtype_and_other_columns_but_not_the_labels():
    space = PixelSpace((0.5,), (0.5,))
    inputs = {
        "pixel_values": torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16),
        "labels": torch.tensor([0]),
        "other": torch.ones(1),
    }
    back = space.inputs(space.points(None, inputs), inputs)
    assert sorted(back) == ["other", "pixel_values"]
    assert back["pixel_values"].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("processor", "mean", "std"),
    [
        (ViTImageProcessor(**IMAGENET), IMAGENET["image_mean"], IMAGENET["image_std"]),
        (ViTImageProcessor(do_normalize=False), [0.0] * 3, [1.0] * 3),
        (ViTImageProcessor(image_mean=0.5, image_std=0.25), [0.5] * 3, [0.25] * 3),
        (ConvNextImageProcessor(**IMAGENET), IMAGENET["image_mean"], IMAGENET["image_std"]),
        (MobileViTImageProcessor(), [0.0] * 3, [1.0] * 3),
        (
            TimmWrapperImageProcessor({"input_size": [3, 32, 32], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}),
            [0.1, 0.2, 0.3],
            [0.4, 0.5, 0.6],
        ),
    ],
    ids=["vit", "not normalised", "one number for all channels", "convnext", "mobilevit", "timm"],
)
def test_the_space_of_images_is_read_from_the_processor(colour_model, processor, mean, std):
    space = input_space(colour_model, processor)
    assert isinstance(space, PixelSpace)
    assert space.mean == pytest.approx(mean)
    assert space.std == pytest.approx(std)


def test_a_processor_without_channels_takes_them_from_the_model(digits):
    space = input_space(digits.model, ViTImageProcessor(size={"height": 8, "width": 8}, do_normalize=False))
    assert space == PixelSpace((0.0,), (1.0,))


@pytest.mark.parametrize(
    ("processor", "message"),
    [
        (None, "processor is missing"),
        (object(), "processor is a object"),
        (ViTImageProcessor(do_rescale=False), "do_rescale False"),
        (ViTImageProcessor(rescale_factor=1 / 127.5), "rescale_factor 0.0078"),
        (EfficientNetImageProcessor(size={"height": 16, "width": 16}), "does more to pixels than it says"),
    ],
    ids=["none", "no processor", "0-255", "-1 to 1", "normalises twice"],
)
def test_a_processor_without_the_facts_of_its_normalisation_is_refused(colour_model, processor, message):
    with pytest.raises(InputError, match=message):
        input_space(colour_model, processor)


def test_a_processor_that_normalises_without_mean_or_std_is_refused(colour_model):
    processor = ViTImageProcessor()
    processor.image_mean = None
    with pytest.raises(InputError, match="image_mean None"):
        input_space(colour_model, processor)


def test_images_that_went_through_another_processor_are_refused(digits):
    wrong = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.9], image_std=[0.9])
    with pytest.raises(InputError, match=r"outside \[0, 1\]: pass the processor"):
        input_space(digits.model, wrong, inputs=digits.inputs)


def test_nan_pixels_are_refused():
    with pytest.raises(InputError, match="from nan to nan"):
        PixelSpace((0.5,), (0.5,)).points(None, {"pixel_values": torch.full((1, 1, 2, 2), torch.nan)})


def test_another_number_of_channels_than_the_model_has_means_is_refused(digits):
    three = PixelSpace((0.5,) * 3, (0.5,) * 3)
    with pytest.raises(InputError, match=r"\[300, 1, 8, 8\] and the space 3 channels"):
        three.points(digits.model, digits.inputs)


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [((), (), "mean is"), ((0.5,), (0.5, 0.5), "1 values and std 2"), ((0.5,), (0.0,), "std holds 0.0")],
)
def test_means_and_deviations_that_cannot_be_are_refused(mean, std, message):
    with pytest.raises(InputError, match=message):
        PixelSpace(mean, std)


@pytest.mark.parametrize("space", [PixelSpace((0.5,), (0.5,)), FeatureSpace()])
def test_token_numbers_are_no_points_of_pixels_or_features(space):
    ids = torch.ones(2, 3, dtype=torch.int64)
    with pytest.raises(InputError, match=r"EmbeddingSpace\(\)"):
        space.points(None, {"input_ids": ids})
    with pytest.raises(InputError, match=r"dtype torch\.int64"):
        space.points(None, {space.column: ids})


def test_features_beyond_their_bounds_are_refused():
    with pytest.raises(InputError, match=r"from 0 to 3, outside \[-inf, 1\]"):
        FeatureSpace(high=1.0).points(None, {"features": torch.tensor([[0.0, 3.0]])})
    with pytest.raises(InputError, match="low is 1"):
        FeatureSpace(low=1.0, high=1.0)


def test_the_space_of_a_table_is_its_features(model_of):
    space = input_space(model_of("tabular"))
    assert space == FeatureSpace()
    assert space.bounds == (None, None)


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("bert", EmbeddingSpace()),
        ("distilbert", EmbeddingSpace()),
        ("roberta", EmbeddingSpace("right")),
        ("gpt2", EmbeddingSpace("left", positions=True)),
        ("lora-bert", EmbeddingSpace()),
    ],
)
def test_a_text_model_says_on_which_side_it_may_be_padded_when_given_embeddings(model_of, name, space):
    model = model_of(name)
    assert input_space(model) == space
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", ["bert", "distilbert", "roberta", "lora-bert"])
def test_a_model_answers_the_same_for_embeddings_as_for_tokens(model_of, batch_of, name):
    model, batch = model_of(name).eval(), batch_of(name)
    space = input_space(model, inputs=batch.inputs)
    with torch.no_grad():
        from_tokens = model(**batch.inputs).logits
        from_embeddings = model(**space.inputs(space.points(model, batch.inputs), batch.inputs)).logits
    torch.testing.assert_close(from_embeddings, from_tokens)


@pytest.mark.parametrize("name", ["bert", "gpt2"])
def test_embeddings_of_a_text_padded_on_the_right_give_its_own_answer(model_of, batch_of, name):
    """GPT2ForSequenceClassification only warns, and reads the logits of a padding place."""
    model, batch = model_of(name).eval(), batch_of("bert")
    space = input_space(model, inputs=batch.inputs)
    with torch.no_grad():
        found = model(**space.inputs(space.points(model, batch.inputs), batch.inputs)).logits
        for row, mask in enumerate(batch.inputs["attention_mask"]):
            alone = model(input_ids=batch.inputs["input_ids"][row : row + 1, mask.bool()]).logits
            torch.testing.assert_close(found[row : row + 1], alone, rtol=1e-4, atol=1e-6)


def test_a_text_model_that_takes_no_embeddings_is_refused():
    config = T5Config(vocab_size=20, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, num_labels=3)
    with pytest.raises(InputError, match="takes no word embeddings"):
        input_space(T5ForSequenceClassification(config))


def test_padding_is_not_free_and_the_rest_is(batch_of, model_of):
    batch = batch_of("bert")
    points = batch.space.points(model_of("bert"), batch.inputs)
    free = batch.space.free(batch.inputs, points)
    assert free.shape == (5, 7, 1)
    assert torch.equal(free[..., 0], batch.inputs["attention_mask"].bool())
    assert batch.space.free({"input_ids": batch.inputs["input_ids"]}, points) is None


def test_a_model_without_a_transformers_configuration_is_refused():
    with pytest.raises(InputError, match="model is a Linear"):
        input_space(torch.nn.Linear(2, 2))


def test_encoded_images_lie_in_the_space(digits):
    encoded = encode_images(load_digits_dataset().select(range(20)), digits.processor)
    points = digits.space.points(digits.model, {"pixel_values": encoded.column("pixel_values")})
    assert 0 <= points.min() < points.max() <= 1
