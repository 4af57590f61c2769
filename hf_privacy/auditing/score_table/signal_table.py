"""From a table of scores to the table of signals that attacks read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hf_privacy.auditing.score_table.columns import (
    class_numbers,
    own_classes,
    reference_columns,
    score_columns,
)
from hf_privacy.auditing.score_table.read import fingerprint, truths
from hf_privacy.auditing.score_table.signals import class_signals, true_class_signals
from hf_privacy.auditing.score_table.values import log_scores, numbers, true_class
from hf_privacy.auditing.table import SignalTable
from hf_privacy.data import MembershipSplit
from hf_privacy.errors import InputError


@dataclass(frozen=True)
class Scored:
    """What the rows of a table say.

    Attributes
    ----------
    signals : dict of str to float64 array of shape [N]
    labels : int64 array of shape [N], optional
    classes : sequence of str
        Their names; none without labels.
    ended : bool array of shape [N]
        Rows with a probability of exactly 0, or of the true class of exactly 0 or 1.
    references : sequence of (dict of str to float64 array of shape [N], bool array of shape [N])
        Signals of each reference model, and what it was trained on.
    """

    signals: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    classes: Sequence[str]
    ended: np.ndarray
    references: Sequence[tuple[Mapping[str, np.ndarray], np.ndarray]]

    @property
    def has_every_class(self) -> bool:
        """Whether the table scores every class, and not the true one alone."""
        return "correct" in self.signals

    def fingerprint(self) -> str:
        """SHA-256 over all that the attacks read of the table, in its order."""
        columns = [self.signals["phi"], self.signals["loss"], *(values["loss"] for values, _ in self.references)]
        return fingerprint(columns if self.labels is None else [*columns, self.labels])

    def signal_table(self, split: MembershipSplit) -> SignalTable:
        """The pool's rows, then the population's."""
        order = np.concatenate([split.pool, split.population])
        named = {
            name: [values[name][order] for values, _ in self.references] for name in ("phi", "loss", "probability")
        }
        return SignalTable(
            target={name: values[None, order] for name, values in self.signals.items()},
            membership=split.membership,
            labels=None if self.labels is None else self.labels[order],
            references={name: np.stack(rows)[None] for name, rows in named.items()} if self.references else None,
            reference_membership=np.stack([held[order] for _, held in self.references]) if self.references else None,
            groups=split.pool_groups,
        )


def scored_rows(table: pa.Table, *, columns: Sequence[str], kind: str | None, label: str, asked: bool) -> Scored:
    """Read scores, labels and reference models of a table.

    Parameters
    ----------
    table : pyarrow.Table
    columns, kind
        As `hf_privacy.auditing.audit_scores` takes them.
    label : str
        The column of the true class.
    asked : bool
        Whether the user named it; of scores of the true class alone it need not be there.

    Raises
    ------
    InputError
    """
    found = score_columns(table, columns=columns, kind=kind)
    values = numbers(table, found)
    labels, classes = None, list(found.classes)
    if values.ndim == 2:
        n_classes = values.shape[1]
        scores, ended = log_scores(values, found.kind)
        labels = class_numbers(table, label, classes, n_classes)
        classes = classes or [str(number) for number in range(n_classes)]
        signals = class_signals(scores, labels)
    else:
        log_p, log_others, ended = true_class(values, found.kind)
        signals = true_class_signals(log_p, log_others)
        if asked or label in table.column_names:
            labels, classes = own_classes(table, label)
    references = []
    for score, member in reference_columns(table):
        held = truths(table, member, argument="reference membership")
        made = numbers(table, score)
        if made.ndim != 1:
            raise InputError(f"column {score.names[0]!r} holds lists: of reference models pass the true class's score")
        references.append((true_class_signals(*true_class(made, score.kind)[:2]), held))
    return Scored(signals, labels, classes, ended, references)
