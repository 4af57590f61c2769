"""Tables larger than memory: read in place, in stretches, to the same scores bit for bit."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from hf_privacy.attacks import lira, reference_rows, rmia, tune_rmia_a
from hf_privacy.attacks.reference_rows import as_table, blocks, count_in
from hf_privacy.errors import InputError

K, N, Z = 6, 300, 40


def draw(n_references=K, n_examples=N, dtype=np.float64):
    generator = np.random.default_rng(0)
    half = generator.random((n_references // 2, n_examples)) < 0.5
    membership = np.concatenate([half, ~half])
    probs = generator.random((n_references, n_examples)).astype(dtype)
    return generator.random(n_examples), probs, membership


def population():
    generator = np.random.default_rng(1)
    return generator.random(Z), generator.random((K, Z))


def on_disk(folder, table, *, name="table"):
    np.save(folder / f"{name}.npy", table)
    return np.load(folder / f"{name}.npy", mmap_mode="r")


def one_file_a_row(folder, table, *, name="row"):
    return [on_disk(folder, row, name=f"{name}{number}") for number, row in enumerate(table)]


def every_score(signal, references, membership, population_probs, population_references):
    """All that goes through the tables."""
    scores = [
        lira(signal, references, membership, mode=mode, variance=variance)
        for mode in ("online", "offline")
        for variance in ("per_example", "pooled", "shrunk", "global")
    ]
    rest = (population_probs, population_references)
    scores += [rmia(signal, references, membership, *rest)]
    scores += [rmia(signal, references, membership, *rest, mode="offline", a=0.3)]
    tuned = tune_rmia_a(references, membership, grid=[0.0, 0.5, 1.0])
    return np.stack([*scores, np.full_like(signal, tuned)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_memory_maps_and_lists_of_rows_give_the_scores_of_the_array(tmp_path, dtype):
    signal, probs, membership = draw(dtype=dtype)
    probs_z, references_z = population()
    expected = every_score(signal, probs.astype(np.float64), membership, probs_z, references_z)
    mapped = every_score(
        signal, on_disk(tmp_path, probs), on_disk(tmp_path, membership, name="m"), probs_z, references_z
    )
    np.testing.assert_array_equal(mapped, expected)
    rows = one_file_a_row(tmp_path, probs), one_file_a_row(tmp_path, membership, name="in")
    rows_z = one_file_a_row(tmp_path, references_z, name="z")
    np.testing.assert_array_equal(every_score(signal, *rows, probs_z, rows_z), expected)
    np.testing.assert_array_equal(every_score(signal, tuple(probs), tuple(membership), probs_z, rows_z), expected)
    for row, file in zip(as_table("x", rows[0]).rows, rows[0], strict=True):
        assert np.shares_memory(row, file)


def test_queries_may_be_lists_of_lists_of_rows(tmp_path):
    signal, probs, membership = draw()
    tables = np.stack([probs, probs[::-1]])
    rows = [one_file_a_row(tmp_path, table, name=f"q{number}_") for number, table in enumerate(tables)]
    signals = np.stack([signal, signal[::-1]])
    np.testing.assert_array_equal(lira(signals, rows, membership), lira(signals, tables, membership))
    np.testing.assert_array_equal(lira(signals, list(tables), membership), lira(signals, tables, membership))


@pytest.mark.parametrize("block", [1, 7, 100, 299, 300, 301])
def test_scores_do_not_depend_on_where_the_stretches_end(monkeypatch, block):
    arguments = (*draw(), *population())
    expected = every_score(*arguments)
    monkeypatch.setattr(reference_rows, "BLOCK", block)
    stretches = [np.arange(N)[stretch] for stretch in blocks(N)]
    np.testing.assert_array_equal(np.concatenate(stretches), np.arange(N))
    assert max(map(len, stretches)) == min(block, N)
    np.testing.assert_array_equal(every_score(*arguments), expected)


def test_a_bad_value_past_the_first_stretch_is_found(monkeypatch):
    signal, probs, membership = draw()
    monkeypatch.setattr(reference_rows, "BLOCK", 50)
    for value in (np.nan, np.inf):
        for row in range(K):
            spoiled = probs.copy()
            spoiled[row, 299] = value
            with pytest.raises(InputError, match="reference_signals holds 1 NaN or infinite values of 300"):
                lira(signal, spoiled, membership)
            with pytest.raises(InputError, match="reference_probs holds 1 NaN or infinite values of 300"):
                rmia(signal, spoiled, membership, *population())
    spoiled[-1, 299] = 1.5
    with pytest.raises(InputError, match=r"reference_probs reaches from .* to 1\.5"):
        rmia(signal, spoiled, membership, *population())


@pytest.mark.parametrize("variance", ["per_example", "pooled", "shrunk", "global"])
def test_lira_holds_a_few_vectors_and_never_the_table(tmp_path, variance):
    n_examples = 200_000
    signal, probs, membership = draw(32, n_examples, np.float32)
    stored, stored_membership = on_disk(tmp_path, probs), on_disk(tmp_path, membership, name="m")
    del probs, membership
    tracemalloc.start()
    lira(signal, stored, stored_membership, variance=variance)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 11 * 8 * n_examples  # as float64 the table is 32 such vectors


def test_rmia_holds_a_few_vectors_and_never_the_table(tmp_path):
    n_examples = 200_000
    signal, probs, membership = draw(32, n_examples, np.float32)
    rows, rows_in = one_file_a_row(tmp_path, probs), one_file_a_row(tmp_path, membership, name="in")
    del probs, membership
    tracemalloc.start()
    rmia(signal, rows, rows_in, np.ones(10), np.ones((32, 10)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 11 * 8 * n_examples


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([np.zeros(3), np.zeros(2)], "reference_signals is ragged: pass rows of one length"),
        ([np.zeros(3), np.zeros((1, 3))], "reference_signals is ragged"),
        ([np.zeros(3), 1.0], "reference_signals is ragged"),
        ([np.zeros(3), np.zeros(3, dtype=complex)], "reference_signals has dtype complex128"),
        ([np.zeros(4), np.zeros(4)], "signal has 3 examples of 1 queries and reference_signals 4 of 1"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(InputError, match=message):
        lira(np.zeros(3), rows, np.array([[True] * 3, [False] * 3]))


def test_more_reference_models_than_a_byte_counts():
    generator = np.random.default_rng(0)
    membership = generator.random((700, 30)) < np.linspace(0, 1, 30)
    np.testing.assert_array_equal(count_in(list(membership)), membership.sum(axis=0))


@pytest.mark.parametrize("value", [-1e-300, np.nextafter(1, 2), -1.0, np.inf, -np.inf, np.nan])
def test_only_probabilities_pass(value):
    signal, probs, membership = draw()
    edges = probs.copy()
    edges[0, :4] = [0.0, -0.0, 1.0, 5e-324]
    assert np.isfinite(rmia(signal, edges, membership, *population())).all()
    edges[3, 7] = value
    with pytest.raises(InputError, match="reference_probs"):
        rmia(signal, edges, membership, *population())


def test_rows_of_membership_must_all_be_boolean():
    signal, probs, membership = draw()
    with pytest.raises(InputError, match="reference_membership has dtype uint8: pass booleans"):
        lira(signal, probs, [*membership[:-1], membership[-1].astype(np.uint8)])
