"""What an input space must know of a model: how its pixels were normalised, where its text may be padded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor

from hf_privacy.errors import InputError, one_line
from hf_privacy.models.modes import bare_model, float32_logits

_WAY_OUT = "pass PixelSpace(mean=..., std=...) with the values for pixels in 0..1 instead"


def normalisation_of(processor: Any, *, n_channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel that an image processor normalises pixels in 0..1 with.

    What its configuration says is compared with what comes out for a black and for a white image.

    Parameters
    ----------
    processor : BaseImageProcessor
    n_channels : int
        Of the model, for processors that do not normalise or have one number for all channels.

    Returns
    -------
    mean, std : tuple of float
        0 and 1 where the processor does not normalise.

    Raises
    ------
    InputError
        When `processor` is no image processor, does not scale by 1/255, normalises without saying how, or does
        something else to pixels than it says.

    Examples
    --------
    >>> from transformers import ViTImageProcessor
    >>> processor = ViTImageProcessor(size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.25])
    >>> normalisation_of(processor, n_channels=1)
    ((0.5,), (0.25,))
    """
    if not isinstance(processor, BaseImageProcessor):
        raise InputError(
            f"processor is {'missing' if processor is None else f'a {type(processor).__name__}'}: an attack on pixels "
            f"needs the image processor, which knows how they were normalised; or {_WAY_OUT}"
        )
    from transformers import TimmWrapperImageProcessor  # only here: it imports timm

    if isinstance(processor, TimmWrapperImageProcessor):
        mean, std = processor.data_config["mean"], processor.data_config["std"]
    else:
        mean, std = _stated(processor.to_dict(), n_channels)
    facts = tuple(float(value) for value in mean), tuple(float(value) for value in std)
    _compare_with_output(processor, *facts)
    return facts


def _stated(facts: dict[str, Any], n_channels: int) -> tuple[Any, Any]:
    factor = facts.get("rescale_factor")
    if not facts.get("do_rescale") or factor is None or not math.isclose(factor, 1 / 255, rel_tol=1e-4):
        raise InputError(
            f"processor has do_rescale {facts.get('do_rescale')} and rescale_factor {factor}: pixels must be scaled "
            "to 0..1 (do_rescale True, rescale_factor 1/255) for epsilon to be in pixel units"
        )
    if not facts.get("do_normalize"):  # some say nothing of it; what comes out tells
        return (0.0,) * n_channels, (1.0,) * n_channels
    mean, std = facts.get("image_mean"), facts.get("image_std")
    if mean is None or std is None:
        raise InputError(f"processor normalises with image_mean {mean} and image_std {std}: set both, or {_WAY_OUT}")
    single = isinstance(mean, (int, float)) and isinstance(std, (int, float))
    return ((mean,) * n_channels, (std,) * n_channels) if single else (mean, std)


def _compare_with_output(processor: BaseImageProcessor, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    mode = "L" if len(mean) == 1 else "RGB"
    for grey in (0, 255):
        image = Image.new(mode, (64, 64), grey if mode == "L" else (grey,) * 3)
        values = torch.as_tensor(processor([image], return_tensors="pt")["pixel_values"])
        if values.ndim != 4 or values.shape[1] != len(mean):
            raise InputError(
                f"processor gives pixel_values of shape {list(values.shape)} for one image and has {len(mean)} "
                f"means: an attack on pixels needs images [B, C, H, W] with one mean for each channel"
            )
        centre = values[0, :, values.shape[2] // 2, values.shape[3] // 2].tolist()
        expected = [(grey / 255 - m) / s for m, s in zip(mean, std, strict=True)]
        if not all(math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3) for a, b in zip(centre, expected, strict=True)):
            raise InputError(
                f"processor turns grey {grey} into {centre} where its image_mean and image_std give {expected}: it "
                f"does more to pixels than it says, so {_WAY_OUT}"
            )


def moved_left(inputs: Mapping[str, torch.Tensor], *, positions: bool) -> dict[str, torch.Tensor]:
    """Texts with their last token at the last place, and the padding behind it brought to the front.

    Parameters
    ----------
    inputs : mapping of str to tensor
        With "attention_mask" [B, L]; whatever begins with these dimensions is moved.
    positions : bool
        Add "position_ids": the number of each token among those of its text.

    Examples
    --------
    >>> moved_left({"attention_mask": torch.tensor([[1, 1, 0]])}, positions=True)
    {'attention_mask': tensor([[0, 1, 1]]), 'position_ids': tensor([[0, 0, 1]])}
    """
    mask = inputs["attention_mask"]
    place = torch.arange(mask.shape[1], device=mask.device)
    last = ((mask != 0) * place).amax(dim=1, keepdim=True)
    source = (place + last + 1) % mask.shape[1]  # where what comes to stand at each place stood
    moved = {}
    for name, values in inputs.items():
        if values.shape[:2] == mask.shape:
            index = source.reshape(*source.shape, *[1] * (values.ndim - 2)).expand_as(values)
            values = values.gather(1, index)
        moved[name] = values
    if positions:
        moved["position_ids"] = (moved["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
    return moved


def embedding_padding(model: Any) -> tuple[str | None, bool]:
    """The one side on which a text model may be padded when it is called with embeddings, and whether with positions.

    None if either side will do. A model that finds the last token by its number cannot do so among embeddings: it
    takes the last place of all, so only padding on the left is right; and positions must be given where it would count
    them from the first place. A padded text is given both ways, as tokens and as embeddings, on either side.

    Raises
    ------
    InputError
        When the model takes no embeddings, or answers otherwise than for tokens on both sides.
    """
    bare = bare_model(model)
    try:
        table = bare.get_input_embeddings()
        facts = bare.config.get_text_config().to_dict()
        pad = facts.get("pad_token_id") or 0
        # each a number, a list of numbers or nothing
        ends = np.hstack([facts.get(f"{name}_token_id") or 0 for name in ("bos", "eos", "cls", "sep")])
        word = next(number for number in range(len(ends) + 2) if number not in {pad, *ends.tolist()})
        agreeing = []
        with float32_logits(model) as logits_of, torch.no_grad():
            for side in ("right", "left"):
                tokens = [word, word, word, pad] if side == "right" else [pad, word, word, word]
                ids = torch.tensor([tokens], device=table.weight.device)
                mask = torch.tensor([[1, 1, 1, 0] if side == "right" else [0, 1, 1, 1]], device=ids.device)
                from_tokens = logits_of({"input_ids": ids, "attention_mask": mask})
                embedded = {"inputs_embeds": table(ids).float(), "attention_mask": mask}
                if _same(logits_of(embedded), from_tokens):
                    agreeing.append(side)
                if side == "right":
                    reference, padded_right = from_tokens, embedded
            if agreeing == ["left"]:
                if _same(logits_of(moved_left(padded_right, positions=False)), reference):
                    return "left", False
                if _same(logits_of(moved_left(padded_right, positions=True)), reference):
                    return "left", True
                agreeing = []
    except (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError, IndexError) as error:
        raise InputError(
            f"model is a {type(bare).__name__}, which takes no word embeddings (inputs_embeds) in place of tokens "
            f"({one_line(error, longest=200)}): an attack on text needs one that does"
        ) from error
    if not agreeing:
        raise InputError(
            f"model is a {type(bare).__name__}, which answers otherwise for the embeddings of a padded text than for "
            "its tokens: an attack on text needs one that answers the same"
        )
    return (None if len(agreeing) == 2 else agreeing[0]), False


def _same(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.allclose(first, second, rtol=1e-4, atol=1e-5)
