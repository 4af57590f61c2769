"""Trainers of language models' defences, made alike in two processes and in one."""

from __future__ import annotations

from pathlib import Path

from small_training import QUIET
from tiny_language import language_model, token_rows

from hf_privacy.defenses import trainer_class
from hf_privacy.models import bare_model

LENGTHS = (9, 4, 12, 2, 7, 5, 11, 3, 8, 10, 6, 9, 4, 12, 2, 7)
# Name of a defence, whether on an adapter, and what it is given. The first take the step that one process takes on the
# rows of both.
AS_ONE = {
    "goldfish": ("goldfish", True, {"k": 2, "context_width": 3}),
    "goldfish-random": ("goldfish", False, {"k": 2, "drop": "random"}),
    "confidence_penalty": ("confidence_penalty", True, {"beta": 0.5}),
    "relax_loss": ("relax_loss", False, {"alpha": 4.0}),
    "soft": ("soft", True, {"replaced_share": 0.5}),
}
EACH_ITS_OWN = {
    "demem": ("demem", True, {"variance_weight": 0.4, "minus_base": True}),
    "demem-full": ("demem", False, {"variance_weight": 0.4, "minus_base": True}),
    "duolearn": ("duolearn", True, {}),
}
ALL = {**AS_ONE, **EACH_ITS_OWN}
STEPS = {"num_train_epochs": 2, "optim": "sgd", "learning_rate": 0.1}


def trainer_of(name: str, folder: Path, *, batch_size: int, **arguments):
    """Its trainer, on sixteen rows with paraphrases."""
    defense, lora, settings = ALL[name]
    kind = trainer_class(defense)
    args = kind.config_class(
        **{**QUIET, **STEPS, **settings, **arguments},
        output_dir=str(folder),
        per_device_train_batch_size=batch_size,
    )
    rows = token_rows([*LENGTHS, *LENGTHS[::-1]], seed=2).halved()
    extra = {"validation_dataset": token_rows(seed=9)} if kind.needs_validation else {}
    return kind(language_model("llama", lora=lora, spread=0.05), args, train_dataset=rows, **extra)


def weights_of(trainer) -> dict:
    return {name: weight.detach().clone() for name, weight in bare_model(trainer.model).named_parameters()}
