"""The plots of memorization against curvature and ε, and of correlations."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

from hf_privacy.errors import InputError
from hf_privacy.memorization import (
    binned_means,
    correlation_table,
    linear_fit,
    saturating_fit,
    subpopulation_fits,
)
from hf_privacy.reports import png_bytes
from hf_privacy.reports.link_plots import (
    binned_link_figure,
    correlation_figure,
    correlation_matrix_figure,
    epsilon_figure,
    write_figure,
)

EPSILON = np.repeat([1.0, 5.0, 30.0, np.inf], 3)


@pytest.fixture
def xy() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    x = generator.normal(size=1000)
    return x, 0.1 * x + generator.normal(size=1000)


def legend_of(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def line_named(axes, start: str):
    return next(line for line in axes.lines if str(line.get_label()).startswith(start))


def test_the_50_bin_means_are_drawn_with_twice_their_standard_error(xy):
    means = binned_means(*xy)
    (axes,) = binned_link_figure(means._asdict()).axes
    (container,) = axes.containers
    assert np.array_equal(container.lines[0].get_xydata(), np.stack([means.x_mean, means.y_mean], axis=1))
    assert len(means.x_mean) == 50
    bars = np.array(container.lines[2][0].get_segments())
    assert (bars[:, 1, 1] - bars[:, 0, 1]) == pytest.approx(4 * means.y_standard_error)


def test_axes_title_and_fits_are_labelled(xy):
    fit = linear_fit(*xy)
    groups = np.where(np.arange(1000) % 3 == 0, "turned label", "own label")
    figure = binned_link_figure(
        binned_means(*xy)._asdict(), fit=fit, group_fits=subpopulation_fits(*xy, groups), title="Fashion-MNIST"
    )
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("input curvature (log)", "memorization")
    assert axes.get_title(loc="left") == "Fashion-MNIST"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels[0] == "means of 50 bins (± 2 standard errors)"
    assert labels[1] == f"all examples: slope {fit['slope']:.3g}, R² = {fit['r_squared']:.2f}"
    assert [label.partition(":")[0] for label in labels[2:]] == ["own label", "turned label"]


def test_the_line_is_the_fits_and_a_group_without_one_is_left_out(xy):
    fit = {"slope": 2.0, "intercept": -1.0, "r_squared": 1.0}
    means = {"x_mean": [0.0, 3.0], "y_mean": [0.0, 0.5], "y_standard_error": [0.1, 0.1]}
    fits = {"few": {"n_points": 3, "reason": "3 examples"}, "many": fit}
    figure = binned_link_figure(means, fit=fit, group_fits=fits)
    assert line_named(figure.axes[0], "all examples").get_xydata().tolist() == [[0.0, -1.0], [3.0, 5.0]]
    assert not any("few" in text.get_text() for text in figure.legends[0].get_texts())
    assert 2.0 < figure.axes[0].get_ylim()[1] < 3.0  # the middle of a line is seen, not the ends that leave the points


def test_bins_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="means holds no 'y_standard_error'"):
        binned_link_figure({"x_mean": [1.0], "y_mean": [1.0]})
    with pytest.raises(InputError, match="means holds no bins"):
        binned_link_figure({"x_mean": [], "y_mean": [], "y_standard_error": []})


def test_every_run_and_the_mean_at_each_epsilon_are_drawn_with_infinity_at_the_right_end():
    values = np.arange(12.0)
    (axes,) = epsilon_figure({"memorization": {"epsilon": EPSILON, "values": values}}).axes
    runs, means = line_named(axes, "one run"), line_named(axes, "mean")
    assert runs.get_ydata().tolist() == values.tolist()
    assert means.get_ydata().tolist() == [1.0, 4.0, 7.0, 10.0]
    assert means.get_xdata()[:3].tolist() == [1.0, 5.0, 30.0]
    assert means.get_xdata()[3] > 30.0
    ticks = [axes.xaxis.get_major_formatter()(tick, 0) for tick in axes.xaxis.get_major_locator()()]
    assert ticks == ["1", "5", "30", "∞"]
    assert axes.get_xlabel() == "ε of DP-SGD"
    assert axes.get_title(loc="left") == "memorization"


def test_the_saturating_curve_is_the_fits_with_its_formula_in_the_legend():
    values = 0.1 + 0.4 * -np.expm1(-EPSILON)
    fit = saturating_fit(EPSILON, values)
    (axes,) = epsilon_figure({"memorization": {"epsilon": EPSILON, "values": values, "fit": fit}}).axes
    curve = line_named(axes, "0.1 + 0.4")
    x, y = curve.get_data()
    assert y == pytest.approx(0.1 + 0.4 * (1 - np.exp(-x)))
    assert "R² = 1.00" in curve.get_label()
    assert curve.get_label() in legend_of(axes)


def test_the_bound_of_memorization_is_drawn_where_asked():
    runs = {"epsilon": EPSILON, "values": np.full(12, 0.2)}
    memorization, curvature = epsilon_figure({"memorization": runs, "curvature": runs}, bounded=["memorization"]).axes
    x, y = line_named(memorization, "bound").get_data()
    assert y == pytest.approx(1 - np.exp(-x))
    assert memorization.get_ylim()[1] > 1.0
    assert not any("bound" in label for label in legend_of(curvature))


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ({}, "series is empty"),
        ({"memorization": {"epsilon": [1.0], "values": [0.1, 0.2]}}, "1 epsilon and 2 values"),
        ({"memorization": {"epsilon": [0.0], "values": [0.1]}}, "an epsilon of 0: pass values above 0, or infinity"),
    ],
)
def test_runs_that_cannot_be_drawn_are_refused(runs, said):
    with pytest.raises(InputError, match=said):
        epsilon_figure(runs)


def test_the_correlation_table_is_a_heat_map_with_each_figure_and_interval_in_it(xy):
    table = correlation_table(xy[1], {"curvature": xy[0], "loss": -xy[1], "none": np.zeros(1000)}, n_resamples=50)
    figure = correlation_figure(table, title="Proxies")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["curvature", "loss", "none"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["Pearson", "Spearman", "Cosine"]
    texts = [text.get_text() for text in axes.texts]
    found = table["curvature"]
    first = f"{found['pearson']:.2f}\n[{found['pearson_low']:.2f}, {found['pearson_high']:.2f}]"
    assert texts[0] == first
    assert texts[3].startswith("-1.00")
    assert texts[6:] == ["–"] * 3
    drawn = axes.images[0].get_array()
    assert drawn[0, 1] == found["spearman"]
    assert drawn.mask[2].all()
    assert figure.get_suptitle() == "Proxies"


def test_every_cell_can_be_read_on_its_colour():
    matrix = np.linspace(-1, 1, 81).reshape(9, 9)
    axes = correlation_matrix_figure(matrix, [f"proxy {number}" for number in range(9)]).axes[0]
    image = axes.images[0]

    def luminance(colour) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))

    for text, value in zip(axes.texts, matrix.ravel(), strict=True):
        low, high = sorted((luminance(text.get_color()), luminance(image.to_rgba(value))))
        assert (high + 0.05) / (low + 0.05) >= 4.5
        assert text.get_fontsize() >= 9


def test_four_quantities_stand_two_by_two():
    runs = {"epsilon": [1.0, 5.0, np.inf], "values": [0.1, 0.2, 0.3]}
    width, height = epsilon_figure({f"quantity {number}": runs for number in range(4)}).get_size_inches()
    assert width < 12
    assert height > 8


def test_a_matrix_has_a_name_a_row_and_colours_from_minus_one_to_one():
    axes = correlation_matrix_figure([[1.0, np.nan], [np.nan, 1.0]], ["memorization", "loss"]).axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["memorization", "loss"]
    assert [text.get_text() for text in axes.texts] == ["1.00", "–", "–", "1.00"]
    assert axes.images[0].get_clim() == (-1, 1)
    with pytest.raises(InputError, match=r"shape \[2, 2\] and there are 3 names"):
        correlation_matrix_figure(np.eye(2), ["a", "b", "c"])
    with pytest.raises(InputError, match="table is empty"):
        correlation_figure({})


def figures() -> list:
    means = {"x_mean": [0.0, 1.0], "y_mean": [0.1, 0.4], "y_standard_error": [0.02, 0.03]}
    runs = {"epsilon": [1.0, 5.0, np.inf], "values": [0.1, 0.2, 0.3]}
    entry = {"pearson": 0.8, "pearson_low": 0.7, "pearson_high": 0.9}
    return [
        binned_link_figure(means),
        epsilon_figure({"memorization": runs}),
        correlation_figure({"curvature": entry}, kinds=["pearson"]),
        correlation_matrix_figure(np.eye(3), ["a", "b", "c"]),
    ]


def test_each_plot_is_white_and_the_same_under_a_users_dark_style(tmp_path):
    expected = [png_bytes(figure) for figure in figures()]
    dark = {
        "figure.facecolor": "black",
        "savefig.facecolor": "black",
        "axes.facecolor": "black",
        "text.color": "white",
    }
    with matplotlib.rc_context(dark):
        assert [png_bytes(figure) for figure in figures()] == expected
    for png in expected:
        image = Image.open(io.BytesIO(png)).convert("RGB")
        assert image.getpixel((1, 1)) == (255, 255, 255)
        assert len(set(image.convert("L").tobytes())) > 30
    assert all(to_hex(figure.get_facecolor()) == "#ffffff" for figure in figures())


def test_a_plot_is_written_whole_into_a_new_folder(tmp_path):
    path = write_figure(tmp_path / "new" / "links.png", figures()[0])
    assert path.read_bytes() == png_bytes(figures()[0])
    assert [file.name for file in path.parent.iterdir()] == ["links.png"]
    with pytest.raises(InputError, match=r"pass a name that ends in \.png"):
        write_figure(tmp_path / "links.svg", figures()[0])
