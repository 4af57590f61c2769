"""Batches from the store are what the processor gives, bit for bit, and a picture is decoded once."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch
import transformers
from datasets import Dataset, Features, Image, Value
from datasets import Image as ImageFeature
from PIL import Image as PillowImage
from transformers import ConvNextImageProcessor, TimmWrapperImageProcessor, ViTImageProcessor

from hf_privacy.data import TensorDataset, dataset_fingerprint, encode_images, find_repeats, horizontal_flip
from hf_privacy.data.pixel_levels import Levels
from hf_privacy.data.stored_columns import LevelRows, MappedRows
from hf_privacy.data.tensors import tensors_digest

N = 70
SMALL = {"height": 12, "width": 10}
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
TIMM = {"input_size": [3, 16, 16], "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225], "crop_pct": 0.9}
PIL_BACKEND = getattr(transformers, "ViTImageProcessorPil", None)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_PRIVACY_CACHE", str(tmp_path / "cache"))


def png(pixels: np.ndarray) -> dict:
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def pictures(n: int = N, *, grey: bool = False, seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    shape = (14, 17) if grey else (14, 17, 3)
    rows = [png(rng.integers(0, 256, shape, dtype=np.uint8)) for _ in range(n)]
    columns = {"image": rows, "label": [i % 3 for i in range(n)]}
    features = Features({"image": Image(), "label": Value("int64")})
    return Dataset.from_dict(columns, features=features)


class PerImage(ViTImageProcessor):
    """Each image by its own mean, which is no function of a level."""

    def __call__(self, images, **options):
        found = super().__call__(images, **options)
        found["pixel_values"] = found["pixel_values"] - found["pixel_values"].mean(dim=(1, 2, 3), keepdim=True)
        return found


class Rarely(ViTImageProcessor):
    """As its parent, but for images with a bright corner, which come late."""

    def __call__(self, images, **options):
        found = super().__call__(images, **options)
        late = torch.tensor([np.asarray(image)[0, 0, 0] == 255 for image in images])
        found["pixel_values"][late] *= 1.001
        return found


PROCESSORS = {
    "fast": ViTImageProcessor(size=SMALL, **IMAGENET),
    "half": ViTImageProcessor(size=SMALL),
    "convnext": ConvNextImageProcessor(size={"shortest_edge": 16}, **IMAGENET),
    "timm": TimmWrapperImageProcessor(TIMM, "resnet18"),
    "not normalised": ViTImageProcessor(size=SMALL, do_normalize=False),
    "not rescaled": ViTImageProcessor(size=SMALL, do_rescale=False),
    "as they are": ViTImageProcessor(do_resize=False, do_rescale=False, do_normalize=False),
    "another scale": ViTImageProcessor(size=SMALL, rescale_factor=1 / 127.5, do_normalize=False),
    "grey": ViTImageProcessor(size=SMALL, image_mean=[0.3], image_std=[0.7]),
    **({} if PIL_BACKEND is None else {"pillow": PIL_BACKEND(size=SMALL, **IMAGENET)}),
}


def one_by_one(processor, rows: Dataset, mode: str) -> torch.Tensor:
    images = [image.convert(mode) for image in rows["image"]]
    return torch.cat([processor([image], return_tensors="pt")["pixel_values"].float() for image in images])


def same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.view(torch.int32), other.view(torch.int32))


@pytest.mark.parametrize("name", PROCESSORS)
def test_a_byte_a_pixel_gives_what_the_processor_gives(name):
    processor, rows = PROCESSORS[name], pictures()
    encoded = encode_images(rows, processor)
    assert isinstance(encoded._tensors["pixel_values"], LevelRows)
    expected = one_by_one(processor, rows, "L" if name == "grey" else "RGB")
    assert same_bits(encoded.column("pixel_values"), expected)
    chosen = [60, 3, 3, 41]
    assert same_bits(encoded.__getitems__(chosen)["pixel_values"], expected[chosen])
    assert same_bits(encoded.subset([9, 2])[1]["pixel_values"], expected[2])
    levels = encoded.unscaled()
    raw = levels.__getitems__(chosen)
    assert raw["pixel_values"].dtype == torch.uint8
    assert same_bits(levels.finish(raw)["pixel_values"], expected[chosen])


def test_grey_pictures_for_one_channel_and_for_three():
    rows = pictures(grey=True)
    for processor, mode in ((PROCESSORS["grey"], "L"), (PROCESSORS["fast"], "RGB")):
        assert same_bits(encode_images(rows, processor).column("pixel_values"), one_by_one(processor, rows, mode))


@pytest.mark.parametrize("kind", [PerImage, Rarely])
def test_what_is_no_function_of_a_level_is_stored_as_it_is(kind):
    processor, rows = kind(size=SMALL, **IMAGENET), pictures()
    bright = np.full((14, 17, 3), 255, np.uint8)
    if kind is Rarely:
        others = pictures(N - 1, seed=1)
        rows = Dataset.from_dict(
            {
                "image": [*others.cast_column("image", ImageFeature(decode=False))["image"], png(bright)],
                "label": [0] * N,
            },
            features=rows.features,
        )
    encoded = encode_images(rows, processor)
    assert isinstance(encoded._tensors["pixel_values"], MappedRows)
    assert same_bits(encoded.column("pixel_values"), one_by_one(processor, rows, "RGB"))


def test_a_table_that_no_arithmetic_gives_is_looked_up():
    table = np.random.default_rng(0).random((2, 256), dtype=np.float32)
    levels = Levels(table)
    assert levels._steps is None
    some = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (3, 2, 4, 4), dtype=np.uint8))
    values = levels(some)
    assert all(same_bits(values[:, c], torch.from_numpy(table[c])[some[:, c].long()]) for c in range(2))


def test_a_picture_is_decoded_once_and_in_a_second_run_never(monkeypatch):
    rows, decoded = pictures(), []
    decode = ImageFeature.decode_example

    def counted(self, value, **options):
        decoded.append(1)
        return decode(self, value, **options)

    monkeypatch.setattr(ImageFeature, "decode_example", counted)
    found = []
    for again in (False, True):
        decoded.clear()
        same = pictures() if again else rows  # the same content, read anew
        encoded = encode_images(same, PROCESSORS["fast"])
        found.append(dataset_fingerprint(same))
        repeats = find_repeats(same, column="image")
        assert len(decoded) == (0 if again else N)
        assert len(encoded) == N
        assert repeats.exact_repeats == 0
    assert found[0] == found[1]


def test_the_fingerprint_is_of_the_pixels_whatever_the_store_holds(monkeypatch):
    rows = pictures()
    monkeypatch.setattr("hf_privacy.data.fingerprint.FEWEST_ROWS", 10**9)
    plain = dataset_fingerprint(rows)
    monkeypatch.undo()
    assert dataset_fingerprint(rows) == plain


def test_other_labels_find_the_same_pixels(tmp_path):
    rows = pictures()
    encode_images(rows, PROCESSORS["fast"])
    there = {path.name for path in (tmp_path / "cache").glob("pixels-*")}
    other = rows.remove_columns("label").add_column("label", [1] * N)
    assert encode_images(other, PROCESSORS["fast"]).column("labels").tolist() == [1] * N
    assert {path.name for path in (tmp_path / "cache").glob("pixels-*")} == there
    encode_images(rows, PROCESSORS["half"])
    encode_images(rows.select(range(N - 1)), PROCESSORS["fast"])
    assert len(list((tmp_path / "cache").glob("pixels-*"))) == 3


def test_the_same_files_in_another_mode_are_other_pictures():
    rows = pictures()
    grey = rows.cast_column("image", Image(mode="L"))
    colours = encode_images(rows, PROCESSORS["fast"]).column("pixel_values")
    found = encode_images(grey, PROCESSORS["fast"]).column("pixel_values")
    assert same_bits(found, one_by_one(PROCESSORS["fast"], grey, "RGB"))
    assert not torch.equal(found, colours)
    assert dataset_fingerprint(grey) != dataset_fingerprint(rows)


def test_stored_rows_have_the_digest_of_the_tensors_and_travel_to_other_processes():
    encoded = encode_images(pictures(), PROCESSORS["fast"]).subset(range(5, 60))
    in_memory = TensorDataset({name: encoded.column(name) for name in encoded.column_names})
    assert encoded.digest() == in_memory.digest()
    again = pickle.loads(pickle.dumps(encoded))
    assert len(pickle.dumps(encoded)) < 10_000
    assert again.digest() == encoded.digest()


def test_rows_are_joined_and_relabelled_without_their_pixels_in_memory():
    encoded = encode_images(pictures(), PROCESSORS["fast"])
    some, more = encoded.subset([4, 60, 2]), encoded.subset([7])
    together = some.joined(more)
    assert not isinstance(together._tensors["pixel_values"], torch.Tensor)
    expected = torch.cat([some.column("pixel_values"), more.column("pixel_values")])
    assert same_bits(together.column("pixel_values"), expected)
    assert same_bits(together.__getitems__([3, 1])["pixel_values"], expected[[3, 1]])
    moved = some.with_column("labels", torch.tensor([8, 9, 7]))
    assert moved.column("labels").tolist() == [8, 9, 7]
    assert same_bits(moved.column("pixel_values"), some.column("pixel_values"))
    flipped = some.with_augmentation(horizontal_flip)
    raw = flipped.unscaled()
    assert same_bits(raw.finish(raw.__getitems__([0]))["pixel_values"], flipped.__getitems__([0])["pixel_values"])
    assert tensors_digest({"x": torch.cat(list(encoded.pieces("pixel_values", 3, 66)))}) == tensors_digest(
        {"x": encoded.column("pixel_values")[3:66]}
    )
