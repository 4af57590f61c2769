"""What the columns of a dataset are, as far as they show it: images, texts, numbers, classes, names of people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Features, Image, Value

from hf_privacy.data.columns import is_chat, is_integer_column, is_text, require_rows
from hf_privacy.data.groups import FEWEST_GROUPS

_ROWS = 1000  # looked at for the lengths of texts
_FEWEST_WORDS = 3  # in the mean: fewer are names and categories
# Names that say what a column is, apart from what it holds; of several, the earlier.
LABELS = ("label", "labels", "class", "target", "category", "y")
TEXTS = ("text", "sentence", "content", "review", "body", "message", "title", "question", "comment", "description")
PAIRS = (("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"), ("text_a", "text_b"))
ANSWERS = (("prompt", "completion"), ("question", "answer"), ("instruction", "output"), ("prompt", "response"))
_NUMBERING = re.compile(r"(^|_)(id|idx|index|uuid|guid|number|no)$|^unnamed: ?\d+$|^__index", re.IGNORECASE)
_WHOSE = re.compile(
    r"^(user|author|speaker|writer|patient|subject|customer|client|person|participant|student|employee|annotator|"
    r"owner|sender|document|doc|session|account|household|device|company|hospital)(_?(id|name|number|no|key|hash))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name : str
    kind : {"image", "text", "number", "numbers", "chat", "other"}
        "numbers" are lists of numbers.
    n_missing : int
        Rows without a value; texts of white space count, and NaN.
    n_different : int
        Different values; 0 where they are not counted (images, lists).
    is_whole : bool
        Whole numbers, truth values or a ClassLabel.
    words, longest_words : float
        Of texts: the mean number of words, and the one that 95 % of the rows stay under.
    """

    name: str
    kind: str
    n_missing: int = 0
    n_different: int = 0
    is_whole: bool = False
    words: float = 0.0
    longest_words: float = 0.0

    @property
    def reads_as_text(self) -> bool:
        """Whether it holds sentences, not names or categories: by its own name, or by its words."""
        return self.kind == "text" and (self.name.lower() in TEXTS or self.words >= _FEWEST_WORDS)

    def counts_rows(self, n_rows: int) -> bool:
        """Whether it numbers the rows, or names things, and so says nothing of an example."""
        named = bool(_NUMBERING.search(self.name)) and not _WHOSE.match(self.name)
        return named and (self.kind == "text" or self.is_whole) and self.n_different > max(2, n_rows // 2)

    def says_whose(self, n_rows: int) -> bool:
        """Whether it may say whose row it is: by its name, with several rows for some."""
        return (
            bool(_WHOSE.match(self.name))
            and (self.kind == "text" or self.is_whole)
            and self.n_missing == 0
            and FEWEST_GROUPS <= self.n_different < n_rows
        )


def look_at(rows: Dataset) -> list[Column]:
    """The columns of a dataset, in its order.

    Raises
    ------
    InputError
        For what is no dataset with rows.

    Examples
    --------
    >>> rows = Dataset.from_dict({"id": [1, 2, 3], "said": ["a b c d", "e f g", "h i j"], "kind": ["x", "y", "x"]})
    >>> [(column.name, column.kind, column.n_different) for column in look_at(rows)]
    [('id', 'number', 3), ('said', 'text', 3), ('kind', 'text', 2)]
    >>> look_at(rows)[0].counts_rows(3), look_at(rows)[1].reads_as_text, look_at(rows)[2].reads_as_text
    (True, True, False)
    """
    require_rows(rows)
    return [_look(rows, name) for name in rows.column_names]


def nameless_texts(columns: Sequence[Column]) -> list[Column]:
    """Those that hold sentences, first by their names, then by their length."""
    order = {name: place for place, name in enumerate(TEXTS)}
    texts = [column for column in columns if column.reads_as_text]
    return sorted(texts, key=lambda column: (order.get(column.name.lower(), len(order)), -column.words))


def _look(rows: Dataset, name: str) -> Column:
    kind = _kind(rows.features, name)
    if kind in ("image", "chat", "other"):
        return Column(name, kind)
    values = rows.with_format("arrow").select_columns([name])[:].column(0)
    if kind == "numbers":
        return Column(name, kind, n_missing=values.null_count)
    n_missing = values.null_count
    if kind == "text":
        n_missing += pc.sum(pc.equal(pc.utf8_trim_whitespace(values), "")).as_py() or 0
    elif pa.types.is_floating(values.type):
        n_missing += pc.sum(pc.is_nan(values)).as_py() or 0
    n_different = pc.count_distinct(values, mode="only_valid").as_py()
    if kind == "number":
        return Column(name, kind, n_missing, n_different, is_whole=is_integer_column(rows.features[name]))
    lengths = sorted(len(text.split()) for text in values[:_ROWS].to_pylist() if text) or [0]
    longest = lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))]
    return Column(name, kind, n_missing, n_different, words=sum(lengths) / len(lengths), longest_words=longest)


def _kind(features: Features, name: str) -> str:
    feature = features[name]
    if isinstance(feature, Image):
        return "image"
    if is_chat(feature):
        return "chat"
    if is_text(feature):
        return "text"
    if is_integer_column(feature) or _is_number(feature):
        return "number"
    return "numbers" if _is_number(getattr(feature, "feature", None)) else "other"


def _is_number(feature: object) -> bool:
    return isinstance(feature, Value) and feature.dtype.startswith(("int", "uint", "float", "bool", "double"))
