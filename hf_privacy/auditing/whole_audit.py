"""`audit`: measure what a trained model leaks about who was in its training set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import Any

import datasets
import torch

from hf_privacy.auditing.assemble import assemble_report
from hf_privacy.auditing.case import AuditCase, Provenance
from hf_privacy.auditing.examinations import EXAMINATIONS, examinations_of
from hf_privacy.auditing.replacing import refuse_weaker_audit
from hf_privacy.data import MembershipSplit, RepeatReport, TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings, CanarySettings
from hf_privacy.reports import PrivacyReport


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
    reference_engine: Callable[..., None] | None = None,
    references_dir: str | Path | None = None,
    replace_report: bool = False,
    show_progress: bool = True,
    **settings: Any,
) -> PrivacyReport:
    """Attack a trained model with the examples it was and was not trained on, and write the privacy report.

    Two depths. ``depth="quick"`` needs the model alone, and makes the attacks of `hf_privacy.attack_table.ATTACKS`
    that need no references; calibration by the checkpoint it was fine-tuned from where ``base_model`` is given.
    ``depth="full"`` also trains reference models with the target's own recipe and makes the others: LiRA and RMIA,
    online and offline, and so on. References are kept as signals in ``output_dir/private/references``: what is
    there is not trained again, and a store of another recipe is refused. Either depth takes ``extra_attacks``, and
    tries first to tell the split without the model. With ``canaries`` a second model of the recipe is trained, for
    a lower bound of ε (see `canary_audit`). With ``robustness`` target and references are attacked each through
    itself, for accuracy under attack and membership attacks on the adversarial inputs; with ``curvature`` the
    attacks that read the curvature of the loss are made too.

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
    reference_engine : callable, optional
        Trains the references in place of this process: `hf_privacy.references.RayEngine`.
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
    made_with, left_out = audit_settings(settings).as_made()
    case = AuditCase(
        target=trainer_or_model,
        dataset=dataset,
        split=split,
        settings=made_with,
        output_dir=Path(output_dir),
        references_dir=Path(references_dir or Path(output_dir) / "private" / "references"),
        recipe_trainer=trainer,
        base_model=base_model,
        input_column=input_column,
        label_column=label_column,
        known_repeats=repeats,
        provenance=provenance or Provenance(),
        worker_pool=worker_pool,
        reference_engine=reference_engine,
        show_progress=show_progress,
    )
    if left_out is not None:
        case.caveats.append(left_out)
    if case.settings.engine.name != "local" and reference_engine is None:
        raise InputError(
            f"engine.name is {case.settings.engine.name!r}: from Python pass reference_engine, such as "
            "hf_privacy.references.RayEngine; `hf-privacy audit` makes it from the recipe"
        )
    examinations = examinations_of(case.settings.examinations)
    if not replace_report:
        refuse_weaker_audit(case, examinations)
    case.check()
    for examination in examinations:
        examination.check(case)
    sections: dict[str, Any] = {}
    for examination in examinations:
        found = examination.run(case)
        if found is not None and examination.name in EXAMINATIONS:
            sections |= found
        elif found is not None:
            sections.setdefault("outside", {})[examination.name] = found
    report = assemble_report(case, sections)
    report.save(output_dir, replace_report=True)  # decided before the work, by the settings
    return report


def audit_settings(settings: Mapping[str, Any]) -> AuditSettings:
    """`AuditSettings` from keyword arguments; an unknown one is an `InputError`."""
    settings, known = CanarySettings.moved(settings), [f.name for f in fields(AuditSettings)]
    for name in settings:
        if name not in known:
            raise InputError(f"unknown setting {name!r} of audit: known are {', '.join(known)}")
    options = AuditSettings(**{name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()})
    options.check()
    return options
