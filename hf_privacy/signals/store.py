"""The table of signals on disk: one file per reference model, read as model × example arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save as to_safetensors

from hf_privacy.atomic_file import claimed, remove_leftovers, write_atomically
from hf_privacy.errors import InputError
from hf_privacy.signals.names import clean_rows
from hf_privacy.signals.store_metadata import (
    METADATA_FILE,
    complete_metadata,
    read_metadata,
    refuse_stale,
    store_identity,
)
from hf_privacy.signals.store_tensors import TOKEN_NAMES, store_tensors, tensor_shapes
from hf_privacy.signals.tensor_file import TensorFile, sealed

if TYPE_CHECKING:
    from hf_privacy.signals.tokens import TokenSignals


class SignalStore:
    """A folder with the signals of K reference models on the same N examples.

    One safetensors file per model (``reference_0003.safetensors``: every signal as float64 [Q, N], ``membership`` as
    uint8 [N]; with ``n_tokens`` in the metadata also those of every scored token, see :meth:`tokens`) and
    ``metadata.json``, which says what the table belongs to. A file appears whole or not at all, so a
    killed run leaves nothing to repair. Each file holds the number of its model, the identity of its store and a
    SHA-256 of all it says: one that is cut short, has a byte flipped or was copied from another place counts as not
    there (:meth:`damaged` names it) and is written again. Reading maps the files into memory and copies only the
    columns asked for.

    Open one with :meth:`create` (makes it, or opens the same one again) or :meth:`open`.

    Attributes
    ----------
    folder : Path
    metadata : dict
        As given to :meth:`create`, plus ``store_version`` and ``versions``, of the packages that shape the figures.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> metadata = {"recipe_hash": "r", "dataset_fingerprint": "d", "split_hash": "s", "example_ids_digest": "e",
    ...             "n_models": 2, "n_examples": 3, "queries": ["identity"], "signals": ["phi"]}
    >>> folder = tempfile.mkdtemp()
    >>> store = SignalStore.create(folder, metadata)
    >>> store.write(1, {"phi": np.array([[0.5, -1.0, 2.0]])}, np.array([True, False, True]), info={"seed": 7})
    >>> store.completed(), store.info(1)
    ([1], {'seed': 7})
    >>> store.read("phi", models=[1])
    array([[ 0.5, -1. ,  2. ]])
    """

    def __init__(self, folder: str | Path, metadata: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.metadata = dict(metadata)

    @classmethod
    def create(cls, folder: str | Path, metadata: Mapping[str, Any]) -> SignalStore:
        """Make a store in `folder`, or open the one that is there if its metadata are the same.

        Only ``n_models`` may differ: a larger number lets the store grow, a smaller one sees its first models.

        Parameters
        ----------
        folder : str or Path
            Made if absent.
        metadata : mapping
            JSON values. ``recipe_hash``, ``dataset_fingerprint``, ``split_hash``, ``example_ids_digest`` (str),
            ``n_models``, ``n_examples`` (int), ``queries``, ``signals`` (list of str); more keys, such as the
            settings of an adversarial query, are kept and compared too.

        Raises
        ------
        InputError
            When a required key is missing, or the folder holds a store with other metadata (a stale store).
        """
        folder = Path(folder)
        wanted = complete_metadata(metadata)
        if (folder / METADATA_FILE).is_file():
            store = cls.open(folder)
            refuse_stale(folder.name, store.metadata, wanted)
            if wanted["n_models"] > store.n_models:
                write_atomically(folder / METADATA_FILE, json.dumps(wanted, indent=2, sort_keys=True).encode())
            return cls(folder, wanted)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("reference_*.safetensors")):
            raise InputError(
                f"the folder {folder.name} has reference files but no {METADATA_FILE}: use another folder"
            )
        write_atomically(folder / METADATA_FILE, json.dumps(wanted, indent=2, sort_keys=True).encode())
        return cls.open(folder)

    @classmethod
    def open(cls, folder: str | Path) -> SignalStore:
        """Open an existing store and clear what killed writers left behind.

        Raises
        ------
        InputError
            When `folder` holds no store, or one of another store version.
        """
        folder = Path(folder)
        metadata = read_metadata(folder)
        remove_leftovers(folder)
        return cls(folder, metadata)

    @property
    def n_models(self) -> int:
        """Number of reference models planned, K."""
        return self.metadata["n_models"]

    @property
    def n_examples(self) -> int:
        """Number of examples, N."""
        return self.metadata["n_examples"]

    @property
    def queries(self) -> list[str]:
        """Names of the queries, Q of them."""
        return self.metadata["queries"]

    @property
    def signals(self) -> list[str]:
        """Names of the signals."""
        return self.metadata["signals"]

    def has(self, model: int) -> bool:
        """Whether the file of reference model number `model` is there and whole."""
        self._check_number(model)
        return self._file(model) is not None

    def completed(self) -> list[int]:
        """Numbers of the reference models whose files are there and whole, ascending."""
        return [model for model in range(self.n_models) if self.has(model)]

    def damaged(self) -> list[int]:
        """Numbers of the reference models that have a file, but not a whole one of theirs; ascending."""
        return [model for model in range(self.n_models) if self._path(model).is_file() and not self.has(model)]

    def write(
        self,
        model: int,
        signals: Mapping[str, np.ndarray],
        membership: np.ndarray,
        info: Mapping[str, Any] | None = None,
        *,
        tokens: TokenSignals | None = None,
    ) -> None:
        """Store the signals of one reference model; writing it again replaces it.

        Parameters
        ----------
        model : int
            Its number, in ``0 … n_models − 1``.
        signals : mapping of str to array of shape [Q, N]
            Exactly the signals named in the metadata.
        membership : bool array of shape [N]
            True for the examples this model was trained on (IN).
        info : mapping, optional
            JSON values to keep with it: seconds, seed, accuracy.
        tokens : TokenSignals, optional
            Of the same examples; exactly where the metadata have ``n_tokens``.

        Raises
        ------
        InputError
            For other names or shapes, or values that are not finite.
        """
        self._check_number(model)
        tensors = store_tensors(
            signals,
            membership,
            names=self.signals,
            n_queries=len(self.queries),
            n_examples=self.n_examples,
            tokens=tokens,
            n_tokens=self.metadata.get("n_tokens"),
        )
        said = {**self._place_of(model), "info": json.dumps(dict(info or {}))}
        content = to_safetensors(tensors, metadata=sealed(tensors, said))
        write_atomically(self._path(model), content)

    def adopt(self, model: int, file: Path) -> bool:
        """Take a file that the same store made on another machine; whether it is whole and this model's in this store.

        Parameters
        ----------
        model : int
        file : Path
            Copied, byte for byte.
        """
        self._check_number(model)
        if self._file(model, file) is None:
            return False
        write_atomically(self._path(model), file.read_bytes())
        return True

    def read(
        self,
        signal: str,
        *,
        models: Sequence[int] | None = None,
        query: int | str | None = "mean",
        columns: slice = slice(None),
    ) -> np.ndarray:
        """One signal of several models: float64 [K, N], rows in the order of `models`.

        Parameters
        ----------
        signal : str
            One of ``signals``.
        models : sequence of int, optional
            Which models; by default all :meth:`completed` ones.
        query : int, str or None
            A query's number or name; ``"mean"`` (the default) averages over the queries, the adversarial one left
            out; ``None`` keeps them apart and gives [K, Q, N].
        columns : slice
            Which examples. Only these are read from disk, so a table larger than memory can be gone through in
            stretches.

        Raises
        ------
        InputError
            For an unknown signal, query or model, or a model whose file is not there.
        """
        self._check_signal(signal)
        if query is not None and query != "mean":
            query = self._query_number(query)
        averaged = clean_rows(self.queries)
        rows = []
        for file in self._files(models):
            values = file.mapped()[signal][:, columns]
            if query == "mean":
                values = values[averaged].mean(axis=0)
            elif query is not None:
                values = values[query]
            rows.append(np.array(values, dtype=np.float64))
        width = len(range(*columns.indices(self.n_examples)))
        shape = (len(self.queries), width) if query is None else (width,)
        return np.stack(rows) if rows else np.empty((0, *shape))

    def rows(
        self, signal: str, *, models: Sequence[int] | None = None, query: int | str = 0
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """One query of a signal, and membership, of several models without reading them: K arrays [N] each.

        They are mapped into memory: only the pages that are used are read from disk, and the system may take them
        back, so tables larger than memory can be handed to the attacks that go through them in stretches.

        Parameters
        ----------
        signal : str
            One of ``signals``.
        models : sequence of int, optional
            Which models; by default all :meth:`completed` ones.
        query : int or str
            A query's number or name. For several, pass the attack one list a query.

        Returns
        -------
        signals, membership : list of float64[N], list of bool[N]
            Read-only, in the order of `models`.

        Raises
        ------
        InputError
            As :meth:`read`.
        """
        self._check_signal(signal)
        number = self._query_number(query)
        tables = [file.mapped() for file in self._files(models)]
        return (
            [table[signal][number] for table in tables],
            [table["membership"].view(np.bool_) for table in tables],
        )

    def tokens(self, model: int, offsets: np.ndarray) -> TokenSignals:
        """What one model says of every scored token, mapped into memory; ``offsets`` are those of the examples.

        Raises
        ------
        InputError
            When the model's file is not there, or the store holds no tokens.
        """
        from hf_privacy.signals.tokens import TokenSignals

        if self.metadata.get("n_tokens") != int(offsets[-1]):
            raise InputError(
                f"offsets end at {int(offsets[-1]):,} and the store has {self.metadata.get('n_tokens') or 'no'} "
                "tokens: pass those of the store's examples"
            )
        (file,) = self._files([model])
        table = file.mapped()
        log_prob, mean, variance, greedy = (table[name] for name in TOKEN_NAMES)
        return TokenSignals(log_prob, mean, variance, greedy.view(np.bool_), offsets)

    def membership(self, *, models: Sequence[int] | None = None, columns: slice = slice(None)) -> np.ndarray:
        """Which examples each model was trained on: bool [K, N], rows and columns as in :meth:`read`."""
        rows = [np.array(file.mapped()["membership"][columns], dtype=bool) for file in self._files(models)]
        return np.stack(rows) if rows else np.empty((0, len(range(*columns.indices(self.n_examples)))), dtype=bool)

    def info(self, model: int) -> dict[str, Any]:
        """What :meth:`write` was given as `info` for this model."""
        (file,) = self._files([model])
        return json.loads(file.metadata["info"])

    @contextmanager
    def claim(self, model: int) -> Iterator[bool]:
        """Reserve one model for this process, so that several workers share a store without doing a model twice.

        Yields True when the model is still to do and nobody else is at it, else False; the reservation ends with
        the ``with`` block. It is a lock of the operating system, which lets go by itself when its process is killed,
        so no stale reservation can remain.
        """
        self._check_number(model)
        with claimed(self.folder / f"reference_{model:04d}.lock") as mine:
            yield mine and not self.has(model)

    def _check_signal(self, signal: str) -> None:
        if signal not in self.signals:
            raise InputError(f"signal is {signal!r}: the store has {self.signals}")

    def _query_number(self, query: int | str) -> int:
        if isinstance(query, str):
            if query not in self.queries:
                raise InputError(f"query is {query!r}: the store has {self.queries}")
            return self.queries.index(query)
        if not 0 <= query < len(self.queries):
            raise InputError(f"query is {query}: the store has {len(self.queries)} queries")
        return query

    def file_name(self, model: int) -> str:
        """What the file of reference model number `model` is called in the folder."""
        return f"reference_{model:04d}.safetensors"

    def _path(self, model: int) -> Path:
        return self.folder / self.file_name(model)

    def _file(self, model: int, path: Path | None = None) -> TensorFile | None:
        """The model's file, or None where it is absent, damaged, or not this model's in this store."""
        shapes = tensor_shapes(
            self.signals,
            n_queries=len(self.queries),
            n_examples=self.n_examples,
            n_tokens=self.metadata.get("n_tokens"),
        )
        file = TensorFile.open(path or self._path(model), shapes)
        if file is None or not self._place_of(model).items() <= file.metadata.items() or not file.is_sealed():
            return None
        return file

    def _place_of(self, model: int) -> dict[str, str]:
        """What a file says of where it belongs."""
        return {"store": store_identity(self.metadata), "model": str(model)}

    def _files(self, models: Sequence[int] | None) -> Iterator[TensorFile]:
        for model in self.completed() if models is None else models:
            self._check_number(model)
            file = self._file(model)
            if file is None:
                raise InputError(f"reference model {model} is not in the store: train it first, see completed()")
            yield file

    def _check_number(self, model: int) -> None:
        if not 0 <= model < self.n_models:
            raise InputError(f"model is {model}: the store has the numbers 0 to {self.n_models - 1}")
