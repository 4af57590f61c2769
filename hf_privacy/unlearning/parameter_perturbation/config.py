"""Arguments of `ParameterPerturbationTrainer`."""

from __future__ import annotations

from dataclasses import dataclass, field

from hf_privacy.arguments import check_choice, check_number, check_whole
from hf_privacy.errors import InputError
from hf_privacy.unlearning.base.config import UnlearningConfig

SELECTIONS = ("top_k", "random_k")
EDITS = ("gaussian", "reinitialise", "zero")
WEIGHTS = ("trainable", "merged")
SCOPES = ("global", "layer")


@dataclass
class ParameterPerturbationConfig(UnlearningConfig):
    """`UnlearningConfig` with which parameters are perturbed, and how.

    ``num_train_epochs`` counts repair epochs on the retain set, by default none.

    Parameters
    ----------
    selection : {"top_k", "random_k"}, default "top_k"
        The parameters most sensitive on the forget set, or random ones.
    fraction : float in (0, 1), optional
        Share of the parameters; by default 0.01, unless ``count`` is given.
    count : int, optional
        Their number instead; with scope "layer" in each tensor.
    scope : {"global", "layer"}, default "global"
    edit : {"gaussian", "reinitialise", "zero"}, default "gaussian"
        Noise in proportion to the layer's spread; the other two are controls.
    sigma : float above 0, default 0.5
        The noise's standard deviation in units of that of the layer's weights.
    weights : {"trainable", "merged"}, default "trainable"
        What is ranked and perturbed: the parameters that training moves, of an adapter its own; or the weights of its
        layers with the adapter added to them. The noise is then in units of the spread of what it had added to the
        layer, both controls put the base's own value back, and the result is a full model.
    per_example_sensitivity : bool, default True
        Mean of each example's |∂‖f(x)‖²/∂w|, of a language model's |∂ log p(x)/∂w|; False takes a batch's
        at once: faster, but signs cancel.

    Raises
    ------
    InputError
        For values outside their range.
    """

    num_train_epochs: float = field(default=0.0, metadata={"help": "Repair epochs on the retain set."})
    selection: str = field(
        default="top_k", metadata={"help": "Which parameters are perturbed.", "choices": SELECTIONS}
    )
    fraction: float | None = field(default=None, metadata={"help": "Share of the parameters to perturb."})
    count: int | None = field(default=None, metadata={"help": "Number of parameters to perturb."})
    scope: str = field(
        default="global", metadata={"help": "Ranked over all layers or within each.", "choices": SCOPES}
    )
    edit: str = field(default="gaussian", metadata={"help": "What is done to them.", "choices": EDITS})
    sigma: float = field(default=0.5, metadata={"help": "Noise, in units of the layer's spread."})
    weights: str = field(
        default="trainable", metadata={"help": "The trainable weights, or an adapter merged.", "choices": WEIGHTS}
    )
    per_example_sensitivity: bool = field(default=True, metadata={"help": "Sensitivity example by example."})

    def __post_init__(self) -> None:
        check_choice("selection", self.selection, SELECTIONS)
        check_choice("scope", self.scope, SCOPES)
        check_choice("edit", self.edit, EDITS)
        check_choice("weights", self.weights, WEIGHTS)
        check_number("sigma", self.sigma, 0.0, low_open=True)
        if self.fraction is not None and self.count is not None:
            raise InputError(f"fraction is {self.fraction} and count {self.count}: pass one of them")
        if self.fraction is None and self.count is None:
            self.fraction = 0.01
        if self.fraction is not None:
            check_number("fraction", self.fraction, 0.0, 1.0, low_open=True, high_open=True)
        if self.count is not None:
            check_whole("count", self.count, at_least=1)
        super().__post_init__()

    @property
    def merges_adapter(self) -> bool:
        """See `UnlearningConfig`."""
        return self.weights == "merged"
