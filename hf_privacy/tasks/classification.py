"""What all classification tasks share: an example has one class, and the model a logit for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.errors import InputError
from hf_privacy.tasks.task import Batch, PredictionFunction, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

SIGNAL_NAMES = ("phi", "loss", "probability", "margin", "entropy", "modified_entropy", "correct")


class Classification(Task):
    """A task whose examples have one class each.

    Examples
    --------
    >>> import torch
    >>> from hf_privacy.tasks import task_named
    >>> outputs, batch = {"logits": torch.tensor([[2.0, 0.0], [0.0, 0.0]])}, {"labels": torch.tensor([0, 1])}
    >>> task_named("text-classification").example_losses(outputs, batch)
    tensor([0.1269, 0.6931])
    """

    most_columns: int | None = 1
    columns_hint = ""
    processor: str | None = None
    augmentations: tuple[str, ...] = ()
    queries: tuple[str, ...] = ("identity",)
    signal_names = SIGNAL_NAMES
    has_classes = True
    utility_range: Mapping[str, tuple[float, float]] = {"accuracy": (0.0, 1.0)}
    data_defaults: Mapping[str, Any] = {}

    def located(self, batch: Batch) -> Batch:
        """As it is."""
        return batch

    def forward(self, model: Any, batch: Batch) -> Any:
        """The model's own output."""
        return model(**{name: values for name, values in batch.items() if name != "labels"})

    def example_losses(self, outputs: Any, batch: Batch, *, label_smoothing: float = 0.0) -> torch.Tensor:
        """Cross-entropy of each example [B]; `label_smoothing` is the share of a label that all classes divide."""
        from torch.nn import functional as F

        return F.cross_entropy(_logits(outputs), batch["labels"], reduction="none", label_smoothing=label_smoothing)

    def example_means(self, outputs: Any, batch: Batch, function: PredictionFunction) -> tuple[torch.Tensor, ...]:
        """What `function` gives of the log-probabilities [B, C] and the labels [B]: an example is one prediction."""
        return function(_logits(outputs).log_softmax(dim=-1), batch["labels"])

    def separate_losses(self, call: Callable[..., Any], batch: Batch) -> torch.Tensor:
        """As `example_losses`."""
        return self.example_losses(self.forward(call, batch), batch)

    def mean_loss(self, outputs: Any, batch: Batch, *, average: str, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean over the examples; each is one of what there is to average over, however that is called."""
        return self.example_losses(outputs, batch, label_smoothing=label_smoothing).mean()

    def count(self, batch: Batch, *, average: str) -> int:
        """Number of examples."""
        return len(batch["labels"])

    def signals(self, outputs: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """See `hf_privacy.signals.signals_from_logits`."""
        from hf_privacy.tasks.class_signals import signals_from_logits

        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs.logits
        # On the CPU: float64 does not exist on every accelerator.
        return signals_from_logits(logits.cpu(), batch["labels"].cpu())

    def utility(self, signals: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Accuracy, in [0, 1].

        Examples
        --------
        >>> import numpy as np
        >>> from hf_privacy.tasks import task_named
        >>> task_named("image-classification").utility({"correct": np.array([1.0, 0.0])})
        {'accuracy': 0.5}
        """
        return {"accuracy": float(signals["correct"].mean())}

    def utility_estimates(
        self, signals: Mapping[str, np.ndarray], *, groups: np.ndarray | None = None, confidence: float = 0.95
    ) -> dict[str, Any]:
        """Accuracy with its Clopper-Pearson interval, and the mean loss in nats.

        Examples
        --------
        >>> import numpy as np
        >>> from hf_privacy.tasks import task_named
        >>> signals = {"correct": np.array([1.0, 0.0]), "loss": np.array([0.1, 0.9])}
        >>> found = task_named("image-classification").utility_estimates(signals)
        >>> found["accuracy"]["value"], found["loss"]
        (0.5, 0.5)
        """
        from hf_privacy.statistics.grouped_rate import grouped_rate

        estimate = grouped_rate(signals["correct"] > 0, groups, confidence=confidence)
        accuracy = dict(zip(("value", "low", "high"), estimate, strict=True))
        return {"accuracy": accuracy, "loss": float(signals["loss"].mean())}

    def load_processor(self, name_or_path: Any, *, revision: str | None = None) -> Any:
        """None."""
        return None

    def augmentation(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """None here: only images are augmented."""
        raise InputError(f"augmentation is {name!r} and the task is {self.name}: only images are augmented")

    def _model_init(
        self, model: Any, classes: Sequence[str], *, tokenizer: Any = None, **defaults: Any
    ) -> Callable[[], Any]:
        """The maker of a recipe's models, with arguments of the architecture that the recipe may overrule."""
        from hf_privacy.models import load_model

        for name, usual in (("dtype", "float32"), ("quantization", None), ("gguf_file", None)):
            if getattr(model, name) != usual:
                raise InputError(
                    f"model.{name} is {getattr(model, name)!r} and the task is {self.name}: leave it out, classifiers "
                    "are trained and audited in float32"
                )
        kwargs = {**defaults, **model.kwargs}

        def model_init() -> Any:
            return load_model(
                model.name_or_path,
                task=self.name,
                num_labels=len(classes),
                id2label=classes,
                from_scratch=model.from_scratch,
                model_kwargs=kwargs,
                revision=model.revision,
                lora=model.lora,
                tokenizer=tokenizer,
            )

        return model_init


def _logits(outputs: Any) -> torch.Tensor:
    """In float32 at least."""
    import torch

    logits = outputs["logits"]
    return logits if logits.dtype == torch.float64 else logits.float()
