"""DeMem: adversarial training that also keeps the losses of a batch close to one another."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.defenses.adversarial.trainer import AdversarialTrainer
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.starting_model import StartingModel
from hf_privacy.defenses.demem.config import OF_THE_ATTACK, DeMemConfig
from hf_privacy.errors import InputError
from hf_privacy.tasks import TASKS

_FEWEST_ROWS = 8  # whose variance says something


def class_variance(losses: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Variance, with 1/(k − 1), of the mean losses of the k classes in a batch; 0 where it holds one class alone.

    Parameters
    ----------
    losses : tensor [B]
    labels : int64 tensor [B]

    Returns
    -------
    tensor, scalar

    Examples
    --------
    >>> class_variance(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 7]))  # of 2 and 5
    tensor(4.5000)
    """
    # Row by row, each with one over its class's rows: how many classes a batch holds, no device is asked.
    same = (labels[:, None] == labels[None, :]).to(losses.dtype)
    counts = same.sum(dim=1)
    means, weights = (same * losses).sum(dim=1) / counts, 1 / counts
    n_classes = weights.sum().round()
    mean = (weights * means).sum() / n_classes
    return (weights * (means - mean).square()).sum() / (n_classes - 1).clamp(min=1) * (n_classes > 1)


class DeMemTrainer(AdversarialTrainer):
    """`AdversarialTrainer` with the sample-wise de-memorization term: L + λ·Var(ℓ).

    ℓ_i is the cross-entropy of example i on its adversarial input, whatever the objective, and Var its variance over
    the batch with 1/(n − 1). The gradient runs through mean and variance, so example i counts with
    w_i = 1/n + 2λ(ℓ_i − mean)/(n − 1): more the further its loss lies above the others', less below, and far enough
    below it counts against. No memorization score and no threshold is needed.

    The variance is that of one forward pass: of each accumulated batch and each process by itself, so 2 × 4
    (batch × accumulation) is not the step of 8 × 1. With AWP, v ascends the loss with its variance term.

    A language model is trained without an attack, on mean ℓ + λ·Var(ℓ), ℓ_i the mean over row i's scored tokens. A
    mean over more tokens varies less, so that short rows weigh most; with ``minus_base`` the variance is of ℓ_i less
    what the model gave before training, of an adapter what it gives without it.

    Logs ``loss_variance``, Var(ℓ) averaged over the forward passes since the last log, for the controls too (with
    ``minus_base`` that of the differences).

    Parameters
    ----------
    args : DeMemConfig
    **others
        As in `AdversarialTrainer`.

    Raises
    ------
    InputError
        Before training: fewer than two examples for each process, or as in `AdversarialTrainer`. Of a language model:
        fewer than eight rows a forward pass, settings of an attack, or of classes. Of any other: ``minus_base``.

    References
    ----------
    Luo & Li (2024), "DeMem: privacy-enhanced robust adversarial learning via de-memorization", arXiv
    2412.05767.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)
    >>> trainer = DeMemTrainer(
    ...     args=DeMemConfig(tempfile.mkdtemp(), epsilon=0.1, num_train_epochs=2, disable_tqdm=True),
    ...     model_init=lambda: TabularMLPForClassification(config),
    ...     train_dataset=data,
    ... )
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {...
    2
    """

    config_class: ClassVar[type[PrivacyConfig]] = DeMemConfig
    defense_name: ClassVar[str] = "demem"
    tasks: ClassVar[tuple[str, ...]] = tuple(TASKS)
    couples_rows: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "DeMem: Privacy-Enhanced Robust Adversarial Learning via De-Memorization",
        "id": "arXiv:2412.05767",
        "citation": "Xiaoyu Luo and Qiongxiu Li. DeMem: Privacy-Enhanced Robust Adversarial Learning via "
        "De-Memorization. arXiv:2412.05767, 2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {
        "epsilon": 8 / 255,
        "norm": "linf",
        "n_steps": 3,
        "step_size": 1.25 * (8 / 255) / 3,
        "random_start": True,
        "beta": 6.0,
        "variance_weight": 0.2,
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        **AdversarialTrainer.search_space,
        "variance_weight": [0.2, 0.3, 0.4, 0.6],
    }

    args: DeMemConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batch_variance: torch.Tensor | None = None
        self._variance_sum: torch.Tensor | float = 0.0
        self._n_variances = 0
        if self.task.has_classes:
            if self.args.minus_base:
                raise InputError(
                    f"minus_base is True and the model for {self.task.name}: before training it knows no class; leave "
                    "it out"
                )
            return
        self._check_language_model()
        self._starting_model = StartingModel(self.model) if self.args.minus_base else None
        self.paper_defaults = {"variance_weight": type(self).paper_defaults["variance_weight"]}

    def _check_language_model(self) -> None:
        args = self.args
        for name, usual in OF_THE_ATTACK.items():
            if getattr(args, name) != usual:
                raise InputError(
                    f"{name} is {getattr(args, name)!r} and the model for {self.task.name}, which DeMem trains "
                    "without an attack: leave it out"
                )
        if args.control == "class_variance":
            raise InputError(
                f"control is 'class_variance' and the model for {self.task.name}, whose rows have no classes: pass "
                "'negative_variance', or none"
            )
        if args.per_device_train_batch_size < _FEWEST_ROWS:
            raise InputError(
                f"per_device_train_batch_size is {args.per_device_train_batch_size}: the variance is that of one "
                f"forward pass, and of fewer than {_FEWEST_ROWS} rows says little; pass {_FEWEST_ROWS} or more, with "
                "gradient_checkpointing where memory is short"
            )

    @property
    def step_is_its_loss(self) -> bool:
        """As in `PrivacyTrainer`; of a language model, for which no weights are perturbed."""
        return not self.task.has_classes

    def describe_defense(self) -> dict[str, Any]:
        """As in `PrivacyTrainer`; of a language model without the settings of an attack."""
        described = super().describe_defense()
        if self.task.has_classes:
            return described
        parameters = {name: value for name, value in described["parameters"].items() if name not in OF_THE_ATTACK}
        return {**described, "parameters": parameters}

    def get_train_dataloader(self) -> Any:
        """As in `PrivacyTrainer`, where each batch holds at least two examples."""
        loader = super().get_train_dataloader()
        if self._train_batch_size < 2:
            raise InputError(
                "auto_find_batch_size went down to batches of one, whose losses have no variance: leave it off or use "
                "a smaller model"
            )
        if len(self.train_dataset) < 2 * self.args.world_size:
            raise InputError(
                f"train_dataset has {len(self.train_dataset)} examples for {self.args.world_size} processes: the "
                "variance of the losses needs two on each"
            )
        return loader

    def batch_loss(self, losses: torch.Tensor, adversarial_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Mean of the objective plus λ times the variance of the cross-entropies on the adversarial inputs."""
        adversarial_losses = self.task.example_losses({"logits": adversarial_logits}, {"labels": labels})
        variance = adversarial_losses.var()
        self._batch_variance = variance.detach()
        if self.args.control == "class_variance":
            variance = class_variance(adversarial_losses, labels)
        return losses.mean() + self.args.variance_weight * variance

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """As in `AdversarialTrainer`, or without an attack; the loss variance of the batch is kept for the log."""
        result = (super().training_loss if self.task.has_classes else self._language_loss)(model, inputs)
        # AWP's ascent computes one too; the last is that of the loss that is trained on.
        self._variance_sum += self._batch_variance
        self._n_variances += 1
        return result

    def _language_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        before: torch.Tensor | float = 0.0
        if self.args.minus_base:
            with self._starting_model(model) as start:
                before = self.task.example_losses(self.forward_without_labels(start, inputs), inputs)
        outputs = self.forward_without_labels(model, inputs)
        losses = self.task.example_losses(outputs, inputs)
        variance = (losses - before).var()
        self._batch_variance = variance.detach()
        return losses.mean() + self.args.variance_weight * variance, outputs

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """With the training loss, its variance: the mean over forward passes and processes since the last log."""
        if "loss" in logs and self._n_variances:
            variance = self._variance_sum / self._n_variances
            self._variance_sum, self._n_variances = 0.0, 0
            if self.args.world_size > 1:
                variance = self.accelerator.reduce(variance, reduction="mean")
            logs = {**logs, "loss_variance": float(variance)}
        super().log(logs, start_time)
