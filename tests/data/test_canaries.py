"""Canaries are no members, no repeats, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_privacy.data import TensorDataset, make_canaries
from hf_privacy.errors import InputError

N_CLASSES = 4
MEMBERS = np.arange(0, 60, 2)
OUTSIDE = np.arange(1, 60, 2)
PAD, FIRST, LAST, N_WORDS = 0, 1, 2, 50


def images() -> TensorDataset:
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(60, 2, 4, 4)).astype("float32")
    return TensorDataset({"pixel_values": torch.from_numpy(pixels), "labels": torch.arange(60) % N_CLASSES})


def features() -> TensorDataset:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 5)).astype("float32")
    return TensorDataset({"features": torch.from_numpy(values), "labels": torch.arange(60) % N_CLASSES})


def texts(side: str = "right") -> TensorDataset:
    rng = np.random.default_rng(2)
    ids = np.full((60, 12), PAD)
    for row in ids:
        words = rng.integers(3, N_WORDS, size=rng.integers(3, 11))
        sentence = [FIRST, *words, LAST]
        row[slice(None, len(sentence)) if side == "right" else slice(-len(sentence), None)] = sentence
    tensors = {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy((ids != PAD).astype("int64")),
        "labels": torch.arange(60) % N_CLASSES,
    }
    return TensorDataset(tensors, padding_side=side, sequence_columns=["input_ids", "attention_mask"])


def tokenizer() -> PreTrainedTokenizerFast:
    words = {"[PAD]": PAD, "[CLS]": FIRST, "[SEP]": LAST, **{f"word{i}": i for i in range(3, N_WORDS)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="word3"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="word3"
    )


DATASETS = {"pixel_values": images, "features": features, "input_ids": texts}


def made(dataset: TensorDataset, n: int = 25, **settings) -> TensorDataset:
    settings = {"members": MEMBERS, "n_classes": N_CLASSES, "tokenizer": tokenizer(), **settings}
    return make_canaries(dataset, n=n, **settings)


def inputs(dataset: TensorDataset) -> list[bytes]:
    (name,) = set(dataset.column_names) & set(DATASETS)
    return [row.numpy().tobytes() for row in dataset.column(name)]


@pytest.mark.parametrize("kind", ["mislabelled", "random"])
@pytest.mark.parametrize("name", DATASETS)
class TestEveryKindOfData:
    def test_canaries_differ_from_one_another_and_from_every_member(self, name, kind):
        dataset = DATASETS[name]()
        canaries = made(dataset, kind=kind)
        assert len(canaries) == len(set(inputs(canaries))) == 25
        assert not set(inputs(canaries)) & set(inputs(dataset.subset(MEMBERS)))

    def test_they_fit_the_data_they_are_put_into(self, name, kind):
        dataset = DATASETS[name]()
        canaries = made(dataset, kind=kind)
        assert canaries.column_names == dataset.column_names
        for column in dataset.column_names:
            assert canaries.column(column).dtype == dataset.column(column).dtype
            assert canaries.column(column).shape[1:] == dataset.column(column).shape[1:]
        assert set(canaries.column("labels").tolist()) <= set(range(N_CLASSES))

    def test_equal_seeds_make_equal_canaries_and_others_other_ones(self, name, kind):
        dataset = DATASETS[name]()
        first, again, other = (made(dataset, kind=kind, seed=seed) for seed in (3, 3, 4))
        assert inputs(first) == inputs(again)
        assert first.column("labels").equal(again.column("labels"))
        assert inputs(first) != inputs(other)


@pytest.mark.parametrize("name", DATASETS)
def test_a_mislabelled_canary_is_a_row_from_outside_with_another_label(name):
    dataset = DATASETS[name]()
    own = dict(zip(inputs(dataset), dataset.column("labels").tolist(), strict=True))
    canaries = made(dataset)
    assert set(inputs(canaries)) <= set(inputs(dataset.subset(OUTSIDE)))
    for row, label in zip(inputs(canaries), canaries.column("labels").tolist(), strict=True):
        assert label != own[row]


def test_wrong_labels_are_drawn_evenly_from_the_other_classes():
    rng = np.random.default_rng(0)
    n = 3000
    members = torch.arange(n) < 10  # they alone have the other classes
    labels = torch.where(members, torch.arange(n) % N_CLASSES, 0)
    dataset = TensorDataset({"features": torch.from_numpy(rng.normal(size=(n, 3))), "labels": labels})
    canaries = made(dataset, n=n - 10, members=np.arange(10))
    counts = np.bincount(canaries.column("labels").numpy(), minlength=N_CLASSES)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:] / (n - 10), 1 / 3, atol=0.04)  # 4.6 standard deviations


def test_repeats_of_members_and_of_one_another_make_no_canary():
    values = torch.tensor([[0.0], [1.0], [0.0], [2.0], [2.0], [3.0]])
    dataset = TensorDataset({"features": values, "labels": torch.tensor([0, 0, 1, 1, 0, 1])})
    canaries = made(dataset, n=2, members=np.array([0, 1]), n_classes=2)
    assert sorted(canaries.column("features")[:, 0].tolist()) == [2.0, 3.0]
    with pytest.raises(InputError, match="3 mislabelled canaries are asked for and 2 distinct rows lie outside"):
        made(dataset, n=3, members=np.array([0, 1]), n_classes=2)


def test_noise_spans_the_range_of_the_images_outside_and_tells_nothing_of_the_members():
    dataset = images()
    dataset.column("pixel_values")[MEMBERS[0]] = 1000.0
    outside = dataset.subset(OUTSIDE).column("pixel_values")
    noise = made(dataset, n=200, kind="random").column("pixel_values")
    for channel in range(2):
        low, high = float(outside[:, channel].min()), float(outside[:, channel].max())
        assert low <= float(noise[:, channel].min()) < low + 0.05 * (high - low)
        assert high >= float(noise[:, channel].max()) > high - 0.05 * (high - low)


def test_random_features_take_each_column_from_rows_outside_and_break_their_rows_up():
    dataset = features()
    outside = dataset.subset(OUTSIDE).column("features").numpy()
    canaries = made(dataset, n=100, kind="random").column("features").numpy()
    for column in range(outside.shape[1]):
        assert set(canaries[:, column].tolist()) <= set(outside[:, column].tolist())
    assert not {row.tobytes() for row in canaries} & {row.tobytes() for row in outside}


@pytest.mark.parametrize("side", ["right", "left"])
def test_random_texts_keep_the_shape_of_real_ones_and_replace_every_word(side):
    dataset = texts(side)
    canaries = made(dataset, n=100, kind="random")
    ids, mask = canaries.column("input_ids").numpy(), canaries.column("attention_mask").numpy()
    assert ((ids == PAD) == (mask == 0)).all()
    assert ((ids == FIRST).sum(axis=1) == 1).all()
    assert ((ids == LAST).sum(axis=1) == 1).all()
    real_lengths = set(dataset.subset(OUTSIDE).column("attention_mask").sum(dim=1).tolist())
    assert set(mask.sum(axis=1).tolist()) <= real_lengths
    assert len(np.unique(ids[ids > LAST])) == N_WORDS - 3  # the whole vocabulary, special tokens left out
    shortest = int(mask.sum(axis=1).argmin())
    assert canaries.__getitems__([shortest])["input_ids"].shape[1] == mask[shortest].sum()  # trimmed like the data


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "worded"}, "kind is 'worded': pass 'mislabelled' or 'random'"),
        ({"n": 0}, "n is 0: pass a whole number of at least 1"),
        ({"n": 31}, "31 mislabelled canaries are asked for and 30 distinct rows lie outside the training set"),
        ({"n_classes": 3}, "labels go from 0 to 3 with n_classes 3"),
        ({"members": np.arange(60)}, "every row of dataset is a member"),
        ({"members": np.array([60])}, "members goes from 60 to 60"),
    ],
)
def test_what_no_canary_can_be_made_of_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        made(features(), **settings)


def test_random_texts_without_a_tokenizer_are_refused():
    with pytest.raises(InputError, match="tokenizer is missing"):
        made(texts(), kind="random", tokenizer=None)


def test_texts_without_a_word_make_no_random_ones():
    dataset = texts()
    dataset.column("input_ids").masked_fill_(dataset.column("input_ids") > LAST, LAST)
    with pytest.raises(InputError, match="hold no word"):
        made(dataset, kind="random")


def test_too_few_distinct_random_canaries_are_refused():
    dataset = TensorDataset({"features": torch.tensor([[0.0], [1.0], [2.0]]), "labels": torch.tensor([0, 1, 0])})
    with pytest.raises(InputError, match="5 random canaries are asked for and only 2 distinct ones could be drawn"):
        made(dataset, n=5, members=np.array([0]), n_classes=2, kind="random")


def test_data_without_labels_are_refused():
    with pytest.raises(InputError, match="canaries need a labels column"):
        made(TensorDataset({"features": torch.zeros(60, 2)}))


def test_other_tensors_are_trimmed_as_the_datasets_own():
    dataset = texts("left")
    with pytest.raises(InputError, match="pass input_ids, attention_mask, labels, as in this dataset"):
        dataset.with_tensors({"input_ids": torch.zeros(2, 12)})
    copy = dataset.subset([3, 5]).with_tensors({n: dataset.column(n)[[3, 5]] for n in dataset.column_names})
    expected = dataset.__getitems__([3, 5])
    assert all(copy.__getitems__([0, 1])[name].equal(expected[name]) for name in expected)
