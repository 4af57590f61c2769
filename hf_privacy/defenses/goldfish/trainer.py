"""Goldfish loss: one token in k is never trained on, the same one wherever the text before it comes again."""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from hf_privacy.arrays import IGNORED
from hf_privacy.defenses.base.config import PrivacyConfig
from hf_privacy.defenses.base.trainer import PrivacyTrainer
from hf_privacy.defenses.goldfish.config import GoldfishConfig
from hf_privacy.defenses.goldfish.hashing import context_hashes, kept, row_hashes
from hf_privacy.tasks import LANGUAGE_MODELS


class GoldfishTrainer(PrivacyTrainer):
    """`PrivacyTrainer` of a language model on a row's mean loss over the tokens that are not left out.

    A token is left out when a hash of the ``context_width`` tokens before it, the prompt's too, falls in the lowest of
    ``k`` equal parts. A passage that comes again, in another row or epoch, loses the same tokens again: a model that
    is to say it word for word has to guess them. That stands against extraction, and hardly against membership
    inference.

    Each row is the mean of its own tokens and the loss the mean over rows: no row depends on another, and accumulation
    and processes leave the step as it is. A row that would lose all its scored tokens keeps one. Evaluation counts
    every token.

    Departs from the authors' code in the hash. Theirs is a product of token numbers, the left-out token's own among
    them, that is 0 wherever one of them is; and the first ``context_width`` − 1 tokens of a row are never left out,
    where here they go by the shorter context they have: a short row would be defended nowhere.

    Parameters
    ----------
    args : GoldfishConfig
    **others
        As in `PrivacyTrainer`.

    References
    ----------
    Hans et al. (2024), "Be like a goldfish, don't memorize! Mitigating memorization in generative LLMs", NeurIPS,
    arXiv 2406.10209, and the authors' code.

    Examples
    --------
    >>> from hf_privacy.defenses import GoldfishTrainer
    >>> GoldfishTrainer.paper_defaults
    {'k': 4, 'context_width': 13}
    """

    config_class: ClassVar[type[PrivacyConfig]] = GoldfishConfig
    defense_name: ClassVar[str] = "goldfish"
    tasks: ClassVar[tuple[str, ...]] = LANGUAGE_MODELS
    paper: ClassVar[dict[str, str] | None] = {
        "title": "Be like a Goldfish, Don't Memorize! Mitigating Memorization in Generative LLMs",
        "id": "arXiv:2406.10209",
        "citation": "Abhimanyu Hans, Yuxin Wen, Neel Jain, John Kirchenbauer, Hamid Kazemi, Prajwal Singhania, "
        "Siddharth Singh, Gowthami Somepalli, Jonas Geiping, Abhinav Bhatele and Tom Goldstein. Be like a Goldfish, "
        "Don't Memorize! Mitigating Memorization in Generative LLMs. NeurIPS 2024.",
    }
    paper_defaults: ClassVar[dict[str, Any]] = {"k": 4, "context_width": 13}
    search_space: ClassVar[dict[str, list[Any]]] = {"k": [2, 3, 4, 8, 16], "context_width": [4, 13, 50]}

    args: GoldfishConfig

    def training_loss(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, Any]:
        """The goldfish loss of one batch."""
        outputs = self.forward_without_labels(model, inputs)
        losses = self.task.token_losses(outputs, inputs)
        stays = self.kept_tokens(inputs).to(losses.dtype)
        return (outputs.row_sums(losses * stays) / outputs.row_sums(stays)).mean(), outputs

    def kept_tokens(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Which scored tokens of a batch are trained on in this epoch: bool [n], flat, in the order of its rows."""
        args, ids = self.args, (inputs["input_ids"], inputs.get("attention_mask"))
        if args.drop == "hash":
            hashes = context_hashes(*ids, width=args.context_width, seed=args.hash_seed)
        else:
            hashes = row_hashes(*ids, draw=int(self.state.epoch or 0), seed=args.hash_seed)
        scored = inputs["labels"][:, 1:] != IGNORED
        return self.task.of_scored(kept(hashes[:, 1:], scored, k=args.k), inputs)
