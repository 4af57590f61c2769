"""`hf-privacy demo`: the whole way on the embedded digits."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from hf_privacy.cli import audit, push, train
from hf_privacy.cli.arguments import Options, parse
from hf_privacy.errors import InputError
from hf_privacy.recipe.config import Recipe

STEPS = 4


def run(options: Options) -> int:
    """Train, be refused a push, audit, and list the push that the gate lets through."""
    folder = str(options.flags["output_dir"])
    config = files("hf_privacy.cli") / "demo.yaml"
    _, recipe_options = parse(["audit", "--config", str(config), f"--output_dir={folder}"])
    _, push_options = parse(["push", "--config", str(config), f"--output_dir={folder}", "--dry-run"])
    _refuse_older(recipe_options.recipe(), folder)
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


def _refuse_older(recipe: Recipe, folder: str) -> None:
    """Refuse the folder of a demo that trained by another recipe, as one of an earlier version did."""
    from hf_privacy.recipe.folder import RunFolder

    try:
        RunFolder(Path(folder)).check(recipe)
    except InputError as error:
        raise InputError(
            f"{folder!r} holds the demo of another version: delete it, or pass --output-dir with a folder of its own"
        ) from error


def _step(number: int, what: str, command: str) -> None:
    print(f"\n[{number}/{STEPS}] {what}\n$ {command}", flush=True)
