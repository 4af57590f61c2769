"""The curvature attack against loops over scipy.stats, closed forms, and what the authors' code does otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logit, softmax
from scipy.stats import norm

from hf_privacy.attacks import curvature, lira
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc

FORMS = ("likelihood_ratio", "nll")


def draw(seed=0, n_references=16, n_examples=400, leak=1.0):
    """Log curvatures: members lie lower, and examples differ in level and in spread."""
    generator = np.random.default_rng(seed)
    half = generator.random((n_references // 2, n_examples)) < 0.5
    reference_membership = np.concatenate([half, ~half])
    membership = generator.random(n_examples) < 0.5
    level, spread = generator.normal(-3, 4, n_examples), generator.uniform(0.3, 2.0, n_examples)
    noise = generator.normal(size=(n_references + 1, n_examples))
    references = level + spread * (noise[1:] - leak * reference_membership)
    return level + spread * (noise[0] - leak * membership), references, reference_membership, membership


def by_loop(values, references, reference_membership, form, variance):
    sides = [[references[reference_membership[:, n] == side, n] for n in range(len(values))] for side in (True, False)]
    scales = []
    for side in sides:
        pooled = np.sqrt(sum(len(x) * np.var(x) for x in side) / sum(len(x) - 1 for x in side))
        scales.append([pooled if variance == "pooled" else np.std(x, ddof=1) for x in side])
    in_scales, out_scales = scales[0], scales[0] if form == "nll" else scales[1]
    return np.array(
        [
            norm.logpdf(values[n], sides[0][n].mean(), in_scales[n])
            - norm.logpdf(values[n], sides[1][n].mean(), out_scales[n])
            for n in range(len(values))
        ]
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variance", ["pooled", "per_example"])
def test_scores_are_those_of_a_loop_over_scipy(form, variance):
    values, references, reference_membership, _ = draw(n_references=32)
    expected = by_loop(values, references, reference_membership, form, variance)
    scores = curvature(values, references, reference_membership, form=form, variance=variance)
    np.testing.assert_allclose(scores, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance", ["pooled", "per_example", "shrunk", "global"])
def test_the_likelihood_ratio_is_lira_on_log_curvature(variance):
    values, references, reference_membership, _ = draw(n_references=32)
    np.testing.assert_array_equal(
        curvature(values, references, reference_membership, variance=variance, prior_degrees=3.0),
        lira(values, references, reference_membership, variance=variance, prior_degrees=3.0),
    )


def test_nll_is_a_straight_line_in_the_log_curvature_with_the_in_scale_on_both_sides():
    # IN 0 and 2: mean 1, variance 2. OUT 4 and 8: mean 6, and its own variance of 8 plays no part.
    references = np.repeat([[0.0], [2.0], [4.0], [8.0]], 3, axis=1)
    reference_membership = np.repeat([[True], [True], [False], [False]], 3, axis=1)
    scores = curvature([1.0, 3.5, 100.0], references, reference_membership, form="nll")
    np.testing.assert_allclose(scores, (1 - 6) * (np.array([1.0, 3.5, 100.0]) - 3.5) / 2, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_members_are_found_at_lower_and_at_higher_curvature_alike(form):
    # The means say which way: nothing takes low curvature for membership.
    values, references, reference_membership, membership = draw(n_examples=3000)
    scores = curvature(values, references, reference_membership, form=form)
    assert auc(scores, membership) > 0.7
    turned = curvature(-values, -references, reference_membership, form=form)
    np.testing.assert_allclose(turned, scores, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_without_leakage_the_scores_say_nothing(form):
    values, references, reference_membership, membership = draw(leak=0.0, n_examples=4000)
    assert abs(auc(curvature(values, references, reference_membership, form=form), membership) - 0.5) < 0.03


@pytest.mark.parametrize("form", FORMS)
def test_peer_error_sigma_replaced_by_the_variance(form):
    # The authors' `nll(score, mean, var)` squares the variance once more: with IN 0 ± 3 the score would shrink by 18.
    references = np.array([[-3.0], [3.0], [1.0], [7.0]])
    reference_membership = np.array([[True], [True], [False], [False]])
    scale = np.sqrt(18)
    score = curvature([0.0], references, reference_membership, form=form, variance="per_example")[0]
    assert score == pytest.approx(norm.logpdf(0, 0, scale) - norm.logpdf(0, 4, scale), abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_peer_error_queries_multiply_their_likelihoods_and_are_not_added_up(form):
    first, second = draw(1), draw(2)
    values, references = np.stack([first[0], second[0]]), np.stack([first[1], second[1]])
    both = curvature(values, references, first[2], form=form)
    one_by_one = [curvature(values[q], references[q], first[2], form=form) for q in range(2)]
    np.testing.assert_allclose(both, sum(one_by_one), atol=1e-12)


def test_peer_error_true_class_replaced_by_the_maximum():
    # The authors' LiRA, which theirs is compared with, reads the largest probability. Models trained on a mislabelled
    # example learn the false label, the others are sure of the right one: the maximum is as high with it as without,
    # where the probability of the given label finds nearly all.
    generator = np.random.default_rng(3)
    n_references, n_examples, n_classes = 16, 600, 5
    half = generator.random((n_references // 2, n_examples)) < 0.5
    membership = np.concatenate([half, ~half, generator.random((1, n_examples)) < 0.5])
    right = generator.integers(n_classes, size=n_examples)
    given = (right + 1) % n_classes
    logits = generator.normal(0, 0.7, (n_references + 1, n_examples, n_classes))
    logits += 4 * np.eye(n_classes)[np.where(membership, given, right)]
    probability = softmax(logits, axis=-1)
    signals = {"true": probability[:, np.arange(n_examples), given], "maximum": probability.max(axis=-1)}
    areas = {
        name: auc(lira(logit(signal[-1]), logit(signal[:-1]), membership[:-1]), membership[-1])
        for name, signal in signals.items()
    }
    assert areas["true"] > 0.95
    assert abs(areas["maximum"] - 0.5) < 0.1


def test_two_references_are_enough_with_the_global_variance():
    values, references, reference_membership, membership = draw(n_references=2, n_examples=3000, leak=3.0)
    for form in FORMS:
        assert auc(curvature(values, references, reference_membership, form=form, variance="global"), membership) > 0.6
        with pytest.raises(InputError, match="use variance='global'"):
            curvature(values, references, reference_membership, form=form)


def test_nll_needs_no_out_variance():
    references = np.array([[0.0], [2.0], [5.0]])
    reference_membership = np.array([[True], [True], [False]])
    assert curvature([1.0], references, reference_membership, form="nll")[0] == pytest.approx(16 / 4)
    with pytest.raises(InputError, match="no example has 2 OUT reference models"):
        curvature([1.0], references, reference_membership)


def test_rows_may_be_memory_mapped_one_by_one(tmp_path):
    values, references, reference_membership, _ = draw()
    rows = []
    for number, row in enumerate(references):
        np.save(tmp_path / f"{number}.npy", row)
        rows.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    np.testing.assert_array_equal(
        curvature(values, rows, list(reference_membership)), curvature(values, references, reference_membership)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(form="ratio"), "form is 'ratio': pass 'likelihood_ratio' or 'nll'"),
        (lambda a: a.update(variance="fixed"), "variance is 'fixed'"),
        (lambda a: a.update(variance="shrunk", prior_degrees=0), "prior_degrees is 0"),
        (lambda a: a["values"].__setitem__(1, -np.inf), "log_curvature holds 1 NaN or infinite"),
        (lambda a: a["references"].__setitem__((2, 1), -np.inf), "reference_log_curvature holds 1 NaN or infinite"),
        (lambda a: a.update(values=a["values"][:5]), "log_curvature has 5 examples"),
        (lambda a: a["membership"].__setitem__((slice(None), 0), True), "1 of 10 examples IN for all 4"),
        (lambda a: a["membership"].__setitem__((slice(None), 0), False), "1 of 10 examples OUT for all 4"),
        (lambda a: a.update(membership=a["membership"].astype(int)), "pass booleans"),
        (
            lambda a: a.update(references=np.where(a["membership"], 0.1, a["references"])),
            "reference_log_curvature have zero variance over the IN",
        ),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_bad_input_is_refused_with_one_sentence(change, message, form):
    values, references, membership, _ = draw(n_references=4, n_examples=10)
    arguments = {"values": values, "references": references, "membership": membership, "form": form}
    change(arguments)
    positional = [arguments.pop(name) for name in ("values", "references", "membership")]
    with pytest.raises(InputError, match=message) as error:
        curvature(*positional, **arguments)
    assert "\n" not in str(error.value)
