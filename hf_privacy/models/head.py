"""The layers of a model's classification head, found by the names the model gives them."""

from __future__ import annotations

from peft import PeftModel
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn
from torch.nn.modules.conv import _ConvNd
from transformers import PreTrainedModel

from hf_privacy.errors import InputError
from hf_privacy.models.lora import head_modules


def head_layers(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Every layer with a weight matrix in each module of the classification head; one adapted by PEFT is one layer.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        The plain module, not what torch.compile or DDP made of it.

    Returns
    -------
    dict of list of torch.nn.Module
        By the names of `head_modules`, each list in the order of the layers.

    Raises
    ------
    InputError
        For a model without a classification head.

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> head_layers(TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[3, 3], num_labels=3)))
    {'classifier': [Linear(in_features=3, out_features=3, bias=True)]}
    """
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    names = head_modules(base) if isinstance(base, PreTrainedModel) else []
    found = {name: layers for name in names if (layers := _layers(base.get_submodule(name)))}
    if not found:
        raise no_head(base)
    return found


def class_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters of the layer that scores the classes, as in ``model.named_parameters()``.

    It is the last layer of the head, found by name and not by shape: a hidden layer may be as wide as there are
    classes. Of a head in several modules it is in the last, and in every other that is called a classifier and not
    what comes before one (distilled models have two; DistilBERT's ``pre_classifier`` and DeBERTa's ``pooler`` are
    none).

    Examples
    --------
    >>> from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
    >>> model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[3], num_labels=3))
    >>> sorted(class_parameters(model))
    ['classifier.bias', 'classifier.weight']
    """
    heads = head_layers(model)
    last = {name for name in heads if "classifier" in name and not name.startswith("pre")} | {list(heads)[-1]}
    own = {id(parameter) for name in last for parameter in heads[name][-1].parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in own}


def no_head(model: nn.Module) -> InputError:
    """The error for a model that has no head to be found."""
    return InputError(
        f"model is a {type(model).__name__} in which no classification head is found: pass a transformers or timm "
        "classifier, such as load_model gives"
    )


def _layers(head: nn.Module) -> list[nn.Module]:
    layers: list[nn.Module] = []
    adapted: tuple[str, ...] = ()
    for name, module in head.named_modules():
        if adapted and f"{name}.".startswith(adapted):
            continue
        if isinstance(module, BaseTunerLayer):
            adapted += (f"{name}." if name else "",)
        if isinstance(module, (nn.Linear, _ConvNd, BaseTunerLayer)):
            layers.append(module)
    return layers
