"""Window comparison: against a loop over rows, widths and windows."""

from __future__ import annotations

import numpy as np
import pytest
from ragged_draws import draw, pick, rows

from hf_privacy import attacks
from hf_privacy.attacks.window_comparison import WIDTHS
from hf_privacy.errors import InputError
from hf_privacy.statistics import auc


def one_row(target, reference):
    difference = [a - b for a, b in zip(target, reference, strict=True)]
    n = len(difference)
    widths = [w for w in (2, 3, 4, 5, 8, 11, 15, 21, 29, 40) if w <= n] or [n]
    shares = []
    for width in widths:
        ahead = [sum(difference[start : start + width]) > 0 for start in range(n - width + 1)]
        shares.append(sum(ahead) / len(ahead))
    return sum(shares) / len(shares)


def two_models(n_rows=200, seed=0, longest=70):
    offsets, log_prob, *_ = draw(n_rows=n_rows, seed=seed, longest=longest)
    generator = np.random.default_rng(seed + 1)
    return offsets, log_prob, np.minimum(log_prob + generator.normal(0.0, 0.3, len(log_prob)), 0.0)


def test_the_widths_are_ten_from_two_to_forty():
    assert WIDTHS == (2, 3, 4, 5, 8, 11, 15, 21, 29, 40)


def test_a_score_is_that_of_a_loop_over_rows_widths_and_windows():
    offsets, target, reference = two_models()
    expected = [one_row(*pair) for pair in zip(rows(target, offsets), rows(reference, offsets), strict=True)]
    np.testing.assert_allclose(attacks.window_comparison(target, reference, offsets), expected, atol=1e-12)


def test_rows_shorter_than_a_window_drop_it_and_one_token_is_a_window():
    assert attacks.window_comparison([-1.0, -2.0], [-2.0, -1.0], [0, 1, 2]).tolist() == [1.0, 0.0]
    # n = 3: widths 2 and 3; differences 1, −2, 3 → windows of two −1, 1 and of three 2
    assert attacks.window_comparison([-1.0, -3.0, -1.0], [-2.0, -1.0, -4.0], [0, 3]).tolist() == [0.75]


def test_equal_models_score_zero_everywhere():
    offsets, target, _ = two_models()
    assert not attacks.window_comparison(target, target, offsets).any()


def test_a_row_has_the_same_score_among_others_in_any_order_and_alone():
    offsets, target, reference = two_models()
    scores = attacks.window_comparison(target, reference, offsets)
    order = np.random.default_rng(2).permutation(200)
    chosen, *flat = pick(order, offsets, target, reference)
    np.testing.assert_array_equal(attacks.window_comparison(*flat, chosen), scores[order])
    for row in range(0, 200, 23):
        chosen, *flat = pick([row], offsets, target, reference)
        assert attacks.window_comparison(*flat, chosen)[0] == scores[row]


def test_several_references_are_averaged_and_those_that_had_the_row_are_left_out():
    offsets, target, first = two_models()
    _, _, second = two_models(seed=0)
    second = np.minimum(second + np.random.default_rng(9).normal(0, 0.5, len(second)), 0)
    each = np.stack([attacks.window_comparison(target, reference, offsets) for reference in (first, second)])
    both = attacks.window_comparison(target, [first.astype(np.float32), second], offsets)
    np.testing.assert_allclose(both, each.mean(axis=0), atol=0.02)  # float32 turns a sign here and there
    np.testing.assert_array_equal(
        attacks.window_comparison(target, np.stack([first, second]), offsets), each.sum(axis=0) / 2
    )
    membership = np.zeros((2, 200), dtype=bool)
    membership[0, :50], membership[1, 50:100] = True, True
    expected = np.concatenate([each[1, :50], each[0, 50:100], each.mean(axis=0)[100:]])
    scores = attacks.window_comparison(target, [first, second], offsets, reference_membership=membership)
    np.testing.assert_allclose(scores, expected, atol=1e-15)


def test_members_and_non_members_of_one_distribution_are_not_told_apart():
    offsets, target, reference = two_models(n_rows=3000, seed=3, longest=40)
    membership = np.random.default_rng(4).random(3000) < 0.5
    assert abs(auc(attacks.window_comparison(target, reference, offsets), membership) - 0.5) < 0.035


def test_signs_find_a_small_shift_everywhere_below_a_few_large_differences():
    offsets, _, reference = two_models(n_rows=1000, seed=5)
    generator = np.random.default_rng(6)
    membership = np.arange(1000) % 2 == 0
    member = np.repeat(membership, np.diff(offsets))
    noise = 0.1 * generator.standard_t(1.5, len(reference))  # heavy tails
    target = np.minimum(reference + noise + 0.05 * member, 0)
    windows = attacks.window_comparison(target, reference, offsets)
    mean = [row.mean() for row in rows(target - reference, offsets)]
    assert auc(windows, membership) > 0.65
    assert auc(windows, membership) > auc(mean, membership)


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        ([-1.0], {}, r"reference_log_prob has shape \(1,\) and log_prob 2 values"),
        (np.zeros((0, 2)), {}, r"reference_log_prob has shape \(0, 2\)"),
        (np.zeros((1, 1, 2)), {}, r"reference_log_prob has shape \(1, 1, 2\)"),
        ([0.5, -1.0], {}, "reference_log_prob goes up to 0.5"),
        ([np.nan, -1.0], {}, "reference_log_prob holds 1 NaN"),
        ([-1.0, -1.0], {"reference_membership": [[True]]}, "1 of 1 examples IN for all 1"),
        ([-1.0, -1.0], {"reference_membership": [[0]]}, "has dtype int"),
        ([-1.0, -1.0], {"reference_membership": [[False, False]]}, r"shape \(1, 2\): pass \(1, 1\)"),
    ],
)
def test_bad_references_are_refused(reference, options, message):
    with pytest.raises(InputError, match=message):
        attacks.window_comparison([-1.0, -2.0], reference, [0, 2], **options)
