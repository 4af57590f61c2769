"""An audit asks every model on one device, and its figures are those of the CPU."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest

from hf_privacy import audit
from hf_privacy.auditing.inputs import resolve_model


def figures(report) -> dict:
    values = report.to_dict()
    return {name: values[name] for name in ("attacks", "utility", "memorization_bins", "curves", "evidence")}


def test_a_quick_audit_does_not_depend_on_where_the_model_lies(trained, dataset, split, second_device, tmp_path):
    settings = {"depth": "quick", "show_progress": False}
    base = copy.deepcopy(trained.model_init())
    here = audit(trained.model, dataset, split, output_dir=tmp_path / "here", base_model=base, **settings)
    with second_device() as device:
        model = copy.deepcopy(trained.model).to(device)
        there = audit(model, dataset, split, output_dir=tmp_path / "there", base_model=base, **settings)
    assert figures(there) == figures(here)
    assert next(base.parameters()).device.type == "cpu"


@pytest.mark.parametrize("door", ["folder", "model"])
def test_with_a_trainer_the_target_goes_where_that_ones_references_are(door, saved, trained, second_device):
    with second_device() as device:
        trainer = SimpleNamespace(accelerator=SimpleNamespace(device=device))
        target = saved if door == "folder" else copy.deepcopy(trained.model)
        model, _ = resolve_model(target, trainer)
        assert {parameter.device for parameter in model.parameters()} == {device}
