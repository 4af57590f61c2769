"""The blind baseline: can the split be told without the model?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from hf_privacy import attacks
from hf_privacy.data import TensorDataset
from hf_privacy.data.splits import MembershipSplit
from hf_privacy.errors import InputError
from hf_privacy.signals import flatten_inputs, text_features
from hf_privacy.statistics import auc, auc_interval

if TYPE_CHECKING:
    from hf_privacy.auditing.case import AuditCase

# Of each side: what `hf_privacy.attacks.blind_baseline` needs for its folds.
_FEWEST = 30
_FOLDS = 5
_FEWEST_GROUPS = 3


class BlindBaseline:
    """The examination of the split itself."""

    name = "blind_baseline"

    def check(self, case: AuditCase) -> None:
        """Any split can be tried."""

    def run(self, case: AuditCase) -> dict[str, Any] | None:
        """The report's ``blind_baseline``, and a caveat where the split can be told apart."""
        if not case.settings.blind_baseline:
            return None
        texts, base_loss = None, None
        if not case.task.has_classes:
            texts = whole_texts(case.data.subset(case.split.pool), _tokenizer(case))
            base = case.table.base  # the first to ask for the table has it made
            base_loss = None if base is None else base["loss"].mean(axis=0)[: len(case.split.pool)]
        with case.timed("signals"):
            found = blind_baseline(
                case.data, case.split, confidence=case.settings.confidence, texts=texts, base_loss=base_loss
            )
        if found is not None and found["differs"]:
            sees = "the texts and the base model's loss of them" if found.get("base_loss") else "only the inputs"
            case.caveats.append(
                f"Members and non-members can be told apart without the model: a classifier that sees {sees} "
                f"reaches an AUC of {found['auc']:.3f} [{found['auc_low']:.3f}, {found['auc_high']:.3f}]. The figures "
                "of the attacks may hold that difference of the data; draw the split at random."
            )
        return {"blind_baseline": found}


def blind_baseline(
    dataset: TensorDataset,
    split: MembershipSplit,
    *,
    confidence: float,
    seed: int = 0,
    texts: Sequence[str] | None = None,
    base_loss: np.ndarray | None = None,
) -> dict[str, Any] | None:
    """AUC of a classifier that tells members from non-members by their inputs alone.

    Rows of a language model are told apart by `hf_privacy.signals.text_features` and a random forest, other inputs by
    `hf_privacy.signals.flatten_inputs` and logistic regression. Of a split by groups, folds and interval are by group.

    Parameters
    ----------
    dataset : TensorDataset
        Every row ``split`` counts.
    split : MembershipSplit
    confidence : float
    seed : int
        Of the folds.
    texts : sequence of str, optional
        The whole text of each row of a language model's pool.
    base_loss : float array of shape [N], optional
        Of the pool, by the checkpoint before fine-tuning. If that has seen one side, the two differ for it.

    Returns
    -------
    dict or None
        None for fewer than 30 members or non-members, or 3 groups of either, which cannot train such a classifier.
        Otherwise the report's ``blind_baseline``: "auc", "auc_low", "auc_high", "confidence" and "differs", True where
        the interval lies above 0.5: then the figures of the attacks hold a difference of the data, not the model's;
        "base_loss", True where the classifier saw it.
    """
    n_members = int(split.membership.sum())
    n_groups = (
        _FOLDS + 1 if split.n_groups is None else min(split.n_groups[side] for side in ("members", "non_members"))
    )
    if min(n_members, len(split.pool) - n_members) < _FEWEST or n_groups < _FEWEST_GROUPS:
        return None
    pool = dataset.subset(split.pool)
    if dataset.row_classes is None and "input_ids" in dataset.column_names:
        features, classifier = text_features(pool, texts), "random_forest"
        if base_loss is not None:
            features = np.concatenate([features, base_loss[:, None].astype(np.float32)], axis=1)
    else:
        features, classifier = flatten_inputs(pool), "logistic"
    scores = attacks.blind_baseline(
        features,
        split.membership,
        n_folds=min(_FOLDS, n_groups - 1),
        classifier=classifier,
        seed=seed,
        groups=split.pool_groups,
    )
    low, high = auc_interval(scores, split.membership, confidence=confidence, groups=split.pool_groups)
    return {
        "auc": auc(scores, split.membership),
        "auc_low": low,
        "auc_high": high,
        "confidence": confidence,
        "differs": low > 0.5,
        **({} if base_loss is None else {"base_loss": True}),
    }


def whole_texts(dataset: TensorDataset, tokenizer: PreTrainedTokenizerBase | None) -> list[str] | None:
    """Each row as text, its prompt included; None where there is no tokenizer to say it."""
    if tokenizer is None:
        return None
    ids = dataset.column("input_ids")
    attended = dataset.column("attention_mask") > 0 if "attention_mask" in dataset.column_names else ids >= 0
    rows = [row[mask].tolist() for row, mask in zip(ids, attended, strict=True)]
    return tokenizer.batch_decode(rows, skip_special_tokens=True)


def _tokenizer(case: AuditCase) -> PreTrainedTokenizerBase | None:
    found = None if case.trainer is None else case.trainer.processing_class
    if found is None and case.folder is not None:
        with suppress(InputError):  # of tensors, a folder need not say what the tokens are
            found = case.task.load_processor(case.folder)
    return found if isinstance(found, PreTrainedTokenizerBase) else None
