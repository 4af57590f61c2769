"""Access tokens and keys, looked for in every byte of what is about to be published."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_WORD = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
# A run of base64, such as an image in a page, is one long word, and a piece of it no key.
_NOT_BASE64 = r"(?![A-Za-z0-9+/=_-])"
_CHUNK_BYTES = 1 << 22
# More than the longest part of a key that a shape asks for, so that each key lies whole in one piece of a file.
_OVERLAP = 4096
# Fewer printable bytes in a row hold no key: in weights, such runs are a few in 100 MB, and only they are looked at.
SHORTEST = 16
_PRINTABLE = bytes(0x61 if 0x20 <= byte < 0x7F else 0 for byte in range(256))


class Shape(NamedTuple):
    """What a kind of key looks like.

    Attributes
    ----------
    kind
        What a message calls it.
    pattern
        A regular expression that starts with letters of its own: a search for those is fast.
    bounded
        Whether letters, digits and underscores do not stand before it: a part of a longer word is no such key.
    """

    kind: str
    pattern: str
    bounded: bool = False


# Shapes that their issuers document, or that the published rules of GitHub and gitleaks give. Only those whose letters
# no other text has, and so long that 1 GB of random bytes holds one with a chance below one in a million (the tests
# compute it). What has no such letters (an AWS secret, a password) cannot be told from other text.
SHAPES = (
    # A long run without underscores: a token, and never a name such as hf_hub_download. Where it is as long as real
    # tokens are, what stands before it does not matter: in a tokenizer.model that is the length of the piece.
    Shape("an access token of the Hub", r"hf_(?:oauth_|jwt_)?[A-Za-z0-9]{30,}"),
    Shape("an access token of the Hub", r"hf_(?:oauth_|jwt_)?[A-Za-z0-9]{16,}", bounded=True),
    Shape("an access token of the Hub", r"api_org_[A-Za-z0-9]{16,}"),
    Shape("an access key of AWS", rf"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{{16}}{_NOT_BASE64}", bounded=True),
    Shape("a token of GitHub", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    Shape("a token of GitHub", r"github_pat_[A-Za-z0-9_]{22,}"),
    Shape("a token of GitLab", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct)-[A-Za-z0-9_-]{20,}", bounded=True),
    Shape("a key of Anthropic", r"sk-ant-[A-Za-z0-9_-]{20,}"),
    Shape("a key of OpenAI", r"sk-(?:proj-|svcacct-|admin-)[A-Za-z0-9_-]{40,}"),
    Shape("a key of OpenAI", r"sk-(?:or-v1-)?[A-Za-z0-9]{32,}", bounded=True),
    Shape("a key of Google", rf"AIza[A-Za-z0-9_-]{{35}}{_NOT_BASE64}", bounded=True),
    Shape("a key of Google", r"GOCSPX-[A-Za-z0-9_-]{28}", bounded=True),
    Shape("a token of Google", r"ya29\.[A-Za-z0-9_-]{20,}"),
    Shape("a token of Slack", r"xox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{12,}", bounded=True),
    Shape("a token of Slack", r"xapp-[0-9]-[A-Za-z0-9-]{20,}", bounded=True),
    Shape("a token of Slack", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9+/]{20,}"),
    Shape("a token of npm", r"npm_[A-Za-z0-9]{36}"),
    Shape("a token of PyPI", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    Shape("a key of Stripe", r"sk_(?:live|test)_[A-Za-z0-9]{20,}"),
    Shape("a key of Stripe", r"rk_(?:live|test)_[A-Za-z0-9]{20,}"),
    Shape("a key of SendGrid", r"SG\.[A-Za-z0-9_-]{20,24}\.[A-Za-z0-9_-]{39,50}", bounded=True),
    Shape("a token of DigitalOcean", r"do[opr]_v1_[a-f0-9]{64}"),
    Shape("a key of Groq", r"gsk_[A-Za-z0-9]{40,}"),
    Shape("a token of Replicate", rf"r8_[A-Za-z0-9]{{37}}{_NOT_BASE64}", bounded=True),
    Shape("a key of xAI", r"xai-[A-Za-z0-9]{60,}"),
    Shape("a storage key of Azure", r"AccountKey=[A-Za-z0-9+/]{80,}"),
    Shape("a private key", r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"),
    Shape("a private key", r"PuTTY-User-Key-File-[23]:"),
    Shape("a private key", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    Shape("a signed web token (JWT)", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
)
_COMPILED = [(shape, re.compile(shape.pattern.encode())) for shape in SHAPES]


def find_secret(content: bytes | Path, secrets: Iterable[str] = ()) -> str | None:
    """What kind of token or key is somewhere in the bytes; None where none is found.

    Every byte is read, as ASCII or UTF-8 and, without its zero bytes, as UTF-16 or UTF-32. Not found is what is
    compressed, encrypted or written in base64.

    Parameters
    ----------
    content
        Bytes, or a file, which is read in pieces of 4 MiB.
    secrets
        Tokens in use, looked for as they are from 8 characters up.

    Returns
    -------
    str or None
        Such as "a token of GitHub"; never the token itself.

    Examples
    --------
    >>> find_secret(b"token: hf_" + b"a" * 34)
    'an access token of the Hub'
    >>> find_secret(("ghp_" + "a" * 36).encode("utf-16"))
    'a token of GitHub'
    >>> find_secret(b"from huggingface_hub import hf_hub_download") is None
    True
    """
    in_use = [secret.encode() for secret in secrets if len(secret) >= 8]
    for piece, cut_before, cut_after in _pieces(content):
        for text in (piece, piece.translate(None, b"\0")) if b"\0" in piece else (piece,):
            found = _find_in(text, in_use, cut_before=cut_before, cut_after=cut_after)
            if found is not None:
                return found
    return None


def _pieces(content: bytes | Path) -> Iterator[tuple[bytes, bool, bool]]:
    """Overlapping pieces, and whether each may begin, and end, within a key; zeros on either side bound it."""
    if isinstance(content, bytes):
        yield content, False, False
        return
    with content.open("rb") as stream:
        piece, is_first = stream.read(_CHUNK_BYTES), True
        while True:
            more = stream.read(_CHUNK_BYTES)
            yield piece, not is_first and any(piece[:8]), bool(more) and any(piece[-8:])
            if not more:
                return
            piece, is_first = piece[-_OVERLAP:] + more, False


def _find_in(text: bytes, in_use: list[bytes], *, cut_before: bool, cut_after: bool) -> str | None:
    if any(secret in text for secret in in_use):
        return "an access token of the Hub"
    for start, stop in _printable_runs(text):
        for shape, pattern in _COMPILED:
            for match in pattern.finditer(text, start, stop):
                # Cut off at the end of a piece, it lies whole in the next; at the start, it lay whole in the last one.
                if (cut_after and match.end() == len(text)) or (cut_before and match.start() == 0):
                    continue
                if not shape.bounded or match.start() == 0 or text[match.start() - 1] not in _WORD:
                    return shape.kind
    return None


def _printable_runs(text: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each run of printable ASCII that is long enough for a key."""
    printable = text.translate(_PRINTABLE)
    position = printable.find(b"a" * SHORTEST)
    while position >= 0:
        stop = printable.find(b"\0", position)
        stop = len(text) if stop < 0 else stop
        yield position, stop
        position = printable.find(b"a" * SHORTEST, stop)
