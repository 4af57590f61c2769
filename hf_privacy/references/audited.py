"""The references that an audit's settings ask for: the same in the audit's process and in its workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.recipe import AuditSettings, adversarial_inputs, curvature_settings
from hf_privacy.references.collect import ReferenceRun, reference_run

if TYPE_CHECKING:
    from hf_privacy.adversarial import AdversarialInputs


def audit_references(
    trainer: PrivacyTrainer,
    dataset: TensorDataset,
    split: MembershipSplit,
    folder: str | Path,
    *,
    options: AuditSettings,
    adversarial: AdversarialInputs | None = None,
) -> ReferenceRun:
    """`reference_run` with an audit's settings: number and plan, queries, attack and curvature.

    Parameters
    ----------
    trainer : PrivacyTrainer
    dataset : TensorDataset
    split : MembershipSplit
    folder : path
        Of the store.
    options : AuditSettings
    adversarial : AdversarialInputs, optional
        The attack, where it is made already; by default made of the settings and the trainer's model and processor.

    Raises
    ------
    InputError
        As `reference_run` and `hf_privacy.recipe.adversarial_inputs`.
    """
    if adversarial is None:
        adversarial = adversarial_inputs(options, trainer.model, trainer.processing_class, dataset)
    return reference_run(
        trainer,
        dataset,
        split,
        folder,
        n_models=options.references,
        fraction=options.fraction,
        seed=options.reference_seed,
        queries=options.queries,
        adversarial=adversarial,
        curvature=curvature_settings(options),
        stack=options.stack,
    )
