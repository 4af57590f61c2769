"""A network that fails is told from everything else that fails, and said in one sentence."""

from __future__ import annotations

import socket

import pytest
import requests
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

from hf_privacy.errors import InputError, NetworkError
from hf_privacy.network import network_reason, reaching, unreachable


def answered(status: int) -> Exception:
    error = RuntimeError(f"{status} of the server")
    error.response = type("Response", (), {"status_code": status})()
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OfflineModeIsEnabled("cannot reach"), "HF_HUB_OFFLINE is set"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub (OfflineModeIsEnabled)"), "HF_HUB_OFFLINE is set"),
        (ConnectionError("Couldn't reach 'a/b' on the Hub (LocalEntryNotFoundError)"), "no answer"),
        (answered(503), "HTTP 503"),
        (answered(429), "HTTP 429"),
        (requests.exceptions.ConnectTimeout("timed out"), "timed out"),
        (socket.gaierror(-2, "Name or service not known"), "[Errno -2] Name or service not known"),
        (caused(OSError("we couldn't connect"), ConnectionResetError(104, "reset")), "[Errno 104] reset"),
        (caused(ConnectionError("Couldn't reach 'a/b'"), OfflineModeIsEnabled("off")), "HF_HUB_OFFLINE is set"),
        (caused(LocalEntryNotFoundError("not cached"), answered(502)), "HTTP 502"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_every_library_says_of_a_network_is_understood(error, reason):
    assert network_reason(error) == reason
    assert network_reason(caused(RuntimeError("while loading"), error)) == reason


def test_a_file_that_is_not_cached_is_the_switch_or_no_answer(monkeypatch):
    error = LocalEntryNotFoundError("cannot find the file in the cache")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert network_reason(error) == "HF_HUB_OFFLINE is set"
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert network_reason(error) == "no answer"


@pytest.mark.parametrize(
    "error",
    [answered(401), answered(404), BrokenPipeError(), TimeoutError("a lock"), InputError("x"), OSError(2, "x")],
)
def test_other_failures_are_none_of_a_network(error):
    assert network_reason(error) is None
    with pytest.raises(type(error)), reaching("x is not cached", instead="pass a file"):
        raise error


def test_the_real_client_is_understood(monkeypatch):
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://me:secret@127.0.0.1:9")
    with (
        pytest.raises(
            NetworkError, match=r"^x is not cached and the Hub cannot be reached \(127\.0\.0\.1:9: "
        ) as found,
        reaching("x is not cached", instead="pass a file"),
    ):
        get_session().get("http://127.0.0.1:9", timeout=2)
    assert str(found.value).endswith("check the network, the proxy (HTTPS_PROXY) and HF_ENDPOINT, or pass a file")
    assert "secret" not in str(found.value)


def test_a_switched_off_hub_is_said_with_its_switch():
    assert str(unreachable("x is not cached", "HF_HUB_OFFLINE is set", instead="pass a file")) == (
        "x is not cached and HF_HUB_OFFLINE is set: unset it, or pass a file"
    )
