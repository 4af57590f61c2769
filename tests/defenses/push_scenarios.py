"""Run in a child process that talks to the local Hub: train, and push in every way; print what happened as JSON.

Usage: python push_scenarios.py FOLDER REPORT_TEMPLATE
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import urllib.request
from pathlib import Path

from conftest import QUIET, tiny_data, tiny_model
from transformers import TrainerCallback, TrainingArguments

from hf_privacy.data import image_processor_for
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.models import load_model, load_saved_model
from hf_privacy.reports import PrivacyReport

folder = Path(sys.argv[1])
template = json.loads(Path(sys.argv[2]).read_text())


def n_writes() -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(os.environ["HF_ENDPOINT"] + "/_test/state", timeout=30) as response:
        requests = json.load(response)["requests"]
    return sum(request["method"] not in ("GET", "HEAD") for request in requests)


class CountPushes(TrainerCallback):
    begun = 0

    def on_push_begin(self, args, state, control, **kwargs):
        CountPushes.begun += 1


def attempt(trainer, **options) -> dict:
    """What a push did: its kind of answer, whether anything was sent, and how often on_push_begin fired."""
    writes, begun = n_writes(), CountPushes.begun
    try:
        answer = trainer.push_to_hub(**options)
        answer = {"kind": type(answer).__name__, "text": str(answer), "files": getattr(answer, "files", None)}
    except InputError as error:
        answer = {"kind": type(error).__name__, "text": str(error)}
    return {**answer, "sent": n_writes() > writes, "begun": CountPushes.begun - begun}


def trained(name: str, model, data, **arguments) -> PrivacyTrainer:
    args = PrivacyConfig(
        **{**QUIET, "save_strategy": "steps"},
        output_dir=str(folder / name),
        max_steps=2,
        save_steps=1,
        push_to_hub=True,
        hub_model_id=f"tester/{name}",
        **arguments,
    )
    trainer = PrivacyTrainer(
        model,
        args,
        train_dataset=data,
        processing_class=image_processor_for(model, size=8) if "pixel_values" in data.column_names else None,
        callbacks=[CountPushes()],
    )
    trainer.train()
    return trainer


def write_report(output_dir: Path) -> None:
    template["model"]["weights_sha256"] = weights_sha256(output_dir)
    PrivacyReport.from_dict(template).save(output_dir)


class AskForCheckpointPushes(TrainerCallback):
    """What a script might do by hand, too late for the checks before training."""

    def on_step_begin(self, args, state, control, **kwargs):
        args.hub_strategy = "all_checkpoints"


def side_doors(trainer: PrivacyTrainer) -> dict:
    """Each other way in which transformers would publish: what it answered, and whether anything was sent."""
    args = trainer.args

    def train(*callbacks) -> None:
        arguments = PrivacyConfig(
            **{**QUIET, "save_strategy": "steps"}, output_dir=str(folder / "side"), max_steps=1, save_steps=1
        )
        stock = TrainingArguments.set_push_to_hub
        if callbacks:
            arguments.set_push_to_hub("tester/side")
        else:
            stock(arguments, "tester/side", strategy="every_save", token=os.environ["HF_TOKEN"])
        PrivacyTrainer(
            tiny_model("tabular"), arguments, train_dataset=tiny_data("tabular"), callbacks=list(callbacks)
        ).train()

    def with_argument(name: str, value, action) -> None:
        before = getattr(args, name)
        setattr(args, name, value)
        try:
            action()
        finally:
            setattr(args, name, before)

    token = os.environ["HF_TOKEN"]
    doors = {
        "checkpoints, set after construction": lambda: args.set_push_to_hub("tester/side", strategy="checkpoint"),
        "a token, set after construction": lambda: args.set_push_to_hub("tester/side", token=token),
        "the stock way to set both, then training": train,
        "checkpoints, asked for while training": lambda: train(AskForCheckpointPushes()),
        "a token by hand, then a push": lambda: with_argument("hub_token", token, trainer.push_to_hub),
        "a strategy by hand, then a push": lambda: with_argument("hub_strategy", "checkpoint", trainer.push_to_hub),
        "the model's own push": lambda: trainer.model.push_to_hub("tester/side"),
        "the push of a model reloaded": lambda: load_saved_model(folder / "audited").push_to_hub("tester/side"),
    }
    answers = {}
    for name, door in doors.items():
        writes = n_writes()
        try:
            door()
            kind = "nothing"
        except InputError as error:
            kind = "a leak" if token in str(error) else type(error).__name__
        answers[name] = {"kind": kind, "sent": n_writes() > writes}
    assert (args.hub_model_id, args.hub_token, args.hub_strategy) == ("tester/audited", None, "end")
    return answers


def main() -> dict:
    results = {}
    writes = n_writes()
    trainer = trained("audited", tiny_model("vit"), tiny_data("vit"))
    results["training"] = {"sent": n_writes() > writes, "checkpoints": len(list(folder.glob("audited/checkpoint-*")))}
    results["without a report"] = attempt(trainer)
    results["not blocking"] = attempt(trainer, blocking=False)
    trainer.args.allow_unaudited = True
    results["dry run unaudited"] = attempt(trainer, dry_run=True)
    trainer.args.allow_unaudited = False
    write_report(folder / "audited")
    trainer.args.max_auc, trainer.args.min_depth = 0.65, None
    results["of a quick audit"] = attempt(trainer)
    trainer.args.min_depth = "quick"
    results["over the budget"] = attempt(trainer)
    trainer.args.max_auc = None
    results["dry run"] = attempt(trainer, dry_run=True)
    results["audited"] = attempt(trainer, commit_message="Digits", license="mit")
    trainer.model.classifier.bias.data += 1
    results["other weights"] = attempt(trainer)
    results["side doors"] = side_doors(trainer)
    unaudited = trained("unaudited", tiny_model("timm"), tiny_data("timm"), allow_unaudited=True)
    results["unaudited"] = attempt(unaudited)
    tiny_model("bert").save_pretrained(folder / "base")
    lora = {"r": 2, "target_modules": ["query", "value"]}
    adapted = load_model(folder / "base", task="text-classification", num_labels=3, lora=lora)
    adapter = trained("adapter", adapted, tiny_data("bert"), allow_unaudited=True)
    results["adapter on a local base"] = attempt(adapter)
    results["adapter"] = attempt(adapter, base_model_id="ann/tiny-bert")
    return results


with contextlib.redirect_stdout(io.StringIO()):
    outcome = main()
print(json.dumps(outcome))
