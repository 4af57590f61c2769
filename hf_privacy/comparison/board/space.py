"""The board as a static Space: a card and the page, pushed in one commit, private by default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from hf_privacy.errors import InputError
from hf_privacy.hub.leaks import refuse_leaks
from hf_privacy.metrics.publish import PushedSpace, push_space

PAGE, CARD = "index.html", "README.md"
_CARD = """\
---
title: {title}
emoji: 🔍
colorFrom: indigo
colorTo: gray
sdk: static
app_file: index.html
pinned: false
license: apache-2.0
tags:
- leaderboard
- privacy
- membership-inference
short_description: What models leak of their training data
---

# {title}

One page, which asks no other server for anything: what attacks find of the training records of models with and without
a defence, and how far unlearned models are from retrained ones, with intervals and the cost. Made with

```bash
hf-privacy compare --board RESULT.json ... --push-to-space OWNER/NAME
```
"""


def board_space_files(page: str, *, title: str = "Privacy board") -> dict[str, bytes]:
    """Give the files of the board's Space by name.

    Parameters
    ----------
    page : str
        Of `board_page`.
    title : str

    Raises
    ------
    InputError
        If a file holds a path of this machine, a token or a key.

    Examples
    --------
    >>> files = board_space_files("<!doctype html>")
    >>> list(files), files["README.md"].decode().splitlines()[5]
    (['README.md', 'index.html'], 'sdk: static')
    """
    files = {CARD: _CARD.format(title=title).encode(), PAGE: page.encode()}
    for name, content in files.items():
        refuse_leaks(name, content, folder=Path.cwd())
    return files


def check_space(name: str) -> None:
    """Refuse what is no name of a Space.

    Raises
    ------
    InputError
        If it is not owner/name.
    """
    try:
        validate_repo_id(name)
        known = name.count("/") == 1
    except HFValidationError:
        known = False
    if not known:
        raise InputError(f"--push-to-space is {name!r}: pass owner/name, such as me/privacy-board")


def push_board(files: Mapping[str, bytes], name: str, *, token: str, private: bool = True) -> PushedSpace:
    """Push the board to a Space, in one commit; one that changes nothing makes none.

    Parameters
    ----------
    files : mapping of str to bytes
        Of `board_space_files`.
    name : str
        The Space, owner/name.
    token : str
        A token that may write there.
    private : bool, default True
        Whether the Space is created private. True refuses a Space that exists and is public.

    Raises
    ------
    InputError
        If the Space is public and the push is to be private, the Hub refuses the token, or the token is in a file.
    """
    check_space(name)
    for file, content in files.items():
        refuse_leaks(file, content, folder=Path.cwd(), secrets=(token,))
    return push_space(files, name, sdk="static", what="the board", token=token, private=private)
