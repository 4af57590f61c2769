"""Names of the queries and optional signals of a table. Imports nothing, so that reading a store needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

# The example attacked through the model that is asked. It is a question of its own and enters no average.
ADVERSARIAL_QUERY = "adversarial"
QUERY_NAMES = ("identity", "flip", ADVERSARIAL_QUERY)


def clean_rows(queries: Sequence[str]) -> list[int]:
    """Rows of the queries that an average over queries is made of: all but the adversarial one.

    Where the adversarial query is the only one it is what there is, and stands for itself.

    Examples
    --------
    >>> clean_rows(["identity", "flip", "adversarial"]), clean_rows(["adversarial"])
    ([0, 1], [0])
    """
    rows = [row for row, query in enumerate(queries) if query != ADVERSARIAL_QUERY]
    return rows or list(range(len(queries)))


def curvature_signal_names(method: str) -> tuple[str, ...]:
    """Signals that curvature by this method adds: a logarithm, and the trace where the method gives it.

    Examples
    --------
    >>> curvature_signal_names("hvp"), curvature_signal_names("zero_order")
    (('curvature', 'curvature_trace'), ('curvature',))
    """
    return ("curvature",) if method == "zero_order" else ("curvature", "curvature_trace")
