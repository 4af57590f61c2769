"""The top share of any number of score tensors, exactly, without sorting or copying them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from hf_privacy.arguments import check_choice, check_number, check_switch, check_whole
from hf_privacy.errors import InputError
from hf_privacy.weights.checks import check_tensors

_CHUNK = 1 << 18  # small enough to stay in a processor's cache
_DIGIT_BITS = 16


def select(
    scores: Mapping[str, torch.Tensor],
    *,
    fraction: float | None = None,
    count: int | None = None,
    scope: str = "global",
    largest: bool = True,
) -> dict[str, torch.Tensor]:
    """Mark the highest scores: exactly ``round(fraction · n)`` or ``count`` of them, the same ones every time.

    The cut is found digit by digit: scores are read as whole numbers that sort like them, and their first 16 bits are
    counted, then the next 16 of those that agree with the cut so far. Beside the scores this needs the masks and a
    few megabytes. Equal scores at the cut are taken in the order of the tensors in `scores`, then of their entries.

    Parameters
    ----------
    scores : mapping of str to tensor
        Finite floating-point scores by parameter name, of any shape; on one device or several.
    fraction : float
        Share of all scores, in (0, 1); round half to even decides k.
    count : int
        Number of scores instead, at least 1; with scope "layer" it is the number in each tensor.
    scope : {"global", "layer"}
        Rank all scores together, or each tensor by itself.
    largest : bool
        False marks the lowest scores.

    Returns
    -------
    dict of bool tensor
        By name, of the shape and on the device of the scores; True where selected. Random-k is `select` on random
        scores.

    Raises
    ------
    InputError
        If `scores` is empty or holds NaN or infinite values or no floating-point numbers; if not exactly one of
        `fraction` and `count` is given, if it is out of range, or so small that nothing would be selected.

    Examples
    --------
    >>> scores = {"a": torch.tensor([3.0, 1.0, 2.0]), "b": torch.tensor([2.0])}
    >>> select(scores, fraction=0.5)
    {'a': tensor([ True, False,  True]), 'b': tensor([False])}
    >>> select(scores, count=1, scope="layer")
    {'a': tensor([ True, False, False]), 'b': tensor([True])}
    """
    check_choice("scope", scope, ("global", "layer"))
    check_switch("largest", largest)
    if (fraction is None) == (count is None):
        raise InputError(f"fraction is {fraction} and count {count}: pass exactly one of them")
    if fraction is not None:
        fraction = check_number("fraction", fraction, 0.0, 1.0, low_open=True, high_open=True)
    if count is not None:
        count = check_whole("count", count, at_least=1)
    check_tensors("scores", scores)
    for name, tensor in scores.items():
        if not tensor.is_floating_point():
            raise InputError(f"the scores of {name} have dtype {tensor.dtype}: pass floating-point scores")
    groups = [dict(scores)] if scope == "global" else [{name: tensor} for name, tensor in scores.items()]
    sizes = [sum(tensor.numel() for tensor in group.values()) for group in groups]
    if sum(sizes) == 0:
        raise InputError("scores are empty: pass at least one score")
    numbers = [round(fraction * size) if fraction is not None else int(count or 0) for size in sizes]
    for group, size, number in zip(groups, sizes, numbers, strict=True):
        if number > size:
            where = "in all" if scope == "global" else f"in {next(iter(group))}"
            raise InputError(f"count is {count:,}, and there are {size:,} scores {where}: pass no more than that")
    if sum(numbers) == 0:
        raise InputError(f"fraction is {fraction} of {sum(sizes):,} scores, which is none: pass a larger one")
    # Equal values must sort alike in all tensors, so that all are read in the widest type among them.
    wide = any(tensor.dtype == torch.float64 for tensor in scores.values())
    masks: dict[str, torch.Tensor] = {}
    for group, number in zip(groups, numbers, strict=True):
        masks.update(_select_group(group, number, wide, largest))
    return masks


def _select_group(scores: dict[str, torch.Tensor], number: int, wide: bool, largest: bool) -> dict[str, torch.Tensor]:
    masks: dict[str, torch.Tensor] = {}
    if not any(tensor.numel() for tensor in scores.values()):
        return {
            name: torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device) for name, tensor in scores.items()
        }
    cut, ties, n_equal = _find_cut(scores, number, wide, largest)
    if ties == n_equal:  # as a rule there is one: then nothing has to be looked for among equals
        cut, ties = cut - 1, 0
    for name, tensor in scores.items():
        mask = torch.empty(tensor.shape, dtype=torch.bool, device=tensor.device)
        flat = mask.view(-1)
        for start, keys in _keys(tensor, wide, largest):
            torch.gt(keys, cut, out=flat[start : start + len(keys)])
            if ties and (equal := keys == cut).any():
                places = equal.nonzero().view(-1)[:ties]
                flat[places + start] = True
                ties -= len(places)
        masks[name] = mask
    return masks


def _find_cut(scores: dict[str, torch.Tensor], number: int, wide: bool, largest: bool) -> tuple[int, int, int]:
    """The key of the last score selected, how many of the scores with that key are, and how many have it."""
    bits = 64 if wide else 32
    cut, left, n_equal = 0, number, 0
    for shift in range(bits - _DIGIT_BITS, -1, -_DIGIT_BITS):
        first = shift == bits - _DIGIT_BITS
        histogram = torch.zeros(1 << _DIGIT_BITS, dtype=torch.int64)
        for tensor in scores.values():
            here = torch.zeros(1 << _DIGIT_BITS, dtype=torch.int64, device=tensor.device)
            for _, keys in _keys(tensor, wide, largest):
                if not first:
                    keys = keys[keys >> (shift + _DIGIT_BITS) == cut]
                # The first digit carries the sign.
                digits = (keys >> shift) + (1 << (_DIGIT_BITS - 1)) if first else (keys >> shift) & 0xFFFF
                here += torch.bincount(digits, minlength=1 << _DIGIT_BITS)
            histogram += here.cpu()
        if first:
            _refuse_not_finite(histogram, bits, largest)
        above = histogram.flip(0).cumsum(0)  # scores with this digit or a higher one, from the highest digit down
        place = int(torch.searchsorted(above, max(left, 1)))
        digit = len(histogram) - 1 - place
        n_equal = int(histogram[digit])
        left -= int(above[place]) - n_equal
        cut = digit - (1 << (_DIGIT_BITS - 1)) if first else (cut << _DIGIT_BITS) | digit
    return cut, left, n_equal


def _keys(tensor: torch.Tensor, wide: bool, largest: bool) -> Iterator[tuple[int, torch.Tensor]]:
    """Signed whole numbers in the order of the scores, chunk by chunk, with the place where the chunk begins."""
    float_type, int_type, low_bits = (
        (torch.float64, torch.int64, 0x7FFF_FFFF_FFFF_FFFF) if wide else (torch.float32, torch.int32, 0x7FFF_FFFF)
    )
    flat = tensor.detach().reshape(-1)
    for start in range(0, flat.numel(), _CHUNK):
        # Adding zero makes −0.0 into 0.0, which are equal and differ in bits.
        keys = (flat[start : start + _CHUNK].to(float_type) + 0.0).view(int_type)
        # Numbers below zero have their sign bit set and sort backwards in the rest.
        keys ^= (keys >> (63 if wide else 31)) & low_bits
        yield start, keys if largest else keys.bitwise_not_()


def _refuse_not_finite(histogram: torch.Tensor, bits: int, largest: bool) -> None:
    # NaN and infinity have an exponent of all ones, which the first 16 bits hold whole.
    infinity = 0x7F80 if bits == 32 else 0x7FF0
    counts = histogram if largest else histogram.flip(0)
    half = 1 << (_DIGIT_BITS - 1)
    n_bad = int(counts[half + infinity :].sum() + counts[: half - infinity].sum())
    if n_bad:
        raise InputError(f"scores hold {n_bad:,} NaN or infinite values of {int(histogram.sum()):,}: pass finite ones")
