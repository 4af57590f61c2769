"""`hf-privacy env`."""

from __future__ import annotations

import datetime
import platform
from collections import Counter

from hf_privacy.cli.arguments import Options
from hf_privacy.errors import InputError


def run(options: Options) -> int:
    """Print versions, device and the Hub's settings, neither token nor path; where asked, the cache and its folder.

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
    import torch
    from huggingface_hub import constants

    from hf_privacy.auditing import versions

    for name, number in versions().items():
        print(f"{name}: {number}")
    print(f"platform: {platform.system()} {platform.machine()}")
    devices = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    print(f"devices: {', '.join(devices) or 'cpu'}, {torch.get_num_threads()} threads")
    print(f"hub: {'offline' if constants.HF_HUB_OFFLINE else 'online'}")
    return 0


def _cache(*, clear: bool) -> None:
    from hf_privacy.data.encoded_store import (
        FOLDER_VARIABLE,
        LIMIT_VARIABLE,
        cache_folder,
        cache_limit,
        entries,
        shrink,
    )

    limit = cache_limit()
    if clear:
        deleted = shrink(cache_folder(), 0)
        print(f"deleted: {deleted} {'entry' if deleted == 1 else 'entries'}")
    found = entries()
    kinds = Counter(entry.kind for entry in found)
    print(f"folder: {cache_folder()} ({FOLDER_VARIABLE})")
    print(f"size: {sum(entry.size for entry in found) / 1e9:.3f} GB")
    print(f"limit: {limit / 1e9:g} GB ({LIMIT_VARIABLE})")
    counted = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    print(f"entries: {len(found)}{f' ({counted})' if found else ''}, {sum(entry.in_use for entry in found)} in use")
    for entry in found:
        used = datetime.datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        print(f"  {entry.kind:<8} {entry.size / 1e6:>10.1f} MB  last used {used}{'  in use' if entry.in_use else ''}")
