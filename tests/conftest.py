"""Fixtures every room may use."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from local_hub import LocalHub, running_hub

# A busy machine is no failure, and what fails once must fail again; RANDOM_CASES=1 looks for others.
settings.register_profile("hf_privacy", deadline=None, derandomize="RANDOM_CASES" not in os.environ)
settings.load_profile("hf_privacy")

# No test may reach the network, and no test may write outside its own folder.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("HF_HOME", tempfile.mkdtemp(prefix="hf_privacy_tests_"))

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def made_up_evidence() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """From a report to its ``evidence``: what an interval alone shows is shown, with 0.0005, and the rest is not."""
    from hf_privacy.hub.evidence import all_attacks, strongest_of

    def make(report: dict[str, Any], *, shown: float = 0.0005, not_shown: float = 0.4) -> dict[str, Any]:
        attacks = all_attacks(report)

        def p_value(low: float, guess: float) -> float:
            return shown if low > guess else not_shown

        tests = [
            {
                "attack": attack["name"],
                "inputs": inputs,
                "auc": p_value(attack["auc_low"], 0.5),
                "tpr": [
                    {"fpr": entry["fpr"], "p_value": p_value(entry["conditional_low"], entry["fpr"])}
                    for entry in attack["tpr_at_fpr"]
                    if entry["tpr"] is not None
                ],
            }
            for inputs, attack in attacks
        ]
        return {
            "method": "made up", "n_attacks": len(tests), "n_permutations": 2000, "level": 0.05,
            "strongest": strongest_of(attacks, tests, level=0.05), "attacks": tests,
        }  # fmt: skip

    return make


@pytest.fixture
def shared_data() -> Path:
    """The folder of real data beside the checkout; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data of ../shared/data is not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def second_device() -> Callable[[], AbstractContextManager[Any]]:
    """``with second_device() as device``: a device that no GPU is needed for, see second_device.py."""
    from second_device import second_device  # only here: it imports torch

    return second_device


@pytest.fixture
def local_hub(tmp_path: Path) -> Iterator[LocalHub]:
    """The running local Hub: ``.url``, ``.env``, ``.python(code)``, ``.commits()``, ``.files(repo_id, revision)``."""
    with running_hub(tmp_path / "hub_client") as hub:
        yield hub


@pytest.fixture(scope="session")
def object_store() -> Iterator[str]:
    """A bucket of an object store's emulator on 127.0.0.1."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    server_module = pytest.importorskip("moto.server", reason="moto's server is not installed")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "none")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "none")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket="runs")
        yield "s3://runs"
    server.stop()
