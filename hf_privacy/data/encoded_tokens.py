"""Rows of tokens in the encoded store: one behind the other as int32, padded when a batch is made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from hf_privacy.atomic_file import write_through
from hf_privacy.data.canonical import stored_fingerprint
from hf_privacy.data.encoded_images import class_facts
from hf_privacy.data.encoded_store import StoredArray, entry_name, save_array, stored

FEWEST_TEXTS = 2000  # fewer are tokenized in less time than their entry takes to look for
_PACKAGES = ("tokenizers", "transformers")
_LENGTHS, _BESIDE = "lengths.npy", "beside.json"


class Tokens(NamedTuple):
    """What a tokenizer made of N rows.

    Attributes
    ----------
    columns : dict of str to array[T]
        Of equal shape, the rows one behind the other.
    lengths : int64[N]
    beside : dict
        Whatever JSON keeps.
    """

    columns: Mapping[str, Any]
    lengths: np.ndarray
    beside: Mapping[str, Any]

    @property
    def offsets(self) -> np.ndarray:
        """Where each row begins and the last one ends, int64[N + 1]."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])


def stored_tokens(
    dataset: Dataset,
    columns: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    settings: Mapping[str, Any],
    tokenize: Callable[[], Tokens],
) -> Tokens:
    """What `tokenize` makes of columns of texts, made now or found in the store; its columns are `StoredArray`.

    Parameters
    ----------
    settings : dict
        What else its result depends on.
    """
    facts = {
        "rows": stored_fingerprint(dataset.select_columns(list(columns)), columns),
        "columns": list(columns),
        "tokenizer": _tokenizer_facts(tokenizer),
        "settings": dict(settings),
    }
    name = entry_name("tokens", facts)

    def make(folders: Mapping[str, Path]) -> None:
        folder, tokens = folders[name], tokenize()
        for column, values in tokens.columns.items():
            save_array(folder / f"{column}.npy", values)
        save_array(folder / _LENGTHS, tokens.lengths)
        beside = {**tokens.beside, "columns": list(tokens.columns)}
        write_through(folder / _BESIDE, json.dumps(beside).encode(), mode=0o600)

    folder = stored([name], make)[name]
    beside = json.loads((folder / _BESIDE).read_text(encoding="utf-8"))
    found = {column: StoredArray(folder / f"{column}.npy") for column in beside.pop("columns")}
    return Tokens(found, np.load(folder / _LENGTHS), beside)


def is_storable(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether what a tokenizer does can be told from its configuration: one of the library "tokenizers"."""
    return getattr(tokenizer, "backend_tokenizer", None) is not None


def _tokenizer_facts(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for passing in ("truncation", "padding"):  # are set by whoever calls it
        state.pop(passing, None)
    options = {name: value for name, value in tokenizer.init_kwargs.items() if name != "name_or_path"}
    return {
        **class_facts(tokenizer, _PACKAGES),
        "state": hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest(),
        "options": options,
        "special": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "names": tokenizer.model_input_names,
        # Neither is in the state where it was set on the tokenizer after it was loaded.
        "cut": tokenizer.truncation_side,
        "splits_special": getattr(tokenizer, "split_special_tokens", False),
        "template": getattr(tokenizer, "chat_template", None),
    }
