"""What a classifier sees of a text without any model: its words, how long it is, and the dates in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError

# A word that hardly any text has tells few of them apart.
_FEWEST_TEXTS = 0.05
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR = r"(?<!\d)(1\d{3}|20\d{2})"
_NUMBERED = re.compile(_YEAR + r"[-/.](0?[1-9]|1[0-2])(?:[-/.](0?[1-9]|[12]\d|3[01]))?(?!\d)")
_NAMED = re.compile(rf"\b({'|'.join(_MONTHS)})[a-z]*\.?,?\s+(?:(\d{{1,2}})(?:st|nd|rd|th)?,?\s+)?{_YEAR}(?!\d)", re.I)
_PLAIN = re.compile(_YEAR + r"(?!\d)")


def text_features(dataset: TensorDataset, texts: Sequence[str] | None = None, *, max_words: int = 2048) -> np.ndarray:
    """Each text as one row of numbers: counts of its words, lengths, and its dates.

    - Words in lower case, of `texts`, that at least 5 % of them hold. Without `texts`, the numbers of the tokens are
      counted in their place and, where the dataset knows what is scored of each row as text, the words of that.
    - Numbers of tokens, scored tokens, characters and words.
    - Number of dates, the earliest, the latest and their mean, in years (a month counts a twelfth); 0 without one.
      Read are years from 1000 to 2099, alone, as 2024-05-31 or 2024/5, and with an English month before them.

    Parameters
    ----------
    dataset : TensorDataset of N examples
        With "input_ids" and, where there is padding, "attention_mask" [N, L]; "labels" [N, L] mark scored tokens.
    texts : sequence of str, optional
        The whole text of each row, what is not scored included.
    max_words : int
        Most words, and most tokens, that are counted: the most frequent ones.

    Returns
    -------
    float32 array of shape [N, D]

    Raises
    ------
    InputError
        For a dataset that is empty or has no tokens, or texts of another number.

    References
    ----------
    Bag of words: Meeus et al., 2024, "SoK: Membership inference attacks on LLMs are rushing nowhere" (arXiv
    2406.17975); dates: Das et al., 2024, "Blind baselines beat membership inference attacks for foundation models"
    (arXiv 2406.16201).

    Examples
    --------
    >>> rows = TensorDataset({"input_ids": torch.tensor([[5, 7, 7]])})
    >>> text_features(rows, ["In May 2024, in 2020"])[0, -4:].tolist()
    [2.0, 2020.0, 2024.3333740234375, 2022.1666259765625]
    """
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example")
    if "input_ids" not in dataset.column_names:
        raise InputError(f"dataset has the columns {sorted(dataset.column_names)}: texts are input_ids")
    if texts is not None and len(texts) != len(dataset):
        raise InputError(f"texts are {len(texts):,} for {len(dataset):,} examples: pass one for each")
    tokens = _token_lists(dataset)
    known = dataset.texts if texts is None else list(texts)
    blocks = [_lengths(dataset, tokens)]
    if texts is None:
        blocks.append(_counts(tokens, max_words, words=False))
    if known is not None:
        blocks.append(_counts(known, max_words, words=True))
        blocks.append(np.array([[len(text), len(text.split())] for text in known], dtype=np.float32))
        blocks.append(np.array([_dates(text) for text in known], dtype=np.float32))
    return np.concatenate(blocks, axis=1)


def _token_lists(dataset: TensorDataset) -> list[list[int]]:
    ids = dataset.column("input_ids")
    attended = dataset.column("attention_mask") if "attention_mask" in dataset.column_names else torch.ones_like(ids)
    return [row[mask].tolist() for row, mask in zip(ids, attended > 0, strict=True)]


def _lengths(dataset: TensorDataset, tokens: list[list[int]]) -> np.ndarray:
    lengths = [np.array([len(row) for row in tokens])]
    if "labels" in dataset.column_names and dataset.column("labels").ndim == 2:
        lengths.append((dataset.column("labels") >= 0).sum(dim=1).numpy())
    return np.stack(lengths, axis=1).astype(np.float32)


def _counts(rows: Sequence[str] | list[list[int]], most: int, *, words: bool) -> np.ndarray:
    """Bag of words, or of token numbers: float32 [N, at most ``most``]."""
    # scikit-learn takes a second to import, which only an audit that looks at texts should cost.
    from sklearn.feature_extraction.text import CountVectorizer

    analyzer = {"token_pattern": r"(?u)\b\w+\b"} if words else {"analyzer": list}
    try:
        counted = CountVectorizer(min_df=_FEWEST_TEXTS, max_features=most, dtype=np.float32, **analyzer)
        return counted.fit_transform(rows).toarray()
    except ValueError:  # no word is in so many of them
        return np.empty((len(rows), 0), dtype=np.float32)


def _dates(text: str) -> list[float]:
    """Number of dates, the earliest, the latest, their mean."""
    found: list[float] = []

    def numbered(match: re.Match) -> str:
        year, month, day = match.groups()
        found.append(_in_years(year, int(month), day))
        return " "

    def named(match: re.Match) -> str:
        month, day, year = match.groups()
        found.append(_in_years(year, _MONTHS.index(month.lower()) + 1, day))
        return " "

    rest = _NAMED.sub(named, _NUMBERED.sub(numbered, text))
    found += [float(year) for year in _PLAIN.findall(rest)]
    return [float(len(found)), min(found), max(found), sum(found) / len(found)] if found else [0.0] * 4


def _in_years(year: str, month: int, day: str | None) -> float:
    return int(year) + (month - 1) / 12 + (int(day) - 1 if day else 0) / 372
