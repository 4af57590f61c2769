"""Membership splits: exact sizes, even classes, and refusal of what makes no sense."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy.data import MembershipSplit, dataset_fingerprint, make_split
from hf_privacy.errors import InputError

LABELS = [0] * 50 + [1] * 30 + [2] * 20
ROWS = Dataset.from_dict({"text": [str(i) for i in range(100)], "label": LABELS})


def split_of(labels, **options) -> MembershipSplit:
    return make_split(Dataset.from_dict({"label": labels}), fingerprint="f", **options)


def test_the_parts_cover_the_dataset_once():
    split = make_split(ROWS, population_fraction=0.2)
    assert np.array_equal(np.sort(np.concatenate([split.pool, split.population])), np.arange(100))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8).filter(lambda sizes: sum(sizes) >= 10),
    st.floats(0.2, 0.8),
    st.floats(0, 0.5),
    st.integers(0, 5),
)
def test_totals_are_exact_and_each_class_is_within_one_row(sizes, member_fraction, population_fraction, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    n_population = round(population_fraction * len(labels))
    n_members = round(member_fraction * (len(labels) - n_population))
    split = split_of(labels, member_fraction=member_fraction, population_fraction=population_fraction, seed=seed)
    assert (len(split.population), len(split.members)) == (n_population, n_members)
    left = np.array(sizes) - np.bincount(labels[split.population], minlength=len(sizes))
    assert np.all(np.abs(np.array(sizes) * n_population / len(labels) - (np.array(sizes) - left)) < 1)
    expected = n_members * left / left.sum()
    assert np.all(np.abs(np.bincount(labels[split.members], minlength=len(sizes)) - expected) < 1 + 1e-9)


def test_the_seed_decides():
    assert make_split(ROWS, seed=3).hash == make_split(ROWS, seed=3).hash
    assert make_split(ROWS, seed=3).hash != make_split(ROWS, seed=4).hash


@pytest.mark.parametrize("stratify", [True, False])
def test_every_row_is_a_member_as_often_as_any_other(stratify):
    counts = np.zeros(20)
    for seed in range(800):
        counts[split_of([0] * 15 + [1] * 5, seed=seed, stratify=stratify).members] += 1
    assert np.all(np.abs(counts / 800 - 0.5) < 5 * np.sqrt(0.25 / 800))


def test_labels_may_be_strings_and_are_not_needed_without_stratification():
    assert len(split_of(["a", "b"] * 5).members) == 5
    dataset = Dataset.from_dict({"text": ["a", "b"]})
    assert len(make_split(dataset, stratify=False).members) == 1


def test_pool_and_membership_go_together():
    split = MembershipSplit([4, 0], [1], [2], n_examples=5, dataset_fingerprint="f")
    assert split.pool.tolist() == [0, 1, 4]
    assert split.membership.tolist() == [True, False, True]


def test_explicit_members_leave_the_rest_as_non_members():
    split = make_split(ROWS, members=[1, 5], population=[7])
    assert split.members.tolist() == [1, 5]
    assert len(split.non_members) == 97
    assert split.seed is None
    assert not split.stratified


def test_the_hash_depends_on_the_parts_and_the_dataset_and_on_nothing_else():
    def hash_of(members=(0, 1), non_members=(2,), population=(), n_examples=4, fingerprint="f", **rest):
        return MembershipSplit(
            list(members), list(non_members), list(population), n_examples, fingerprint, **rest
        ).hash

    assert hash_of() == hash_of(members=(1, 0), seed=8, stratified=True, label_column="label")
    others = [hash_of(members=(0,)), hash_of(population=(3,)), hash_of(fingerprint="g"), hash_of(n_examples=5)]
    assert len({hash_of(), *others}) == 5


def test_a_saved_split_comes_back_the_same(tmp_path):
    split = make_split(ROWS, population_fraction=0.1, seed=4)
    path = split.save(tmp_path / "new" / "split.safetensors")
    again = MembershipSplit.load(path)
    assert (again.hash, again.seed, again.stratified, again.label_column) == (split.hash, 4, True, "label")
    assert [file.name for file in path.parent.iterdir()] == ["split.safetensors"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_split_or_was_changed_is_refused(tmp_path):
    with pytest.raises(InputError, match="no split file"):
        MembershipSplit.load(tmp_path / "none")
    (tmp_path / "text").write_text("members")
    with pytest.raises(InputError, match="no safetensors file"):
        MembershipSplit.load(tmp_path / "text")
    path = make_split(ROWS).save(tmp_path / "split")
    content = bytearray(path.read_bytes())
    content = content.replace(dataset_fingerprint(ROWS).encode(), b"0" * 64)
    path.write_bytes(content)
    with pytest.raises(InputError, match="changed after it was saved"):
        MembershipSplit.load(path)


def test_a_split_of_another_dataset_is_refused():
    split = make_split(ROWS)
    split.check(ROWS)
    split.check(dataset_fingerprint(ROWS))
    with pytest.raises(InputError, match="100 rows and this one has 99"):
        split.check(ROWS.select(range(99)))
    with pytest.raises(InputError, match="of another dataset"):
        split.check(ROWS.select(range(99, -1, -1)))


def test_row_numbers_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        make_split(ROWS).members[0] = 3


def test_members_that_are_non_members_are_counted_and_not_listed():
    with pytest.raises(InputError, match="2 of the members are also in non_members") as caught:
        make_split(ROWS, members=[41, 42, 43], non_members=[42, 43, 44])
    assert "42" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"member_fraction": 1.0}, r"member_fraction is 1.0: pass a number in \(0, 1\)"),
        ({"member_fraction": 0}, "member_fraction is 0"),
        ({"population_fraction": 1.5}, "population_fraction is 1.5"),
        ({"member_fraction": 0.001}, "has no members"),
        ({"members": []}, "has no members"),
        ({"members": list(range(100))}, "has no non-members"),
        ({"members": [1, 1]}, "more than once"),
        ({"members": [100]}, "goes from 100 to 100 and the rows from 0 to 99"),
        ({"members": [-1]}, "goes from -1"),
        ({"members": [0.5]}, "pass a flat list of row numbers"),
        ({"members": [True, False]}, "pass a flat list of row numbers"),
        ({"members": [1], "population": [1], "non_members": [2]}, "1 of the members are also in population"),
        ({"non_members": [1]}, "without members"),
        ({"members": [1], "member_fraction": 0.3}, "not both"),
        ({"label_column": "lable"}, "label_column is 'lable'.*text, label; did you mean 'label'"),
    ],
)
def test_bad_input_is_said_in_one_sentence(options, message):
    with pytest.raises(InputError, match=message) as caught:
        make_split(ROWS, **options)
    assert "\n" not in str(caught.value)
