"""Canaries of words: rows that begin as others do, a secret of their own, and nothing of the training set."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_language import VOCABULARY, token_rows
from tokenizers import AddedToken

from hf_privacy.data import make_worded_canaries, worded_canaries
from hf_privacy.errors import InputError
from hf_privacy.recipe import canary_settings

MEMBERS = np.arange(0, 30)
SPECIAL = {0, 1, 2}


class Words:
    """What is asked of a tokenizer."""

    all_special_ids = (0, 1)
    eos_token_id = 2
    pad_token_id = 0

    @property
    def added_tokens_decoder(self):
        """Some are special though they play no part."""
        return {2: AddedToken("</s>", special=True), 60: AddedToken("word", special=False)}

    def get_vocab(self):
        return {str(number): number for number in range(VOCABULARY + 5)}  # more than the model has embeddings for


@pytest.fixture(scope="module")
def dataset():
    made = token_rows([12, 9, 14, 7, 11] * 12, prompt=3, seed=2)
    columns = {name: made.column(name).clone() for name in made.column_names}
    last = columns["attention_mask"].sum(dim=1) - 1
    for name in ("input_ids", "labels"):
        columns[name][range(60), last] = 2
    return made.with_tensors(columns)


def make(dataset, **settings):
    settings = {"n": 40, "members": MEMBERS, "tokenizer": Words(), "vocabulary": VOCABULARY, **settings}
    return make_worded_canaries(dataset, **settings)


def parts(canaries, row):
    """Token ids, what is trained on, the secret: of one row, without padding."""
    batch = canaries.rows[row]
    length = int(batch["attention_mask"].sum())
    secret = canaries.secrets[row]["labels"][:length].numpy()
    return batch["input_ids"][:length].numpy(), batch["labels"][:length].numpy(), secret


@pytest.mark.parametrize("kind", worded_canaries.WORDED_KINDS)
def test_a_canary_is_the_beginning_of_a_row_outside_a_secret_and_the_end(dataset, kind):
    canaries = make(dataset, kind=kind, secret_tokens=4)
    size = 1 if kind == "new_last_token" else 4
    ids, mask, labels = (dataset.column(name).numpy() for name in ("input_ids", "attention_mask", "labels"))
    for row in range(40):
        text, trained, secret = parts(canaries, row)
        places = np.flatnonzero(secret != -100)
        assert len(places) == size
        assert (np.diff(places) == 1).all()
        assert (secret[places] == text[places]).all()
        assert not SPECIAL & set(text[places].tolist())
        assert text[-1] == 2  # the end-of-text token, behind the secret
        assert places[-1] == len(text) - 2
        begin = text[: places[0]]
        same = [t for t in range(30, 60) if (ids[t, : len(begin)] == begin).all() and mask[t].sum() - 1 >= len(begin)]
        assert same
        assert (trained[: len(begin)] == labels[same[0], : len(begin)]).all()
        assert (trained[len(begin) :] == text[len(begin) :]).all()
        if kind == "random_tokens":
            assert len(begin) == 3  # the prompt
        elif kind == "suffix":
            assert len(begin) > 3
    assert canaries.n_new_tokens == (40 if kind == "new_last_token" else 0)


def test_new_tokens_are_behind_the_vocabulary_and_one_for_each(dataset):
    labels = make(dataset, kind="new_last_token").secrets.column("labels").numpy()
    assert np.sort(labels[labels != -100]).tolist() == list(range(VOCABULARY, VOCABULARY + 40))


@pytest.mark.parametrize("kind", ["random_tokens", "suffix"])
def test_secrets_are_words_of_the_model_all_different_and_follow_the_seed(dataset, kind):
    first, again, other = (make(dataset, kind=kind, seed=seed).secrets.column("labels") for seed in (0, 0, 1))
    assert first.equal(again)
    assert not first.equal(other)
    secrets = [tuple(row[row != -100].tolist()) for row in first.numpy()]
    assert len(set(secrets)) == 40
    assert max(map(max, secrets)) < VOCABULARY


def test_random_tokens_are_the_rarest(dataset):
    """Of a vocabulary of 200 of which the data use 61, none that they use is drawn."""

    class Many(Words):
        def get_vocab(self):
            return {str(number): number for number in range(200)}

    drawn = {
        kind: make(dataset, kind=kind, tokenizer=Many(), vocabulary=200).secrets.column("labels").numpy()
        for kind in ("random_tokens", "suffix")
    }
    assert drawn["random_tokens"][drawn["random_tokens"] != -100].min() >= VOCABULARY
    assert drawn["suffix"][drawn["suffix"] != -100].min() < VOCABULARY


def test_secrets_that_are_drawn_again_are_replaced():
    rng = np.random.default_rng(0)
    found = worded_canaries._distinct(np.arange(3), 9, 2, rng)
    assert len({tuple(row) for row in found.tolist()}) == 9
    with pytest.raises(InputError, match="10 canaries are asked for and only 9 different secrets of 2 tokens"):
        worded_canaries._distinct(np.arange(3), 10, 2, rng)


def test_no_member_begins_a_canary(dataset):
    columns = {name: dataset.column(name).clone() for name in dataset.column_names}
    columns["input_ids"][:30, 0] = 60
    columns["input_ids"][30:, 0] = 59
    made = make(dataset.with_tensors(columns))
    assert set(made.rows.column("input_ids")[:, 0].tolist()) == {59}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "mislabelled"}, "kind is 'mislabelled'"),
        ({"members": np.arange(60)}, "every row of dataset is a member"),
        ({"secret_tokens": 13}, "rows have at most 14 tokens: a canary takes 13"),
        ({"n": 0}, "n is 0"),
        ({"vocabulary": 3}, "0 tokens that are not special"),
    ],
)
def test_what_no_canary_can_be_made_of_is_refused(dataset, settings, message):
    with pytest.raises(InputError, match=message):
        make(dataset, **settings)


def test_recipes_know_the_same_kinds():
    assert canary_settings.WORDED_KINDS == worded_canaries.WORDED_KINDS
