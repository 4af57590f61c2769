"""The attacks of an audit, named once: titles, axes, needs. It is read where an attack is only named, and is light.

The arithmetic of each is in `hf_privacy.attacks`; `hf_privacy.auditing.scores` makes them, in this order.
"""

from __future__ import annotations

from typing import NamedTuple


class Attack(NamedTuple):
    """What is to be known of an attack before it is made.

    Attributes
    ----------
    title : str
        In words; its variant is added where it has any.
    axis : str
        What its score is, and in which unit.
    paper : str
        Where it comes from.
    needs : tuple of str
        What of a table of signals it needs beyond the target's own signals: "references", "labels", "base" (signals of
        the checkpoint before fine-tuning), "curvature", or an extra signal.
    short : str, optional
        For the head of a column; by default the title.
    """

    title: str
    axis: str
    paper: str
    needs: tuple[str, ...] = ()
    short: str | None = None


_ML_LEAKS, _CALIBRATION, _LIRA = "arXiv 1806.01246", "arXiv 2111.08440", "arXiv 2112.03570"
_ENHANCED, _RMIA, _SYSTEMATIC = "arXiv 2111.09679", "arXiv 2312.03262", "arXiv 2003.10595"
_LABEL_ONLY, _CURVATURE = "arXiv 2007.14321", "arXiv 2407.02747"

_WITH = ("references",)

ATTACKS = {
    "loss": Attack("LOSS", "log p(true class) [nats]", "arXiv 1709.01604"),
    "confidence": Attack("Confidence", "p(true class)", _ML_LEAKS),
    "entropy": Attack("Entropy", "minus entropy [nats]", _ML_LEAKS),
    "modified_entropy": Attack("Modified entropy", "minus modified entropy [nats]", _SYSTEMATIC),
    "attack_p": Attack("Attack-P", "share of population losses above the example's", _ENHANCED),
    "base_calibration": Attack(
        "LOSS calibrated by the base checkpoint", "gain over the base checkpoint", _CALIBRATION, ("base",)),
    "curvature": Attack("Input curvature", "minus log curvature", _CURVATURE, ("curvature",)),
    "quantile_regression": Attack(
        "Quantile regression", "standing among predicted quantiles", "arXiv 2307.03694", ("features",)),
    "label_only": Attack("Label-only", "share of augmented queries classified right", _LABEL_ONLY,
                         ("augmented_correct",), "Label-only"),
    "boundary_distance": Attack("Distance to the decision boundary (DeepFool)", "distance to the decision boundary",
                                _LABEL_ONLY, ("boundary_distance",)),
    "lira": Attack("LiRA", "log-likelihood ratio [nats]", _LIRA, _WITH, "LiRA"),
    "lira_offline": Attack("LiRA", "evidence against non-membership", _LIRA, _WITH, "LiRA offline"),
    "rmia": Attack("RMIA", "share of population examples dominated", _RMIA, _WITH, "RMIA"),
    "rmia_offline": Attack("RMIA", "share of population examples dominated", _RMIA, _WITH, "RMIA offline"),
    "attack_r": Attack("Attack-R", "share of OUT references with a higher loss", _ENHANCED, _WITH),
    "base": Attack("BASE", "log-ratio to the references' mean [nats]", "arXiv 2505.24089", _WITH),
    "shadow_classifier": Attack(
        "Shadow-trained classifier", "log-odds of the shadow-trained classifier", "arXiv 1610.05820", _WITH),
    "modified_entropy_per_class": Attack(
        "Modified entropy (thresholds per class)", "entropy under the class's threshold [nats]", _SYSTEMATIC,
        ("references", "labels")),
    "curvature_online": Attack(
        "Curvature (likelihood ratio)", "log-likelihood ratio of log curvature [nats]", _CURVATURE,
        ("references", "curvature"), "Curvature"),
    "curvature_nll": Attack(
        "Curvature (NLL)", "NLL of log curvature, OUT less IN [nats]", _CURVATURE, ("references", "curvature"),
        "Curvature NLL"),
}  # fmt: skip

EXTRA_ATTACKS = ("quantile_regression", "label_only", "boundary_distance")  # what ``extra_attacks`` asks for
WITHOUT_REFERENCES = tuple(name for name, attack in ATTACKS.items() if "references" not in attack.needs)
