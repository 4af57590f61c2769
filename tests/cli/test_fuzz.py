"""Bad recipes and bad commands: one sentence each, at once, before any training, and never a traceback.

The shipped recipes, on small data, with one thing made wrong at random. A quick, seeded part runs with the suite;
``HF_PRIVACY_FUZZ=400 pytest tests/cli/test_fuzz.py -s`` tries so many and prints what came of them.
"""

from __future__ import annotations

import copy
import math
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
import yaml

from hf_privacy.cli import main

RECIPES = Path(__file__).parents[2] / "recipes"
if not RECIPES.is_dir():
    pytest.skip("the recipes are not installed with the package", allow_module_level=True)
N_CASES = int(os.environ.get("HF_PRIVACY_FUZZ", 40))
SECONDS = 20.0  # for one case on a busy machine; most take less than one
WORDS = ["good", "bad", "fine", "awful", "film", "plot", "the", "a", "was", "not"]

# What no key may hold, and what few may.
NOT_NUMBERS = [math.nan, math.inf, -math.inf]
OF_A_KIND = {
    int: [-1, 0, 1, 2, 3, 7, 1000, 2**31, 2**63, 10**30, -(10**30)],
    float: [-1.0, 0.0, 1e-300, 0.3, 1.0, 1.5, 1e308, *NOT_NUMBERS],
    list: [[], [1], ["x"], [[1]], [None], [math.nan], [0.5], [-1], [True], ["identity", "identity"], [2, 4], [1e9]],
    dict: [{}, {"a": 1}, {1: 2}, {"epsilon": math.nan}, {"epsilon": 8}, {"label": -1}, {"rows": ["x"]}, {"r": -1}],
}
STRANGE = [[], {}, [[1]], {"a": 1}, "text", "", " ", "no/such/place", "💥", "../..", "\x00", "a\nb", "1e999"]
NUMBERS = [-1, 0, 1, 2, 3.7, -0.5, 1e308, 10**30, 2**31, 2**63, True, False, None]
ARGUMENTS = [
    "num_train_epochs",
    "max_steps",
    "learning_rate",
    "seed",
    "optim",
    "optim_args",
    "lr_scheduler_type",
    "lr_scheduler_kwargs",
    "report_to",
    "save_strategy",
    "eval_strategy",
    "logging_steps",
    "warmup_steps",
    "max_grad_norm",
    "adam_beta1",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "dataloader_num_workers",
    "metric_for_best_model",
    "load_best_model_at_end",
    "bf16",
    "max_tpr_at_fpr",
    "eval_attack",
    "label_smoothing_factor",
    "data_seed",
]
FILES = [
    "task: [image-classification",
    "task: image-classification\n\tmodel: {}",
    "- a\n- b",
    "",
    "just words",
    "3",
    "task: !!python/object/apply:os.system [true]",
    "a: &a [*a]\n",
    "model: &m {kwargs: *m}\n",
    "? [a, b]\n: c",
    "task: image-classification\ntask: tabular-classification\nmodel: 5",
    "\x00\x01\x02",
    "data: {name_or_path: 2020-01-01}",
    "1: 2",
    "null: 3",
    "training: {1: 2}",
    "training: {learning_rate: 0x1G}",
]
COMMANDS = [
    ["trian"],
    ["train"],
    ["train", "--config"],
    ["train", "--config", "."],
    ["train", "--config", "/"],
    ["train", "--config", "no.yaml"],
    ["train", "--folder", "x"],
    ["train", "extra"],
    ["audit", "--folder", "."],
    ["audit", "--folder", "no/such"],
    ["audit", "--config", "a.yaml", "--folder", "b"],
    ["audit", "--canaries"],
    ["audit", "--canaries", "ten", "--folder", "."],
    ["unlearn", "--queue", "no.jsonl", "--folder", "."],
    ["report"],
    ["report", "--folder", "no/such"],
    ["report", "--folder", "\x00"],
    ["push"],
    ["push", "--folder", "no/such", "--repo-id", "a/b", "--dry-run"],
    ["push", "--folder", ".", "--repo-id", "a b", "--dry-run"],
    ["push", "--folder", ".", "--repo-id", "a/b", "--dry-run"],
    ["compare"],
    ["compare", "--config", "no.yaml"],
    ["metrics", "push"],
    ["metrics", "dance"],
    ["metrics", "push", "nothing", "--namespace", "me"],
    ["metrics", "list", "lira"],
    ["env", "--x", "1"],
    ["demo", "--output-dir"],
    ["demo", "--speed", "9"],
    ["--what"],
    ["train", "--", "x"],
    ["train", "--config", "a.yaml", "--config", "b.yaml"],
]
KEYS = [
    "--",
    "--=",
    "--.",
    "--a..b",
    "--training",
    "--training.",
    "--.training",
    "--data.name_or_path.x",
    "---",
    "--a=b=c",
]


class AcceptedError(Exception):
    """The recipe is one that would be trained."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory) -> dict[str, dict[str, Any]]:
    """Shipped recipes on data of a few rows."""
    folder = tmp_path_factory.mktemp("fuzz")
    rng = np.random.default_rng(0)
    labels = (np.arange(60) % 3).tolist()
    features = rng.normal(size=(60, 5)).round(3).tolist()
    datasets.Dataset.from_dict({"features": features, "label": labels}).to_parquet(folder / "table.parquet")
    texts = [" ".join(rng.choice(WORDS, size=5)) for _ in range(60)]
    datasets.Dataset.from_dict({"sentence": texts, "label": [n % 2 for n in range(60)]}).to_csv(folder / "texts.csv")
    table = {"name_or_path": str(folder / "table.parquet")}
    training = {"use_cpu": True, "per_device_train_batch_size": 10, "num_train_epochs": 1}
    few = {"max_examples": 60, "near_repeats": False}
    small = {
        "image": ("../hf_privacy/cli/demo.yaml", {"data": few}),
        "table": ("tabular_classification/location30.yaml", {"data": table}),
        "text": (
            "text_classification/sst2_lora.yaml",
            {"data": {"name_or_path": str(folder / "texts.csv")}, "model": {"name_or_path": _bert(folder / "bert")}},
        ),
        "unlearning": ("unlearning/one_class.yaml", {"data": few, "unlearning": {"request": {"label": 2}}}),
    }
    made = {}
    for name, (path, changes) in small.items():
        recipe = yaml.safe_load((RECIPES / path).read_text())
        for section, values in {**changes, "training": training}.items():
            recipe[section] = {**recipe.get(section, {}), **values}
        made[name] = recipe
    comparison = yaml.safe_load((RECIPES / "defenses" / "location30.yaml").read_text())
    comparison["defenses"] = {name: comparison["defenses"][name] for name in ("none", "relax_loss", "hamp")}
    made["comparison"] = {**comparison, "recipe": made["table"], "seeds": [0, 1]}
    return made


def _bert(folder: Path) -> str:
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocabulary), max_position_embeddings=32, **sizes)).save_pretrained(folder)
    numbers = {word: number for number, word in enumerate(vocabulary)}
    BertTokenizerFast(vocab=numbers, model_max_length=32).save_pretrained(folder)
    return str(folder)


def places(values: Any, path: tuple = ()) -> list[tuple]:
    """Every key of nested mappings, and every position of lists in them."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    found = []
    for key, value in items:
        found += [(*path, key), *places(value, (*path, key))]
    return found


def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    """The recipe with every key that its sections know."""
    from dataclasses import asdict

    from hf_privacy.recipe import Recipe

    resolved = asdict(Recipe.from_dict(recipe))
    return resolved


def changed(recipe: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    recipe = copy.deepcopy(recipe)
    *parents, leaf = path
    at = recipe
    for parent in parents:
        if not isinstance(at, list) and at.get(parent) is None:
            at[parent] = {}
        at = at[parent]
    at[leaf] = value
    return recipe


def bad_case(rng: random.Random, bases: dict[str, dict], folder: Path) -> tuple[str, list[str], bool]:
    """What was done, the command, and whether it is surely bad."""
    kind = rng.choices(["value", "key", "file", "command", "override"], [70, 8, 7, 8, 7])[0]
    if kind == "command":
        words = rng.choice(COMMANDS)
        return f"command {words}", list(words), True
    name = rng.choice(sorted(bases))
    recipe = copy.deepcopy(bases[name])
    command = "compare" if name == "comparison" else "train"
    config, surely, what = folder / "recipe.yaml", False, ""
    recipe["output_dir"] = str(folder / "run")
    if kind == "file":
        text = rng.choice(FILES)
        config.write_bytes(text.encode())
        return f"{command} file {text!r}", [command, "--config", str(config)], True
    extra: list[str] = []
    if kind == "override":
        key = rng.choice(KEYS)
        extra = [key, rng.choice(["1", "a: b: c", "[", "--", "&a [*a]", "!!python/name:os.system"])]
        what, surely = f"override {extra}", key not in ("--training",)
    elif kind == "key":
        path = rng.choice([(), *[p for p in places(recipe) if isinstance(_at(recipe, p), dict)]])
        if path and path[-1] in ("label_names", "lr_scheduler_kwargs"):
            path = ()
        recipe = changed(recipe, (*path, rng.choice(["nam", "trainig", "x", "1", "", "learning_rat"])), 1)
        what, surely = f"unknown key below {path}", True
    else:
        recipe = recipe if name == "comparison" else whole(recipe)
        arguments = [("training", argument) for argument in ARGUMENTS] if name != "comparison" else []
        path = rng.choice([*places(recipe), *arguments])
        value = rng.choice([*NOT_NUMBERS * 2, *STRANGE, *NUMBERS])
        if rng.random() < 0.6:
            known = _at(recipe, path) if path not in arguments else rng.choice([1, 1.0])
            value = rng.choice(OF_A_KIND.get(type(known), [value]))
        recipe = changed(recipe, path, value)
        surely = isinstance(value, float) and not math.isfinite(value)
        what = f"{'.'.join(map(str, path))} = {value!r}"
    config.write_text(yaml.safe_dump(recipe, allow_unicode=True))
    return f"{name}: {what}", [command, "--config", str(config), *extra], surely


def _at(recipe: Any, path: tuple) -> Any:
    for key in path:
        recipe = recipe[key]
    return recipe


def run(words: list[str], capsys) -> tuple[str, str]:
    """What came of a command: refused, accepted, or what is wrong with how it ended; and what it said."""
    capsys.readouterr()
    try:
        code = main(words)
    except AcceptedError:
        return "accepted", ""
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:
        return "traceback", f"{type(error).__name__}: {error}"
    said = [line for line in capsys.readouterr().err.strip().splitlines() if line.startswith("hf-privacy: ")]
    if code == 0:
        return "accepted", ""
    if code not in (2, 3, 4) or len(said) != 1:  # bad input, the gate, or a Hub that is switched off
        return "no sentence", f"exit code {code}, {said}"
    return "refused", said[0]


def summarised(results: list[tuple[str, str, str, float, bool]], capsys) -> None:
    """Check, and on a long run print, what came of each case."""
    counts = Counter(outcome for _, outcome, _, _, _ in results)
    wrong = [
        f"{what}: {outcome} {said}"
        for what, outcome, said, _, surely in results
        if outcome not in ("refused", "accepted") or (surely and outcome == "accepted")
    ]
    slow = [f"{what}: {seconds:.0f} s" for what, _, _, seconds, _ in results if seconds > SECONDS]
    if "HF_PRIVACY_FUZZ" in os.environ:
        with capsys.disabled():
            print(dict(counts), "slow", slow, "wrong", *wrong, sep="\n")
    assert not wrong, "\n".join(wrong)
    assert not slow, "\n".join(slow)
    assert counts["refused"] > len(results) / 3


def tried(number: int, what: str, words: list[str], surely: bool, capsys) -> tuple[str, str, str, float, bool]:
    started = time.perf_counter()
    outcome, said = run(words, capsys)
    seconds = time.perf_counter() - started
    if "HF_PRIVACY_FUZZ" in os.environ:
        with capsys.disabled():
            print(f"{number} {seconds:.1f} s {outcome}: {what} | {said[:150]}", flush=True)
    return f"{number}: {what}", outcome, said, seconds, surely


def test_bad_settings_of_later_stages_are_one_sentence(bases, tmp_path, monkeypatch, capsys):
    import hf_privacy.auditing
    import hf_privacy.auditing.examinations.canaries.plan
    from hf_privacy.references.collect import ReferenceRun

    recipe = copy.deepcopy(bases["unlearning"])
    recipe |= {"output_dir": str(tmp_path / "run"), "audit": {"references": 4, "targets": 1}}
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["train", "--config", str(tmp_path / "recipe.yaml")]) == 0

    def stop(*arguments: Any, **settings: Any) -> None:
        raise AcceptedError

    monkeypatch.setattr(ReferenceRun, "train", stop)
    monkeypatch.setattr(hf_privacy.auditing, "unlearn_request", stop)
    monkeypatch.setattr(hf_privacy.auditing.examinations.canaries.plan, "train_twin", stop)
    resolved = whole(recipe)
    keys = [path for path in places(resolved) if path[0] in ("audit", "unlearning", "push")]
    results = []
    for number in range(N_CASES):
        rng = random.Random(10_000 + number)
        command, path = rng.choice(["audit", "audit", "unlearn", "push", "report"]), rng.choice(keys)
        value = rng.choice([*NOT_NUMBERS, *STRANGE, *NUMBERS])
        if rng.random() < 0.6:
            value = rng.choice(OF_A_KIND.get(type(_at(resolved, path)), [value]))
        text = yaml.safe_dump(value, default_flow_style=True).replace("...", "").strip() or "''"
        key = "--" + ".".join(map(str, path))
        words = [command, "--folder", str(tmp_path / "run"), key, text]
        words += ["--dry-run", "--repo-id", "a/b"] if command == "push" else []
        surely = isinstance(value, float) and not math.isfinite(value)
        results.append(tried(number, f"{command} {key} {text}", words, surely, capsys))
    summarised(results, capsys)


def test_bad_recipes_and_commands_are_one_sentence(bases, tmp_path, monkeypatch, capsys):
    import hf_privacy.auditing
    import hf_privacy.cli.compare
    import hf_privacy.comparison

    def stop(*arguments: Any, **settings: Any) -> None:
        raise AcceptedError

    monkeypatch.setattr(hf_privacy.auditing, "train_target", stop)
    monkeypatch.setattr(hf_privacy.comparison, "work", stop)
    monkeypatch.setattr(hf_privacy.cli.compare, "_workers", stop)
    results = []
    for number in range(N_CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        what, words, surely = bad_case(random.Random(number), bases, folder)
        results.append(tried(number, what, words, surely, capsys))
    summarised(results, capsys)
