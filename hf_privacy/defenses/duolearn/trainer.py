"""DuoLearn: tokens that are still hard are learnt, tokens that are known better than they should be are unlearnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from transformers import TrainerCallback, set_seed
from transformers.trainer_utils import TrainOutput

from hf_privacy.data import TensorDataset
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.duolearn.config import DuoLearnConfig
from hf_privacy.defenses.duolearn.reference import ReferenceLossCallback
from hf_privacy.errors import InputError
from hf_privacy.tasks import LANGUAGE_MODELS


def hard_and_memorized(
    scores: torch.Tensor, *, hard_share: float, memorized_share: float, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which tokens are learnt and which are unlearnt: bool [n] each, by their scores [n], in nats.

    Those with the highest scores, ⌊``hard_share``·n⌋ of them and one at least, and of the ⌊``memorized_share``·n⌋ with
    the lowest those below ``threshold``.

    Examples
    --------
    >>> scores = torch.tensor([-1.0, 2.0, 0.5, 1.0, -3.0])
    >>> hard, memorized = hard_and_memorized(scores, hard_share=0.6, memorized_share=0.4, threshold=-2.0)
    >>> hard.tolist(), memorized.tolist()
    ([False, True, True, True, False], [False, False, False, False, True])
    """
    n = len(scores)
    # A share that is a whole number of tokens is one, however it is rounded.
    n_hard, n_memorized = max(1, int(hard_share * n + 1e-6)), int(memorized_share * n + 1e-6)
    order = scores.argsort(descending=True)
    hard, memorized = (torch.zeros_like(scores, dtype=torch.bool) for _ in range(2))
    hard[order[:n_hard]] = True
    memorized[order[max(n_hard, n - n_memorized) :]] = True
    return hard, memorized & (scores < threshold)


class DuoLearnTrainer(PrivacyTrainer):
    """`PrivacyTrainer` of a language model on CE(hard) − α·CE(memorized), each a mean over tokens of the batch.

    The score of a scored token is its loss less that of a reference, a model of the same kind that knows none of the
    rows: s = ℓ(θ) − ℓ(ref). The tokens of a batch with the highest scores are hard and learnt; those with the lowest,
    where below ``threshold``, are memorized and unlearnt. No gradient runs through the choice.

    The reference is fine-tuned first, on the validation rows, by the same arguments and without a defence, which takes
    its time (``reference_seconds`` in the log); or it is a saved model, ``reference_model``. The target and its
    reference models share one. Each step runs it once on the batch.

    The choice is among the tokens of one forward pass, of each accumulated batch and each process by itself: rows are
    coupled, 2 × 4 (batch × accumulation) is not the step of 8 × 1, and no ε could be said of it. A model defended so
    may rate members below non-members: attacks on it are to be read on both sides.

    Parameters
    ----------
    args : DuoLearnConfig
    validation_dataset : TensorDataset, optional
        Rows that are no member, no non-member and no reference model's training data. In a recipe: the population.
        (None with ``reference_model``, or where ``callbacks`` holds the `ReferenceLossCallback` already, as for a
        reference model.)
    **others
        As in `PrivacyTrainer`.

    Raises
    ------
    InputError
        Without a reference or rows to train one on, or with rows that are trained on too.

    References
    ----------
    Tran, Liu & Xiong (2025), "Tokens for learning, tokens for unlearning: mitigating membership inference attacks in
    large language models via dual-purpose training", Findings of ACL, arXiv 2502.19726.

    Examples
    --------
    >>> from hf_privacy.defenses import DuoLearnTrainer
    >>> DuoLearnTrainer.paper_defaults
    {'hard_share': 0.6, 'memorized_share': 0.2, 'threshold': 0.0, 'alpha': 0.8}
    """

    config_class: ClassVar[type[PrivacyConfig]] = DuoLearnConfig
    defense_name: ClassVar[str] = "duolearn"
    tasks: ClassVar[tuple[str, ...]] = LANGUAGE_MODELS
    couples_rows: ClassVar[bool] = True
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Tokens for Learning, Tokens for Unlearning: Mitigating Membership Inference Attacks in Large "
        "Language Models via Dual-Purpose Training",
        "id": "arXiv:2502.19726",
        "citation": "Toan Tran, Ruixuan Liu and Li Xiong. Tokens for Learning, Tokens for Unlearning: Mitigating "
        "Membership Inference Attacks in Large Language Models via Dual-Purpose Training. Findings of ACL 2025.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {
        "hard_share": 0.6,
        "memorized_share": 0.2,
        "threshold": 0.0,
        "alpha": 0.8,
    }
    search_space: ClassVar[dict[str, list[Any]]] = {
        "hard_share": [0.4, 0.6, 0.8],
        "memorized_share": [0.1, 0.2],
        "alpha": [0.2, 0.5, 0.8, 1.0],
    }
    needs_validation: ClassVar[bool] = True

    args: DuoLearnConfig

    def __init__(
        self,
        model: torch.nn.Module | None = None,
        args: DuoLearnConfig | None = None,
        data_collator: Callable | None = None,
        train_dataset: Any = None,
        *,
        validation_dataset: TensorDataset | None = None,
        callbacks: list[TrainerCallback] | None = None,
        **kwargs: Any,
    ) -> None:
        callbacks = list(callbacks or [])
        held = [callback for callback in callbacks if isinstance(callback, ReferenceLossCallback)]
        if not held and isinstance(args, DuoLearnConfig):
            if args.reference_model is None and (
                not isinstance(validation_dataset, TensorDataset) or len(validation_dataset) == 0
            ):
                raise InputError(
                    "validation_dataset is missing, empty or no TensorDataset: pass rows apart from the split, which "
                    "the reference is trained on, or the folder of a trained one as reference_model"
                )
            held = [ReferenceLossCallback(validation_dataset, args.reference_model)]
            callbacks += held
        super().__init__(model, args, data_collator, train_dataset, callbacks=callbacks, **kwargs)
        self.reference = held[0]
        self.reference.check(self)

    def train(self, *args: Any, **kwargs: Any) -> TrainOutput:
        """As in `PrivacyTrainer`; the reference is trained before, where there is none yet."""
        self.reference.train(self)
        set_seed(self.args.seed)  # whoever trained the reference, what is drawn now is the same
        return super().train(*args, **kwargs)

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """DuoLearn's loss of one batch."""
        before = self.reference.token_losses(self, inputs)
        outputs = self.forward_without_labels(model, inputs)
        losses = self.task.token_losses(outputs, inputs)
        args = self.args
        hard, memorized = hard_and_memorized(
            losses.detach() - before,
            hard_share=args.hard_share,
            memorized_share=args.memorized_share,
            threshold=args.threshold,
        )
        return _mean_of(losses, hard) - args.alpha * _mean_of(losses, memorized), outputs

    def describe_defense(self) -> dict[str, Any]:
        """As in `PrivacyTrainer`; of the reference, only whether it was given."""
        described = super().describe_defense()
        given = "given" if self.args.reference_model is not None else None
        return {**described, "parameters": {**described["parameters"], "reference_model": given}}


def _mean_of(losses: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Over the chosen tokens; 0 where there are none."""
    return (losses * chosen).sum() / chosen.sum().clamp(min=1)
