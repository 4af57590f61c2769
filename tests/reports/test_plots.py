"""PNG files of a report."""

from __future__ import annotations

import copy
import io
import subprocess
import sys

import matplotlib
import numpy as np
from PIL import Image

from hf_privacy.reports import curve_of, png_bytes, roc_figure, scores_figure
from hf_privacy.statistics import summarize
from hf_privacy.statistics.tpr import allowed_false_positives


def image_of(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def test_plots_are_png_files_at_150_dpi_and_not_empty(report):
    for figure in (roc_figure(report.attacks, report.curves), scores_figure(report.attacks, report.curves)):
        image = image_of(png_bytes(figure))
        width, height = figure.get_size_inches()
        assert image.format == "PNG"
        assert image.size == (round(150 * width), round(150 * height))
        assert len(set(image.convert("L").tobytes())) > 50


def test_the_same_report_gives_the_same_bytes_without_software_or_date(report):
    for plot in (roc_figure, scores_figure):
        first, second = (png_bytes(plot(report.attacks, report.curves)) for _ in range(2))
        assert first == second
        assert not {"Software", "Creation Time", "date:create"} & set(image_of(first).info)


def test_a_users_dark_style_does_not_reach_the_plots(report):
    expected = png_bytes(roc_figure(report.attacks, report.curves))
    with matplotlib.rc_context({"figure.facecolor": "black", "lines.linewidth": 9, "savefig.facecolor": "black"}):
        assert png_bytes(roc_figure(report.attacks, report.curves)) == expected
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_every_attack_and_the_diagonal_stand_in_the_legend(report):
    (legend,) = roc_figure(report.attacks, report.curves).legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "guessing"
    assert [label.partition(" · ")[0] for label in labels[1:]] == [attack["title"] for attack in report.attacks]


def test_roc_axes_are_logarithmic_and_start_at_one_non_member(report):
    axes = roc_figure(report.attacks, report.curves).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_xlim() == axes.get_ylim() == (1 / 200, 1.0)
    assert axes.get_xlabel().endswith("[%]")
    assert axes.get_ylabel().endswith("[%]")


def test_a_drawn_curve_passes_through_the_reported_tpr(report):
    lira = report.attacks[1]
    line = next(line for line in roc_figure(report.attacks, report.curves).axes[0].lines if "LiRA" in line.get_label())
    reported = next(entry for entry in lira["tpr_at_fpr"] if entry["fpr"] == 0.1)
    allowed = allowed_false_positives(lira["n_nonmembers"], 0.1) / lira["n_nonmembers"]
    place = np.searchsorted(line.get_xdata(), allowed * (1 + 1e-9), side="right") - 1
    assert line.get_ydata()[place] == np.float64(reported["tpr"])


def test_one_histogram_panel_per_attack_in_percent_of_its_group(report):
    figure = scores_figure(report.attacks, report.curves)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == [attack["title"] for attack in report.attacks]
    for axes in panels:
        assert [sum(stairs.get_data().values) for stairs in axes.patches] == [100.0] * 4


def test_eight_attacks_get_eight_looks_and_an_attack_without_curve_is_left_out(report):
    names = [f"attack_{place}" for place in range(9)]
    attacks = [{**report.attacks[0], "name": name, "title": name} for name in names]
    curves = dict.fromkeys(names[:8], report.curves["loss"])
    lines = roc_figure(attacks, curves).axes[0].lines
    looks = {(line.get_color(), line.get_linestyle()) for line in lines if line.get_label().startswith("attack_")}
    assert len(looks) == 8
    assert sum(axes.get_visible() for axes in scores_figure(attacks, curves).axes) == 8


def test_a_report_without_curves_and_a_perfect_attack_can_be_drawn(report):
    assert png_bytes(roc_figure(report.attacks, {}))
    assert png_bytes(scores_figure(report.attacks, {}))
    scores, membership = np.arange(40.0), np.arange(40) >= 20
    perfect = [{"name": "lira", "title": "LiRA", "n_references": 2, **summarize(scores, membership)}]
    curves = {"lira": curve_of(scores, membership)}
    assert png_bytes(roc_figure(perfect, curves))
    assert png_bytes(scores_figure(perfect, curves))


def test_drawing_leaves_pyplot_alone():
    code = "import sys, hf_privacy.reports; assert not {'matplotlib.pyplot', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_of_many_attacks_the_strongest_nine_are_drawn(report):
    attacks, curves = [], {}
    for number in range(12):
        attack = copy.deepcopy(report.attacks[0]) | {"name": f"attack_{number}", "title": f"Attack {number}"}
        attacks.append(attack)
        curves[attack["name"]] = report.curves[report.attacks[0]["name"]]
    order = [attack["name"] for attack in reversed(attacks)]
    titles = [axes.get_title(loc="left") for axes in scores_figure(attacks, curves, order=order).axes]
    assert [title for title in titles if title] == [f"Attack {number}" for number in range(3, 12)]
