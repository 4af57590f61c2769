"""Unlearners of language models on TOFU, beside retrained models: python tofu.py --config tofu.yaml --model FOLDER.

Every cell (a request, a method, a seed) is kept as it ends, and a killed run goes on where it stopped. Several
processes share the work: --part 0/2 and --part 1/2. With --table the finished cells become result and Markdown.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import yaml
from scipy.stats import ks_2samp
from tofu_table import summarized, write_result
from transformers import AutoModelForCausalLM

from hf_privacy import PrivacyConfig, PrivacyTrainer
from hf_privacy.atomic_file import write_atomically
from hf_privacy.data import encode_language, load_dataset_from
from hf_privacy.errors import InputError
from hf_privacy.forgetting import exact_memorization, rouge_l_recall
from hf_privacy.models import attach_lora
from hf_privacy.signals import token_signals
from hf_privacy.statistics import auc
from hf_privacy.tasks import task_named
from hf_privacy.unlearning import (
    AnswerRows,
    answer_figures,
    greedy_texts,
    in_four_bits,
    kept_utility,
    relearned,
    unlearner_class,
)
from hf_privacy.unlearning.judging.answers import prompts

# Of a processor that others use too; what a GPU does takes none.
clock = time.perf_counter if torch.cuda.is_available() else time.process_time
QUIET = {"save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True}
AUTHOR = 20  # rows of each, one after another
SETS = {
    "forget": "forget10_perturbed",
    "retain": "retain_perturbed",
    "real_authors": "real_authors_perturbed",
    "world_facts": "world_facts_perturbed",
}


class Study:
    """One YAML: rows, models and what was measured so far."""

    def __init__(self, config: dict[str, Any], folder: Path, *, data: str, model: str) -> None:
        self.config, self.folder, self.base = config, folder, model
        self.tokenizer = task_named("causal-lm").load_processor(model)
        sizes = config["rows"]
        full = _load(data, "full")
        n_forget, n = 400, len(full)
        self.numbers = np.concatenate(
            [
                np.arange(sizes["retain"]),
                np.arange(n - n_forget, n),
                np.arange(2000, 2000 + sizes["unseen"]),
                np.arange(3000, 3000 + sizes["heldout"]),
            ]
        )
        ends = np.cumsum([sizes["retain"], n_forget, sizes["unseen"]])
        self.members, self.unseen, self.heldout = np.split(np.arange(len(self.numbers)), ends[1:])
        pairs = full.select(self.numbers).select_columns(["question", "answer"])
        pairs = pairs.rename_columns({"question": "prompt", "answer": "completion"})
        self.dataset = encode_language(pairs, self.tokenizer, max_length=config["max_length"])
        self.questions = {name: self._encode(_load(data, table), name) for name, table in SETS.items()}

    def _encode(self, rows: datasets.Dataset, name: str) -> AnswerRows:
        settings = {} if name in ("forget", "retain") else {"paraphrase": None}
        return AnswerRows.encode(rows, self.tokenizer, max_length=self.config["max_length"], **settings)

    def forgotten_rows(self, request: str) -> np.ndarray:
        """The members that are to be forgotten: of the search the first retained ones, else the last of all."""
        if request == "search":
            return self.members[: self.config["search"]["rows"]]
        return self.members[-self.config["requests"][request]["rows"] :]

    def asked(self, request: str) -> dict[str, AnswerRows]:
        """The questions that judge a request."""
        sizes, n = self.config["judged"], len(self.forgotten_rows(request))
        if request == "search":
            forget, first = self.questions["retain"].subset(np.arange(n)), n
        else:
            whole = len(self.questions["forget"])
            forget, first = self.questions["forget"].subset(np.arange(whole - n, whole)), 0
        kept = {name: spaced(self.questions[name], sizes[name]) for name in ("real_authors", "world_facts")}
        last = min(self.config["rows"]["retain"], len(self.questions["retain"]))
        retained = self.questions["retain"].subset(np.arange(first, last))
        return {"forget": spaced(forget, sizes["forget"]), "retain": spaced(retained, sizes["retain"]), **kept}

    # ---- models ----

    def new_model(self) -> torch.nn.Module:
        """The base with a fresh adapter."""
        return attach_lora(AutoModelForCausalLM.from_pretrained(self.base), self.config["lora"], task="causal-lm")

    def trained(self, name: str, rows: np.ndarray, seed: int) -> tuple[dict[str, torch.Tensor], float]:
        """The adapter trained on some members, and the seconds it took (see `clock`); trained if it is not there."""
        file = self.folder / "models" / f"{name}_{seed}.pt"
        if not file.is_file():
            args = self.arguments(PrivacyConfig, self.config["training"], seed)
            trainer = PrivacyTrainer(args=args, model_init=self.new_model, train_dataset=self.dataset.subset(rows))
            started = clock()
            trainer.train()
            seconds = clock() - started
            state = {k: v for k, v in trainer.model.state_dict().items() if "lora_" in k}
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save({"state": state, "seconds": seconds}, file.with_suffix(f".{name}{seed}"))
            file.with_suffix(f".{name}{seed}").replace(file)
        found = torch.load(file, weights_only=True)
        return found["state"], found["seconds"]

    def arguments(self, kind: Any, values: dict[str, Any], seed: int) -> Any:
        """Arguments of a trainer that writes nothing."""
        return kind(output_dir=str(self.folder / "work"), seed=seed, **{**QUIET, **values})

    def model_of(self, state: dict[str, torch.Tensor]) -> torch.nn.Module:
        """A model with these adapter weights."""
        model = self.new_model()
        model.load_state_dict(state, strict=False)
        return model

    def original(self, seed: int) -> tuple[dict[str, torch.Tensor], float]:
        """The model that is to forget."""
        return self.trained("original", self.members, seed)

    def retrained(self, request: str, seed: int) -> tuple[dict[str, torch.Tensor], float]:
        """The model that never saw what is to be forgotten."""
        rows = np.setdiff1d(self.members, self.forgotten_rows(request))
        return self.trained(f"retrained_{request}", rows, 1000 + seed)

    def unlearned(
        self, request: str, method: dict[str, Any], settings: dict[str, Any], seed: int
    ) -> tuple[torch.nn.Module, float]:
        """The original of a seed after a method, and the seconds it took (see `clock`)."""
        kind = unlearner_class(method["method"])
        plan = self.config["search"] if request == "search" else self.config["requests"][request]
        epochs = {} if method["method"] == "parameter_perturbation" else {"num_train_epochs": plan["epochs"]}
        values = {**self.config["unlearning"], **epochs, **method.get("training", {}), **settings}
        forget = self.forgotten_rows(request)
        retain = np.setdiff1d(self.members, forget)
        trainer = kind(
            self.model_of(self.original(seed)[0]),
            self.arguments(kind.config_class, {**values, "check_evidence": False}, seed),
            self.dataset.subset(forget),
            self.dataset.subset(retain),
            self.dataset.subset(self.heldout),
            processing_class=self.tokenizer,
        )
        started = clock()
        trainer.unlearn()
        return trainer.model, clock() - started

    # ---- judging ----

    def membership(self, model: torch.nn.Module, request: str) -> dict[str, Any]:
        """−loss of what is to be forgotten and of rows never seen, with their authors: private."""
        forget = spaced_rows(self.forgotten_rows(request), 200)
        sides = [token_signals(model, self.dataset.subset(rows)).examples()["phi"] for rows in (forget, self.unseen)]
        authors = [(self.numbers[rows] // AUTHOR).tolist() for rows in (forget, self.unseen)]
        return {"scores": [side.tolist() for side in sides], "authors": authors}

    def quick(self, model: torch.nn.Module, request: str, n: int | None = None) -> dict[str, Any]:
        """What the forget set's questions say, without generated answers."""
        asked = self.asked(request)["forget"]
        return _listed(answer_figures(model, asked if n is None else spaced(asked, n)))

    def judge(self, model: torch.nn.Module, request: str) -> dict[str, Any]:
        """All that is told of a model."""
        asked, sizes = self.asked(request), self.config["judged"]
        generated = {"tokenizer": self.tokenizer, "max_new_tokens": sizes["max_new_tokens"]}
        kept = {name: answer_figures(model, rows, **generated) for name, rows in asked.items() if name != "forget"}
        some = spaced(asked["forget"], sizes["forget_generated"]).answer
        said = greedy_texts(model, prompts(some), **generated)
        return {
            "forget": self.quick(model, request),
            "forget_rouge": rouge_l_recall(said, list(some.texts or [])).tolist(),
            "utility": kept_utility(kept),
            "membership": self.membership(model, request),
            "treated": self.treated(model, request),
        }

    def treated(self, model: torch.nn.Module, request: str) -> dict[str, Any]:
        """The same questions before and after quantisation, and after relearning: rows that were not learnt again."""
        settings = dict(self.config["relearning"])
        share, n = settings.pop("share"), settings.pop("judged")
        rows = self.forgotten_rows(request)
        again = rows[:: round(1 / share)]
        other = self.heldout[: max(len(again), AUTHOR)]
        asked = self.asked(request)["forget"]
        taken = set(self.numbers[again]) if request != "search" else set()
        left = [place for place, number in enumerate(self._asked_numbers(request)) if number not in taken]
        asked = spaced(asked.subset(left), n)
        args = self.arguments(PrivacyConfig, {"num_train_epochs": 1, "lr_scheduler_type": "constant", **settings}, 0)
        # Adapter and base are quantised together, as a merged model that is served in four bits.
        merged = self.model_of({k: v for k, v in model.state_dict().items() if "lora_" in k}).merge_and_unload()
        models: dict[str, Callable[[], torch.nn.Module]] = {
            "as it is": lambda: model,
            "4 bits": lambda: in_four_bits(merged),
            "relearned": lambda: relearned(model, self.dataset.subset(again), args=args),
            "other text": lambda: relearned(model, self.dataset.subset(other), args=args),
        }
        found = {}
        for name, made in models.items():
            figures = answer_figures(made(), asked)
            found[name] = {key: float(np.mean(figures[key])) for key in ("probability", "extraction_strength")}
            found[name]["truth_ratio"] = figures["truth_ratio"].tolist()
        return found

    def _asked_numbers(self, request: str) -> np.ndarray:
        """TOFU's numbers of the forget set's questions, as `asked` gives them."""
        return spaced_rows(self.numbers[self.forgotten_rows(request)], self.config["judged"]["forget"])

    def kept_memorization(self, model: torch.nn.Module, request: str) -> float:
        """Share of the retained answers' tokens that greedy decoding gives."""
        said = token_signals(model, self.asked(request)["retain"].answer)
        return float(exact_memorization(said.greedy, said.offsets).mean())

    # ---- the search ----

    def distance(self, model: torch.nn.Module) -> dict[str, float]:
        """How far a model is from the retrained one on the search's request: four distances in [0, 1]."""
        own, judge = self._search_figures(model), self._search_judge()
        found = {
            "ks": float(ks_2samp(own["truth_ratio"], judge["truth_ratio"]).statistic),
            **{name: abs(own[name] - judge[name]) for name in ("auc", "forget", "retain")},
        }
        return {**found, "distance": float(np.mean(list(found.values())))}

    def _search_figures(self, model: torch.nn.Module) -> dict[str, Any]:
        forget, seen = self.quick(model, "search"), self.membership(model, "search")["scores"]
        inside = np.repeat([True, False], [len(side) for side in seen])
        return {
            "truth_ratio": forget["truth_ratio"],
            "forget": float(np.mean(forget["exact_memorization"])),
            "retain": self.kept_memorization(model, "search"),
            "auc": auc(np.concatenate(seen), inside),
        }

    def _search_judge(self) -> dict[str, Any]:
        file = self.folder / "search" / "judge.json"
        if not file.is_file():
            state, _ = self.retrained("search", self.config["search"]["seed"])
            keep(file, self._search_figures(self.model_of(state)))
        return json.loads(file.read_text())

    def settings(self, name: str) -> dict[str, Any]:
        """The settings of a method that came nearest to the retrained model, of those tried."""
        tried = [json.loads(file.read_text()) for file in (self.folder / "search").glob(f"{name}__*.json")]
        ended = [one for one in tried if one["distance"] is not None]
        if not ended:
            raise InputError(f"{name} diverged with every setting of its search: widen it")
        return min(ended, key=lambda one: one["distance"])["settings"]

    def try_settings(self, name: str, settings: dict[str, Any]) -> dict[str, Any]:
        """One setting of the search."""
        started = clock()
        try:
            model, _ = self.unlearned("search", self.config["methods"][name], settings, self.config["search"]["seed"])
            found: dict[str, Any] = self.distance(model)
        except InputError as error:
            if "diverged" not in str(error):
                raise
            found = {"distance": None}
        return {"settings": settings, "seconds": clock() - started, **found}

    # ---- the work, in pieces that are kept ----

    def work(self) -> Iterator[tuple[str, list[tuple[Path, Callable[[], Any]]]]]:
        """Stages, each of files and what makes them; a stage needs those before it."""
        seeds, methods = self.config["seeds"], self.config["methods"]
        cells, searched = self.folder / "cells", self.config["search"]["seed"]
        yield (
            "search's models",
            [
                (self.folder / "models" / "original_done.json", lambda: {"seconds": self.original(searched)[1]}),
                (self.folder / "models" / "judge_done.json", self._search_judge),
            ],
        )
        tries = [(name, settings) for name, method in methods.items() for settings in choices(method)]
        yield (
            "search",
            [
                (
                    self.folder / "search" / f"{name}__{'_'.join(f'{k}={v}' for k, v in settings.items())}.json",
                    lambda name=name, settings=settings: self.try_settings(name, settings),
                )
                for name, settings in tries
            ],
        )
        for request in self.config["requests"]:  # one after the other: what a killed run has is whole
            yield (
                request,
                [
                    (
                        cells / request / f"{kind}__{seed}.json",
                        lambda request=request, kind=kind, seed=seed: self.untouched(request, kind, seed),
                    )
                    for kind in ("retrained", "original")
                    for seed in seeds
                ],
            )
            yield (
                request,
                [
                    (
                        cells / request / f"{name}__{seed}.json",
                        lambda request=request, name=name, seed=seed: self.cell(request, name, seed),
                    )
                    for seed in seeds
                    for name in methods
                ],
            )

    def untouched(self, request: str, kind: str, seed: int) -> dict[str, Any]:
        """The original or the retrained model of a seed, judged."""
        state, seconds = self.original(seed) if kind == "original" else self.retrained(request, seed)
        return {"seconds": seconds, **self.judge(self.model_of(state), request)}

    def cell(self, request: str, name: str, seed: int) -> dict[str, Any]:
        """One original made to forget, judged; a model that says nothing finite any more is said to have diverged."""
        settings = self.settings(name)
        try:
            model, seconds = self.unlearned(request, self.config["methods"][name], settings, seed)
            return {"seconds": seconds, **self.judge(model, request)}
        except InputError as error:
            if "diverged" not in str(error):
                raise
            return {"diverged": True}


def configuration(path: Path) -> dict[str, Any]:
    """The YAML, on top of the one that it names as its base."""
    config = yaml.safe_load(path.read_text())
    return {**yaml.safe_load((path.parent / config.pop("base")).read_text()), **config} if "base" in config else config


def choices(method: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings that the search tries: the product of the lists under ``search``."""
    grid = method["search"]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def spaced_rows(rows: np.ndarray, n: int) -> np.ndarray:
    """At most n of them, evenly spaced."""
    return rows[np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int))]


def spaced(rows: AnswerRows, n: int) -> AnswerRows:
    """At most n of the questions, evenly spaced."""
    return rows.subset(spaced_rows(np.arange(len(rows)), n))


def keep(file: Path, value: Any) -> None:
    """Write one piece of the work."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(value).encode())


def _load(data: str, table: str) -> datasets.Dataset:
    local = Path(data)
    if local.is_dir():
        return load_dataset_from(str(local / f"{table}.parquet"))
    return load_dataset_from(data, split="train", name=table)


def _listed(figures: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in figures.items()}


def main() -> None:
    """Do this process's part of the work, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the YAML")
    parser.add_argument("--data", help="a local folder of TOFU's tables as parquet, in place of the Hub's")
    parser.add_argument("--model", help="a local folder in place of the YAML's model")
    parser.add_argument("--output-dir", help="where models and cells go, by default as the YAML says")
    parser.add_argument("--part", default="0/1", help="which part of the work this process does, such as 1/2")
    parser.add_argument("--table", help="write the result of what is finished to this file, print it, do no work")
    options = parser.parse_args()
    config = configuration(Path(options.config))
    folder = Path(options.output_dir or config["output_dir"])
    if options.table:
        print(write_result(Path(options.table), config, summarized(config, folder)))
        return
    part, parts = map(int, options.part.split("/"))
    torch.set_num_threads(1)
    study = Study(config, folder, data=options.data or config["data"], model=options.model or config["model"])
    for stage, pieces in study.work():
        for file, made in pieces[part::parts]:
            if not file.is_file():
                started = time.perf_counter()
                keep(file, made())
                print(f"{stage}: {file.parent.name}/{file.stem}, {time.perf_counter() - started:.0f} s", flush=True)
        while not all(file.is_file() for file, _ in pieces):  # another process is at it
            time.sleep(2)


if __name__ == "__main__":
    main()
