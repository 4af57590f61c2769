"""Which examples a model still classifies correctly when they are attacked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
import torch
from accelerate import Accelerator

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models.modes import float32_logits
from hf_privacy.signals.batches import map_batches, refuse_unlabelled
from hf_privacy.tasks.class_signals import signals_from_logits

# (model, inputs, labels) -> adversarial inputs: AdversarialInputs, AutoAttack, FoolboxAttack or one of your own.
InputAttack: TypeAlias = Callable[
    [torch.nn.Module, Mapping[str, torch.Tensor], torch.Tensor], Mapping[str, torch.Tensor]
]


def adversarial_correct(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    attack: InputAttack | Sequence[InputAttack],
    batch_size: int = 256,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Whether each example is classified correctly as it is and under every attack.

    Examples misclassified as they are count as incorrect and are not attacked; of several attacks each gets those
    that all before it left correct, so that the result is the worst of them.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` of shape [batch, C]; runs in evaluation mode and float32, whatever precision
        it is trained in, and is afterwards as it was.
    dataset : TensorDataset of N examples
        With a ``labels`` column.
    attack : AdversarialInputs, AutoAttack, FoolboxAttack, or a sequence of them
        Called with the model, the inputs of some examples of a batch on its device, and their labels.
    batch_size, accelerator, progress
        As in :func:`~hf_privacy.signals.compute_signals`.

    Returns
    -------
    bool array of shape [N]
        In the dataset's order. Whether batches matter is the attack's affair: for `AdversarialInputs` they do not.

    Raises
    ------
    InputError
        For data without labels, no attack, labels out of range, logits that are not finite, and what the attack
        refuses.

    Examples
    --------
    >>> from hf_privacy.adversarial import PGD, AdversarialInputs, FeatureSpace
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    >>> with torch.no_grad():
    ...     _ = model.classifier.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])), model.classifier.bias.zero_()
    >>> inputs = torch.tensor([[3.0, 0.0], [0.2, 0.0], [1.0, 0.0]])  # the boundary is where the first value is 0
    >>> dataset = TensorDataset({"features": inputs, "labels": torch.tensor([0, 0, 1])})
    >>> adversarial_correct(model, dataset, attack=AdversarialInputs(FeatureSpace(), PGD(0.5))).tolist()
    [True, False, False]
    """
    return _correct(model, dataset, attack, batch_size=batch_size, accelerator=accelerator, progress=progress)[1]


def robust_accuracy(
    model: torch.nn.Module,
    dataset: TensorDataset,
    *,
    attack: InputAttack | Sequence[InputAttack],
    confidence: float = 0.95,
    batch_size: int = 256,
    accelerator: Accelerator | None = None,
    progress: bool = False,
) -> dict[str, float | int]:
    """Accuracy without and under attack, with exact intervals.

    Parameters
    ----------
    model, dataset, attack, batch_size, accelerator, progress
        As in :func:`adversarial_correct`.
    confidence : float
        Of each interval, in (0, 1).

    Returns
    -------
    dict
        ``clean`` and ``robust``, shares in [0, 1]; ``clean_low``, ``clean_high``, ``robust_low``, ``robust_high``,
        their Clopper–Pearson intervals over the choice of examples; ``n_examples``; ``confidence``.

    Raises
    ------
    InputError
        As :func:`adversarial_correct`, or for a confidence outside (0, 1).

    Examples
    --------
    >>> from hf_privacy.adversarial import PGD, AdversarialInputs, FeatureSpace
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=2, hidden_sizes=[], num_labels=2))
    >>> dataset = TensorDataset({"features": torch.eye(2), "labels": torch.tensor([0, 1])})
    >>> accuracy = robust_accuracy(model, dataset, attack=AdversarialInputs(FeatureSpace(), PGD(0.0)))
    >>> accuracy["robust"] == accuracy["clean"], accuracy["n_examples"]
    (True, 2)
    """
    from hf_privacy.statistics import clopper_pearson  # only here: SciPy's statistics take half a second

    clopper_pearson(0, 1, confidence=confidence)  # refuses a bad confidence before the attack runs
    clean, robust = _correct(model, dataset, attack, batch_size=batch_size, accelerator=accelerator, progress=progress)
    result: dict[str, float | int] = {}
    for name, correct in (("clean", clean), ("robust", robust)):
        count = int(correct.sum())
        low, high = clopper_pearson(count, len(correct), confidence=confidence)
        result |= {name: count / len(correct), f"{name}_low": low, f"{name}_high": high}
    return {**result, "n_examples": len(clean), "confidence": confidence}


def _correct(
    model: torch.nn.Module,
    dataset: TensorDataset,
    attack: InputAttack | Sequence[InputAttack],
    *,
    batch_size: int,
    accelerator: Accelerator | None,
    progress: bool,
) -> np.ndarray:
    """Correct as they are, and under attack too: bool [2, N]."""
    refuse_unlabelled(dataset, "correctness needs")
    attacks = [attack] if callable(attack) else list(attack)
    if not attacks or not all(map(callable, attacks)):
        raise InputError(f"attack is {attack!r}: pass an attack such as AdversarialInputs, or a list of attacks")

    def correct_of(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        labels = batch["labels"]
        clean = _is_correct(model, inputs, labels)
        robust = clean.clone()
        for one in attacks:
            rows = robust.nonzero().flatten()
            if len(rows) == 0:
                break
            rows_there = rows.to(device)
            attacked = one(
                model, {name: tensor[rows_there] for name, tensor in inputs.items()}, labels[rows].to(device)
            )
            robust[rows] = _is_correct(model, attacked, labels[rows])
        return torch.stack([clean, robust]).numpy()

    return map_batches(
        model,
        dataset,
        correct_of,
        batch_size=batch_size,
        accelerator=accelerator,
        progress=progress,
        description="adversarial examples",
    )


def _is_correct(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """Bool [B] on the CPU; in float32, as attacks see the model, or half precision would undo the smallest of them."""
    inputs = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in inputs.items()}
    with float32_logits(model) as logits_of, torch.no_grad():
        logits = logits_of(inputs).cpu()
    return signals_from_logits(logits, labels)["correct"] == 1
