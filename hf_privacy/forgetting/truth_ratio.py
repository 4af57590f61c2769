"""TOFU's figures of single answers: how likely the right one is, alone and beside wrong ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arguments import check_choice
from hf_privacy.arrays import finite_array, finite_vector
from hf_privacy.errors import InputError

_LOSS = 1e-6  # a mean log-likelihood may come out a rounding error above zero; anything higher has the wrong sign


def truth_ratio(paraphrase: ArrayLike, perturbed: ArrayLike) -> NDArray[np.float64]:
    """R = geometric mean of the wrong answers' likelihoods over the right one's.

    Parameters
    ----------
    paraphrase : array-like of float, shape [N]
        L of a paraphrase of the right answer: mean log-likelihood of its tokens given the question, in nats a token,
        at most 0. TOFU takes the answer itself for real authors and world facts, which have no paraphrase.
    perturbed : array-like of float, shape [N, K]
        The same of K wrong answers, written like the paraphrase.

    Returns
    -------
    float64[N]
        exp(mean_k L_k − L), above 0: below 1 where the right answer is the likelier one.

    Raises
    ------
    InputError
        If a value is not finite or above 0 (a loss), the shapes disagree, or there is no wrong answer.

    Notes
    -----
    This is the form of TOFU's forget quality and of later benchmarks. For its utility TOFU's own code took the
    arithmetic mean of the K likelihoods, which is never smaller; figures of one are not to be set beside the other's.

    References
    ----------
    Maini et al., "TOFU: a task of fictitious unlearning for LLMs", COLM 2024 (arXiv 2401.06121).

    Examples
    --------
    >>> truth_ratio([-1.0, -2.0], [[-2.0, -4.0], [-2.0, -1.0]]).round(3)
    array([0.135, 1.649])
    """
    right = _log_likelihood("paraphrase", finite_vector("paraphrase", paraphrase))
    wrong = _wrong_answers("perturbed", perturbed, len(right))
    with np.errstate(over="ignore"):  # a diverged model's: the largest number there is, so that no score is NaN
        return np.asarray(np.minimum(np.exp(wrong.mean(axis=1) - right), np.finfo(np.float64).max))


def truth_ratio_scores(ratio: ArrayLike, *, part: str) -> NDArray[np.float64]:
    """Each row's part of TOFU's truth ratio figure, whose mean is printed.

    Parameters
    ----------
    ratio : array-like of float, shape [N]
        `truth_ratio`, at least 0.
    part : {"forget", "kept"}
        "forget": min(R, 1/R), the higher the less the model tells right from wrong. "kept" (retained rows, real
        authors, world facts): max(0, 1 − R), the higher the better it does.

    Returns
    -------
    float64[N]
        In [0, 1].

    Raises
    ------
    InputError
        If a ratio is below 0 or not finite, or the part is unknown.

    Examples
    --------
    >>> truth_ratio_scores([0.5, 2.0], part="forget"), truth_ratio_scores([0.25, 2.0], part="kept")
    (array([0.5, 0.5]), array([0.75, 0.  ]))
    """
    ratios = finite_vector("ratio", ratio)
    check_choice("part", part, ("forget", "kept"))
    if ratios.min() < 0:
        raise InputError(f"ratio goes down to {ratios.min():.4g}: a ratio of likelihoods is at least 0")
    if part == "kept":
        return np.maximum(0.0, 1.0 - ratios)
    with np.errstate(divide="ignore"):
        return np.minimum(ratios, 1.0 / ratios)


def answer_probability(answer: ArrayLike, perturbed: ArrayLike | None = None) -> NDArray[np.float64]:
    """TOFU's probability of an answer: exp(L), or its share among those of the wrong answers too.

    Parameters
    ----------
    answer : array-like of float, shape [N]
        L of the answer: mean log-likelihood of its tokens, in nats a token, at most 0.
    perturbed : array-like of float, shape [N, K], optional
        L of wrong answers, for p/(p + Σ_k p_k): what TOFU gives of real authors and world facts, a choice among K + 1.

    Returns
    -------
    float64[N]
        In [0, 1].

    Raises
    ------
    InputError
        As `truth_ratio`.

    Examples
    --------
    >>> answer_probability(np.log([0.5])), answer_probability(np.log([0.5]), np.log([[0.25, 0.25]]))
    (array([0.5]), array([0.5]))
    """
    right = _log_likelihood("answer", finite_vector("answer", answer))
    if perturbed is None:
        return np.asarray(np.exp(right))
    wrong = _wrong_answers("perturbed", perturbed, len(right))
    # Over the largest of them: a model that thinks nothing likely has shares too, where every exp(L) is 0.
    largest = np.maximum(right, wrong.max(axis=1))
    shares = np.exp(right - largest)
    return np.asarray(shares / (shares + np.exp(wrong - largest[:, None]).sum(axis=1)))


def _wrong_answers(name: str, values: ArrayLike, n_examples: int) -> NDArray[np.float64]:
    table = finite_array(name, values)
    if table.ndim != 2 or table.shape[0] != n_examples or table.shape[1] == 0:
        raise InputError(
            f"{name} has shape {table.shape} for {n_examples:,} answers: pass one row per answer and one column per "
            "wrong answer"
        )
    return _log_likelihood(name, table)


def _log_likelihood(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.max() > _LOSS:
        raise InputError(f"{name} goes up to {values.max():.4g}: a log-likelihood is at most 0, this may be a loss")
    return np.minimum(values, 0.0)
