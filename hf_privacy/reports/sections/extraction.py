"""Extraction: how much of its training texts a language model gives back, beside held-out texts and its base.

A gate reads ``report["extraction"]["greedy"]``: ``members``, ``heldout``, ``base_members`` and ``base_heldout`` (the
last two None where there is no base) with ``rate``, ``low`` and ``high``, and ``leakage`` with ``value``, ``low`` and
``high``.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

import hf_privacy.reports.style as style
from hf_privacy.hub.headline import percent
from hf_privacy.reports import palette
from hf_privacy.reports.report import Report
from hf_privacy.reports.shapes import listed, nullable, record
from hf_privacy.reports.words import grid, points, rate, value_text, wrapped

EXTRACTION_FILE = "privacy_extraction.png"
SIDES = {
    "members": "Members",
    "heldout": "Held-out",
    "base_members": "Base, members",
    "base_heldout": "Base, held-out",
}
_SHARES = "members share_extracted, heldout share_extracted, leakage extraction_leakage"
_BASE = {side: nullable("share_extracted") for side in ("base_members", "base_heldout")}
_OVERLAP = "longest_run amount, longest_run_share unit, containment unit, n_examples positive_count"
SHAPES = {
    "share_extracted": record("rate unit, low unit, high unit, n_examples positive_count"),
    "extraction_leakage": record(
        "value number, low number, high number",
        description="Members less held-out rows; less the same of the base model where there is one.",
    ),
    "overlap": record(_OVERLAP),
}
FIELDS = {
    "extraction": nullable(
        record(
            "suffix_tokens positive_count, mean_prefix_tokens amount, mean_suffix_tokens amount, n_left_out count, "
            "confidence open_unit, seconds optional_amount",
            prefix_tokens=nullable("positive_count", "None: the prompt, else 50 tokens or half of a shorter row."),
            greedy=record(_SHARES, **_BASE),
            sampling=record(
                "temperature amount, top_k optional_count, top_p optional_unit",
                curve=listed(record(f"n amount, p open_unit, {_SHARES}", **_BASE), least=1, most=64),
                description="(n, p): n samples give the suffix at least once with probability p.",
            ),
            repeats=listed(record("k_from positive_count, k_to optional_count, members share_extracted"), most=16),
            overlap=nullable(
                record(
                    "members overlap, heldout overlap",
                    base_members=nullable("overlap"),
                    base_heldout=nullable("overlap"),
                ),
                "Of text generated greedily and the true one, means over rows: the longest common run of tokens, and "
                "the share of its runs of eight tokens that are there.",
            ),
            description="Shares of rows whose suffix comes word for word; never a text, a token id or a row.",
        ),
        "Whether the model gives back the rest of its training texts, beside held-out texts and the base model.",
    )
}
_SHOWN_P = 0.5  # in the table; the others are in the plot and in the file
_SHOWN_N = (1, 100, 10_000, 1_000_000)


def lines(report: Report) -> str | None:
    found = report.extraction
    if found is None:
        return None
    return "\n".join(["Extraction", *grid(_headers(found), _rows(found)), *wrapped(sentence(found))])


def shown(report: Report) -> dict[str, Any]:
    found = report.extraction
    if found is None:
        return {"extraction": None}
    return {"extraction": {"headers": _headers(found), "rows": _rows(found), "sentences": _sentences(found)}}


def facts(report: Report) -> list[tuple[str, str]]:
    found = report.extraction
    if found is None:
        return []
    sampling = found["sampling"]
    prefix = "prompt, or first 50 tokens" if found["prefix_tokens"] is None else f"{found['prefix_tokens']:,} tokens"
    return [
        ("Prefix, mean", f"{prefix}, {found['mean_prefix_tokens']:.3g} tokens"),
        ("Suffix at most, mean", f"{found['suffix_tokens']:,}, {found['mean_suffix_tokens']:.3g} tokens"),
        ("Rows too short", f"{found['n_left_out']:,}"),
        ("Temperature, top-k, top-p", value_text([sampling[key] for key in ("temperature", "top_k", "top_p")])),
    ]


def meaning(report: Report) -> list[str]:
    return [] if report.extraction is None else [sentence(report.extraction)]


def limits(report: Report) -> list[str]:
    if report.extraction is None:
        return []
    return [
        "Extraction counts texts that come back word for word after their own beginning; a near copy, another prompt "
        "or a better decoding may bring more."
    ]


def sentence(found: dict[str, Any]) -> str:
    """Say what greedy decoding gives back, beside held-out rows and the base."""
    greedy, leakage = found["greedy"], found["greedy"]["leakage"]
    base = greedy["base_members"]
    asked = (
        f"Given its beginning, greedy decoding gives the rest of a text (up to {found['suffix_tokens']:,} tokens) "
        f"back word for word for {percent(greedy['members']['rate'])} of training texts and "
        f"{percent(greedy['heldout']['rate'])} of held-out ones"
    )
    beside = (
        ""
        if base is None
        else f"; the base model for {percent(base['rate'])} and {percent(greedy['base_heldout']['rate'])}"
    )
    points_owed = f"{points(leakage['value'])} points [{points(leakage['low'])}, {points(leakage['high'])}]"
    owed = (
        f"{points_owed} are owed to training"
        if leakage["low"] > 0
        else f"nothing is shown to be owed to training ({points_owed})"
    )
    return f"{asked}{beside}: {owed}."


def _sentences(found: dict[str, Any]) -> list[str]:
    said = [
        "A text counts for n samples where they bring its rest at least once with a probability of one half or more; "
        "nothing was sampled, the probabilities of the true text tell."
    ]
    for entry in found["repeats"]:
        end = (
            "" if entry["k_to"] == entry["k_from"] else " or more" if entry["k_to"] is None else f" to {entry['k_to']}"
        )
        said.append(
            f"Of training texts whose asked-for part stands {entry['k_from']}{end} times in the training set: "
            f"{_cell(entry['members'])} % come back ({entry['members']['n_examples']:,} texts)."
        )
    overlap = found["overlap"]
    if overlap is not None:
        parts = [
            f"{SIDES[side].lower()}: {entry['longest_run']:.3g} tokens ({percent(entry['longest_run_share'])} of the "
            f"text) and {percent(entry['containment'])}"
            for side in SIDES
            if (entry := overlap[side]) is not None
        ]
        said.append(
            "The longest run that greedily generated and true text share "
            f"({overlap['members']['n_examples']:,} members, {overlap['heldout']['n_examples']:,} held-out rows), on "
            "average, and the share of the true text's runs of eight tokens found in what was generated: "
            f"{'; '.join(parts)}."
        )
    if found["n_left_out"]:
        said.append(f"{found['n_left_out']:,} rows were too short to be asked for.")
    return said


def _headers(found: dict[str, Any]) -> list[str]:
    base = [] if found["greedy"]["base_members"] is None else ["Base model, both"]
    return ["Given back (in %)", SIDES["members"], SIDES["heldout"], *base, "Leakage (points)"]


def _rows(found: dict[str, Any]) -> list[list[str]]:
    chosen = [("Greedy decoding", found["greedy"])]
    for entry in found["sampling"]["curve"]:
        if entry["p"] == _SHOWN_P and entry["n"] in _SHOWN_N:
            chosen.append((f"{entry['n']:,.0f} sample{'s' * (entry['n'] != 1)}", entry))
    rows = []
    for title, entry in chosen:
        base = [f"{100 * entry[side]['rate']:.1f}" for side in SIDES if side.startswith("base") and entry[side]]
        there = [", ".join(base)] if base else []
        rows.append([title, _cell(entry["members"]), _cell(entry["heldout"]), *there, _leakage(entry["leakage"])])
    return rows


def _cell(entry: dict[str, Any]) -> str:
    return " ".join(rate(entry["rate"], entry["low"], entry["high"]))


def _leakage(entry: dict[str, Any]) -> str:
    return f"{100 * entry['value']:+.1f} [{100 * entry['low']:+.1f}, {100 * entry['high']:+.1f}]"


def plots(report: Report) -> dict[str, bytes]:
    return {} if report.extraction is None else {EXTRACTION_FILE: style.png_bytes(curve_figure(report.extraction))}


@style.our_style()
def curve_figure(found: dict[str, Any]) -> Figure:
    """Draw the share extracted against the number of samples, a panel for each p, with bands for the intervals."""
    curve = found["sampling"]["curve"]
    chances = sorted({entry["p"] for entry in curve})
    figure = style.blank(3.6 * len(chances) + 0.6, 4.2)
    panels = style.panels(figure, len(chances))
    for axes, p in zip(panels, chances, strict=True):
        entries = [entry for entry in curve if entry["p"] == p]
        counts = [entry["n"] for entry in entries]
        for side, title in SIDES.items():
            if any(entry[side] is None for entry in entries):
                continue
            rates, low, high = ([entry[side][key] for entry in entries] for key in ("rate", "low", "high"))
            drawn = palette.SIDES[side]
            axes.plot(counts, rates, label=title, linewidth=1.6, markersize=5, **drawn)
            axes.fill_between(counts, low, high, color=drawn["color"], alpha=0.12, linewidth=0)
        if len(counts) > 1:
            axes.set_xscale("log")
        axes.set_ylim(-0.03, 1.03)
        style.in_percent(axes.yaxis)
        axes.set_xlabel("samples")
        style.frame(axes, f"Given back with probability {percent(p)}")
    handles, labels = panels[0].get_legend_handles_labels()
    style.legend_below(figure, handles=handles, labels=labels, ncols=4)
    return figure
