"""One audit's case: what is audited, and everything the examinations read, each made once and on first need."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from peft import PeftModel

from hf_privacy.adversarial import AdversarialInputs
from hf_privacy.auditing.attack import Findings, attack_all
from hf_privacy.auditing.early_stop import stop_when_still
from hf_privacy.auditing.extras import extra_signals
from hf_privacy.auditing.inputs import (
    Target,
    check_base_classes,
    class_names_of,
    input_columns_of,
    processor_of,
    resolve_model,
    to_tensors,
    tokenizer_of,
)
from hf_privacy.auditing.rewritten import rewritten_losses
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.tokens import TokenTable
from hf_privacy.data import MembershipSplit, RepeatReport, TensorDataset, find_repeats
from hf_privacy.data.near_texts import OVERLAP
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import bare_model, base_of
from hf_privacy.models.modes import placed_on
from hf_privacy.recipe import AuditSettings, adversarial_inputs, curvature_settings
from hf_privacy.references import ReferenceRun, audit_references
from hf_privacy.signals import ADVERSARIAL_QUERY, TokenSignals, check_fit, compute_signals, signals_and_tokens
from hf_privacy.tasks import Task, task_of


@dataclass(frozen=True)
class Provenance:
    """What report and card call the model and its data; local paths are cut to their last part.

    Attributes
    ----------
    model_name, base_model, base_revision : str, optional
    dataset_name : str
    dataset_revision : str, optional
    training_seconds : float, optional
        What training the target took.
    caveats : tuple of str
        Sentences a reader of this particular audit must know.
    budget : dict, optional
        What may leak, as `hf_privacy.hub.budget_record` writes it.
    levels : dict, optional
        Where the verdict's levels begin, as `hf_privacy.hub.levels_record` writes it.
    """

    model_name: str | None = None
    base_model: str | None = None
    base_revision: str | None = None
    dataset_name: str = "local dataset"
    dataset_revision: str | None = None
    training_seconds: float | None = None
    caveats: tuple[str, ...] = ()
    budget: dict[str, Any] | None = None
    levels: dict[str, Any] | None = None


@dataclass(kw_only=True, eq=False)
class AuditCase:
    """What an examination is given; the attributes are those of `hf_privacy.audit`'s arguments, and what follows.

    Attributes
    ----------
    target : PrivacyTrainer, torch.nn.Module or path
    dataset : TensorDataset or datasets.Dataset
    split : MembershipSplit
    settings : AuditSettings
    output_dir, references_dir : Path
    recipe_trainer : PrivacyTrainer, optional
        The argument ``trainer``; see the property `trainer`.
    base_model, input_column, label_column, known_repeats, provenance, worker_pool, reference_engine, show_progress
    seconds : dict of str to float
        Of "signals", "adversarial", "references" and "attacks"; see `timed`.
    caveats : list of str
        Of the report: an examination adds what a reader must know.

    Properties, each made on first need: `model`, `folder`, `trainer`, `guarantee`, `repeats`, `classes`, `data` (all
    rows as tensors), `evaluated` (the pool, then the population), `attack`, `references`, `table`,
    `adversarial_table` and `findings`. An examination's ``check`` may read those up to `references`,
    none of which trains anything.
    """

    target: Target
    dataset: TensorDataset | datasets.Dataset
    split: MembershipSplit
    settings: AuditSettings
    output_dir: Path
    references_dir: Path
    recipe_trainer: PrivacyTrainer | None = None
    base_model: torch.nn.Module | None = None
    input_column: str | Sequence[str] | None = None
    label_column: str = "label"
    known_repeats: RepeatReport | None = None
    provenance: Provenance = field(default_factory=Provenance)
    worker_pool: AbstractContextManager | None = None
    reference_engine: Callable[..., None] | None = None
    show_progress: bool = True
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float), init=False)
    caveats: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """The reader's caveats begin with those of the provenance."""
        self.caveats = list(self.provenance.caveats)

    def check(self) -> None:
        """Refuse model, data and split that do not go together, before anything is trained.

        Raises
        ------
        InputError
        """
        if self.trainer is not None and self.folder is not None:
            _ = self.guarantee  # a ledger that is missing or none is found before any training
        if isinstance(self.dataset, datasets.Dataset):
            self.split.check(self.dataset)
            _ = self.repeats
        if not self.task.has_classes:
            self.settings.check_task(self.task.name)
        _ = self.data
        if self.base_model is not None and self.task.has_classes:
            check_base_classes(self.base_model, self.classes)
        for asked in (self.model, self.base_model):
            if asked is not None:
                check_fit(asked, self.data)
        if len(self.data) != self.split.n_examples:
            raise InputError(
                f"the split is of a dataset with {self.split.n_examples:,} rows and dataset has {len(self.data):,}: "
                "pass the dataset the split was drawn from"
            )
        if isinstance(self.target, PrivacyTrainer) and len(self.target.train_dataset) < len(self.split.members):
            raise InputError(
                f"the trainer was trained on {len(self.target.train_dataset):,} examples and the split has "
                f"{len(self.split.members):,} members: pass a split whose members are all among them"
            )

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Count what the block takes to ``seconds[name]``."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    # ---- before any training ----

    @cached_property
    def _resolved(self) -> tuple[torch.nn.Module, Path | None]:
        return resolve_model(self.target, self.recipe_trainer)

    @property
    def model(self) -> torch.nn.Module:
        """The target in memory."""
        return self._resolved[0]

    @property
    def folder(self) -> Path | None:
        """Where the target is saved, if it came as a folder."""
        return self._resolved[1]

    @property
    def trainer(self) -> PrivacyTrainer | None:
        """The trainer of the target's recipe: the target itself, or the one it came with."""
        return self.target if isinstance(self.target, PrivacyTrainer) else self.recipe_trainer

    @cached_property
    def guarantee(self) -> dict[str, Any] | None:
        """What the saved model itself spent; of a model in memory, what its trainer did."""
        if self.trainer is None:
            return None
        return self.trainer.privacy_spent() if self.folder is None else self.trainer.privacy_spent_by(self.folder)

    @cached_property
    def repeats(self) -> RepeatReport | None:
        """Repeats across the split; None where tensors alone are there to look at."""
        if self.known_repeats is not None or not isinstance(self.dataset, datasets.Dataset):
            return self.known_repeats
        columns = input_columns_of(self.dataset, self.task, self.input_column, self.label_column)
        overlap = None if self.task.has_classes else OVERLAP
        return find_repeats(self.dataset, split=self.split, column=columns, overlap=overlap)

    @cached_property
    def task(self) -> Task:
        """What an example is, told by the model."""
        return task_of(self.model)

    @cached_property
    def classes(self) -> list[str]:
        """What the model calls its classes, by label; none of a task without classes."""
        return class_names_of(self.model, self.trainer) if self.task.has_classes else []

    @cached_property
    def data(self) -> TensorDataset:
        """Every row that the split counts, as the model takes it."""
        return to_tensors(
            self.dataset,
            self.target,
            self.model,
            input_column=self.input_column,
            label_column=self.label_column,
            classes=self.classes,
            trainer=self.trainer,
        )

    @cached_property
    def evaluated(self) -> TensorDataset:
        """The pool, then the population: the columns of the tables."""
        return self.data.subset(np.concatenate([self.split.pool, self.split.population]))

    @cached_property
    def attack(self) -> AdversarialInputs | None:
        """The attack on inputs that the settings ask for, the same for target and references."""
        return adversarial_inputs(
            self.settings,
            self.model if self.trainer is None else self.trainer.model,
            processor_of(self.target, self.trainer) if "pixel_values" in self.data.column_names else None,
            self.data,
        )

    @cached_property
    def references(self) -> ReferenceRun | None:
        """The plan of a full audit's references and the store they go to; they are trained for `table`.

        Raises
        ------
        InputError
            For a saved model without the trainer of its recipe, or as `hf_privacy.references.reference_run`.
        """
        if self.settings.depth != "full":
            return None
        if self.trainer is None:
            raise InputError(
                "a full audit of a saved model needs trainer: a PrivacyTrainer with the recipe the model was trained "
                "with, so that reference models mirror it; or use depth='quick'"
            )
        return audit_references(
            self.trainer,
            self.data,
            self.split,
            self.references_dir,
            options=self.settings,
            adversarial=self.attack,
        )

    # ---- what is measured ----

    @property
    def table(self) -> SignalTable:
        """The target's signals on the clean queries, and at full depth those of its references, trained by now."""
        return self._tables[0]

    @property
    def adversarial_table(self) -> SignalTable | None:
        """The same on the adversarial query, every model attacked through itself; None where it is not asked for."""
        return self._tables[1]

    @cached_property
    def _tables(self) -> tuple[SignalTable, SignalTable | None]:
        """The target's passes first, then the references and what the store holds of them."""
        settings = {"batch_size": self.settings.batch_size, "progress": self.show_progress}
        with self.timed("signals"):
            target, tokens = signals_and_tokens(
                self.model,
                self.evaluated,
                queries=self.settings.queries,
                curvature=curvature_settings(self.settings),
                **settings,
            )
            base, base_tokens = self._base_signals()
            clean = SignalTable(
                target=target,
                base=base,
                membership=self.split.membership,
                labels=self.evaluated.row_classes,
                groups=self.split.pool_groups,
                extras=self._extras(self.model, progress=self.show_progress),
                tokens=None
                if tokens is None
                else TokenTable(tokens.offsets, tokens, base_tokens, texts=self.evaluated.texts),
            )
        adversarial = None
        if self.attack is not None:
            with self.timed("adversarial"):
                target = compute_signals(
                    self.model, self.evaluated, queries=(ADVERSARIAL_QUERY,), adversarial=self.attack, **settings
                )
            adversarial = SignalTable(
                target=target, membership=clean.membership, labels=clean.labels, groups=clean.groups
            )
        if self.references is None:
            return clean, adversarial
        if self.settings.stop_when_still is None:
            self._train_references(self.references)
        else:
            stopped = stop_when_still(
                clean, self.references, self._train_references, settings=self.settings, with_references=with_references
            )
            self.references = self.references.first(stopped.n_references)
            self.settings = replace(self.settings, references=stopped.n_references)
            self.caveats.append(stopped.sentence)
        mixed = self.references.mixed()
        if mixed is not None:
            self.caveats.append(mixed)
        infos = [self.references.store.info(number) for number in range(self.references.plan.n_models)]
        self.seconds["references"] += sum(info["training_seconds"] + info["signal_seconds"] for info in infos)
        clean = with_references(clean, self.references, queries=self.settings.queries)
        if adversarial is not None:
            adversarial = with_references(adversarial, self.references, queries=[ADVERSARIAL_QUERY])
        return clean, adversarial

    def _train_references(self, run: ReferenceRun) -> None:
        """Return when every model of the run is in its store."""
        how = {
            "batch_size": self.settings.batch_size,
            "keep_weights": self.settings.keep_weights,
            "show_progress": self.show_progress,
        }
        if self.reference_engine is None:
            run.train(workers=self.worker_pool, **how)
        else:
            self.reference_engine(run, **how)

    def _base_signals(self) -> tuple[dict[str, np.ndarray] | None, TokenSignals | None]:
        """Signals of the checkpoint before fine-tuning, where there is one: of a language model, its adapter off."""
        passes = {"batch_size": self.settings.batch_size, "queries": self.settings.queries}
        if not self.task.has_classes:  # the base's is what the links between curvature and memorization stand beside
            passes["curvature"] = curvature_settings(self.settings)
        with self.base() as base:
            return (None, None) if base is None else signals_and_tokens(base, self.evaluated, **passes)

    @contextmanager
    def base(self) -> Iterator[torch.nn.Module | None]:
        """Inside, the checkpoint before fine-tuning, on the target's device; None where there is none.

        Of an adapted language model it is the target itself with its adapter off.
        """
        if self.base_model is not None:
            with placed_on(self.base_model, next(self.model.parameters()).device):
                yield self.base_model
        elif self.task.has_classes or not isinstance(bare_model(self.model), PeftModel):
            yield None
        else:
            with base_of(self.model) as base:
                yield base

    @cached_property
    def findings(self) -> Findings:
        """What every attack found on the tables."""
        clean, adversarial = self._tables
        with self.timed("attacks"):
            there = adversarial if self.settings.attacks_adversarial_inputs else None
            return attack_all(clean, self.settings, adversarial=there, both_sides=self.both_sides)

    @property
    def both_sides(self) -> bool:
        """Whether attacks are read from both sides: of a language model that is known to be defended.

        A defence that lifts the loss of what a model has by heart may leave members less likely than others.
        """
        defended = self.trainer is not None and self.trainer.describe_defense()["name"] != "none"
        return defended and not self.task.has_classes

    def extras_of(self, number: int) -> dict[str, np.ndarray]:
        """The extra signals of a reference by its number; empty where its weights were not kept."""
        if self.references is None or (self.task.has_classes and not self.settings.extra_attacks):
            return {}
        kept = self.references.kept_model(number)
        return {} if kept is None else self._extras(kept.to(next(self.model.parameters()).device), progress=False)

    def _extras(self, model: torch.nn.Module, *, progress: bool) -> dict[str, np.ndarray]:
        if not self.task.has_classes:
            return rewritten_losses(
                model,
                self.evaluated,
                len(self.split.pool),
                tokenizer_of(self.target, self.trainer),
                batch_size=self.settings.batch_size,
                show_progress=progress,
            )
        return extra_signals(
            model,
            self.evaluated,
            attacks=self.settings.extra_attacks,
            batch_size=self.settings.batch_size,
            progress=progress,
        )


def with_references(table: SignalTable, run: ReferenceRun, *, queries: Sequence[str]) -> SignalTable:
    """The table with what the store holds of the references, on the named queries alone.

    A store holds the adversarial query beside the clean ones; a table is of either.
    """
    tokens = table.tokens
    if tokens is not None:
        numbers = range(run.plan.n_models)
        tokens = replace(tokens, reference_tokens=[run.store.tokens(number, tokens.offsets) for number in numbers])
    return replace(
        table,
        tokens=tokens,
        references={name: np.stack([run.store.read(name, query=query) for query in queries]) for name in table.target},
        reference_membership=run.store.membership(),
    )
