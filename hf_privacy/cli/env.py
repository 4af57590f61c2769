"""`hf-privacy env`."""

from __future__ import annotations

import platform

from hf_privacy.cli.arguments import Options


def run(options: Options) -> int:
    """Print versions, device and the Hub's settings; neither token nor path."""
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
