"""Progress without a terminal: plain lines, and few of them."""

from __future__ import annotations

from hf_privacy import progress as module


def steps(monkeypatch, seconds_each: float) -> list:
    now = iter(seconds_each * step for step in range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    return list(module.progress(iter("abcdef"), total=6, description="models"))


def test_lines_give_count_and_time_left(monkeypatch, capsys):
    assert steps(monkeypatch, 12.0) == list("abcdef")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "models: 1/6, 0:12 spent, 1:00 left"
    assert lines[-1].startswith("models: 6/6, done in 1:")
    assert len(lines) == 6


def test_at_most_one_line_in_ten_seconds(monkeypatch, capsys):
    steps(monkeypatch, 4.0)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_short_work_and_other_processes_print_nothing(monkeypatch, capsys):
    steps(monkeypatch, 0.1)
    assert list(module.progress([1, 2], enabled=False)) == [1, 2]
    assert capsys.readouterr().err == ""


def test_without_a_length_there_is_no_time_left(monkeypatch, capsys):
    now = iter(11.0 * step for step in range(100))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(now))
    assert list(module.progress(iter([1, 2]))) == [1, 2]
    assert capsys.readouterr().err.splitlines()[0] == "1, 0:11 spent"
