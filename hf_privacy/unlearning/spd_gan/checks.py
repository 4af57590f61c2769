"""What SPD-GAN asks of its images, their space and the classifier it attacks, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType

from hf_privacy.adversarial import PixelSpace, input_space
from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError, one_line

_CHUNK = 4096


def check_images(forget: TensorDataset, retain: TensorDataset | None = None) -> None:
    for name, dataset in (("forget_dataset", forget), ("retain_dataset", retain)):
        if dataset is None and name == "retain_dataset":
            continue
        if not isinstance(dataset, TensorDataset):
            raise InputError(f"{name} is {type(dataset).__name__}: pass a TensorDataset")
        if not {"pixel_values", "labels"} <= set(dataset.column_names):
            raise InputError(
                f"{name} has the columns {', '.join(sorted(dataset.column_names))}: SPD-GAN changes images, which "
                "have pixel_values and labels; text and tables have no slightly changed version of the same kind"
            )
        if len(dataset) == 0:
            raise InputError(f"{name} is empty: SPD-GAN needs images to change and images to keep")
    if retain is None:
        return
    shapes = [list(dataset.__getitems__([0])["pixel_values"].shape[1:]) for dataset in (forget, retain)]
    if shapes[0] != shapes[1]:
        raise InputError(
            f"forget_dataset has images [C, H, W] of {shapes[0]} and retain_dataset of {shapes[1]}: encode them alike"
        )
    shared = forget.shared_rows(retain)
    if shared:
        raise InputError(f"forget_dataset and retain_dataset share {shared} rows: give each example to one set only")


def space_of(space: PixelSpace | None, processor: Any, classifier: torch.nn.Module) -> PixelSpace:
    if (space is None) == (processor is None):
        given = "neither is" if space is None else "both are"
        raise InputError(f"space or processor says how pixel values were normalised, and {given} given: pass one")
    found = input_space(classifier, processor) if space is None else space
    if not isinstance(found, PixelSpace):
        raise InputError(f"the inputs are {found.name}: SPD-GAN changes images, whose space is a PixelSpace")
    return found


def device_of(classifier: torch.nn.Module, accelerator: Accelerator | None) -> torch.device:
    if accelerator is None:
        return next(classifier.parameters()).device
    if accelerator.distributed_type in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        raise InputError(
            f"accelerator shards models ({accelerator.distributed_type.value}): the classifier must be whole in each "
            "process"
        )
    return accelerator.device


def check_points(space: PixelSpace, **datasets: TensorDataset) -> None:
    """Refuse images that are not of the space, of whatever channels, before anything is trained on them."""
    for name, dataset in datasets.items():
        for start in range(0, len(dataset), _CHUNK):
            images = dataset.__getitems__(range(start, min(start + _CHUNK, len(dataset))))["pixel_values"]
            try:
                space.points(None, {"pixel_values": images})
            except InputError as error:
                raise InputError(f"{name}_dataset: {error}") from error


def check_classifier(
    logits_of: Callable[[dict[str, torch.Tensor]], torch.Tensor], forget: TensorDataset, device: torch.device
) -> None:
    labels = forget.column("labels")
    batch = forget.__getitems__([0])
    try:
        with torch.no_grad():
            logits = logits_of({name: tensor.to(device) for name, tensor in batch.items() if name != "labels"})
    except (RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"retain_classifier does not take images of {list(batch['pixel_values'].shape[1:])} "
            f"({one_line(error, longest=200)}): pass one trained on retain_dataset"
        ) from error
    n_classes = logits.shape[-1]
    least, most = int(labels.min()), int(labels.max())
    if logits.ndim != 2 or n_classes < 2 or least < 0 or most >= n_classes:
        raise InputError(
            f"labels go from {least} to {most} and retain_classifier gives logits of shape {list(logits.shape)}: pass "
            "one that knows two classes or more, and all labels"
        )
