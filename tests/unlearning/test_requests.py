"""A queue of requests, and the log of those that were served."""

from __future__ import annotations

import json
import os
import threading

import pytest

from hf_privacy.errors import InputError
from hf_privacy.unlearning import RequestLog, read_queue

FACTS = {"method": "ssd", "weights_before": "a" * 64, "weights_after": "b" * 64, "n_new": 2, "n_forgotten": 5}


@pytest.fixture
def write(tmp_path):
    def write(*lines: str):
        path = tmp_path / "requests.jsonl"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def test_requests_are_read_in_order_in_every_form(write):
    queue = read_queue(
        write(
            '{"request_id": "a", "rows": [1, 2]}',
            "",
            '{"request_id": "b", "where": {"person": "12e3"}}',
            '{"request_id": "c", "label": "cat"}',
            '{"request_id": "d", "ids": ["x"]}',
        )
    )
    assert [(queued.request_id, queued.request.kind, queued.line) for queued in queue] == [
        ("a", "rows", 1), ("b", "where", 3), ("c", "label", 4), ("d", "ids", 5),
    ]  # fmt: skip
    assert queue[1].request.where == {"person": "12e3"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{rows: 3}", "line 2 of requests.jsonl is no JSON"),
        ("[3]", "line 2 of requests.jsonl is no JSON object"),
        ('{"rows": [3]}', "line 2 of requests.jsonl has no request_id"),
        ('{"request_id": 7, "rows": [3]}', "line 2 of requests.jsonl has no request_id"),
        ('{"request_id": "b"}', "line 2 of requests.jsonl: the forget request names nothing"),
        ('{"request_id": "b", "rows": [3], "label": 1}', "names rows and label: pass exactly one"),
        ('{"request_id": "b", "rows": []}', "rows is empty"),
        ('{"request_id": "b", "row": [3]}', "unknown key 'row'"),
        ('{"request_id": "b", "rows": 3}', "line 2 of requests.jsonl: rows is 3: pass a list"),
        ('{"request_id": "a", "rows": [3]}', "lines 1 and 2 of requests.jsonl have the same request_id"),
    ],
)
def test_a_line_that_is_no_request_refuses_the_whole_queue(line, message, write):
    with pytest.raises(InputError, match=message):
        read_queue(write('{"request_id": "a", "label": 1}', line))


def test_a_refusal_names_the_line_and_not_the_person(write):
    with pytest.raises(InputError) as refused:
        read_queue(write('{"request_id": "r1", "where": {"name": "Ann Smith"}, "label": 1}'))
    assert "Ann" not in str(refused.value)


def test_an_empty_queue_and_a_missing_one_are_refused(write, tmp_path):
    with pytest.raises(InputError, match=r"queue requests\.jsonl is empty"):
        read_queue(write())
    with pytest.raises(InputError, match=r"'none\.jsonl' is no file"):
        read_queue(tmp_path / "none.jsonl")


def test_the_log_keeps_no_name_and_is_found_again(tmp_path):
    log = RequestLog(tmp_path)
    log.append(log.name_of("ann@example.org"), **FACTS)
    (entry,) = RequestLog(tmp_path).entries()
    assert set(entry) == {
        "request", "method", "time", "weights_before", "weights_after", "n_new", "n_forgotten", "unit",
    }  # fmt: skip
    assert "ann" not in log.path.read_text()
    assert RequestLog(tmp_path).is_served("ann@example.org")
    assert not RequestLog(tmp_path).is_served("bob@example.org")


def test_two_folders_hash_one_request_differently(tmp_path):
    one, other = RequestLog(tmp_path / "one"), RequestLog(tmp_path / "other")
    assert one.name_of("ann") != other.name_of("ann")
    assert os.stat(tmp_path / "one" / "salt").st_mode & 0o077 == 0


def test_lines_are_only_added(tmp_path):
    log = RequestLog(tmp_path)
    log.append(log.name_of("a"), **FACTS)
    first = log.path.read_bytes()
    log.append(log.name_of("b"), **FACTS)
    assert log.path.read_bytes().startswith(first)
    assert len(log.entries()) == 2


def test_a_request_is_logged_once(tmp_path):
    log = RequestLog(tmp_path)
    log.append(log.name_of("a"), **FACTS)
    with pytest.raises(InputError, match="in the log already"):
        log.append(log.name_of("a"), **FACTS)


def test_a_line_that_a_kill_cut_off_is_no_entry_and_does_not_spoil_the_next(tmp_path):
    log = RequestLog(tmp_path)
    log.append(log.name_of("a"), **FACTS)
    with log.path.open("a") as file:
        file.write('{"request": "abc", "meth')
    assert len(log.entries()) == 1
    log.append(log.name_of("b"), **FACTS)
    assert [entry["request"] for entry in log.entries()] == [log.name_of("a"), log.name_of("b")]


def test_a_changed_log_and_a_lost_salt_are_refused(tmp_path):
    log = RequestLog(tmp_path)
    log.append(log.name_of("a"), **FACTS)
    log.path.write_text(json.dumps({"method": "ssd"}) + "\n" + log.path.read_text())
    with pytest.raises(InputError, match=r"line 1 of unlearning_log\.jsonl is no entry"):
        log.entries()
    (tmp_path / "salt").unlink()
    with pytest.raises(InputError, match="has lost its salt"):
        log.name_of("a")


def test_a_byte_flipped_anywhere_in_the_log_is_noticed(tmp_path):
    log = RequestLog(tmp_path)
    for name in "ab":
        log.append(log.name_of(name), **FACTS)
    content = log.path.read_bytes()
    for place in range(len(content) - 1):
        log.path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(InputError):
            log.entries()
    lines = content.splitlines(keepends=True)
    log.path.write_bytes(lines[1])
    with pytest.raises(InputError, match=r"line 1 of unlearning_log\.jsonl, or one before it, was changed"):
        log.entries()


def test_processes_that_add_to_one_log_at_once_lose_no_line(tmp_path):
    threads = [
        threading.Thread(target=lambda name=name: (log := RequestLog(tmp_path)).append(log.name_of(name), **FACTS))
        for name in "abcdefgh"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = RequestLog(tmp_path)
    assert {entry["request"] for entry in log.entries()} == {log.name_of(name) for name in "abcdefgh"}


def test_a_queue_of_brackets_is_no_json(tmp_path):
    (tmp_path / "queue.jsonl").write_text("[" * 100_000)
    with pytest.raises(InputError, match="is no JSON"):
        read_queue(tmp_path / "queue.jsonl")
