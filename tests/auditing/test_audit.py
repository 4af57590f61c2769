"""From a trained model to its privacy report, through each door."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from hf_privacy import InputError, audit
from hf_privacy.auditing import Provenance
from hf_privacy.data import (
    MembershipSplit,
    TensorDataset,
    encode_features,
    encode_images,
    image_processor_for,
    load_digits_dataset,
    make_split,
)
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.hub import load_report_dict, validate_report, weights_sha256
from hf_privacy.models import load_model
from hf_privacy.reports import PrivacyReport
from hf_privacy.statistics import auc

QUICK = ["loss", "confidence", "entropy", "modified_entropy", "attack_p"]
FULL = [
    *QUICK,
    "lira",
    "lira_offline",
    "rmia",
    "rmia_offline",
    "attack_r",
    "base",
    "shadow_classifier",
    "modified_entropy_per_class",
]
# Knows neither the label nor what other models make of the example: no sign of learning random labels by heart.
LABEL_FREE = "entropy"


def figures(report: PrivacyReport) -> dict:
    """All that an audit measures; not when it was made, what it cost, or what it was called."""
    values = copy.deepcopy(report.to_dict())
    for name in ("created", "cost", "versions", "model", "training", "defense", "caveats"):
        del values[name]
    return values


def close(found, expected) -> bool:
    """The same report, figures to 0.02: on another device float32 rounds otherwise, and near-ties change places."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(close(found[key], expected[key]) for key in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(close, found, expected))
    if isinstance(expected, float):
        return found == pytest.approx(expected, abs=0.02, rel=0.02)
    return found == expected


def by_name(report: PrivacyReport) -> dict[str, dict]:
    return {attack["name"]: attack for attack in report.to_dict()["attacks"]}


@pytest.fixture(scope="module")
def quick(trained, dataset, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    report = audit(trained, dataset, split, output_dir=folder, depth="quick", show_progress=False)
    return folder, report


@pytest.fixture(scope="module")
def full(trained, dataset, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("full")
    settings = {"references": 6, "targets": 3, "show_progress": False}
    return folder, audit(trained, dataset, split, output_dir=folder, **settings)


# ---- quick ----


def test_a_quick_audit_runs_the_attacks_that_need_the_model_alone(quick):
    folder, report = quick
    assert [attack["name"] for attack in report.to_dict()["attacks"]] == QUICK
    assert report.to_dict()["references"] is None
    assert report.to_dict()["targets"] is None
    assert report.to_dict()["cost"]["references_seconds"] is None
    assert [path.name for path in (folder / "private").iterdir()] == ["vulnerability.safetensors"]


def test_the_report_is_saved_whole_and_valid(quick):
    folder, report = quick
    values = load_report_dict(folder)
    validate_report(values)
    assert values == report.to_dict()
    assert PrivacyReport.load(folder).to_dict() == values
    assert (folder / "privacy_report.html").is_file()


def test_a_model_that_memorizes_is_found_out(quick):
    _, report = quick
    for name in QUICK:
        assert by_name(report)[name]["auc_low"] > 0.65 or name == LABEL_FREE, name
    utility = report.to_dict()["utility"]
    assert utility["member_accuracy"]["value"] > 0.95
    assert utility["nonmember_accuracy"]["value"] < 0.6


def test_a_trainer_its_folder_and_its_model_give_the_same_figures(quick, trained, saved, dataset, split, tmp_path):
    _, report = quick
    quick_again = {"depth": "quick", "show_progress": False}
    for number, target in enumerate((saved, Path(saved), trained.model)):
        again = audit(target, dataset, split, output_dir=tmp_path / str(number), trainer=trained, **quick_again)
        assert figures(again) == figures(report)
    # By itself a folder goes to the GPU, where there is one.
    alone = audit(saved, dataset, split, output_dir=tmp_path / "alone", **quick_again)
    assert close(figures(alone), figures(report))
    assert torch.cuda.is_available() or figures(alone) == figures(report)


def test_the_weights_hash_is_that_of_the_saved_folder_whichever_door(
    quick, full, trained, saved, dataset, split, tmp_path
):
    expected = weights_sha256(saved)
    assert quick[1].to_dict()["model"]["weights_sha256"] == expected
    assert full[1].to_dict()["model"]["weights_sha256"] == expected
    for number, target in enumerate((saved, trained.model)):
        report = audit(target, dataset, split, output_dir=tmp_path / str(number), depth="quick", show_progress=False)
        assert report.to_dict()["model"]["weights_sha256"] == expected


def test_a_base_model_adds_calibration_by_it(trained, dataset, split, tmp_path):
    torch.manual_seed(1)
    base = copy.deepcopy(trained.model_init())
    report = audit(trained, dataset, split, output_dir=tmp_path, depth="quick", base_model=base, show_progress=False)
    assert [attack["name"] for attack in report.to_dict()["attacks"]] == [*QUICK, "base_calibration"]
    validate_report(report.to_dict())
    assert by_name(report)["base_calibration"]["auc"] > 0.7


def test_signals_are_the_plain_loss_whatever_was_trained_on(make_trainer, dataset, split, tmp_path):
    trainer = make_trainer(label_smoothing_factor=0.4, num_train_epochs=5)
    trainer.train()
    report = audit(trainer, dataset, split, output_dir=tmp_path, depth="quick", show_progress=False).to_dict()
    with torch.no_grad():
        logits = trainer.model.eval()(features=dataset.column("features")).logits.double()
    loss = F.cross_entropy(logits, dataset.column("labels"), reduction="none").numpy()
    assert report["utility"]["member_loss"] == pytest.approx(loss[split.members].mean(), rel=1e-5)
    assert report["utility"]["nonmember_loss"] == pytest.approx(loss[split.non_members].mean(), rel=1e-5)


def test_the_training_section_says_how_the_target_was_trained(quick):
    _, report = quick
    training = report.to_dict()["training"]
    assert training["learning_rate"] == 0.02
    assert training["num_train_epochs"] == 50
    assert report.to_dict()["defense"]["name"] == "none"


def test_a_model_alone_says_nothing_of_its_defence(saved, dataset, split, tmp_path):
    report = audit(saved, dataset, split, output_dir=tmp_path, depth="quick", show_progress=False)
    assert report.to_dict()["defense"]["name"] == "unknown"
    assert report.to_dict()["training"] == {}


# ---- full ----


def test_a_full_audit_adds_lira_and_rmia_online_and_offline(full):
    folder, _ = full
    values = load_report_dict(folder)
    validate_report(values)
    assert [attack["name"] for attack in values["attacks"]] == FULL
    assert values["references"]["n_models"] == 6
    assert values["references"]["fraction"] == 0.5
    assert {attack["n_references"] for attack in values["attacks"][len(QUICK) :]} == {6}
    assert values["cost"]["references_seconds"] > 0
    assert set(values["curves"]) == set(FULL)


def test_reference_attacks_find_a_model_that_memorizes(full):
    for name, attack in by_name(full[1]).items():
        assert attack["auc_low"] > 0.65 or name == LABEL_FREE, name


def test_the_quick_attacks_of_a_full_audit_are_those_of_a_quick_one(quick, full):
    ours, theirs = by_name(quick[1]), by_name(full[1])
    for name in QUICK:
        assert ours[name] == theirs[name]


def test_auditing_again_trains_nothing_and_gives_the_same_figures(full, trained, dataset, split):
    folder, report = full
    store = folder / "private" / "references"
    before = {path.name: path.stat().st_mtime_ns for path in store.glob("*.safetensors")}
    again = audit(trained, dataset, split, output_dir=folder, references=6, targets=3, show_progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in store.glob("*.safetensors")} == before
    assert len(before) == 6
    assert figures(again) == figures(report)


def test_a_saved_model_is_audited_in_full_with_a_trainer_of_its_recipe(full, saved, make_trainer, dataset, split):
    folder, report = full
    again = audit(
        saved,
        dataset,
        split,
        output_dir=folder,
        trainer=make_trainer(),
        references=6,
        targets=3,
        show_progress=False,
    )
    assert figures(again) == figures(report)


def test_the_targets_section_speaks_of_as_many_training_runs_as_asked(full):
    targets = full[1].to_dict()["targets"]
    assert targets["n_targets"] == 3
    assert [attack["name"] for attack in targets["attacks"]] == FULL
    for attack in targets["attacks"]:
        assert attack["auc"]["low"] <= attack["auc"]["mean"] <= attack["auc"]["high"]
        assert attack["auc"]["mean"] > 0.7 or attack["name"] == LABEL_FREE
    assert targets["member_accuracy"]["mean"] > targets["nonmember_accuracy"]["mean"]


def test_null_of_the_whole_pipeline_models_that_learnt_nothing_leak_nothing(make_trainer, dataset, split, tmp_path):
    # A rate of zero is refused, since no weight would move.
    settings = {"learning_rate": 1e-6, "num_train_epochs": 1, "per_device_train_batch_size": 60}
    for seed in range(2):
        trainer = make_trainer(seed=seed, **settings)
        trainer.train()
        report = audit(
            trainer,
            dataset,
            split,
            output_dir=tmp_path / str(seed),
            references=6,
            targets=3,
            reference_seed=seed,
            confidence=0.999,
            show_progress=False,
        )
        for name, attack in by_name(report).items():
            assert attack["auc_low"] < 0.5 < attack["auc_high"], (seed, name, attack["auc"])
        for attack in report.to_dict()["targets"]["attacks"]:
            assert attack["auc"]["low"] < 0.5 < attack["auc"]["high"], (seed, attack["name"])


# ---- a datasets.Dataset ----


def test_a_datasets_dataset_is_encoded_and_searched_for_repeats(quick, trained, rows, split, tmp_path):
    report = audit(trained, rows, split, output_dir=tmp_path, depth="quick", show_progress=False)
    values = report.to_dict()
    assert values["split"]["exact_repeats"] == 0
    expected = figures(quick[1])
    expected["split"] = {**expected["split"], **{k: values["split"][k] for k in ("exact_repeats", "near_repeats")}}
    assert figures(report) == expected


def test_images_are_encoded_with_the_trainers_or_the_folders_own_processor(tmp_path):
    digits = load_digits_dataset().select(range(60))
    split = make_split(digits, stratify=False)

    def resnet():
        kwargs = {
            "num_channels": 1,
            "embedding_size": 4,
            "hidden_sizes": [4],
            "depths": [1],
            "layer_type": "basic",
        }
        return load_model("resnet", task="image-classification", num_labels=10, from_scratch=True, model_kwargs=kwargs)

    processor = image_processor_for(resnet(), size=8)
    encoded = encode_images(digits, processor)
    args = PrivacyConfig(
        output_dir=str(tmp_path / "model"),
        max_steps=2,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    trainer = PrivacyTrainer(
        args=args, model_init=resnet, train_dataset=encoded.subset(split.members), processing_class=processor
    )
    trainer.train()
    trainer.save_model(_internal_call=True)
    settings = {"depth": "quick", "queries": ("identity", "flip"), "show_progress": False}
    reports = [
        audit(target, data, split, output_dir=tmp_path / str(number), **settings)
        for number, (target, data) in enumerate([(trainer, encoded), (trainer, digits), (tmp_path / "model", digits)])
    ]
    aucs = [[attack["auc"] for attack in report.to_dict()["attacks"]] for report in reports]
    assert aucs[0] == aucs[1] == aucs[2]
    assert reports[0].to_dict()["attacks"][0]["queries"] == ["identity", "flip"]


def test_a_dataset_that_the_split_is_not_of_is_refused(trained, rows, split, tmp_path):
    with pytest.raises(InputError, match="the split is of a dataset with 140 rows and this one has 139"):
        audit(trained, rows.select(range(139)), split, output_dir=tmp_path / "x", depth="quick")
    shuffled = rows.select(list(range(140))[::-1])
    with pytest.raises(InputError, match="the split is of another dataset"):
        audit(trained, shuffled, split, output_dir=tmp_path / "x", depth="quick")
    assert not (tmp_path / "x").exists()


# ---- what is refused, before anything is trained ----


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"references": 1}, "references is 1"),
        ({"depth": "deep"}, "depth is 'deep'"),
        ({"refs": 4}, "unknown setting 'refs' of audit: known are depth,"),
        ({"queries": ("rotate",)}, "queries is"),
        ({"depth": "quick", "queries": ("flip",)}, "flip"),
        ({"targets": 2, "references": 4}, "6 references"),
    ],
    ids=str,
)
def test_settings_no_audit_can_have_are_refused(trained, dataset, split, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        audit(trained, dataset, split, output_dir=tmp_path / "x", show_progress=False, **settings)
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("privacy_report*"))


def test_a_full_audit_of_a_model_without_a_recipe_is_refused(saved, dataset, split, tmp_path):
    with pytest.raises(InputError, match="a full audit of a saved model needs trainer"):
        audit(saved, dataset, split, output_dir=tmp_path)


def test_a_full_audit_of_a_trainer_built_from_a_model_is_refused_and_a_quick_one_is_not(
    trained, dataset, split, tmp_path
):
    built = PrivacyTrainer(model=trained.model, args=trained.args, train_dataset=trained.train_dataset)
    with pytest.raises(InputError, match="build it with model_init"):
        audit(built, dataset, split, output_dir=tmp_path)
    audit(built, dataset, split, output_dir=tmp_path, depth="quick", show_progress=False)


def test_another_number_of_rows_than_the_split_counts_is_refused(trained, dataset, split, tmp_path):
    with pytest.raises(InputError, match="the split is of a dataset with 140 rows and dataset has 10"):
        audit(trained, dataset.subset(range(10)), split, output_dir=tmp_path, depth="quick")


def test_labels_outside_the_models_range_are_refused_before_references_are_trained(trained, dataset, split, tmp_path):
    labels = dataset.column("labels").clone()
    labels[int(split.members[0])] = 7
    wrong = TensorDataset({"features": dataset.column("features"), "labels": labels})
    with pytest.raises(InputError, match="label"):
        audit(trained, wrong, split, output_dir=tmp_path, references=4, show_progress=False)
    assert not list(tmp_path.rglob("reference_*.safetensors"))
    assert not list(tmp_path.rglob("privacy_report*"))


def test_references_of_another_recipe_are_refused(full, make_trainer, saved, dataset, split, tmp_path):
    folder, _ = full
    with pytest.raises(InputError, match="was made with another recipe_hash"):
        audit(
            saved,
            dataset,
            split,
            output_dir=tmp_path,
            references_dir=folder / "private" / "references",
            trainer=make_trainer(learning_rate=0.5),
            references=6,
            show_progress=False,
        )


@pytest.mark.parametrize("target", [3, None, "no/such/folder"])
def test_a_target_that_is_no_model_is_refused(target, dataset, split, tmp_path):
    with pytest.raises(InputError):
        audit(target, dataset, split, output_dir=tmp_path, depth="quick")


def test_data_that_is_no_dataset_is_refused(trained, split, tmp_path):
    with pytest.raises(InputError, match=r"dataset is list: pass a datasets\.Dataset or a TensorDataset"):
        audit(trained, [1, 2], split, output_dir=tmp_path, depth="quick")


def test_the_input_column_is_found_or_must_be_named(trained, rows, split, tmp_path):
    settings = {"depth": "quick", "show_progress": False}
    two = rows.add_column("other", [[0.0]] * len(rows))
    own = make_split(two)
    with pytest.raises(InputError, match="2 columns that could be the input \\(features, other\\)"):
        audit(trained.model, two, own, output_dir=tmp_path, **settings)
    audit(trained.model, two, own, output_dir=tmp_path, input_column="features", **settings)
    with pytest.raises(InputError, match="'featurs'"):
        audit(trained.model, two, own, output_dir=tmp_path, input_column="featurs", **settings)


def test_images_or_text_without_a_processor_are_refused(trained, tmp_path):
    digits = load_digits_dataset().select(range(20))
    with pytest.raises(InputError, match="the target brings no image processor"):
        audit(trained.model, digits, make_split(digits, stratify=False), output_dir=tmp_path, depth="quick")
    words = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"], "label": [0, 1, 0, 1]})
    with pytest.raises(InputError, match="the target brings no tokenizer"):
        audit(trained.model, words, make_split(words), output_dir=tmp_path, depth="quick")


# ---- what a reader must know ----


def test_caveats_say_what_an_audit_could_not_see(quick, full, trained, dataset, rows, tmp_path):
    quick_caveats = " ".join(quick[1].to_dict()["caveats"])
    assert "Quick audit: no reference models" in quick_caveats
    assert "Repeats across the split were not looked for." in quick_caveats
    assert "60 non-members cannot resolve a false positive rate of 0.1 %, 1 %" in quick_caveats
    assert "Only 6 reference models" in " ".join(full[1].to_dict()["caveats"])
    uneven = make_split(rows, member_fraction=0.2)
    trainer_caveats = " ".join(
        audit(trained, dataset, uneven, output_dir=tmp_path, depth="quick", show_progress=False).to_dict()["caveats"]
    )
    assert "No population was set aside" in trainer_caveats


def test_repeats_across_the_split_are_counted_and_warned_of(trained, rows, tmp_path):
    twice = datasets.concatenate_datasets([rows, rows.select(range(5))])
    members = list(range(70))
    split = make_split(twice, members=members, non_members=range(70, 145))
    report = audit(trained.model, twice, split, output_dir=tmp_path, depth="quick", show_progress=False).to_dict()
    assert report["split"]["exact_repeats"] == 5
    assert any(caveat.startswith("5 exact") for caveat in report["caveats"])


def test_a_local_path_never_enters_the_report(trained, dataset, split, tmp_path):
    provenance = Provenance(
        model_name=str(tmp_path / "secret" / "mine"),
        base_model=str(tmp_path / "secret" / "base"),
        dataset_name=str(tmp_path / "secret" / "rows.parquet"),
    )
    audit(
        trained,
        dataset,
        split,
        output_dir=tmp_path / "out",
        depth="quick",
        provenance=provenance,
        show_progress=False,
    )
    for file in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        assert b"secret" not in file.read_bytes(), file.name
    values = json.loads((tmp_path / "out" / "privacy_report.json").read_text())
    assert values["model"]["name"].endswith("mine")
    assert values["model"]["base_model"] == "base"


def test_the_report_holds_aggregates_and_no_example(full):
    text = (full[0] / "privacy_report.json").read_text()
    assert len(text) < 120_000
    values = json.loads(text)
    assert max(len(curve["fpr"]) for curve in values["curves"].values()) <= 200
    assert isinstance(values["split"]["hash"], str)


def test_a_split_without_population_compares_with_non_members(trained, dataset, rows, tmp_path):
    split = MembershipSplit(
        range(70), range(70, 140), [], n_examples=140, dataset_fingerprint="not checked for tensors"
    )
    report = audit(trained.model, dataset, split, output_dir=tmp_path, depth="quick", show_progress=False)
    assert np.isfinite([attack["auc"] for attack in report.to_dict()["attacks"]]).all()


def test_more_members_than_the_trainer_was_trained_on_are_refused(trained, dataset, tmp_path):
    split = MembershipSplit(range(70), range(70, 140), [], n_examples=140, dataset_fingerprint="f")
    with pytest.raises(InputError, match="trained on 60 examples and the split has 70 members"):
        audit(trained, dataset, split, output_dir=tmp_path, depth="quick", show_progress=False)


# ---- beyond the table of signals ----


@pytest.fixture(scope="module")
def deep(trained, dataset, split, tmp_path_factory):
    folder = tmp_path_factory.mktemp("deep")
    settings = {
        "references": 6,
        "targets": 3,
        "budgets": [2, 4],
        "extra_attacks": ["quantile_regression", "label_only"],
    }
    return folder, audit(
        trained, dataset, split, output_dir=folder, keep_weights=True, show_progress=False, **settings
    )


def test_extra_attacks_are_made_on_the_target_and_on_references_whose_weights_are_kept(deep):
    _, report = deep
    validate_report(report.to_dict())
    assert {"quantile_regression", "label_only"} <= set(by_name(report))
    assert {"quantile_regression", "label_only"} <= {attack["name"] for attack in report.targets["attacks"]}


def test_without_kept_weights_extra_attacks_have_the_target_alone(full, trained, dataset, split):
    folder, _ = full
    settings = {"references": 6, "targets": 3, "extra_attacks": ["label_only"], "show_progress": False}
    report = audit(trained, dataset, split, output_dir=folder, **settings)
    assert "label_only" in by_name(report)
    assert "label_only" not in {attack["name"] for attack in report.targets["attacks"]}


def test_budgets_are_in_the_report_and_on_the_page(deep):
    folder, report = deep
    assert {entry["n_references"] for entry in report.budgets["attacks"]} == {0, 2, 4}
    assert (folder / "privacy_budgets.png").is_file()


def test_two_references_make_a_full_audit(trained, dataset, split, tmp_path):
    report = audit(trained, dataset, split, output_dir=tmp_path, references=2, show_progress=False)
    found = by_name(report)
    assert found["lira"]["title"] == "LiRA (online, global variance)"
    assert found["rmia"]["auc_low"] > 0.65


def test_how_exposed_each_example_is_stays_private(full, split):
    folder, report = full
    tensors = load_file(folder / "private" / "vulnerability.safetensors")
    assert tensors["row"].tolist() == split.pool.tolist()
    assert (tensors["membership"] == split.membership).all()
    assert auc(tensors["lira"].numpy(), tensors["membership"].numpy() == 1) == by_name(report)["lira"]["auc"]
    assert not any("vulnerability" in path.name for path in folder.iterdir())


def test_a_random_split_is_not_told_without_the_model(full):
    blind = full[1].blind_baseline
    assert blind["auc_low"] < 0.5 < blind["auc_high"]
    assert not any("without the model" in caveat for caveat in full[1].caveats)


def test_a_split_that_can_be_told_without_the_model_is_a_caveat(trained, rows, tmp_path):
    features = np.asarray(rows["features"], dtype=np.float32)
    order = np.argsort(features[:, 0])  # members are those with small values of the first feature
    split = MembershipSplit(order[:60], order[60:120], order[120:], n_examples=140, dataset_fingerprint="-")
    report = audit(
        trained.model, encode_features(rows), split, output_dir=tmp_path, depth="quick", show_progress=False
    )
    assert report.blind_baseline["differs"]
    assert any("can be told apart without the model" in caveat for caveat in report.caveats)


def test_few_examples_to_fit_quantiles_on_are_refused_before_training(trained, dataset, rows, tmp_path):
    split = MembershipSplit(range(60), range(60, 130), range(130, 140), n_examples=140, dataset_fingerprint="-")
    with pytest.raises(InputError, match="set aside at least 20, or none"):
        audit(trained, dataset, split, output_dir=tmp_path, extra_attacks=["quantile_regression"])
    assert not (tmp_path / "private").exists()
