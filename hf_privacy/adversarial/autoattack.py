"""AutoAttack and its parts, through `pyautoattack`: the attack whose settings nobody has to tune."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hf_privacy.adversarial.input_space import Inputs, PixelSpace
from hf_privacy.adversarial.outside import (
    logits_model,
    missing_extra,
    outside_points,
    seeded_generators,
    space_facts,
)
from hf_privacy.adversarial.pgd import PGD
from hf_privacy.arguments import check_choice, check_seed, check_whole, seen
from hf_privacy.errors import InputError

VERSIONS = {
    "standard": ("apgd-ce", "apgd-t", "fab-t", "square"),
    "plus": ("apgd-ce", "apgd-dlr", "fab", "square", "apgd-t", "fab-t"),
    "rand": ("apgd-ce", "apgd-dlr"),
    "apgd": ("apgd-ce", "apgd-t"),
}
_ATTACKS = VERSIONS["plus"]
_NORMS = {"linf": "Linf", "l2": "L2"}
# The DLR loss divides by the gap between the first and third largest logit, its targeted form by one that also holds
# the fourth.
_LEAST_CLASSES = {"apgd-dlr": 3, "apgd-t": 4}


@dataclass(frozen=True)
class AutoAttack:
    """AutoAttack, or some of its attacks; called as ``attack(model, inputs, labels)`` it gives adversarial inputs.

    The attacks run one after another, each on the examples that all before it left correctly classified. Examples
    that are misclassified already are left as they are.

    Parameters
    ----------
    space : PixelSpace
        AutoAttack moves images alone.
    epsilon : float
        Radius for pixels in 0..1, such as ``8/255``; 0 leaves the images as they are.
    norm : {"linf", "l2"}
    version : {"standard", "plus", "rand", "apgd"}
        ``"standard"`` is the one to report: APGD on the cross-entropy, targeted APGD on the DLR loss, targeted FAB,
        Square. ``"plus"`` adds restarts and the untargeted forms; ``"rand"``, for models that answer at random, is
        APGD with gradients averaged over 20 draws; ``"apgd"`` is the gradient half of the standard one: nearly as
        strong on models whose gradients are not masked, and several times cheaper.
    attacks : sequence of str, optional
        These alone, in this order, each as in the standard version, in place of `version`: ``"apgd-ce"``,
        ``"apgd-dlr"``, ``"apgd-t"``, ``"fab"``, ``"fab-t"``, ``"square"``.
    n_queries : int
        Steps of Square on each example. 5000 is AutoAttack's; fewer are cheaper and weaker.
    seed : int
        The library draws once for a whole batch, so an example's point depends on the batch it stands in (that of
        `hf_privacy.adversarial.AdversarialInputs` does not).

    Raises
    ------
    InputError
        Without `pyautoattack`, for a space without pixels, a version or attack that does not exist, or an epsilon that
        is negative or in units of 0..255.

    References
    ----------
    Croce and Hein, 2020, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
    attacks" (arXiv 2003.01690). Two departures, where the library fails: targets are at most the C − 1 other classes;
    with fewer classes than a DLR loss needs, a version takes APGD on the untargeted DLR loss in place of the targeted
    (C = 3) or leaves both out (C = 2).

    Examples
    --------
    >>> attack = AutoAttack(PixelSpace((0.5,), (0.5,)), 8 / 255)  # doctest: +SKIP
    >>> attack.attacks_on(3)  # doctest: +SKIP
    ('apgd-ce', 'apgd-dlr', 'fab-t', 'square')
    """

    space: PixelSpace
    epsilon: float
    norm: str = "linf"
    version: str = "standard"
    attacks: Sequence[str] | None = None
    n_queries: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.space, PixelSpace):
            kind = type(self.space).__name__
            raise InputError(f"space is {kind}: AutoAttack moves pixels alone, use PGD for other inputs")
        PGD(self.epsilon, norm=self.norm).check_space(self.space)
        check_choice("version", self.version, VERSIONS)
        if self.attacks is not None:
            listed = isinstance(self.attacks, (list, tuple)) and all(name in _ATTACKS for name in self.attacks)
            if not listed or not self.attacks:
                raise InputError(f"attacks is {seen(self.attacks)}: pass a list of some of {', '.join(_ATTACKS)}")
            if self.version != "standard":
                raise InputError(f"attacks is {self.attacks!r} and version {self.version!r}: pass one of them")
            object.__setattr__(self, "attacks", tuple(self.attacks))
        check_whole("n_queries", self.n_queries, at_least=1)
        check_seed(self.seed)
        _library()

    def attacks_on(self, n_classes: int) -> tuple[str, ...]:
        """The attacks that run on a model of so many classes.

        Raises
        ------
        InputError
            When an attack asked for by name needs more classes.
        """
        if self.attacks is not None:
            for name in self.attacks:
                if n_classes < _LEAST_CLASSES.get(name, 2):
                    raise InputError(
                        f"attacks has {name!r} and the model {n_classes} classes: its loss needs "
                        f"{_LEAST_CLASSES[name]}; leave it out"
                    )
            return tuple(self.attacks)
        usable = []
        for name in VERSIONS[self.version]:
            if name == "apgd-t" and n_classes == 3:
                name = "apgd-dlr"
            if n_classes >= _LEAST_CLASSES.get(name, 2) and name not in usable:
                usable.append(name)
        return tuple(usable)

    def points(self, model: nn.Module, inputs: Inputs, labels: torch.Tensor) -> torch.Tensor:
        """Adversarial pixels float32 [B, C, H, W] in [0, 1], detached; as they were where no attack succeeded.

        The model is afterwards as it was (modes, gradients, precision), and so are torch's global generators.

        Raises
        ------
        InputError
            For images that are no pixels, other inputs beside them, labels that do not fit, or logits that are not
            finite.
        """
        with torch.inference_mode(False), torch.no_grad():
            clean = outside_points(model, inputs, self.space)
            labels = labels.to(clean.device)
            if self.epsilon == 0 or len(clean) == 0:
                return clean
            with logits_model(model, self.space) as network, seeded_generators(self.seed), _silence(), torch.no_grad():
                return self._run(network, clean.clone(), labels.clone())

    def _run(self, network: nn.Module, clean: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        # In place of the library's run_standard_evaluation: that one traces calls (and so ends any debugger's or
        # coverage's own tracing), and its checks of the model speak to a log.
        logits = network(clean)
        n_classes = logits.shape[1]
        _check(logits, labels)
        attacks = self.attacks_on(n_classes)
        if "square" in attacks and self.norm == "l2" and min(clean.shape[2:]) < 5:
            raise InputError(
                f"images are {clean.shape[2]} × {clean.shape[3]} pixels: Square under L2 needs 5 × 5; pass attacks "
                "without 'square'"
            )
        library = _library().AutoAttack(
            network,
            device=clean.device,
            eps=float(self.epsilon),
            norm=_NORMS[self.norm],
            seed=self.seed,
            version="standard" if self.version == "apgd" else self.version,
        )
        library.square.n_queries = self.n_queries
        for targeted in (library.apgd_targeted, library.fab):
            targeted.n_target_classes = min(targeted.n_target_classes, n_classes - 1)
        found = clean.clone()
        remaining = (logits.argmax(dim=1) == labels).nonzero().flatten()
        for name in attacks:
            if len(remaining) == 0:
                break
            moved = _perturb(library, name, clean[remaining], labels[remaining])
            fooled = network(moved).argmax(dim=1) != labels[remaining]
            found[remaining[fooled]] = moved[fooled]
            remaining = remaining[~fooled]
        return found

    def __call__(self, model: nn.Module, inputs: Inputs, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """What to call the model with: the inputs with the adversarial pixels in place."""
        return self.space.inputs(self.points(model, inputs, labels), inputs)

    def describe(self) -> dict[str, Any]:
        """The settings as plain values, for reports and hashes."""
        return {
            "name": "autoattack",
            "version": "custom" if self.attacks is not None else self.version,
            "attacks": list(VERSIONS[self.version] if self.attacks is None else self.attacks),
            "epsilon": float(self.epsilon),
            "norm": self.norm,
            "n_queries": self.n_queries,
            "space": space_facts(self.space),
            "seed": self.seed,
        }


def autoattack(
    model: nn.Module,
    inputs: Inputs,
    labels: torch.Tensor,
    *,
    space: PixelSpace,
    epsilon: float,
    norm: str = "linf",
    version: str = "standard",
    attacks: Sequence[str] | None = None,
    n_queries: int = 5000,
    seed: int = 0,
) -> torch.Tensor:
    """Adversarial pixels of one batch by :class:`AutoAttack`, whose arguments these are.

    Parameters
    ----------
    model : torch.nn.Module
        Returns an output with ``logits`` [B, C]; transformers, timm, LoRA.
    inputs : mapping of str to tensor
        With ``pixel_values`` [B, C, H, W] as the model takes them.
    labels : integer tensor [B]
    space, epsilon, norm, version, attacks, n_queries, seed
        As in :class:`AutoAttack`.

    Returns
    -------
    float32 tensor [B, C, H, W]
        Pixels in [0, 1].

    Raises
    ------
    InputError
        As :class:`AutoAttack` and its ``points``.
    """
    settings = AutoAttack(space, epsilon, norm, version, attacks, n_queries, seed)
    return settings.points(model, inputs, labels)


def _perturb(library: Any, name: str, points: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    if name in ("apgd-ce", "apgd-dlr"):
        library.apgd.loss = name.removeprefix("apgd-")
        return library.apgd.perturb(points, labels)
    if name == "apgd-t":
        return library.apgd_targeted.perturb(points, labels)
    if name == "square":
        return library.square.perturb(points, labels)
    library.fab.targeted = name == "fab-t"
    return library.fab.perturb(points, labels)


def _library() -> Any:
    try:
        import pyautoattack
    except ImportError as error:
        raise missing_extra("AutoAttack", "pyautoattack", error) from None
    return pyautoattack


@contextmanager
def _silence() -> Iterator[None]:
    """Nothing on standard error from the library's log, which warns of every batch with a point without gradient."""
    logger = logging.getLogger("auto-attack")
    disabled = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = disabled


def _check(logits: torch.Tensor, labels: torch.Tensor) -> None:
    if labels.shape != logits.shape[:1] or not 0 <= int(labels.min()) <= int(labels.max()) < logits.shape[1]:
        raise InputError(
            f"labels has shape {list(labels.shape)} and goes from {int(labels.min())} to {int(labels.max())}: pass "
            f"one class number below {logits.shape[1]} for each of {logits.shape[0]} images"
        )
    if not bool(torch.isfinite(logits).all()):
        raise InputError("logits has NaN or infinite values: the model has diverged, load other weights")
