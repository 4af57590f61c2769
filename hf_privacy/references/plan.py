"""Which example is in the training set of which reference model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hf_privacy.arguments import LARGEST_SEED, check_number, check_seed, check_switch, check_whole
from hf_privacy.arrays import label_array, whole_array
from hf_privacy.data.groups import class_of_groups
from hf_privacy.errors import InputError


@dataclass(frozen=True)
class ReferencePlan:
    """The training sets of K reference models over the N examples of the pool.

    Attributes
    ----------
    membership : bool array of shape [K, N]
        True where example n is in the training set of model k.
    fraction : float
        Share of the pool each model is trained on.
    seed : int
        What the plan was drawn with; the models' own seeds derive from it.
    """

    membership: np.ndarray
    fraction: float
    seed: int

    @property
    def n_models(self) -> int:
        """Number of reference models, K."""
        return int(self.membership.shape[0])

    @property
    def n_examples(self) -> int:
        """Number of examples in the pool, N."""
        return int(self.membership.shape[1])

    def training_indices(self, model: int) -> np.ndarray:
        """Positions in the pool that model ``model`` is trained on, int64, sorted."""
        return np.flatnonzero(self.membership[model])

    def model_seed(self, model: int) -> int:
        """The seed of model ``model``: a function of the plan's seed and the model's number alone."""
        return int(np.random.SeedSequence([self.seed, model]).generate_state(1)[0]) % 2**31


def plan_references(
    labels: np.ndarray | None,
    *,
    n_models: int,
    fraction: float = 0.5,
    seed: int = 0,
    stratify: bool = True,
    groups: np.ndarray | None = None,
) -> ReferencePlan:
    """Draw the training sets of the reference models.

    With ``fraction`` one half, models come in complementary pairs (2j, 2j + 1): a random half of the pool and the
    other half. Every example is then IN for exactly half of the models, and, when a reference model is itself attacked
    by the others, leaving out its pair leaves a design that is balanced for every example and independent of the
    attacked model's training set. (Leaving out one model of any exactly balanced design would tell an example's
    membership by its number of IN models.)

    With another fraction each example is IN for ``fraction * n_models`` models, rounded up or down at random.

    Of groups, whole ones are IN or OUT, as in the target's training set, and the halves are halves of the groups.

    Parameters
    ----------
    labels : int array of shape [N], or None
        Class of each example of the pool, for the stratified draw; None where examples have no class, and then
        ``groups`` say how many they are (``np.arange(N)`` where each is its own).
    n_models : int
        K, at least 2.
    fraction : float
        Share of the pool in each training set, in (0, 1); each example must be IN and OUT at least once.
    seed : int
    stratify : bool
        Keep the classes' shares in every training set (up to one example, or group, a class); for ``fraction`` one
        half, and groups that are of one class each.
    groups : int array of shape [N], optional
        Group of each example of the pool.

    Returns
    -------
    ReferencePlan

    Raises
    ------
    InputError
        If fewer than two models are asked for, examples would be IN (or OUT) for none, or labels and groups are both
        missing or of different lengths.

    References
    ----------
    Carlini et al., "Membership Inference Attacks From First Principles", 2022, section V.

    Examples
    --------
    >>> plan = plan_references(np.array([0, 0, 1, 1]), n_models=4)
    >>> plan.membership.sum(axis=0)
    array([2, 2, 2, 2])
    """
    if labels is None and groups is None:
        raise InputError("labels and groups are both None: pass one of them for each example of the pool")
    labels = np.zeros(len(groups), dtype=np.int64) if labels is None else label_array("labels", labels)
    if labels.ndim != 1:
        raise InputError(f"labels has shape {labels.shape}: pass one class per example")
    groups = np.arange(len(labels)) if groups is None else whole_array("groups", groups)
    if groups.shape != labels.shape:
        raise InputError(f"groups has shape {groups.shape} for {len(labels):,} examples: pass one group per example")
    n_models = check_whole("n_models", n_models, at_least=2)
    fraction = check_number("fraction", fraction, 0.0, 1.0, low_open=True, high_open=True)
    seed = check_seed(seed, at_most=LARGEST_SEED)
    stratify = check_switch("stratify", stratify)
    group = np.unique(groups, return_inverse=True)[1]
    n_groups = int(group.max(initial=-1)) + 1
    if n_groups < 2:
        what = "examples" if n_groups == len(labels) else "groups"
        raise InputError(f"the pool has {n_groups} {what}: at least 2 are needed")
    if fraction == 0.5:
        strata = class_of_groups(group, labels) if stratify else None
        strata = np.zeros(n_groups, dtype=np.int64) if strata is None else strata
        membership = np.empty((n_models, n_groups), dtype=bool)
        for first in range(0, n_models, 2):
            # Each pair has a seed of its own: a plan of more models begins with the plan of fewer.
            rng = np.random.default_rng([seed, first])
            membership[first] = _random_half(strata, rng)
            if first + 1 < n_models:
                membership[first + 1] = ~membership[first]
    else:
        # Rounded, since 1 - 0.9 is a little less than 0.1.
        needed = int(np.ceil(round(1 / min(fraction, 1 - fraction), 6)))
        if n_models < needed:
            raise InputError(
                f"fraction is {fraction} with {n_models} models: some examples would be IN or OUT for none; train at "
                f"least {needed} models"
            )
        rng = np.random.default_rng([seed, n_models])
        n_in = np.floor(fraction * n_models + rng.random(n_groups))
        membership = rng.random((n_models, n_groups)).argsort(axis=0) < n_in
    return ReferencePlan(membership=membership[:, group], fraction=fraction, seed=seed)


def _random_half(strata: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every second one in an order that is random within the strata: halves of the whole and of each stratum."""
    shuffled = rng.permutation(len(strata))
    by_class = shuffled[np.argsort(strata[shuffled], kind="stable")]
    half = np.zeros(len(strata), dtype=bool)
    half[by_class[rng.integers(2) :: 2]] = True
    return half
