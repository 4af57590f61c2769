"""Arguments of `ReMITrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_number, check_whole, seen
from hf_privacy.errors import InputError
from hf_privacy.unlearning.base.config import UnlearningConfig
from hf_privacy.unlearning.remi.features import FEATURES
from hf_privacy.unlearning.remi.token_features import TOKEN_FEATURES

APPROXIMATORS = ("fingerprint", "inference")
NEURON_SELECTIONS = ("none", "t", "ks")


@dataclass
class ReMIConfig(UnlearningConfig):
    """`UnlearningConfig` with ReMI's approximator and the weights of its losses.

    Parameters
    ----------
    approximator : {"fingerprint", "inference"}, default "fingerprint"
        Membership fingerprinting (MF): fitted on the target's own members against the held-out set, no shadow models.
        Membership inference (MI): fitted on shadow models, which the trainer must be given.
    alpha : float ≥ 0, default 1
        Weight of the cross-entropy that wants the forget set judged "not a member".
    beta : float ≥ 0, default 0.1
        Weight of the divergence between the approximator's logits on the forget and the held-out set, as Gaussians.
    features : list of str, optional
        What the approximator sees: any of posteriors, loss, phi, entropy, label, activations. By default
        posteriors, loss, label and activations for MF; loss, phi, entropy and label for MI. Of a language model any of
        loss, min_k, min_k_plus_plus, mean_entropy and base_difference, by default all, the last where there is an
        adapter to switch off.
    neuron_selection : {"none", "t", "ks"}, default "none"
        Keep the activations that separate members best.
    n_neurons : int, default 64
        How many.
    approximator_epochs : int, default 50
    guard : bool, default True
        Stop as soon as the approximator holds the forget set for members no more than the held-out set: past that
        point forgetting is a signal of its own.

    Raises
    ------
    InputError
        For values outside their range.

    Examples
    --------
    >>> ReMIConfig("runs/doc", features=["logits"])
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: features hold 'logits': pass any of posteriors, loss, phi, entropy, label,
    activations, or of a language model of loss, min_k, min_k_plus_plus, mean_entropy, base_difference
    """

    approximator: str = field(
        default="fingerprint", metadata={"help": "ReMI: 'fingerprint' or 'inference'.", "choices": APPROXIMATORS}
    )
    alpha: float = field(default=1.0, metadata={"help": "ReMI: weight of the membership loss."})
    beta: float = field(default=0.1, metadata={"help": "ReMI: weight of the divergence."})
    features: list[str] | None = field(default=None, metadata={"help": "ReMI: what the approximator sees."})
    neuron_selection: str = field(
        default="none", metadata={"help": "ReMI: 'none', 't' or 'ks'.", "choices": NEURON_SELECTIONS}
    )
    n_neurons: int = field(default=64, metadata={"help": "ReMI: activations kept by the selection."})
    approximator_epochs: int = field(default=50, metadata={"help": "ReMI: epochs of the approximator."})
    guard: bool = field(default=True, metadata={"help": "ReMI: stop before it over-forgets."})

    def __post_init__(self) -> None:
        check_choice("approximator", self.approximator, APPROXIMATORS)
        check_choice("neuron_selection", self.neuron_selection, NEURON_SELECTIONS)
        check_number("alpha", self.alpha, 0.0)
        check_number("beta", self.beta, 0.0)
        check_whole("n_neurons", self.n_neurons, at_least=1)
        check_whole("approximator_epochs", self.approximator_epochs, at_least=1)
        super().__post_init__()
        if self.features is None:  # the trainer knows what an example is
            return
        if not isinstance(self.features, (list, tuple)) or not self.features:
            raise InputError(f"features is {seen(self.features)}: pass a list of any of {', '.join(FEATURES)}")
        for name in self.features:
            if name not in (*FEATURES, *TOKEN_FEATURES):
                raise InputError(
                    f"features hold {name!r}: pass any of {', '.join(FEATURES)}, or of a language model of "
                    f"{', '.join(TOKEN_FEATURES)}"
                )
        if self.approximator == "inference" and "activations" in self.features:
            raise InputError(
                "features hold 'activations': neurons of shadow models are not the target's; leave them out"
            )
        if self.neuron_selection != "none" and "activations" not in self.features:
            raise InputError(f"neuron_selection is {self.neuron_selection!r} without activations among the features")

    def features_for(self, *, has_classes: bool, has_base: bool) -> list[str]:
        """What the approximator sees of a classifier or of a language model: as asked for, or the default.

        Raises
        ------
        InputError
            For features of the other kind, or the base's loss where no adapter can be switched off.
        """
        names = list(self.features or self._defaults(has_classes=has_classes, has_base=has_base))
        known = FEATURES if has_classes else TOKEN_FEATURES
        for name in names:
            if name not in known:
                what = "classifier" if has_classes else "language model"
                raise InputError(f"features hold {name!r}: of a {what} pass any of {', '.join(known)}")
        if "base_difference" in names and not has_base:
            raise InputError(
                "features hold 'base_difference' and the model has no adapter to switch off: leave it out"
            )
        if self.neuron_selection != "none" and "activations" not in names:
            raise InputError(f"neuron_selection is {self.neuron_selection!r} without activations among the features")
        return names

    def _defaults(self, *, has_classes: bool, has_base: bool) -> list[str]:
        if not has_classes:
            return [name for name in TOKEN_FEATURES if has_base or name != "base_difference"]
        own = ["posteriors", "loss", "label", "activations"]
        return own if self.approximator == "fingerprint" else ["loss", "phi", "entropy", "label"]
