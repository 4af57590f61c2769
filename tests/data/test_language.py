"""Rows of text become tokens, of which the right ones are scored, whoever adds special tokens and where they merge."""

from __future__ import annotations

import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import byte_level, llama_like
from transformers import AutoTokenizer

from hf_privacy.data import encode_language, language_columns
from hf_privacy.errors import InputError

STORIES = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "pretrained" / "stories260K"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %} {{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
TAGGED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>{% endif %}"
    "{{ '\n' }}{% endfor %}"
)


TOKENIZERS = {
    "gpt2": byte_level(),
    "gpt2 with bos": byte_level(bos=True),
    "pad apart": byte_level(pad="<pad>"),
    "llama": llama_like(),
    "llama that ends": llama_like(ends=True),
}


@pytest.fixture(params=list(TOKENIZERS))
def tokenizer(request):
    return TOKENIZERS[request.param]


def rows_of(encoded) -> list[tuple[list[int], list[int]]]:
    """Each row without its padding: tokens, and labels."""
    columns = [encoded.column(name).tolist() for name in ("input_ids", "labels", "attention_mask")]
    return [(ids[: sum(mask)], labels[: sum(mask)]) for ids, labels, mask in zip(*columns, strict=True)]


def bare(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def opening(tokenizer) -> list[int]:
    return [tokenizer.bos_token_id] if tokenizer.bos_token == "<s>" else []


PAIRS = [("who is it?", "it is me."), ("a?", "b"), ("the", " cat"), ("a", "a" * 30), ("the c", "at sat on the mat")]


def test_prompt_and_completion_are_joined_as_token_numbers_and_the_whole_completion_is_scored(tokenizer):
    dataset = Dataset.from_dict({"prompt": [p for p, _ in PAIRS], "completion": [c for _, c in PAIRS]})
    encoded = encode_language(dataset, tokenizer)
    merged = 0
    for (prompt, completion), (ids, labels) in zip(PAIRS, rows_of(encoded), strict=True):
        before, after = bare(tokenizer, prompt), bare(tokenizer, completion)
        assert ids == [*opening(tokenizer), *before, *after, tokenizer.eos_token_id]
        scored = [*after, tokenizer.eos_token_id]
        assert labels == [-100] * (len(ids) - len(scored)) + scored
        merged += bare(tokenizer, prompt + completion) != before + after
    assert merged  # some pair does merge across its border
    assert encoded.texts == [c for _, c in PAIRS]
    assert encoded.truncated == 0


def test_a_text_opens_once_and_ends_once_whoever_writes_its_special_tokens(tokenizer):
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    texts = ["the cat", f"the cat{eos}", f"{bos}the cat", f"{bos}{bos}the cat{eos}{eos}", f"the cat{eos} "]
    plain = bare(tokenizer, "the cat")
    encoded = encode_language(Dataset.from_dict({"text": texts}), tokenizer)
    for text, (ids, labels) in zip(texts, rows_of(encoded), strict=True):
        begins = [tokenizer.bos_token_id] if bos == "<s>" or text.startswith(bos) else []
        # Behind a special token the text is tokenized as this tokenizer does it there.
        middle = bare(tokenizer, text.replace(bos, "").replace(eos, "").rstrip()) if begins != [] else plain
        assert [*begins, *middle, tokenizer.eos_token_id] == ids
        assert labels == [-100, *ids[1:]]
        assert ids.count(tokenizer.eos_token_id) == 1 + (bos == eos and bool(begins))


def test_the_end_is_attended_and_scored_also_where_rows_are_padded_with_it(tokenizer):
    encoded = encode_language(Dataset.from_dict({"text": ["the cat sat on the mat", "the"]}), tokenizer)
    batch = encoded.__getitems__([0, 1])
    n = int(batch["attention_mask"][1].sum())
    assert batch["labels"][1, n - 1] == batch["input_ids"][1, n - 1] == tokenizer.eos_token_id
    assert (batch["labels"][1, n:] == -100).all()
    assert (batch["input_ids"][1, n:] == tokenizer.pad_token_id).all()
    assert (batch["attention_mask"][1, n:] == 0).all()
    alone = encoded.__getitems__([1])
    assert {name: tensor.shape for name, tensor in alone.items()} == dict.fromkeys(batch, torch.Size([1, n]))


def test_cut_rows_are_counted_and_their_end_is_not_scored(tokenizer):
    texts = ["the cat sat on the mat who is it?", "the"]
    whole = rows_of(encode_language(Dataset.from_dict({"text": texts}), tokenizer))
    longest = len(whole[0][0])
    for limit in (longest, longest - 1, 4):
        encoded = encode_language(Dataset.from_dict({"text": texts}), tokenizer, max_length=limit)
        assert encoded.truncated == (limit < longest)
        assert (encoded.subset([0]).truncated, encoded.subset([1]).truncated) == (int(limit < longest), 0)
        ids, labels = rows_of(encoded)[0]
        assert (ids, labels) == (whole[0][0][:limit], whole[0][1][:limit])
        assert (tokenizer.eos_token_id in labels) == (limit == longest)
        # What zlib is given is what is scored, and of a whole row the text as it came.
        assert encoded.texts[1] == texts[1]
        assert texts[0].startswith(encoded.texts[0].strip())
        assert (encoded.texts[0] == texts[0]) == (limit >= longest - 1)


def test_rows_without_a_scored_token_are_counted_and_the_long_prompt_is_named(tokenizer):
    dataset = Dataset.from_dict({"prompt": ["the cat sat on the mat " * 9, "a", "x" * 99], "completion": ["b"] * 3})
    with pytest.raises(InputError, match=r"2 of 3 rows .* fills all 8 tokens.*\(row 0, 2\)") as refused:
        encode_language(dataset, tokenizer, max_length=8)
    assert "cat" not in str(refused.value)


def test_texts_are_as_given_and_follow_their_rows_through_views_and_processes():
    texts = ["ﬁ  ligature\n", " spaces ", "ünïcode"]
    encoded = encode_language(Dataset.from_dict({"text": texts}), TOKENIZERS["llama"])
    view = encoded.subset([2, 0]).subset([1])
    assert view.texts == ["ﬁ  ligature\n"]
    assert len(zlib.compress(view.texts[0].encode())) == len(zlib.compress(texts[0].encode()))
    assert pickle.loads(pickle.dumps(view)).texts == view.texts
    assert encoded.with_tensors({name: encoded.column(name)[:1] for name in encoded.column_names}).texts is None


def test_the_digest_is_of_the_texts_too():
    same = [encode_language(Dataset.from_dict({"text": [t]}), TOKENIZERS["gpt2"]) for t in ("a", "a")]
    ended = encode_language(Dataset.from_dict({"text": ["a<|endoftext|>"]}), TOKENIZERS["gpt2"])
    assert same[0].digest() == same[1].digest() != ended.digest()
    assert all(torch.equal(same[0].column(name), ended.column(name)) for name in ended.column_names)


TALK = [
    {"role": "user", "content": "who is it?"},
    {"role": "assistant", "content": "it is me."},
    {"role": "user", "content": "a?"},
    {"role": "assistant", "content": "b"},
]


def chat(tokenizer, template: str):
    tokenizer.chat_template = template
    return tokenizer


def test_a_template_s_generation_blocks_say_what_is_scored():
    tokenizer = chat(byte_level(eos="<|im_end|>", pad="<pad>"), TAGGED)
    encoded = encode_language(Dataset.from_dict({"messages": [TALK, TALK[:2]]}), tokenizer)
    for talk, (ids, labels) in zip((TALK, TALK[:2]), rows_of(encoded), strict=True):
        # By hand: the turns of the template, tokenized piece by piece where special tokens divide them.
        said = [turn["content"] for turn in talk if turn["role"] == "assistant"]
        assert ids[-1] == tokenizer.eos_token_id
        runs = runs_of(labels)
        assert [tokenizer.decode(run) for run in runs] == [f"{text}<|im_end|>" for text in said]
        assert tokenizer.decode(ids) == "".join(
            f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in talk
        ).removesuffix("\n")
    assert encoded.texts == ["it is me.\nb", "it is me."]


def test_without_generation_blocks_turns_are_told_by_the_renderings_before_and_after_them():
    tokenizer = chat(byte_level(eos="<|im_end|>", pad="<pad>"), CHATML)
    (_, labels), (short, _) = rows_of(encode_language(Dataset.from_dict({"messages": [TALK, TALK[:2]]}), tokenizer))
    assert [tokenizer.decode(run) for run in runs_of(labels)] == ["it is me.<|im_end|>\n", "b<|im_end|>"]
    assert short[-1] == tokenizer.eos_token_id


def test_what_follows_the_last_assistant_turn_is_left_out():
    tokenizer = chat(byte_level(eos="<|im_end|>"), CHATML)
    both = rows_of(encode_language(Dataset.from_dict({"messages": [TALK[:2], TALK[:3]]}), tokenizer))
    assert both[0] == both[1]


def test_a_template_that_opens_and_ends_rows_itself_leaves_one_opening_and_one_end():
    tokenizer = chat(llama_like(), LLAMA)
    ids, labels = rows_of(encode_language(Dataset.from_dict({"messages": [TALK[:2]]}), tokenizer))[0]
    assert ids.count(tokenizer.bos_token_id) == ids.count(tokenizer.eos_token_id) == 1
    assert (ids[0], ids[-1], labels[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.eos_token_id)
    assert tokenizer.decode(runs_of(labels)[0]).strip() == "it is me.</s>"


def test_prompt_and_completion_as_messages_are_scored_behind_the_rendered_prompt():
    tokenizer = chat(byte_level(eos="<|im_end|>"), CHATML)
    dataset = Dataset.from_dict({"prompt": [TALK[:3]], "completion": [TALK[3:]]})
    encoded = encode_language(dataset, tokenizer)
    ids, labels = rows_of(encoded)[0]
    assert [tokenizer.decode(run) for run in runs_of(labels)] == ["b<|im_end|>"]
    assert ids == rows_of(encode_language(Dataset.from_dict({"messages": [TALK]}), tokenizer))[0][0]
    assert encoded.texts == ["b"]


def runs_of(labels: list[int]) -> list[list[int]]:
    """The scored tokens, run by run."""
    runs: list[list[int]] = [[]]
    for label in labels:
        if label == -100:
            runs.append([])
        else:
            runs[-1].append(label)
    return [run for run in runs if run]


def test_turns_whose_tokens_merge_with_what_the_template_writes_before_them_are_tokenized_apart():
    plain = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}" + (
        "{% if add_generation_prompt %}assistant: th{% endif %}"
    )
    template = plain.replace(
        "{{ m['role'] }}: {{", "{{ m['role'] }}: {{ 'th' if m['role'] == 'assistant' else '' }}{{"
    )
    talk = [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "e cat"}]
    tokenizer = chat(byte_level(), template)
    begun = tokenizer.apply_chat_template(talk[:1], tokenize=False, add_generation_prompt=True)
    whole = tokenizer.apply_chat_template(talk, tokenize=False)
    before = bare(tokenizer, begun)
    assert whole == begun + "e cat\n"
    assert bare(tokenizer, whole)[: len(before)] != before  # "th" and "e" are one token
    ids, labels = rows_of(encode_language(Dataset.from_dict({"messages": [talk]}), tokenizer))[0]
    after = [*bare(tokenizer, "e cat\n"), tokenizer.eos_token_id]
    assert (ids, labels) == ([*before, *after], [-100] * len(before) + after)


def test_generation_blocks_and_renderings_agree_for_a_tokenizer_that_marks_spaces():
    tagged = LLAMA.replace(
        " {{ m['content'] }}{{ eos_token }}", "{% generation %} {{ m['content'] }}{{ eos_token }}{% endgeneration %}"
    )
    rows = [
        rows_of(encode_language(Dataset.from_dict({"messages": [TALK]}), chat(llama_like(), template)))
        for template in (LLAMA, tagged)
    ]
    assert rows[0] == rows[1]


def test_renderings_that_do_not_nest_are_refused():
    only_last = "{% for m in messages %}{% if loop.last %}{{ m['content'] }}{% else %}x{% endif %}{% endfor %}"
    with pytest.raises(InputError, match=r"\{% generation %\}"):
        encode_language(Dataset.from_dict({"messages": [TALK]}), chat(byte_level(), only_last))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": ["a", ""]}, "1 rows with an empty text"),
        ({"text": ["a", None]}, "1 rows without a text"),
        ({"text": [1, 2]}, "holds int64 values"),
        ({"prompt": ["a"], "completion": [""]}, "1 rows with an empty completion"),
        ({"prompt": [TALK[:1]], "completion": ["a"]}, "are texts and messages|no list of messages"),
        ({"messages": [TALK]}, "no chat template"),
        ({"messages": [["a"]]}, "1 rows that are no list of messages"),
        ({"messages": [[{"role": "assistant", "content": None}]]}, "1 rows that are no list of messages"),
        ({"text": ["a"], "messages": [TALK]}, "more than one of text, messages"),
        ({"question": ["a"], "answer": ["b"]}, r"none of text, prompt \+ completion, messages"),
        ({"input_ids": [[1, 2]], "labels": [[1, 2]]}, "tokenized already"),
        ({"text": ["a"], "position_ids": [[0]]}, "packed rows have"),
        ({"text": ["a<|endoftext|>b<|endoftext|>the cat"]}, "as packed rows do"),
    ],
)
def test_rows_that_are_of_no_use_are_refused_in_one_sentence(columns, message):
    with pytest.raises(InputError, match=message) as refused:
        encode_language(Dataset.from_dict(columns), byte_level())
    assert "\n" not in str(refused.value)


def test_conversations_without_an_assistant_or_refused_by_the_template_are_refused():
    with pytest.raises(InputError, match="1 conversations have no turn"):
        encode_language(Dataset.from_dict({"messages": [TALK[:1]]}), chat(byte_level(), CHATML))
    strict = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InputError, match="roles must alternate"):
        encode_language(Dataset.from_dict({"messages": [TALK]}), chat(byte_level(), strict))


def test_a_rendered_conversation_in_a_column_of_texts_is_no_packed_row():
    tokenizer = chat(byte_level(eos="<|im_end|>"), CHATML)
    text = tokenizer.apply_chat_template(TALK, tokenize=False)
    ids, labels = rows_of(encode_language(Dataset.from_dict({"text": [text]}), tokenizer))[0]
    assert tokenizer.decode(ids) == text.removesuffix("\n")
    assert labels == [-100, *ids[1:]]


def test_a_tokenizer_that_lacks_a_token_and_too_much_memory_are_refused():
    rows = Dataset.from_dict({"text": ["the cat"]})
    without = byte_level()
    without.eos_token = None
    with pytest.raises(InputError, match="no end-of-text token"):
        encode_language(rows, without)
    without = byte_level()
    without.pad_token = None
    with pytest.raises(InputError, match="no pad token"):
        encode_language(rows, without)
    with pytest.raises(InputError, match="more than max_gigabytes"):
        encode_language(rows, byte_level(), max_gigabytes=1e-9)
    for bad in (1, 0, -3, 8.0, True, "8"):
        with pytest.raises(InputError, match=f"max_length is {bad!r}"):
            encode_language(rows, byte_level(), max_length=bad)
    with pytest.raises(InputError, match="tokenizer is"):
        encode_language(rows, "gpt2")


def test_columns_are_found_by_their_names_or_named():
    both = Dataset.from_dict({"prompt": ["a"], "completion": ["b"], "question": ["c"], "answer": ["d"]})
    assert language_columns(both) == ["prompt", "completion"]
    assert language_columns(both, ("question", "answer")) == ["question", "answer"]
    assert language_columns(both, "answer") == ["answer"]
    with pytest.raises(InputError, match="did you mean 'answer'"):
        language_columns(both, ("question", "anwser"))
    with pytest.raises(InputError, match="names 3"):
        language_columns(both, ("prompt", "question", "answer"))


def test_more_rows_than_a_batch_come_out_as_one_by_one():
    tokenizer, texts = TOKENIZERS["llama"], [f"the cat {n}" for n in range(2003)]
    encoded = encode_language(Dataset.from_dict({"text": texts}), tokenizer)
    for number in (0, 999, 1000, 2002):
        alone = encode_language(Dataset.from_dict({"text": [texts[number]]}), tokenizer)
        assert rows_of(encoded.subset([number])) == rows_of(alone)
    assert encoded.texts == texts


@pytest.mark.skipif(not STORIES.is_dir(), reason="needs ../shared/data/pretrained/stories260K")
def test_a_real_llama_tokenizer_scores_the_whole_answer():
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    tokenizer.pad_token = tokenizer.eos_token
    pairs = [("Who is Lily?", "A little girl."), ("What did she say?", 'She said: "I love you"\n')]
    dataset = Dataset.from_dict({"question": [p for p, _ in pairs], "answer": [c for _, c in pairs]})
    encoded = encode_language(dataset, tokenizer, columns=("question", "answer"))
    for (prompt, completion), (ids, labels) in zip(pairs, rows_of(encoded), strict=True):
        scored = [*bare(tokenizer, completion), 2]
        assert ids == [1, *bare(tokenizer, prompt), *scored]
        assert np.flatnonzero(np.array(labels) != -100).tolist() == list(range(len(ids) - len(scored), len(ids)))
