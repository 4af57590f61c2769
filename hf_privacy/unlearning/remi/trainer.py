"""ReMI: unlearning led by the classification loss and by what a membership attack would say."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, extract_model_from_parallel
from peft import PeftModel
from torch.nn import functional as F
from transformers import TrainerCallback

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model, base_of
from hf_privacy.signals import SignalStore, evaluation_mode, recorded_features
from hf_privacy.tasks import CLASSIFICATION, LANGUAGE_MODELS
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.remi.approximator import fit_approximator, gaussian_kl
from hf_privacy.unlearning.remi.config import ReMIConfig
from hf_privacy.unlearning.remi.features import dataset_features, membership_features
from hf_privacy.unlearning.remi.shadows import ShadowFeatures, shadow_features_of_store
from hf_privacy.unlearning.remi.token_features import base_losses, dataset_token_features, token_features


class _Guard(TrainerCallback):
    """Stops once the approximator holds the forget set for members no more than the held-out set."""

    def __init__(self, trainer: ReMITrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs) -> None:
        if state.global_step % args.stop_every_n_steps:
            return
        means = [
            float(self.trainer.approximate(dataset).mean())
            for dataset in (self.trainer.forget_dataset, self.trainer.heldout_dataset)
        ]
        means = broadcast_object_list(means) if args.world_size > 1 else means
        state.log_history.append({"forget_member": means[0], "heldout_member": means[1], "step": state.global_step})
        if means[0] <= means[1]:
            control.should_training_stop = True


class ReMITrainer(UnlearningTrainer):
    """`UnlearningTrainer` on CE(retain) + α·BCE(A(h(x)), 0) + β·KL(A on forget ‖ A on held-out).

    Of a language model h(x) is what token attacks read of a row (`token_features`), the loss of a row its own mean.

    A, the privacy approximator, is fitted before anything is changed and then stays as it is; h(x) is
    differentiable in the model's weights. The divergence is that of two Gaussians with the batches' means and
    variances, an upper bound of what an attack that reads A can gain (our reading of the paper's bound). Gradients
    flow through the forget examples only: the held-out ones are where they are to go.

    Parameters
    ----------
    args : ReMIConfig
    shadow_features : ShadowFeatures, optional
        For the "inference" approximator; see `shadow_features_of_store` and `shadow_features_of_models`.
    heldout_dataset : TensorDataset
        Needed. Judge the result with other unseen examples than these, and with another attack than A.
    **others
        As in `UnlearningTrainer`.

    Attributes
    ----------
    membership_approximator : MembershipApproximator
        After `unlearn`; its ``validation_auc`` tells how much it knows.

    Notes
    -----
    A fingerprint of many features is fooled before anything is forgotten: within some steps the weights find a change
    that A reads as "not a member" while the loss says otherwise, and the guard stops there. In `recipes/unlearning`
    ``features=["loss"]`` with ``anchor="retain", partner_ratio=0.25`` (small shares of the forget set in passes over
    what is retained) comes far nearer to retraining than the defaults, which are the paper's parts.

    References
    ----------
    "Silver linings in the shadows: harnessing membership inference for machine unlearning" (arXiv 2407.00866). The
    weights, the size of A and the stopping rule are our defaults.
    """

    config_class: ClassVar[type[ReMIConfig]] = ReMIConfig
    unlearning_name: ClassVar[str] = "remi"
    needs_heldout: ClassVar[bool] = True
    tasks: ClassVar[tuple[str, ...]] = (*CLASSIFICATION, *LANGUAGE_MODELS)
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Silver Linings in the Shadows: Harnessing Membership Inference for Machine Unlearning",
        "id": "arXiv:2407.00866",
        "citation": "Nexhi Sula, Abhinav Kumar, Jie Hou, Han Wang and Reza Tourani. Silver Linings in the Shadows: "
        "Harnessing Membership Inference for Machine Unlearning. 2024.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "alpha": [0.1, 1.0, 10.0],
        "beta": [0.0, 0.1, 1.0],
        "num_train_epochs": [1, 5, 10],
    }

    args: ReMIConfig

    def __init__(self, *arguments: Any, shadow_features: ShadowFeatures | None = None, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        bare = extract_model_from_parallel(self.model, keep_torch_compile=False)
        self.args.features = self.args.features_for(
            has_classes=self.task.has_classes, has_base=isinstance(bare, PeftModel)
        )
        self._base_losses: dict[int, torch.Tensor] = {}
        needs_shadows = self.args.approximator == "inference"
        if needs_shadows != (shadow_features is not None):
            raise InputError(
                f"approximator is {self.args.approximator!r} and shadow_features "
                f"{'missing' if needs_shadows else 'given'}: pass them for 'inference', and only then"
            )
        if shadow_features is not None and list(shadow_features.names) != list(self.args.features or []):
            raise InputError(
                f"shadow_features were made of {', '.join(shadow_features.names)} and features are "
                f"{', '.join(self.args.features or [])}: make them of the same"
            )
        self.shadow_features = shadow_features
        if shadow_features is not None:
            # Trained before, and no part of what is measured here.
            self.timing["shadows"] += shadow_features.seconds
        if self.args.guard:
            self.add_callback(_Guard(self))

    @classmethod
    def arguments_of_references(
        cls,
        args: ReMIConfig,
        store: SignalStore | None,
        labels: np.ndarray,
        *,
        n_classes: int,
        dataset: TensorDataset | None = None,
        model: torch.nn.Module | None = None,
    ) -> dict[str, Any]:
        """The features of the "inference" approximator."""
        if args.approximator != "inference":
            return {}
        if store is None:
            raise InputError(
                "unlearning.training.approximator is 'inference' and there are no reference models: run `hf-privacy "
                "audit` first, or pass 'fingerprint', which needs none"
            )
        adapted = model is not None and isinstance(bare_model(model), PeftModel)
        features = args.features_for(has_classes=n_classes > 0, has_base=adapted and dataset is not None)
        base = None
        if "base_difference" in features:
            assert model is not None
            assert dataset is not None
            base = base_losses(model, dataset).numpy()
        found = shadow_features_of_store(store, labels, n_classes=n_classes, features=features, base_loss=base)
        return {"shadow_features": found}

    def prepare(self) -> None:
        """Fit the approximator."""
        features, membership, always = self._examples()
        self.membership_approximator = fit_approximator(
            features,
            membership,
            epochs=self.args.approximator_epochs,
            selection=self.args.neuron_selection,
            n_selected=self.args.n_neurons,
            always=always,
            seed=self.args.seed,
        ).to(self.args.device)

    def approximate(self, dataset: TensorDataset) -> torch.Tensor:
        """A's logits on a dataset, the model in evaluation mode: [N], on the CPU."""
        features = self._features_of(extract_model_from_parallel(self.model, keep_torch_compile=False), dataset)
        return self.membership_approximator(features.to(self.args.device)).cpu()

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """The three parts on one pair of batches, and a batch of held-out examples."""
        loss = self.mean_loss(model, retain)
        judged = self._judged(model, forget)
        loss = loss + self.args.alpha * F.binary_cross_entropy_with_logits(judged, torch.zeros_like(judged))
        if self.args.beta > 0 and len(judged) > 1:
            with torch.no_grad():
                unseen = self._judged(model, self._heldout_batch(len(judged)))
            loss = loss + self.args.beta * gaussian_kl(judged, unseen)
        return loss

    def _judged(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """A's logits on a batch, with gradients into the model."""
        features = self.args.features or []
        if not self.task.has_classes:
            scored = self.forward_without_labels(model, batch)
            base = self._base_loss(model, batch) if "base_difference" in features else None
            return self.membership_approximator(token_features(scored, features=features, base_loss=base))
        if "activations" not in features:
            logits = self.logits_of(model, batch)
            return self.membership_approximator(membership_features(logits, batch["labels"], features=features))
        with recorded_features(extract_model_from_parallel(model, keep_torch_compile=False)) as last:
            outputs = self.forward_without_labels(model, batch)["logits"]
            activations = last(outputs)
        seen = membership_features(outputs.float(), batch["labels"], features=features, activations=activations)
        return self.membership_approximator(seen)

    @torch.no_grad()
    def _base_loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """What the checkpoint before fine-tuning says of a batch: [B]."""
        bare = extract_model_from_parallel(model, keep_torch_compile=False)
        with evaluation_mode(bare), base_of(bare) as base:
            return self.task.example_losses(self.forward_without_labels(base, batch), batch)

    def _features_of(self, model: torch.nn.Module, dataset: TensorDataset) -> torch.Tensor:
        """Of a whole set, the model in evaluation mode; what the base says of it is asked for once."""
        features = self.args.features or []
        if self.task.has_classes:
            return dataset_features(model, dataset, features=features)
        if "base_difference" in features and id(dataset) not in self._base_losses:
            self._base_losses[id(dataset)] = base_losses(model, dataset)
        return dataset_token_features(model, dataset, features=features, base_loss=self._base_losses.get(id(dataset)))

    def _heldout_batch(self, size: int) -> Batch:
        """Held-out examples drawn for this step: the same on a resumed run."""
        step = (self.args.seed * 1_000_003 + self.state.global_step) * 1_009 + self.args.process_index
        rows = np.random.default_rng(step).choice(len(self.heldout_dataset), size=max(size, 2))
        return self._prepare_inputs(self.heldout_dataset.__getitems__(rows))

    def _examples(self) -> tuple[torch.Tensor, np.ndarray, int]:
        """Features, membership, and the number of columns that no selection drops."""
        if self.shadow_features is not None:
            features = self.shadow_features.features
            return features, self.shadow_features.membership, features.shape[1]
        model = self.accelerator.unwrap_model(self.model)
        # Activations last: the selection is among them alone.
        names = self.args.features = sorted(self.args.features or [], key=lambda name: name == "activations")
        sets = (self.forget_dataset, self.retain_dataset, self.heldout_dataset)
        rows = [self._features_of(model, dataset) for dataset in sets]
        membership = np.repeat([True, True, False], [len(dataset) for dataset in sets])
        others = [name for name in names if name != "activations"]
        n_classes = model.config.num_labels if self.task.has_classes else 0
        always = sum(n_classes if name in ("posteriors", "label") else 1 for name in others)
        return torch.cat(rows), membership, always
