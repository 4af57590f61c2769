"""How an audit is made: the settings of `hf_privacy.audit` and of a recipe's ``audit`` section."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hf_privacy.arguments import (
    check_choice,
    check_number,
    check_numbers,
    check_seed,
    check_switch,
    check_whole,
    is_choice,
    seen,
)
from hf_privacy.attack_table import EXTRA_ATTACKS
from hf_privacy.errors import InputError
from hf_privacy.gate_fields import DEPTHS
from hf_privacy.outside import is_outside, load_outside
from hf_privacy.recipe.canary_settings import CanarySettings, canary_kind
from hf_privacy.recipe.engine_settings import EngineSettings
from hf_privacy.recipe.extraction_settings import ExtractionSettings
from hf_privacy.recipe.robustness_settings import RobustnessSettings
from hf_privacy.tasks import task_named

QUERIES = ("identity", "flip")
LIRA_VARIANCES = ("auto", "pooled", "per_example", "shrunk", "global")
MOST = 10_000_000  # of models, rows or vectors: more is a slip of the pen


@dataclass
class AuditSettings:
    """Settings of an audit.

    Parameters
    ----------
    depth : "quick" or "full"
        Without or with reference models.
    references : int
        K, the number of reference models of a full audit, at least 2; an even number trains each example into as
        many as it leaves it out of. With 2, LiRA has one value a side and takes one variance for all examples.
    fraction : float
        Share of the pool each reference is trained on, in (0, 1).
    reference_seed : int
        Seed of the references' training sets and, with their numbers, of the models.
    targets : int
        Above 1: that many targets, the further ones taken from the references, for an interval over training runs. A
        quick audit has one.
    queries : list of str
        Query augmentations: "identity" and, for images, "flip".
    fprs : list of float
        False positive rates to report the true positive rate at.
    confidence : float
        Level of every interval, in (0, 1).
    lira_variance : "auto", "pooled", "per_example", "shrunk" or "global"
        Whose variance LiRA takes, see `hf_privacy.attacks.lira`. Auto is pooled, which suits fewer than about 64
        references, and global for 2.
    gamma : float
        RMIA's threshold on the likelihood ratio of a pair, above 0.
    extra_attacks : list of str
        Attacks that ask the model more: "quantile_regression" (on its features), "label_only" (augmented queries),
        "boundary_distance" (slow; needs the extra ``robust``). References serve as targets of these only where their
        weights are kept. Also functions of your own, each by ``module:name``: see `hf_privacy.auditing.SignalTable`.
        The three are attacks on classifiers. Of a language model all attacks are always made, also those that take
        a further pass of the target: lowercase, and ReCaLL behind ten rows of the population (not without one).
    budgets : list of int
        Numbers of references, even and at most ``references``: every attack is made again with that many, as a mean
        over the targets. Not in a quick audit.
    blind_baseline : bool
        Also try to tell members from non-members without the model; a split that can be told apart so makes every
        attack look strong.
    class_slices : bool
        Leakage of the strongest attack for each class.
    robustness : dict, optional
        Accuracy under attack of target and references, and membership attacks on adversarial inputs: a mapping of
        `RobustnessSettings`, such as ``{"epsilon": 0.0314, "autoattack": true}``.
    curvature : int
        Above 0: the curvature of the loss in the inputs, with that many random vectors (10 is usual), and the attacks
        that read it; each costs about two gradient passes, for every query and model. Of a language model the inputs
        are the embeddings of a row's scored tokens.
    extraction : dict or bool, optional
        Whether a causal language model gives the rest of its rows back: a mapping of `ExtractionSettings`, such as
        ``{"prefix_tokens": 32}``; by default made with their defaults, False for none. Not for models with classes.
    canaries : CanarySettings, dict or int
        Canaries for a lower bound of ε, such as ``{"n": 64, "kind": "random"}``; a number alone is ``n``, and 0 none.
    examinations : list of str
        Examinations of your own, each by ``module:Name``: see `hf_privacy.auditing.Examination`.
    batch_size : int
        Examples in a batch of the passes that collect signals.
    workers : int, optional
        Processes that `hf-privacy audit` trains references with, side by side; by default one for each core on CPU,
        and one on a GPU (a small model leaves room for more). From Python, see ``worker_pool`` of `hf_privacy.audit`.
    stack : int, optional
        LoRA references of one base that a process trains side by side, to the same weights up to rounding; by default
        up to 8, as many as memory holds and the other processes leave, and 1 for one after another.
    keep_weights : bool
        Keep the reference models' weights; their signals always stay.
    engine : EngineSettings or dict
        Where references are trained: ``{"name": "ray", "gpus": 0.25}`` makes them tasks of a Ray cluster.
    stop_when_still : float, optional
        Train no more references once they tell nothing new: ``references`` is then the most. After 4, 8, 16, … of
        them the AUC of online LiRA is looked at, and training stops where both ends of its interval lie within this
        distance of where they lay at the look before. The report says how many there are, and why.

    Examples
    --------
    >>> AuditSettings(depth="full", references=1).check()
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: references is 1: a full audit needs at least 2 reference models, so that each example
    is in one and out of one; raise it or use depth 'quick'
    """

    depth: str = field(default="full", metadata={"choices": DEPTHS})
    references: int = 16
    fraction: float = 0.5
    reference_seed: int = 0
    targets: int = 1
    queries: list = field(default_factory=lambda: ["identity"], metadata={"each": QUERIES})
    fprs: list = field(default_factory=lambda: [0.001, 0.01, 0.1])
    confidence: float = 0.95
    lira_variance: str = field(default="auto", metadata={"choices": LIRA_VARIANCES})
    gamma: float = 1.0
    extra_attacks: list = field(default_factory=list, metadata={"each": tuple(EXTRA_ATTACKS), "outside": True})
    budgets: list = field(default_factory=list)
    blind_baseline: bool = True
    class_slices: bool = field(default=True, metadata={"for": "classes"})
    robustness: dict | None = field(
        default=None,
        metadata={"for": "classes", "keys": "hf_privacy.recipe.robustness_settings:RobustnessSettings"},
    )
    curvature: int = 0
    extraction: dict | bool | None = field(
        default=None,
        metadata={"for": "language", "keys": "hf_privacy.recipe.extraction_settings:ExtractionSettings"},
    )
    canaries: CanarySettings = field(default_factory=CanarySettings, metadata={"also": (int,)})
    examinations: list = field(default_factory=list)
    batch_size: int = 512
    workers: int | None = None
    stack: int | None = None
    keep_weights: bool = False
    engine: EngineSettings = field(default_factory=EngineSettings)
    stop_when_still: float | None = None

    def __post_init__(self) -> None:
        """Take a mapping or a number for the section of canaries."""
        self.canaries = CanarySettings.of(self.canaries)
        self.engine = EngineSettings.of(self.engine)

    @property
    def sections(self) -> frozenset[str]:
        """Of the parts of a report that are made on request alone, those that are asked for."""
        asked = {
            "targets": self.targets > 1,
            "robustness": self.robustness,
            "canaries": self.canaries.n,
            "extraction": self.extraction is not False,
        }
        return frozenset(name for name, made in asked.items() if made)

    @property
    def attacks_adversarial_inputs(self) -> bool:
        """Whether membership attacks are made on adversarial inputs too."""
        return self.robustness is not None and RobustnessSettings.from_dict(self.robustness).membership

    def as_made(self) -> tuple[AuditSettings, str | None]:
        """The settings that an audit of this depth goes by, and a sentence on what a quick one leaves out of them.

        Examples
        --------
        >>> settings, left_out = AuditSettings(depth="quick", targets=5).as_made()
        >>> settings.targets, left_out
        (1, 'A quick audit has no reference models: it is made on one target in place of 5.')
        """
        if self.depth == "full":
            return self, None
        own = [name for name in self.extra_attacks if _needs_references(name)]
        left = [f"on one target in place of {self.targets}"] if self.targets > 1 else []
        left += ["without budgets"] if self.budgets else []
        left += [f"without {name}" for name in own]
        kept = [name for name in self.extra_attacks if name not in own]
        made = replace(self, targets=1, budgets=[], extra_attacks=kept, stop_when_still=None, engine=EngineSettings())
        return made, f"A quick audit has no reference models: it is made {', '.join(left)}." if left else None

    def check(self) -> None:
        """Raise `InputError` for a setting that no audit can run with; needs neither data nor model."""
        check_choice("depth", self.depth, DEPTHS)
        if not is_choice(self.lira_variance, LIRA_VARIANCES):
            raise InputError(f"lira_variance is {seen(self.lira_variance)}: pass one of {', '.join(LIRA_VARIANCES)}")
        check_whole("references", self.references, at_least=0, at_most=MOST)
        check_seed(self.reference_seed, name="reference_seed")
        if self.depth == "full" and self.references < 2:
            raise InputError(
                f"references is {self.references}: a full audit needs at least 2 reference models, so that each "
                "example is in one and out of one; raise it or use depth 'quick'"
            )
        # References come in pairs that hold an example once; a variance of its own needs two values a side.
        if self.depth == "full" and self.references < 4 and self.lira_variance not in ("auto", "global"):
            raise InputError(
                f"lira_variance is {self.lira_variance!r} with {self.references} references: fewer than 4 leave an "
                "example one value a side; raise references or pass 'global'"
            )
        for name in self.extra_attacks:
            if isinstance(name, str) and is_outside(name):
                self._check_outside_attack(name)
            elif name not in EXTRA_ATTACKS:
                raise InputError(
                    f"extra_attacks holds {name!r}: pass any of {', '.join(EXTRA_ATTACKS)}, or a function of your own "
                    "(my_package.module:my_attack)"
                )
        self._check_budgets()
        self.canaries.check()
        self.engine.check()
        self._check_stop()
        for name in self.examinations:
            if not isinstance(name, str) or not is_outside(name):
                raise InputError(
                    f"examinations holds {seen(name)}: pass module:Name of one of your own; the package's are asked "
                    "for by their settings"
                )
            load_outside(name, argument="examinations")
        if self.robustness is not None:
            RobustnessSettings.from_dict(self.robustness)
        if self.extraction is not False:
            ExtractionSettings.of(self.extraction)
        check_whole("curvature", self.curvature, at_least=0, at_most=MOST)
        for name in ("fraction", "confidence"):
            check_number(name, getattr(self, name), 0.0, 1.0, low_open=True, high_open=True)
        check_number("gamma", self.gamma, 0.0, low_open=True)
        # Without a rate a report would say nothing of the tail, where privacy is lost, and a gate could ask for none.
        check_numbers("fprs", self.fprs, 0.0, 1.0, low_open=True, high_open=True, such_as="0.01")
        for name in ("targets", "batch_size", "workers", "stack"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), at_least=1, at_most=MOST)
        for name in ("blind_baseline", "class_slices", "keep_weights"):
            check_switch(name, getattr(self, name))
        if self.depth == "full":
            self._check_targets()
        known = all(query in QUERIES for query in self.queries)
        if not self.queries or not known or len(set(self.queries)) != len(self.queries):
            raise InputError(f"queries is {self.queries}: pass 'identity', 'flip' or both")

    def check_task(self, task: str) -> None:
        """Raise `InputError` for a setting that does not go with a recipe's task."""
        if self.robustness is not None:
            RobustnessSettings.from_dict(self.robustness).check_task(task)
        canary_kind(self.canaries.kind, has_classes=task_named(task).has_classes)
        if self.extraction not in (None, False) and task_named(task).has_classes:
            raise InputError(
                f"extraction is {seen(self.extraction)} and the task is {task}: only causal language models are asked "
                "for the rest of a text; leave it out"
            )
        about_classes = {
            "robustness": self.robustness is not None,
            "extra_attacks": any(not is_outside(name) for name in self.extra_attacks),
        }
        asked = [name for name, is_asked in about_classes.items() if is_asked]
        if asked and not task_named(task).has_classes:
            raise InputError(
                f"{asked[0]} is {seen(getattr(self, asked[0]))} and the task is {task}: only models that tell classes "
                "apart are asked for it; leave it out"
            )
        if set(self.queries) - set(task_named(task).queries):
            raise InputError(f"queries is {self.queries} and the task is {task}: only images are flipped")

    def _check_targets(self) -> None:
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

    def _check_outside_attack(self, name: str) -> None:
        attack = load_outside(name, argument="extra_attacks")
        if not callable(attack):
            raise InputError(f"extra_attacks holds {name!r}, which is no function: pass one that takes a SignalTable")
        title = getattr(attack, "title", name)
        if not isinstance(title, str) or not 0 < len(title) <= 200:
            raise InputError(f"the title of attack {name!r} is {seen(title)}: pass a few words")

    def _check_stop(self) -> None:
        if self.stop_when_still is None:
            return
        check_number("stop_when_still", self.stop_when_still, 0.0, 1.0, low_open=True, high_open=True)
        if self.depth == "quick":
            return
        if self.fraction != 0.5:
            raise InputError(
                f"stop_when_still is {self.stop_when_still} with fraction {self.fraction}: it needs reference models "
                "that come in complementary halves, fraction 0.5"
            )
        if self.budgets or self.targets > 1:
            raise InputError(
                f"stop_when_still is {self.stop_when_still} with targets {self.targets} and budgets {self.budgets}: "
                "further targets and budgets ask for a number of references that is known beforehand; leave one out"
            )

    def _check_budgets(self) -> None:
        for budget in self.budgets:
            if check_whole("an entry of budgets", budget) < 2 or budget % 2:
                raise InputError(f"budgets holds {budget!r}: pass even numbers of references, such as 2, 4, 8 and 16")
        if not self.budgets or self.depth == "quick":
            return
        if self.targets < 2:
            raise InputError(f"budgets are {self.budgets} with targets {self.targets}: pass at least 2 targets")
        # A target taken from the references loses itself and its complement.
        most = self.references - 2
        if max(self.budgets) > most:
            raise InputError(
                f"budgets hold {max(self.budgets)} with {self.references} references: at most {most}, since further "
                "targets are references and leave out their pair"
            )


def _needs_references(name: str) -> bool:
    """Whether an extra attack, by its name, is one of a user's own that reads reference models."""
    return is_outside(name) and getattr(load_outside(name, argument="extra_attacks"), "needs_references", False)
