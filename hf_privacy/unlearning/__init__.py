"""Unlearners: trainers that start from a trained model and make it forget some of its training examples."""

from typing import Any

from hf_privacy.exports import lazy_exports, method_class, method_exports

# Each unlearner by the name that recipes give it: the one place where it is named outside its own folder.
UNLEARNERS: dict[str, str] = {
    "bad_teacher": "hf_privacy.unlearning.bad_teacher.trainer:BadTeacherTrainer",
    "ceu": "hf_privacy.unlearning.ceu.trainer:CEUTrainer",
    "dpo": "hf_privacy.unlearning.dpo.trainer:DPOUnlearningTrainer",
    "fine_tune": "hf_privacy.unlearning.fine_tune.trainer:FineTuneTrainer",
    "fisher": "hf_privacy.unlearning.fisher.trainer:FisherTrainer",
    "grad_diff": "hf_privacy.unlearning.grad_diff.trainer:GradDiffTrainer",
    "gradient_ascent": "hf_privacy.unlearning.gradient_ascent.trainer:GradientAscentTrainer",
    "l1_sparse": "hf_privacy.unlearning.l1_sparse.trainer:L1SparseTrainer",
    "neg_grad_plus": "hf_privacy.unlearning.neg_grad_plus.trainer:NegGradPlusTrainer",
    "npo": "hf_privacy.unlearning.npo.trainer:NPOTrainer",
    "parameter_perturbation": "hf_privacy.unlearning.parameter_perturbation.trainer:ParameterPerturbationTrainer",
    "random_labels": "hf_privacy.unlearning.random_labels.trainer:RandomLabelsTrainer",
    "remi": "hf_privacy.unlearning.remi.trainer:ReMITrainer",
    "rmu": "hf_privacy.unlearning.rmu.trainer:RMUTrainer",
    "salun": "hf_privacy.unlearning.salun.trainer:SalUnTrainer",
    "satimp": "hf_privacy.unlearning.satimp.trainer:SatImpTrainer",
    "scrub": "hf_privacy.unlearning.scrub.trainer:SCRUBTrainer",
    "simnpo": "hf_privacy.unlearning.simnpo.trainer:SimNPOTrainer",
    "ssd": "hf_privacy.unlearning.ssd.trainer:SSDTrainer",
    "task_arithmetic": "hf_privacy.unlearning.task_arithmetic.trainer:TaskArithmeticTrainer",
    "undial": "hf_privacy.unlearning.undial.trainer:UNDIALTrainer",
    "wga": "hf_privacy.unlearning.wga.trainer:WGATrainer",
}

_BASE = "hf_privacy.unlearning.base.trainer:UnlearningTrainer"
# Trainers and configs: what the package itself exports too.
METHODS = method_exports({**UNLEARNERS, "": _BASE})

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "base.evaluation": ("UnlearningEvaluation", "evaluate_unlearning"),
        "base.language": ("LanguageUnlearningConfig", "LanguageUnlearningTrainer"),
        "base.paired_data": ("PairedBatchSampler", "PairedDataset"),
        "base.relearning": ("Relearning", "relearned", "relearning_steps"),
        "base.stop_rule": ("HeldoutLossStopCallback", "mean_loss"),
        "judging.answers": ("AnswerRows", "answer_figures", "kept_utility"),
        "judging.four_bits": ("in_four_bits",),
        "judging.generation": ("greedy_texts",),
        "remi.shadows": ("ShadowFeatures", "shadow_features_of_models", "shadow_features_of_store"),
        "requests.log": ("LOG_NAME", "RequestLog", "utc_now"),
        "requests.queue": ("QueuedRequest", "read_queue"),
        "spd_gan.acceptance": ("PerturbedSetAcceptance", "accept_perturbed_set"),
        "spd_gan.config": ("SPDGANConfig",),
        "spd_gan.networks": ("SPDGenerator",),
        "spd_gan.spd_gan": ("perturbed_forget_set", "train_spd_gan"),
        "spd_gan.unlearning_degree": (
            "PerturbedTraining",
            "UnlearningDegree",
            "measure_unlearning_degree",
            "train_with_perturbed_set",
        ),
    },
    METHODS,
)
__all__ += ["UNLEARNERS", "unlearner_class"]


def unlearner_class(name: str, *, argument: str = "unlearning.method") -> Any:
    """The trainer of an unlearner: of one in `UNLEARNERS` by its key, of a user's own by ``module:Name``.

    Raises
    ------
    InputError
        For an unknown key, or a name behind which there is no class made of `UnlearningTrainer`.

    Examples
    --------
    >>> unlearner_class("salun").__name__
    'SalUnTrainer'
    >>> unlearner_class("hf_privacy:PrivacyTrainer")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: unlearning.method is 'hf_privacy:PrivacyTrainer', which is no UnlearningTrainer:
    pass a class made of it
    """
    return method_class(name, UNLEARNERS, argument=argument, base=_BASE)
