"""The plot of privacy against utility, its labels, and the files."""

from __future__ import annotations

import json
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hf_privacy.comparison import comparison_figure, comparison_markdown, write_comparison
from hf_privacy.comparison.labels import place_labels
from hf_privacy.comparison.markdown import row_title
from hf_privacy.errors import InputError


def texts(axes) -> list:
    return [text for text in axes.texts if text.get_text() and text.get_text() != "guessing"]


def test_every_row_is_named_beside_its_point_in_both_panels(make_table):
    table = make_table()
    table["rows"] = table["rows"][:8]
    figure = comparison_figure(table)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert sorted(text.get_text() for text in texts(axes)) == sorted(row_title(row) for row in table["rows"])


def test_many_rows_are_numbered_and_named_below_in_their_order(make_table):
    table = make_table()
    figure = comparison_figure(table)
    numbers = [str(number) for number in range(1, len(table["rows"]) + 1)]
    assert len(numbers) > 8
    for axes in figure.axes:
        assert sorted(text.get_text() for text in texts(axes)) == sorted(numbers)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    columns = 4
    height = -(-len(named) // columns)
    by_rows = [named[column * height + row] for row in range(height) for column in range(columns)]
    wanted = [f"{number}  {row_title(row)}" for number, row in zip(numbers, table["rows"], strict=True)]
    assert by_rows[: len(wanted)] == wanted


def test_points_stand_at_accuracy_and_leakage_with_their_intervals(make_table):
    table = make_table()
    axes = comparison_figure(table).axes[0]
    points = [container.lines[0].get_xydata()[0].tolist() for container in axes.containers]
    assert points == [[row["accuracy"]["mean"], row["attacks"]["lira"]["auc"]["mean"]] for row in table["rows"]]
    across, upright = (bars.get_segments()[0] for bars in axes.containers[0].lines[2])
    first = table["rows"][0]
    assert across[:, 0].tolist() == pytest.approx([first["accuracy"]["low"], first["accuracy"]["high"]])
    auc = first["attacks"]["lira"]["auc"]
    assert upright[:, 1].tolist() == pytest.approx([auc["low"], auc["high"]])


def test_no_bar_leaves_what_a_share_can_be(make_table):
    table = make_table()
    for row in table["rows"]:
        row["accuracy"] |= {"low": -0.2, "high": 1.3}
        for figures in row["attacks"].values():
            figures["auc"] |= {"low": -0.1, "high": 1.1}
    for axes in comparison_figure(table).axes[:1]:
        ends = [
            segment for container in axes.containers for bars in container.lines[2] for segment in bars.get_segments()
        ]
        assert min(end.min() for end in ends) == 0.0
        assert max(end.max() for end in ends) == pytest.approx(1.0)


def test_where_the_colours_begin_anew_the_markers_do_not(make_table):
    table = make_table()
    rows = [{**table["rows"][0], "name": f"defence {n}", "defense": "relaxloss" if n else "none"} for n in range(15)]
    table["rows"] = rows
    points = [container.lines[0] for container in comparison_figure(table).axes[0].containers]
    assert len({(point.get_color(), point.get_marker()) for point in points}) == 15


def test_an_arrow_leads_from_each_host_to_it_with_rewinding(make_table):
    table = make_table()
    axes = comparison_figure(table).axes[0]
    middle = {
        row["name"]: (row["accuracy"]["mean"], row["attacks"]["lira"]["auc"]["mean"])
        for row in table["rows"]
        if row["outputs"] == "plain"
    }
    drawn = {(text.xyann, text.xy) for text in axes.texts if not text.get_text() and text.anncoords == "data"}
    assert drawn == {(middle[row["host"]], middle[row["name"]]) for row in table["rows"] if row["host"]}


def test_a_defence_and_what_is_built_on_it_share_a_colour_that_no_other_has(make_table):
    table = make_table()
    axes = comparison_figure(table).axes[0]
    colours: dict[str, set[str]] = {}
    for row, container in zip(table["rows"], axes.containers, strict=True):
        colours.setdefault(row["host"] or row["name"], set()).add(container.lines[0].get_color())
    assert [len(found) for found in colours.values()] == [1, 1, 1]
    assert len(set.union(*colours.values())) == 3
    assert colours["none"] == {"#000000"}


def test_without_a_resolved_rate_there_is_the_auc_alone(make_table):
    figure = comparison_figure(make_table(resolved=False))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["LiRA AUC"]


def test_labels_of_a_crowd_do_not_overlap():
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    points = [(0.5 + 0.004 * number, 0.5 + 0.003 * (number % 3)) for number in range(9)]
    axes.set_xlim(0.3, 0.7)
    axes.set_ylim(0.3, 0.7)
    figure.draw_without_rendering()
    place_labels(axes, points, [f"defence {n}" for n in range(9)], colours=["#000000"] * 9)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts(axes)]
    assert len(boxes) == 9
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_numbers_side_by_side_do_not_read_as_one():
    figure = Figure(figsize=(6, 5))
    axes = figure.subplots()
    points = [(0.5 + 0.01 * number, 0.5) for number in range(20)]
    axes.set_xlim(0.3, 0.9)
    axes.set_ylim(0.3, 0.7)
    figure.draw_without_rendering()
    place_labels(axes, points, [str(n) for n in range(20)], colours=["#000000"] * 20)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts(axes)]
    for one, other in combinations(boxes, 2):
        apart = max(one.x0 - other.x1, other.x0 - one.x1)
        assert apart >= 1 or max(one.y0 - other.y1, other.y0 - one.y1) >= -1


def test_the_markdown_says_what_each_interval_is_and_shows_a_dash_where_nothing_is_resolved(make_table):
    text = comparison_markdown(make_table(resolved=False))
    assert "Mean over the seeds [95 % interval, Student's t]" in text
    row = next(line for line in text.splitlines() if line.startswith("| relax_loss_cwrf"))
    assert row.split("|")[5].strip() == "–"
    assert "Largest mean AUC of all attacks" in text
    assert "is no test against guessing" in text


def test_the_files_are_the_table_and_nothing_that_leaks(make_table, tmp_path):
    table = make_table()
    write_comparison(tmp_path, table)
    assert json.loads((tmp_path / "comparison.json").read_text()) == table
    assert (tmp_path / "comparison.md").read_text().startswith(comparison_markdown(table))
    table["dataset"]["name"] = "/home/ada/train.parquet"
    with pytest.raises(InputError, match="absolute path"):
        write_comparison(tmp_path, table)
