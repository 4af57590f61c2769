"""Adversarial training: the loss is taken at the inputs, and with AWP at the weights, where it is worst nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from hf_privacy.defenses.adversarial.config import AdversarialConfig
from hf_privacy.defenses.adversarial.mixin import PAPER_DEFAULTS, PAPERS, AdversarialMixin
from hf_privacy.defenses.adversarial.weight_perturbation import AdversarialWeightPerturbation
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.models import bare_model
from hf_privacy.tasks import CLASSIFICATION


class AdversarialTrainer(AdversarialMixin, PrivacyTrainer):
    """`PrivacyTrainer` on PGD-AT, TRADES or MART, in the L∞ or L2 ball, with adversarial weight perturbation if asked.

    Each batch is attacked first, by `hf_privacy.adversarial.pgd`: in evaluation mode and float32, whatever training
    uses, with no gradient for the weights. What is then trained on, in training mode, per example:

    - ``"pgd_at"``: CE(f(x′), y);
    - ``"trades"``: CE(f(x), y) + β·KL(f(x) ‖ f(x′)), x′ attacked by the same divergence;
    - ``"mart"``: −ln p_y(x′) − ln(1 − max_{k≠y} p_k(x′)) + β·KL(p(x) ‖ p(x′))·(1 − p_y(x)).

    The loss is a mean over examples. Without random start accumulation and processes leave the step as it is (but for
    BatchNorm, as always); with it they draw other starts. With ``awp_gamma`` the loss is taken at θ + v, see
    `AdversarialWeightPerturbation`: v is that of the batch of all processes together, but of each accumulated batch by
    itself.

    Images are attacked in pixels of 0–1: pass their processor as ``processing_class``, whose normalisation is undone
    and done again around the attack. Tables are attacked in their features. For text the attack moves word embeddings,
    ε is a norm in embedding space, no changed text need correspond to it, and the embeddings themselves are trained
    through it. Evaluation stays the plain cross-entropy on clean examples.

    Parameters
    ----------
    args : AdversarialConfig
    **others
        As in `PrivacyTrainer`; ``processing_class`` is needed for images.

    Raises
    ------
    InputError
        Before training: a processor without normalisation, ε of pixels in units of 0–255, examples the attack cannot
        move (token numbers for a model of images), a model wrapped for per-sample gradients.

    References
    ----------
    Madry et al. (2018), arXiv 1706.06083; Zhang et al. (2019), TRADES, arXiv 1901.08573; Wang et al. (2020), MART,
    ICLR; Wu, Xia & Wang (2020), AWP, arXiv 2004.05884. Departs from the codes of TRADES and MART in a start that is
    uniform in the ball, as DeMem has it (arXiv 2412.05767), where theirs is Gaussian of 0.001.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.data import TensorDataset
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)
    >>> trainer = AdversarialTrainer(
    ...     args=AdversarialConfig(
    ...         tempfile.mkdtemp(), objective="trades", epsilon=0.1, num_train_epochs=2, disable_tqdm=True
    ...     ),
    ...     model_init=lambda: TabularMLPForClassification(config),
    ...     train_dataset=data,
    ... )
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {...
    2
    """

    config_class: ClassVar[type[PrivacyConfig]] = AdversarialConfig
    defense_name: ClassVar[str] = "adversarial"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFICATION
    takes_sharded_weights: ClassVar[bool] = False
    # Both of the default objective; an instance has those of its own.
    paper: ClassVar[dict[str, str] | None] = PAPERS["pgd_at"]
    paper_defaults: ClassVar[dict[str, Any]] = PAPER_DEFAULTS["pgd_at"]
    search_space: ClassVar[dict[str, list[Any]]] = {
        "objective": ["pgd_at", "trades", "mart"],
        "epsilon": [1 / 255, 2 / 255, 4 / 255, 8 / 255],
        "awp_gamma": [0.0, 0.005, 0.01],
    }

    args: AdversarialConfig

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if type(self).paper is AdversarialTrainer.paper:
            self.paper = PAPERS[self.args.objective]
            self.paper_defaults = PAPER_DEFAULTS[self.args.objective]
        self._weight_perturbation = AdversarialWeightPerturbation(self.args.awp_gamma)

    def batch_loss(self, losses: torch.Tensor, adversarial_logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The batch's loss, scalar, from the objective of each example [B]: their mean."""
        return losses.mean()

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """The objective of one batch; with AWP the weights are left at θ + v, until `training_step` has gone back."""
        self._share_buffers()
        points = self.adversarial_points(model, inputs)
        bare = bare_model(model)

        def loss_through(network: torch.nn.Module) -> tuple[torch.Tensor, Any]:
            losses, outputs = self.example_losses(
                inputs["labels"],
                clean=lambda: self.forward_without_labels(network, inputs),
                adversarial=lambda: network(**self._model_inputs(bare, inputs, points)),
            )
            return self.batch_loss(losses, outputs["logits"].float(), inputs["labels"]), outputs

        if self.args.awp_gamma and int(self.state.epoch or 0) >= self.args.awp_warmup_epochs:
            self._weight_perturbation.perturb(
                bare,
                lambda: self._scaled(loss_through(bare)[0]),
                over_processes=self._over_processes(inputs["labels"]),
            )
        return loss_through(model)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """As in `PrivacyTrainer`; weights that AWP moved are back, bit for bit, before the optimizer sees them."""
        try:
            return super().training_step(*args, **kwargs)
        finally:
            self._weight_perturbation.restore()

    def _model_inputs(
        self, bare: torch.nn.Module, inputs: dict[str, torch.Tensor], points: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        if self.space.name == "embeddings":
            # The points, and the gradient of the words' own embeddings.
            embedded = bare.get_input_embeddings()(inputs["input_ids"])
            points = embedded + (points - embedded.detach())
        return self.space.inputs(points, inputs)

    def _scaled(self, loss: torch.Tensor) -> torch.Tensor:
        """As the loss that is trained on, so that no fp16 gradient underflows; the perturbation's size is its own."""
        scaler = self.accelerator.scaler
        return loss if scaler is None else scaler.scale(loss)

    def _over_processes(self, labels: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor] | None:
        """From this process's gradient of a mean to that of all processes' examples."""
        if self.args.world_size == 1:
            return None
        count = torch.full((), float(len(labels)), device=labels.device)
        share = count / self.accelerator.reduce(count, reduction="sum")
        return lambda gradient: self.accelerator.reduce(gradient * share, reduction="sum")

    def _share_buffers(self) -> None:
        """Running means of the first process on all, which DDP cannot send between two forward passes of a step."""
        buffers = [buffer for buffer in self.model.buffers() if buffer.is_floating_point()]
        if self.args.world_size == 1 or not buffers:
            return
        flat = torch.cat([buffer.flatten().float() for buffer in buffers])
        torch.distributed.broadcast(flat, src=0)
        sizes = [buffer.numel() for buffer in buffers]
        for buffer, values in zip(buffers, flat.split(sizes), strict=True):
            buffer.copy_(values.view_as(buffer))
