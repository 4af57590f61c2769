"""How each example is learnt: loss, probability, correctness and EL2N after every epoch of any training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.state import AcceleratorState

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.observers.epoch_collector import EpochCollector
from hf_privacy.signals import token_signals
from hf_privacy.signals.batches import map_batches, rows_a_pass
from hf_privacy.tasks import task_of
from hf_privacy.tasks.class_signals import signals_from_logits


class TrainingDynamicsCallback(EpochCollector):
    """Keeps how a training goes for every single example, in any `Trainer`, of this package or the stock one.

    After each ``every_n_epochs``-th epoch, and after the last, the model looks once at every example of a fixed
    dataset, in evaluation mode, without gradients and augmentation, and by its logits alone (never by the defended
    loss). Kept are

    - ``loss``: −log p_y, in nats;
    - ``probability``: p_y, of the true class;
    - ``correct``: whether the true class has the largest logit;
    - ``el2n``: ‖p − onehot(y)‖₂, in [0, √2] (Paul et al. 2021).

    Of a causal language model, row by row over the scored tokens:

    - ``loss``: the mean of −log p, in nats a token;
    - ``probability``: the geometric mean of p;
    - ``token_accuracy``: the share that greedy decoding would give.

    `read_training_dynamics` gives them as arrays [epochs, examples], of which `hf_privacy.memorization` makes
    forgetting events, confidence, variability and so on. Training does not notice: weights, buffers, modes, gradients
    and random states are those of a run without the callback, to the last bit. A run that was killed and resumed has
    the arrays of one that was not: what was kept of epochs after the checkpoint is written anew.

    The files are in ``<output_dir>/private/training_dynamics``. They tell of single examples, members above all; no
    push of this package sends them, and a push of the stock Trainer, which would, is refused. Reference models leave
    the callback out, and its settings are no part of their recipe.

    Cost: a forward pass over the dataset each time, so about a third of an epoch's time where the dataset is the
    training set. The seconds are in the log history (``dynamics_seconds``) and in the store's metadata.

    Parameters
    ----------
    dataset : TensorDataset, optional
        The training set by default, in its order.
    every_n_epochs : int
    batch_size : int
        Examples per forward pass.

    Raises
    ------
    InputError
        For settings out of range at once. When training begins, before a step: for a dataset that is no
        `TensorDataset`, without labels, a store of other examples in the same ``output_dir``, on resuming one with
        other settings, a model sharded over processes (FSDP, DeepSpeed), or ``push_to_hub`` on a stock Trainer.

    References
    ----------
    Swayamdipta et al., "Dataset cartography", EMNLP 2020, section 2.1 (probability and correctness over epochs; theirs
    are taken on the fly within an epoch, ours at its end, all by one model). Toneva et al., "An empirical study of
    example forgetting", ICLR 2019. Paul, Ganguli and Dziugaite, "Deep learning on a data diet", NeurIPS 2021,
    definition 2.2 (EL2N of one model; theirs averages over several).

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer, read_training_dynamics
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> args = PrivacyConfig(tempfile.mkdtemp(), num_train_epochs=3, save_strategy="no", disable_tqdm=True)
    >>> trainer = PrivacyTrainer(
    ...     TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)),
    ...     args,
    ...     train_dataset=data,
    ...     callbacks=[TrainingDynamicsCallback(every_n_epochs=2)],
    ... )
    >>> _ = trainer.train()  # doctest: +ELLIPSIS
    {...
    >>> dynamics = read_training_dynamics(args.output_dir)
    >>> dynamics["epochs"].tolist(), dynamics["loss"].shape
    ([2.0, 3.0], (2, 8))
    """

    stream: ClassVar[str] = "signals"

    def __init__(
        self, dataset: TensorDataset | None = None, *, every_n_epochs: int = 1, batch_size: int = 512
    ) -> None:
        super().__init__(dataset, every_n_epochs=every_n_epochs, batch_size=batch_size)

    def __deepcopy__(self, memo: dict) -> TrainingDynamicsCallback:
        # As it was before training; the rows are shared.
        return type(self)(self.dataset, every_n_epochs=self.every_n_epochs, batch_size=self.batch_size)

    def values_of(self, model: torch.nn.Module, dataset: TensorDataset, state: AcceleratorState) -> dict[str, Any]:
        """``loss``, ``probability``, ``correct`` and ``el2n``, each [N].

        Of rows of tokens ``token_accuracy`` in place of the last two.
        """
        if not task_of(model).has_classes:
            rows = rows_a_pass(dataset, self.batch_size)
            found = token_signals(model, dataset, batch_size=rows, accelerator=state).examples()
            return {
                "loss": found["loss"],
                "probability": found["probability"],
                "token_accuracy": found["correct"],
            }
        loss, probability, correct, el2n = map_batches(
            model,
            dataset,
            _batch_values,
            batch_size=self.batch_size,
            accelerator=state,
            progress=False,
            description="training dynamics",
        )
        return {"loss": loss, "probability": probability, "correct": correct == 1, "el2n": el2n}


@torch.inference_mode()
def _batch_values(model: torch.nn.Module, batch: Mapping[str, torch.Tensor], device: torch.device) -> np.ndarray:
    inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
    logits, labels = model(**inputs).logits.cpu(), batch["labels"]  # float64 does not exist on every accelerator
    signals = signals_from_logits(logits, labels)
    rows = [signals[name] for name in ("loss", "probability", "correct")]
    return torch.stack([*rows, error_norm(logits, labels, signals["loss"])]).numpy()


def error_norm(logits: torch.Tensor, labels: torch.Tensor, loss: torch.Tensor) -> torch.Tensor:
    """EL2N, ‖p − onehot(y)‖₂ in float64: [N] from logits [N, C], labels [N] and −log p_y [N].

    1 − p_y comes from the loss, so that a sure and right prediction's error is small, and not 0.

    Examples
    --------
    >>> logits = torch.tensor([[0.0, 0.0], [60.0, 0.0]])
    >>> error_norm(logits, torch.tensor([0, 0]), torch.tensor([0.6931471805599453, 8.7565e-27]).double())
    tensor([7.0711e-01, 1.2384e-26], dtype=torch.float64)
    """
    error = torch.softmax(logits.double(), dim=1)
    error.scatter_(1, labels.long().unsqueeze(1), torch.expm1(-loss).unsqueeze(1))
    return torch.linalg.vector_norm(error, dim=1)
