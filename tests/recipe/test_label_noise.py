"""A recipe may plant wrong labels: before the split, and as part of what identifies the run."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.auditing import provenance
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, RunFolder, prepare
from hf_privacy.references import reference_run


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5])
def test_a_share_outside_its_range_is_refused_before_anything_is_loaded(share):
    with pytest.raises(InputError, match=rf"data.label_noise is {share}: pass a share in \[0, 1\)"):
        Recipe.from_dict({"data": {"name_or_path": "not/there", "label_noise": share}})


def test_a_negative_seed_is_refused():
    with pytest.raises(InputError, match=r"data.label_noise_seed is -1"):
        Recipe.from_dict({"data": {"label_noise_seed": -1}})


def test_labels_are_turned_in_data_rows_and_split_alike(make_recipe):
    clean, noisy = prepare(make_recipe()), prepare(make_recipe(data={"label_noise": 0.2}))
    assert not clean.mislabelled.any()
    assert noisy.mislabelled.sum() == 16
    labels = noisy.dataset.column("labels").numpy()
    assert np.array_equal(labels != clean.dataset.column("labels").numpy(), noisy.mislabelled)
    assert np.array_equal(np.array(noisy.rows["label"]), labels)
    # Stratified by the labels as they are now, wrong ones included.
    counts = np.bincount(labels)
    assert np.abs(np.bincount(labels[noisy.split.members]) - counts / 2).max() <= 1


def test_the_subset_is_the_same_with_noise_and_without(make_recipe):
    clean, noisy = (prepare(make_recipe(data={"max_examples": 40, "label_noise": share})) for share in (0.0, 0.1))
    assert np.array_equal(clean.dataset.column("features"), noisy.dataset.column("features"))
    assert noisy.mislabelled.sum() == 4


def test_references_of_other_labels_are_of_another_recipe(make_recipe, tmp_path):
    hashes = set()
    for number, data in enumerate([{}, {"label_noise": 0.1}, {"label_noise": 0.1, "label_noise_seed": 1}]):
        experiment = prepare(make_recipe(data=data))
        run = reference_run(
            experiment.trainer(), experiment.dataset, experiment.split, tmp_path / str(number), n_models=2
        )
        hashes.add(run.store.metadata["recipe_hash"])
    assert len(hashes) == 3


def test_a_folder_of_other_labels_is_refused(make_recipe, tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.start(make_recipe())
    with pytest.raises(InputError, match=r"another recipe .*different: data"):
        folder.check(make_recipe(data={"label_noise": 0.1}))


def test_the_card_is_told_that_labels_are_wrong_on_purpose(make_recipe):
    assert provenance(make_recipe(data={"label_noise": 0.02})).caveats == (
        "2 % of the labels were turned to a wrong class on purpose.",
    )
    assert provenance(make_recipe()).caveats == ()
