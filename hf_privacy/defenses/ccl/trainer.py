"""Convex-concave loss: a concave term beside the cross-entropy spreads the members' losses."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.predictions import surprise
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.ccl.config import CCLConfig


class CCLTrainer(PrivacyTrainer):
    """`PrivacyTrainer` on β·mean[α·CE − (1 − α)·exp(p)], p the probability of the true class, or of a scored token.

    A convex loss narrows the losses of the training set, which is what a loss threshold needs; the concave term, whose
    pull grows with p, widens them again. Of a language model both terms are taken token by token, and a row is the
    mean over its own. It is a mean over examples: none depends on another, and accumulation and processes leave the
    step as it is.

    Parameters
    ----------
    args : CCLConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Liu, Feng, Zhuang, Cao & Wei (2024), "Mitigating privacy risk in membership inference by convex-concave loss",
    ICML, arXiv 2402.05453, and the authors' code.

    Examples
    --------
    >>> from hf_privacy.defenses import CCLTrainer
    >>> CCLTrainer.paper["id"]
    'arXiv:2402.05453'
    """

    config_class: ClassVar[type[PrivacyConfig]] = CCLConfig
    defense_name: ClassVar[str] = "ccl"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Mitigating Privacy Risk in Membership Inference by Convex-Concave Loss",
        "id": "arXiv:2402.05453",
        "citation": "Zhenlong Liu, Lei Feng, Huiping Zhuang, Xiaofeng Cao and Hongxin Wei. Mitigating Privacy Risk in "
        "Membership Inference by Convex-Concave Loss. ICML 2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"alpha": 0.5, "beta": 0.05}
    search_space: ClassVar[dict[str, list[Any]]] = {"alpha": [0.1, 0.3, 0.5, 0.7, 0.9], "beta": [0.05, 0.2, 1.0]}

    args: CCLConfig

    def loss_phase(self) -> int:
        """One: a step's loss is that of its batch."""
        return 0

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """The convex-concave loss of one batch."""
        outputs = self.forward_without_labels(model, inputs)
        (losses,) = self.task.example_means(outputs, inputs, self._of_predictions)
        return self.args.beta * losses.mean(), outputs

    def _of_predictions(self, log_probabilities: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
        losses = surprise(log_probabilities, targets)
        concave = torch.exp(-losses)
        if self.args.concave_term == "exp_p":
            concave = torch.exp(concave)
        alpha = self.args.alpha
        return (alpha * losses - (1 - alpha) * concave,)
