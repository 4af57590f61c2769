"""From a recipe to an experiment: its data, loaded, checked, split and encoded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np

from hf_privacy.data import (
    MembershipSplit,
    RepeatReport,
    check_columns,
    check_labels,
    class_names,
    dataset_fingerprint,
    drop_repeats,
    find_repeats,
    group_numbers,
    load_dataset_from,
    make_split,
    number_classes,
    redraw_members,
    whole_groups,
    with_label_noise,
)
from hf_privacy.data.canonical import image_column_of
from hf_privacy.data.columns import label_values, require_column
from hf_privacy.data.near_texts import OVERLAP
from hf_privacy.defenses import trainer_class
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.experiment import Experiment, training_arguments
from hf_privacy.recipe.folder import RunFolder
from hf_privacy.recipe.later import check_later_sections, check_later_stages
from hf_privacy.recipe.sections import DataSection
from hf_privacy.signals import check_fit
from hf_privacy.tasks import task_named


class LoadedRows(NamedTuple):
    """A recipe's rows, chosen and split, as they are before any model reads them."""

    data: DataSection  # the recipe's, with its columns named
    source: datasets.Dataset  # every column
    rows: datasets.Dataset  # the columns a model reads, and the label
    split: MembershipSplit
    classes: list[str]
    mislabelled: np.ndarray  # bool [N], private

    def fingerprinted(self) -> MembershipSplit:
        """The split with the rows' fingerprint, where `load_rows` was asked to leave it; a file's is to have it."""
        fingerprint = dataset_fingerprint(self.rows)
        if self.data.split_file is None:
            return replace(self.split, dataset_fingerprint=fingerprint)
        self.split.check(fingerprint)
        return self.split

    def repeats(self, split: MembershipSplit) -> RepeatReport:
        """Repeats in the rows, counted across a split of them."""
        columns = self.data.input_columns
        label_column = self.data.label_column if self.classes else None
        return find_repeats(
            self.rows,
            split=split,
            column=columns,
            label_column=label_column,
            near=self.data.near_repeats,
            overlap=None if self.classes else OVERLAP,
        )


def load_rows(recipe: Recipe, *, fingerprinted: bool = True, rows: datasets.Dataset | None = None) -> LoadedRows:
    """Load, check and split the rows of a recipe.

    Parameters
    ----------
    recipe : Recipe
    fingerprinted : bool
        False leaves the rows' fingerprint, and whether a split file is of them, to `LoadedRows.fingerprinted`: images
        are decoded for it, and once they are encoded it is there already.
    rows : Dataset, optional
        What the recipe names, where it is loaded already.

    Raises
    ------
    InputError
        Unknown columns, labels that are none, an empty side of the split, and so on.
    """
    data = recipe.data
    if not data.name_or_path:
        raise InputError("data.name_or_path is not set: the recipe must name its data")
    if rows is None:
        rows = load_dataset_from(
            data.name_or_path, split=data.dataset_split, name=data.config_name, revision=data.revision
        )
    label_column, classes = None, []
    if task_named(recipe.task).has_classes:
        label_column = data.label_column
        check_columns(rows, data.input_columns, label_column)
        rows = number_classes(rows, label_column, names=data.label_names)
        classes = class_names(rows, label_column)
        check_labels(rows, label_column, len(classes))
    else:
        data = data.found_in(rows)
        if data.paraphrase_column is not None:
            require_column(rows, data.paraphrase_column, argument="data.paraphrase_column")
    chosen = _chosen_rows(rows, data, has_classes=label_column is not None)
    source = rows if chosen is None else rows.select(chosen)
    mislabelled = np.zeros(len(source), dtype=bool)
    if label_column is not None:
        source, mislabelled = with_label_noise(
            source, label_column=label_column, share=data.label_noise, seed=data.label_noise_seed
        )
    beside = [column for column in (label_column, data.paraphrase_column) if column is not None]
    rows = source.select_columns([*data.input_columns, *beside])
    split = _split(source, data, dataset_fingerprint(rows) if fingerprinted else None)
    return LoadedRows(data, source, rows, split, classes, mislabelled)


def prepare(recipe: Recipe, *, with_repeats: bool = True) -> Experiment:
    """Load, check, split and encode the data of a recipe, and check that its model takes them.

    Everything a user can get wrong is found here, before anything is trained.

    Parameters
    ----------
    recipe : Recipe
    with_repeats : bool
        Look for repeats across the split; reference workers need not.

    Raises
    ------
    InputError
        Unknown columns, labels outside the model's range, an empty split, a model that is not there or cannot take the
        data, what a later stage would refuse (see `hf_privacy.recipe.later`), and so on.
    """
    training_arguments(recipe, recipe.output_dir)
    check_later_sections(recipe)
    RunFolder(Path(recipe.output_dir)).check_usable()
    if not recipe.model.name_or_path:
        raise InputError("model.name_or_path is not set: the recipe must name its model")
    loaded = load_rows(recipe, fingerprinted=False)
    data, rows, classes = loaded.data, loaded.rows, loaded.classes
    has_images = image_column_of(rows, rows.column_names) is not None
    split = loaded.split if has_images else loaded.fingerprinted()
    if trainer_class(recipe.defense).needs_validation and not len(split.population):
        raise InputError(
            f"data.population_fraction is 0: {recipe.defense} validates on the population, so set one aside"
        )
    dataset, processor, model_init, model = task_named(recipe.task).prepare(
        rows, model=recipe.model, data=data, classes=classes
    )
    check_fit(model, dataset)
    split = loaded.fingerprinted() if has_images else split
    dataset = dataset.with_groups(split.groups)
    if data.member_seed is not None:
        split = redraw_members(split, dataset.row_classes, seed=data.member_seed)
    repeats = loaded.repeats(split) if with_repeats else None
    experiment = Experiment(
        recipe, dataset, split, repeats, classes, processor, model_init, loaded.source, loaded.mislabelled
    )
    check_later_stages(experiment, model)
    return experiment


def _chosen_rows(rows: datasets.Dataset, data: DataSection, *, has_classes: bool) -> np.ndarray | None:
    """Without repeats if asked (near-exact ones too, unless not looked for), then a stratified random subset.

    Row numbers; None for all rows.
    """
    kept = None
    if data.repeats == "drop":
        overlap = None if has_classes else OVERLAP
        kept = drop_repeats(rows, column=data.input_columns, near=data.near_repeats, overlap=overlap)
        rows = rows.select(kept)
    if data.max_examples is None or data.max_examples >= len(rows):
        return kept
    if data.group_column is not None:
        classes = label_values(rows, data.label_column) if data.stratify else None
        groups = group_numbers(rows, data.group_column)
        chosen = whole_groups(groups, max_rows=data.max_examples, classes=classes, seed=data.split_seed)
        return chosen if kept is None else kept[chosen]
    if data.max_examples < 2:
        raise InputError(f"data.max_examples is {data.max_examples}: pass at least 2")
    chosen = make_split(
        rows,
        member_fraction=data.max_examples / len(rows),
        label_column=data.label_column,
        stratify=data.stratify,
        seed=data.split_seed,
        fingerprint="the subset is fingerprinted, not what it is taken from",
    ).members
    return chosen if kept is None else kept[chosen]


def _split(rows: datasets.Dataset, data: DataSection, fingerprint: str | None) -> MembershipSplit:
    if data.split_file is not None:
        split = MembershipSplit.load(data.split_file)
        if fingerprint is not None or split.n_examples != len(rows):  # of another number it is of other rows
            split.check(fingerprint or dataset_fingerprint(rows))
        if data.group_column is None:
            return split
        return replace(split, groups=group_numbers(rows, data.group_column), unit=data.group_column)
    return make_split(
        rows,
        members=None if data.member_column is None else _told_members(rows, data.member_column),
        member_fraction=data.member_fraction,
        population_fraction=data.population_fraction,
        label_column=data.label_column,
        stratify=data.stratify,
        group_column=data.group_column,
        seed=data.split_seed,
        fingerprint=fingerprint or "",
    )


def _told_members(rows: datasets.Dataset, column: str) -> np.ndarray:
    """Row numbers that a column of true and false (or 1 and 0) says are members."""
    require_column(rows, column, argument="data.member_column")
    values = rows.with_format(None)[:][column]
    if any(value not in (0, 1) for value in values):
        raise InputError(f"data.member_column is {column!r}: its values are to be true and false (or 1 and 0)")
    return np.flatnonzero(values)
