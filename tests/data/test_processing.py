"""Encoding once gives what encoding each row would give."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from datasets import Dataset, Features, Image
from PIL import Image as PillowImage
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, TimmWrapperConfig, TimmWrapperImageProcessor, ViTImageProcessor

from hf_privacy.data import encode_features, encode_images, encode_text, image_processor_for, load_digits_dataset
from hf_privacy.errors import InputError

GREY = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.25])
WORDS = {"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3, "c": 4}


def tokenizer(side: str = "right", pad: bool = True) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]" if pad else None,
        padding_side=side,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def image_dataset(images: list[PillowImage.Image]) -> Dataset:
    rows = []
    for image in images:
        buffer = io.BytesIO()
        image.save(buffer, format="TIFF")
        rows.append({"bytes": buffer.getvalue(), "path": None})
    return Dataset.from_dict({"image": rows}, features=Features({"image": Image()}))


@pytest.mark.parametrize("batch_size", [3, 500])
def test_images_come_out_as_the_processor_makes_them_one_by_one(batch_size):
    digits = load_digits_dataset().select(range(10))
    encoded = encode_images(digits, GREY, batch_size=batch_size)
    single = torch.cat([GREY(image, return_tensors="pt")["pixel_values"] for image in digits["image"]])
    assert torch.equal(encoded.column("pixel_values"), single)
    assert encoded.column("labels").tolist() == digits["label"][:]


def test_grey_images_become_rgb_for_a_model_with_three_channels_and_the_other_way_round():
    digits = load_digits_dataset().select(range(4))
    colour = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5] * 3, image_std=[0.25] * 3)
    pixels = encode_images(digits, colour).column("pixel_values")
    assert pixels.shape == (4, 3, 8, 8)
    assert torch.allclose(pixels[:, 1:2], encode_images(digits, GREY).column("pixel_values"), atol=1e-6)
    rgb = image_dataset([PillowImage.fromarray(np.zeros((8, 8, 3), np.uint8))])
    assert encode_images(rgb, GREY, label_column=None).column("pixel_values").shape == (1, 1, 8, 8)


def test_a_timm_processor_takes_grey_digits():
    pretrained = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 1.0}
    config = TimmWrapperConfig(architecture="resnet18", pretrained_cfg=pretrained)
    processor = image_processor_for(config)
    assert isinstance(processor, TimmWrapperImageProcessor)
    encoded = encode_images(load_digits_dataset().select(range(3)), processor)
    assert encoded.column("pixel_values").shape == (3, 3, 32, 32)


def test_images_of_different_sizes_need_a_processor_that_resizes():
    images = image_dataset([PillowImage.new("L", size) for size in ((8, 8), (6, 8))])
    assert encode_images(images, GREY, label_column=None).column("pixel_values").shape == (2, 1, 8, 8)
    as_they_are = ViTImageProcessor(do_resize=False, image_mean=[0.5], image_std=[0.5])
    for batch_size in (1, 2):
        with pytest.raises(InputError, match="a processor that resizes"):
            encode_images(images, as_they_are, label_column=None, batch_size=batch_size)


def test_sixteen_bit_images_are_refused():
    image = PillowImage.fromarray(np.full((8, 8), 4000, np.uint16))
    with pytest.raises(InputError, match="more than 8 bits"):
        encode_images(image_dataset([image]), GREY, label_column=None)


def test_a_missing_image_is_refused():
    dataset = Dataset.from_dict({"image": [None]}, features=Features({"image": Image()}))
    with pytest.raises(InputError, match="no image"):
        encode_images(dataset, GREY, label_column=None)


def test_a_result_beyond_the_memory_allowed_is_refused_before_it_is_made():
    with pytest.raises(InputError, match=r"1797 × 1 × 8 × 8 take 0.0 GB of memory, more than max_gigabytes=0.0001"):
        encode_images(load_digits_dataset(), GREY, max_gigabytes=1e-4)


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_batch_of_text_is_what_the_tokenizer_would_pad(side):
    texts = ["a b c", "b", "", "c a"]
    encoded = encode_text(Dataset.from_dict({"text": texts, "label": [0, 1, 0, 1]}), tokenizer(side))
    for rows in ([1, 3], [0, 1], [3]):
        batch = encoded.__getitems__(rows)
        expected = tokenizer(side)([texts[i] for i in rows], padding=True, return_tensors="pt")
        assert set(batch) == {*expected, "labels"}
        assert all(torch.equal(batch[name], expected[name]) for name in expected)


@pytest.mark.parametrize("side", ["right", "left"])
def test_an_empty_text_attends_to_one_pad_token(side):
    encoded = encode_text(Dataset.from_dict({"text": ["", "a b"]}), tokenizer(side), label_column=None)
    assert encoded.__getitems__([0])["input_ids"].tolist() == [[0]]
    assert encoded.__getitems__([0])["attention_mask"].tolist() == [[1]]
    assert encoded.__getitems__([0, 1])["attention_mask"].sum(dim=1).tolist() == [1, 2]


def test_long_texts_are_cut_and_pairs_are_joined():
    dataset = Dataset.from_dict({"one": ["a b c"], "two": ["c"]})
    cut = encode_text(dataset, tokenizer(), text_column="one", label_column=None, max_length=2)
    assert cut.column("input_ids").tolist() == [[2, 3]]
    pair = encode_text(dataset, tokenizer(), text_column=("one", "two"), label_column=None)
    assert pair.column("input_ids").tolist() == [[2, 3, 4, 4]]


def test_a_tokenizer_without_pad_token_and_values_that_are_no_text_are_refused():
    with pytest.raises(InputError, match="no pad token"):
        encode_text(Dataset.from_dict({"text": ["a"]}), tokenizer(pad=False), label_column=None)
    with pytest.raises(InputError, match="1 rows that are missing or no text"):
        encode_text(Dataset.from_dict({"text": ["a", None]}), tokenizer(), label_column=None)


def test_features_come_from_one_list_column_or_several_number_columns():
    dataset = Dataset.from_dict({"x": [[1, 2], [3, 4]], "u": [1, 3], "v": [2.0, 4.0], "label": [0, 1]})
    one, several = encode_features(dataset, feature_column="x"), encode_features(dataset, feature_column=["u", "v"])
    assert torch.equal(one.column("features"), several.column("features"))
    assert one.column("features").dtype == torch.float32


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0], [float("nan")]], "1 rows with missing or infinite"),
        ([1.0, None], "missing or infinite"),
        ([[1], [1, 2]], "lists of different lengths"),
        (["a", "b"], "holds no numbers"),
    ],
)
def test_features_that_are_no_numbers_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        encode_features(Dataset.from_dict({"x": values}), feature_column="x", label_column=None)


@pytest.mark.parametrize("column", ["img", "label"])
def test_a_wrong_image_column_is_refused(column):
    with pytest.raises(InputError, match="image_column"):
        encode_images(load_digits_dataset().select(range(2)), GREY, image_column=column)
