"""Distance of each example to the model's decision boundary, through foolbox."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from hf_privacy.arguments import check_number, check_seed, check_whole
from hf_privacy.data import TensorDataset
from hf_privacy.data.example_generators import example_seed
from hf_privacy.errors import InputError, one_line
from hf_privacy.models.modes import no_parameter_gradients
from hf_privacy.signals.batches import map_batches, refuse_unlabelled
from hf_privacy.signals.boundary_search import BoundarySearch, UnitCube, is_adversarial
from hf_privacy.tasks.class_signals import signals_from_logits

# Steps each method takes by default. HopSkipJump: 100·√t queries in step t, about 2,500 in ten, after which the
# attack of Choquette-Choo et al. (2021, figure 2) gains little.
BOUNDARY_METHODS = {"hop_skip_jump": 10, "deepfool": 50}

_MAX_STARTING_POINTS = 1000


def boundary_distance(
    model: nn.Module,
    dataset: TensorDataset,
    *,
    method: str = "hop_skip_jump",
    norm: float = 2,
    n_steps: int | None = None,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
    batch_size: int = 256,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Distance from each example to the nearest input found that the model assigns to another class.

    An upper bound on the true distance, closer with more steps. HopSkipJump asks for predicted classes alone, so this
    is what a label-only attack can see; it starts at the nearest example of `dataset` (at most 1000, spread over the
    predicted classes) with another predicted class. DeepFool follows gradients: a cheap white-box surrogate.
    Whatever is found is moved back along the straight line to the example, up to the boundary.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C]. Only read: modes, gradients and ``requires_grad`` are
        afterwards what they were.
    dataset : TensorDataset of N examples
        With ``labels`` and one continuous input: pixel_values or features (also features that are 0 or 1: the
        distance then passes through values between).
    method : {"hop_skip_jump", "deepfool"}
        The first asks about 2,500 queries for each example at the default steps; the second takes a forward and a
        backward pass for each of the ten likeliest classes in a step, and seldom more than a few steps.
    norm : {2, math.inf}
    n_steps : int, optional
        Steps of the method; default ``BOUNDARY_METHODS[method]``.
    bounds : (float, float), optional
        Least and largest value an input may have. By default those in `dataset`; pass them to compare distances over
        several datasets.
    seed : int
        For HopSkipJump's random directions, which are drawn for each example by itself.
    batch_size, accelerator, progress
        As in :func:`~hf_privacy.signals.compute_signals`.

    Returns
    -------
    float64 array of shape [N]
        In the units of the encoded input (normalised pixels: multiply by the processor's standard deviation for
        pixels in 0..1), 0 where the example is misclassified. Neither order nor batches matter but for rounding.

    Raises
    ------
    InputError
        Without foolbox, for token numbers or several inputs, an unknown method or norm, bounds the data exceeds, or a
        model that predicts one class for every example.

    References
    ----------
    Choquette-Choo et al., 2021, "Label-only membership inference attacks" (arXiv 2007.14321), section 4.2. Li and
    Zhang, 2021, "Membership leakage in label-only exposures" (arXiv 2007.15528), section 4. HopSkipJump: Chen et al.,
    2020 (arXiv 1904.02144); DeepFool: Moosavi-Dezfooli et al., 2016 (arXiv 1511.04599).

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    >>> with torch.no_grad():
    ...     _ = model.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), model.classifier.bias.zero_()
    >>> inputs = torch.tensor([[3.0, 0.0], [-2.0, 1.0], [1.0, 1.0]])  # the boundary is where the first value is 0
    >>> dataset = TensorDataset({"features": inputs, "labels": torch.tensor([0, 1, 1])})
    >>> boundary_distance(model, dataset, method="deepfool").round(3).tolist()  # doctest: +SKIP
    [3.0, 2.0, 0.0]
    """
    column = _continuous_column(dataset)
    if method not in BOUNDARY_METHODS:
        raise InputError(f"method is {method!r}: pass one of {', '.join(BOUNDARY_METHODS)}")
    if check_number("norm", norm, infinite=True) not in (2, math.inf):
        raise InputError(f"norm is {norm!r}: pass 2 or math.inf")
    n_steps = BOUNDARY_METHODS[method] if n_steps is None else n_steps
    n_steps = check_whole("n_steps", n_steps, at_least=1)
    seed = check_seed(seed)
    try:
        import foolbox  # noqa: F401
    except ImportError as error:
        raise InputError(
            f'boundary_distance needs foolbox ({one_line(error)}): pip install "hf-privacy[robust]"'
        ) from None
    if len(dataset) == 0:
        raise InputError("dataset is empty: pass at least one example")
    low, high = _bounds(dataset, column, bounds)
    passes = {"batch_size": batch_size, "accelerator": accelerator, "progress": progress}

    @torch.inference_mode()
    def predicted_of(model: nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        logits = model(**{column: batch[column].to(device)}).logits.cpu()
        signals_from_logits(logits, batch["labels"])  # refuses what is not finite or out of range
        return logits.argmax(dim=1).numpy()

    predicted = map_batches(model, dataset, predicted_of, description="predictions", **passes)
    starts = _starting_points(dataset, column, predicted)

    def distance_of(model: nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        with torch.inference_mode():
            correct = model(**{column: batch[column].to(device)}).logits.argmax(dim=1).cpu() == batch["labels"]
        distance = np.zeros(len(correct))
        if correct.any():
            cube = UnitCube(model, column, low, high).eval()
            examples = _in_cube(batch[column][correct], low, high).to(device)
            labels = batch["labels"][correct].to(device)
            candidates = _in_cube(starts.points, low, high).to(device)
            start = _nearest(cube, examples, labels, candidates, starts.predicted.to(device), norm)
            search = BoundarySearch(cube, examples, labels, start, norm, n_steps, seed, batch_size)
            gap = (search.run(method) - examples).double().flatten(1)
            length = torch.linalg.vector_norm(gap, ord=norm, dim=1)
            distance[correct.numpy()] = length.cpu().numpy() * (high - low)
        return distance

    with no_parameter_gradients(model):  # foolbox's backward passes would add to theirs
        return map_batches(model, dataset, distance_of, description="boundary distances", **passes)


class _Starts(NamedTuple):
    points: torch.Tensor  # [M, ...], inputs
    predicted: torch.Tensor  # int64 [M]


def _starting_points(dataset: TensorDataset, column: str, predicted: np.ndarray) -> _Starts:
    """Some examples of each predicted class, chosen by a hash of their content, so that order does not matter."""
    classes = np.unique(predicted)
    if len(classes) < 2:
        raise InputError(
            f"the model predicts class {classes[0]} for all {len(predicted)} examples: a boundary lies "
            "between two, pass more examples or train the model longer"
        )
    seeds = np.array([example_seed(row) for piece in dataset.pieces(column) for row in piece.numpy()], dtype=np.uint64)
    each = max(1, _MAX_STARTING_POINTS // len(classes))
    rows = np.concatenate(
        [of_class[np.argsort(seeds[of_class])[:each]] for of_class in (np.nonzero(predicted == c)[0] for c in classes)]
    )
    return _Starts(dataset.subset(rows).column(column), torch.from_numpy(predicted[rows]))


def _nearest(
    cube: UnitCube,
    examples: torch.Tensor,
    labels: torch.Tensor,
    candidates: torch.Tensor,
    predicted: torch.Tensor,
    norm: float,
) -> torch.Tensor:
    """For each example the nearest candidate that the model gives another class."""
    # the matrix-product form of cdist rounds by batch, and rounds away small distances
    exact = "donot_use_mm_for_euclid_dist"
    distance = torch.cdist(examples.flatten(1), candidates.flatten(1), p=float(norm), compute_mode=exact)
    distance[labels[:, None] == predicted] = math.inf
    while distance.isfinite().any(dim=1).all():
        nearest = distance.argmin(dim=1)
        with torch.inference_mode():
            other = is_adversarial(cube, candidates[nearest], labels)
        if other.all():
            return candidates[nearest]
        # a candidate on the boundary itself may change class by rounding
        rows = torch.nonzero(~other)[:, 0]
        distance[rows, nearest[rows]] = math.inf
    raise InputError("no example is clearly of another predicted class: pass more examples, or train the model longer")


def _continuous_column(dataset: TensorDataset) -> str:
    columns = dataset.column_names
    refuse_unlabelled(dataset, "a distance needs")
    inputs = [name for name in columns if name != "labels"]
    if "input_ids" in inputs:
        raise InputError(
            "dataset has token numbers (input_ids), between which there is no distance: use label_only_correct"
        )
    if len(inputs) != 1 or not dataset.dtype(inputs[0]).is_floating_point:
        raise InputError(f"dataset has the inputs {sorted(inputs)}: a distance needs exactly one, of floating point")
    return inputs[0]


def _bounds(dataset: TensorDataset, column: str, bounds: tuple[float, float] | None) -> tuple[float, float]:
    ends = torch.stack([torch.stack(piece.aminmax()) for piece in dataset.pieces(column)])
    least, most = float(ends[:, 0].min()), float(ends[:, 1].max())  # NaN where one is
    if not (math.isfinite(least) and math.isfinite(most)):
        raise InputError("dataset has NaN or infinite inputs: drop or repair these rows")
    low, high = (least, most) if bounds is None else bounds
    if not (math.isfinite(low) and math.isfinite(high) and low <= least and most <= high and low < high):
        raise InputError(
            f"bounds is ({low:g}, {high:g}) and the inputs go from {least:g} to {most:g}: pass a range that holds them"
        )
    return low, high


def _in_cube(inputs: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return ((inputs.float() - low) / (high - low)).clamp(0, 1)
