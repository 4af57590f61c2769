"""Rows of text for a causal language model: from columns to tokens, and which of them are scored.

A row is the unit that membership is said of: nothing is packed. Prompt and completion are tokenized apart and joined
as token numbers, so that the border between them is the same in training, scoring and extraction, although a
tokenizer given the joined text may merge letters across it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from datasets import Dataset, Value, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from hf_privacy.arguments import check_instance, seen
from hf_privacy.arrays import IGNORED
from hf_privacy.data.chats import (
    TokenRow,
    answers,
    assistant_rows,
    completion_rows,
    conversations_of,
    spoken,
    token_ids,
)
from hf_privacy.data.columns import check_columns, is_text, require_rows
from hf_privacy.data.encoded_tokens import FEWEST_TEXTS, Tokens, is_storable, stored_tokens
from hf_privacy.data.processing import check_memory
from hf_privacy.data.stored_columns import TokenRows, stored_or_in_memory
from hf_privacy.data.tensors import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.progress import progress

_BATCH = 1000
_LONGEST_BLANK = 8  # tokens of white space behind the end-of-text token that a chat template writes
_FORMATS = (("text",), ("prompt", "completion"), ("messages",))
# What packing leaves in a dataset: where its documents begin, or the tokens alone.
PACKED = ("position_ids", "seq_lengths", "cu_seq_lens_q", "seq_idx")


def language_columns(dataset: Dataset, columns: str | Sequence[str] | None = None) -> list[str]:
    """Which columns hold the texts: those named, or found by the names that the ecosystem gives them.

    Parameters
    ----------
    columns : str or sequence of str, optional
        One column of texts or of messages, or two: prompt and completion.

    Returns
    -------
    list of str
        ``["text"]``, ``["prompt", "completion"]`` or ``["messages"]`` where nothing is named.

    Raises
    ------
    InputError
        Unknown columns, none of those names or more than one kind of them, or packed or tokenized data.

    Examples
    --------
    >>> language_columns(Dataset.from_dict({"id": [1], "prompt": ["a"], "completion": ["b"]}))
    ['prompt', 'completion']
    """
    require_rows(dataset)
    there = set(dataset.column_names)
    packed = [name for name in PACKED if name in there]
    if packed:
        raise InputError(
            f"the dataset has the column {packed[0]!r}, which packed rows have: pass the texts, one example a row, "
            "since a row is the unit that membership is said of"
        )
    if columns is not None:
        named = [columns] if isinstance(columns, str) else list(columns)
        if len(named) not in (1, 2):
            raise InputError(f"columns names {len(named)}: pass one of texts or messages, or prompt and completion")
        check_columns(dataset, named)
        return named
    found = [list(names) for names in _FORMATS if there.issuperset(names)]
    if len(found) == 1:
        check_columns(dataset, found[0])
        return found[0]
    if not found and "input_ids" in there:
        raise InputError("the dataset is tokenized already (input_ids): pass the texts, one example a row")
    names = ", ".join(" + ".join(names) for names in found or _FORMATS)
    seen = f"the dataset has the columns {', '.join(dataset.column_names)}"
    raise InputError(f"{seen}, and {'more than one' if found else 'none'} of {names}: name the columns of the texts")


def encode_language(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    columns: str | Sequence[str] | None = None,
    max_length: int | None = None,
    max_gigabytes: float | None = None,
    paraphrase_column: str | None = None,
) -> TensorDataset:
    """All rows tokenized, once: "input_ids", "attention_mask" and "labels", int64[N, L], padded on the right.

    A label is the token itself where it is scored and −100 elsewhere; labels are not shifted. Scored are: of a column
    of texts, every token; of a prompt and a completion, the whole completion; of messages, the assistant's turns; and
    the end-of-text token, once, at the end of every row that is not cut. The first token of a row never is, since
    nothing comes before it. A text gets the opening token that the tokenizer itself puts before one, once, also where
    the text brings it along; for messages the chat template alone says what a row opens with.

    Parameters
    ----------
    dataset : datasets.Dataset of N rows
    tokenizer : PreTrainedTokenizerBase
        With a pad token, which may be its end-of-text token.
    columns : str or sequence of str, optional
        One column of texts or of messages (lists of role and content), or two, prompt and completion, both of texts
        or both of messages; found by their names otherwise (`language_columns`).
    max_length : int, optional
        Rows of more tokens are cut at their end; by default at the tokenizer's own limit, if it has one. How many
        were is `TensorDataset.truncated`.
    max_gigabytes : float, optional
        Largest result allowed, were all rows padded in memory.
    paraphrase_column : str, optional
        A column of texts that say what the scored text of a row says (the text, or the completion); nothing, or an
        empty text, for a row without. Each is encoded as its row is, see `TensorDataset.paraphrased`.

    Returns
    -------
    TensorDataset
        With `TensorDataset.texts`, the scored text of each row as given: the text, the completion, or the contents of
        the assistant's turns joined by newlines; of a row that is cut, what its scored tokens say.

    Raises
    ------
    InputError
        Unknown columns, values that are missing or of another kind, empty texts or completions, no chat template,
        packed rows, rows without a scored token (such as prompts of `max_length` tokens), a tokenizer without pad or
        end-of-text token, or a result larger than `max_gigabytes`. Rows are counted, never shown.

    Examples
    --------
    >>> from tokenizers import Tokenizer, models, pre_tokenizers
    >>> from transformers import PreTrainedTokenizerFast
    >>> words = Tokenizer(models.WordLevel({"</s>": 0, "Who": 1, "?": 2, "Me": 3}))
    >>> words.pre_tokenizer = pre_tokenizers.Whitespace()
    >>> tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", pad_token="</s>")
    >>> rows = Dataset.from_dict({"question": ["Who?"], "answer": ["Me"]})
    >>> encode_language(rows, tokenizer, columns=("question", "answer")).column("labels")
    tensor([[-100, -100,    3,    0]])
    """
    names = language_columns(dataset, columns)
    if paraphrase_column is not None:
        both = concatenate_datasets([dataset.select_columns(names), _paraphrases(dataset, names, paraphrase_column)])
        encoded = encode_language(both, tokenizer, columns=names, max_length=max_length, max_gigabytes=max_gigabytes)
        return encoded.halved()
    _check_tokenizer(tokenizer)
    max_length = tokenizer.model_max_length if max_length is None else max_length  # 10³⁰ where it has no limit
    if isinstance(max_length, bool) or not isinstance(max_length, (int, np.integer)) or max_length < 2:
        raise InputError(
            f"max_length is {seen(max_length)}: pass a whole number of at least 2, since a row's first token is never "
            "scored"
        )
    values = [_column(dataset, name) for name in names]
    texts = list(_scored_texts(names, values))

    def tokenize() -> Tokens:
        return _tokenized(tokenizer, values, texts[0], max_length)

    if len(dataset) >= FEWEST_TEXTS and is_storable(tokenizer):
        settings = {"max_length": int(max_length), "for": "language"}
        tokens = stored_tokens(dataset, names, tokenizer, settings, tokenize)
    else:
        tokens = tokenize()
    cut = np.zeros(len(dataset), dtype=bool)
    for row, text in tokens.beside["cut"].items():
        cut[int(row)], texts[int(row)] = True, text
    return _dataset_of(tokens, cut, texts, tokenizer.pad_token_id, max_gigabytes)


def _tokenized(
    tokenizer: PreTrainedTokenizerBase, values: Sequence[list[Any]], first_text: str, max_length: int
) -> Tokens:
    """The rows' tokens and which are scored; beside them, of the rows that are cut, what their scored tokens say."""
    opening, turn_marks = _opening(tokenizer, first_text), _turn_marks(tokenizer)
    rows: list[tuple[np.ndarray, np.ndarray]] = []
    special = special_tokens(tokenizer)
    cut: dict[str, str] = {}
    packed = 0
    starts = range(0, len(values[0]), _BATCH)
    for start in progress(starts, description=f"tokenizing, {_BATCH} at a time"):
        parts = [column[start : start + _BATCH] for column in values]
        is_chat = isinstance(parts[0][0], list)
        for ids, scored in _chat_rows(tokenizer, parts) if is_chat else _text_rows(tokenizer, parts):
            _open(ids, scored, tokenizer.bos_token_id, [] if is_chat else opening)
            _close(ids, scored, tokenizer)
            packed += not is_chat and _holds_documents(ids, tokenizer.eos_token_id, turn_marks)
            if len(ids) > max_length:
                kept = [ids[place] for place in range(max_length) if scored[place] and ids[place] not in special]
                cut[str(len(rows))] = str(tokenizer.decode(kept, clean_up_tokenization_spaces=False))
            scored[0] = False
            rows.append((np.array(ids[:max_length], np.int32), np.array(scored[:max_length], bool)))
    if packed:
        raise InputError(
            f"{packed} rows hold the end-of-text token {tokenizer.eos_token!r} with more text behind it, as packed "
            "rows do: pass one document a row, and conversations as messages"
        )
    was_cut = np.zeros(len(rows), dtype=bool)
    was_cut[[int(row) for row in cut]] = True
    _check_scored([scored for _, scored in rows], was_cut, max_length)
    columns = {"input_ids": np.concatenate([ids for ids, _ in rows]), "scored": np.concatenate([s for _, s in rows])}
    return Tokens(columns, np.array([len(ids) for ids, _ in rows]), {"cut": cut})


def _paraphrases(dataset: Dataset, names: Sequence[str], column: str) -> Dataset:
    """The rows with the text that is scored put as its paraphrase does, where there is one."""
    check_columns(dataset, [column])
    scored = names[-1]
    for name in (column, scored):
        if not is_text(dataset.features[name]):
            raise InputError(f"column {name!r} holds no texts: a paraphrase is the text of a text or a completion")
    rows = dataset.with_format(None)[:]
    texts = [other or own for own, other in zip(rows[scored], rows[column], strict=True)]
    replaced = dataset.select_columns(names).remove_columns(scored)
    replaced = Dataset.from_dict({scored: texts}) if len(names) == 1 else replaced.add_column(scored, texts)
    return replaced.select_columns(names).cast(dataset.select_columns(names).features)


def _check_tokenizer(tokenizer: PreTrainedTokenizerBase) -> None:
    check_instance("tokenizer", tokenizer, PreTrainedTokenizerBase)
    if tokenizer.eos_token_id is None:
        raise InputError("the tokenizer has no end-of-text token, which ends every row: set tokenizer.eos_token")
    if tokenizer.pad_token_id is None:
        raise InputError("the tokenizer has no pad token: set tokenizer.pad_token = tokenizer.eos_token")


def _column(dataset: Dataset, name: str) -> list[Any]:
    """All values of a column: texts, or conversations."""
    feature = dataset.features[name]
    values = list(dataset.with_format(None)[:][name])
    if is_text(feature):
        missing = sum(value is None for value in values)
        if missing:
            raise InputError(f"column {name!r} has {missing} rows without a text: drop them")
        return values
    if isinstance(feature, Value):
        raise InputError(f"column {name!r} holds {feature.dtype} values: pass texts, or messages of role and content")
    return conversations_of(values, name)


def _scored_texts(names: Sequence[str], values: Sequence[list[Any]]) -> list[str]:
    """What is scored of each row, as given."""
    if len({isinstance(column[0], list) for column in values}) > 1:
        raise InputError(
            f"columns {names[0]!r} and {names[1]!r} are texts and messages: pass both as one or the other"
        )
    scored = values[-1]
    if isinstance(scored[0], list):
        scored = answers(scored) if len(values) == 1 else [spoken(completion) for completion in scored]
    empty = sum(not text for text in scored)
    if empty:
        what = "completion" if len(values) == 2 else "text"
        raise InputError(f"column {names[-1]!r} has {empty} rows with an empty {what}: drop them")
    return scored


def _text_rows(tokenizer: PreTrainedTokenizerBase, parts: Sequence[list[str]]) -> list[TokenRow]:
    scored = token_ids(tokenizer, parts[-1])
    before = token_ids(tokenizer, parts[0]) if len(parts) == 2 else [[] for _ in scored]
    return [([*p, *c], [False] * len(p) + [True] * len(c)) for p, c in zip(before, scored, strict=True)]


def _chat_rows(tokenizer: PreTrainedTokenizerBase, parts: Sequence[list[Any]]) -> list[TokenRow]:
    return assistant_rows(tokenizer, parts[0]) if len(parts) == 1 else completion_rows(tokenizer, *parts)


def _opening(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """What the tokenizer itself puts before a text."""
    bare, whole = token_ids(tokenizer, [text])[0], tokenizer(text, verbose=False)["input_ids"]
    places = [place for place in range(len(whole)) if whole[place : place + len(bare)] == bare]
    return whole[: places[0]] if places else []


def _open(ids: list[int], scored: list[bool], bos: int | None, opening: list[int]) -> None:
    """Let a row begin with what the tokenizer opens a text with, once, whoever else has put it there."""
    while bos is not None and ids[:1] == [bos] and (bos in opening or ids[1:2] == [bos]):
        del ids[0], scored[0]
    ids[:0] = opening
    scored[:0] = [False] * len(opening)


def _close(ids: list[int], scored: list[bool], tokenizer: PreTrainedTokenizerBase) -> None:
    """Let a row end with the end-of-text token, once, scored; white space that a template writes behind it goes."""
    eos = tokenizer.eos_token_id
    blank = next((n for n in range(1, min(_LONGEST_BLANK, len(ids) - 2) + 1) if ids[-n - 1] == eos), 0)
    if blank and ids[-1] != eos and not str(tokenizer.decode(ids[-blank:])).strip():
        del ids[-blank:], scored[-blank:]
    while ids[-2:] == [eos, eos]:
        del ids[-1], scored[-1]
    if ids[-1:] != [eos]:
        ids.append(eos)
        scored.append(True)
    scored[-1] = True


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Numbers of all tokens that are no text: those with a part to play, and those kept in reserve."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    return added | set(tokenizer.all_special_ids)


def _turn_marks(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Special tokens that a chat template may write behind an end-of-text token."""
    return special_tokens(tokenizer) - {tokenizer.bos_token_id, tokenizer.eos_token_id}


def _holds_documents(ids: list[int], eos: int, turn_marks: set[int]) -> bool:
    """Whether an end-of-text token has a new document behind it, and not the next turn of a conversation."""
    inside = [place for place in range(1, len(ids) - 1) if ids[place] == eos]
    return any(not turn_marks.intersection(ids[place + 1 : place + 3]) for place in inside)


def _check_scored(scored: Sequence[np.ndarray], cut: np.ndarray, max_length: int) -> None:
    empty = np.flatnonzero([not row.any() for row in scored])
    if not len(empty):
        return
    long = int(cut[empty].sum())
    numbers = ", ".join(map(str, empty[:5])) + (", …" if len(empty) > 5 else "")
    why = f", {long} of them since what comes before it fills all {max_length} tokens" if long else ""
    raise InputError(
        f"{len(empty)} of {len(scored)} rows have no scored token{why}: drop them"
        f"{' or raise max_length, up to what the model takes' if long else ''} (row {numbers})"
    )


def _dataset_of(
    tokens: Tokens, cut: np.ndarray, texts: list[str], pad: int, max_gigabytes: float | None
) -> TensorDataset:
    check_memory((len(texts), int(tokens.lengths.max())), 3 * 8, max_gigabytes, "texts")
    ids, scored, offsets = tokens.columns["input_ids"], tokens.columns["scored"], tokens.offsets
    rows = {
        "input_ids": TokenRows(ids, offsets, padding=pad, side="right"),
        "attention_mask": TokenRows(None, offsets, padding=0, side="right"),
        "labels": TokenRows(ids, offsets, padding=IGNORED, side="right", where=scored),
    }
    return TensorDataset(
        stored_or_in_memory(rows),
        padding_side="right",
        sequence_columns=list(rows),
        texts=texts,
        truncated=cut,
        token_counts=tokens.lengths,
    )
