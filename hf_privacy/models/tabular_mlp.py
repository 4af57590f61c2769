"""A multi-layer perceptron for tables, as a transformers model: saved, reloaded and pushed like any other."""

from __future__ import annotations

import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.activations import ACT2FN
from transformers.modeling_outputs import SequenceClassifierOutput

from hf_privacy.errors import InputError


class TabularMLPConfig(PreTrainedConfig):
    """Sizes of a :class:`TabularMLPForClassification`.

    Parameters
    ----------
    input_size : int
        Number of features of an example.
    hidden_sizes : list of int
        Width of each hidden layer; ``[]`` makes a linear classifier.
    activation : str
        A name of ``transformers.activations.ACT2FN``: ``"relu"``, ``"gelu"``, ``"tanh"``, …
    dropout : float
        Share of hidden units dropped while training, in [0, 1).
    **kwargs
        As for every transformers configuration: ``num_labels`` or ``id2label`` and ``label2id``.

    Examples
    --------
    >>> TabularMLPConfig(input_size=446, hidden_sizes=[512, 128], num_labels=30).num_labels
    30
    """

    model_type = "hf_privacy_tabular_mlp"

    def __init__(
        self,
        input_size: int = 1,
        hidden_sizes: list[int] | tuple[int, ...] = (128,),
        activation: str = "relu",
        dropout: float = 0.0,
        **kwargs,
    ) -> None:
        if min([input_size, *hidden_sizes]) < 1:
            raise InputError(f"input_size is {input_size} and hidden_sizes {list(hidden_sizes)}: pass positive sizes")
        if activation not in ACT2FN:
            raise InputError(f"activation is {activation!r}: pass a name transformers knows, e.g. 'relu' or 'gelu'")
        if not 0.0 <= dropout < 1.0:
            raise InputError(f"dropout is {dropout}: pass a share in [0, 1)")
        self.input_size = input_size
        self.hidden_sizes = list(hidden_sizes)
        self.activation = activation
        self.dropout = dropout
        super().__init__(**kwargs)


class TabularMLPForClassification(PreTrainedModel):
    """Fully connected layers with one activation, then a linear classifier.

    Weights start as PyTorch starts a linear layer (uniform in ±1/√fan_in), so a run equals a plain PyTorch loop.
    ``AutoModelForSequenceClassification.from_pretrained`` opens a saved folder once this module is imported.

    Examples
    --------
    >>> config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3)
    >>> model = TabularMLPForClassification(config)
    >>> model(features=torch.zeros(2, 4)).logits.shape
    torch.Size([2, 3])
    """

    config_class = TabularMLPConfig
    base_model_prefix = "layers"
    main_input_name = "features"
    # The loss is a plain mean over the batch: a Trainer that accumulates gradients must average it itself.
    accepts_loss_kwargs = False

    def __init__(self, config: TabularMLPConfig) -> None:
        super().__init__(config)
        sizes = [config.input_size, *config.hidden_sizes]
        self.layers = nn.ModuleList([nn.Linear(sizes[i], sizes[i + 1]) for i in range(len(sizes) - 1)])
        self.activation = ACT2FN[config.activation]
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(sizes[-1], config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # PyTorch's own initialisation is meant; from_pretrained calls this for a new classifier only.
        if isinstance(module, nn.Linear):
            module.reset_parameters()

    def forward(
        self, features: torch.Tensor, labels: torch.Tensor | None = None, return_dict: bool | None = None
    ) -> SequenceClassifierOutput | tuple[torch.Tensor, ...]:
        """Logits and, with `labels`, the mean cross-entropy.

        Parameters
        ----------
        features : tensor of shape [batch, input_size]
            In any numeric dtype; brought to the dtype of the weights.
        labels : integer tensor of shape [batch], optional
        return_dict : bool, optional
            False gives a tuple ``(loss, logits)``, or ``(logits,)`` without labels.
        """
        hidden = features.to(self.classifier.weight.dtype)
        for layer in self.layers:
            hidden = self.dropout(self.activation(layer(hidden)))
        logits = self.classifier(hidden)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        if return_dict is False:
            return (logits,) if loss is None else (loss, logits)
        return SequenceClassifierOutput(loss=loss, logits=logits)


AutoConfig.register(TabularMLPConfig.model_type, TabularMLPConfig, exist_ok=True)
AutoModelForSequenceClassification.register(TabularMLPConfig, TabularMLPForClassification, exist_ok=True)
