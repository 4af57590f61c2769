"""Image processors for models that bring none: timm architectures and transformers models built from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel, TimmWrapperImageProcessor, ViTImageProcessor
from transformers.image_processing_utils import BaseImageProcessor

from hf_privacy.errors import InputError


def image_processor_for(
    model_or_config: PreTrainedModel | PreTrainedConfig,
    *,
    size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> BaseImageProcessor:
    """An image processor that fits the model and comes back from `AutoImageProcessor.from_pretrained(saved)`.

    A model built from scratch saves no processor, and a saved timm model then fails to load one. For it this returns a
    `ViTImageProcessor` (resize to `size`, scale to 0..1, normalize) for as many channels as the model takes; hand it
    to the Trainer as ``processing_class``, or call its `save_pretrained`, and "preprocessor_config.json" lies beside
    the weights.

    A timm checkpoint carries its preprocessing in its configuration ("pretrained_cfg"), and transformers reads that
    before any "preprocessor_config.json" in a local folder. For it this returns the `TimmWrapperImageProcessor`;
    `size`, `mean` and `std` are written into the configuration of the model passed, for they would be lost on reload
    otherwise.

    Parameters
    ----------
    model_or_config : PreTrainedModel or PreTrainedConfig
    size : int or (height, width), optional
        What images are resized to; the size of the dataset's images (`image_shape`) avoids needless upscaling. By
        default the configuration's own ("image_size", or timm's "img_size" or "pretrained_cfg").
    mean, std : sequence of float, optional
        One value a channel, for pixels in 0..1; by default the checkpoint's own, or 0.5 where there is none.

    Raises
    ------
    InputError
        When no size is given and the configuration names none, or `mean` or `std` has another number of channels.

    Examples
    --------
    >>> from transformers import TimmWrapperConfig
    >>> config = TimmWrapperConfig(architecture="resnet18", num_labels=10, model_args={"in_chans": 1})
    >>> processor = image_processor_for(config, size=28)
    >>> list(processor.image_mean), dict(processor.size)
    ([0.5], {'height': 28, 'width': 28})
    """
    config = model_or_config.config if isinstance(model_or_config, PreTrainedModel) else model_or_config
    facts = config.to_dict()
    timm_arguments = facts.get("model_args") or {}
    pretrained = facts.get("pretrained_cfg")
    channels = _channels(facts)
    for name, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != channels:
            raise InputError(
                f"{name} has {len(values)} values and the model takes {channels} channels: pass one for each"
            )
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        if min(height, width) < 1:
            raise InputError(f"size is {size}: pass pixels from 1 up")

    if pretrained is not None:
        changed = dict(pretrained)
        if size is not None:
            changed.update(input_size=[channels, height, width], crop_pct=1.0)
        elif changed["input_size"][0] != channels:
            changed["input_size"] = [channels, *changed["input_size"][1:]]
        for name, values in (("mean", mean), ("std", std)):
            kept = list(changed[name])
            if len(kept) != channels:
                # timm sums the first layer's weights when it takes grey images, so the mean colour is the grey's
                kept = [sum(kept) / len(kept)] * channels
            changed[name] = kept if values is None else list(values)
        config.pretrained_cfg = changed
        return TimmWrapperImageProcessor(changed, facts.get("architecture"))

    if size is None:
        size = facts.get("image_size") or timm_arguments.get("img_size")
        if size is None:
            raise InputError(
                f"size is not given and the configuration of this {config.model_type} model names none: pass the size "
                "of your images, for instance size=32"
            )
        height, width = (size, size) if isinstance(size, int) else size
    return ViTImageProcessor(
        size={"height": height, "width": width},
        image_mean=[0.5] * channels if mean is None else list(mean),
        image_std=[0.5] * channels if std is None else list(std),
    )


def processor_channels(processor: BaseImageProcessor) -> int:
    """Number of channels the processor is made for: as many as it has mean values; 3 where it does not normalize."""
    if isinstance(processor, TimmWrapperImageProcessor):
        return int(processor.data_config["input_size"][0])
    facts = processor.to_dict()
    mean = facts.get("image_mean")
    return len(mean) if facts.get("do_normalize") and isinstance(mean, (list, tuple)) else 3


def _channels(facts: dict[str, Any]) -> int:
    timm_arguments = facts.get("model_args") or {}
    return int(timm_arguments.get("in_chans") or facts.get("num_channels") or 3)
