"""The one door through which arrays enter: what an array-like holds is read exactly, or refused in one sentence.

Lists, NumPy arrays, memory-mapped ones (not copied), series and columns of data frames, and tensors in main memory are
taken; pandas' nullable types too, where nothing is missing. Refused are masked entries, missing values, imaginary
parts, strings, dates, rows of different length, and whole numbers that float64 cannot hold.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hf_privacy.errors import InputError, one_line

_LARGEST_WHOLE = 2**53  # float64 holds every whole number up to here
_DEEPEST = 8  # of lists in lists that are looked through for masks; NumPy refuses what goes much deeper

IGNORED = -100  # the label of a token that is not scored, as in transformers and torch


def plain_array(name: str, values: Any) -> NDArray[Any]:
    """The values as an array of whatever type, without a copy where they are one already.

    Raises
    ------
    InputError
        If entries are masked, rows differ in length, or NumPy cannot read the values.

    Examples
    --------
    >>> plain_array("groups", ["a", "b"]).tolist()
    ['a', 'b']
    >>> plain_array("groups", np.ma.masked_equal([1, 2], 2))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: groups has 1 masked entry: leave masked entries out, or fill them, before passing it
    """
    n_masked = _count_masked(values)
    if n_masked:
        entries = "1 masked entry" if n_masked == 1 else f"{n_masked:,} masked entries"
        raise InputError(f"{name} has {entries}: leave masked entries out, or fill them, before passing it")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if isinstance(error, ValueError) and isinstance(values, (list, tuple)):
            raise InputError(f"{name} is ragged: pass rows of one length") from error
        why = one_line(error, longest=None)
        raise InputError(
            f"{name} is a {type(values).__name__} that NumPy cannot read ({why}): pass an array"
        ) from error


def real_array(name: str, values: Any) -> NDArray[Any]:
    """The values as an array of booleans or real numbers, without a copy where they are one already.

    A memory-mapped array stays on disk. Whether the values are finite is not looked at: see `finite`.

    Raises
    ------
    InputError
        As `plain_array`; also if the values are no real numbers, or whole numbers beyond ±2⁵³.

    Examples
    --------
    >>> real_array("signal", [1, 2])
    array([1, 2])
    >>> real_array("signal", [1, None])
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: signal holds a NoneType: pass real numbers
    """
    array = plain_array(name, values)
    if array.dtype == np.object_:
        array = _from_objects(name, array)
    if array.dtype.kind not in "biuf":
        raise InputError(f"{name} has dtype {array.dtype}: pass real numbers")
    may_round = array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size
    if may_round and (array.max() > _LARGEST_WHOLE or array.min() < -_LARGEST_WHOLE):
        raise _too_large(name)
    return array


def finite(name: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """Real numbers (of `real_array`) as float64.

    Raises
    ------
    InputError
        If any is NaN or infinite: how many are.

    Examples
    --------
    >>> finite("signal", np.array([1, 2]))
    array([1., 2.])
    """
    with np.errstate(over="ignore"):  # of a longer float: found as infinity below
        numbers = values.astype(np.float64, copy=False)
    n_bad = int(np.count_nonzero(~np.isfinite(numbers)))
    if n_bad:
        raise InputError(f"{name} holds {n_bad:,} NaN or infinite values of {numbers.size:,}: pass finite values")
    return numbers


def finite_array(name: str, values: Any) -> NDArray[np.float64]:
    """The values as finite float64, of any shape.

    Raises
    ------
    InputError
        As `real_array` and `finite`.

    Examples
    --------
    >>> finite_array("losses", [[1, 2]])
    array([[1., 2.]])
    """
    return finite(name, real_array(name, values))


def finite_vector(name: str, values: ArrayLike, *, n_examples: int | None = None) -> NDArray[np.float64]:
    """One finite float64 per example.

    Raises
    ------
    InputError
        As `finite_array`; also if the values are empty, not one-dimensional, or not ``n_examples``.

    Examples
    --------
    >>> finite_vector("loss", [0.5, 2])
    array([0.5, 2. ])
    """
    array = real_array(name, values)
    if array.ndim != 1:
        raise InputError(f"{name} has shape {array.shape}: pass one dimension, one value per example")
    if array.size == 0:
        raise InputError(f"{name} is empty: pass at least one example")
    if n_examples is not None and len(array) != n_examples:
        raise InputError(f"{name} has {len(array):,} rows for {n_examples:,} examples: pass one value per example")
    return finite(name, array)


def squarable(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Finite values of which squares of differences can be summed up.

    Raises
    ------
    InputError
        If they would leave float64: values beyond ±10¹⁵⁰, or different by less than 10⁻¹⁵⁰ in all.

    Examples
    --------
    >>> squarable("x", np.array([1.0, 1e200]))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: x goes from 1 to 1e+200: squares of such values leave float64, pass other units
    """
    if values.size:
        low, high = float(values.min()), float(values.max())
        if max(-low, high) > 1e150 or 0.0 < high - low < 1e-150:
            raise InputError(
                f"{name} goes from {low:.4g} to {high:.4g}: squares of such values leave float64, pass other units"
            )
    return values


def boolean_array(name: str, values: ArrayLike, *, true: str = "True for yes") -> NDArray[np.bool_]:
    """Booleans, of any shape; 0 and 1 are not taken for them, since a score may be 0 and 1 as well.

    Raises
    ------
    InputError
        As `plain_array`; also if the values are not boolean. ``true`` says in the message what True stands for.

    Examples
    --------
    >>> boolean_array("membership", [True, False])
    array([ True, False])
    """
    array = plain_array(name, values)
    if array.dtype == np.object_:
        array = _from_objects(name, array)
    if array.size == 0:  # an empty list has no type of its own
        return array.astype(np.bool_)
    if array.dtype != np.bool_:
        raise InputError(f"{name} has dtype {array.dtype}: pass booleans, {true}")
    return array


def boolean_vector(
    name: str, values: ArrayLike, *, n_examples: int | None = None, true: str = "True for yes"
) -> NDArray[np.bool_]:
    """One yes or no per example.

    Raises
    ------
    InputError
        As `boolean_array`; also if the values are not one-dimensional, or not ``n_examples``.

    Examples
    --------
    >>> boolean_vector("mislabelled", [True, False], n_examples=2)
    array([ True, False])
    """
    vector = boolean_array(name, values, true=true)
    if vector.ndim != 1:
        raise InputError(f"{name} has shape {vector.shape}: pass one dimension, one value per example")
    if n_examples is not None and len(vector) != n_examples:
        raise InputError(f"{name} has {len(vector):,} rows for {n_examples:,} examples: pass one value per example")
    return vector


def zero_one(name: str, values: ArrayLike, *, one: str = "yes", zero: str = "no") -> NDArray[np.bool_]:
    """A yes or no written as 0/1 or as booleans, of any shape, as booleans.

    Raises
    ------
    InputError
        As `real_array`; also if a value is neither 0 nor 1. ``one`` and ``zero`` say what they stand for.

    Examples
    --------
    >>> zero_one("references", [1, 0, True])
    array([ True, False,  True])
    """
    array = real_array(name, values)
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise InputError(f"{name} holds {wrong.flat[0]:g}: pass 1 for {one} and 0 for {zero}")
    return array == 1


def label_array(name: str, values: Any) -> NDArray[Any]:
    """Labels that are compared and sorted, never counted with: whole numbers or strings.

    Raises
    ------
    InputError
        As `plain_array`; also for labels of mixed or other types, or NaN.

    Examples
    --------
    >>> label_array("groups", ["a", "b", "a"]).tolist()
    ['a', 'b', 'a']
    """
    array = plain_array(name, values)
    if array.dtype == np.object_ and array.size:
        items = array.ravel().tolist()
        for kind, dtype in ((str, np.str_), (bool, np.bool_), (Integral, np.int64)):
            if all(isinstance(item, kind) for item in items) and (
                kind is not Integral or max(map(abs, items)) < 2**63
            ):
                array = array.astype(dtype)
                break
    if array.dtype.kind not in "biuUSf" or (array.dtype.kind == "f" and np.isnan(array).any()):
        raise InputError(f"{name} has dtype {array.dtype} or holds NaN: pass whole numbers or strings")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def row_numbers(name: str, values: Any, *, below: int | None = None) -> NDArray[np.int64]:
    """Row numbers, in the order given; there may be none.

    Raises
    ------
    InputError
        As `real_array`; also if the values are not one-dimensional or no whole numbers, or one is negative or, where
        it is given, not ``below``.

    Examples
    --------
    >>> row_numbers("members", [2, 0], below=3)
    array([2, 0])
    """
    array = real_array(name, values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{name} has shape {array.shape} and type {array.dtype}: pass a flat list of row numbers")
    rows = array.astype(np.int64)
    if rows.size and (rows.min() < 0 or (below is not None and rows.max() >= below)):
        there_are = "from 0" if below is None else f"from 0 to {below - 1}"
        raise InputError(f"{name} goes from {rows.min()} to {rows.max()} and the rows {there_are}")
    return rows


def whole_array(name: str, values: Any) -> NDArray[np.int64]:
    """Whole numbers of any shape; 2.0 is taken for 2, booleans are not.

    Raises
    ------
    InputError
        As `finite_array`; also if a value is not whole, or beyond ±2⁵³.

    Examples
    --------
    >>> whole_array("trials", [1, 2.0])
    array([1, 2])
    """
    array = real_array(name, values)
    numbers = finite(name, array)
    if array.dtype == np.bool_ or np.any(numbers != np.floor(numbers)):
        raise InputError(f"{name} holds values that are not whole: pass whole numbers")
    if numbers.size and np.abs(numbers).max() > _LARGEST_WHOLE:
        raise _too_large(name)
    return array.astype(np.int64)


def check_offsets(offsets: ArrayLike, n_values: int, name: str) -> NDArray[np.int64]:
    """Offsets as int64 [N + 1], of rows that fill the ``n_values`` of the argument ``name``.

    Raises
    ------
    InputError
        If they are not one-dimensional whole numbers that start at 0, never fall and end at ``n_values``, or rows hold
        no value: how many.

    Examples
    --------
    >>> check_offsets([0, 2, 2], 2, "log_prob")
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: offsets leave 1 of 2 rows without a scored token, row 1 the first: leave ...
    """
    starts = whole_array("offsets", offsets)
    if starts.ndim != 1 or len(starts) < 2:
        raise InputError(f"offsets has shape {starts.shape}: pass one start per row and the end, N + 1 in all")
    lengths = np.diff(starts)
    if starts[0] != 0 or starts[-1] != n_values or lengths.min() < 0:
        falls = ", and fall in between" if lengths.min() < 0 else ""
        raise InputError(
            f"offsets go from {starts[0]:,} to {starts[-1]:,}{falls} and {name} has {n_values:,} values: "
            "start at 0, never fall, and end at the number of values"
        )
    empty = np.flatnonzero(lengths == 0)
    if len(empty):
        raise InputError(
            f"offsets leave {len(empty):,} of {len(lengths):,} rows without a scored token, row {empty[0]:,} the "
            "first: leave such rows out"
        )
    return starts


def class_labels(name: str, values: ArrayLike, *, n_examples: int | None = None) -> NDArray[np.int64]:
    """One class per example, counted from 0; 2.0 is taken for 2.

    Raises
    ------
    InputError
        As `whole_array`; also if there is not one number ≥ 0 per example.

    Examples
    --------
    >>> class_labels("labels", [0, 2.0], n_examples=2)
    array([0, 2])
    """
    shape = plain_array(name, values).shape
    if len(shape) != 1 or (n_examples is not None and shape[0] != n_examples):
        wanted = "one class per example" if n_examples is None else f"{n_examples:,} classes, one per example"
        raise InputError(f"{name} has shape {shape}: pass {wanted}")
    numbers = finite_array(name, values)
    if np.any(numbers != np.floor(numbers)) or (numbers.size and numbers.min() < 0):
        raise InputError(f"{name} holds values that are no classes: pass whole numbers from 0")
    return whole_array(name, values)


def _count_masked(values: Any, depth: int = 0) -> int:
    """Entries under a mask: `numpy.asarray` reads what lies beneath, in a list of masked arrays as well."""
    if isinstance(values, np.ma.MaskedArray):
        return int(np.count_nonzero(np.ma.getmaskarray(values)))
    if isinstance(values, (list, tuple)) and depth < _DEEPEST:
        return sum(_count_masked(part, depth + 1) for part in values if isinstance(part, (list, tuple, np.ndarray)))
    return 0


def _from_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """What lay in an array of Python objects: all booleans, all whole numbers, or all real ones."""
    if array.ndim == 0:
        raise InputError(f"{name} is a {type(array.item()).__name__}: pass an array of numbers")
    items = array.ravel().tolist()
    if items and all(isinstance(item, (bool, np.bool_)) for item in items):
        return array.astype(np.bool_)
    for item in items:
        if not isinstance(item, Real) or isinstance(item, (bool, np.timedelta64)):
            raise InputError(f"{name} holds a {type(item).__name__}: pass real numbers")
        if isinstance(item, Integral) and abs(int(item)) > _LARGEST_WHOLE:
            raise _too_large(name)
    return array.astype(np.int64 if all(isinstance(item, Integral) for item in items) else np.float64)


def _too_large(name: str) -> InputError:
    return InputError(
        f"{name} holds whole numbers beyond 2**53, which float64 would round: pass smaller ones, or floats"
    )
