"""`audit`: measure what a trained model leaks about who was in its training set."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch

from hf_privacy.auditing.assemble import Provenance, assemble_report
from hf_privacy.auditing.attack import attack_all
from hf_privacy.auditing.collect import RobustnessPass, with_references
from hf_privacy.auditing.examinations.blind_baseline import blind_baseline
from hf_privacy.auditing.examinations.canaries.result import CanaryResult, add_canaries
from hf_privacy.auditing.examinations.canaries.run import canary_audit
from hf_privacy.auditing.examinations.membership.vulnerability import save_vulnerability
from hf_privacy.auditing.examinations.robustness import robustness_section
from hf_privacy.auditing.extras import check_calibration, extra_signals
from hf_privacy.auditing.inputs import input_column_of, processor_of, resolve_model, to_tensors
from hf_privacy.auditing.replacing import refuse_weaker_audit
from hf_privacy.auditing.table import SignalTable
from hf_privacy.data import MembershipSplit, RepeatReport, TensorDataset, find_repeats
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import are_named, class_order, names_of
from hf_privacy.models.modes import placed_on
from hf_privacy.recipe import AuditSettings, RobustnessSettings, adversarial_inputs, curvature_settings
from hf_privacy.references import audit_references
from hf_privacy.reports import PrivacyReport
from hf_privacy.signals import ADVERSARIAL_QUERY, check_fit, compute_signals


def audit(
    trainer_or_model: PrivacyTrainer | torch.nn.Module | str | Path,
    dataset: TensorDataset | datasets.Dataset,
    split: MembershipSplit,
    *,
    output_dir: str | Path,
    trainer: PrivacyTrainer | None = None,
    base_model: torch.nn.Module | None = None,
    input_column: str | Sequence[str] | None = None,
    label_column: str = "label",
    repeats: RepeatReport | None = None,
    provenance: Provenance | None = None,
    worker_pool: AbstractContextManager | None = None,
    references_dir: str | Path | None = None,
    replace_report: bool = False,
    show_progress: bool = True,
    **settings: Any,
) -> PrivacyReport:
    """Attack a trained model with the examples it was and was not trained on, and write the privacy report.

    Two depths. ``depth="quick"`` needs the model alone: LOSS, confidence, entropy, modified entropy, Attack-P and,
    when ``base_model`` is given, calibration by the checkpoint it was fine-tuned from. ``depth="full"`` also trains
    reference models with the target's own recipe and runs LiRA and RMIA, online and offline, BASE, Attack-R, a
    shadow-trained classifier and modified entropy with thresholds per class. References are kept as signals in
    ``output_dir/private/references``: what is there is not trained again, and a store of another recipe is refused.
    Either depth takes ``extra_attacks``, and tries first to tell the split without the model. With ``canaries`` a
    second model of the recipe is trained, for a lower bound of ε (see `canary_audit`). With ``robustness`` target and
    references are attacked each through itself, for accuracy under attack and membership attacks on the adversarial
    inputs; with ``curvature`` the attacks that read the curvature of the loss are made too.

    Parameters
    ----------
    trainer_or_model : PrivacyTrainer, torch.nn.Module or path
        The target: a trainer after ``train()``, a model, or the folder of a saved model or adapter.
    dataset : TensorDataset or datasets.Dataset
        All rows that ``split`` counts. A `datasets.Dataset` is encoded with the target's own processor.
    split : MembershipSplit
        Which rows the target was trained on, which it was not, and (optionally) a population apart from both.
    output_dir : path
        Gets the report's files, and ``private/``, which is not for publication: the references' signals and how
        exposed each example is.
    trainer : PrivacyTrainer, optional
        For a full audit of a model or folder: a trainer with the recipe it was trained with (built with
        ``model_init``); it is not trained itself. The model is moved to its device, where the references are asked
        too.
    base_model : torch.nn.Module, optional
        The checkpoint before fine-tuning, when it has the same classes.
    input_column, label_column : str
        Of a `datasets.Dataset`; the input is found by its type when not named. Two columns of text are sentence
        pairs. Labels are matched to the model's classes by name, where both have names.
    repeats : RepeatReport, optional
        Repeats across the split, when already looked for; looked for in a `datasets.Dataset` otherwise.
    provenance : Provenance, optional
        What report and card call model and dataset, and what training the target took.
    worker_pool : context manager, optional
        Entered while references train: `hf_privacy.references.worker_processes`.
    references_dir : path, optional
        Where the references' signals are kept instead, so that targets of one recipe and pool share them.
    replace_report : bool
        Let this audit's report take the place of one in ``output_dir`` that says more of the same weights: that is of
        a greater depth, has more references, attacks, false-positive rates or confidence, or a section more.
    show_progress : bool
    **settings
        Fields of `AuditSettings`: ``depth``, ``references``, ``queries``, ``fprs`` and so on.

    Returns
    -------
    PrivacyReport
        Also saved to ``output_dir``.

    Raises
    ------
    InputError
        For a split of another dataset, an empty side of the split, fewer than 2 references, a stale store, a trainer
        that references cannot be made of, a deeper report in ``output_dir``, and so on; always before any training.
    """
    options = audit_settings(settings)
    model, folder = resolve_model(trainer_or_model, trainer)
    if not replace_report:
        refuse_weaker_audit(output_dir, model, folder, options)
    recipe_trainer = trainer_or_model if isinstance(trainer_or_model, PrivacyTrainer) else trainer
    if recipe_trainer is not None and folder is not None:
        recipe_trainer.privacy_spent_by(folder)  # a ledger that is missing or none is found before any training
    if isinstance(dataset, datasets.Dataset):
        split.check(dataset)
        if repeats is None:
            column = input_column or input_column_of(dataset, label_column)
            repeats = find_repeats(dataset, split=split, column=column)
    class_names = _class_names(model, recipe_trainer)
    tensors = to_tensors(
        dataset, trainer_or_model, model, input_column=input_column, label_column=label_column, classes=class_names
    )
    if base_model is not None:
        _check_base_classes(base_model, class_names)
    for asked in (model, base_model):
        if asked is not None:
            check_fit(asked, tensors)
    if len(tensors) != split.n_examples:
        raise InputError(
            f"the split is of a dataset with {split.n_examples:,} rows and dataset has {len(tensors):,}: pass the "
            "dataset the split was drawn from"
        )
    if isinstance(trainer_or_model, PrivacyTrainer) and len(trainer_or_model.train_dataset) < len(split.members):
        raise InputError(
            f"the trainer was trained on {len(trainer_or_model.train_dataset):,} examples and the split has "
            f"{len(split.members):,} members: pass a split whose members are all among them"
        )
    references_dir = Path(references_dir or Path(output_dir) / "private" / "references")
    if "quantile_regression" in options.extra_attacks:
        check_calibration(len(split.population), len(split.non_members))
    attack = adversarial_inputs(
        options,
        model if recipe_trainer is None else recipe_trainer.model,
        processor_of(trainer_or_model, recipe_trainer) if "pixel_values" in tensors.column_names else None,
        tensors,
    )
    run = None
    if options.depth == "full":
        run = audit_references(
            _required(recipe_trainer), tensors, split, references_dir, options=options, adversarial=attack
        )
    canaries = _canary_audit(recipe_trainer, tensors, split, output_dir, options, show_progress)

    evaluated = tensors.subset(np.concatenate([split.pool, split.population]))
    started = time.perf_counter()
    pass_settings = {"batch_size": options.batch_size, "queries": options.queries}
    target = compute_signals(
        model, evaluated, **pass_settings, curvature=curvature_settings(options), progress=show_progress
    )
    base = None
    if base_model is not None:
        with placed_on(base_model, next(model.parameters()).device):
            base = compute_signals(base_model, evaluated, **pass_settings)
    table = SignalTable(
        target=target,
        membership=split.membership,
        labels=evaluated.column("labels").numpy(),
        extras=_extras(model, evaluated, options, show_progress),
    )
    blind = None
    if options.blind_baseline:
        blind = blind_baseline(tensors, split, confidence=options.confidence)
    cost = {"signals_seconds": time.perf_counter() - started, "references_seconds": None}
    attacked = adversarial = None
    if attack is not None:
        attacked = RobustnessPass(attack, evaluated, options, show_progress)
        adversarial = attacked.adversarial_table(model, table)
    if run is not None:
        run.train(
            batch_size=options.batch_size,
            keep_weights=options.keep_weights,
            workers=worker_pool,
            show_progress=show_progress,
        )
        infos = [run.store.info(number) for number in range(run.plan.n_models)]
        cost["references_seconds"] = sum(info["training_seconds"] + info["signal_seconds"] for info in infos)
        table = with_references(table, run, queries=options.queries)
        if adversarial is not None:
            adversarial = with_references(adversarial, run, queries=[ADVERSARIAL_QUERY])

    def extras_of(number: int) -> dict[str, np.ndarray]:
        kept = None if run is None or not options.extra_attacks else run.kept_model(number)
        return {} if kept is None else _extras(kept.to(next(model.parameters()).device), evaluated, options, False)

    started = time.perf_counter()
    there = None
    if adversarial is not None and RobustnessSettings.from_dict(options.robustness or {}).membership:
        there = adversarial
    findings = attack_all(
        table,
        base,
        options,
        class_names=class_names,
        extras_of=extras_of,
        adversarial=there,
    )
    cost["attacks_seconds"] = time.perf_counter() - started
    robustness = None
    if attacked is not None and adversarial is not None:
        models = attacked.attacked_models(model, table, adversarial, run)
        robustness = robustness_section(
            models,
            attack=attacked.attack,
            options=options,
            seconds=attacked.seconds,
            membership_attacks=findings.adversarial,
        )
    report = assemble_report(
        table,
        findings,
        options=options,
        trainer=recipe_trainer,
        model=model,
        folder=folder,
        split=split,
        repeats=repeats,
        run=run,
        blind=blind,
        robustness=robustness,
        provenance=provenance or Provenance(),
        cost=cost,
    )
    if canaries is not None:
        add_canaries(report, canaries)
    save_vulnerability(Path(output_dir) / "private", split, findings)
    report.save(output_dir, replace_report=True)  # decided before the work, by the settings
    return report


def audit_settings(settings: Mapping[str, Any]) -> AuditSettings:
    """`AuditSettings` from keyword arguments; an unknown one is an `InputError`."""
    known = [f.name for f in fields(AuditSettings)]
    for name in settings:
        if name not in known:
            raise InputError(f"unknown setting {name!r} of audit: known are {', '.join(known)}")
    options = AuditSettings(**{name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()})
    options.check()
    return options


def _class_names(model: torch.nn.Module, trainer: PrivacyTrainer | None) -> list[str]:
    """What the model calls its classes; an adapter's folder does not say, the trainer of its recipe does."""
    names = names_of(model.config)
    if trainer is not None and not are_named(names):
        theirs = names_of(trainer.accelerator.unwrap_model(trainer.model).config)
        names = theirs if len(theirs) == len(names) else names
    return names


def _check_base_classes(base: torch.nn.Module, names: list[str]) -> None:
    if getattr(base, "config", None) is None:
        return
    theirs = names_of(base.config)
    if len(theirs) != len(names) or (
        are_named(theirs) and are_named(names) and class_order(theirs, names) != list(range(len(names)))
    ):
        raise InputError(
            f"base_model has the classes {', '.join(theirs[:4])} and the target {', '.join(names[:4])}: pass the "
            "checkpoint loaded with the target's names, hf_privacy.models.load_base_classifier(…, id2label=…)"
        )


def _required(trainer: PrivacyTrainer | None) -> PrivacyTrainer:
    if trainer is None:
        raise InputError(
            "a full audit of a saved model needs trainer: a PrivacyTrainer with the recipe the model was trained "
            "with, so that reference models mirror it; or use depth='quick'"
        )
    return trainer


def _canary_audit(
    trainer: PrivacyTrainer | None,
    tensors: TensorDataset,
    split: MembershipSplit,
    output_dir: str | Path,
    options: AuditSettings,
    show_progress: bool,
) -> CanaryResult | None:
    if not options.canaries:
        return None
    if trainer is None:
        raise InputError(
            "an audit of a saved model with canaries needs trainer: a PrivacyTrainer with the recipe the model was "
            "trained with, since a second model is trained with the canaries"
        )
    return canary_audit(
        trainer,
        tensors,
        split,
        output_dir=output_dir,
        n_canaries=options.canaries,
        n_guesses=options.canary_guesses,
        delta=options.delta,
        confidence=options.confidence,
        kind=options.canary_kind,
        queries=options.queries,
        batch_size=options.batch_size,
        seed=options.reference_seed,
        show_progress=show_progress,
    )


def _extras(
    model: torch.nn.Module, dataset: TensorDataset, options: AuditSettings, progress: bool
) -> dict[str, np.ndarray]:
    return extra_signals(
        model, dataset, attacks=options.extra_attacks, batch_size=options.batch_size, progress=progress
    )
