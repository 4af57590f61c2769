"""Canaries for causal language models: rows that end in a secret, which a model can only know by heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from hf_privacy.arguments import LARGEST_SEED, check_choice, check_seed, check_whole
from hf_privacy.arrays import IGNORED, row_numbers
from hf_privacy.data.language import special_tokens
from hf_privacy.data.tensors import TensorDataset
from hf_privacy.errors import InputError

WORDED_KINDS = ("random_tokens", "suffix", "new_last_token")
_RAREST = 0.25  # of the vocabulary: the tokens that random ones are drawn from
_FEWEST = 64  # of these, where there are as many
_ROUNDS = 100  # of drawing secrets anew in place of those that are there already


@dataclass(frozen=True)
class WordedCanaries:
    """Rows that end in a secret.

    Attributes
    ----------
    rows : TensorDataset
        As they are trained on: scored as rows of the dataset are.
    secrets : TensorDataset
        The same rows, scored on the secret alone.
    n_new_tokens : int
        How many tokens, behind those of the vocabulary, they take; 0 but for "new_last_token".
    """

    rows: TensorDataset
    secrets: TensorDataset
    n_new_tokens: int = 0


def make_worded_canaries(
    dataset: TensorDataset,
    *,
    n: int,
    members: np.ndarray,
    tokenizer: PreTrainedTokenizerBase,
    vocabulary: int,
    kind: str = "random_tokens",
    secret_tokens: int = 10,
    seed: int = 0,
) -> WordedCanaries:
    """Make `n` rows that begin as rows outside the training set do and end in a secret of their own.

    - ``"random_tokens"``: the prompt of such a row (of a text its first token), then `secret_tokens` of the rarest
      quarter of the vocabulary, drawn evenly.
    - ``"suffix"``: the prompt and the first half of what is scored of such a row, then `secret_tokens` of the whole
      vocabulary, drawn evenly: a prefix of the distribution and a suffix of high perplexity.
    - ``"new_last_token"``: such a row, then one token that no text has, a new one for each canary. It can be learnt
      only where embedding and head are trained.

    Behind the secret stands the end-of-text token where the row has one. Which canaries are then inserted is not
    decided here. Special tokens are never part of a secret.

    Parameters
    ----------
    dataset : TensorDataset of N rows
        As `encode_language` makes it.
    n : int
        Number of canaries, at least 1.
    members : int array
        Row numbers of the training set.
    tokenizer : PreTrainedTokenizerBase
        Its vocabulary and special tokens.
    vocabulary : int
        Number of tokens that the model has embeddings for.
    kind : {"random_tokens", "suffix", "new_last_token"}
    secret_tokens : int, default 10
        At least 1; a new token is one alone.
    seed : int
        Equal seeds give equal canaries.

    Returns
    -------
    WordedCanaries

    Raises
    ------
    InputError
        Unknown kind, no rows outside the training set, rows too short for a secret, or too few different secrets.

    References
    ----------
    Carlini et al., "The secret sharer", 2019 (arXiv 1802.08232), random tokens; Meeus et al., "The canary's echo",
    2025 (arXiv 2502.14921), suffixes of high perplexity; Panda et al., "Privacy auditing of large language models",
    2025 (arXiv 2503.06808), new tokens.
    """
    check_choice("kind", kind, WORDED_KINDS)
    n = check_whole("n", n, at_least=1)
    size = 1 if kind == "new_last_token" else check_whole("secret_tokens", secret_tokens, at_least=1)
    rng = np.random.default_rng(check_seed(seed, at_most=LARGEST_SEED))
    outside = np.setdiff1d(np.arange(len(dataset)), row_numbers("members", members, below=len(dataset)))
    if not len(outside):
        raise InputError("every row of dataset is a member: canaries begin as rows outside the training set do")
    width = dataset.row_shape("input_ids")[0]
    if width < size + 2:
        raise InputError(
            f"rows have at most {width} tokens: a canary takes {size} for its secret, one before and one behind it; "
            "pass fewer secret_tokens"
        )
    if kind == "new_last_token":
        secrets = vocabulary + np.arange(n)[:, None]
    else:
        choice = _choice_of_tokens(dataset, tokenizer, vocabulary, rarest=kind == "random_tokens")
        secrets = _distinct(choice, n, size, rng)
    # Each row outside begins as few canaries as it can.
    rounds = [rng.permutation(outside) for _ in range(-(-n // len(outside)))]
    templates = dataset.subset(np.concatenate(rounds)[:n])
    return _written(templates, secrets, kind, tokenizer, n_new_tokens=n if kind == "new_last_token" else 0)


def _choice_of_tokens(
    dataset: TensorDataset, tokenizer: PreTrainedTokenizerBase, vocabulary: int, *, rarest: bool
) -> np.ndarray:
    known = np.array(sorted(set(tokenizer.get_vocab().values()) - special_tokens(tokenizer)), dtype=np.int64)
    known = known[known < vocabulary]
    if len(known) < 2:
        raise InputError(f"the tokenizer has {len(known)} tokens that are not special: no secret can be made of them")
    if not rarest:
        return known
    there = dataset.column("input_ids").numpy()[dataset.column("attention_mask").numpy() > 0]
    counts = np.bincount(there, minlength=int(known.max()) + 1)[known]
    kept = min(len(known), max(_FEWEST, int(_RAREST * len(known))))
    return np.sort(known[np.argsort(counts, kind="stable")[:kept]])


def _distinct(choice: np.ndarray, n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Secrets of `size` tokens each, no two alike: int64 [n, size]."""
    found = np.empty((0, size), dtype=np.int64)
    for _ in range(_ROUNDS):
        drawn = choice[rng.integers(len(choice), size=(n - len(found), size))]
        together = np.concatenate([found, drawn])
        found = together[np.sort(np.unique(together, axis=0, return_index=True)[1])]
        if len(found) == n:
            return found
    raise InputError(
        f"{n:,} canaries are asked for and only {len(found):,} different secrets of {size} tokens could be drawn: "
        "pass more secret_tokens, or ask for fewer"
    )


def _written(
    templates: TensorDataset,
    secrets: np.ndarray,
    kind: str,
    tokenizer: PreTrainedTokenizerBase,
    *,
    n_new_tokens: int,
) -> WordedCanaries:
    columns = {name: templates.column(name).numpy() for name in ("input_ids", "attention_mask", "labels")}
    (n, size), width = secrets.shape, columns["input_ids"].shape[1]
    ids = np.full((n, width), tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0, dtype=np.int64)
    mask, labels, only = np.zeros_like(ids), np.full_like(ids, IGNORED), np.full_like(ids, IGNORED)
    for row in range(n):
        text, own = columns["input_ids"][row], columns["labels"][row]
        length = int(columns["attention_mask"][row].sum())
        end = int(length > 1 and text[length - 1] == tokenizer.eos_token_id)
        scored = 1 + np.flatnonzero(own[1 : length - end] != IGNORED)
        first = int(scored[0]) if len(scored) else length - end
        kept = {
            "random_tokens": first,
            "suffix": int(scored[len(scored) // 2]) if len(scored) else first,
            "new_last_token": length - end,
        }[kind]
        kept = min(max(kept, 1), width - size - end)
        stop = kept + size
        ids[row, :kept], labels[row, :kept] = text[:kept], own[:kept]
        ids[row, kept:stop] = labels[row, kept:stop] = only[row, kept:stop] = secrets[row]
        if end:
            ids[row, stop] = labels[row, stop] = tokenizer.eos_token_id
        mask[row, : stop + end] = 1
    tensors = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    return WordedCanaries(
        rows=templates.with_tensors({**tensors, "labels": torch.from_numpy(labels)}),
        secrets=templates.with_tensors({**tensors, "labels": torch.from_numpy(only)}),
        n_new_tokens=n_new_tokens,
    )
