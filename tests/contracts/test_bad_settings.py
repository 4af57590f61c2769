"""Every field of every config and settings class, with every kind of bad value: refused before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

import numpy as np
import pytest
import torch
from bad_values import BAD_NUMBERS
from transformers import TrainingArguments

from hf_privacy import defenses, unlearning
from hf_privacy.adversarial import PGD, AdversarialInputs, FeatureSpace, PixelSpace
from hf_privacy.defenses import PrivacyConfig
from hf_privacy.defenses.base.config_checks import _plain_fields
from hf_privacy.defenses.critical_weights.settings import CriticalWeightSettings
from hf_privacy.errors import InputError
from hf_privacy.recipe.audit_settings import AuditSettings
from hf_privacy.recipe.canary_settings import CanarySettings
from hf_privacy.recipe.extraction_settings import ExtractionSettings
from hf_privacy.recipe.robustness_settings import RobustnessSettings
from hf_privacy.recipe.unlearning_section import UnlearningSection
from hf_privacy.signals.curvature import Curvature

_REQUIRED = {"DPConfig": {"target_epsilon": 3.0}, "DPAdversarialConfig": {"target_epsilon": 3.0}}
# Stock arguments that methods also look at; all of them are tried with `PrivacyConfig`.
_SHARED = (
    "seed",
    "learning_rate",
    "per_device_train_batch_size",
    "max_grad_norm",
    "num_train_epochs",
    "fp16",
    "label_smoothing_factor",
)
CONFIGS = [
    getattr(room, name)
    for room in (defenses, unlearning)
    for name in room.__all__
    if name.endswith("Config") and is_dataclass(getattr(room, name))
]


def checked_audit(**settings: Any) -> AuditSettings:
    made = AuditSettings(**settings)
    made.check()
    return made


def checked_canaries(**settings: Any) -> CanarySettings:
    made = CanarySettings(**settings)
    made.check()
    return made


def checked_unlearning(**settings: Any) -> UnlearningSection:
    made = UnlearningSection(method="ssd", **settings)
    made.check()
    return made


def spaced(**settings: Any) -> AdversarialInputs:
    return AdversarialInputs(FeatureSpace(), PGD(0.1), **settings)


# Each with good values of the fields to spoil.
SETTINGS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (
        PGD,
        {
            "epsilon": 0.1,
            "norm": "l2",
            "n_steps": 3,
            "step_size": 0.1,
            "random_start": True,
            "n_restarts": 1,
            "loss": "cross_entropy",
        },
    ),
    (PixelSpace, {"mean": (0.5,), "std": (0.5,)}),
    (FeatureSpace, {"low": 0.0, "high": 1.0}),
    (spaced, {"seed": 0, "keep_best": False}),
    (Curvature, {"method": "hvp", "n_vectors": 2, "h": 1e-3, "seed": 0}),
    (CriticalWeightSettings, {field.name: field.default for field in fields(CriticalWeightSettings)}),
    (
        checked_audit,
        {
            "depth": "quick",
            "references": 4,
            "fraction": 0.5,
            "reference_seed": 0,
            "targets": 1,
            "fprs": [0.1],
            "confidence": 0.9,
            "lira_variance": "auto",
            "gamma": 1.0,
            "blind_baseline": True,
            "class_slices": True,
            "curvature": 0,
            "batch_size": 8,
            "stack": 2,
            "keep_weights": False,
        },
    ),
    (
        checked_canaries,
        {
            "n": 20,
            "kind": "random",
            "delta": 1e-5,
            "secret_tokens": 5,
            "repetitions": 2,
            "exposure_references": 10,
        },
    ),
    (
        lambda **settings: ExtractionSettings.of(settings),
        {"prefix_tokens": 5, "suffix_tokens": 5, "temperature": 0.7, "top_k": 5, "top_p": 0.9, "generated": 3},
    ),
    (
        lambda **settings: RobustnessSettings.from_dict(settings),
        {
            "epsilon": 0.1,
            "norm": "l2",
            "n_steps": 3,
            "step_size": 0.1,
            "autoattack": False,
            "max_examples": 50,
            "membership": True,
        },
    ),
    (
        checked_unlearning,
        {"heldout_seed": 0, "retrains": 1, "retrain_seed": 0, "relearning_steps": 3, "u_lira": False, "audit": "none"},
    ),
]


def refuse(make: Callable[..., Any], name: str, kind: str, value: Any) -> None:
    try:
        made = make(**{name: value})
    except InputError as error:
        assert "\n" not in str(error), (name, kind, str(error))  # noqa: PT017
        assert len(str(error)) < 400, (name, kind, str(error))  # noqa: PT017
    except Exception as error:
        pytest.fail(f"{name}={kind}: {type(error).__name__}: {error}")
    else:
        pytest.fail(f"{name}={kind} is taken: {made!r}"[:300])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_no_field_of_a_config_takes_what_is_no_such_value(config, tmp_path):
    trains = issubclass(config, TrainingArguments)
    good = {"output_dir": str(tmp_path)} if trains else {}
    good |= _REQUIRED.get(config.__name__, {})
    config(**good)
    plain = _plain_fields(config)
    for field in fields(config):
        is_stock = trains and field.name in TrainingArguments.__dataclass_fields__
        tried = field.name in (plain if config is PrivacyConfig else _SHARED) if is_stock else True
        if not field.init or not tried:
            continue
        for kind, value in BAD_NUMBERS.items():
            if kind == "an array" and field.name == "betas":  # two numbers are
                continue
            refuse(lambda **changed: config(**{**good, **changed}), field.name, kind, value)
        if field.name in plain and plain[field.name][0] is not bool:
            refuse(lambda **changed: config(**{**good, **changed}), field.name, "True", True)
            refuse(lambda **changed: config(**{**good, **changed}), field.name, "infinite", float("inf"))
        if field.name in plain and not plain[field.name][1]:
            refuse(lambda **changed: config(**{**good, **changed}), field.name, "None", None)


@pytest.mark.parametrize(("make", "good"), SETTINGS, ids=[str(number) for number in range(len(SETTINGS))])
def test_no_setting_takes_what_is_no_such_value(make, good):
    make(**good)
    for name in good:
        if good[name] is None or good[name] is MISSING:
            continue
        for kind, value in BAD_NUMBERS.items():
            if kind == "an array" and name == "fprs":  # two rates are
                continue
            refuse(lambda **changed: make(**{**good, **changed}), name, kind, value)


def test_numpys_numbers_in_a_config_are_saved_as_json(tmp_path):
    config = PrivacyConfig(
        str(tmp_path), learning_rate=np.float32(0.5), seed=np.int64(3), bf16=np.False_, max_steps=np.int32(2)
    )
    assert (config.learning_rate, config.seed, config.bf16, config.max_steps) == (0.5, 3, False, 2)
    assert [type(value) for value in (config.learning_rate, config.seed, config.bf16)] == [float, int, bool]
    assert '"learning_rate": 0.5' in config.to_json_string()


def test_a_tensor_is_no_number_of_a_config(tmp_path):
    with pytest.raises(InputError, match="learning_rate is"):
        PrivacyConfig(str(tmp_path), learning_rate=torch.tensor(0.1))
