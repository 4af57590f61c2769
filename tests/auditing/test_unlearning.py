"""The report's section on unlearning, from arrays whose figures are known."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from hf_privacy.auditing import Outcome, unlearning_section
from hf_privacy.auditing.examinations.unlearning.examination import Unlearning
from hf_privacy.auditing.examinations.unlearning.folder import UnlearnedFolder
from hf_privacy.data import ForgetSplit
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.recipe import UnlearningRows
from hf_privacy.unlearning import Relearning, UnlearningEvaluation

METHOD = {"name": "salun", "parameters": {}, "paper": None}
TIMING = {"scoring": 1.0, "shadows": 10.0, "training": 2.0, "total": 3.5}


def one_set(correct: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    phi = np.where(correct == 1, 3.0, -1.0) + 0.1 * np.random.default_rng(seed).normal(size=len(correct))
    return {"correct": correct.astype(float), "phi": phi, "loss": np.log1p(np.exp(-phi)), "label": 0 * correct}


def model(n_wrong: int, *, n_forget: int = 40, retain_wrong=(), seed: int = 0) -> UnlearningEvaluation:
    """Wrong on the first ``n_wrong`` forgotten examples, on some retained ones, and on every second unseen one."""
    retain = np.ones(100)
    retain[list(retain_wrong)] = 0
    forget = (np.arange(n_forget) >= n_wrong).astype(int)
    return UnlearningEvaluation(
        one_set(forget, seed), one_set(retain, seed + 1), one_set((np.arange(50) % 2).astype(int), seed + 2)
    )


def rows(n_forget: int = 40) -> UnlearningRows:
    split = ForgetSplit(np.arange(n_forget), np.arange(100, 200), np.arange(300, 330))
    return UnlearningRows(split, np.arange(400, 450), "label")


def outcome(**parts) -> Outcome:
    given = {"rows": rows(), "method": METHOD, "before": model(0), "after": model(10), "timing": TIMING, **parts}
    return Outcome(**given)


def test_a_perfect_unlearner_has_the_gap_that_retraining_has_to_itself():
    retrained = [model(18, seed=3), model(20, seed=6), model(22, seed=9)]
    found = unlearning_section(outcome(after=model(20, seed=6), retrained=retrained, retrain_seconds=[30, 30, 30]))
    assert found["gap"]["average"] <= found["gap"]["retrain_against_retrain"] + 1e-12
    (ua,) = [gap for gap in found["gap"]["figures"] if gap["name"] == "UA"]
    assert ua["gap"] == pytest.approx(0.0)


def test_the_figures_stand_before_after_and_retrained():
    found = unlearning_section(outcome(retrained=[model(20), model(30)], retrain_seconds=[20.0, 40.0]))
    ua = [found["figures"][stage][0] for stage in ("before", "after", "retrained")]
    assert [figure["value"] for figure in ua] == [0.0, 0.25, 0.625]
    assert 0 <= ua[2]["low"] < 0.625 < ua[2]["high"] <= 1
    assert found["n_retrained"] == 2
    assert found["cost"]["share_of_retrain"] == pytest.approx(0.1)
    assert found["cost"]["share_with_shadows"] == pytest.approx(13 / 30)


def test_a_single_retrained_model_keeps_its_own_interval():
    found = unlearning_section(outcome(retrained=[model(20)], retrain_seconds=[20.0]))
    assert found["figures"]["retrained"] == model(20).figures()
    assert found["gap"]["retrain_against_retrain"] is None


def test_harm_counts_what_turned_wrong_and_what_turned_right():
    found = unlearning_section(outcome(before=model(0, retain_wrong=[0, 1]), after=model(9, retain_wrong=[1, 2, 3])))
    assert found["retain_harm"]["newly_wrong"]["value"] == 0.02
    assert found["retain_harm"]["newly_right"]["value"] == 0.01


def test_few_forgotten_examples_have_no_quantiles():
    many = unlearning_section(outcome())["forget_loss"]
    assert len(many["after"]) == len(many["quantiles"]) == 5
    few = outcome(rows=rows(19), before=model(0, n_forget=19), after=model(5, n_forget=19))
    assert unlearning_section(few)["forget_loss"] is None


def test_relearning_is_given_beside_that_of_retrained_models():
    found = unlearning_section(
        outcome(
            relearning=Relearning(3, True),
            retrained=[model(20), model(22)],
            retrain_seconds=[1.0, 1.0],
            retrained_relearning=[Relearning(10, True), Relearning(50, False)],
            relearning_cap=50,
        )
    )["relearning"]
    assert found == {
        "cap": 50, "steps": 3, "regained": True, "retrained_steps": 30.0, "retrained_regained": 1,
    }  # fmt: skip


def test_the_section_holds_no_row_number_and_no_list_as_long_as_the_forget_set():
    def lists(value):
        if isinstance(value, dict):
            return [found for inner in value.values() for found in lists(inner)]
        return [value, *(found for inner in value for found in lists(inner))] if isinstance(value, list) else []

    found = unlearning_section(outcome(retrained=[model(20)], retrain_seconds=[1.0]))
    json.dumps(found, allow_nan=False)
    assert max(len(values) for values in lists(found)) <= 5


def test_the_section_is_that_of_the_weights_it_was_made_of(tmp_path):
    folder = UnlearnedFolder(tmp_path / "scrub")
    folder.partial.mkdir()
    save_file({"weight": np.zeros(3)}, folder.partial / "model.safetensors")
    folder.finish({"kind": "label", "n_requests": 1, "weights_after": weights_sha256(folder.partial)}, rows())
    case = SimpleNamespace(folder=folder.path)
    assert Unlearning().run(SimpleNamespace(folder=None)) is None
    assert Unlearning().run(case) is None
    folder.write_section({"n_retrained": 0})
    assert Unlearning().run(case) == {"unlearning": {"n_retrained": 0}}
    save_file({"weight": np.ones(3)}, folder.path / "model.safetensors")
    assert Unlearning().run(case) is None


def test_rows_that_are_not_those_that_were_forgotten_are_refused(tmp_path):
    folder = UnlearnedFolder(tmp_path / "scrub")
    folder.finish({"kind": "label", "n_requests": 1}, rows())
    assert folder.rows().digest() == rows().digest()
    file = folder.path / "private" / "rows.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(InputError, match="are not those that were forgotten: unlearn again"):
        folder.rows()
