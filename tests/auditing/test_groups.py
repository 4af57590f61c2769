"""An audit of whole patients: intervals, tests, references and the report are by patient."""

from __future__ import annotations

from dataclasses import replace

import datasets
import numpy as np
import pytest
import torch
from scipy.special import expit, log_expit

from hf_privacy import audit
from hf_privacy.auditing.attack import attack_all
from hf_privacy.data import TensorDataset, encode_features, make_split
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings
from hf_privacy.references import reference_run
from hf_privacy.reports import PrivacyReport
from hf_privacy.statistics import auc_interval

PATIENTS = np.repeat(np.arange(35), 4)


@pytest.fixture(scope="module")
def by_patient(rows):
    """60 to 68 rows of 15 to 17 patients a side, three patients aside, and a target trained on the members."""
    named = rows.add_column("patient", [f"p{number}" for number in PATIENTS])
    return named, make_split(named, group_column="patient", population_fraction=0.1, stratify=False)


@pytest.fixture(scope="module")
def target(by_patient, make_trainer) -> tuple[PrivacyTrainer, TensorDataset]:
    named, split = by_patient
    encoded = encode_features(named.select_columns(["features", "label"]))
    trainer = make_trainer(train_dataset=encoded.subset(split.members), num_train_epochs=20)
    trainer.train()
    return trainer, encoded


@pytest.fixture(scope="module")
def report(by_patient, target, tmp_path_factory) -> PrivacyReport:
    return audit(
        *target,
        by_patient[1],
        output_dir=tmp_path_factory.mktemp("audit"),
        depth="full",
        references=6,
        targets=3,
        show_progress=False,
    )


def test_the_report_says_unit_and_number_of_groups(report, by_patient, tmp_path):
    split = by_patient[1]
    assert report.split["unit"] == "patient"
    assert report.split["n_groups"] == split.n_groups
    assert report.evidence["method"] == "permutation of the membership by whole groups, largest of all attacks"
    assert any(
        "groups by 'patient'" in caveat and "intervals by group are wide" in caveat for caveat in report.caveats
    )
    report.save(tmp_path)
    assert PrivacyReport.load(tmp_path).split == report.split
    page = (tmp_path / "privacy_report.html").read_text(encoding="utf-8")
    assert "Unit of membership" in page
    assert "examples of one group are not counted as independent" in page
    assert '"p1' not in (tmp_path / "privacy_report.json").read_text(encoding="utf-8")


def test_whole_groups_are_attacked_by_the_mean_score_of_their_rows(report, planted_table, tmp_path):
    table = planted_table(n_references=0)
    order = np.argsort(~table.membership, kind="stable")
    groups = np.empty(600, dtype=np.int64)
    groups[order] = np.repeat(np.arange(90), [10] * 30 + [5] * 60)
    found = attack_all(replace(table, groups=groups), AuditSettings())
    for scores, summary in zip(found.scores, found.attacks, strict=True):
        means = [scores.scores[groups == group].mean() for group in range(90)]
        members = [bool(table.membership[groups == group][0]) for group in range(90)]
        wins = [
            (one > other) + (one == other) / 2
            for one, inside in zip(means, members, strict=True)
            for other, within in zip(means, members, strict=True)
            if inside and not within
        ]
        assert summary["by_group"]["auc"] == pytest.approx(np.mean(wins))
        assert summary["by_group"]["auc_low"] <= summary["by_group"]["auc"] <= summary["by_group"]["auc_high"]
    # Every row of a member is easier to tell than chance, so many of them together are more so.
    assert found.attacks[0]["by_group"]["auc"] > found.attacks[0]["auc"] + 0.05
    report.save(tmp_path)
    assert "Whole groups, each by the mean score" in (tmp_path / "privacy_report.html").read_text(encoding="utf-8")
    assert "by_group" not in attack_all(table, AuditSettings()).attacks[0]


def test_references_hold_whole_patients(by_patient, target, tmp_path):
    trainer, encoded = target
    split = by_patient[1]
    plan = reference_run(trainer, encoded, split, tmp_path / "store", n_models=4).plan
    for row in plan.membership:
        inside = np.unique(split.pool_groups[row])
        assert not np.intersect1d(inside, split.pool_groups[~row]).size
        assert abs(2 * len(inside) - len(np.unique(split.pool_groups))) <= 1


def test_rows_and_groups_are_other_references(by_patient, target, tmp_path):
    trainer, encoded = target
    split = by_patient[1]
    reference_run(trainer, encoded, split, tmp_path / "store", n_models=4)
    with pytest.raises(InputError):
        reference_run(trainer, encoded, replace(split, groups=None, unit=None), tmp_path / "store", n_models=4)


def test_the_intervals_of_every_attack_are_by_group(planted_table):
    table = replace(planted_table(n_references=0), groups=np.arange(600) // 6)
    order = np.argsort(~table.membership, kind="stable")  # groups of one side each
    groups = np.empty(600, dtype=np.int64)
    groups[order] = np.arange(600) // 6
    found = attack_all(replace(table, groups=groups), AuditSettings())
    for scores, summary in zip(found.scores, found.attacks, strict=True):
        ends = auc_interval(scores.scores, table.membership, groups=groups)
        assert (summary["auc_low"], summary["auc_high"]) == pytest.approx(ends)


def test_without_leakage_whole_groups_alike_are_seldom_called_leakage(planted_table):
    """Patients differ, and the model knows some better than others, whoever was a member."""
    claims = by_row = 0
    options = AuditSettings()
    for seed in range(30):
        table = planted_table(effect=0.0, seed=seed, n_references=0)
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 20)
        phi = table.target["phi"] + 2 * rng.normal(size=40)[groups]
        loss = -log_expit(phi)
        signals = {"phi": phi, "loss": loss, "probability": expit(phi), "modified_entropy": loss, "entropy": 0 * phi}
        membership = rng.permutation(30)[groups[:600]] < 15
        grouped = replace(table, target=signals, membership=membership, groups=groups[:600])
        found = attack_all(grouped, options).evidence
        claims += found["strongest"]["p_value"] <= found["level"]
        found = attack_all(replace(grouped, groups=None), options).evidence
        by_row += found["strongest"]["p_value"] <= found["level"]
    assert claims <= 3  # P(more | 2.5 %) = .3 %
    assert by_row > 12


def test_a_split_whose_groups_are_elsewhere_is_refused():
    rows = datasets.Dataset.from_dict({"x": [0.0] * 8, "label": [0] * 8, "who": list("aabbccdd")})
    with pytest.raises(InputError, match="have rows in members and in non_members"):
        make_split(rows, members=[0, 2, 4], group_column="who")


def test_an_untrained_model_has_an_interval_by_group_around_a_half(by_patient, target, tmp_path):
    trainer, encoded = target
    split = by_patient[1]
    model = trainer.model_init()
    assert isinstance(model, torch.nn.Module)
    assert isinstance(trainer.args, PrivacyConfig)
    report = audit(model, encoded, split, output_dir=tmp_path, depth="quick", show_progress=False)
    loss = next(attack for attack in report.attacks if attack["name"] == "loss")
    assert loss["auc_low"] < 0.5 < loss["auc_high"]
