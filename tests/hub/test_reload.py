"""What was pushed loads again through transformers and peft, with the same weights and its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ROUND_TRIP = """
import json, sys
from pathlib import Path
import torch
from huggingface_hub import hf_hub_download
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification, ViTImageProcessor
from transformers import AutoImageProcessor
from hf_privacy.hub import weights_sha256
from hf_privacy.reports import push_folder

work, template = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
# The card that peft writes names the local base model; the project's own card takes its place, as in a real run.
CARD = "---\\nlibrary_name: transformers\\n---\\n\\n# Digits\\n"

def audit(folder):
    template["model"]["weights_sha256"] = weights_sha256(folder)
    (folder / "privacy_report.json").write_text(json.dumps(template))
    (folder / "README.md").write_text(CARD)

torch.manual_seed(0)
model = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
    intermediate_size=16, image_size=8, patch_size=4, num_channels=1, num_labels=3))
base = work / "base"
model.save_pretrained(base, max_shard_size="8KB")
ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(base)
audit(base)
push_folder(base, "tester/base")
again = AutoModelForImageClassification.from_pretrained("tester/base").eval()
images = torch.randn(2, 1, 8, 8)
report = json.loads(Path(hf_hub_download("tester/base", "privacy_report.json")).read_text())
state, other = model.state_dict(), again.state_dict()

local = AutoModelForImageClassification.from_pretrained(base)
adapted = get_peft_model(local, LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)).eval()
adapter = work / "adapter"
adapted.save_pretrained(adapter)
audit(adapter)
push_folder(adapter, "tester/adapter", base_model_id="tester/base")
reloaded = PeftModel.from_pretrained(AutoModelForImageClassification.from_pretrained("tester/base"), "tester/adapter")
with torch.no_grad():
    same_outputs = torch.allclose(adapted(images).logits, reloaded.eval()(images).logits, rtol=1e-5, atol=1e-6)
print(json.dumps({
    "same_weights": state.keys() == other.keys() and all(torch.equal(state[k], other[k]) for k in state),
    "processor": type(AutoImageProcessor.from_pretrained("tester/base")).__name__,
    "report_is_for_the_weights": report["model"]["weights_sha256"] == weights_sha256(base),
    "same_adapted_outputs": same_outputs,
}))
"""


@pytest.fixture
def round_trip(local_hub, report, tmp_path):
    """A sharded ViT and a LoRA adapter on it, saved, pushed and loaded again in one child process."""
    (tmp_path / "report.json").write_text(json.dumps(report))
    done = local_hub.python(ROUND_TRIP, str(tmp_path), str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    return local_hub, json.loads(done.stdout.splitlines()[-1])


def test_model_processor_report_and_adapter_come_back_as_they_were(round_trip, tmp_path: Path):
    hub, found = round_trip
    assert found["same_weights"]
    assert found["processor"].startswith("ViTImageProcessor")
    assert found["report_is_for_the_weights"]
    assert found["same_adapted_outputs"]
    for repo_id in ("tester/base", "tester/adapter"):
        (commit,) = hub.commits(repo_id)
        assert {"README.md", "privacy_report.json"} <= set(commit["added"])
        assert any(name.endswith(".safetensors") for name in commit["added"])
        assert not any(str(tmp_path).encode() in content for content in hub.files(repo_id).values())
    assert sum(name.endswith(".safetensors") for name in hub.commits("tester/base")[0]["added"]) > 1
