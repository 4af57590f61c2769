"""What a twin of a language model needs beside a classifier's: losses of secrets, and tokens of their own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from hf_privacy.data import WordedCanaries
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.signals import signals_and_tokens


def secret_losses(trainer: PrivacyTrainer, canaries: WordedCanaries, batch_size: int) -> np.ndarray:
    """−Σ ln p over the secret tokens of each canary, under the trainer's model as it is now: float64 [m]."""
    model = trainer.accelerator.unwrap_model(trainer.model)
    signals, _ = signals_and_tokens(model, canaries.secrets, batch_size=batch_size)
    return signals["loss_sum"][0]


def with_new_tokens(trainer: PrivacyTrainer, n_new_tokens: int) -> PrivacyTrainer:
    """The trainer, with so many tokens more in the embedding and the head of the models that it makes."""
    if not n_new_tokens:
        return trainer
    larger = copy.copy(trainer)
    make = trainer.model_init

    def model_init() -> Any:
        model = make()
        model.resize_token_embeddings(model.get_input_embeddings().weight.shape[0] + n_new_tokens, mean_resizing=False)
        return model

    larger.model_init = model_init
    return larger
