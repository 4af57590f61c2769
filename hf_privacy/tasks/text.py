"""Classification of texts, or of pairs of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.tasks.classification import Classification
from hf_privacy.tasks.task import Batch, Prepared, without_full_mask

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_privacy.data import TensorDataset


class TextClassification(Classification):
    """Tokens of a text, "input_ids" and what else its tokenizer gives."""

    name = "text-classification"
    most_columns = 2
    column = "text"
    processor = "tokenizer"
    input_space = "embeddings"

    def located(self, batch: Batch) -> Batch:
        """Without an attention mask that masks nothing."""
        return without_full_mask(batch)

    def load_processor(self, name_or_path: Any, *, revision: str | None = None) -> Any:
        """See `hf_privacy.models.load_tokenizer`."""
        from hf_privacy.models import load_tokenizer

        return load_tokenizer(name_or_path, revision=revision)

    columns_hint = ", or two for sentence pairs"

    def encode(
        self,
        rows: Dataset,
        processor: Any,
        *,
        columns: Sequence[str],
        label_column: str,
        model: Any = None,
        max_length: int | None = None,
    ) -> TensorDataset:
        """See `hf_privacy.data.encode_text`; padded on the model's side, without one on the tokenizer's."""
        from hf_privacy.data import encode_text
        from hf_privacy.models import padding_side_for

        column = columns[0] if len(columns) == 1 else tuple(columns)
        side = None if model is None else padding_side_for(model, processor)
        names = {"text_column": column, "label_column": label_column}
        return encode_text(rows, processor, **names, max_length=max_length, padding_side=side)

    def prepare(self, rows: Dataset, *, model: Any, data: Any, classes: Sequence[str]) -> Prepared:
        """Texts are padded on the side that suits the model, and cut where it or its tokenizer ends."""
        from hf_privacy.models import padding_side_for, position_limit

        tokenizer = self.load_processor(model.name_or_path, revision=model.revision)
        model_init = self._model_init(model, classes, tokenizer=tokenizer)
        built = model_init()
        tokenizer.padding_side = padding_side_for(built, tokenizer)
        longest = min(data.max_length, tokenizer.model_max_length, position_limit(built) or data.max_length)
        dataset = self.encode(
            rows, tokenizer, columns=data.input_columns, label_column=data.label_column, max_length=longest
        )
        return Prepared(dataset, tokenizer, model_init, built)
