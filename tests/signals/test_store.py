"""SignalStore: what it keeps, what it refuses, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hf_privacy.atomic_file import temporary_beside
from hf_privacy.attacks import lira
from hf_privacy.errors import InputError
from hf_privacy.signals import SignalStore

ROOT = Path(__file__).resolve().parents[2]
N_EXAMPLES = 7


def metadata(**changes):
    return {
        "recipe_hash": "recipe",
        "dataset_fingerprint": "data",
        "split_hash": "split",
        "example_ids_digest": "ids",
        "n_models": 4,
        "n_examples": N_EXAMPLES,
        "queries": ["identity", "flip"],
        "signals": ["phi", "loss"],
        **changes,
    }


def table(model: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(model)
    signals = {name: rng.normal(size=(2, N_EXAMPLES)) for name in ("phi", "loss")}
    return signals, rng.random(N_EXAMPLES) < 0.5


@pytest.fixture
def store(tmp_path):
    return SignalStore.create(tmp_path / "store", metadata())


def run_python(code: str, *arguments: str, **kwargs) -> subprocess.Popen:
    """A process that imports the store alone (the room's package would import torch and take seconds)."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, **kwargs
    )


def test_what_was_written_is_read_back_bit_for_bit(store):
    for model in (2, 0):
        store.write(model, *table(model), info={"seconds": 1.5, "seed": model})
    assert store.completed() == [0, 2]
    assert store.info(2) == {"seconds": 1.5, "seed": 2}
    for name in ("phi", "loss"):
        expected = np.stack([table(model)[0][name] for model in (0, 2)])
        np.testing.assert_array_equal(store.read(name, query=None), expected)
        np.testing.assert_array_equal(store.read(name, query="flip"), expected[:, 1])
        np.testing.assert_array_equal(store.read(name, query=0), expected[:, 0])
        np.testing.assert_array_equal(store.read(name), expected.mean(axis=1))
    np.testing.assert_array_equal(store.membership(), np.stack([table(0)[1], table(2)[1]]))


def test_rows_come_in_the_order_asked_for_and_columns_in_stretches(store):
    for model in range(3):
        store.write(model, *table(model))
    whole = store.read("phi", models=[2, 1])
    np.testing.assert_array_equal(whole, store.read("phi")[[2, 1]])
    parts = [store.read("phi", models=[2, 1], columns=slice(start, start + 3)) for start in range(0, N_EXAMPLES, 3)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(store.membership(models=[1], columns=slice(2, 5))[0], table(1)[1][2:5])


def test_rows_are_those_that_are_read_but_stay_on_disk(store):
    for model in range(3):
        store.write(model, *table(model))
    for query in (1, "flip"):
        signals, membership = store.rows("phi", models=[2, 0], query=query)
        np.testing.assert_array_equal(signals, store.read("phi", models=[2, 0], query=1))
        np.testing.assert_array_equal(membership, store.membership(models=[2, 0]))
        assert not any(row.flags.writeable or row.flags.owndata for row in [*signals, *membership])
        assert {row.dtype for row in membership} == {np.dtype(bool)}
    with pytest.raises(InputError, match="query is 'mean'"):  # a mean has no place on disk
        store.rows("phi", query="mean")
    with pytest.raises(InputError, match="signal is 'margin'"):
        store.rows("margin")


def test_rows_feed_an_attack_as_the_whole_table_does(tmp_path):
    store = SignalStore.create(tmp_path / "store", metadata(n_examples=50, n_models=6))
    rng = np.random.default_rng(0)
    half = rng.random((3, 50)) < 0.5
    for model, membership in enumerate(np.concatenate([half, ~half])):
        store.write(model, {name: rng.normal(size=(2, 50)) for name in ("phi", "loss")}, membership)
    target = rng.normal(size=(2, 50))
    rows = [store.rows("phi", query=query)[0] for query in range(2)]
    expected = lira(target, store.read("phi", query=None).swapaxes(0, 1), store.membership())
    np.testing.assert_array_equal(lira(target, rows, store.rows("phi")[1]), expected)


def test_an_empty_store_gives_arrays_without_rows(store):
    assert store.read("phi").shape == (0, N_EXAMPLES)
    assert store.read("phi", query=None, columns=slice(2)).shape == (0, 2, 2)
    assert store.membership().shape == (0, N_EXAMPLES)


def test_the_files_are_plain_safetensors(store):
    from safetensors.numpy import load_file

    store.write(3, *table(3))
    tensors = load_file(store.folder / "reference_0003.safetensors")
    assert tensors["phi"].dtype == np.float64
    assert tensors["membership"].dtype == np.uint8
    np.testing.assert_array_equal(tensors["loss"], table(3)[0]["loss"])


def test_writing_twice_is_writing_once(store):
    store.write(0, *table(1))
    store.write(0, *table(0))
    store.write(0, *table(0))
    np.testing.assert_array_equal(store.read("phi", query=None)[0], table(0)[0]["phi"])
    assert sorted(path.name for path in store.folder.iterdir()) == ["metadata.json", "reference_0000.safetensors"]


def test_creating_the_same_store_again_opens_it(store):
    store.write(1, *table(1))
    assert SignalStore.create(store.folder, metadata()).completed() == [1]
    assert SignalStore.open(store.folder).metadata == store.metadata


@pytest.mark.parametrize("key", ["recipe_hash", "split_hash", "dataset_fingerprint", "example_ids_digest", "extra"])
def test_a_stale_store_is_refused_by_name(store, key):
    with pytest.raises(InputError, match=rf"another {key}.*use another folder"):
        SignalStore.create(store.folder, metadata(**{key: "changed"}))


def test_folders_that_hold_no_store_are_refused(tmp_path):
    with pytest.raises(InputError, match="no signal store"):
        SignalStore.open(tmp_path)
    with pytest.raises(InputError, match="metadata has no recipe_hash"):
        SignalStore.create(tmp_path, {key: value for key, value in metadata().items() if key != "recipe_hash"})
    (tmp_path / "metadata.json").write_text('{"store_version": 1}')
    with pytest.raises(InputError, match="version 1 and this package reads 2: delete it and train"):
        SignalStore.open(tmp_path)
    (tmp_path / "metadata.json").write_text('{"store_version": 99}')
    with pytest.raises(InputError, match="version 99"):
        SignalStore.open(tmp_path)


def test_a_file_cut_short_at_any_byte_counts_as_not_there(store):
    store.write(0, *table(0))
    path = store.folder / "reference_0000.safetensors"
    content = path.read_bytes()
    for length in range(0, len(content), 5):
        path.write_bytes(content[:length])
        assert not store.has(0)
    path.write_bytes(content + b"\0")
    assert not store.has(0)
    path.write_bytes(b"\xff" * len(content))
    assert store.completed() == []
    with pytest.raises(InputError, match="reference model 0 is not in the store"):
        store.read("phi", models=[0])
    store.write(0, *table(0))
    assert store.has(0)


def test_a_byte_flipped_anywhere_gives_the_same_signals_or_no_file(store):
    """The kind: whatever a disk does to a file, its figures are right or it counts as not there."""
    store.write(0, *table(0), info={"seed": 1})
    path = store.folder / "reference_0000.safetensors"
    content = path.read_bytes()
    harmless = 0
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        if store.has(0):
            harmless += 1
            np.testing.assert_array_equal(store.read("phi", query=None)[0], table(0)[0]["phi"])
            np.testing.assert_array_equal(store.membership()[0], table(0)[1])
            assert store.info(0) == {"seed": 1}
        else:
            assert store.damaged() == [0]
    assert harmless < 10  # blanks that pad the header
    path.write_bytes(content)
    assert store.has(0)
    assert store.damaged() == []


def test_a_file_copied_from_another_model_or_another_store_counts_as_not_there(store, tmp_path):
    for model in (0, 1):
        store.write(model, *table(model))
    file, other = (store.folder / f"reference_{model:04d}.safetensors" for model in (0, 1))
    other.write_bytes(file.read_bytes())
    assert (store.completed(), store.damaged()) == ([0], [1])
    with pytest.raises(InputError, match="reference model 1 is not in the store"):
        store.read("phi", models=[1])
    elsewhere = SignalStore.create(tmp_path / "elsewhere", metadata(recipe_hash="another"))
    (elsewhere.folder / file.name).write_bytes(file.read_bytes())
    assert (elsewhere.completed(), elsewhere.damaged()) == ([], [0])
    store.write(1, *table(1))
    assert (store.completed(), store.damaged()) == ([0, 1], [])


def test_a_store_made_with_other_versions_of_what_shapes_the_figures_is_refused(store):
    changed = {**store.metadata, "versions": {**store.metadata["versions"], "torch": "1.0"}}
    (store.folder / "metadata.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match=r"another versions .*'torch': '1\.0'.*use another folder, or delete"):
        SignalStore.create(store.folder, metadata())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts the handles that Linux lists in /proc")
def test_more_models_than_file_handles_can_be_read_and_mapped(tmp_path):
    import resource

    n_models = 80
    store = SignalStore.create(tmp_path / "store", metadata(n_models=n_models))
    for model in range(n_models):
        store.write(model, *table(model))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))
    try:
        signals, membership = store.rows("phi")
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # one of them lists the folder
        np.testing.assert_array_equal(signals, store.read("phi", query=0))
        np.testing.assert_array_equal(membership, store.membership())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    kept = signals[0]
    del signals, membership
    np.testing.assert_array_equal(kept, table(0)[0]["phi"][0])  # a mapping lives as long as a row of it


def test_bad_arrays_are_refused(store):
    signals, membership = table(0)
    with pytest.raises(InputError, match="pass the same names"):
        store.write(0, {"phi": signals["phi"]}, membership)
    with pytest.raises(InputError, match=r"signals\['phi'\] has shape \[1, 7\]"):
        store.write(0, {**signals, "phi": signals["phi"][:1]}, membership)
    with pytest.raises(InputError, match="finite"):
        store.write(0, {**signals, "phi": np.full((2, N_EXAMPLES), np.nan)}, membership)
    with pytest.raises(InputError, match="membership has dtype int64"):
        store.write(0, signals, membership.astype(np.int64))
    with pytest.raises(InputError, match="model is 4"):
        store.write(4, signals, membership)
    with pytest.raises(InputError, match="signal is 'psi'"):
        store.read("psi")
    with pytest.raises(InputError, match="query is 'rotate'"):
        store.read("phi", query="rotate")
    with pytest.raises(InputError, match="query is 2"):
        store.read("phi", query=2)
    assert store.completed() == []


WRITER = """
import sys, numpy as np
from hf_privacy.signals.store import SignalStore
store = SignalStore.open(sys.argv[1])
values = np.full((1, store.n_examples), 1.0)
print("ready", flush=True)
while True:
    store.write(0, {"phi": values}, np.ones(store.n_examples, dtype=bool))
"""


def test_a_kill_at_any_moment_leaves_a_whole_file_and_leftovers_are_cleared(tmp_path):
    n_examples = 200_000  # large enough that most kills fall into a write
    store = SignalStore.create(
        tmp_path / "store", metadata(n_examples=n_examples, queries=["identity"], signals=["phi"])
    )
    store.write(0, {"phi": np.zeros((1, n_examples))}, np.zeros(n_examples, dtype=bool))
    leftovers, attempt = 0, 0
    while attempt < 6 or (leftovers == 0 and attempt < 40):
        writer = run_python(WRITER, str(store.folder), stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.003 + 0.007 * (attempt % 6))
        # How long a write takes is the disk's: where no moment of the clock fell into one, wait for one to begin.
        deadline = time.monotonic() + 10
        while attempt >= 6 and time.monotonic() < deadline and not any(store.folder.glob(".*.tmp")):
            pass
        attempt += 1
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        leftovers += len(list(store.folder.glob(".*.tmp")))
        assert store.has(0)
        assert np.unique(store.read("phi")).size == 1
        SignalStore.open(store.folder)
        assert list(store.folder.glob(".*.tmp*")) == []
    assert leftovers > 0, "no kill fell into a write: the test shows nothing"


def test_opening_does_not_touch_a_file_another_process_is_writing(store):
    with temporary_beside(store.folder / "reference_0001.safetensors") as temporary:
        temporary.write_bytes(b"half a tab")
        SignalStore.open(store.folder)
        assert temporary.exists()
    temporary.write_bytes(b"half a tab")  # as a killed writer leaves it
    SignalStore.open(store.folder)
    assert [path.name for path in store.folder.iterdir()] == ["metadata.json"]


def test_a_claim_is_exclusive_and_ends_with_its_block(store):
    with store.claim(2) as first, store.claim(2) as second, store.claim(3) as other:
        assert (first, second, other) == (True, False, True)
    with store.claim(2) as again:
        assert again


def test_a_finished_model_cannot_be_claimed(store):
    store.write(2, *table(2))
    with store.claim(2) as mine:
        assert not mine


CLAIMER = """
import sys, time
from hf_privacy.signals.store import SignalStore
with SignalStore.open(sys.argv[1]).claim(1) as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


def test_a_killed_process_lets_go_of_its_claim(store):
    holder = run_python(CLAIMER, str(store.folder), stdout=subprocess.PIPE)
    assert holder.stdout.readline().strip() == "True"
    with store.claim(1) as mine:
        assert not mine
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with store.claim(1) as mine:
        assert mine


WORKER = """
import sys, time, numpy as np
from hf_privacy.signals.store import SignalStore
store = SignalStore.open(sys.argv[1])
for model in range(store.n_models):
    with store.claim(model) as mine:
        if mine:
            print(model, flush=True)
            time.sleep(0.05)
            values = np.zeros((2, store.n_examples))
            store.write(model, {"phi": values, "loss": values}, np.zeros(store.n_examples, dtype=bool))
"""


def test_workers_share_a_store_and_no_model_is_done_twice(tmp_path):
    store = SignalStore.create(tmp_path / "store", metadata(n_models=12))
    workers = [run_python(WORKER, str(store.folder), stdout=subprocess.PIPE) for _ in range(2)]
    done = [int(line) for worker in workers for line in worker.communicate()[0].split()]
    assert sorted(done) == list(range(12))
    assert store.completed() == list(range(12))


def test_a_store_grows_and_shows_its_first_models(tmp_path):
    small = SignalStore.create(tmp_path / "store", metadata(n_models=2))
    values = {name: np.zeros((len(small.queries), small.n_examples)) for name in small.signals}
    for model in range(2):
        small.write(model, values, np.zeros(small.n_examples, dtype=bool))
    large = SignalStore.create(tmp_path / "store", metadata(n_models=4))
    assert large.completed() == [0, 1]
    large.write(3, values, np.ones(small.n_examples, dtype=bool))
    assert SignalStore.open(tmp_path / "store").n_models == 4
    assert SignalStore.create(tmp_path / "store", metadata(n_models=2)).membership().shape[0] == 2


def test_the_mean_over_queries_leaves_the_adversarial_one_out(tmp_path):
    store = SignalStore.create(tmp_path / "store", metadata(queries=["identity", "flip", "adversarial"]))
    values = np.arange(3.0 * N_EXAMPLES).reshape(3, N_EXAMPLES)
    store.write(0, {"phi": values, "loss": values}, np.zeros(N_EXAMPLES, dtype=bool))
    np.testing.assert_array_equal(store.read("phi")[0], values[:2].mean(axis=0))
    np.testing.assert_array_equal(store.read("phi", query="adversarial")[0], values[2])


def test_a_store_of_another_attack_or_of_none_is_refused(tmp_path):
    attacked = metadata(queries=["identity", "adversarial"], adversarial={"epsilon": 0.03, "norm": "linf"})
    store = SignalStore.create(tmp_path / "attacked", attacked)
    for other in ({**attacked, "adversarial": {"epsilon": 0.06, "norm": "linf"}}, metadata(queries=["identity"])):
        with pytest.raises(InputError, match="another adversarial"):
            SignalStore.create(store.folder, other)
    SignalStore.create(tmp_path / "clean", metadata(queries=["identity"]))
    with pytest.raises(InputError, match="another adversarial, queries"):
        SignalStore.create(tmp_path / "clean", attacked)
    assert SignalStore.create(store.folder, attacked).metadata == store.metadata
