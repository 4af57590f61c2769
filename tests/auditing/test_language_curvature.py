"""An audit of a language model that asks for curvature: its attacks, its links, the base's beside it, its store."""

from __future__ import annotations

import numpy as np
import pytest
from small_training import QUIET
from tiny_language import language_model, token_rows

from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.examinations.memorization import Memorization
from hf_privacy.data import MembershipSplit
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.recipe import AuditSettings
from hf_privacy.signals import Curvature, compute_curvature

N, OF_AN_AUTHOR = 48, 3


@pytest.fixture(scope="module", params=[False, True], ids=["full", "LoRA"])
def case(request, tmp_path_factory) -> AuditCase:
    rows = token_rows(tuple(4 + number % 5 for number in range(N)))
    author = np.arange(N) // OF_AN_AUTHOR
    members = np.flatnonzero(author % 2 == 0)
    split = MembershipSplit(
        members, np.flatnonzero(author % 2), [], n_examples=N, dataset_fingerprint="tokens", groups=author,
        unit="author",
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("audit")
    trainer = PrivacyTrainer(
        args=PrivacyConfig(str(folder / "run"), **QUIET, num_train_epochs=2, learning_rate=1e-2),
        model_init=lambda: language_model("llama", lora=request.param, spread=0.1).train(),
        train_dataset=rows.subset(members),
    )
    trainer.train()
    return AuditCase(
        target=trainer,
        dataset=rows,
        split=split,
        settings=AuditSettings(references=4, curvature=2, extraction=False),
        output_dir=folder,
        references_dir=folder / "references",
        base_model=None if request.param else language_model("llama", spread=0.1),
        show_progress=False,
    )


def test_target_base_and_references_have_curvature_and_are_attacked_by_it(case):
    case.check()
    table = case.table
    settings = Curvature(n_vectors=2)
    expected = np.log(compute_curvature(case.model, case.evaluated, curvature=settings)["squared_norm"])
    np.testing.assert_allclose(table.target["curvature"][0], expected, rtol=1e-4, atol=1e-4)
    with case.base() as base:
        of_base = np.log(compute_curvature(base, case.evaluated, curvature=settings)["squared_norm"])
    np.testing.assert_allclose(table.base["curvature"][0], of_base, rtol=1e-4, atol=1e-4)
    assert table.references["curvature"].shape == (1, 4, N)
    assert case.references.store.metadata["curvature"]["n_vectors"] == 2
    made = {attack.name: attack.scores for attack in case.findings.scores}
    np.testing.assert_allclose(made["curvature"], -table.target["curvature"][0])
    assert {"curvature_online", "curvature_nll"} < set(made)
    assert all(np.isfinite(scores).all() for scores in made.values())


def test_the_report_says_what_rows_and_authors_are_memorized_and_what_curvature_knows(case):
    found = Memorization().run(case)["memorization"]
    assert found["n_examples"] == N
    assert found["n_references"] == 4
    assert found["groups"]["n_groups"] == N // OF_AN_AUTHOR
    assert 0 <= found["groups"]["n_above"] <= N // OF_AN_AUTHOR
    assert found["curvature"]["n_examples"] == N // 2
    for part in (found["curvature"], found["curvature"]["base"]):
        assert -1 <= part["low"] <= part["high"] <= 1


def test_by_default_there_is_none(case):
    assert AuditSettings().curvature == 0
    assert AuditSettings(curvature=2).check_task("causal-lm") is None
