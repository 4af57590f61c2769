"""The attacks that read the curvature of the loss in the inputs, where the table holds it."""

from __future__ import annotations

from hf_privacy import attacks
from hf_privacy.auditing.table import AttackScores, SignalTable

_FORMS = (
    ("curvature_online", "likelihood_ratio", "Curvature (likelihood ratio)"),
    ("curvature_nll", "nll", "Curvature (NLL)"),
)


def quick_curvature_scores(table: SignalTable) -> list[AttackScores]:
    """Flatness alone: training on an example flattens the loss around it, so lower curvature is likelier a member."""
    if "curvature" not in table.target:
        return []
    return [AttackScores("curvature", "Input curvature", -table.mean("curvature")[: table.n_pool])]


def reference_curvature_scores(table: SignalTable) -> list[AttackScores]:
    """Log curvature against that of the references with and without the example, in both forms of the paper.

    The variance is pooled, as LiRA's; two references leave an example one value a side, and then it is global.
    """
    if "curvature" not in table.target or not table.n_references:
        return []
    assert table.references is not None
    assert table.reference_membership is not None
    n = table.n_pool
    variance = "pooled" if table.n_references >= 4 else "global"
    return [
        AttackScores(
            name,
            title,
            attacks.curvature(
                table.target["curvature"][:, :n],
                table.references["curvature"][:, :, :n],
                table.reference_membership[:, :n],
                form=form,
                variance=variance,
            ),
            table.n_references,
            {"form": form, "variance": variance},
        )
        for name, form, title in _FORMS
    ]
