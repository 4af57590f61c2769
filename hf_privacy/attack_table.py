"""The attacks of an audit, named once: titles, axes, needs. It is read where an attack is only named, and is light.

The arithmetic of each is in `hf_privacy.attacks`; `hf_privacy.auditing.scores` makes them, in this order.
"""

from __future__ import annotations

from collections.abc import Iterable
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
        What of a table of signals it needs beyond the target's loss: "references", "in_references" (every example in
        the training set of one at least), "reference_signals" (theirs are all that the target has), "labels" (of
        classes), "base" (signals of the checkpoint before fine-tuning), "tokens" (of a language model), "texts", or
        the name of a further signal.
    short : str, optional
        For the head of a column; by default the title.
    control : bool
        Knows nothing of the model: a row to read the others beside, and no evidence of leakage. It is never the
        strongest attack, and neither the evidence nor the gate counts it.
    token_axis : str, optional
        The axis of a language model, where it is another.
    """

    title: str
    axis: str
    paper: str
    needs: tuple[str, ...] = ()
    short: str | None = None
    control: bool = False
    token_axis: str | None = None


_ML_LEAKS, _CALIBRATION, _LIRA = "arXiv 1806.01246", "arXiv 2111.08440", "arXiv 2112.03570"
_ENHANCED, _RMIA, _SYSTEMATIC = "arXiv 2111.09679", "arXiv 2312.03262", "arXiv 2003.10595"
_LABEL_ONLY, _CURVATURE, _QUANTILES = "arXiv 2007.14321", "arXiv 2407.02747", "arXiv 2307.03694"
_EXTRACTING, _WINDOWS, _TOKENS = "arXiv 2012.07805", "arXiv 2601.02751", "arXiv 2506.05126"

_WITH, _CLASSES = ("references",), ("labels",)
_EVERY_SIGNAL = ("references", "labels", "reference_signals")

ATTACKS = {
    "loss": Attack(
        "LOSS", "log p(true class) [nats]", "arXiv 1709.01604", token_axis="log p a token, mean [nats]"),
    "confidence": Attack("Confidence", "p(true class)", _ML_LEAKS, _CLASSES),
    "entropy": Attack("Entropy", "minus entropy [nats]", _ML_LEAKS, ("labels", "entropy")),
    "modified_entropy": Attack(
        "Modified entropy", "minus modified entropy [nats]", _SYSTEMATIC, ("labels", "modified_entropy")),
    "attack_p": Attack("Attack-P", "share of population losses above the example's", _ENHANCED),
    "base_calibration": Attack(
        "LOSS calibrated by the base checkpoint", "gain over the base checkpoint", _CALIBRATION, ("base",)),
    "curvature": Attack("Input curvature", "minus log curvature", _CURVATURE, ("curvature",)),
    "quantile_regression": Attack(
        "Quantile regression", "standing among predicted quantiles", _QUANTILES, ("features",)),
    "label_only": Attack("Label-only", "share of augmented queries classified right", _LABEL_ONLY,
                         ("augmented_correct",), "Label-only"),
    "boundary_distance": Attack("Distance to the decision boundary (DeepFool)", "distance to the decision boundary",
                                _LABEL_ONLY, ("boundary_distance",)),
    "loss_sum": Attack("LOSS (sum over tokens)", "log p(row) [nats]", "arXiv 1709.01604", ("tokens",)),
    "min_k": Attack("Min-K %", "log p of the least likely tokens [nats]", "arXiv 2310.16789", ("tokens",)),
    "min_k_plus_plus": Attack(
        "Min-K %++", "standard score of the least likely tokens", "arXiv 2404.02936", ("tokens",)),
    "surp": Attack("SURP", "log p of surprising tokens [nats]", "arXiv 2407.21248", ("tokens",)),
    "zlib": Attack("zlib", "minus loss a compressed byte [nats]", _EXTRACTING, ("texts",)),
    "lowercase": Attack(
        "Lowercase", "minus loss, as a share of the lowered text's", _EXTRACTING, ("lowercase_loss",)),
    "recall": Attack("ReCaLL", "loss behind a prefix, as a share of the loss", "arXiv 2406.15968", ("recall_loss",)),
    "window_comparison": Attack("Window comparison with the base checkpoint (WBC)",
                                "share of windows ahead of the base checkpoint", _WINDOWS, ("tokens", "base"), "WBC"),
    "token_quantile_regression": Attack(
        "Quantile regression on base loss, length and zlib", "standing among predicted quantiles", _QUANTILES,
        ("tokens",), "Quantile regression"),
    "length": Attack("Length alone (control)", "minus number of tokens", "", ("tokens",), "Length", control=True),
    "lira": Attack("LiRA", "log-likelihood ratio [nats]", _LIRA, ("references", "in_references"), "LiRA"),
    "lira_offline": Attack("LiRA", "evidence against non-membership", _LIRA, _WITH, "LiRA offline"),
    "rmia": Attack("RMIA", "share of population examples dominated", _RMIA, ("references", "in_references"), "RMIA"),
    "rmia_offline": Attack("RMIA", "share of population examples dominated", _RMIA, _WITH, "RMIA offline"),
    "attack_r": Attack("Attack-R", "share of OUT references with a higher loss", _ENHANCED, _WITH),
    "base": Attack("BASE", "log-ratio to the references' mean [nats]", "arXiv 2505.24089", _WITH),
    "shadow_classifier": Attack(
        "Shadow-trained classifier", "log-odds of the shadow-trained classifier", "arXiv 1610.05820", _EVERY_SIGNAL),
    "modified_entropy_per_class": Attack(
        "Modified entropy (thresholds per class)", "entropy under the class's threshold [nats]", _SYSTEMATIC,
        _EVERY_SIGNAL),
    "curvature_online": Attack(
        "Curvature (likelihood ratio)", "log-likelihood ratio of log curvature [nats]", _CURVATURE,
        ("references", "curvature"), "Curvature"),
    "curvature_nll": Attack(
        "Curvature (NLL)", "NLL of log curvature, OUT less IN [nats]", _CURVATURE, ("references", "curvature"),
        "Curvature NLL"),
    "reference_difference": Attack("LOSS calibrated by the references", "gain over the OUT references [nats]",
                                   _CALIBRATION, ("references", "tokens"), "Reference difference"),
    "window_comparison_references": Attack(
        "Window comparison with the references (WBC)", "share of windows ahead of the OUT references", _WINDOWS,
        ("references", "tokens"), "WBC, references"),
    "token_lira": Attack("Token LiRA", "log-likelihood ratio [nats]", _TOKENS, ("references", "tokens"), "Token LiRA"),
    "token_lira_offline": Attack("Token LiRA", "evidence against non-membership", _TOKENS, ("references", "tokens"),
                                 "Token LiRA offline"),
    "combined_features": Attack(
        "Combined features (shadow-trained)", "log-odds of the shadow-trained classifier", "arXiv 1610.05820",
        ("references", "tokens"), "Combined features"),
}  # fmt: skip

EXTRA_ATTACKS = ("quantile_regression", "label_only", "boundary_distance")  # what ``extra_attacks`` asks for
WITHOUT_REFERENCES = tuple(name for name, attack in ATTACKS.items() if "references" not in attack.needs)


def is_control(name: str) -> bool:
    """Whether a row of the table, by its name, is a control and no evidence of leakage.

    Examples
    --------
    >>> is_control("length"), is_control("loss"), is_control("module:own")
    (True, False, False)
    """
    return name in ATTACKS and ATTACKS[name].control


def compares_with_base(name: str) -> bool:
    """Whether an attack, by its name, holds the target against the checkpoint it was fine-tuned from.

    Examples
    --------
    >>> compares_with_base("window_comparison"), compares_with_base("loss"), compares_with_base("module:own")
    (True, False, False)
    """
    return name in ATTACKS and "base" in ATTACKS[name].needs


def axis_of(name: str, *, made: Iterable[str]) -> str:
    """What the scores of an attack are, among all that were made on one model: those of tokens are a language model's.

    Examples
    --------
    >>> axis_of("loss", made=["loss"]), axis_of("loss", made=["loss", "min_k"]), axis_of("module:own", made=[])
    ('log p(true class) [nats]', 'log p a token, mean [nats]', 'score')
    """
    if name not in ATTACKS:
        return "score"
    attack = ATTACKS[name]
    of_tokens = any(other in ATTACKS and "tokens" in ATTACKS[other].needs for other in made)
    return attack.token_axis if attack.token_axis and of_tokens else attack.axis
