"""The journal of releases: append-only, on disk before the weights, and never read for less than it holds."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_privacy.defenses.dp.journal import JOURNAL_FILE, ReleaseJournal
from hf_privacy.errors import InputError

# Lengths of attempts in releases: each list is one attempt, each entry a release after so many further steps.
ATTEMPTS = st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=4)


def write(folder, attempts, training="a"):
    for releases in attempts:
        journal, total = ReleaseJournal(folder, training), 0
        for further in releases:
            total += further
            journal.release([(1.0, 0.1, total)])


@given(attempts=ATTEMPTS)
def test_what_was_released_is_the_sum_of_the_attempts(attempts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write(folder, attempts)
    write(folder, [[7]], training="b")  # another training in the same folder
    assert ReleaseJournal(folder, "a").released() == [(1.0, 0.1, sum(map(sum, attempts)))]


@given(attempts=ATTEMPTS, cut=st.integers(1, 80))
def test_a_line_torn_by_a_power_cut_is_of_weights_that_were_not_written(attempts, cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write(folder, attempts)
    whole = (folder / JOURNAL_FILE).read_bytes()
    ReleaseJournal(folder, "a").release([(1.0, 0.1, 50)])
    last = (folder / JOURNAL_FILE).read_bytes()[len(whole) :]
    (folder / JOURNAL_FILE).write_bytes(whole + last[: min(cut, len(last) - 3)])
    before = ReleaseJournal(folder, "a").released()
    assert before == [(1.0, 0.1, sum(map(sum, attempts)))]
    ReleaseJournal(folder, "a").release([(1.0, 0.1, 2)])  # a torn line does not swallow the next
    assert ReleaseJournal(folder, "a").released() == [(1.0, 0.1, before[0][2] + 2)]


def test_the_journal_only_grows(tmp_path):
    content = b""
    for attempt in ([1, 2], [3]):
        write(tmp_path, [attempt])
        longer = (tmp_path / JOURNAL_FILE).read_bytes()
        assert longer.startswith(content)
        content = longer
    assert (tmp_path / JOURNAL_FILE).stat().st_mode & 0o077 == 0  # for its owner alone


def test_a_disk_that_takes_a_part_of_a_line_stops_the_release(tmp_path, monkeypatch):
    """The system writes what fits and says so only when asked for more: weights must not be saved after that."""
    write(tmp_path, [[3]])
    journal, real, parts = ReleaseJournal(tmp_path, "a"), os.write, []

    def filling_up(descriptor, content):
        if parts:
            raise OSError(errno.ENOSPC, "No space left on device")
        parts.append(content)
        return real(descriptor, content[:40])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", filling_up)
        with pytest.raises(OSError, match=r"No space left on device, \d+ bytes needed: '.*dp_journal\.jsonl'"):
            journal.release([(1.0, 0.1, 5)])
    assert ReleaseJournal(tmp_path, "a").released() == [(1.0, 0.1, 3)]
    journal.release([(1.0, 0.1, 5)])  # tried again when there is room
    assert ReleaseJournal(tmp_path, "a").released() == [(1.0, 0.1, 8)]


def test_the_same_steps_are_written_once(tmp_path):
    journal = ReleaseJournal(tmp_path, "a")
    for _ in range(3):
        journal.release([(1.0, 0.1, 4)])
    assert len((tmp_path / JOURNAL_FILE).read_bytes().splitlines()) == 1


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b'{"training": "a", "attempt": "1", "steps": [[1.0, 0.1, -5]]}',
        b'{"training": "a", "attempt": "1", "steps": [[1.0, 0, 5]]}',
        b'{"training": "a", "attempt": "1", "steps": [[NaN, 0.1, 5]]}',
        b'{"training": "a"}',
        b"[]",
    ],
)
def test_a_line_no_training_writes_is_refused(line, tmp_path):
    write(tmp_path, [[1]])
    with (tmp_path / JOURNAL_FILE).open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(InputError, match=r"line 2 of .*journal\.jsonl is no entry"):
        ReleaseJournal(tmp_path, "a").released()
