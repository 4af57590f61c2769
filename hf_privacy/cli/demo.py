"""`hf-privacy demo`: the whole way on the embedded digits."""

from __future__ import annotations

from importlib.resources import files

from hf_privacy.cli import audit, push, train
from hf_privacy.cli.arguments import Options, parse
from hf_privacy.errors import InputError

STEPS = 4


def run(options: Options) -> int:
    """Train, be refused a push, audit, and list the push that the gate lets through."""
    from pathlib import Path

    folder = str(options.flags["output_dir"])
    config = files("hf_privacy.cli") / "demo.yaml"
    _, recipe_options = parse(["audit", "--config", str(config), f"--output_dir={folder}"])
    _, push_options = parse(["push", "--config", str(config), f"--output_dir={folder}", "--dry-run"])
    audit.start_workers_ahead(recipe_options.recipe())
    import torch

    torch.set_num_threads(1)  # a model this small gains nothing by more, and the other core is importing
    _step(1, "train a small ResNet on half of scikit-learn's digits", f"hf-privacy train --config {config.name}")
    train.run(recipe_options)

    _step(2, "try to push it without a report", "hf-privacy push --dry-run")
    if Path(folder, "privacy_report.json").exists():
        print("the report of an earlier demo is there already: nothing to refuse this time")
    else:
        try:
            push.run(push_options)
        except InputError as refusal:
            print(f"refused: {refusal}")

    _step(3, "audit it: 8 reference models of the same recipe, then the attacks", "hf-privacy audit")
    audit.run(recipe_options)

    _step(4, "push it with its report (a dry run: nothing is sent)", "hf-privacy push --dry-run")
    push.run(push_options)
    print(f"\nThe privacy report is in {Path(folder, 'privacy_report.html').resolve()}")
    return 0


def _step(number: int, what: str, command: str) -> None:
    print(f"\n[{number}/{STEPS}] {what}\n$ {command}", flush=True)
