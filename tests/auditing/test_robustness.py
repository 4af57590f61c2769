"""Robustness in the report: accuracy under attack, by set, target and memorization, and membership attacks there."""

from __future__ import annotations

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_training import RESNET
from transformers import BertConfig, BertForSequenceClassification

from hf_privacy import InputError, audit
from hf_privacy.adversarial import PGD, AdversarialInputs, FeatureSpace, PixelSpace
from hf_privacy.adversarial.autoattack import AutoAttack
from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.examinations.robustness import AttackedModel, Outcomes, robustness_section, spread
from hf_privacy.auditing.groups import BIN_BOUNDS, memorization_of
from hf_privacy.auditing.targets import leave_one_out_table, mean_interval
from hf_privacy.data import (
    MembershipSplit,
    TensorDataset,
    encode_images,
    image_processor_for,
    load_digits_dataset,
    make_split,
)
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.hub import validate_report
from hf_privacy.models import load_model
from hf_privacy.recipe import AuditSettings
from hf_privacy.signals import SignalStore, adversarial_correct, compute_signals
from hf_privacy.statistics import clopper_pearson, summarize

ATTACK = AdversarialInputs(FeatureSpace(), PGD(0.25, n_steps=5, step_size=0.1))
OPTIONS = AuditSettings(references=8, robustness={"epsilon": 0.25, "n_steps": 5, "step_size": 0.1})


def section(models, options=OPTIONS):
    return robustness_section(models, attack=ATTACK, options=options, seconds=1.5)


def by_key(entries) -> dict[tuple[str, str], dict]:
    return {(entry["name"], entry["set"]): entry for entry in entries}


@pytest.fixture(scope="module")
def target(planted_table):
    """A target whose adversarial signals are another draw of the same kind."""
    clean = planted_table()
    adversarial = planted_table(seed=1)
    return AttackedModel(clean, replace(adversarial, membership=clean.membership))


# ---- on planted tables ----


def test_accuracies_are_counted_by_set_with_exact_intervals(target):
    found = by_key(section([target])["accuracies"])
    clean, n = target.clean, target.clean.n_pool
    correct = clean.target["correct"][0][:n]
    for name, inside in (("members", clean.membership), ("nonmembers", ~clean.membership)):
        entry = found["clean", name]
        low, high = clopper_pearson(int(correct[inside].sum()), int(inside.sum()))
        assert (entry["value"], entry["low"], entry["high"]) == (correct[inside].mean(), low, high)
        assert entry["n_examples"] == inside.sum()
    assert found["pgd", "members"]["title"] == "PGD-5"


def test_what_is_wrong_before_the_attack_is_wrong_under_it(target):
    n, members = target.clean.n_pool, target.clean.membership
    both = target.clean.target["correct"][0][:n] * target.adversarial.target["correct"][0][:n]
    found = by_key(section([target])["accuracies"])
    assert found["pgd", "members"]["value"] == both[members].mean()
    for name in ("members", "nonmembers"):
        assert found["pgd", name]["value"] <= found["clean", name]["value"]


def test_autoattack_is_of_the_non_members_it_was_made_on(target):
    positions = np.flatnonzero(~target.clean.membership)[:40]
    tried = replace(target, autoattack=Outcomes(positions, np.arange(40) % 4 == 0))
    found = by_key(section([tried])["accuracies"])
    assert found["autoattack", "nonmembers"]["value"] == 0.25
    assert found["autoattack", "nonmembers"]["n_examples"] == 40
    assert ("autoattack", "members") not in found


def test_bins_agree_with_a_count_by_hand_and_small_ones_are_left_out(target):
    positions = np.flatnonzero(~target.clean.membership)[::4]
    tried = replace(target, autoattack=Outcomes(positions, np.ones(len(positions), dtype=bool)))
    memorization = memorization_of(target.clean)
    expected = []
    for low, high in itertools.pairwise(BIN_BOUNDS):
        inside = (memorization >= low) & ((memorization < high) | (high == 1.0))
        for (name, group), outcomes in tried.outcomes().items():
            chosen = outcomes.correct[inside[outcomes.positions]]
            if len(chosen) >= 20:
                expected.append((low, high, name, group, len(chosen), chosen.mean()))
    keys = ("memorization_from", "memorization_to", "name", "set", "n_examples", "value")
    bins = section([tried])["memorization_bins"]
    assert [tuple(entry[key] for key in keys) for entry in bins] == expected
    assert len({entry["memorization_from"] for entry in bins}) > 2
    assert sum(entry["name"] == "autoattack" for entry in bins) < sum(entry["name"] == "pgd" for entry in bins) / 2


def test_membership_attacks_read_the_adversarial_signals_alone_and_count_among_all(target):
    found = attack_all(target.clean, OPTIONS, adversarial=target.adversarial)
    attacks = found.adversarial
    assert [(test["attack"], test["inputs"]) for test in found.evidence["attacks"][-3:]] == [
        (attack["name"], "adversarial") for attack in attacks
    ]
    assert [attack["name"] for attack in attacks] == ["loss", "lira", "rmia"]
    assert {tuple(attack["queries"]) for attack in attacks} == {("adversarial",)}
    loss = -target.adversarial.target["loss"][0][: target.clean.n_pool]
    assert attacks[0]["auc"] == summarize(loss, target.clean.membership)["auc"]
    made = robustness_section([target], attack=ATTACK, options=OPTIONS, seconds=1.5, membership_attacks=attacks)
    assert made["membership_attacks"] == attacks
    assert section([target])["membership_attacks"] is None


def test_further_targets_are_the_references_left_out_in_turn(target):
    others = [
        AttackedModel(leave_one_out_table(target.clean, number), leave_one_out_table(target.adversarial, number))
        for number in (0, 2)
    ]
    found = section([target, *others])["targets"]
    assert found["n_targets"] == 3
    rates = [model.outcomes()["pgd", "nonmembers"].correct.mean() for model in (target, *others)]
    assert by_key(found["accuracies"])["pgd", "nonmembers"] == {
        "name": "pgd",
        "set": "nonmembers",
        **mean_interval(rates),
    }


def test_autoattack_has_a_mean_only_where_every_target_was_attacked(target):
    outcomes = Outcomes(np.flatnonzero(~target.clean.membership)[:20], np.ones(20, dtype=bool))
    tried = replace(target, autoattack=outcomes)
    assert ("autoattack", "nonmembers") in by_key(section([tried, tried])["targets"]["accuracies"])
    assert ("autoattack", "nonmembers") not in by_key(section([tried, target])["targets"]["accuracies"])


def test_of_rows_sorted_by_class_every_class_is_attacked():
    labels = np.repeat(np.arange(5), 100)
    assert np.bincount(labels[spread(np.arange(500), 50)]).tolist() == [10] * 5
    assert spread(np.arange(7), 50).tolist() == list(range(7))


# ---- from end to end ----


@pytest.fixture(scope="module", autouse=True)
def _no_drawing():
    """Plots are what takes longest, and no matter of these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda *arguments, **settings: None)
        yield


SETTINGS = {"robustness": {"epsilon": 0.2, "n_steps": 4}, "curvature": 2}


@pytest.fixture(scope="module")
def clean_and_robust(trained, dataset, split, tmp_path_factory):
    """The same audit without and with attacks on the inputs."""
    common = {"references": 6, "targets": 3, "show_progress": False}
    folders = [tmp_path_factory.mktemp(name) for name in ("clean", "robust")]
    reports = [
        audit(trained, dataset, split, output_dir=folder, **common, **settings)
        for folder, settings in zip(folders, ({}, SETTINGS), strict=True)
    ]
    return *reports, folders[1]


def test_the_adversarial_query_never_enters_the_clean_attacks(clean_and_robust):
    clean, robust, folder = clean_and_robust
    assert SignalStore.open(folder / "private" / "references").queries == ["identity", "adversarial"]
    without = [attack for attack in robust.attacks if "curvature" not in attack["name"]]
    assert without == clean.attacks
    assert robust.utility == clean.utility


def test_the_report_has_robustness_and_the_curvature_attacks(clean_and_robust):
    _, robust, _ = clean_and_robust
    validate_report(robust.to_dict())
    names = [attack["name"] for attack in robust.attacks]
    assert [name for name in names if "curvature" in name] == ["curvature", "curvature_online", "curvature_nll"]
    assert "curvature_online" in {attack["name"] for attack in robust.targets["attacks"]}
    found = robust.robustness
    assert (found["space"], found["norm"], found["epsilon"], found["n_steps"]) == ("features", "linf", 0.2, 4)
    assert found["step_size"] == pytest.approx(1.25 * 0.2 / 4)
    accuracies = by_key(found["accuracies"])
    assert accuracies["clean", "members"]["value"] == robust.utility["member_accuracy"]["value"]
    assert accuracies["pgd", "members"]["value"] < accuracies["clean", "members"]["value"]
    assert found["targets"]["n_targets"] == 3
    assert [attack["n_references"] for attack in found["membership_attacks"]] == [0, 6, 6]
    assert found["seconds"] > 0


def test_auditing_again_trains_nothing(clean_and_robust, trained, dataset, split):
    _, robust, folder = clean_and_robust
    store = folder / "private" / "references"
    before = {path.name: path.stat().st_mtime_ns for path in store.glob("*.safetensors")}
    again = audit(trained, dataset, split, output_dir=folder, references=6, targets=3, show_progress=False, **SETTINGS)
    assert {path.name: path.stat().st_mtime_ns for path in store.glob("*.safetensors")} == before
    assert {**again.robustness, "seconds": 0} == {**robust.robustness, "seconds": 0}


def test_another_attack_is_refused_before_anything_is_trained_again(clean_and_robust, trained, dataset, split):
    _, _, folder = clean_and_robust
    other = {**SETTINGS, "robustness": {"epsilon": 0.3, "n_steps": 4}}
    with pytest.raises(InputError, match="was made with another adversarial"):
        audit(trained, dataset, split, output_dir=folder, references=6, targets=3, show_progress=False, **other)


def test_a_quick_audit_has_robustness_without_references(trained, dataset, split, tmp_path):
    report = audit(trained, dataset, split, output_dir=tmp_path, depth="quick", show_progress=False, **SETTINGS)
    validate_report(report.to_dict())
    assert report.robustness["targets"] is None
    assert report.robustness["memorization_bins"] is None
    assert report.leakage_share is None
    assert [attack["name"] for attack in report.robustness["membership_attacks"]] == ["loss"]
    assert [a["name"] for a in report.attacks if "curvature" in a["name"]] == ["curvature"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"robustness": {"eps": 0.1}}, "unknown key 'eps' in robustness: known are epsilon"),
        ({"robustness": {"norm": "l2"}}, "robustness has no epsilon"),
        ({"robustness": {"epsilon": -0.1}}, r"robustness.epsilon is -0.1: pass a number in \(0, ∞\)"),
        ({"robustness": {"epsilon": 0.1, "norm": "l1"}}, "pass 'linf' or 'l2'"),
        ({"robustness": {"epsilon": 0.1, "n_steps": 0}}, "n_steps is 0: pass a whole number of at least 1"),
        ({"robustness": {"epsilon": 0.1, "max_examples": 3}}, "max_examples is 3: pass a whole number of at least 20"),
        ({"robustness": {"epsilon": 0.1, "autoattack": True}}, "takes features: AutoAttack is for images"),
        ({"robustness": 0.1}, "robustness is 0.1: pass a mapping"),
        ({"curvature": -1}, "curvature is -1: pass a whole number from 0"),
        ({"curvature": True}, "curvature is True"),
    ],
    ids=str,
)
@pytest.mark.parametrize("depth", ["quick", "full"])
def test_settings_no_audit_can_have_are_refused(trained, dataset, split, tmp_path, settings, message, depth):
    with pytest.raises(InputError, match=message):
        audit(trained, dataset, split, output_dir=tmp_path / "x", depth=depth, show_progress=False, **settings)
    assert not (tmp_path / "x").exists()


# ---- images ----


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A small network trained on digits, its data and split."""
    rows = load_digits_dataset().select(range(160))
    split = make_split(rows, stratify=False)
    sizes = RESNET["kwargs"]

    def resnet():
        return load_model("resnet", task="image-classification", num_labels=10, from_scratch=True, model_kwargs=sizes)

    processor = image_processor_for(resnet(), size=8)
    encoded = encode_images(rows, processor)
    args = PrivacyConfig(
        output_dir=str(tmp_path_factory.mktemp("digits")),
        num_train_epochs=15,
        learning_rate=0.02,
        per_device_train_batch_size=20,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )
    members = encoded.subset(split.members)
    trainer = PrivacyTrainer(args=args, model_init=resnet, train_dataset=members, processing_class=processor)
    trainer.train()
    return trainer, encoded, split


def test_pixels_are_attacked_in_pixel_units_and_autoattack_is_stronger(digits, tmp_path, monkeypatch):
    pytest.importorskip("pyautoattack")
    trainer, encoded, split = digits
    attack = AutoAttack(PixelSpace((0.5,), (0.5,)), 0.1, attacks=("apgd-ce",))
    monkeypatch.setattr("hf_privacy.auditing.examinations.robustness.auto_attack", lambda settings, space: attack)
    robustness = {"epsilon": 0.1, "n_steps": 3, "autoattack": True, "max_examples": 40}
    trainer.save_model(_internal_call=True)
    reports = [
        audit(
            door, encoded, split, output_dir=tmp_path / name, depth="quick", robustness=robustness, show_progress=False
        )
        for name, door in (("trainer", trainer), ("folder", trainer.args.output_dir))
    ]
    found = by_key(reports[0].robustness["accuracies"])
    assert reports[0].robustness["accuracies"] == reports[1].robustness["accuracies"]
    assert reports[0].robustness["space"] == "pixels"
    assert found["clean", "nonmembers"]["value"] > 0.5
    assert found["pgd", "nonmembers"]["value"] < found["clean", "nonmembers"]["value"]
    assert found["autoattack", "nonmembers"]["n_examples"] == 40
    rows = spread(split.non_members, 40)
    expected = adversarial_correct(trainer.model, encoded.subset(rows), attack=attack, batch_size=512)
    assert found["autoattack", "nonmembers"]["value"] == expected.mean()


def test_kept_weights_let_further_targets_have_autoattack(digits, tmp_path, monkeypatch):
    pytest.importorskip("pyautoattack")
    trainer, encoded, split = digits
    attack = AutoAttack(PixelSpace((0.5,), (0.5,)), 0.1, attacks=("apgd-ce",))
    monkeypatch.setattr("hf_privacy.auditing.examinations.robustness.auto_attack", lambda settings, space: attack)
    robustness = {"epsilon": 0.1, "n_steps": 2, "autoattack": True, "max_examples": 20, "membership": False}
    settings = {"references": 6, "targets": 2, "robustness": robustness, "show_progress": False}
    found = []
    for _ in range(2):
        report = audit(trainer, encoded, split, output_dir=tmp_path, keep_weights=True, **settings)
        validate_report(report.to_dict())
        found.append(by_key(report.robustness["targets"]["accuracies"]))
        shutil.rmtree(tmp_path / "private" / "references" / "models", ignore_errors=True)
    assert ("autoattack", "nonmembers") in found[0]
    assert ("autoattack", "nonmembers") not in found[1]
    assert found[0]["pgd", "nonmembers"] == found[1]["pgd", "nonmembers"]


def test_the_signals_of_the_target_are_those_of_the_attack_in_pixels(digits, tmp_path):
    trainer, encoded, split = digits
    report = audit(
        trainer,
        encoded,
        split,
        output_dir=tmp_path,
        depth="quick",
        robustness={"epsilon": 0.1, "n_steps": 3},
        show_progress=False,
    )
    attack = AdversarialInputs(PixelSpace((0.5,), (0.5,)), PGD(0.1, n_steps=3))
    signals = compute_signals(
        trainer.model,
        encoded.subset(split.non_members),
        queries=("identity", "adversarial"),
        adversarial=attack,
        batch_size=512,
    )
    found = by_key(report.robustness["accuracies"])
    assert found["pgd", "nonmembers"]["value"] == signals["correct"].all(axis=0).mean()


@pytest.mark.parametrize("robustness", [{"epsilon": 8}, {"epsilon": 128, "norm": "l2"}])
def test_epsilon_in_units_of_0_to_255_is_refused(digits, tmp_path, robustness):
    trainer, encoded, split = digits
    with pytest.raises(InputError, match="0–255 units"):
        audit(trainer, encoded, split, output_dir=tmp_path / "x", references=6, robustness=robustness)
    assert not (tmp_path / "x").exists()


def test_images_without_the_facts_of_their_normalisation_are_refused(digits, tmp_path):
    trainer, encoded, split = digits
    with pytest.raises(InputError, match="processor is missing"):
        audit(trainer.model, encoded, split, output_dir=tmp_path / "x", depth="quick", robustness={"epsilon": 0.1})


# ---- texts ----


def test_texts_are_attacked_in_their_embeddings(tmp_path):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    model = BertForSequenceClassification(BertConfig(vocab_size=30, num_labels=2, **sizes))
    tokens = torch.randint(3, 30, (80, 6), generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(6) < 3 + torch.arange(80)[:, None] % 4).long()
    tensors = {"input_ids": tokens * mask, "attention_mask": mask, "labels": torch.arange(80) % 2}
    split = MembershipSplit(range(40), range(40, 80), [], n_examples=80, dataset_fingerprint="-")
    settings = {"depth": "quick", "curvature": 2, "blind_baseline": False, "show_progress": False}
    report = audit(model, TensorDataset(tensors), split, output_dir=tmp_path, robustness={"epsilon": 0.5}, **settings)
    validate_report(report.to_dict())
    found = by_key(report.robustness["accuracies"])
    assert report.robustness["space"] == "embeddings"
    assert found["pgd", "members"]["value"] < found["clean", "members"]["value"]
    robustness = {"epsilon": 0.5, "autoattack": True}
    with pytest.raises(InputError, match="takes embeddings: AutoAttack is for images"):
        audit(model, TensorDataset(tensors), split, output_dir=tmp_path, robustness=robustness, **settings)
