"""DPO: another answer is to be preferred to the one that is to be forgotten."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn import functional as F

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.signals import check_fit
from hf_privacy.unlearning.base.language import LanguageUnlearningTrainer
from hf_privacy.unlearning.base.trainer import Batch
from hf_privacy.unlearning.dpo.alternatives import BesideAlternatives, check_alternatives, with_other_answers
from hf_privacy.unlearning.dpo.config import DPOUnlearningConfig


class DPOUnlearningTrainer(LanguageUnlearningTrainer):
    """`LanguageUnlearningTrainer` on −(2/β)·log σ(β·(Δ_other − Δ_forget)) + α·R(retain).

    Δ is ln p(answer)/p_reference(answer), the sum over the answer's tokens; the reference is the model before
    unlearning. The other answer is one of ``args.alternatives``, by default a way to say "I do not know" (IdkDPO); or
    one for each row, plausible and wrong (AltPO).

    Parameters
    ----------
    args : DPOUnlearningConfig
    alternative_dataset : TensorDataset, optional
        Another answer to each forget row, in their order and with their prompts, encoded as they are.
    processing_class : PreTrainedTokenizerBase
        Encodes the alternatives; not needed beside ``alternative_dataset``.
    **others
        As in `UnlearningTrainer`.

    Raises
    ------
    InputError
        Without a tokenizer and without alternatives, or with another number of them than of forget rows.

    References
    ----------
    Maini, Feng, Schwarzschild, Lipton & Kolter (2024), "TOFU: a task of fictitious unlearning for LLMs", COLM, arXiv
    2401.06121, for IdkDPO; Mekala et al. (2024), "Alternate preference optimization for unlearning factual knowledge
    in large language models", arXiv 2409.13474, for AltPO.

    Examples
    --------
    >>> from hf_privacy.unlearning import DPOUnlearningTrainer
    >>> DPOUnlearningTrainer.needs_reference
    True
    """

    config_class: ClassVar[type[DPOUnlearningConfig]] = DPOUnlearningConfig
    unlearning_name: ClassVar[str] = "dpo"
    needs_reference: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "TOFU: A Task of Fictitious Unlearning for LLMs",
        "id": "arXiv:2401.06121",
        "citation": "Pratyush Maini, Zhili Feng, Avi Schwarzschild, Zachary C. Lipton and J. Zico Kolter. TOFU: A "
        "Task of Fictitious Unlearning for LLMs. COLM 2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"beta": 0.1}
    search_space: ClassVar[dict[str, list[Any]]] = {"beta": [0.05, 0.1, 0.5], "learning_rate": [1e-5, 1e-4, 1e-3]}

    args: DPOUnlearningConfig

    def __init__(self, *args: Any, alternative_dataset: TensorDataset | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if alternative_dataset is not None:
            check_alternatives(alternative_dataset, self.forget_dataset)
            check_fit(self.model, alternative_dataset)
        elif not hasattr(self.processing_class, "eos_token_id"):
            raise InputError(
                "processing_class is no tokenizer, and alternatives are texts: pass the model's, or an "
                "alternative_dataset"
            )
        self.alternative_dataset = alternative_dataset
        self._has_own = alternative_dataset is not None

    def describe_unlearning(self) -> dict[str, Any]:
        """As any unlearner's, with what the answers are and not their texts, which may be about a person."""
        described = super().describe_unlearning()
        described["parameters"]["alternatives"] = (
            "one for each row" if self._has_own else f"{len(self.args.alternatives)} for all rows"
        )
        return described

    def prepare(self) -> None:
        """Keep the model as it was, and give each forget row another answer."""
        super().prepare()
        if self.alternative_dataset is None:
            drawn = torch.Generator().manual_seed(self.args.seed)
            self.alternative_dataset = with_other_answers(
                self.forget_dataset, self.processing_class, self.args.alternatives, generator=drawn
            )
            check_fit(self.model, self.alternative_dataset)
        self.train_dataset.forget = BesideAlternatives(self.forget_dataset, self.alternative_dataset)

    def located(self, batch: dict[str, Any]) -> dict[str, Any]:
        """As of any unlearner; of the other answers too."""
        batch = super().located(batch)
        forget = batch["forget"]
        return {**batch, "forget": {**forget, "alternative": self.task.located(forget["alternative"])}}

    def forget_loss(self, model: torch.nn.Module, forget: Batch) -> torch.Tensor:
        """−(2/β)·log σ(β·(Δ_other − Δ_forget)), mean over rows."""
        other: Any = forget["alternative"]
        margin = self.log_ratio(model, other) - self.log_ratio(model, forget)
        return 2 / self.args.beta * F.softplus(-self.args.beta * margin).mean()
