"""Proxies of one run: all of them, all high where memorized."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy.errors import InputError
from hf_privacy.memorization import dynamics_proxies, proxies

RNG = np.random.default_rng(0)
LOSSES = RNG.exponential(size=(6, 30))
SIGNALS = {
    "loss": LOSSES,
    "probability": np.exp(-LOSSES),
    "correct": LOSSES < 0.7,
    "el2n": np.sqrt(2) * (1 - np.exp(-LOSSES)),
    "epochs": np.arange(6.0),
}
CURVATURE = {
    "curvature_squared_norm": RNG.exponential(size=(3, 30)),
    "curvature_norm": RNG.exponential(size=(3, 30)),
    "curvature_trace": RNG.normal(size=(3, 30)),
    "curvature_epochs": np.arange(3.0),
}


def test_each_proxy_is_that_of_its_own_function():
    found = dynamics_proxies({**SIGNALS, **CURVATURE})
    expected = {
        "mean_loss": proxies.mean_loss(LOSSES),
        "final_loss": LOSSES[-1],
        "unconfidence": 1 - proxies.confidence(SIGNALS["probability"]),
        "variability": proxies.variability(SIGNALS["probability"]),
        "forgetting": proxies.forgetting_scores(SIGNALS["correct"]),
        "mean_el2n": proxies.mean_el2n(SIGNALS["el2n"]),
        "mean_curvature": CURVATURE["curvature_squared_norm"].mean(axis=0),
        "final_curvature": CURVATURE["curvature_squared_norm"][-1],
        "mean_curvature_norm": CURVATURE["curvature_norm"].mean(axis=0),
        "final_curvature_norm": CURVATURE["curvature_norm"][-1],
        "mean_log_curvature": np.log(CURVATURE["curvature_squared_norm"].mean(axis=0)),
        "final_log_curvature": np.log(CURVATURE["curvature_squared_norm"][-1]),
    }
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name)


def test_an_example_learnt_late_is_high_in_all_of_them():
    """Two examples: one learnt at once, one only after failing and forgetting."""
    probability = np.array([[0.9, 0.1], [0.99, 0.6], [0.99, 0.2], [0.999, 0.8]])
    dynamics = {
        "loss": -np.log(probability),
        "probability": probability,
        "correct": probability > 0.5,
        "el2n": np.sqrt(2) * (1 - probability),
        "curvature_squared_norm": probability * (1 - probability),
        "curvature_norm": np.sqrt(probability * (1 - probability)),
    }
    for name, (easy, hard) in dynamics_proxies(dynamics).items():
        assert hard > easy, name


@pytest.mark.parametrize("dynamics", [SIGNALS, CURVATURE], ids=["signals", "curvature"])
def test_one_callback_alone_gives_its_own(dynamics):
    found = dynamics_proxies(dynamics)
    assert len(found) == 6
    assert all(("curvature" in name) == (dynamics is CURVATURE) for name in found)


def test_one_epoch_has_no_variability():
    assert "variability" not in dynamics_proxies({name: values[:1] for name, values in SIGNALS.items()})


@pytest.mark.parametrize("dynamics", [{}, {"loss": LOSSES}, {"curvature_zero_order": LOSSES}], ids=str)
def test_what_gives_none_is_refused(dynamics):
    with pytest.raises(InputError, match="pass loss, probability, correct, el2n, or curvature_squared_norm"):
        dynamics_proxies(dynamics)
