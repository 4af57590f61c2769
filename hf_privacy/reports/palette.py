"""One palette for every plot: what an attack, or a side of the split, looks like wherever it is drawn."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any

# Okabe & Ito (2008), colours told apart under every colour-vision deficiency; their yellow is too faint on white.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#7F7F7F"
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, GREY)
LINES: tuple[Any, ...] = ("-", "--", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (9, 2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
INK, GUESSING = "#333333", "#8A8A8A"

# By colour, in the order of the lines. What is often drawn together stands in different rows.
_ATTACKS = {
    BLUE: ("loss", "loss_sum", "attack_p", "lira_global", "lowercase"),
    VERMILLION: ("lira", "attack_r", "curvature_nll", "recall", "token_lira"),
    GREEN: ("rmia", "rmia_offline", "min_k", "min_k_plus_plus", "surp"),
    PURPLE: ("base", "base_calibration", "reference_difference", "shadow_classifier", "combined_features"),
    ORANGE: ("curvature", "curvature_online", "lira_shrunk", "window_comparison", "window_comparison_references"),
    SKY: ("confidence", "entropy", "modified_entropy", "modified_entropy_per_class", "lira_per_example"),
    BLACK: (
        "lira_offline", "lira_global_offline", "lira_shrunk_offline", "lira_per_example_offline", "token_lira_offline",
    ),
    GREY: ("quantile_regression", "label_only", "boundary_distance", "zlib", "length"),
}  # fmt: skip
_SAME_AS = {
    "lira_pooled": "lira",
    "lira_pooled_offline": "lira_offline",
    "token_quantile_regression": "quantile_regression",
}
# Attacks of the user's own have lines that none of ours has.
_OWN_LINES: tuple[Any, ...] = ((0, (3, 1)), (0, (9, 2, 3, 2)))
_ALL_LINES = (*LINES, *_OWN_LINES)
_PLACES = {
    name: (COLOURS.index(colour), line) for colour, names in _ATTACKS.items() for line, name in enumerate(names)
}
_OWN_PLACES = [
    (colour, len(LINES) + line) for line in range(len(_OWN_LINES)) for colour in range(len(COLOURS))
]  # fmt: skip


def _look(colour: int, line: int) -> dict[str, Any]:
    # No two of these share colour and line, nor, where colours are not seen, line and marker.
    marker = MARKERS[(colour + line) % len(MARKERS)]
    return {"color": COLOURS[colour], "linestyle": _ALL_LINES[line], "marker": marker}


def attack_looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give colour, line and marker of each attack of a plot, by its name; of two attacks never the same.

    The look of an attack is the same in every plot. Attacks that this package does not know get lines of their own, by
    their names; where two of these would be alike, the later one gets the next that is free.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    dict of str to dict
        ``color``, ``linestyle`` and ``marker``, as matplotlib takes them.

    Examples
    --------
    >>> attack_looks(["rmia", "lira"])["lira"] == attack_looks(["lira"])["lira"]
    True
    """
    places: dict[str, tuple[int, int]] = {}
    for name in dict.fromkeys(names):
        known = _PLACES.get(_SAME_AS.get(name, name))
        first = zlib.crc32(name.encode()) % len(_OWN_PLACES)
        candidates = ([known] if known else []) + _OWN_PLACES[first:] + _OWN_PLACES[:first]
        places[name] = next((place for place in candidates if place not in places.values()), candidates[0])
    return {name: _look(*place) for name, place in places.items()}


# What was trained on and what was not, in every plot that tells them apart; the base checkpoint's are lighter.
SIDES: dict[str, dict[str, Any]] = {
    "members": {"color": VERMILLION, "linestyle": "-", "marker": "o"},
    "heldout": {"color": BLUE, "linestyle": "--", "marker": "s"},
    "base_members": {"color": ORANGE, "linestyle": "-.", "marker": "^"},
    "base_heldout": {"color": SKY, "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "D"},
}
# Accuracy on inputs as they are and as an adversarial attack has changed them, by the attack's name.
_INPUTS: dict[str, dict[str, Any]] = {
    "clean": {"color": BLACK, "marker": "o"},
    "pgd": {"color": BLUE, "marker": "s"},
    "autoattack": {"color": ORANGE, "marker": "^"},
}


def input_looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Give colour and marker of the accuracy on clean inputs and under each adversarial attack, by its name.

    Examples
    --------
    >>> input_looks(["clean"])
    {'clean': {'color': '#000000', 'marker': 'o'}}
    """
    names = list(names)
    others = attack_looks(name for name in names if name not in _INPUTS)
    return {name: _INPUTS.get(name) or {key: others[name][key] for key in ("color", "marker")} for name in names}
