"""SalUn: random labels, learnt by the parameters that are salient for what is to be forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

from hf_privacy.defenses import FrozenWeightsCallback
from hf_privacy.unlearning.random_labels.trainer import RandomLabelsTrainer
from hf_privacy.unlearning.salun.config import SalUnConfig
from hf_privacy.weights import saliency, select


class SalUnTrainer(RandomLabelsTrainer):
    """`RandomLabelsTrainer` under a mask: only the parameters with the largest |∇ℓ| on the forget set move.

    The rest stay bit for bit as they were, under weight decay and momentum too (in the authors' code those moved them
    until 2026).

    Parameters
    ----------
    args : SalUnConfig
    **others
        As in `UnlearningTrainer`.

    References
    ----------
    Fan et al. (2024), "SalUn: empowering machine unlearning via gradient-based weight saliency", ICLR, arXiv
    2310.12508, equations 3 to 5. The wrong labels are never the true one; the authors draw from all.
    """

    config_class: ClassVar[type[SalUnConfig]] = SalUnConfig
    unlearning_name: ClassVar[str] = "salun"
    paper: ClassVar[dict[str, str] | None] = {
        "title": "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency in Both Image "
        "Classification and Generation",
        "id": "arXiv:2310.12508",
        "citation": "Chongyu Fan, Jiancheng Liu, Yihua Zhang, Eric Wong, Dennis Wei and Sijia Liu. SalUn: Empowering "
        "Machine Unlearning via Gradient-based Weight Saliency in Both Image Classification and Generation. ICLR "
        "2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"fraction": 0.5}
    search_space: ClassVar[dict[str, list[Any]]] = {"fraction": [0.1, 0.3, 0.5, 0.7], "learning_rate": [0.001, 0.01]}

    args: SalUnConfig

    def prepare(self) -> None:
        """Draw the wrong labels, and freeze what is not salient."""
        super().prepare()
        model = self.accelerator.unwrap_model(self.model)
        scores = saliency(model, self.batches_of(self.forget_dataset), parameters=self.trainable())
        self.mask = select(scores, fraction=self.args.fraction)
        self.add_callback(FrozenWeightsCallback({name: ~salient for name, salient in self.mask.items()}))
