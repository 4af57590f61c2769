"""Which classes a checkpoint's head tells apart, and the head put into the order of the dataset's."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from hf_privacy.models.architectures import auto_class_for, set_labels


def names_of(config: PreTrainedConfig) -> list[str]:
    """The configuration's class names, in the order of their numbers."""
    return [str(config.id2label[number]) for number in sorted(config.id2label)]


def are_named(names: Sequence[str]) -> bool:
    """Whether class names say anything: "LABEL_0", "LABEL_1", … and numbers do not.

    Examples
    --------
    >>> are_named(["LABEL_0", "LABEL_1"]), are_named(["0", "1"]), are_named(["cat", "1"])
    (False, False, True)
    """
    return not all(re.fullmatch(r"(?i:label[_ ]?)?-?\d+", name) for name in names)


def class_order(theirs: Sequence[str], ours: Sequence[str]) -> list[int] | None:
    """For each of our classes which of theirs it is, by name; None where not all are there, or twice.

    Case, white space, "_" and "-" make no difference.

    Examples
    --------
    >>> class_order(["NEGATIVE", "Not sure"], ["not_sure", "negative"])
    [1, 0]
    >>> class_order(["cat", "dog"], ["cat", "horse"])
    """
    place = {_bare(name): number for number, name in enumerate(theirs)}
    wanted = [_bare(name) for name in ours]
    if len(place) != len(theirs) or len(set(wanted)) != len(ours) or not set(wanted) <= set(place):
        return None
    return [place[name] for name in wanted]


def class_parameters(config: PreTrainedConfig, *, task: str) -> list[str]:
    """Names of the parameters that have a row for each class: two weightless skeletons show which these are."""
    shapes = []
    for num_labels in (2, 3):
        skeleton = type(config).from_dict(config.to_dict())
        set_labels(skeleton, num_labels=num_labels)
        with torch.device("meta"):
            model = auto_class_for(task).from_config(skeleton, trust_remote_code=False)
        shapes.append({key: parameter.shape for key, parameter in model.named_parameters()})
    return [key for key, shape in shapes[0].items() if shape != shapes[1][key]]


def match_head(
    model: PreTrainedModel, theirs: Sequence[str], ours: Sequence[str], *, task: str, name: str
) -> list[str]:
    """Put the head that a checkpoint brought into the order of the dataset's classes.

    By name. Where one side's names say nothing (see `are_named`), the order is taken to be the same, with a warning.

    Parameters
    ----------
    model : PreTrainedModel
        Changed in place; its configuration names ``ours`` already.
    theirs, ours : sequence of str
        Class names of the checkpoint and of the dataset, as many of each.
    task : str
    name : str
        What the warning calls the checkpoint.

    Returns
    -------
    list of str
        Parameters of a head of other classes, which must be drawn anew; empty otherwise.
    """
    order = class_order(theirs, ours)
    if order is not None:
        if order != sorted(order):
            rows = torch.tensor(order)
            parameters = dict(model.named_parameters())
            with torch.no_grad():
                for key in class_parameters(model.config, task=task):
                    parameters[key].copy_(parameters[key][rows.to(parameters[key].device)])
        return []
    if are_named(theirs) and are_named(ours):
        warnings.warn(
            f"the checkpoint {name} tells the classes {_shown(theirs)} apart and the dataset has {_shown(ours)}: the "
            "head is drawn anew; give the data the checkpoint's names (data.label_names) if they are the same classes",
            stacklevel=4,
        )
        return class_parameters(model.config, task=task)
    unnamed = "dataset's classes have" if are_named(theirs) else "checkpoint's classes have"
    warnings.warn(
        f"the {unnamed} no names: class i of the dataset ({_shown(ours)}) is taken to be class i of {name} "
        f"({_shown(theirs)})",
        stacklevel=4,
    )
    return []


def _bare(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name.casefold()).strip()


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
