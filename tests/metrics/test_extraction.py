"""The modules of extraction and exposure: doors to `hf_privacy.attacks`, with intervals and the held-out side."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError
from hf_privacy.statistics import clopper_pearson, rate_difference

LOG_P = np.concatenate([np.linspace(-12.0, -1.0, 30), np.linspace(-40.0, -6.0, 20)])
MEMBERS = (np.arange(50) < 30).astype(int)


def test_extraction_is_the_attack_on_each_side(metrics):
    found = metrics["extraction"].compute(predictions=LOG_P, references=MEMBERS, n=100, p=0.3)
    extracted = attacks.extraction(LOG_P, np.arange(51), n=100, p=0.3)
    k, j = int(extracted[:30].sum()), int(extracted[30:].sum())
    assert (found["members"], found["nonmembers"]) == (k / 30, j / 20)
    assert (found["members_low"], found["members_high"]) == clopper_pearson(k, 30)
    assert (found["leakage"], found["leakage_low"], found["leakage_high"]) == rate_difference(k, 30, j, 20)
    json.dumps(found, allow_nan=False)


def test_exposure_is_the_attack_on_the_canaries(metrics):
    rng = np.random.default_rng(0)
    loss = np.concatenate([[0.0, 20.0, 60.0], rng.normal(50.0, 4.0, size=200)])
    canary = np.arange(203) < 3
    found = metrics["exposure"].compute(predictions=loss, references=canary)
    bits = attacks.exposure_by_sampling(loss[:3], loss[3:])
    assert found["exposure"] == bits.mean()
    assert found["exposure_max"] == found["ceiling"] == np.log2(200)
    beyond = metrics["exposure"].compute(predictions=loss, references=canary, method="extrapolation")
    assert beyond["exposure_max"] > beyond["ceiling"]


@pytest.mark.parametrize("name", ["extraction", "exposure"])
def test_one_side_alone_is_refused(metrics, name):
    with pytest.raises(InputError, match="1 alone or 0 alone"):
        metrics[name].compute(predictions=[-1.0, -2.0], references=[1, 1])
