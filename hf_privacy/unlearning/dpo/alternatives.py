"""The forget rows' prompts with other answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from hf_privacy.arrays import IGNORED
from hf_privacy.data import TensorDataset
from hf_privacy.data.chats import token_ids
from hf_privacy.errors import InputError


class BesideAlternatives:
    """A dataset whose batches hold, in "alternative", those of the same rows of another."""

    augmentation = None  # of tokens there is none

    def __init__(self, dataset: TensorDataset, alternatives: TensorDataset) -> None:
        self.dataset, self.alternatives = dataset, alternatives

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitems__(self, indices: Sequence[int]) -> dict[str, Any]:
        return {**self.dataset.__getitems__(indices), "alternative": self.alternatives.__getitems__(indices)}


def with_other_answers(
    forget: TensorDataset, tokenizer: Any, answers: Sequence[str], *, generator: torch.Generator
) -> TensorDataset:
    """Each row's prompt, that is all before its first scored token, with one of the answers, drawn by chance.

    The answer is scored, and the end-of-text token; a row without a prompt keeps its first token as one.

    Parameters
    ----------
    forget : TensorDataset
        Rows of tokens, padded on the right.
    tokenizer : PreTrainedTokenizerBase
    answers : sequence of str
    generator : torch.Generator

    Returns
    -------
    TensorDataset
        As many rows, in the same order.
    """
    encoded = [[*ids, tokenizer.eos_token_id] for ids in token_ids(tokenizer, list(answers))]
    drawn = torch.randint(len(encoded), (len(forget),), generator=generator).tolist()
    rows = []
    for ids, labels, number in zip(forget.column("input_ids"), forget.column("labels"), drawn, strict=True):
        scored = (labels != IGNORED).nonzero().flatten()
        begin = max(1, int(scored[0])) if len(scored) else 1
        rows.append((ids[:begin].tolist(), encoded[number]))
    longest = max(len(prompt) + len(answer) for prompt, answer in rows)
    shape = (len(rows), longest)
    ids = torch.full(shape, tokenizer.pad_token_id, dtype=torch.int64)
    mask, labels = torch.zeros(shape, dtype=torch.int64), torch.full(shape, IGNORED, dtype=torch.int64)
    for number, (prompt, answer) in enumerate(rows):
        end = len(prompt) + len(answer)
        ids[number, :end] = torch.tensor([*prompt, *answer])
        mask[number, :end] = 1
        labels[number, len(prompt) : end] = torch.tensor(answer)
    return forget.with_tensors({"input_ids": ids, "attention_mask": mask, "labels": labels})


def check_alternatives(alternatives: Any, forget: TensorDataset) -> None:
    """Refuse what is no dataset of one row for each of the forget rows."""
    if not isinstance(alternatives, TensorDataset) or len(alternatives) != len(forget):
        what = f"{len(alternatives)} rows" if isinstance(alternatives, TensorDataset) else type(alternatives).__name__
        raise InputError(
            f"alternative_dataset is {what} and forget_dataset has {len(forget)}: pass a TensorDataset with another "
            "answer to each of them, in their order"
        )
    if set(alternatives.column_names) != set(forget.column_names):
        raise InputError(
            f"alternative_dataset has the columns {sorted(alternatives.column_names)} and forget_dataset "
            f"{sorted(forget.column_names)}: encode them alike"
        )
