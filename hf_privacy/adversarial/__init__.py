"""Adversarial inputs: where an example may move, the attack that moves it, and the inputs that come of it."""

from hf_privacy.adversarial.adversarial_inputs import AdversarialInputs
from hf_privacy.adversarial.autoattack import AutoAttack, autoattack
from hf_privacy.adversarial.input_space import (
    EmbeddingSpace,
    FeatureSpace,
    InputSpace,
    PixelSpace,
    input_space,
)
from hf_privacy.adversarial.outside import FoolboxAttack, LogitsModel, logits_model
from hf_privacy.adversarial.pgd import PGD, pgd

__all__ = [
    "PGD",
    "AdversarialInputs",
    "AutoAttack",
    "EmbeddingSpace",
    "FeatureSpace",
    "FoolboxAttack",
    "InputSpace",
    "LogitsModel",
    "PixelSpace",
    "autoattack",
    "input_space",
    "logits_model",
    "pgd",
]
