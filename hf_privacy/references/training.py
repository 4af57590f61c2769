"""One reference's training: by the lean loop where it knows all of the recipe, else as the target was trained."""

from __future__ import annotations

from pathlib import Path

from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.defenses.base.lean_loop import why_not_lean
from hf_privacy.said_once import warn_once


def train_clone(clone: PrivacyTrainer, *, resume_from_checkpoint: str | Path | None = None) -> None:
    """Train a reference to the weights that ``clone.train()`` gives it, in the cheapest way that is known to.

    What keeps it from the lean loop is said once in a process, in a warning.

    Parameters
    ----------
    clone : PrivacyTrainer
        As `reference_trainer` makes it.
    resume_from_checkpoint : path, optional
        Of a training that was cut off, by either way.

    Raises
    ------
    InputError
        As ``clone.train``.
    """
    reason = why_not_lean(clone)
    if reason is None:
        clone.train_lean(resume_from_checkpoint=resume_from_checkpoint)
        return
    warn_once(f"references are trained by the Trainer's own loop, which is slower, since {reason}", stacklevel=3)
    clone.train(resume_from_checkpoint=resume_from_checkpoint)
