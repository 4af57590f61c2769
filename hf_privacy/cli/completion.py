"""Completion scripts for shells, the keys of recipes included: written once, so that TAB starts no Python."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from hf_privacy.errors import InputError
from hf_privacy.recipe.keys import Key, section_keys, sections

# Of the hundred arguments of a training, those that a command line sets most; the others are in no light module.
_OF_TRAINING = (
    "num_train_epochs", "max_steps", "learning_rate", "per_device_train_batch_size", "gradient_accumulation_steps",
    "weight_decay", "warmup_steps", "max_grad_norm", "optim", "lr_scheduler_type", "seed", "use_cpu", "bf16",
    "save_strategy", "logging_strategy", "report_to", "run_name", "disable_tqdm",
)  # fmt: skip


def completion_script(
    parser: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser], shell: str
) -> str:
    """The script of a shell, such as ``bash``, for a command line, its commands and the keys of a recipe.

    Raises
    ------
    InputError
        Where shtab, which writes it, is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise InputError("--print-completion needs shtab: pip install shtab") from error
    for command in commands.values():
        for action in command._actions:
            if action.metavar in ("FILE", "DATA"):
                action.complete = shtab.FILE
            elif action.metavar == "DIR":
                action.complete = shtab.DIRECTORY
        if any(action.dest == "config" for action in command._actions) and command.prog.split()[-1] != "compare":
            _add_keys(command)
    _add_keys(commands["init"])
    return shtab.complete(parser, shell=shell)


def _add_keys(command: argparse.ArgumentParser) -> None:
    for name, choices, meaning in _keys():
        command.add_argument(f"--{name}", choices=choices or None, help=meaning.replace("%", "%%"))


def _keys() -> list[tuple[str, tuple, str]]:
    light = [name for name, place in sections().items() if not isinstance(place, str) or ".recipe." in place]
    keys: list[Key] = [key for name in ("", *light) for key in section_keys(name) if key.name not in sections()]
    found = [(key.name, tuple(map(str, key.choices)), key.meaning) for key in keys]
    return [*found, *((f"training.{name}", (), "") for name in _OF_TRAINING)]
