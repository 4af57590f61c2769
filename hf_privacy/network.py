"""A Hub that cannot be reached, in one sentence. Light to import: no client library is loaded for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from hf_privacy.errors import NetworkError, one_line

OFFLINE = "HF_HUB_OFFLINE is set"
_TRUE = {"1", "ON", "YES", "TRUE"}  # as huggingface_hub reads its variables
# Of httpx (huggingface_hub since 1.0), requests and the stores of fsspec, by name: they need not be there.
_NO_ANSWER = {"TransportError", "ConnectionError", "Timeout", "ClientConnectionError", "HTTPClientError"}
_CLIENTS = ("httpx", "requests", "aiohttp", "botocore")


def is_offline() -> bool:
    """Whether the user switched the Hub off."""
    return any(os.environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


def hub_host() -> str:
    """The Hub's host, as ``HF_ENDPOINT`` has it.

    Examples
    --------
    >>> hub_host()
    'huggingface.co'
    """
    return urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").netloc.rpartition("@")[2]


def network_reason(error: BaseException | None) -> str | None:
    """Why the network failed, where an error or what caused it says that it did; None for every other error.

    Examples
    --------
    >>> network_reason(ConnectionRefusedError(111, "Connection refused"))
    '[Errno 111] Connection refused'
    >>> network_reason(BrokenPipeError()) is None, network_reason(KeyError("x")) is None
    (True, True)
    """
    uncached = False
    while error is not None:
        kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
        names = {name for _, name in kinds}
        # datasets has its name in the text alone.
        if "OfflineModeIsEnabled" in names or "OfflineModeIsEnabled" in str(error):
            return OFFLINE
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(status, int) and (status >= 500 or status == 429):
            return f"HTTP {status}"
        by_client = any(module.startswith(_CLIENTS) and name in _NO_ANSWER for module, name in kinds)
        by_system = isinstance(error, ConnectionError) and not isinstance(error, BrokenPipeError)
        if by_client or by_system or ("socket", "gaierror") in kinds:
            said = network_reason(error.__cause__ or error.__context__)  # the innermost says it in the fewest words
            if said is None and "on the Hub" in str(error):  # of datasets, which names its data set once more
                said = "no answer"
            return said or one_line(error, longest=100) or type(error).__name__
        uncached = uncached or "LocalEntryNotFoundError" in names
        error = error.__cause__ or error.__context__
    if not uncached:
        return None
    return OFFLINE if is_offline() else "no answer"


def unreachable(what: str, reason: str, *, instead: str) -> NetworkError:
    """The error that says it.

    Parameters
    ----------
    what : str
        What was wanted and is not here, such as ``"dataset 'a/b' is not in the local cache"``.
    reason : str
        As `network_reason` gives it.
    instead : str
        What the user can do without the network.

    Examples
    --------
    >>> print(unreachable("dataset 'a/b' is not cached", "HTTP 503", instead="pass a local file"))
    dataset 'a/b' is not cached and the Hub cannot be reached (huggingface.co: HTTP 503): check the network, the proxy
    (HTTPS_PROXY) and HF_ENDPOINT, or pass a local file
    """
    if reason == OFFLINE:
        return NetworkError(f"{what} and {reason}: unset it, or {instead}")
    return NetworkError(
        f"{what} and the Hub cannot be reached ({hub_host()}: {reason}): check the network, the proxy (HTTPS_PROXY) "
        f"and HF_ENDPOINT, or {instead}"
    )


@contextmanager
def reaching(what: str, *, instead: str) -> Iterator[None]:
    """While the block runs, turn a failure of the network, and no other, into `unreachable`."""
    try:
        yield
    except NetworkError:
        raise
    except Exception as error:
        reason = network_reason(error)
        if reason is None:
            raise
        raise unreachable(what, reason, instead=instead) from error
