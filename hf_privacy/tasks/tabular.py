"""Classification of tables: an example is a row of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hf_privacy.tasks.classification import Classification
from hf_privacy.tasks.task import Prepared

if TYPE_CHECKING:
    from datasets import Dataset

    from hf_privacy.data import TensorDataset


class TabularClassification(Classification):
    """Rows of "features"; a column of lists, or several of single numbers."""

    name = "tabular-classification"
    column = input_space = "features"
    most_columns = None
    columns_hint = ", or several of single numbers"

    def encode(
        self, rows: Dataset, processor: Any, *, columns: Sequence[str], label_column: str, model: Any = None
    ) -> TensorDataset:
        """See `hf_privacy.data.encode_features`; there is no processor."""
        from hf_privacy.data import encode_features

        column = columns[0] if len(columns) == 1 else tuple(columns)
        return encode_features(rows, feature_column=column, label_column=label_column)

    def prepare(self, rows: Dataset, *, model: Any, data: Any, classes: Sequence[str]) -> Prepared:
        """The model is as wide as the rows."""
        dataset = self.encode(rows, None, columns=data.input_columns, label_column=data.label_column)
        model_init = self._model_init(model, classes, input_size=dataset.row_shape("features")[0])
        return Prepared(dataset, None, model_init, model_init())
