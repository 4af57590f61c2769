"""Weights one by one: score them, select the highest, edit them, freeze them.

One primitive under critical weight rewinding, Top-K and Random-k perturbation, SalUn, SSD and Fisher unlearning. The
callback that freezes weights within a Trainer is `hf_privacy.defenses.FrozenWeightsCallback`.
"""

from hf_privacy.weights.components import component_mask, component_norms, lora_components
from hf_privacy.weights.edit import dampen, perturb, reinitialise, rewind, zero
from hf_privacy.weights.entanglement import pearson_by_kind
from hf_privacy.weights.example_scores import fisher, likelihood_sensitivity, mas_sensitivity
from hf_privacy.weights.freeze import FrozenWeights
from hf_privacy.weights.kinds import KINDS, weight_kinds, which_weights
from hf_privacy.weights.mask_file import load_mask, mask_digest, save_mask
from hf_privacy.weights.scores import magnitude, random, saliency, taylor
from hf_privacy.weights.select import select
from hf_privacy.weights.vulnerability import privacy_vulnerability

__all__ = [
    "KINDS",
    "FrozenWeights",
    "component_mask",
    "component_norms",
    "dampen",
    "fisher",
    "likelihood_sensitivity",
    "load_mask",
    "lora_components",
    "magnitude",
    "mas_sensitivity",
    "mask_digest",
    "pearson_by_kind",
    "perturb",
    "privacy_vulnerability",
    "random",
    "reinitialise",
    "rewind",
    "saliency",
    "save_mask",
    "select",
    "taylor",
    "weight_kinds",
    "which_weights",
    "zero",
]
