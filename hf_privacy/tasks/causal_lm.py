"""Causal language models: an example is a row of tokens, some of which are scored."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.errors import InputError
from hf_privacy.tasks.task import Batch, PredictionFunction, Prepared, Task, without_full_mask

if TYPE_CHECKING:
    import numpy as np
    import torch
    from datasets import Dataset

    from hf_privacy.data import TensorDataset
    from hf_privacy.models import ScoredTokens

# Of each example, made of its tokens' by `hf_privacy.signals.signals_of_tokens`.
SIGNAL_NAMES = (
    "phi", "loss", "probability", "loss_sum", "n_tokens", "mean_entropy", "correct", "min_k", "min_k_plus_plus",
)  # fmt: skip
INPUT_NAMES = ("input_ids", "attention_mask")
# The column of a located batch: `hf_privacy.models.scored_places` of its labels.
PLACES = "scored_places"


class CausalLM(Task):
    """Rows of text, of a prompt and its completion, or of a conversation, of which some tokens are scored.

    Examples
    --------
    >>> import torch
    >>> from hf_privacy.tasks import task_named
    >>> outputs, batch = {"logits": torch.zeros(1, 3, 5)}, {"labels": torch.tensor([[-100, 2, 4]])}
    >>> task_named("causal-lm").example_losses(outputs, batch)  # ln 5
    tensor([1.6094])
    """

    name = "causal-lm"
    column = "text"
    most_columns: int | None = 1
    columns_hint = ""
    processor = "tokenizer"
    input_space = "embeddings"
    augmentations: tuple[str, ...] = ()
    queries: tuple[str, ...] = ("identity",)
    signal_names = SIGNAL_NAMES
    has_classes = False
    utility_range: Mapping[str, tuple[float, float]] = {
        "loss": (0.0, math.inf), "perplexity": (1.0, math.inf), "token_accuracy": (0.0, 1.0),
    }  # fmt: skip
    data_defaults: Mapping[str, Any] = {"input_column": None, "stratify": False, "max_length": 1024}

    def load_processor(self, name_or_path: Any, *, revision: str | None = None) -> Any:
        """See `hf_privacy.models.load_tokenizer`."""
        from hf_privacy.models import load_tokenizer

        return load_tokenizer(name_or_path, revision=revision)

    def encode(
        self,
        rows: Dataset,
        processor: Any,
        *,
        columns: Sequence[str],
        label_column: str = "",
        model: Any = None,
        max_length: int | None = None,
        paraphrase_column: str | None = None,
    ) -> TensorDataset:
        """See `hf_privacy.data.encode_language`; cut where tokenizer or model end, at the latest."""
        from hf_privacy.data import encode_language
        from hf_privacy.models import context_length

        limits = [max_length, processor.model_max_length, None if model is None else context_length(model)]
        longest = min(limit for limit in limits if limit is not None)  # a tokenizer without one says 10³⁰
        return encode_language(
            rows, processor, columns=columns, max_length=longest, paraphrase_column=paraphrase_column
        )

    def prepare(self, rows: Dataset, *, model: Any, data: Any, classes: Sequence[str]) -> Prepared:
        """Rows are cut where model or tokenizer end, or at the recipe's ``max_length``."""
        import torch

        from hf_privacy.models import (
            attach_lora,
            check_token_ids,
            guard_push,
            load_base,
            load_model,
            load_tokenizer,
            on_the_same_weights,
        )

        place = {"revision": model.revision, "gguf_file": model.gguf_file}
        tokenizer = load_tokenizer(model.name_or_path, **place)
        opened = {"task": self.name, "tokenizer": tokenizer, "dtype": model.dtype, **place}
        opened["quantization"] = model.quantization
        # Functions without arguments: the Trainer counts those that a partial leaves open.
        if model.lora is None or model.from_scratch or model.kwargs:

            def model_init() -> Any:
                settings = {"from_scratch": model.from_scratch, "model_kwargs": model.kwargs, "lora": model.lora}
                return load_model(model.name_or_path, **settings, **opened)

        else:
            if model.lora.get("bias", "none") != "none":
                raise InputError(
                    f"model.lora has bias {model.lora['bias']!r}, which trains the base's own biases: target and "
                    "references stand on one base, and are compared with it; leave it out"
                )
            # Target and references are adapters of one base, which is frozen and in memory once.
            with torch.random.fork_rng(devices=[]):
                base: Any = load_base(model.name_or_path, **opened)

            def model_init() -> Any:
                copy = on_the_same_weights(base)
                return guard_push(attach_lora(copy, model.lora, task=self.name, revision=model.revision)).train()

        built = model_init()
        dataset = self.encode(
            rows,
            tokenizer,
            columns=data.input_columns,
            model=built,
            max_length=data.max_length,
            paraphrase_column=data.paraphrase_column,
        )
        check_token_ids(built, dataset.column("input_ids"))
        return Prepared(dataset, tokenizer, model_init, built)

    def augmentation(self, name: str) -> Callable[[torch.Tensor], torch.Tensor]:
        """None here: only images are augmented."""
        raise InputError(f"augmentation is {name!r} and the task is {self.name}: only images are augmented")

    def located(self, batch: Batch) -> Batch:
        """The batch with the places of its scored tokens, and without an attention mask that masks nothing."""
        from hf_privacy.models import scored_places

        return {**without_full_mask(batch), PLACES: scored_places(batch["labels"])}

    def forward(self, model: Any, batch: Batch) -> ScoredTokens:
        """See `hf_privacy.models.score_tokens`; the model gets its own inputs alone."""
        from hf_privacy.models import score_tokens

        inputs = {name: batch[name] for name in INPUT_NAMES if name in batch}
        return score_tokens(model, inputs, batch["labels"], batch.get(PLACES))

    def token_losses(self, outputs: Any, batch: Batch, *, label_smoothing: float = 0.0) -> torch.Tensor:
        """Negative log-likelihood of each scored token, in nats [n]; `label_smoothing` as in `example_losses`."""
        from torch.nn import functional as F

        def losses(logits: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor]:
            return (F.cross_entropy(logits, targets, reduction="none", label_smoothing=label_smoothing),)

        return self._scored(outputs, batch).map(losses)[0]

    def example_losses(self, outputs: Any, batch: Batch, *, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean over a row's scored tokens, for each row [B]: whatever is in its batch, and however it is padded.

        `label_smoothing` is the share of a token that the whole vocabulary divides.
        """
        scored = self._scored(outputs, batch)
        losses = self.token_losses(scored, batch, label_smoothing=label_smoothing)
        return scored.row_means(losses)

    def example_means(self, outputs: Any, batch: Batch, function: PredictionFunction) -> tuple[torch.Tensor, ...]:
        """What `function` gives of each scored token, as the mean over its row [B]; never of all logits at once.

        Examples
        --------
        >>> import torch
        >>> from hf_privacy.tasks import task_named
        >>> outputs, batch = {"logits": torch.zeros(1, 3, 5)}, {"labels": torch.tensor([[-100, 2, 4]])}
        >>> task_named("causal-lm").example_means(outputs, batch, lambda log_p, targets: (targets.float(),))
        (tensor([3.]),)
        """
        scored = self._scored(outputs, batch)
        values = scored.map(lambda logits, targets: function(logits.log_softmax(dim=-1), targets))
        return tuple(map(scored.row_means, values))

    def separate_losses(self, call: Callable[..., Any], batch: Batch) -> torch.Tensor:
        """As `example_losses`, with the logits of all positions in memory.

        Examples
        --------
        >>> import torch
        >>> from hf_privacy.tasks import task_named
        >>> def call(input_ids):
        ...     return {"logits": torch.zeros(*input_ids.shape, 5)}
        >>> ids = torch.tensor([[3, 2, 4]])
        >>> task_named("causal-lm").separate_losses(call, {"input_ids": ids, "labels": ids})  # ln 5
        tensor([1.6094])
        """
        import torch
        from torch.nn import functional as F

        from hf_privacy.arrays import IGNORED

        names = (*INPUT_NAMES, "position_ids")
        logits = call(**{name: batch[name] for name in names if name in batch})["logits"][:, :-1]
        targets = batch["labels"][:, 1:]
        if logits.dtype != torch.float64:
            logits = logits.float()
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none", ignore_index=IGNORED)
        return losses.view(targets.shape).sum(dim=1) / (targets != IGNORED).sum(dim=1)

    def mean_loss(self, outputs: Any, batch: Batch, *, average: str, label_smoothing: float = 0.0) -> torch.Tensor:
        """Mean over the batch's scored tokens ("token"), or over its rows of each row's own mean ("example")."""
        make = self.token_losses if average == "token" else self.example_losses
        return make(outputs, batch, label_smoothing=label_smoothing).mean()

    def of_scored(self, values: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Of a value for each token of a row that follows another, [B, L − 1], those of the scored tokens: [n].

        Examples
        --------
        >>> import torch
        >>> from hf_privacy.tasks import task_named
        >>> batch = {"labels": torch.tensor([[-100, 2, 4], [1, -100, 3]])}
        >>> task_named("causal-lm").of_scored(torch.tensor([[1, 2], [3, 4]]), batch)
        tensor([1, 2, 4])
        """
        from torch.nn import functional as F

        from hf_privacy.models import scored_places

        places = batch[PLACES] if PLACES in batch else scored_places(batch["labels"])
        return F.pad(values, (0, 1)).flatten().index_select(0, places)

    def example_counts(self, batch: Batch) -> torch.Tensor:
        """How many tokens of each row are scored, int64 [B]."""
        from hf_privacy.arrays import IGNORED
        from hf_privacy.models import scored_positions

        if PLACES in batch:  # then no row is without one
            return (batch["labels"][:, 1:] != IGNORED).sum(dim=1)
        return scored_positions(batch["labels"])[2]

    def count(self, batch: Batch, *, average: str) -> int:
        """How many scored tokens, or rows, `mean_loss` is the mean of."""
        if average == "example":
            return len(batch["labels"])
        return len(batch[PLACES]) if PLACES in batch else int(self.example_counts(batch).sum())

    def signals(self, outputs: Any, batch: Batch) -> dict[str, torch.Tensor]:
        """Of each row [B]; `hf_privacy.signals.token_signals` keeps what each token gives."""
        import torch

        from hf_privacy.tasks.token_values import example_values, token_values

        scored = self._scored(outputs, batch)
        log_prob, mean, variance, greedy = (values.cpu().numpy() for values in token_values(scored))
        offsets = torch.cat([scored.counts.new_zeros(1), scored.counts.cumsum(0)]).cpu().numpy()
        found = example_values(log_prob, mean, variance, greedy, offsets)
        return {name: torch.from_numpy(values) for name, values in found.items()}

    def utility(self, signals: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Loss in nats a token, its exponential, and the share of tokens that greedy decoding would give.

        All are means over tokens, as a language model's are: a long row counts for more than a short one.

        Examples
        --------
        >>> import numpy as np
        >>> from hf_privacy.tasks import task_named
        >>> signals = {"loss_sum": np.array([2.0, 0.0]), "n_tokens": np.array([1, 1]), "correct": np.array([0.0, 1.0])}
        >>> task_named("causal-lm").utility(signals)
        {'loss': 1.0, 'perplexity': 2.718281828459045, 'token_accuracy': 0.5}
        """
        n_tokens = signals["n_tokens"].sum()
        loss = float(signals["loss_sum"].sum() / n_tokens)
        accuracy = float((signals["correct"] * signals["n_tokens"]).sum() / n_tokens)
        return {"loss": loss, "perplexity": perplexity(loss), "token_accuracy": accuracy}

    def utility_estimates(
        self, signals: Mapping[str, np.ndarray], *, groups: np.ndarray | None = None, confidence: float = 0.95
    ) -> dict[str, Any]:
        """Loss, and perplexity and token accuracy with intervals by `hf_privacy.statistics.ratio_interval`.

        Rows are what is drawn, or groups of them; tokens of one row are alike. The logarithms of perplexity's ends
        are those of the loss.

        Examples
        --------
        >>> import numpy as np
        >>> from hf_privacy.tasks import task_named
        >>> signals = {"loss_sum": np.array([2.0, 1.0]), "n_tokens": np.array([1, 1]), "correct": np.array([0.0, 1.0])}
        >>> found = task_named("causal-lm").utility_estimates(signals)
        >>> found["loss"], found["token_accuracy"]
        (1.5, {'value': 0.5, 'low': 0.0, 'high': 1.0})
        """
        from hf_privacy.statistics.ratio_interval import ratio_interval

        found, counts = self.utility(signals), signals["n_tokens"]
        drawn: dict[str, Any] = {"groups": groups, "confidence": confidence}
        ends = ratio_interval(signals["loss_sum"], counts, within=self.utility_range["loss"], **drawn)
        hits = ratio_interval(
            signals["correct"] * counts, counts, within=self.utility_range["token_accuracy"], **drawn
        )
        return {
            "loss": found["loss"],
            "perplexity": _estimate(found["perplexity"], *map(perplexity, ends)),
            "token_accuracy": _estimate(found["token_accuracy"], *hits),
        }

    def _scored(self, outputs: Any, batch: Batch) -> ScoredTokens:
        from hf_privacy.models import ScoredTokens

        if isinstance(outputs, ScoredTokens):
            return outputs
        return ScoredTokens.of_logits(outputs["logits"], batch["labels"], batch.get(PLACES))


def perplexity(loss: float) -> float:
    """The exponential of a mean loss in nats a token.

    Examples
    --------
    >>> perplexity(0.0)
    1.0
    """
    return math.exp(min(loss, 700.0))  # beyond, float64 has no number for it


def _estimate(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}
