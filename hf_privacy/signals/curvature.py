"""Input curvature: how sharply the loss of each example bends around its input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from hf_privacy.adversarial import InputSpace, input_space
from hf_privacy.arguments import check_choice, check_number, check_seed, check_whole
from hf_privacy.errors import InputError
from hf_privacy.models.modes import float32_logits, no_parameter_gradients
from hf_privacy.signals.curvature_estimators import METHODS, smallest_step
from hf_privacy.signals.curvature_model import CONTINUOUS_COLUMNS, AsGiven, cross_entropies, full_precision
from hf_privacy.signals.curvature_passes import estimated
from hf_privacy.signals.row_curvature import row_curvature


@dataclass(frozen=True)
class Curvature:
    """How input curvature is estimated: the arguments of :func:`input_curvature`, checked, and a seed.

    Parameters
    ----------
    method : {"hvp", "finite_difference", "zero_order"}
    n_vectors : int
        Random vectors (pairs of vectors for zero order).
    h : float
        Step of the differences, in the units of the model's inputs; of a causal language model a share of them.
    seed : int
        Of the vectors: the same for every batch of a dataset.

    Raises
    ------
    InputError
        For an unknown method, fewer than one vector, a step that is not positive and finite, or a negative seed.

    Examples
    --------
    >>> Curvature(n_vectors=5)
    Curvature(method='hvp', n_vectors=5, h=0.001, seed=0)
    """

    method: str = "hvp"
    n_vectors: int = 10
    h: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        check_choice("method", self.method, METHODS)
        check_whole("n_vectors", self.n_vectors, at_least=1)
        check_number("h", self.h, 0.0, low_open=True, such_as="1e-3")
        check_seed(self.seed)

    def __call__(
        self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """:func:`input_curvature` with these settings: the same vectors for every batch."""
        generator = torch.Generator().manual_seed(self.seed)
        return input_curvature(
            model, inputs, labels, n_vectors=self.n_vectors, h=self.h, method=self.method, generator=generator
        )


def input_curvature(
    model: torch.nn.Module,
    inputs: torch.Tensor | Mapping[str, torch.Tensor],
    labels: torch.Tensor,
    *,
    n_vectors: int = 10,
    h: float = 1e-3,
    method: str = "hvp",
    generator: torch.Generator | None = None,
    space: InputSpace | None = None,
) -> dict[str, torch.Tensor]:
    """Curvature of each example's cross-entropy ℓ with respect to its input, by random vectors.

    With H the Hessian of ℓ at x and v, u vectors of independent random signs (Rademacher):

    ===================  ==============================================================  ==============================
    name                 mean over the vectors of                                        expectation
    ===================  ==============================================================  ==============================
    ``trace``            vᵀHv                                                            tr(H)
    ``squared_norm``     ‖Hv‖² (zero order: (vᵀHu)²)                                     tr(H²) = ‖H‖²_F
    ``norm``             ‖Hv‖                                                            at most ‖H‖_F
    ``zero_order``       \\|ℓ(x+hv+hu) − ℓ(x−hv+hu) − ℓ(x+hv−hu) + ℓ(x−hv−hu)\\| / 4h²     mean of \\|vᵀHu\\| as h → 0
    ===================  ==============================================================  ==============================

    ``"hvp"`` takes Hv exactly, by double backward, and ignores `h`: about two gradient passes a vector.
    ``"finite_difference"`` takes (∇ℓ(x + hv) − ∇ℓ(x)) / h: n + 1 gradient passes. ``"zero_order"`` needs no gradients:
    4n forward passes.

    The methods agree for smooth networks (GELU, tanh). A ReLU network is bent at its kinks too, which the Hessian at a
    point does not see: differences do, where x + hv crosses one, and a larger `h` crosses more. There
    ``"finite_difference"`` at the paper's 1e-3 is the paper's quantity, larger by orders of magnitude than the exact
    one and in another order of the examples; ``"hvp"`` is its limit for h → 0, the curvature of softmax alone.

    The model runs in float32 (float64, if its weights are), with autocast and TF32 off; the loss is taken from the
    logits in float64 by a form that keeps its precision however sure the model is. The loss is of the true class and
    summed over the batch, and all examples share the vectors, so an example's values depend on neither its batch-mates
    nor their order; a text's on its padding neither. Of a causal language model's rows the loss is the sum over the
    scored tokens, whose embeddings alone move, and values are per coordinate: see `row_curvature`. Only gradients with
    respect to the inputs are taken: parameters keep their gradients and flags. Attention runs on PyTorch's plain
    ("math") kernel for ``"hvp"``, because the fused ones cannot be differentiated twice. One vector is worked on at a
    time, and for ``"hvp"`` as many examples as need the memory of one training step on the batch.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; returns an output with ``logits`` [B, C]. May be wrapped or adapted by LoRA.
    inputs : tensor or mapping of str to tensor, on the model's device
        ``pixel_values`` [B, C, H, W] or ``features`` [B, D] as a tensor, or all the model is called with as a mapping
        (``labels`` in it are left out). Pixels are taken as given, normalised, as in the paper's code, so one unit is
        one unit of the normalised pixel. Of texts (``input_ids``) the word embeddings are moved, those of padding not.
    labels : integer tensor [B]
        True classes; of a causal language model [B, L], the token where it is scored, else −100.
    n_vectors : int
        Vectors, or pairs (v, u) for zero order.
    h : float
        Step in the units of the inputs. The papers take 1e-3 and find 1e-3 to 1e-1 stable. Zero order in float32
        needs 1e-2: below that rounding drowns the second difference. Of a causal language model a share of the root
        mean square of a row's scored embeddings.
    method : {"hvp", "finite_difference", "zero_order"}
    generator : torch.Generator, optional
        On the CPU, whatever the model's device; by default torch's global one. Vectors are drawn once a call.
    space : PixelSpace, FeatureSpace or EmbeddingSpace, optional
        Take the curvature with respect to these points instead, such as pixels in 0..1.

    Returns
    -------
    dict of str to float64 tensor [B], on the inputs' device
        "trace", "squared_norm" and "norm"; by zero order "zero_order" and "squared_norm".

    Raises
    ------
    InputError
        For inputs that are not differentiable (token numbers as a tensor), labels that are missing or do not fit, a
        model in training mode or with operations that have no second derivative, fewer than one vector, an unknown
        method, an `h` too small for the dtype, or values that are not finite.

    References
    ----------
    Ravikumar, Soufleri, Hashemi and Roy, "Unveiling privacy, memorization, and input curvature links", ICML 2024
    (arXiv 2402.18726). Its estimator does not divide by h: mean ‖∇ℓ(x + hv) − ∇ℓ(x)‖² = h² · ``squared_norm`` by
    finite differences. Its authors' code takes the norm without the square, of a loss averaged over the batch:
    h/B · ``norm``, which changes with the batch. Here the loss is summed.
    Ravikumar, Soufleri and Roy, "Curvature clues", 2024 (arXiv 2407.02747), for zero order. It divides by 4h:
    h · ``zero_order``. Its code takes the class the model prefers; here it is the true class.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2)).eval()
    >>> with torch.no_grad():  # p = (1/2, 1/2) everywhere in x₂, so H = [[1/4, 0], [0, 0]] at 0
    ...     _ = model.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]])), model.classifier.bias.zero_()
    >>> found = input_curvature(model, torch.zeros(1, 2), torch.tensor([0]))
    >>> {name: value.item() for name, value in found.items()}
    {'trace': 0.25, 'squared_norm': 0.0625, 'norm': 0.25}
    """
    settings = Curvature(method=method, n_vectors=n_vectors, h=h)  # refuses what cannot be
    inputs = _as_mapping(inputs)
    training = [name for name, module in model.named_modules() if module.training]
    if training:
        raise InputError(
            f"model is in training mode ({training[0] or 'the model itself'}), where dropout and batch statistics "
            "change its loss: call model.eval() first"
        )
    if generator is not None and generator.device.type != "cpu":
        raise InputError(
            f"generator is on {generator.device}: pass one on the CPU, so that every device draws the same"
        )
    if labels is not None and labels.ndim == 2 and "input_ids" in inputs:
        if space is not None:
            raise InputError("space is set and labels are of tokens: rows are moved in their scored embeddings alone")
        rows = row_curvature(model, inputs, labels, n_vectors=n_vectors, h=h, method=method, generator=generator)
        return _finite(rows)

    with (
        full_precision(next(model.parameters()).device),
        float32_logits(model) as logits_of,
        no_parameter_gradients(model) as trainable,
    ):
        dtype = torch.float64 if next(model.parameters()).dtype == torch.float64 else torch.float32
        # cloned: autograd refuses tensors that were made in inference mode
        template = {
            name: tensor.detach().to(dtype).clone() if tensor.is_floating_point() else tensor.clone()
            for name, tensor in inputs.items()
            if name != "labels"
        }
        where = _space_of(model, template) if space is None else space
        points = where.points(model, template).to(dtype)
        labels = _checked_labels(labels, points)
        _check_step(settings, points)

        def losses(points: torch.Tensor, rows: slice) -> torch.Tensor:
            logits = logits_of(where.inputs(points, {name: tensor[rows] for name, tensor in template.items()}))
            return cross_entropies(logits, labels[rows])

        found = estimated(
            losses,
            points,
            where.free(template, points),
            method=method,
            n_vectors=n_vectors,
            h=h,
            generator=generator,
            model=model,
            trainable=trainable,
        )
    return _finite(found)


def _finite(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    bad = sum(int((~torch.isfinite(value)).sum()) for value in found.values())
    if bad:
        raise InputError(
            f"the curvature of {bad} values is not finite: the inputs are not, or the model has diverged; repair the "
            "inputs, or train it again with a lower learning rate"
        )
    return found


def _as_mapping(inputs: torch.Tensor | Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    if isinstance(inputs, Mapping):
        return inputs
    if not inputs.is_floating_point():
        raise InputError(
            f"inputs is a tensor of {inputs.dtype} (token numbers?), in which no loss can be differentiated: pass "
            '{"input_ids": ..., "attention_mask": ...}, and the word embeddings are taken'
        )
    if inputs.ndim not in (2, 4):
        raise InputError(
            f"inputs has the shape {list(inputs.shape)}: pass images [B, C, H, W], features [B, D], or a "
            "dictionary of all the model is called with"
        )
    return {"pixel_values" if inputs.ndim == 4 else "features": inputs}


def _space_of(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> AsGiven | InputSpace:
    for column in CONTINUOUS_COLUMNS:
        if column in inputs:
            return AsGiven(column)
    if "input_ids" in inputs:
        return input_space(model, inputs=inputs)
    raise InputError(
        f"inputs has {', '.join(sorted(inputs)) or 'no columns'}: curvature is with respect to one of "
        f"{', '.join(CONTINUOUS_COLUMNS)} or the embeddings of input_ids"
    )


def _checked_labels(labels: torch.Tensor | None, points: torch.Tensor) -> torch.Tensor:
    if labels is None:
        raise InputError(
            "labels is None: curvature is of the loss of the true class, pass one class number an example"
        )
    if labels.shape != points.shape[:1] or len(points) == 0:
        raise InputError(
            f"labels has shape {list(labels.shape)} for {len(points)} examples: pass one class number for each, and "
            "at least one example"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(f"labels has dtype {labels.dtype}: pass integer class numbers")
    return labels.detach().to(points.device, torch.int64).clone()


def _check_step(settings: Curvature, points: torch.Tensor) -> None:
    if settings.method == "hvp":
        return
    largest = float(points.abs().max())
    least = smallest_step(settings.method, points.dtype, largest)
    if settings.h < least:
        name = str(points.dtype).removeprefix("torch.")
        more = ", or use model.double()" if points.dtype != torch.float64 else ""
        raise InputError(
            f"h is {settings.h:g}, too small for {settings.method} in {name} with inputs up to {largest:.3g}: "
            f"rounding would drown the difference; pass h={_rounded_up(least):g} or more{more}"
        )


def _rounded_up(value: float) -> float:
    """To two digits, upwards, so that the advice passes the check.

    Examples
    --------
    >>> f"{_rounded_up(0.00929):g}"
    '0.0093'
    """
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit
