"""The examination of extraction: rates of members, of held-out rows, and of the base model for both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from hf_privacy.attacks import containment, greedy_extraction, log_queries_needed, longest_common_run, repeats_of_rows
from hf_privacy.attacks.extraction import CHANCES, QUERIES
from hf_privacy.auditing.examinations.extraction.parts import AskedParts, asked_parts
from hf_privacy.auditing.examinations.extraction.rates import compared, share_of
from hf_privacy.auditing.groups import FEWEST, spread
from hf_privacy.errors import InputError
from hf_privacy.recipe import ExtractionSettings
from hf_privacy.signals import greedy_continuations, sampling_log_prob
from hf_privacy.signals.batches import rows_a_pass

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase

# How often the asked-for part stands in the training set: from, to (none: or more).
_REPEATS = ((1, 1), (2, 4), (5, None))


class Extraction:
    """The examination of causal language models: whether the rest of a text comes back."""

    name = "extraction"

    def __init__(self) -> None:
        """With nothing asked for yet."""
        self._parts: AskedParts | None = None

    def check(self, case: AuditCase) -> None:
        """Refuse a model with classes, and rows too short to be given and asked for."""
        asked = case.settings.extraction
        if asked is False:
            return
        if case.task.has_classes:
            if asked is not None:
                raise InputError(
                    f"extraction is {asked!r} and the model is for {case.task.name}: only a causal language model is "
                    "asked for the rest of a text; leave it out"
                )
            return
        pool = case.evaluated.subset(np.arange(len(case.split.pool)))
        parts = asked_parts(pool, ExtractionSettings.of(asked))
        sides = [int(np.count_nonzero(case.split.membership[parts.rows] == side)) for side in (True, False)]
        if min(sides) == 0:
            raise InputError(
                f"extraction finds nothing to ask for: behind the prefix {sides[0]:,} members and {sides[1]:,} "
                "held-out rows have a scored token; lower extraction.prefix_tokens, or pass extraction: false"
            )
        self._parts = parts

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``extraction``."""
        if self._parts is None:
            return None
        before = case.seconds["extraction"]
        with case.timed("extraction"):
            section = _section(case, self._parts, ExtractionSettings.of(case.settings.extraction))
        return {"extraction": {**section, "seconds": case.seconds["extraction"] - before}}


def _section(case: AuditCase, parts: AskedParts, settings: ExtractionSettings) -> dict[str, Any]:
    table, confidence = case.table, case.settings.confidence
    assert table.tokens is not None
    membership = table.membership[parts.rows]
    groups = None if case.split.groups is None else case.split.groups[case.split.pool][parts.rows]
    comparison = {"membership": membership, "groups": groups, "confidence": confidence}
    models = {"target": table.tokens.target, "base": table.tokens.base}
    greedy = {
        name: greedy_extraction(tokens.greedy[parts.places], parts.offsets)
        for name, tokens in models.items()
        if tokens is not None
    }
    asked = {"target": _asked(case, case.model, parts, settings)}
    if "base" in greedy:
        with case.base() as base:
            asked["base"] = _asked(case, base, parts, settings)
    needed = {
        (name, p): log_queries_needed(found["log_prob"], parts.offsets, p=p)
        for name, found in asked.items()
        for p in CHANCES
    }
    return {
        "prefix_tokens": settings.prefix_tokens,
        "suffix_tokens": settings.suffix_tokens,
        "mean_prefix_tokens": float(parts.starts.mean()),
        "mean_suffix_tokens": float(parts.lengths.mean()),
        "n_left_out": len(case.split.pool) - len(parts.rows),
        "confidence": confidence,
        "greedy": compared(greedy, **comparison),
        "sampling": {
            "temperature": float(settings.temperature),
            "top_k": settings.top_k,
            "top_p": None if settings.top_p is None else float(settings.top_p),
            "curve": [
                {
                    "n": n,
                    "p": p,
                    **compared({name: needed[name, p] <= np.log(n) + 1e-12 for name in asked}, **comparison),
                }
                for p in CHANCES
                for n in QUERIES
            ],
        },
        "repeats": _by_repeats(case, parts, greedy["target"], **comparison),
        "overlap": _overlaps(case, parts, asked, membership),
    }


def _asked(case: AuditCase, model: torch.nn.Module, parts: AskedParts, settings: ExtractionSettings) -> dict[str, Any]:
    """What a model is asked beside the table's signals: probabilities under the scheme, and text on some rows."""
    pool = case.evaluated.subset(np.arange(len(case.split.pool)))
    batch_size = rows_a_pass(pool, case.settings.batch_size)
    passes = {"batch_size": batch_size, "progress": case.show_progress}
    scheme = {"temperature": settings.temperature, "top_k": settings.top_k, "top_p": settings.top_p}
    log_prob = sampling_log_prob(model, pool, **scheme, **passes)[parts.places]
    if not settings.generated:
        return {"log_prob": log_prob, "overlap": None}
    membership = case.split.membership[parts.rows]
    chosen = np.concatenate([spread(np.flatnonzero(membership == side), settings.generated) for side in (True, False)])
    ids, tokens, offsets = pool.column("input_ids").numpy(), parts.tokens(pool), parts.offsets
    prefixes = [ids[parts.rows[part], : parts.starts[part]] for part in chosen]
    true = [tokens[offsets[part] : offsets[part + 1]] for part in chosen]
    written = greedy_continuations(model, prefixes, n_tokens=int(parts.lengths[chosen].max()), **passes)
    made = [text[: len(wanted)] for text, wanted in zip(written, true, strict=True)]
    runs = longest_common_run(made, true)
    overlap = {
        "longest_run": runs.astype(np.float64),
        "longest_run_share": runs / parts.lengths[chosen],
        "containment": containment(made, true),
    }
    return {"log_prob": log_prob, "overlap": overlap, "chosen": chosen}


def _overlaps(
    case: AuditCase, parts: AskedParts, asked: Mapping[str, dict[str, Any]], membership: np.ndarray
) -> dict[str, Any] | None:
    """Means over the rows that text was generated on, by side and model."""
    if asked["target"]["overlap"] is None:
        return None
    found: dict[str, Any] = {"base_members": None, "base_heldout": None}
    for name, answers in asked.items():
        inside = membership[answers["chosen"]]
        for side, there in (("members", inside), ("heldout", ~inside)):
            means = {key: float(values[there].mean()) for key, values in answers["overlap"].items()}
            found[side if name == "target" else f"base_{side}"] = {**means, "n_examples": int(there.sum())}
    return found


def _by_repeats(
    case: AuditCase,
    parts: AskedParts,
    extracted: np.ndarray,
    *,
    membership: np.ndarray,
    groups: np.ndarray | None,
    confidence: float,
) -> list[dict[str, Any]]:
    """Rates of members by how often the part stands among the members'; none where none is repeated."""
    pool = case.evaluated.subset(np.arange(len(case.split.pool)))
    kept = np.flatnonzero(membership)
    tokens, offsets = parts.tokens(pool), parts.offsets
    places = np.concatenate([np.arange(offsets[part], offsets[part + 1]) for part in kept])
    counts = repeats_of_rows(tokens[places], np.concatenate([[0], np.cumsum(parts.lengths[kept])]))
    found = []
    for low, high in _REPEATS:
        there = kept[(counts >= low) & (counts <= (counts.max() if high is None else high))]
        if len(there) >= FEWEST:
            share = share_of(extracted[there], None if groups is None else groups[there], confidence=confidence)
            found.append({"k_from": low, "k_to": high, "members": share})
    return found if counts.max() > 1 else []
