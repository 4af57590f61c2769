"""Questions with a right answer and wrong ones: what a model says of each, as TOFU reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_privacy.arrays import IGNORED
from hf_privacy.data import TensorDataset, encode_language
from hf_privacy.data.columns import check_columns
from hf_privacy.errors import InputError
from hf_privacy.forgetting import (
    answer_probability,
    exact_memorization,
    extraction_strength,
    rouge_l_recall,
    tofu_utility,
    truth_ratio,
    truth_ratio_scores,
)
from hf_privacy.signals import TokenSignals, token_signals
from hf_privacy.unlearning.judging.generation import greedy_texts

KEPT_SETS = ("retain", "real_authors", "world_facts")


@dataclass(frozen=True, eq=False)
class AnswerRows:
    """N questions, encoded with each of their answers.

    Attributes
    ----------
    answer : TensorDataset of N rows
        The right answer; its ``texts`` are what a generated one is held against.
    paraphrase : TensorDataset of N rows
        What the wrong answers are compared with: the right answer in other words, or itself where there is none.
    perturbed : TensorDataset of N · K rows
        The wrong answers, question after question.
    has_paraphrase : bool
        Where False, the probability of an answer is its share among the wrong ones too, as TOFU has it for real
        authors and world facts.
    """

    answer: TensorDataset
    paraphrase: TensorDataset
    perturbed: TensorDataset
    has_paraphrase: bool

    def __len__(self) -> int:
        """Number of questions."""
        return len(self.answer)

    @classmethod
    def encode(
        cls,
        rows: Dataset,
        tokenizer: PreTrainedTokenizerBase,
        *,
        question: str = "question",
        answer: str = "answer",
        paraphrase: str | None = "paraphrased_answer",
        perturbed: str = "perturbed_answer",
        max_length: int | None = None,
    ) -> AnswerRows:
        """Tokenize as training does.

        Parameters
        ----------
        rows : datasets.Dataset
            ``perturbed`` holds a list of wrong answers, as many in every row.
        tokenizer : PreTrainedTokenizerBase
        question, answer, paraphrase, perturbed : str
            Columns; ``paraphrase`` None where the rows have none.
        max_length : int, optional
            As in `hf_privacy.data.encode_language`.

        Raises
        ------
        InputError
            For a column that is missing, rows with different numbers of wrong answers or none, and as
            `encode_language`.
        """
        check_columns(rows, [name for name in (question, answer, paraphrase, perturbed) if name is not None])
        wrong = list(rows.with_format(None)[:][perturbed])
        counts = {len(texts) if isinstance(texts, list) else -1 for texts in wrong}
        if len(counts) != 1 or counts & {0, -1}:
            raise InputError(f"column {perturbed!r} does not hold lists of as many wrong answers in every row")

        def encoded(questions: Sequence[str], texts: Sequence[str]) -> TensorDataset:
            pairs = Dataset.from_dict({"prompt": list(questions), "completion": list(texts)})
            return encode_language(pairs, tokenizer, max_length=max_length)

        asked = list(rows[question])
        n_wrong = counts.pop()
        right = encoded(asked, rows[answer])
        return cls(
            right,
            right if paraphrase is None else encoded(asked, rows[paraphrase]),
            encoded([one for one in asked for _ in range(n_wrong)], [text for texts in wrong for text in texts]),
            paraphrase is not None,
        )

    def subset(self, rows: np.ndarray | Sequence[int]) -> AnswerRows:
        """These questions alone, in this order."""
        indices = np.asarray(rows, dtype=np.int64)
        n_wrong = len(self.perturbed) // len(self)
        wrong = (indices[:, None] * n_wrong + np.arange(n_wrong)).ravel()
        right = self.answer.subset(indices)
        paraphrase = self.paraphrase.subset(indices) if self.has_paraphrase else right
        return AnswerRows(right, paraphrase, self.perturbed.subset(wrong), self.has_paraphrase)


def answer_figures(
    model: torch.nn.Module,
    rows: AnswerRows,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    max_new_tokens: int = 200,
    batch_size: int = 64,
) -> dict[str, np.ndarray]:
    """What one model says of each question: float64 [N] by name.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model, adapted or not.
    rows : AnswerRows
    tokenizer : PreTrainedTokenizerBase, optional
        Where it is passed, answers are generated too, greedily.
    max_new_tokens : int, default 200
        Of a generated answer.
    batch_size : int

    Returns
    -------
    dict
        "log_likelihood" (mean over the answer's tokens, in nats), "probability"
        (`hf_privacy.forgetting.answer_probability`), "truth_ratio", "exact_memorization", "extraction_strength"; and
        "rouge" (`hf_privacy.forgetting.rouge_l_recall`, without stems) with a tokenizer. Private, as the rows are.

    Raises
    ------
    InputError
        As `hf_privacy.signals.token_signals`.
    """
    said = _signals(model, rows.answer, batch_size)
    likelihood = said.examples()["phi"]
    paraphrase = likelihood
    if rows.has_paraphrase:
        paraphrase = _signals(model, rows.paraphrase, batch_size).examples()["phi"]
    wrong = _signals(model, rows.perturbed, batch_size).examples()["phi"].reshape(len(rows), -1)
    found = {
        "log_likelihood": likelihood,
        "probability": answer_probability(likelihood, None if rows.has_paraphrase else wrong),
        "truth_ratio": truth_ratio(paraphrase, wrong),
        "exact_memorization": exact_memorization(said.greedy, said.offsets),
        "extraction_strength": extraction_strength(said.greedy, said.offsets),
    }
    if tokenizer is not None:
        texts = greedy_texts(
            model, prompts(rows.answer), tokenizer, max_new_tokens=max_new_tokens, batch_size=batch_size
        )
        found["rouge"] = rouge_l_recall(texts, list(rows.answer.texts or []))
    return found


def kept_utility(figures: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, float]:
    """TOFU's utility and the nine figures under it, from `answer_figures` of the three sets to be kept.

    Parameters
    ----------
    figures : mapping of str to mapping
        By `KEPT_SETS`; generated answers included.

    Returns
    -------
    dict
        "utility", and for each set "<set>_probability", "<set>_rouge", "<set>_truth_ratio".

    Raises
    ------
    InputError
        If a set is missing, or its answers were not generated.

    Examples
    --------
    >>> one = {"probability": np.array([0.5]), "rouge": np.array([0.5]), "truth_ratio": np.array([0.5])}
    >>> kept_utility({"retain": one, "real_authors": one, "world_facts": one})["utility"]
    0.5
    """
    parts: dict[str, list[float]] = {"probability": [], "rouge": [], "truth_ratio": []}
    for name in KEPT_SETS:
        if name not in figures or "rouge" not in figures[name]:
            raise InputError(f"figures lack {name!r} or its generated answers: pass answer_figures with a tokenizer")
        of_set: Mapping[str, Any] = figures[name]
        parts["probability"].append(float(of_set["probability"].mean()))
        parts["rouge"].append(float(of_set["rouge"].mean()))
        parts["truth_ratio"].append(float(truth_ratio_scores(of_set["truth_ratio"], part="kept").mean()))
    named = {f"{name}_{figure}": parts[figure][place] for figure in parts for place, name in enumerate(KEPT_SETS)}
    return {"utility": tofu_utility(**parts), **named}


def prompts(rows: TensorDataset) -> list[list[int]]:
    """What stands before the first scored token of each row: what a model is asked with, token by token."""
    found = []
    for ids, labels in zip(rows.column("input_ids").tolist(), rows.column("labels").tolist(), strict=True):
        found.append(ids[: next(place for place, label in enumerate(labels) if label != IGNORED)])
    return found


def _signals(model: torch.nn.Module, dataset: TensorDataset, batch_size: int) -> TokenSignals:
    """`token_signals`, rows of alike length side by side: nothing is computed over padding."""
    order = np.argsort(dataset.column("attention_mask").sum(dim=1).numpy(), kind="stable")
    found = token_signals(model, dataset.subset(order), batch_size=batch_size)
    return found.rows(np.argsort(order, kind="stable"))
