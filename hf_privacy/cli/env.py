"""`hf-privacy env`."""

from __future__ import annotations

import datetime
import platform
import threading
import time
from collections import Counter
from typing import Any

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.errors import InputError
from hf_privacy.network import OFFLINE, hub_host, network_reason

SECONDS = 3.0  # that the Hub is given to answer


def run(options: Options) -> int:
    """Print versions, device and whether the Hub answers, neither token nor path; where asked, what the cache holds.

    As JSON: ``versions``, ``platform``, ``devices``, ``threads`` and ``hub`` (``state``, one of online, offline and
    unreachable, with ``host``, and ``seconds`` or ``reason``); of the cache ``folder``, ``bytes``, ``limit_bytes``,
    ``deleted`` (where cleared) and ``entries``.

    Raises
    ------
    InputError
        When the cache is to be cleared without having been named.
    """
    if options.flags.get("cache"):
        _cache(clear=bool(options.flags["clear"]))
        return 0
    if options.flags.get("clear"):
        raise InputError("--clear is given without --cache: `hf-privacy env --cache --clear` deletes encoded rows")
    hub = hub_state()
    import torch

    from hf_privacy.auditing import versions

    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())] or ["cpu"]
    facts = {
        "versions": versions(),
        "platform": f"{platform.system()} {platform.machine()}",
        "devices": devices,
        "threads": torch.get_num_threads(),
        "hub": hub,
    }
    lines = [f"{name}: {number}" for name, number in facts["versions"].items()]
    lines.append(f"platform: {facts['platform']}")
    lines.append(f"devices: {', '.join(devices)}, {facts['threads']} threads")
    said = {
        "online": f"{hub['host']} answers in {hub.get('seconds', 0.0):.2f} s",
        "offline": f"offline, as {OFFLINE}",
        "unreachable": f"{hub['host']} cannot be reached ({hub.get('reason')})",
    }
    lines.append(f"hub: {said[hub['state']]}")
    show("\n".join(lines), lambda: facts)
    return 0


def hub_state(*, seconds: float = SECONDS) -> dict[str, Any]:
    """Whether the Hub answers, asked once with the client that downloads: its endpoint, its proxy, its switch.

    Parameters
    ----------
    seconds : float
        How long it is waited for, looking up its name included.

    Returns
    -------
    dict
        ``host``, ``state`` ("online", "offline" or "unreachable"), and ``seconds`` or ``reason``.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return {"state": "offline", "host": hub_host(), "reason": OFFLINE}
    found: dict[str, Any] = {}

    def ask() -> None:
        started = time.monotonic()
        try:
            # Its front page: any answer but a failure of the server's will do.
            get_session().head(constants.ENDPOINT, timeout=seconds).raise_for_status()
        except Exception as error:
            answered = getattr(error, "response", None) is not None
            found["reason"] = network_reason(error) or (None if answered else type(error).__name__)
        found["seconds"] = round(time.monotonic() - started, 3)

    asking = threading.Thread(target=ask, daemon=True)  # no timeout covers a name that is looked up for long
    asking.start()
    asking.join(seconds + 0.5)
    if "seconds" in found and found.get("reason") is None:
        return {"state": "online", "host": hub_host(), "seconds": found["seconds"]}
    return {"state": "unreachable", "host": hub_host(), "reason": found.get("reason") or f"no answer in {seconds:g} s"}


def _cache(*, clear: bool) -> None:
    from hf_privacy.data.encoded_store import (
        FOLDER_VARIABLE,
        LIMIT_VARIABLE,
        cache_folder,
        cache_limit,
        entries,
        shrink,
    )

    limit, lines, facts = cache_limit(), [], {}
    if clear:
        facts["deleted"] = deleted = shrink(cache_folder(), 0)
        lines.append(f"deleted: {deleted} {'entry' if deleted == 1 else 'entries'}")
    found = entries()
    kinds = Counter(entry.kind for entry in found)
    size = sum(entry.size for entry in found)
    lines.append(f"folder: {cache_folder()} ({FOLDER_VARIABLE})")
    lines.append(f"size: {size / 1e9:.3f} GB")
    lines.append(f"limit: {limit / 1e9:g} GB ({LIMIT_VARIABLE})")
    counted = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    in_use = sum(entry.in_use for entry in found)
    lines.append(f"entries: {len(found)}{f' ({counted})' if found else ''}, {in_use} in use")
    facts |= {"folder": str(cache_folder()), "bytes": size, "limit_bytes": limit, "entries": []}
    for entry in found:
        used = datetime.datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        mark = "  in use" if entry.in_use else ""
        lines.append(f"  {entry.kind:<8} {entry.size / 1e6:>10.1f} MB  last used {used}{mark}")
        facts["entries"].append(
            {"kind": entry.kind, "bytes": entry.size, "last_used": used, "in_use": bool(entry.in_use)}
        )
    show("\n".join(lines), lambda: facts)
