"""How many reference models memorization scores need, seen from the scores' agreement with themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hf_privacy.arguments import LARGEST_SEED, check_number, check_seed, check_whole
from hf_privacy.errors import InputError
from hf_privacy.memorization.tables import Table, check_tables, count_examples, refuse_single, side_sums

# Values of one block of examples × reference models.
_BLOCK_VALUES = 1_000_000


def reliability(
    correct: Table, reference_membership: Table, *, wanted: float = 0.9, n_splits: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Split-half reliability of `feldman_zhang` scores, and the number of reference models for a wanted one.

    The reference models of each side of each example are split into random halves, so that both halves hold half of
    its IN and half of its OUT models; each half gives a score. The correlation r over examples of the two, mean over
    splits, is the reliability with half as many models; Spearman and Brown's formula gives it for all,
    2r/(1 + r), and for any other number of models.

    Reliability is the share of the scores' variance over examples that is not chance in the models; its root bounds
    the correlation of the scores with anything else.

    Parameters
    ----------
    correct, reference_membership
        As in `feldman_zhang`.
    wanted : float, default 0.9
        In (0, 1).
    n_splits : int, default 20
    seed : int, default 0

    Returns
    -------
    dict
        ``split_half`` (r), ``reliability`` (0 where r is not above 0), ``n_references``, ``wanted`` and
        ``n_references_needed``, an even number at the same shares of IN and OUT, or None where r is not above 0 and
        nothing can be said but "many more".

    Raises
    ------
    InputError
        As `feldman_zhang`; also if an example has fewer than two reference models on a side, there are fewer than
        three examples, the scores do not differ between examples, or ``wanted`` lies outside (0, 1).

    Notes
    -----
    An odd number of models on a side makes one half larger by one, which lowers r a little.

    References
    ----------
    Spearman, "Correlation calculated from faulty data", and Brown, "Some experimental results in the correlation of
    mental abilities", British Journal of Psychology 1910.

    Examples
    --------
    >>> membership = np.concatenate([half := np.random.default_rng(0).random((8, 200)) < 0.5, ~half])
    >>> chance = np.where(np.arange(200) < 100, 0.9, 0.1)  # of being right without having been trained on it
    >>> correct = membership | (np.random.default_rng(1).random((16, 200)) < chance)
    >>> result = reliability(correct, membership)
    >>> round(result["reliability"], 2), result["n_references_needed"]
    (0.92, 12)
    """
    wanted = check_number("wanted", wanted, 0.0, 1.0, low_open=True, high_open=True, such_as="0.9")
    n_splits = check_whole("n_splits", n_splits, at_least=1)
    generator = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    correct, reference_membership = check_tables(correct, reference_membership)
    n_references, n_examples = len(correct), count_examples(reference_membership[0])
    n_in, ((in_sum, out_sum),) = side_sums(correct, reference_membership)
    refuse_single(n_in, n_references, "splitting them into halves")
    if n_examples < 3:
        raise InputError(f"correct has {n_examples} examples: a correlation over examples needs at least 3")
    scores = in_sum / n_in - out_sum / (n_references - n_in)
    if scores.max() - scores.min() < 1e-12:
        raise InputError(
            "correct gives the same score to every example, so there is no order for the scores to be reliable about: "
            "pass more examples, or probabilities of the true class"
        )

    halves = np.empty((2, n_splits, n_examples))
    step = max(1, _BLOCK_VALUES // n_references)
    for start in range(0, n_examples, step):
        block = slice(start, start + step)
        values = np.stack([np.asarray(row)[block] for row in correct], axis=1).astype(np.float64)
        membership = np.stack([np.asarray(row)[block] for row in reference_membership], axis=1)
        for split in range(n_splits):
            halves[:, split, block] = _half_scores(values, membership, n_in[block], generator)

    halves -= halves.mean(axis=-1, keepdims=True)
    products = np.sum(halves[0] * halves[1], axis=-1)
    scale = np.sqrt(np.prod(np.sum(halves**2, axis=-1), axis=0))
    # A half that gives every example the same score agrees with nothing. At most 1, but for rounding.
    correlation = np.divide(products, scale, out=np.zeros(n_splits), where=scale > 0)
    split_half = min(float(correlation.mean()), 1.0)
    whole, needed = 0.0, None
    if split_half > 0.0:
        whole = 2 * split_half / (1 + split_half)
        # 1e-9: agreement in full, up to rounding, needs the fewest there are.
        needed = max(2, 2 * int(np.ceil(n_references * wanted * (1 - whole) / (whole * (1 - wanted)) / 2 - 1e-9)))
    return {
        "split_half": split_half,
        "reliability": whole,
        "n_references": n_references,
        "wanted": wanted,
        "n_references_needed": needed,
    }


def _half_scores(
    values: NDArray[np.float64],
    membership: NDArray[np.bool_],
    n_in: NDArray[np.int64],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """Scores [2, B] of two random halves, from values and membership [B, K]."""
    n_references = values.shape[1]
    # The IN models in random order, then the OUT models; every second one of a side belongs to the first half.
    order = np.argsort(generator.random(values.shape) + ~membership, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    position = np.arange(n_references)
    is_in = position < n_in[:, None]
    # A coin a side decides which half gets the odd one out.
    coin = generator.integers(2, size=(2, len(values), 1))
    first = (position + np.where(is_in, coin[0], coin[1])) % 2 == 0
    scores = np.empty((2, len(values)))
    for half, chosen in enumerate((first, ~first)):
        in_half, out_half = chosen & is_in, chosen & ~is_in
        scores[half] = (ordered * in_half).sum(axis=1) / in_half.sum(axis=1)
        scores[half] -= (ordered * out_half).sum(axis=1) / out_half.sum(axis=1)
    return scores
