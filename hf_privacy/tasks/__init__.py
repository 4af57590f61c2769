"""Tasks: what an example is, and all that follows from it.

A new task is a module with a class of the members of `Task`, a line here, and a line in
`hf_privacy.models.architectures` that says which Auto class opens its models. Nothing above this room asks which task
it is. Importing it needs no torch: recipes are checked by it.
"""

from __future__ import annotations

from typing import Any

from hf_privacy.errors import InputError
from hf_privacy.tasks.causal_lm import CausalLM, perplexity
from hf_privacy.tasks.image import ImageClassification
from hf_privacy.tasks.tabular import TabularClassification
from hf_privacy.tasks.task import Prepared, Task
from hf_privacy.tasks.text import TextClassification

__all__ = ["CLASSIFICATION", "LANGUAGE_MODELS", "TASKS", "Prepared", "Task", "perplexity", "task_named", "task_of"]

# By the Hub's name of the task.
TASKS: dict[str, Task] = {
    task.name: task for task in (ImageClassification(), TextClassification(), TabularClassification(), CausalLM())
}
# Of those whose examples have a class each.
CLASSIFICATION = tuple(name for name, task in TASKS.items() if task.has_classes)
# Of those whose examples are rows of tokens.
LANGUAGE_MODELS = tuple(name for name, task in TASKS.items() if not task.has_classes)


def task_named(name: str) -> Task:
    """The task of a recipe.

    Raises
    ------
    InputError
        For one that is not in `TASKS`.

    Examples
    --------
    >>> task_named("image-classification").queries
    ('identity', 'flip')
    """
    if name not in TASKS:
        raise InputError(f"task is {name!r}: pass one of {', '.join(TASKS)}")
    return TASKS[name]


def task_of(model: Any) -> Task:
    """The task of a model, told by its class; wrapped models and adapters too.

    A module that transformers does not know is taken for a classifier of "features".

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> task_of(TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=3))).name
    'tabular-classification'
    """
    from hf_privacy.models import bare_model
    from hf_privacy.models.architectures import find_task

    return TASKS[find_task(bare_model(model)) or TabularClassification.name]
