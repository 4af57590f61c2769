"""The parts of a privacy report. Each is a module that knows all of its part, and gives what applies of

``FIELDS``, ``SHAPES``    its keys of the report with their shapes, and the shapes that it names
``lines(report)``         its lines in the terminal's table, None where the report lacks the part
``shown(report)``         the values that its fragments ``templates/sections/<name>.*.jinja`` show on page and card
``facts(report)``         its rows of names and values at the page's end
``meaning(report)``       sentences on what its figures mean; ``limits(report)``: on what they do not
``plots(report)``         its plots as PNG, by file name
``results(report, …)``    its entries of the card's ``model-index``

`SECTIONS` names them all. In which order they stand in table, page and card, these say.
"""

from __future__ import annotations

from hf_privacy.reports.sections import (
    attack_plots,
    attacks,
    blind_baseline,
    budgets,
    canaries,
    curves,
    defense,
    evidence,
    extraction,
    identity,
    leakage_share,
    memorization,
    memorization_plot,
    memorized,
    outside,
    robustness,
    slices,
    targets,
    tokens,
    unlearning,
    utility,
    verdict,
)  # fmt: skip

SECTIONS = (
    identity, verdict, tokens, attacks, defense, evidence, curves, attack_plots, targets, budgets, blind_baseline,
    extraction, canaries, slices,
    utility, memorized, memorization, memorization_plot, robustness, leakage_share, unlearning, outside,
)  # fmt: skip
