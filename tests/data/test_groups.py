"""Whole groups: read from a column, drawn to one side, kept with the split."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from safetensors import safe_open
from safetensors.numpy import save_file

from hf_privacy.data import MembershipSplit, group_numbers, make_split, redraw_members, whole_groups
from hf_privacy.errors import InputError

SIZES = [1, 5, 2, 9, 3, 3, 7, 4, 6, 2, 8, 10]
AUTHORS = [f"author {i}" for i, size in enumerate(SIZES) for _ in range(size)]
CLASSES = [i % 2 for i, size in enumerate(SIZES) for _ in range(size)]
ROWS = Dataset.from_dict(
    {"text": [str(i) for i in range(len(AUTHORS))], "author": AUTHORS, "label": CLASSES, "topic": [0, 1] * 30}
)


def sides_of(split: MembershipSplit) -> list[set]:
    return [{AUTHORS[i] for i in part} for part in (split.members, split.non_members, split.population)]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("stratify", [True, False])
def test_whole_groups_are_drawn_and_the_fractions_are_of_them(seed, stratify):
    split = make_split(ROWS, group_column="author", population_fraction=0.25, stratify=stratify, seed=seed)
    assert [len(side) for side in sides_of(split)] == [4, 5, 3] or [len(side) for side in sides_of(split)] == [5, 4, 3]
    assert len(set.union(*sides_of(split))) == len(SIZES)
    assert len(split.pool) + len(split.population) == len(ROWS)
    assert split.unit == "author"
    assert split.n_groups == dict(
        zip(("members", "non_members", "population"), map(len, sides_of(split)), strict=True)
    )
    assert np.array_equal(split.pool_groups, split.groups[split.pool])


def test_with_stratification_the_groups_of_each_class_are_halved():
    for seed in range(10):
        members, _, _ = sides_of(make_split(ROWS, group_column="author", seed=seed))
        assert sorted(int(name.split()[1]) % 2 for name in members) == [0, 0, 0, 1, 1, 1]


def test_every_group_is_a_member_as_often_as_any_other_whatever_its_size():
    counts = np.zeros(len(SIZES))
    for seed in range(800):
        split = make_split(ROWS, group_column="author", stratify=False, seed=seed, fingerprint="f")
        counts[np.unique(split.groups[split.members])] += 1
    assert np.all(np.abs(counts / 800 - 0.5) < 5 * np.sqrt(0.25 / 800))


def test_groups_of_several_classes_cannot_be_stratified_too():
    with pytest.raises(InputError, match=r"'author' and a group has rows of several classes: .* stratify=False"):
        make_split(ROWS, group_column="author", label_column="topic")
    assert make_split(ROWS, group_column="author", label_column="topic", stratify=False).unit == "author"


def test_a_group_on_both_sides_is_refused():
    with pytest.raises(InputError, match="1 of the groups by 'author' have rows in members and in non_members: give"):
        make_split(ROWS, members=[0, 1], group_column="author")
    split = make_split(ROWS, stratify=False)
    with pytest.raises(InputError, match="of the groups by 'author' have rows in members and in non_members"):
        replace(split, groups=group_numbers(ROWS, "author"), unit="author")
    with pytest.raises(InputError, match="have rows in members and in population"):
        make_split(ROWS, members=[1, 2], non_members=[0], population=[3], group_column="author")


def test_rows_in_no_part_belong_to_no_side():
    split = make_split(ROWS, members=[1, 2], non_members=[6, 7], group_column="author")
    assert split.n_groups == {"members": 1, "non_members": 1, "population": 0}


def test_groups_are_kept_in_the_file_and_in_the_hash(tmp_path):
    split = make_split(ROWS, group_column="author")
    loaded = MembershipSplit.load(split.save(tmp_path / "split.safetensors"))
    assert np.array_equal(loaded.groups, split.groups)
    assert (loaded.unit, loaded.hash) == ("author", split.hash)
    assert replace(split, groups=None, unit=None).hash != split.hash
    assert replace(split, unit="user").hash != split.hash


def test_a_file_whose_groups_were_changed_is_refused(tmp_path):
    path = make_split(ROWS, group_column="author").save(tmp_path / "split.safetensors")
    with safe_open(path, framework="np") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["groups"] = tensors["groups"] + 1
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(InputError, match="was changed after it was saved"):
        MembershipSplit.load(path)


def test_a_file_without_groups_is_as_before(tmp_path):
    split = make_split(ROWS)
    path = split.save(tmp_path / "split.safetensors")
    with safe_open(path, framework="np") as file:
        assert set(file.keys()) == {"members", "non_members", "population"}
    assert MembershipSplit.load(path).groups is None
    # The hash of a split by rows is what it was before there were groups.
    fixed = MembershipSplit([4, 0], [1], [2], n_examples=5, dataset_fingerprint="f")
    assert fixed.hash == "1aa7e2571fc82e6b02d14267b3a833df9287d920b9961b59c065a8d0924329c2"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", None, "b", "c", "d"], "has 1 missing values: name the group of every row"),
        (["a", " ", "b", "c", ""], "has 2 missing values"),
        ([1.0, float("nan"), 2.0, 3.0, 4.0], "has 1 missing values"),
        (["a"] * 5, "has 1 different value: at least 4 groups are needed"),
        (["a", "b", "c", "a", "b"], "has 3 different values: at least 4 groups"),
        ([[1], [2], [3], [4], [5]], "holds .* values: use a column with one name or number"),
    ],
)
def test_a_column_that_says_no_group_of_each_row_is_refused(values, message):
    with pytest.raises(InputError, match=f"group_column 'user' {message}"):
        group_numbers(Dataset.from_dict({"user": values}), "user")


def test_an_unknown_column_is_refused():
    with pytest.raises(InputError, match=r"group_column is 'auhtor' .* did you mean 'author'"):
        make_split(ROWS, group_column="auhtor")


@pytest.mark.parametrize(
    "values",
    [
        ["b", "a", "c", "b", "d"],
        [7, 3, 9, 7, 1],
        [datetime.date(2020, 1, day) for day in (2, 1, 3, 2, 4)],
    ],
)
def test_names_numbers_and_dates_are_groups(values):
    assert group_numbers(Dataset.from_dict({"user": values}), "user").tolist() == [0, 1, 2, 0, 3]


def test_a_selection_of_rows_has_the_groups_it_holds():
    chosen = ROWS.select(np.flatnonzero([name not in ("author 0", "author 3") for name in AUTHORS]))
    assert np.unique(group_numbers(chosen, "author")).tolist() == list(range(10))


def test_members_are_redrawn_by_whole_groups():
    split = make_split(ROWS, group_column="author", population_fraction=0.25, seed=1)
    others = [redraw_members(split, np.array(CLASSES), seed=seed) for seed in range(20)]
    for other in others:
        assert other.pool.tolist() == split.pool.tolist()
        assert other.n_groups == split.n_groups
        assert other.unit == "author"
    assert len({other.hash for other in others}) > 5


def test_a_stratified_split_cannot_be_redrawn_without_labels():
    with pytest.raises(InputError, match="labels is None and the split is stratified"):
        redraw_members(make_split(ROWS), None, seed=0)


@pytest.mark.parametrize("max_rows", [25, 40, 59, 60, 100])
def test_as_many_whole_groups_as_fit(max_rows):
    groups = group_numbers(ROWS, "author")
    for seed in range(5):
        rows = whole_groups(groups, max_rows=max_rows, seed=seed)
        assert len(rows) <= max_rows
        taken = np.unique(groups[rows])
        assert np.array_equal(rows, np.flatnonzero(np.isin(groups, taken)))
        assert max_rows - len(rows) < max(SIZES) or max_rows > sum(SIZES)


def test_too_few_rows_for_four_groups_are_refused():
    with pytest.raises(InputError, match="max_examples is 25, which holds 2 whole groups of 10: raise it"):
        whole_groups(np.repeat(np.arange(10), 10), max_rows=25)


def test_classes_keep_their_shares_among_the_groups_taken():
    groups, classes = np.repeat(np.arange(40), 3), np.repeat([0] * 30 + [1] * 10, 3)
    for seed in range(10):
        rows = whole_groups(groups, max_rows=60, classes=classes, seed=seed)
        assert abs(int(classes[rows].sum()) // 3 - 5) <= 1
