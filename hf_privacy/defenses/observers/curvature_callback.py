"""How sharply the loss bends around each example, after every epoch of any training."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import torch
from accelerate.state import AcceleratorState

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.observers.epoch_collector import EpochCollector
from hf_privacy.errors import InputError
from hf_privacy.signals import Curvature, compute_curvature


class CurvatureCallback(EpochCollector):
    """Keeps the input curvature of every example of a fixed dataset while a model trains, in any `Trainer`.

    Averaged over epochs it is a proxy of memorization (Garg, Ravikumar and Roy 2024). It keeps the values of
    `compute_curvature` in the store of `TrainingDynamicsCallback`, and does as that callback in everything else: when
    it looks, that training does not notice, resuming, privacy, reference models. Both, where both are passed, are of
    the same dataset. `read_training_dynamics` gives ``curvature_squared_norm`` and so on.

    Of a causal language model it is that of each row's summed loss in the embeddings of its scored tokens.

    Cost, each time: about ``2 × n_vectors`` passes forth and back over the dataset, so many epochs' time where that is
    the training set; raise ``every_n_epochs`` or pass a subset. The seconds are in the log history
    (``curvature_seconds``) and in the store's metadata.

    Parameters
    ----------
    dataset : TensorDataset, optional
        The training set by default, in its order.
    curvature : Curvature
        Method, number of vectors, step and seed.
    every_n_epochs : int
    batch_size : int
        Examples per pass.

    Raises
    ------
    InputError
        As `TrainingDynamicsCallback`, and as `compute_curvature` for a model or data that have none.

    References
    ----------
    Garg, Ravikumar and Roy, "Memorization through the lens of curvature of loss function around samples", ICML 2024
    (averaged over epochs). Ravikumar, Soufleri, Hashemi and Roy, "Unveiling privacy, memorization, and input curvature
    links", ICML 2024 (arXiv 2402.18726). The estimator and its departures: `input_curvature`.

    Examples
    --------
    >>> import tempfile
    >>> from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer, read_training_dynamics
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> data = TensorDataset({"features": torch.randn(8, 4), "labels": torch.tensor([0, 1] * 4)})
    >>> args = PrivacyConfig(tempfile.mkdtemp(), num_train_epochs=2, save_strategy="no", disable_tqdm=True)
    >>> trainer = PrivacyTrainer(
    ...     TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=2)),
    ...     args,
    ...     train_dataset=data,
    ...     callbacks=[CurvatureCallback(data, curvature=Curvature(n_vectors=3))],
    ... )
    >>> _ = trainer.train()  # doctest: +ELLIPSIS
    {...
    >>> read_training_dynamics(args.output_dir)["curvature_norm"].shape
    (2, 8)
    """

    stream: ClassVar[str] = "curvature"

    def __init__(
        self,
        dataset: TensorDataset | None = None,
        *,
        curvature: Curvature | None = None,
        every_n_epochs: int = 1,
        batch_size: int = 128,
    ) -> None:
        super().__init__(dataset, every_n_epochs=every_n_epochs, batch_size=batch_size)
        if curvature is not None and not isinstance(curvature, Curvature):
            raise InputError(f"curvature is {curvature!r}: pass hf_privacy.signals.Curvature(n_vectors=…)")
        self.curvature = Curvature() if curvature is None else curvature

    def __deepcopy__(self, memo: dict) -> CurvatureCallback:
        # As it was before training; the rows are shared.
        return type(self)(
            self.dataset,
            curvature=self.curvature,
            every_n_epochs=self.every_n_epochs,
            batch_size=self.batch_size,
        )

    def settings(self) -> dict[str, Any]:
        """The estimator's: values of another are not comparable."""
        return asdict(self.curvature)

    def values_of(self, model: torch.nn.Module, dataset: TensorDataset, state: AcceleratorState) -> dict[str, Any]:
        """What `compute_curvature` gives, each [N]."""
        return compute_curvature(
            model, dataset, curvature=self.curvature, batch_size=self.batch_size, accelerator=state, progress=False
        )
