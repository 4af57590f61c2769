"""How an audit is made: the settings of `hf_privacy.audit` and of a recipe's ``audit`` section."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hf_privacy.errors import InputError


@dataclass
class AuditSettings:
    """Settings of an audit.

    Parameters
    ----------
    depth : "quick" or "full"
        Without or with reference models.
    references : int
        K, the number of reference models of a full audit, at least 4.
    fraction : float
        Share of the pool each reference is trained on, in (0, 1).
    reference_seed : int
        Seed of the references' training sets and, with their numbers, of the models.
    targets : int
        Above 1: that many targets, the further ones taken from the references, for an interval over training runs.
    queries : list of str
        Query augmentations: "identity" and, for images, "flip".
    fprs : list of float
        False positive rates to report the true positive rate at.
    confidence : float
        Of every interval.
    lira_variance : "pooled", "per_example" or "shrunk"
        See `hf_privacy.attacks.lira`; pooled suits fewer than about 64 references.
    gamma : float
        RMIA's threshold on the likelihood ratio of a pair, above 0.
    batch_size : int
        Of the passes that collect signals.
    workers : int, optional
        Processes that `hf-privacy audit` trains references with, side by side; by default one for each core on CPU,
        and one on a GPU (a small model leaves room for more). From Python, see ``worker_pool`` of `hf_privacy.audit`.
    keep_weights : bool
        Keep the reference models' weights; their signals always stay.

    Examples
    --------
    >>> AuditSettings(depth="full", references=1).check()
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: references is 1: a full audit needs at least 4 reference models, so that each example
    is in two and out of two; raise it or use depth 'quick'
    """

    depth: str = "full"
    references: int = 16
    fraction: float = 0.5
    reference_seed: int = 0
    targets: int = 1
    queries: list = field(default_factory=lambda: ["identity"])
    fprs: list = field(default_factory=lambda: [0.001, 0.01, 0.1])
    confidence: float = 0.95
    lira_variance: str = "pooled"
    gamma: float = 1.0
    batch_size: int = 512
    workers: int | None = None
    keep_weights: bool = False

    def check(self) -> None:
        """Raise `InputError` for a setting that no audit can run with; needs neither data nor model."""
        if self.depth not in ("quick", "full"):
            raise InputError(f"depth is {self.depth!r}: pass 'quick' or 'full'")
        if self.lira_variance not in ("pooled", "per_example", "shrunk"):
            raise InputError(f"lira_variance is {self.lira_variance!r}: pass 'pooled', 'per_example' or 'shrunk'")
        # A variance needs two values a side, and references come in pairs that hold an example once.
        if self.depth == "full" and self.references < 4:
            raise InputError(
                f"references is {self.references}: a full audit needs at least 4 reference models, so that each "
                "example is in two and out of two; raise it or use depth 'quick'"
            )
        for name in ("fraction", "confidence"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: pass a number in (0, 1)")
        if not (math.isfinite(self.gamma) and self.gamma > 0):
            raise InputError(f"gamma is {self.gamma}: pass a number above 0")
        for fpr in self.fprs:
            if not isinstance(fpr, (int, float)) or not 0 < fpr < 1:
                raise InputError(f"fprs holds {fpr!r}: pass false positive rates in (0, 1)")
        for name in ("targets", "batch_size", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} is {value}: pass 1 or more")
        if self.targets > 1 and self.depth != "full":
            raise InputError(f"targets is {self.targets}: further targets are reference models; use depth 'full'")
        # Without complementary pairs an example's number of IN models would tell a target's membership.
        if self.targets > 1 and self.fraction != 0.5:
            raise InputError(f"targets is {self.targets} with fraction {self.fraction}: further targets need 0.5")
        # A target taken from the references loses itself and its complement; two pairs must remain.
        if self.targets > 1 and self.references < 6:
            raise InputError(f"targets is {self.targets} with {self.references} references: pass 6 references or more")
        if self.targets > self.references + 1:
            raise InputError(
                f"targets is {self.targets} with {self.references} references: at most {self.references + 1}, since "
                "further targets are taken from the references"
            )
        if not self.queries or any(query not in ("identity", "flip") for query in self.queries):
            raise InputError(f"queries is {self.queries}: pass 'identity', 'flip' or both")
