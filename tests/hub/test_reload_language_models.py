"""A language model, its adapter and the two merged load again from the Hub: by this package, peft and transformers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HUB = """
import json, sys
from pathlib import Path
import torch
from huggingface_hub import snapshot_download
from language_models import logits, moved, scratch
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM
from hf_privacy.hub import weights_sha256
from hf_privacy.models import base_of, describe_model, load_base, load_model, load_saved_model
from hf_privacy.reports import push_folder

work, template, kind = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]

def push(model, name, **more):
    model.save_pretrained(work / name)
    template["model"]["weights_sha256"] = weights_sha256(work / name)
    (work / name / "privacy_report.json").write_text(json.dumps(template))
    (work / name / "README.md").write_text("---\\nlibrary_name: transformers\\n---\\n\\n# Model\\n")
    push_folder(work / name, "tester/" + name, **more)

base = scratch(kind)
push(base, "base")
snapshot = Path(snapshot_download("tester/base"))
lora = {"r": 2, "modules_to_save": ["embed_tokens", "lm_head"]}
model = moved(load_model("tester/base", task="causal-lm", revision=snapshot.name, lora=lora, seed=0))
push(model, "adapter")
served = snapshot_download("tester/adapter")
again = load_saved_model(served)
merged = load_saved_model(served).merge_and_unload()
push(merged, "merged")
described = describe_model(again)
with base_of(again):
    base_again = logits(again)
print(json.dumps({
    "base": torch.equal(base_again, logits(base)) and torch.equal(logits(load_base("tester/base", task="causal-lm")), logits(base)),
    "adapter": torch.equal(logits(again), logits(model)),
    "adapter by peft alone": torch.equal(logits(AutoPeftModelForCausalLM.from_pretrained("tester/adapter")), logits(model)),
    "merged": torch.equal(logits(load_model("tester/merged", task="causal-lm")), logits(merged)),
    "merged by transformers alone": torch.equal(logits(AutoModelForCausalLM.from_pretrained("tester/merged")), logits(merged)),
    "merged is the adapter": torch.allclose(logits(merged), logits(model), rtol=1e-4, atol=1e-5),
    "named": (described["base_model"], described["base_revision"]) == ("tester/base", snapshot.name),
}))
"""  # noqa: E501


@pytest.mark.parametrize("kind", ["llama tied", "gemma2"])
def test_base_adapter_and_merged_model_come_back_from_the_hub(kind, local_hub, report, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(report))
    tests = str(Path(__file__).resolve().parents[1])
    path = f"{local_hub.env['PYTHONPATH']}:{tests}"
    arguments = (str(tmp_path), str(tmp_path / "report.json"), kind)
    done = local_hub.python(HUB, *arguments, env={"PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == dict.fromkeys(
        ("base", "adapter", "adapter by peft alone", "merged", "merged by transformers alone",
         "merged is the adapter", "named"), True
    )  # fmt: skip
