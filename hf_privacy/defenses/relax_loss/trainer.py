"""RelaxLoss: training aims at a mean loss above zero instead of at zero."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.predictions import surprise
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.relax_loss.config import RelaxLossConfig


class RelaxLossTrainer(PrivacyTrainer):
    """`PrivacyTrainer` that keeps the mean training loss at a target, so that members and others look alike.

    With ℓ_i the cross-entropy of example i and mean the batch's:

    - even epochs (0, 2, …) minimise |mean ℓ − α|: descent above α, ascent below it;
    - odd epochs minimise mean ℓ while it is above α; at or below it they flatten the posterior, minimising
      mean[(1 − correct_i)·CE(soft_i) − ℓ_i], where soft_i holds the example's own p_y (capped) on the true class and
      (1 − p_y)/(C − 1) on each other class. ``flattening="soft_labels_only"`` minimises mean CE(soft_i) there.

    Of a language model ℓ_i is the mean over a row's scored tokens, α is in nats a token, and what flattens is taken
    token by token, C being the vocabulary. Below the loss that a model reaches on text it has not seen α lets members
    be learnt better than others; at the loss of the checkpoint that is fine-tuned, or above, nothing is learnt at all.

    The epoch is the trainer state's, so a resumed run goes on with the parity it had.

    The side of α is judged on the mean over one forward pass: the micro-batch of all processes together (one number is
    summed over them). Processes therefore count as one batch, 2 × 4 equals 1 × 8. Accumulation does not: 2 × 4
    (batch × accumulation) takes the step of 8 × 1 only where all micro-batches lie on the same side of α, since each
    chooses descent, ascent or flattening for itself; a larger ``per_device_train_batch_size`` is the authors' setting.

    Parameters
    ----------
    args : RelaxLossConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Chen, Yu & Fritz (2022), "RelaxLoss: Defending membership inference attacks without losing utility", ICLR,
    arXiv 2207.05801, Algorithm 1 and the authors' code, in which the gradient runs through the soft labels too.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)
    >>> trainer = RelaxLossTrainer(
    ...     args=RelaxLossConfig(tempfile.mkdtemp(), alpha=0.5, num_train_epochs=2, disable_tqdm=True),
    ...     model_init=lambda: TabularMLPForClassification(config),
    ...     train_dataset=data,
    ... )
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {...
    2
    """

    config_class: ClassVar[type[PrivacyConfig]] = RelaxLossConfig
    defense_name: ClassVar[str] = "relax_loss"
    # Which side of α a batch lies on is said of its mean.
    couples_rows: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "RelaxLoss: Defending Membership Inference Attacks without Losing Utility",
        "id": "arXiv:2207.05801",
        "citation": "Dingfan Chen, Ning Yu and Mario Fritz. RelaxLoss: Defending Membership Inference Attacks without "
        "Losing Utility. ICLR 2022.",
    }
    # CIFAR-10, ResNet-20.
    paper_defaults: ClassVar[dict[str, Any]] = {"alpha": 1.0}
    search_space: ClassVar[dict[str, list[Any]]] = {"alpha": [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.5, 2.0, 3.0]}

    args: RelaxLossConfig

    def loss_phase(self) -> int:
        """The parity of the epoch."""
        return int(self.state.epoch or 0) % 2

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """RelaxLoss of one batch, by the parity of the epoch."""
        outputs, alpha = self.forward_without_labels(model, inputs), self.args.alpha
        if int(self.state.epoch or 0) % 2 == 0:
            losses = self.task.example_losses(outputs, inputs)
            mean = self._mean_over_processes(losses)
            # |mean − α| with its subgradient: +1 above α, −1 below, 0 at it.
            return torch.sign(mean - alpha) * (losses.mean() - alpha), outputs
        losses, flattened = self.task.example_means(outputs, inputs, self._flattening)
        mean = self._mean_over_processes(losses)
        # Chosen on the device: asking the host which side it is would wait for every batch.
        return torch.where(mean > alpha, losses, flattened).mean(), outputs

    def _mean_over_processes(self, losses: torch.Tensor) -> torch.Tensor:
        """The mean over this forward pass on all processes, without a gradient."""
        if self.args.world_size == 1:
            return losses.detach().mean()
        total = torch.stack([losses.detach().sum(), losses.new_full((), len(losses))])
        total = self.accelerator.reduce(total, reduction="sum")
        return total[0] / total[1]

    def _flattening(self, log_probabilities: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of each prediction, and what an odd epoch minimises of it at or below α."""
        losses, args = surprise(log_probabilities, targets), self.args
        label_share = torch.exp(-losses).clamp(max=args.confidence_cap)
        if args.detach_soft_labels:
            label_share = label_share.detach()
        other_share = (1 - label_share) / (log_probabilities.shape[1] - 1)
        # CE(soft): the true class has its own share, all others one and the same.
        log_others = log_probabilities.sum(dim=1) + losses
        soft = label_share * losses - other_share * log_others
        if args.flattening == "soft_labels_only":
            return losses, soft
        is_wrong = (log_probabilities.argmax(dim=1) != targets).to(losses.dtype)
        return losses, is_wrong * soft - losses
