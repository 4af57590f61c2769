"""Entropy with its sign turned."""

from __future__ import annotations

import numpy as np
import pytest

from hf_privacy import attacks
from hf_privacy.errors import InputError


def test_entropy_is_its_value_with_its_sign_turned():
    probabilities = np.array([[0.5, 0.5], [0.9, 0.1]])
    entropy = -(probabilities * np.log(probabilities)).sum(axis=1)
    np.testing.assert_allclose(attacks.entropy(entropy), (probabilities * np.log(probabilities)).sum(axis=1))


@pytest.mark.parametrize(
    ("values", "message"),
    [([], "is empty"), ([-0.5], "its sign may be turned"), ([np.inf], "holds 1 NaN or infinite")],
)
def test_bad_entropies_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        attacks.entropy(values)
