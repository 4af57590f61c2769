"""Conversations as token numbers: what the chat template makes of them, and which of it the assistant said.

A chat template is the only one to add special tokens: what it writes is tokenized as it is, as in training with
`trl` and in generation. Which tokens are an assistant's is told by the template's own ``{% generation %}`` blocks or,
without them, by comparing renderings: of the messages before a turn, and of those up to its end.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import Any

import jinja2
from transformers import PreTrainedTokenizerBase

from hf_privacy.errors import InputError, one_line

Conversation = list[dict[str, Any]]
TokenRow = tuple[list[int], list[bool]]  # token numbers, and which of them are scored

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_ASSISTANT = "assistant"


def conversations_of(values: Sequence[Any], column: str) -> list[Conversation]:
    """The messages of each row, without the keys that are empty.

    Raises
    ------
    InputError
        For rows that are missing, empty, or no list of messages with a role and a text; counts them.
    """
    others = sum(not _is_conversation(value) for value in values)
    if others:
        raise InputError(
            f"column {column!r} has {others} rows that are no list of messages, each with a role and a content of "
            "text: drop or convert them"
        )
    return [[{key: part for key, part in turn.items() if part is not None} for turn in value] for value in values]


def answers(conversations: Sequence[Conversation]) -> list[str]:
    """What the assistant says in each conversation, turns joined by newlines.

    Raises
    ------
    InputError
        For conversations without a turn of the assistant; counts them.

    Examples
    --------
    >>> answers([[{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]])
    ['Me.']
    """
    silent = sum(not _turns(conversation) for conversation in conversations)
    if silent:
        raise InputError(
            f"{silent} conversations have no turn of the role 'assistant': nothing of them would be scored"
        )
    return [spoken([conversation[turn] for turn in _turns(conversation)]) for conversation in conversations]


def spoken(conversation: Conversation) -> str:
    """The contents of the messages, joined by newlines."""
    return "\n".join(turn["content"] for turn in conversation)


def assistant_rows(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation]) -> list[TokenRow]:
    """Each conversation up to its last assistant turn (it has one), with the tokens of all assistant turns scored.

    Raises
    ------
    InputError
        No chat template, one that refuses these messages, or renderings of which one does not begin as the one before.
    """
    template = _template(tokenizer)
    heard = [conversation[: _turns(conversation)[-1] + 1] for conversation in conversations]
    if _GENERATION.search(template):
        made = _rendered(
            tokenizer, heard, return_dict=True, return_assistant_tokens_mask=True, tokenizer_kwargs={"verbose": False}
        )
        pairs = zip(made["input_ids"], made["assistant_masks"], strict=True)
        return [(list(ids), [bool(said) for said in mask]) for ids, mask in pairs]
    turns = [_turns(conversation) for conversation in heard]
    begun = _texts(
        tokenizer, [c[:turn] for c, places in zip(heard, turns, strict=True) for turn in places], opened=True
    )
    ended = _texts(tokenizer, [c[: turn + 1] for c, places in zip(heard, turns, strict=True) for turn in places])
    pairs = iter(zip(begun, ended, strict=True))
    return _scored_rows(tokenizer, [[text for _ in places for text in next(pairs)] for places in turns])


def completion_rows(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Conversation], completions: Sequence[Conversation]
) -> list[TokenRow]:
    """Prompt and completion given as messages: all that follows the rendered prompt is scored.

    Raises
    ------
    InputError
        As `assistant_rows`.
    """
    _template(tokenizer)
    begun = _texts(tokenizer, prompts, opened=True)
    whole = _texts(tokenizer, [[*p, *c] for p, c in zip(prompts, completions, strict=True)])
    return _scored_rows(tokenizer, [list(pair) for pair in zip(begun, whole, strict=True)])


def _is_conversation(value: Any) -> bool:
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(turn, dict) and isinstance(turn.get("role"), str) and isinstance(turn.get("content"), str)
        for turn in value
    )


def _turns(conversation: Conversation) -> list[int]:
    return [number for number, turn in enumerate(conversation) if turn["role"] == _ASSISTANT]


def _template(tokenizer: PreTrainedTokenizerBase) -> str:
    try:
        return tokenizer.get_chat_template()
    except ValueError as error:
        raise InputError(
            "the rows are messages and the tokenizer has no chat template (or several, and none by default): set "
            "tokenizer.chat_template, or pass prompt and completion as text"
        ) from error


def _rendered(tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation], **settings: Any) -> Any:
    try:
        return tokenizer.apply_chat_template(list(conversations), **settings)
    except (jinja2.TemplateError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            f"the tokenizer's chat template does not take the messages of some rows: {one_line(error)}"
        ) from error


def _texts(
    tokenizer: PreTrainedTokenizerBase, conversations: Sequence[Conversation], *, opened: bool = False
) -> list[str]:
    """What the template makes of each, ending where an assistant's turn begins if `opened`; of no message, nothing."""
    some = [conversation for conversation in conversations if conversation]
    made = iter(_rendered(tokenizer, some, tokenize=False, add_generation_prompt=opened) if some else ())
    return [next(made) if conversation else "" for conversation in conversations]


def _scored_rows(tokenizer: PreTrainedTokenizerBase, rows: Sequence[list[str]]) -> list[TokenRow]:
    """Each row's last rendering, of which is scored what every second rendering adds to the one before it.

    A row whose tokens merge across such a border is tokenized in pieces, so that none is on both sides of it.
    """
    strange = sum(not all(after.startswith(before) for before, after in itertools.pairwise(row)) for row in rows)
    if strange:
        raise InputError(
            f"the tokenizer's chat template writes the beginning of {strange} conversations otherwise once more "
            "follows, so that where an assistant's turn begins cannot be told: mark it with {% generation %} in the "
            "template, or pass prompt and completion as text"
        )
    numbers = iter(token_ids(tokenizer, [text for row in rows for text in row]))
    made = []
    for texts in rows:
        renderings = [next(numbers) for _ in texts]
        if any(after[: len(before)] != before for before, after in itertools.pairwise(renderings)):
            pieces = [texts[0], *(after[len(before) :] for before, after in itertools.pairwise(texts))]
            renderings = list(itertools.accumulate(token_ids(tokenizer, pieces)))
        scored = [False] * len(renderings[-1])
        for before, after in zip(renderings[::2], renderings[1::2], strict=True):
            scored[len(before) : len(after)] = [True] * (len(after) - len(before))
        made.append((list(renderings[-1]), scored))
    return made


def token_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """The tokens of each text alone, without those that the tokenizer puts around one."""
    return tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
