"""Random labels: what is to be forgotten is taught wrongly."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.unlearning.base.trainer import Batch, UnlearningTrainer
from hf_privacy.unlearning.random_labels.config import RandomLabelsConfig


def with_wrong_labels(dataset: TensorDataset, classes: torch.Tensor, *, seed: int) -> TensorDataset:
    """The same examples, each with one label drawn evenly from all others than its own.

    Parameters
    ----------
    dataset : TensorDataset
    classes : int64[K]
        The classes that have rows, sorted, K ≥ 2; those of the dataset are among them.
    seed : int

    Examples
    --------
    >>> dataset = TensorDataset({"labels": torch.tensor([0, 1, 0])})
    >>> with_wrong_labels(dataset, torch.tensor([0, 1]), seed=0).column("labels")
    tensor([1, 0, 1])
    """
    if len(classes) < 2:
        raise InputError(f"the training set has rows of {len(classes)} class: a wrong label needs at least two")
    place = torch.searchsorted(classes, dataset.column("labels"))
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, len(classes), place.shape, generator=generator)
    moved = classes[(place + steps) % len(classes)]
    relabelled = dataset.with_column("labels", moved)
    return relabelled if dataset.augmentation is None else relabelled.with_augmentation(dataset.augmentation)


class RandomLabelsTrainer(UnlearningTrainer):
    """`UnlearningTrainer` on CE(retain) + CE(forget, wrong labels), one wrong label drawn for each example beforehand.

    Parameters
    ----------
    args : RandomLabelsConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Golatkar et al. (2020), arXiv 1911.04933, section 5 ("random labels"); Graves et al. (2021), "Amnesiac machine
    learning", AAAI, arXiv 2010.10981. Labels here are never the true one.
    """

    config_class: ClassVar[type[RandomLabelsConfig]] = RandomLabelsConfig
    unlearning_name: ClassVar[str] = "random_labels"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Amnesiac Machine Learning",
        "id": "arXiv:2010.10981",
        "citation": "Laura Graves, Vineel Nagisetty and Vijay Ganesh. Amnesiac Machine Learning. AAAI 2021.",
    }
    search_space: ClassVar[dict[str, list[Any]]] = {"learning_rate": [0.001, 0.01, 0.1]}

    def prepare(self) -> None:
        """Draw the wrong labels."""
        parts = (self.forget_dataset, self.retain_dataset)
        classes = torch.cat([part.column("labels") for part in parts]).unique()
        self.train_dataset.forget = with_wrong_labels(self.forget_dataset, classes, seed=self._data_seed)

    def unlearning_loss(self, model: torch.nn.Module, forget: Batch, retain: Batch) -> torch.Tensor:
        """Cross-entropy on the retain batch, and on the forget batch with its wrong labels."""
        kept = self.mean_loss(model, retain)
        return kept + self.mean_loss(model, forget)
