"""CWRF: put the weights that hold most of what leaks back to where they began, freeze them, train the rest again."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import TensorDataset, collate_batch, tensors_digest
from hf_privacy.defenses.critical_weights.checks import attributes_of_checkpoint, check_run
from hf_privacy.defenses.critical_weights.files import INITIAL, MASK, RunFiles, initial_state_of
from hf_privacy.defenses.critical_weights.ranking import ranking_of
from hf_privacy.defenses.critical_weights.scores import ShuffledBatches, count_by_kind, score_weights
from hf_privacy.defenses.critical_weights.settings import CriticalWeightSettings
from hf_privacy.errors import InputError
from hf_privacy.tasks import TASKS
from hf_privacy.weights import FrozenWeights, mask_digest, rewind, select, zero

REPORT_FILE = "critical_weights.json"


class CriticalWeightRewindError(RuntimeError):
    """Training ended, and the critical weights are not where they were to be."""


class CriticalWeightRewindCallback(TrainerCallback, ExportableState):
    """Critical weight rewinding and fine-tuning (CWRF), on top of any defence trainer of this package.

    The run has two phases in one ``train()``. First the trainer trains as its arguments say. Then, before the next
    step, the weights are scored, the top ``fraction`` of them goes back to its value from before training and is
    frozen (bit for bit, under any optimizer, weight decay or noise), the optimizer starts without memory, and the same
    trainer fine-tunes the rest with the same loss. The learning rate begins again at its initial value, without
    warm-up, and falls to zero by a cosine. Epochs are counted on: a loss that goes by their number
    does so still, and a DP ledger holds the steps of both phases, which its noise is calibrated for.

    The value from before training is what the model has when training begins: the pretrained checkpoint of a
    fine-tune, LoRA's adapter as it was attached. Biases stay out of the ranking by default, and buffers (running
    means) are no weights: neither is rewound or frozen.

    Of a causal language model, embeddings and head stay out as well, and both terms of the score are means over a
    row's scored tokens. Its LoRA adapter is ranked and rewound by rank-1 components: the column of B goes back to
    zero and the row of A to its first draw, by which the component is gone, and no further one comes in its place
    (``edit="zero"`` gives the same function). What the initial model says is then what the base says.

    A killed run resumes in either phase to the same weights. Each checkpoint of the first phase therefore holds the
    initial weights as well, and each of the second the mask, in a folder "critical_weights".

    Cost: the fine-tuning takes as long again as the training (by default), and the scores, in passes over the members
    forth and back, ``pve_epochs`` for them and a little more for reference data (the initial model looks at it too),
    and one for the entanglement report. Memory: the initial weights once on the CPU, and while scoring two copies of
    what is trained (an adapter's base is shared) and two scores a weight.

    Parameters
    ----------
    reference_dataset : TensorDataset, optional
        Data the model is not trained on, in the columns of the training set: neither members, nor the audit's
        non-members. In a recipe, and for reference models: the population. Needed by the privacy-vulnerability score.
    **settings
        ``fraction``, ``score``, ``edit``, ``train``, ``num_train_epochs``, ``scope``, ``kinds``, ``biases``, ``head``,
        ``unit``, ``entanglement``, ``seed``, and of the privacy-vulnerability score ``pve_weight``, ``pve_epochs``,
        ``pve_learning_rate``, ``pve_start``, ``temperature``: see `CriticalWeightSettings`.

    Attributes
    ----------
    entanglement_ : dict of float, or None
        Pearson correlation of the privacy-vulnerability and the learnability score, by kind of layer and over "all".
    rewound_ : dict, or None
        By kind of layer, how many weights or components were ``marked``, and ``of`` how many.
    unit_ : {"weight", "component"}, or None
        Which of both; known from the check before training on.

    Raises
    ------
    InputError
        For settings out of range at once. When training begins: without a reference dataset where the score needs
        one; a fraction that is less than one weight; no layers of these kinds; on a trainer that does not plan two
        phases (a stock one, or this callback added later with ``add_callback``); with ``load_best_model_at_end``,
        whose best model may be one from before the rewind, ``auto_find_batch_size``,
        ``restore_callback_states_from_checkpoint``, a scheduler that has no closed form, or sharded weights; on
        resuming a checkpoint of another run, other settings or lengths, or one whose initial weights are lost.
    CriticalWeightRewindError
        When training ends before the rewind (something stopped it), or a frozen weight has moved.

    References
    ----------
    Fang and Kim, "Learnability and privacy vulnerability are entangled in a few critical weights", ICLR 2026 (arXiv
    2603.13186). Where the paper says nothing the
    defaults are ours: KL(initial ‖ current), its temperature, λ, the scored copy's optimizer, biases left out, and
    E. The learnability score of the entanglement report is summed over one pass with the trained weights standing
    still, not over the iterations of training.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(16, 4), "labels": torch.tensor([0, 1] * 8)})
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2))
    >>> before = model.classifier.weight.detach().clone()
    >>> cwrf = CriticalWeightRewindCallback(reference_dataset=data.subset(range(8, 16)), fraction=0.25)
    >>> arguments = {"num_train_epochs": 2, "use_cpu": True, "save_strategy": "no", "logging_strategy": "no"}
    >>> trainer = PrivacyTrainer(
    ...     model,
    ...     PrivacyConfig(tempfile.mkdtemp(), **arguments, disable_tqdm=True, report_to="none"),
    ...     train_dataset=data.subset(range(8)),
    ...     callbacks=[cwrf],
    ... )
    >>> trainer.train().global_step  # two epochs of training, two of fine-tuning; doctest: +ELLIPSIS
    {...
    4
    >>> cwrf.rewound_
    {'linear': {'marked': 12, 'of': 48}}
    >>> trainer.describe_defense()["name"]
    'cwrf'
    """

    tasks: ClassVar[tuple[str, ...]] = tuple(TASKS)
    paper: ClassVar[dict[str, str]] = {
        "title": "Learnability and Privacy Vulnerability are Entangled in a Few Critical Weights",
        "id": "arXiv:2603.13186",
        "citation": "Xingli Fang and Jung-Eun Kim. Learnability and Privacy Vulnerability are Entangled in a Few "
        "Critical Weights. ICLR 2026.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {
        "score": "privacy_vulnerability",
        "edit": "rewind",
        "train": "rest",
        "scope": "global",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "fraction": [0.001, 0.005, 0.01, 0.02, 0.05],
        "pve_weight": [0.1, 0.5, 0.9],
        "pve_epochs": [1, 2, 5, 10],
    }

    def __init__(
        self,
        *,
        reference_dataset: TensorDataset | None = None,
        **settings: Any,
    ) -> None:
        self.settings = CriticalWeightSettings(**settings)
        if reference_dataset is not None and not isinstance(reference_dataset, TensorDataset):
            raise InputError(f"reference_dataset is {type(reference_dataset).__name__}: pass a TensorDataset")
        self.reference_dataset = reference_dataset
        # Part of the recipe's hash, as every plain attribute of a callback is.
        reference = None if reference_dataset is None else reference_dataset.digest()
        self.settings_sha256 = self.settings.sha256(reference=reference)
        self._forget()

    def __deepcopy__(self, memo: dict) -> CriticalWeightRewindCallback:
        # As it was before training, for a reference model; the rows are shared.
        return type(self)(reference_dataset=self.reference_dataset, **asdict(self.settings))

    def _forget(self) -> None:
        self.first_steps: int | None = None
        self.second_steps: int | None = None
        self.unit_: str | None = None
        self.entanglement_: dict[str, float | None] | None = None
        self.rewound_: dict[str, dict[str, int]] | None = None
        self._initial: dict[str, torch.Tensor] | None = None
        self._frozen: FrozenWeights | None = None
        self._digests: dict[str, str | None] = {"initial_sha256": None, "mask_sha256": None, "values_sha256": None}

    # ---- what the trainer asks before it begins ----

    def second_phase_steps(self, first_steps: int, steps_per_epoch: int) -> int:
        """Optimizer steps of the fine-tuning after so many of training."""
        return self.settings.second_steps(first_steps, steps_per_epoch)

    def on_phases_planned(self, first_steps: int, second_steps: int) -> None:
        """Take note of the lengths of both phases; what an earlier training left is forgotten."""
        if first_steps < 1:
            raise InputError("the training has no step: critical weights are those of a trained model")
        self._forget()
        self.first_steps, self.second_steps = first_steps, second_steps

    def check_run(self, args, model, dataset) -> None:
        """Refuse arguments, data and models that the rewind cannot be done with."""
        self.unit_ = check_run(self.settings, args, model, dataset, self.reference_dataset).unit

    @property
    def unaccounted(self) -> str | None:
        """Why no guarantee of differential privacy holds beside the score; None where it does not look at members."""
        if not self.settings.reads_members:
            return None
        return (
            f"the {self.settings.score} score looks at members without noise, so no ε is given; the scores 'random' "
            "and 'magnitude' keep the guarantee, and so does 'privacy_vulnerability' with pve_weight=1 and "
            "entanglement=False"
        )

    def describe_defense(self, host: dict[str, Any]) -> dict[str, Any]:
        """The report's ``defense`` of a trainer with this callback, from that of the trainer alone.

        Examples
        --------
        >>> cwrf = CriticalWeightRewindCallback(score="magnitude", fraction=0.05)
        >>> cwrf.describe_defense({"name": "ccl", "parameters": {"alpha": 1.0}, "paper": None})["name"]
        'ccl+cwrf'
        """
        settings = {name: value for name, value in asdict(self.settings).items() if value is not None}
        if not self.settings.needs_reference:
            for name in ("pve_weight", "pve_epochs", "pve_learning_rate", "pve_start", "temperature", "entanglement"):
                del settings[name]
        settings["kinds"] = " ".join(self.settings.kinds)
        if self.unit_ == "component":  # by default, too
            settings["unit"] = self.unit_
        papers = [paper for paper in (host["paper"], self.paper) if paper is not None]
        return {
            "name": "cwrf" if host["name"] == "none" else f"{host['name']}+cwrf",
            "parameters": {**host["parameters"], **{f"cwrf_{name}": value for name, value in settings.items()}},
            "paper": {key: "; ".join(paper[key] for paper in papers) for key in ("title", "id")},
        }

    def state(self) -> dict[str, Any]:
        """What each checkpoint's trainer state says of the rewind."""
        attributes = {
            "settings_sha256": self.settings_sha256,
            "first_steps": self.first_steps,
            "second_steps": self.second_steps,
            "entanglement_": self.entanglement_,
            "rewound_": self.rewound_,
        }
        return {"args": {}, "attributes": {**attributes, **self._digests}}

    # ---- the two phases ----

    def on_train_begin(self, args, state, control, *, model, train_dataloader, **kwargs) -> None:
        if self.first_steps is None:
            raise InputError(
                "the trainer has not planned a fine-tuning: pass CriticalWeightRewindCallback in callbacks= of a "
                "PrivacyTrainer or another defence's, not to add_callback"
            )
        self.check_run(args, model, train_dataloader.dataset)
        files, step = RunFiles(args.output_dir), state.global_step
        if step == 0:
            self._initial = initial_state_of(model)
            self._digests["initial_sha256"] = tensors_digest(self._initial)
            if _writes_checkpoints(args) and state.is_world_process_zero:
                files.save_initial(self._initial)
            return
        before = attributes_of_checkpoint(state, type(self).__name__, self.state()["attributes"])
        self._digests = {name: before[name] for name in self._digests}
        self.entanglement_, self.rewound_ = before["entanglement_"], before["rewound_"]
        if step <= self.first_steps:
            self._initial = files.load_initial(step, before["initial_sha256"])
            if state.is_world_process_zero:
                files.save_initial(self._initial)
        elif step < self.first_steps + self.second_steps:
            mask = files.load_mask(step, before["mask_sha256"])
            self._frozen = FrozenWeights(model, self._frozen_mask(model, mask))
            if self._frozen.values_sha256 != before["values_sha256"]:
                raise InputError(
                    f"the frozen weights of the checkpoint at step {step} are not those that were rewound: resume "
                    "from another one"
                )
            if state.is_world_process_zero:
                files.save_mask(mask)

    def on_step_begin(self, args, state, control, *, model, optimizer, train_dataloader, **kwargs) -> None:
        # Not at the end of the step before: a checkpoint or an evaluation there is of the trained model.
        if state.global_step == self.first_steps and self._frozen is None:
            self._rewind(args, state, model, train_dataloader)
            optimizer.state.clear()

    def on_pre_optimizer_step(self, args, state, control, **kwargs) -> None:
        if self._frozen is not None:
            self._frozen.zero_gradients()

    def on_optimizer_step(self, args, state, control, *, optimizer, **kwargs) -> None:
        if self._frozen is not None:
            self._frozen.restore()
            self._frozen.clear_state(optimizer)

    def on_save(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            name = INITIAL if self._frozen is None else MASK
            RunFiles(args.output_dir).put_into_checkpoint(state.global_step, name)

    def on_train_end(self, args, state, control, **kwargs) -> None:
        if state.global_step <= self.first_steps:
            raise CriticalWeightRewindError(
                f"training was stopped at step {state.global_step} of {self.first_steps}, before the critical weights "
                "were rewound: train without what stopped it (early stopping, a budget too small for both phases)"
            )
        if self._frozen is not None:
            moved = self._frozen.moved()
            if moved:
                raise CriticalWeightRewindError(
                    f"rewound weights of {', '.join(moved[:3])} have moved: another callback writes to them"
                )
        if state.is_world_process_zero:
            RunFiles(args.output_dir).remove()
            # Reference models log nothing, and leave nothing.
            if getattr(args.logging_strategy, "value", args.logging_strategy) != "no":
                Path(args.output_dir).mkdir(parents=True, exist_ok=True)
                write_atomically(
                    Path(args.output_dir) / REPORT_FILE, (json.dumps(self.summary(), indent=2) + "\n").encode()
                )

    def summary(self) -> dict[str, Any]:
        """What was done, in aggregates: settings, steps of both phases, weights by kind, entanglement."""
        return {
            "settings": {**asdict(self.settings), "kinds": list(self.settings.kinds)},
            "training_steps": self.first_steps,
            "fine_tuning_steps": self.second_steps,
            "unit": self.unit_,
            "weights": self.rewound_,
            "entanglement": self.entanglement_,
        }

    def _rewind(self, args, state, model, train_dataloader) -> None:
        settings = self.settings
        seed = args.seed if settings.seed is None else settings.seed
        shuffled = {"batch_size": args.train_batch_size, "seed": seed}
        ranking = ranking_of(settings, model)
        scores, self.entanglement_ = score_weights(
            settings,
            ranking,
            model,
            self._initial,
            ShuffledBatches(train_dataloader.dataset, train_dataloader.collate_fn, **shuffled),
            ShuffledBatches(self.reference_dataset, collate_batch, **shuffled) if settings.needs_reference else None,
            seed=seed,
            show_progress=not args.disable_tqdm and state.is_world_process_zero,
        )
        selected = _of_first_process(select(scores, fraction=settings.fraction, scope=settings.scope))
        mask = ranking.mask(model, selected)
        if settings.edit == "zero":
            zero(model, mask)
        else:
            rewind(model, mask, self._initial)
        self._initial = None
        self.rewound_ = count_by_kind(model, selected)
        self._frozen = FrozenWeights(model, self._frozen_mask(model, mask))
        saved = {name: selected.cpu() for name, selected in mask.items()}
        self._digests["mask_sha256"] = mask_digest(saved)
        self._digests["values_sha256"] = self._frozen.values_sha256
        if _writes_checkpoints(args) and state.is_world_process_zero:
            RunFiles(args.output_dir).save_mask(saved)
        entry = {"critical_weights": sum(count["marked"] for count in self.rewound_.values())}
        for kind, correlation in (self.entanglement_ or {}).items():
            entry[f"entanglement_{kind}"] = correlation
        state.log_history.append({**entry, "epoch": state.epoch, "step": state.global_step})

    def _frozen_mask(self, model: torch.nn.Module, mask: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What stands still: the critical weights, or all but these."""
        if self.settings.train == "rest":
            return mask
        return {
            name: ~mask[name].to(parameter.device) if name in mask else torch.ones_like(parameter, dtype=torch.bool)
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }


def _writes_checkpoints(args) -> bool:
    return getattr(args.save_strategy, "value", args.save_strategy) != "no"


def _of_first_process(mask: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The first process's mask on all: sums over an accelerator need not be equal to the last bit."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return mask
    shared = {}
    for name, selected in mask.items():
        sent = selected.to(torch.uint8)
        torch.distributed.broadcast(sent, src=0)
        shared[name] = sent.bool()
    return shared
