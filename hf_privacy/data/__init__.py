"""Data: whose rows are members, how rows are named, and how they become tensors.

Names are imported when first used, so that drawing a split does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULE_OF = {
    "ForgetRequest": "forget",
    "ForgetSplit": "forget",
    "MembershipSplit": "splits",
    "RandomFlipCrop": "augment",
    "RepeatReport": "repeats",
    "TensorDataset": "tensors",
    "check_columns": "columns",
    "check_labels": "columns",
    "class_names": "classes",
    "collate_batch": "tensors",
    "content_hashes": "fingerprint",
    "dataset_fingerprint": "fingerprint",
    "drop_repeats": "repeats",
    "encode_features": "processing",
    "encode_images": "processing",
    "encode_text": "processing",
    "example_ids": "fingerprint",
    "example_seed": "example_generators",
    "find_repeats": "repeats",
    "horizontal_flip": "augment",
    "image_processor_for": "image_processors",
    "image_shape": "columns",
    "load_dataset_from": "loading",
    "load_digits_dataset": "digits",
    "make_canaries": "canaries",
    "make_forget_split": "forget",
    "make_split": "splits",
    "noisy_labels": "label_noise",
    "number_classes": "classes",
    "random_flip": "augment",
    "redraw_members": "members",
    "refuse_without_rows": "columns",
    "require_rows": "columns",
    "with_label_noise": "label_noise",
}

__all__ = [
    "ForgetRequest",
    "ForgetSplit",
    "MembershipSplit",
    "RandomFlipCrop",
    "RepeatReport",
    "TensorDataset",
    "check_columns",
    "check_labels",
    "class_names",
    "collate_batch",
    "content_hashes",
    "dataset_fingerprint",
    "drop_repeats",
    "encode_features",
    "encode_images",
    "encode_text",
    "example_ids",
    "example_seed",
    "find_repeats",
    "horizontal_flip",
    "image_processor_for",
    "image_shape",
    "load_dataset_from",
    "load_digits_dataset",
    "make_canaries",
    "make_forget_split",
    "make_split",
    "noisy_labels",
    "number_classes",
    "random_flip",
    "redraw_members",
    "refuse_without_rows",
    "require_rows",
    "with_label_noise",
]

if TYPE_CHECKING:
    from hf_privacy.data.augment import RandomFlipCrop, horizontal_flip, random_flip
    from hf_privacy.data.canaries import make_canaries
    from hf_privacy.data.classes import class_names, number_classes
    from hf_privacy.data.columns import check_columns, check_labels, image_shape, refuse_without_rows, require_rows
    from hf_privacy.data.digits import load_digits_dataset
    from hf_privacy.data.example_generators import example_seed
    from hf_privacy.data.fingerprint import content_hashes, dataset_fingerprint, example_ids
    from hf_privacy.data.forget import ForgetRequest, ForgetSplit, make_forget_split
    from hf_privacy.data.image_processors import image_processor_for
    from hf_privacy.data.label_noise import noisy_labels, with_label_noise
    from hf_privacy.data.loading import load_dataset_from
    from hf_privacy.data.members import redraw_members
    from hf_privacy.data.processing import encode_features, encode_images, encode_text
    from hf_privacy.data.repeats import RepeatReport, drop_repeats, find_repeats
    from hf_privacy.data.splits import MembershipSplit, make_split
    from hf_privacy.data.tensors import TensorDataset, collate_batch


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'hf_privacy.data' has no attribute {name!r}")
    value = getattr(import_module(f"hf_privacy.data.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
