"""What every adversarial trainer does with a batch: attack it, and take the objective of each example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import TrainerCallback

from hf_privacy.adversarial import PGD, input_space, pgd
from hf_privacy.data import TensorDataset
from hf_privacy.defenses.adversarial.config import AdversarialConfig
from hf_privacy.defenses.adversarial.objectives import NEEDS_CLEAN, mart, pgd_at, trades
from hf_privacy.errors import InputError
from hf_privacy.models.deferred import DeferredChecks

# The paper of each objective; the reports name the one that is trained with.
PAPERS = {
    "pgd_at": {
        "title": "Towards Deep Learning Models Resistant to Adversarial Attacks",
        "id": "arXiv:1706.06083",
        "citation": "Aleksander Madry, Aleksandar Makelov, Ludwig Schmidt, Dimitris Tsipras and Adrian Vladu. Towards "
        "Deep Learning Models Resistant to Adversarial Attacks. ICLR 2018.",
    },
    "trades": {
        "title": "Theoretically Principled Trade-off between Robustness and Accuracy",
        "id": "arXiv:1901.08573",
        "citation": "Hongyang Zhang, Yaodong Yu, Jiantao Jiao, Eric P. Xing, Laurent El Ghaoui and Michael I. Jordan. "
        "Theoretically Principled Trade-off between Robustness and Accuracy. ICML 2019.",
    },
    "mart": {
        "title": "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
        "id": "openreview:rklOg6EFwS",
        "citation": "Yisen Wang, Difan Zou, Jinfeng Yi, James Bailey, Xingjun Ma and Quanquan Gu. Improving "
        "Adversarial Robustness Requires Revisiting Misclassified Examples. ICLR 2020.",
    },
}


# What these papers train with on CIFAR-10, as far as the arguments here can say it. TRADES' start is Gaussian.
PAPER_DEFAULTS = {
    "pgd_at": {"epsilon": 8 / 255, "norm": "linf", "n_steps": 7, "step_size": 2 / 255, "random_start": True},
    "trades": {"epsilon": 0.031, "norm": "linf", "n_steps": 10, "step_size": 0.007, "beta": 6.0},
    "mart": {"epsilon": 8 / 255, "norm": "linf", "n_steps": 10, "step_size": 2 / 255, "random_start": True},
}


class _ReadChecksCallback(TrainerCallback):
    """Reads what the attacks of the last steps found unfit, before a step is logged, saved or evaluated."""

    def __init__(self, checks: DeferredChecks) -> None:
        self._checks = checks

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if control.should_log or control.should_save or control.should_evaluate or control.should_training_stop:
            self._checks.read()

    def on_epoch_end(self, args, state, control, **kwargs) -> None:
        self._checks.read()


class AdversarialMixin:
    """The attack on each batch, and the loss of each example on what comes of it; stands before a `PrivacyTrainer`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.task.has_classes:
            return  # what is made of this for rows of tokens attacks none
        if any(type(module).__module__.startswith("opacus.") for module in self.model.modules()):
            raise InputError(
                f"model is wrapped by opacus ({type(self.model).__name__}): an attack through per-sample gradients "
                "would add its own to them; pass the plain model, and DPAdversarialTrainer for privacy"
            )
        config: AdversarialConfig = self.args
        examples = None
        if isinstance(self.train_dataset, TensorDataset) and len(self.train_dataset):
            # So that columns and pixels the attack cannot move are found before training.
            with torch.random.fork_rng(devices=[]):  # an augmentation draws
                examples = self.train_dataset.__getitems__(range(min(2, len(self.train_dataset))))
        self.space = input_space(self.model, self.processing_class, inputs=examples)
        self.attack = PGD(
            config.epsilon,
            norm=config.norm,
            n_steps=config.n_steps,
            step_size=config.step_size,
            random_start=config.random_start,
            loss=config.inner_divergence if config.objective == "trades" else "cross_entropy",
        )
        self.attack.check_space(self.space)
        # What an attack finds unfit is read at the end of a step that is looked at, not waited for at each.
        self._attack_checks = DeferredChecks()
        self.add_callback(_ReadChecksCallback(self._attack_checks))
        self._attack_generator: torch.Generator | None = None
        self._attack_step = -1

    def adversarial_points(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Where the attack takes the examples of a batch, in the units of the space: float32 [B, ...]."""
        with self._attack_checks.deferred():
            noise = self.start_noise(model, inputs)
            return pgd(
                model,
                inputs,
                inputs["labels"],
                space=self.space,
                attack=self.attack,
                start_noise=noise,
                generator=None if noise is not None else self._start_generator(inputs["labels"].device),
            )

    def start_noise(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor | None:
        """The random start of each example, where it does not come from this trainer's seeded generator."""
        return None

    def example_losses(
        self, labels: torch.Tensor, *, clean: Callable[[], Any], adversarial: Callable[[], Any]
    ) -> tuple[torch.Tensor, Any]:
        """The objective of each example, float32 [B], and the model's outputs for the adversarial inputs.

        ``clean`` and ``adversarial`` run the model, each on a batch of its own (for BatchNorm): first the clean
        examples, where they are needed, then the adversarial ones.
        """
        config: AdversarialConfig = self.args
        if config.objective not in NEEDS_CLEAN:
            outputs = adversarial()
            return pgd_at(outputs["logits"].float(), labels), outputs
        clean_logits = clean()["logits"].float()
        outputs = adversarial()
        objective = {"trades": trades, "mart": mart}[config.objective]
        return objective(clean_logits, outputs["logits"].float(), labels, beta=config.beta), outputs

    def _start_generator(self, device: torch.device) -> torch.Generator:
        """Seeded anew for each optimizer step and process, so that a resumed run draws what it would have drawn."""
        if self._attack_generator is None or self._attack_step != self.state.global_step:
            self._attack_step = self.state.global_step
            seed = (self._data_seed * 1_000_003 + self._attack_step) * 1_009 + self.args.process_index
            self._attack_generator = torch.Generator(device).manual_seed(seed)
        return self._attack_generator
