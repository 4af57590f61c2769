"""What a causal language model says of the tokens it is scored on, without ever holding all logits in float32."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from torch.utils.checkpoint import checkpoint

from hf_privacy.arrays import IGNORED
from hf_privacy.errors import InputError
from hf_privacy.models.modes import bare_model, evaluation_mode

# Logits that are in memory at once, in float32: 8 MiB. Twice as many take three times as long a token where the C
# library asks the system for each block anew.
_CHUNK_ELEMENTS = 1 << 21
# Whether a model's logits are known to be what `_after_head` makes of its head's values; tried once for each.
_PLAIN_HEADS: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()

TokenFunction = Callable[..., tuple[torch.Tensor, ...]]


@dataclass(frozen=True)
class ScoredTokens:
    """The scored tokens of a batch, flat and in the order of its rows, and what the model says of them.

    Attributes
    ----------
    states : tensor of shape [n, D]
        What the head turns into logits, at the position before each scored token; the logits themselves without one.
    head : callable or None
        From states [m, D] to logits [m, V].
    targets : int64 tensor of shape [n]
        The scored tokens.
    counts : int64 tensor of shape [B]
        How many there are in each row, at least one.
    vocabulary : int
        V.
    """

    states: torch.Tensor
    head: Callable[[torch.Tensor], torch.Tensor] | None
    targets: torch.Tensor
    counts: torch.Tensor
    vocabulary: int

    @classmethod
    def of_logits(cls, logits: torch.Tensor, labels: torch.Tensor, places: torch.Tensor | None = None) -> ScoredTokens:
        """Those of whole logits [B, L, V], where the token at position t is told by the logits at t − 1.

        `places` are the labels' own (`scored_places`), where they are known.

        Examples
        --------
        >>> logits = torch.zeros(1, 3, 5)
        >>> ScoredTokens.of_logits(logits, torch.tensor([[-100, 2, 4]])).targets
        tensor([2, 4])
        """
        return cls._at(_places(labels, places), logits, None, labels, logits.shape[-1])

    @classmethod
    def _at(
        cls,
        places: torch.Tensor,
        states: torch.Tensor,
        head: Callable[[torch.Tensor], torch.Tensor] | None,
        labels: torch.Tensor,
        vocabulary: int,
    ) -> ScoredTokens:
        # By numbers, and not by a mask: how many a mask chooses, a device would first have to tell the host.
        counts = (labels[:, 1:] != IGNORED).sum(dim=1)
        targets = labels.flatten().index_select(0, places + 1)
        return cls(states.flatten(0, 1).index_select(0, places), head, targets, counts, vocabulary)

    def logits(self, rows: slice = slice(None)) -> torch.Tensor:
        """Of some of the scored tokens, float32 at least: [m, V]."""
        states = self.states[rows]
        logits = states if self.head is None else self.head(states)
        return logits if logits.dtype == torch.float64 else logits.float()

    def map(self, function: TokenFunction, *others: ScoredTokens) -> tuple[torch.Tensor, ...]:
        """What `function` gives for each token, from logits [m, V] and targets [m]; in chunks of tokens.

        With gradients the logits of a chunk are made again on the way back, where they do not all fit into one.

        Parameters
        ----------
        function : callable
            From logits [m, V], targets [m], and the logits [m, V] of each of `others`, to values [m].
        *others : ScoredTokens
            What other models say of the same tokens; their heads must still be as they were.

        Examples
        --------
        >>> scored = ScoredTokens.of_logits(torch.zeros(1, 3, 5), torch.tensor([[-100, 2, 4]]))
        >>> scored.map(lambda logits, targets: (logits.logsumexp(-1),))
        (tensor([1.6094, 1.6094]),)
        """
        size = max(1, _CHUNK_ELEMENTS // (self.vocabulary * (1 + len(others))))

        def of_chunk(rows: slice) -> tuple[torch.Tensor, ...]:
            return function(self.logits(rows), self.targets[rows], *(other.logits(rows) for other in others))

        if len(self.targets) <= size:
            return of_chunk(slice(None))
        recompute = torch.is_grad_enabled() and any(each.states.requires_grad for each in (self, *others))
        chunks = [
            checkpoint(of_chunk, slice(start, start + size), use_reentrant=False, preserve_rng_state=False)
            if recompute
            else of_chunk(slice(start, start + size))
            for start in range(0, len(self.targets), size)
        ]
        return tuple(torch.cat(parts) for parts in zip(*chunks, strict=True))

    def part(self, tokens: slice, rows: slice) -> ScoredTokens:
        """These tokens, as those of these rows: whoever asks knows how many tokens which rows have.

        Examples
        --------
        >>> labels = torch.tensor([[-100, 2, 4], [-100, 1, -100]])
        >>> ScoredTokens.of_logits(torch.zeros(2, 3, 5), labels).part(slice(2, 3), slice(1, 2)).targets
        tensor([1])
        """
        return ScoredTokens(self.states[tokens], self.head, self.targets[tokens], self.counts[rows], self.vocabulary)

    def row_sums(self, values: torch.Tensor) -> torch.Tensor:
        """Sums of a value of each token over its row: [n] to [B].

        Examples
        --------
        >>> labels = torch.tensor([[-100, 2, 4], [-100, 1, -100]])
        >>> ScoredTokens.of_logits(torch.zeros(2, 3, 5), labels).row_sums(torch.tensor([1.0, 2.0, 3.0]))
        tensor([3., 3.])
        """
        rows = torch.repeat_interleave(self.counts, output_size=len(self.targets))
        return values.new_zeros(len(self.counts)).index_add(0, rows, values)

    def row_means(self, values: torch.Tensor) -> torch.Tensor:
        """Means of a value of each token over its row: [n] to [B]; a long row counts as a short one does.

        Examples
        --------
        >>> labels = torch.tensor([[-100, 2, 4], [-100, 1, -100]])
        >>> ScoredTokens.of_logits(torch.zeros(2, 3, 5), labels).row_means(torch.tensor([1.0, 2.0, 3.0]))
        tensor([1.5000, 3.0000])
        """
        return self.row_sums(values) / self.counts


def scored_positions(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where a batch's tokens are scored.

    The first token of a row is told by nothing, and never scored.

    Parameters
    ----------
    labels : int64 tensor of shape [B, L]
        The token where it is scored, else `IGNORED`.

    Returns
    -------
    scored : bool tensor of shape [B, L − 1]
        At the positions whose next token is scored.
    targets : int64 tensor of shape [n]
    counts : int64 tensor of shape [B]

    Raises
    ------
    InputError
        For rows without a scored token.

    Examples
    --------
    >>> scored_positions(torch.tensor([[7, 8, -100]]))[0]
    tensor([[ True, False]])
    """
    scored, following, counts = _checked(labels)
    return scored, following[scored], counts


def scored_places(labels: torch.Tensor) -> torch.Tensor:
    """Where in a batch, laid out row after row, stands what tells a scored token: int64 [n], numbers below B·L.

    Found on the host, before labels [B, L] go to a device: how many there are shapes all that follows, and a device
    that was asked would have to finish its work first.

    Raises
    ------
    InputError
        For rows without a scored token.

    Examples
    --------
    >>> scored_places(torch.tensor([[7, 8, -100], [5, -100, 6]]))
    tensor([0, 4])
    """
    scored, _, _ = _checked(labels)
    return torch.nn.functional.pad(scored, (0, 1)).flatten().nonzero().view(-1)


def _places(labels: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
    return scored_places(labels) if places is None else places


def _checked(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where tokens are scored [B, L − 1], the tokens that follow, and how many of each row are."""
    following = labels[:, 1:]
    scored = following != IGNORED
    counts = scored.sum(dim=1)
    empty = int((counts == 0).sum())
    if empty:
        raise InputError(
            f"{empty:,} of {len(labels):,} rows have no scored token (labels are {IGNORED} but for the first): their "
            "completion is empty or was cut away; drop them, or raise max_length"
        )
    return scored, following, counts


def score_tokens(
    model: nn.Module,
    inputs: Mapping[str, torch.Tensor],
    labels: torch.Tensor,
    places: torch.Tensor | None = None,
) -> ScoredTokens:
    """Run a causal language model, and its head on the scored tokens alone.

    The model's forward pass is made whole, through whatever wraps it; only its head sees one position a row, and is
    applied to the others as they are asked for. Where a model does something to its head's values that is not known
    here, its logits are taken as they come.

    Parameters
    ----------
    model : torch.nn.Module
        With a head that ``get_output_embeddings`` names; adapted, wrapped, in training or not.
    inputs : mapping of str to tensor[B, L]
        What the model takes, without labels.
    labels : int64 tensor of shape [B, L]
        See `scored_positions`.
    places : int64 tensor of shape [n], optional
        Those of the labels (`scored_places`), where they are known: then no device is asked for them.

    Raises
    ------
    InputError
        As `scored_positions`.
    """
    places = _places(labels, places)
    bare = bare_model(model)
    base = bare.get_base_model() if isinstance(bare, PeftModel) else bare
    head = base.get_output_embeddings() if hasattr(base, "get_output_embeddings") else None
    after = None if head is None else _after_head(base)
    if head is None or after is None or not _has_plain_head(bare, base, head, after, inputs):
        return ScoredTokens.of_logits(model(**inputs).logits, labels, places)
    with _one_position(head) as seen:
        outputs = model(**inputs)
    states, casts = seen[0]

    def logits_of(chunk: torch.Tensor) -> torch.Tensor:
        with casts():
            return after(head(chunk))

    return ScoredTokens._at(places, states, logits_of, labels, outputs.logits.shape[-1])


def _after_head(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """What transformers' models do to the values of their head, by what their configuration says.

    None where it says more than one thing.
    """
    config = getattr(model, "config", None)
    if config is None:
        return lambda values: values
    text = config.get_text_config()
    cap, factor, divisor = (
        getattr(text, name, None) for name in ("final_logit_softcapping", "logit_scale", "logits_scaling")
    )
    if sum(value is not None for value in (cap, factor, divisor)) > 1:
        return None
    if cap is not None:
        return lambda values: torch.tanh(values / cap) * cap
    if factor is not None:
        return lambda values: values * factor
    if divisor is not None:
        return lambda values: values / divisor
    return lambda values: values


def _has_plain_head(
    bare: nn.Module,
    base: nn.Module,
    head: nn.Module,
    after: Callable[[torch.Tensor], torch.Tensor],
    inputs: Mapping[str, torch.Tensor],
) -> bool:
    """Whether the logits are what `after` makes of the head's values: tried once for each model, on one short row."""
    if base not in _PLAIN_HEADS:
        # A sharded head has its weights during the model's own pass alone.
        _PLAIN_HEADS[base] = not any("FSDP" in name or "FullySharded" in name for name in _class_names(bare)) and (
            _head_gives_logits(bare, head, after, {name: values[:1, :2] for name, values in inputs.items()})
        )
    return _PLAIN_HEADS[base]


def _class_names(model: nn.Module) -> set[str]:
    return {type(module).__name__ for module in model.modules()}


def _head_gives_logits(
    bare: nn.Module,
    head: nn.Module,
    after: Callable[[torch.Tensor], torch.Tensor],
    inputs: Mapping[str, torch.Tensor],
) -> bool:
    with evaluation_mode(bare), torch.no_grad(), _one_position(head, kept=slice(None)) as seen:
        logits = bare(**inputs).logits
        if len(seen) != 1 or seen[0][0].ndim != 3:
            return False
        states, casts = seen[0]
        with casts():
            again = after(head(states))
    return again.shape == logits.shape and torch.allclose(again.float(), logits.float(), 1e-3, 1e-4)


@contextmanager
def _one_position(head: nn.Module, kept: slice = slice(0, 1)) -> Iterator[list[tuple[torch.Tensor, Callable]]]:
    """Inside, `head` sees these positions of what it is given; yields what that was, and the casts it was under."""
    seen: list[tuple[torch.Tensor, Callable]] = []

    def look(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[torch.Tensor]:
        states = arguments[0]
        kind = states.device.type
        enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        seen.append((states, lambda: torch.autocast(kind, dtype=dtype, enabled=enabled)))
        return (states[:, kept],)

    handle = head.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        handle.remove()
