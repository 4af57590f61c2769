"""The confidence penalty as a baseline among the defences."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.predictions import entropy, surprise
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.confidence_penalty.config import ConfidencePenaltyConfig


class ConfidencePenaltyTrainer(PrivacyTrainer):
    """`PrivacyTrainer` on the mean of CE − β·H(p): sure predictions cost.

    Of a language model the entropy is that over the vocabulary at each scored token, and a row is the mean over its
    own. It is a mean over examples: none depends on another, and accumulation and processes leave the step as it is.

    Parameters
    ----------
    args : ConfidencePenaltyConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Pereyra, Tucker, Chorowski, Kaiser & Hinton (2017), "Regularizing neural networks by penalizing confident output
    distributions", arXiv 1701.06548.

    Examples
    --------
    >>> from hf_privacy.defenses import ConfidencePenaltyTrainer
    >>> ConfidencePenaltyTrainer.paper_defaults
    {'beta': 0.1}
    """

    config_class: ClassVar[type[PrivacyConfig]] = ConfidencePenaltyConfig
    defense_name: ClassVar[str] = "confidence_penalty"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Regularizing Neural Networks by Penalizing Confident Output Distributions",
        "id": "arXiv:1701.06548",
        "citation": "Gabriel Pereyra, George Tucker, Jan Chorowski, Łukasz Kaiser and Geoffrey Hinton. Regularizing "
        "Neural Networks by Penalizing Confident Output Distributions. 2017.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"beta": 0.1}
    search_space: ClassVar[dict[str, list[Any]]] = {"beta": [0.1, 0.3, 0.5, 1.0, 2.0, 4.0]}

    args: ConfidencePenaltyConfig

    def loss_phase(self) -> int:
        """One: a step's loss is that of its batch."""
        return 0

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """Cross-entropy less the weighted entropy, mean of one batch."""
        outputs = self.forward_without_labels(model, inputs)
        (losses,) = self.task.example_means(outputs, inputs, self._of_predictions)
        return losses.mean(), outputs

    def _of_predictions(self, log_probabilities: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
        return (surprise(log_probabilities, targets) - self.args.beta * entropy(log_probabilities),)
