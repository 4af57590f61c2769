"""Where an attack moves an example: pixels in [0, 1], features of a table, or word embeddings.

A dataset holds what the model is called with: normalised pixels, features, token numbers. An attack works on *points*,
float32 tensors in units that mean something whatever the model expects, and every space turns inputs into points and
points back into inputs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel

from hf_privacy.adversarial.model_facts import embedding_padding, moved_left, normalisation_of
from hf_privacy.arguments import check_number, check_numbers
from hf_privacy.errors import InputError
from hf_privacy.models.architectures import task_of
from hf_privacy.models.deferred import require
from hf_privacy.models.modes import bare_model
from hf_privacy.tasks import task_named

Inputs = Mapping[str, torch.Tensor]

# How far points may lie out of bounds, by the rounding of whoever encoded them: one grey level.
_TOLERANCE = 1 / 255


@dataclass(frozen=True)
class PixelSpace:
    """Pixels in [0, 1], for a model that takes ``(pixel - mean) / std`` as ``pixel_values`` [B, C, H, W].

    Parameters
    ----------
    mean, std : tuple of float
        One value a channel, for pixels in 0..1, as in an image processor. For images that are not normalised 0 and 1.

    Raises
    ------
    InputError
        For unequal or no channels, values that are not finite, or a standard deviation that is not positive.

    Examples
    --------
    >>> space = PixelSpace(mean=(0.5,), std=(0.25,))
    >>> points = space.points(None, {"pixel_values": torch.full((1, 1, 1, 2), 2.0)})
    >>> points.flatten().tolist(), space.inputs(points, {})["pixel_values"].flatten().tolist()
    ([1.0, 1.0], [2.0, 2.0])
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    name: ClassVar[str] = "pixels"
    column: ClassVar[str] = "pixel_values"
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(check_numbers("mean", self.mean)))
        object.__setattr__(self, "std", tuple(check_numbers("std", self.std, 0.0, low_open=True)))
        if len(self.mean) != len(self.std):
            raise InputError(f"mean has {len(self.mean)} values and std {len(self.std)}: pass one of each a channel")

    def points(self, model: nn.Module | None, inputs: Inputs) -> torch.Tensor:
        """Pixels float32 [B, C, H, W], detached.

        Raises
        ------
        InputError
            Without floating-point ``pixel_values`` of as many channels as `mean`, or when what comes out lies outside
            [0, 1]: then they were normalised otherwise.
        """
        values = _continuous(inputs, self)
        if values.ndim != 4 or values.shape[1] != len(self.mean):
            raise InputError(
                f"pixel_values has the shape {list(values.shape)} and the space {len(self.mean)} channels: pass "
                "images [B, C, H, W] and one mean and std for each channel"
            )
        mean, std = _per_channel(self.mean, values.device), _per_channel(self.std, values.device)
        return _checked(values.detach().float() * std + mean, self)

    def inputs(self, points: torch.Tensor, inputs: Inputs) -> dict[str, torch.Tensor]:
        """`inputs` with the normalised `points` as pixel values (in the dtype they had), without labels."""
        mean, std = _per_channel(self.mean, points.device), _per_channel(self.std, points.device)
        return _replaced(inputs, self, (points - mean) / std)

    def clamp(self, points: torch.Tensor) -> torch.Tensor:
        """The nearest points in [0, 1]."""
        return points.clamp(0.0, 1.0)

    def free(self, inputs: Inputs, points: torch.Tensor) -> torch.Tensor | None:
        """None: every pixel may move."""
        return None


@dataclass(frozen=True)
class FeatureSpace:
    """The ``features`` [B, D] of a table as they are.

    Parameters
    ----------
    low, high : float, optional
        Least and largest value a feature may have; by default none.

    Raises
    ------
    InputError
        When `low` is not below `high`, or NaN.
    """

    low: float | None = None
    high: float | None = None

    name: ClassVar[str] = "features"
    column: ClassVar[str] = "features"

    def __post_init__(self) -> None:
        low = -math.inf if self.low is None else check_number("low", self.low)
        high = math.inf if self.high is None else check_number("high", self.high)
        if not low < high:
            raise InputError(f"low is {self.low} and high {self.high}: pass low below high, or None for no bound")

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """``(low, high)``."""
        return self.low, self.high

    def points(self, model: nn.Module | None, inputs: Inputs) -> torch.Tensor:
        """Features in float32, detached.

        Raises
        ------
        InputError
            Without floating-point ``features``, or when some lie outside the bounds.
        """
        return _checked(_continuous(inputs, self).detach().float(), self)

    def inputs(self, points: torch.Tensor, inputs: Inputs) -> dict[str, torch.Tensor]:
        """`inputs` with `points` as features (in the dtype they had), without labels."""
        return _replaced(inputs, self, points)

    def clamp(self, points: torch.Tensor) -> torch.Tensor:
        """The nearest points within the bounds."""
        return points if self.low is None and self.high is None else points.clamp(self.low, self.high)

    def free(self, inputs: Inputs, points: torch.Tensor) -> torch.Tensor | None:
        """None: every feature may move."""
        return None


@dataclass(frozen=True)
class EmbeddingSpace:
    """Word embeddings [B, L, D] of a text model, given to it as ``inputs_embeds``; padding never moves.

    A point need not be the embedding of any word: robustness here is that of the classifier above the embeddings
    (Miyato et al., 2017, arXiv 1605.07725), not against changed texts. A norm is over all embeddings of a text but its
    padding. Positions and token types are added by the model itself.

    Parameters
    ----------
    padding_side : {"right", "left"}, optional
        The one side on which this model may be padded when it is given embeddings; :func:`input_space` finds out.
        Models that look for the last token by its number (GPT-2, Llama) need ``"left"``: the embeddings are handed to
        them moved there, whichever side the text is padded on. None: any.
    positions : bool
        With ``"left"``: hand positions too, which those models count from the first place else.
    """

    padding_side: str | None = None
    positions: bool = False

    name: ClassVar[str] = "embeddings"
    column: ClassVar[str] = "inputs_embeds"
    bounds: ClassVar[tuple[None, None]] = (None, None)

    def __post_init__(self) -> None:
        if self.padding_side not in (None, "right", "left"):
            raise InputError(f"padding_side is {self.padding_side!r}: pass 'right', 'left' or None")

    def points(self, model: nn.Module, inputs: Inputs) -> torch.Tensor:
        """Embeddings float32 [B, L, D] of the tokens, detached.

        Raises
        ------
        InputError
            Without ``input_ids``, or for padding on the left of a model that takes it on the right alone.
        """
        if "input_ids" not in inputs:
            raise InputError(f"inputs has {_names(inputs)}: an attack on embeddings needs input_ids")
        mask = inputs.get("attention_mask")
        if self.padding_side == "right" and mask is not None:
            require(mask[:, 0].all(), _padded_on_the_left)
        with torch.no_grad():
            return bare_model(model).get_input_embeddings()(inputs["input_ids"]).detach().float()

    def inputs(self, points: torch.Tensor, inputs: Inputs) -> dict[str, torch.Tensor]:
        """`inputs` with `points` as ``inputs_embeds`` in place of the tokens, without labels."""
        kept = {name: tensor for name, tensor in inputs.items() if name not in ("input_ids", "labels")}
        mask = inputs.get("attention_mask")
        if self.padding_side != "left" or mask is None:
            return {**kept, "inputs_embeds": points}
        return moved_left({**kept, "inputs_embeds": points}, positions=self.positions)

    def clamp(self, points: torch.Tensor) -> torch.Tensor:
        """The points as they are: embeddings have no bounds."""
        return points

    def free(self, inputs: Inputs, points: torch.Tensor) -> torch.Tensor | None:
        """Which tokens may move, bool [B, L, 1]: those that are attended to; None without an attention mask."""
        mask = inputs.get("attention_mask")
        return None if mask is None else (mask != 0)[:, :, None].to(points.device)


InputSpace: TypeAlias = PixelSpace | FeatureSpace | EmbeddingSpace


def input_space(model: Any, processor: Any = None, *, inputs: Inputs | None = None) -> InputSpace:
    """The space in which the inputs of `model` are attacked: pixels, features or word embeddings, by its task.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        Bare or wrapped by DDP or ``torch.compile``.
    processor : BaseImageProcessor, optional
        For images: the one the images went through. Other models need none.
    inputs : mapping of str to tensor, optional
        A batch to try: whether it lies in the space.

    Raises
    ------
    InputError
        For a model without a transformers configuration or that takes no embeddings, an image model without a
        processor that says how it normalises, or `inputs` that are not of the space.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> input_space(TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3)))
    FeatureSpace(low=None, high=None)
    """
    bare = bare_model(model)
    if not isinstance(bare, (PreTrainedModel, PeftModel)):
        raise InputError(
            f"model is a {type(bare).__name__}: pass a transformers model, or build PixelSpace, FeatureSpace or "
            "EmbeddingSpace yourself"
        )
    name = task_named(task_of(bare)).input_space
    space: InputSpace
    if name == FeatureSpace.name:
        space = FeatureSpace()
    elif name == EmbeddingSpace.name:
        space = EmbeddingSpace(*embedding_padding(bare))
    else:
        facts = bare.config.to_dict()
        n_channels = (facts.get("model_args") or {}).get("in_chans") or facts.get("num_channels") or 3
        space = PixelSpace(*normalisation_of(processor, n_channels=n_channels))
    if inputs is not None:
        device = next(bare.parameters()).device
        space.points(bare, {name: tensor.to(device) for name, tensor in inputs.items()})
    return space


def _continuous(inputs: Inputs, space: PixelSpace | FeatureSpace) -> torch.Tensor:
    if space.column not in inputs:
        tokens = ": token numbers cannot be moved by degrees, use EmbeddingSpace()" if "input_ids" in inputs else ""
        raise InputError(f"inputs has {_names(inputs)} and no {space.column}{tokens}")
    values = inputs[space.column]
    if not values.is_floating_point():
        raise InputError(
            f"{space.column} has dtype {values.dtype}: an attack moves values by degrees, pass floating point (token "
            "numbers: EmbeddingSpace)"
        )
    return values


def _checked(points: torch.Tensor, space: PixelSpace | FeatureSpace) -> torch.Tensor:
    """`points` clamped to the bounds, from which they may only differ by rounding."""
    if space.bounds == (None, None) or points.numel() == 0:
        return points
    low = -math.inf if space.bounds[0] is None else space.bounds[0]
    high = math.inf if space.bounds[1] is None else space.bounds[1]
    least, most = points.aminmax()

    def outside(least: float, most: float) -> InputError:
        way_out = "pass the processor the images went through" if space.column == "pixel_values" else "widen low, high"
        return InputError(
            f"{space.column} holds {space.name} from {least:.4g} to {most:.4g}, outside [{low:g}, {high:g}]: {way_out}"
        )

    require((least >= low - _TOLERANCE) & (most <= high + _TOLERANCE), outside, least, most)
    return space.clamp(points)


def _padded_on_the_left() -> InputError:
    return InputError(
        "inputs is padded on the side where this model, given embeddings, begins to count: encode the text with "
        "tokenizer.padding_side = 'right'"
    )


def _replaced(inputs: Inputs, space: PixelSpace | FeatureSpace, values: torch.Tensor) -> dict[str, torch.Tensor]:
    kept = {name: tensor for name, tensor in inputs.items() if name != "labels"}
    if space.column in inputs:
        values = values.to(inputs[space.column].dtype)
    return {**kept, space.column: values}


@lru_cache(maxsize=64)
def _per_channel(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """[C, 1, 1] on the device: kept, since a copy to the device at each step of an attack would wait for it."""
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=torch.float32, device=device)[:, None, None]


def _names(inputs: Inputs) -> str:
    return ", ".join(sorted(inputs)) or "no columns"
