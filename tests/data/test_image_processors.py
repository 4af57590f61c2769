"""A processor for every image model, and the same one again after a reload."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    BertConfig,
    TimmWrapperConfig,
    TimmWrapperForImageClassification,
    TimmWrapperImageProcessor,
    ViTConfig,
)

from hf_privacy.data import image_processor_for
from hf_privacy.data.image_processors import processor_channels
from hf_privacy.errors import InputError

PRETRAINED = {
    "input_size": [3, 224, 224],
    "mean": [0.4, 0.5, 0.6],
    "std": [0.2, 0.2, 0.2],
    "crop_pct": 0.9,
    "interpolation": "bicubic",
}


def pictures(mode: str, size: tuple[int, int] = (12, 12), n: int = 3) -> list[PillowImage.Image]:
    generator = np.random.default_rng(0)
    shape = (n, size[1], size[0], 3)
    return [PillowImage.fromarray(array).convert(mode) for array in generator.integers(0, 256, shape, dtype=np.uint8)]


def timm_config(channels: int = 3, **rest) -> TimmWrapperConfig:
    return TimmWrapperConfig(architecture="test_resnet", num_labels=4, model_args={"in_chans": channels}, **rest)


def same_output(one, other, images) -> bool:
    return torch.equal(
        one(images, return_tensors="pt")["pixel_values"], other(images, return_tensors="pt")["pixel_values"]
    )


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_trap_13_a_timm_model_from_scratch_loads_with_its_processor(tmp_path, channels, mode):
    model = TimmWrapperForImageClassification(timm_config(channels))
    model.save_pretrained(tmp_path)
    with pytest.raises(OSError, match="preprocessor_config"):
        AutoImageProcessor.from_pretrained(tmp_path)  # the trap
    processor = image_processor_for(model, size=12)
    processor.save_pretrained(tmp_path)
    again = AutoImageProcessor.from_pretrained(tmp_path)
    assert same_output(processor, again, pictures(mode))
    pixels = again(pictures(mode), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (3, channels, 12, 12)
    with torch.no_grad():
        assert AutoModelForImageClassification.from_pretrained(tmp_path)(pixels).logits.shape == (3, 4)


def test_a_timm_checkpoint_is_processed_as_its_configuration_says():
    processor = image_processor_for(timm_config(pretrained_cfg=dict(PRETRAINED)))
    assert isinstance(processor, TimmWrapperImageProcessor)
    assert processor(pictures("RGB"), return_tensors="pt")["pixel_values"].shape == (3, 3, 224, 224)


def test_the_size_of_a_timm_checkpoint_survives_a_reload_although_preprocessor_config_is_not_read(tmp_path):
    model = TimmWrapperForImageClassification(timm_config(pretrained_cfg=dict(PRETRAINED)))
    processor = image_processor_for(model, size=16)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    again = AutoImageProcessor.from_pretrained(tmp_path)
    assert isinstance(again, TimmWrapperImageProcessor)
    pixels = again(pictures("RGB"), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (3, 3, 16, 16)
    assert same_output(processor, again, pictures("RGB"))


def test_a_timm_checkpoint_made_grey_takes_the_mean_of_its_colours():
    processor = image_processor_for(timm_config(1, pretrained_cfg=dict(PRETRAINED)), size=12)
    assert processor_channels(processor) == 1
    grey = PillowImage.fromarray(np.full((12, 12), 128, np.uint8))
    pixels = processor([grey], return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 1, 12, 12)
    assert torch.allclose(pixels, torch.full_like(pixels, (128 / 255 - 0.5) / 0.2), atol=1e-5)


def test_an_image_of_the_right_size_is_only_scaled_and_normalized():
    processor = image_processor_for(timm_config(1), size=8, mean=[0.25], std=[0.5])
    image = pictures("L", (8, 8), 1)[0]
    expected = (torch.tensor(np.asarray(image)) / 255 - 0.25) / 0.5
    assert torch.allclose(processor(image, return_tensors="pt")["pixel_values"][0, 0], expected, atol=1e-6)


def test_the_size_comes_from_the_configuration_where_it_names_one():
    processor = image_processor_for(ViTConfig(image_size=20, num_channels=1))
    assert (processor.size["height"], processor.size["width"]) == (20, 20)
    assert processor_channels(processor) == 1
    config = TimmWrapperConfig(architecture="test_vit", model_args={"img_size": 24})
    assert image_processor_for(config).size["height"] == 24


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (timm_config(), {}, "size is not given"),
        (BertConfig(), {}, "size is not given and the configuration of this bert model names none"),
        (timm_config(), {"size": 8, "mean": [0.5]}, "mean has 1 values and the model takes 3 channels"),
        (timm_config(), {"size": 0}, "size is 0"),
    ],
)
def test_bad_input_is_said_in_one_sentence(config, options, message):
    with pytest.raises(InputError, match=message):
        image_processor_for(config, **options)
