"""How much of an answer a model gives back word for word: memorization, extraction strength, ROUGE-L."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.arrays import boolean_vector, check_offsets
from hf_privacy.errors import InputError

_SHORTEST_STEMMED = 4  # letters: the reference implementation leaves shorter words as they are


def exact_memorization(greedy: ArrayLike, offsets: ArrayLike) -> NDArray[np.float64]:
    """Share of each row's tokens that greedy decoding would give, each given all of the row before it.

    Parameters
    ----------
    greedy : array-like of bool, shape [T]
        Whether each scored token is the likeliest (`hf_privacy.signals.TokenSignals.greedy`).
    offsets : array-like of int, shape [N+1]
        Row i holds the tokens from ``offsets[i]`` up to ``offsets[i + 1]``.

    Returns
    -------
    float64[N]
        In [0, 1].

    Raises
    ------
    InputError
        If a row is empty, the offsets do not fit, or the values are no booleans.

    References
    ----------
    Tirumala et al., "Memorization without overfitting", NeurIPS 2022 (arXiv 2205.10770).

    Examples
    --------
    >>> exact_memorization([True, False, True, True], [0, 2, 4])
    array([0.5, 1. ])
    """
    hits = boolean_vector("greedy", greedy)
    starts = check_offsets(offsets, len(hits), "greedy")
    return np.asarray(np.add.reduceat(hits, starts[:-1], dtype=np.float64) / np.diff(starts))


def extraction_strength(greedy: ArrayLike, offsets: ArrayLike) -> NDArray[np.float64]:
    """1 − k/n of each row: k is the shortest prefix after which greedy decoding gives all the rest.

    Parameters
    ----------
    greedy, offsets
        As in `exact_memorization`.

    Returns
    -------
    float64[N]
        In [0, 1]: 1 where nothing need be given, 0 where even the last token does not come. (A released loop stops
        before it tries that last one, and calls both "it comes" and "it does not" 1/n.)

    Raises
    ------
    InputError
        As `exact_memorization`.

    References
    ----------
    Carlini et al., "Extracting training data from large language models", 2021; as a measure of unlearning, Wang et
    al., "Towards effective evaluations and comparisons for LLM unlearning methods", 2024 (arXiv 2406.09179).

    Examples
    --------
    >>> extraction_strength([True, False, True, True, True, False], [0, 4, 6])
    array([0.5, 0. ])
    """
    hits = boolean_vector("greedy", greedy)
    starts = check_offsets(offsets, len(hits), "greedy")
    # The last token of a row that greedy decoding misses, counted from 1 in the row; 0 where it misses none.
    places = np.where(hits, 0, np.arange(len(hits)) - np.repeat(starts[:-1], np.diff(starts)) + 1)
    return np.asarray(1.0 - np.maximum.reduceat(places, starts[:-1]) / np.diff(starts))


def rouge_l_recall(
    predictions: Sequence[str], references: Sequence[str], *, stem: Callable[[str], str] | None = None
) -> NDArray[np.float64]:
    """ROUGE-L recall: the share of an answer's words that come, in order, in what was generated.

    Parameters
    ----------
    predictions, references : sequence of str, N each
        What was generated, and the right answers. Words are runs of a–z and 0–9 in lower case.
    stem : callable, optional
        From a word of four letters or more to its stem. TOFU's figures are with Porter's:
        ``nltk.stem.PorterStemmer().stem``. Without it "wrote" and "writes" are two words, and figures a little lower.

    Returns
    -------
    float64[N]
        Longest common subsequence over the number of the answer's words, in [0, 1]; 0 for an answer without words.

    Raises
    ------
    InputError
        If they are no two lists of as many texts.

    References
    ----------
    Lin, "ROUGE: a package for automatic evaluation of summaries", 2004; words as in the package ``rouge_score``.

    Examples
    --------
    >>> rouge_l_recall(["the cat sat on a mat"], ["The cat sat."]), rouge_l_recall(["mat cat"], ["cat mat"])
    (array([1.]), array([0.5]))
    """
    for name, texts in (("predictions", predictions), ("references", references)):
        if (
            isinstance(texts, str)
            or not isinstance(texts, (list, tuple))
            or any(not isinstance(t, str) for t in texts)
        ):
            raise InputError(f"{name} is no list of texts: pass one text per example")
    if len(predictions) != len(references) or not references:
        raise InputError(
            f"predictions has {len(predictions):,} texts and references {len(references):,}: pass one per example"
        )
    pairs = zip(predictions, references, strict=True)
    return np.array([_recall(_words(said, stem), _words(right, stem)) for said, right in pairs])


def _words(text: str, stem: Callable[[str], str] | None) -> list[str]:
    words = re.findall(r"[a-z0-9]+", text.lower())
    if stem is None:
        return words
    return [stem(word) if len(word) >= _SHORTEST_STEMMED else word for word in words]


def _recall(said: list[str], right: list[str]) -> float:
    if not right:
        return 0.0
    best = [0] * (len(right) + 1)  # longest common subsequence of what was said so far and each beginning of `right`
    for word in said:
        diagonal = 0
        for place, other in enumerate(right, start=1):
            above = best[place]
            best[place] = diagonal + 1 if word == other else max(above, best[place - 1])
            diagonal = above
    return best[-1] / len(right)
