"""Defences are trainers and callbacks; the undefended baseline runs through the same class as all of them."""

from typing import Any

from hf_privacy.exports import lazy_exports, method_class, method_exports

# Each defence by the name that recipes give it: the one place where it is named outside its own folder.
DEFENSES: dict[str, str] = {
    "none": "hf_privacy.defenses.base.trainer:PrivacyTrainer",
    "adversarial": "hf_privacy.defenses.adversarial.trainer:AdversarialTrainer",
    "ccl": "hf_privacy.defenses.ccl.trainer:CCLTrainer",
    "confidence_penalty": "hf_privacy.defenses.confidence_penalty.trainer:ConfidencePenaltyTrainer",
    "demem": "hf_privacy.defenses.demem.trainer:DeMemTrainer",
    "dp": "hf_privacy.defenses.dp.trainer:DPTrainer",
    "dp_adversarial": "hf_privacy.defenses.dp_adversarial.trainer:DPAdversarialTrainer",
    "duolearn": "hf_privacy.defenses.duolearn.trainer:DuoLearnTrainer",
    "early_stopping": "hf_privacy.defenses.early_stopping.trainer:EarlyStoppingTrainer",
    "focal_loss": "hf_privacy.defenses.focal_loss.trainer:FocalLossTrainer",
    "goldfish": "hf_privacy.defenses.goldfish.trainer:GoldfishTrainer",
    "hamp": "hf_privacy.defenses.hamp.trainer:HAMPTrainer",
    "label_smoothing": "hf_privacy.defenses.label_smoothing.trainer:LabelSmoothingTrainer",
    "relax_loss": "hf_privacy.defenses.relax_loss.trainer:RelaxLossTrainer",
    "soft": "hf_privacy.defenses.soft.trainer:SOFTTrainer",
}

# What the package itself exports too: trainers, configs and callbacks.
METHODS = {
    **method_exports(DEFENSES),
    "CriticalWeightRewindCallback": "hf_privacy.defenses.critical_weights.callback:CriticalWeightRewindCallback",
    "CurvatureCallback": "hf_privacy.defenses.observers.curvature_callback:CurvatureCallback",
    "TrainingDynamicsCallback": "hf_privacy.defenses.observers.training_dynamics:TrainingDynamicsCallback",
}

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "adversarial.weight_perturbation": ("AdversarialWeightPerturbation",),
        "base.batch_sampler": ("MembershipBatchSampler",),
        "base.second_phase": ("SecondPhase",),
        "base.weight_motion": ("WeightMotionCallback", "WeightMotionError"),
        "critical_weights.callback": ("CriticalWeightRewindError",),
        "critical_weights.frozen_weights": ("FrozenWeightsCallback", "FrozenWeightsError"),
        "early_stopping.trainer": ("ValidationStopCallback",),
        "observers.dynamics_store": ("read_training_dynamics",),
    },
    METHODS,
)
__all__ += ["DEFENSES", "trainer_class"]


def trainer_class(name: str, *, argument: str = "defense") -> Any:
    """The trainer of a defence: of one in `DEFENSES` by its key, of a user's own by ``module:Name``.

    Raises
    ------
    InputError
        For an unknown key, or a name behind which there is no class made of `PrivacyTrainer`.

    Examples
    --------
    >>> trainer_class("relax_loss").__name__
    'RelaxLossTrainer'
    >>> trainer_class("relaxloss")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: unknown key 'relaxloss' in defense: did you mean 'relax_loss'?
    """
    return method_class(name, DEFENSES, argument=argument, base=DEFENSES["none"])
