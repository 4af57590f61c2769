"""HAMP: train towards labels of high entropy, and give out random scores in the order of the true ones."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.predictions import entropy
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.hamp.config import HAMPConfig
from hf_privacy.defenses.hamp.outputs import defended_model
from hf_privacy.errors import InputError
from hf_privacy.tasks import CLASSIFICATION


@lru_cache(maxsize=64)
def top_probability(n_classes: int, gamma: float) -> float:
    """The highest share a soft label can give the true class and still have an entropy of at least γ·ln C.

    The rest is spread evenly over the other classes. The entropy falls from ln C at 1/C to 0 at 1, so the share is
    found by bisection, exact to rounding; the authors' code steps down from 1 by 0.01 and overshoots by up to that.

    Parameters
    ----------
    n_classes : int
        C, at least 2.
    gamma : float
        In [0, 1).

    Returns
    -------
    float
        In (1/C, 1].

    Examples
    --------
    >>> top_probability(10, 0.0)
    1.0
    >>> round(top_probability(10, 0.95), 4)
    0.2698
    """
    if n_classes < 2:
        raise InputError(f"n_classes is {n_classes}: soft labels need at least two classes")

    def soft_label_entropy(top: float) -> float:
        rest = 1 - top
        return -top * math.log(top) - (rest * math.log(rest / (n_classes - 1)) if rest else 0)

    threshold = gamma * math.log(n_classes)
    if soft_label_entropy(1.0) >= threshold:
        return 1.0
    low, high = 1 / n_classes, 1.0
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return low
        if soft_label_entropy(middle) >= threshold:
            low = middle
        else:
            high = middle


class HAMPTrainer(PrivacyTrainer):
    """`PrivacyTrainer` on the mean of KL(soft ‖ p) − α·H(p), with the prediction-time part in `defended_model`.

    The soft label gives the true class `top_probability` and every other class that has rows an equal share of the
    rest. The loss is a mean over examples: accumulation and processes leave the step as it is. Evaluation and the
    saved weights are undefended by the prediction-time part, which is no weight: whoever serves the model must wrap
    it, `hf_privacy.defenses.hamp.outputs.defended_model`. Audit both, the wrapped model and the plain one (whoever
    downloads the weights has that), and by label-only attacks, against which the prediction-time part does nothing.

    Parameters
    ----------
    args : HAMPConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Chen & Pattabiraman (2024), "Overconfidence is a dangerous thing: mitigating membership inference attacks by
    enforcing less confident prediction", NDSS, arXiv 2307.01610, and the authors' code. Departs in that
    the KL is a sum over the classes, as the paper writes it, unless ``kl_mean_over_classes`` is set.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)
    >>> trainer = HAMPTrainer(
    ...     args=HAMPConfig(tempfile.mkdtemp(), gamma=0.5, num_train_epochs=2, disable_tqdm=True),
    ...     model_init=lambda: TabularMLPForClassification(config),
    ...     train_dataset=data,
    ... )
    >>> trainer.train().global_step  # doctest: +ELLIPSIS
    {...
    2
    >>> trainer.defended_model()(data.column("features")).logits.shape
    torch.Size([8, 2])
    """

    config_class: ClassVar[type[PrivacyConfig]] = HAMPConfig
    defense_name: ClassVar[str] = "hamp"
    tasks: ClassVar[tuple[str, ...]] = CLASSIFICATION
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Overconfidence is a Dangerous Thing: Mitigating Membership Inference Attacks by Enforcing Less "
        "Confident Prediction",
        "id": "arXiv:2307.01610",
        "citation": "Zitao Chen and Karthik Pattabiraman. Overconfidence is a Dangerous Thing: Mitigating Membership "
        "Inference Attacks by Enforcing Less Confident Prediction. NDSS 2024.",
    }
    # CIFAR-10.
    paper_defaults: ClassVar[dict[str, Any]] = {"gamma": 0.95, "alpha": 0.001}
    search_space: ClassVar[dict[str, list[Any]]] = {
        "gamma": [0.5, 0.6, 0.7, 0.8, 0.9, 0.95],
        "alpha": [0.001, 0.005, 0.01, 0.05],
    }
    has_output_defense: ClassVar[bool] = True

    args: HAMPConfig
    _made_for: tuple[Any, ...] | None = None
    _made: tuple[torch.Tensor, float]

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """KL from the soft labels less the weighted entropy, mean of one batch."""
        outputs = self.forward_without_labels(model, inputs)
        logits = outputs["logits"].float()
        n_classes = logits.shape[1]
        rest, top = self._soft_label(n_classes, logits.device)
        soft = rest.expand(len(logits), -1).scatter(1, inputs["labels"].unsqueeze(1), top)
        log_probabilities = F.log_softmax(logits, dim=1)
        divergence = F.kl_div(log_probabilities, soft, reduction="batchmean")
        if self.args.kl_mean_over_classes:
            divergence = divergence / n_classes
        return divergence - self.args.alpha * entropy(log_probabilities).mean(), outputs

    def _soft_label(self, n_classes: int, device: torch.device) -> tuple[torch.Tensor, float]:
        """What a class gets of a label that is not its own, [C] on the device, and what the true one gets.

        Made once for a training set: its classes are looked up among all its rows.
        """
        key = (self.train_dataset, n_classes, device)
        if self._made_for != key:
            classes = self._classes_with_rows(n_classes)
            top = top_probability(len(classes), self.args.gamma)
            rest = torch.zeros(n_classes)
            rest[classes] = (1 - top) / (len(classes) - 1)
            self._made_for, self._made = key, (rest.to(device), top)
        return self._made

    def _classes_with_rows(self, n_classes: int) -> torch.Tensor:
        """The classes of the training set: int64[K]. One that no row has would otherwise be taught as likely."""
        if not isinstance(self.train_dataset, TensorDataset):
            return torch.arange(n_classes)
        return self.train_dataset.column("labels").unique()

    def defended_model(self, dataset: TensorDataset | None = None) -> torch.nn.Module:
        """The model as its users are to see it: the weights trained here, with HAMP's prediction-time part.

        Parameters
        ----------
        dataset : TensorDataset, optional
            Whose inputs the random ones are to look like; the training set where not given.

        Returns
        -------
        torch.nn.Module
            As `hf_privacy.defenses.hamp.outputs.defended_model` gives it.
        """
        dataset = self.train_dataset if dataset is None else dataset
        if not isinstance(dataset, TensorDataset):
            raise InputError(f"dataset is {type(dataset).__name__}: pass a TensorDataset that random inputs can mimic")
        return self.defended_outputs(self.accelerator.unwrap_model(self.model), dataset, seed=self.args.seed)

    def defended_outputs(self, model: torch.nn.Module, members: TensorDataset, *, seed: int) -> torch.nn.Module:
        """A model of this recipe, such as a reference, with the prediction-time part of its own members."""
        return defended_model(model, members, n_random_inputs=self.args.n_random_inputs, seed=seed)
