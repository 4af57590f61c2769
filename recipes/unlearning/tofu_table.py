"""From the finished cells of `tofu.py` to a result without a single row in it, and to Markdown."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from hf_privacy.forgetting import tofu_forget_quality, truth_ratio_scores
from hf_privacy.statistics import summarize, t_interval

FPRS = (0.01, 0.1)
JUDGE = "retrained"
TREATED = ("as it is", "4 bits", "relearned", "other text")
Cell = dict[str, Any]


def summarized(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Of each request with three retrained models, each method's figures over the seeds that are finished."""
    found: dict[str, Any] = {"search": searched(config, folder), "requests": {}}
    for request in config["requests"]:
        names = (JUDGE, "original", *config["methods"])
        cells = {name: finished(folder / "cells" / request, name, config["seeds"]) for name in names}
        judges = cells[JUDGE]
        if len(judges) < len(config["seeds"]):
            continue
        table = {name: row(cells[name], judges, name == JUDGE) for name in names if cells[name]}
        found["requests"][request] = {"n_forget": config["requests"][request]["rows"], "rows": table}
    return found


def finished(folder: Path, name: str, seeds: Sequence[int]) -> list[Cell]:
    """The cells of a method that are there."""
    files = [folder / f"{name}__{seed}.json" for seed in seeds]
    return [json.loads(file.read_text()) for file in files if file.is_file()]


def searched(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the search tried, how long it took and what it chose."""
    found: dict[str, Any] = {"tried": 0, "seconds": 0.0, "chosen": {}}
    for name in config["methods"]:
        tried = [json.loads(file.read_text()) for file in sorted((folder / "search").glob(f"{name}__*.json"))]
        ended = [one for one in tried if one["distance"] is not None]
        found["tried"] += len(tried)
        found["seconds"] += sum(one["seconds"] for one in tried)
        if ended:
            best = min(ended, key=lambda one: one["distance"])
            found["chosen"][name] = {key: value for key, value in best.items() if key != "seconds"}
    return found


def row(cells: Sequence[Cell], judges: Sequence[Cell], is_judge: bool) -> dict[str, Any]:
    """One method: means over seeds with Student's t interval, and distances from the retrained models."""
    alive = [cell for cell in cells if not cell.get("diverged")]
    found: dict[str, Any] = {"n_seeds": len(cells), "n_diverged": len(cells) - len(alive)}
    if not alive:
        return found
    found["forget_quality"] = quality([cell["forget"]["truth_ratio"] for cell in alive], judges, ("forget",), is_judge)
    figures, theirs = [plain(cell) for cell in alive], [plain(cell) for cell in judges]
    for name in figures[0]:
        mine, judged = [one[name] for one in figures], [one[name] for one in theirs]
        found[name] = spread(mine)
        if not is_judge:
            noise = float(np.std(judged, ddof=1))
            gap = float(np.mean(mine) - np.mean(judged))
            found[name] |= {"gap": gap, "gap_in_noise": gap / noise if noise > 1e-9 else None}
    found["treated"] = {
        name: {
            "forget_quality": quality(
                [cell["treated"][name]["truth_ratio"] for cell in alive], judges, ("treated", name), is_judge
            ),
            "probability": spread([cell["treated"][name]["probability"] for cell in alive]),
        }
        for name in TREATED
    }
    found["time_ratio"] = float(np.mean([c["seconds"] for c in alive]) / np.mean([c["seconds"] for c in judges]))
    return found


def quality(ratios: list[list[float]], judges: Sequence[Cell], path: Sequence[str], is_judge: bool) -> dict[str, Any]:
    """Forget quality; of the judges themselves their null alone."""
    theirs = []
    for cell in judges:
        for part in path:
            cell = cell[part]
        theirs.append(cell["truth_ratio"])
    found = tofu_forget_quality(ratios, theirs)
    return {key: value for key, value in found.items() if not is_judge or key.startswith(("null", "n_", "floor"))}


def plain(cell: Cell) -> dict[str, float]:
    """Numbers of one model."""
    forget, seen = cell["forget"], cell["membership"]
    inside = np.repeat([True, False], [len(side) for side in seen["scores"]])
    attack = summarize(
        np.concatenate(seen["scores"]), inside, fprs=FPRS, groups=np.concatenate(seen["authors"]).astype(np.int64)
    )
    return {
        **cell["utility"],
        "truth_ratio": float(truth_ratio_scores(forget["truth_ratio"], part="forget").mean()),
        **{
            name: float(np.mean(forget[name])) for name in ("probability", "exact_memorization", "extraction_strength")
        },
        "rouge": float(np.mean(cell["forget_rouge"])),
        "auc": attack["auc"],
        **{f"tpr_at_{rate['fpr']:g}": rate["tpr"] for rate in attack["tpr_at_fpr"]},
    }


def spread(values: Sequence[float]) -> dict[str, float | None]:
    """Mean of shares, and the ends of Student's t interval: None for a single value."""
    low, high = t_interval(values, within=(0.0, 1.0))
    return {"mean": float(np.mean(values)), "low": low, "high": high}


def write_result(file: Path, config: dict[str, Any], result: dict[str, Any]) -> str:
    """Keep the result with what it was made by; return the tables."""
    here = Path(__file__).parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=here)
    result["commit"] = commit.stdout.strip()
    result["command"] = "python recipes/unlearning/tofu.py --config recipes/unlearning/tofu.yaml"
    result["config"] = {key: value for key, value in config.items() if key not in ("data", "model", "output_dir")}
    result["versions"] = {name: version(name) for name in ("torch", "transformers", "peft", "numpy", "scipy")}
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return markdown(result)


def markdown(result: dict[str, Any]) -> str:
    """Two tables a request: what is left, and what comes back."""
    titles = {JUDGE: "(retrained)", "original": "(nothing)"}
    titles |= {name: method["title"] for name, method in result["config"]["methods"].items()}
    lines: list[str] = []
    for request, table in result["requests"].items():
        rows, null = table["rows"], table["rows"][JUDGE]["forget_quality"]
        lines += [
            "",
            f"### {request}: {table['n_forget']} rows",
            "",
            f"Two retrained models are {null['null']:.2f} apart [{null['null_min']:.2f}, {null['null_max']:.2f}].",
            "",
            *head(
                "Method KS p Utility Retained_probability Truth_ratio Probability ROUGE-L AUC TPR_at_1_% "
                "TPR_at_10_% time"
            ),
        ]
        ordered = sorted(
            rows, key=lambda name: (name not in titles or name not in (JUDGE, "original"), order(rows[name]))
        )
        for name in ordered:
            lines.append(f"| {titles[name]} | {' | '.join(left(rows[name], name == JUDGE))} |")
        lines += [
            "",
            *head("Method KS,_as_it_is 4_bits relearned other_text Probability,_as_it_is 4_bits relearned other_text"),
        ]
        for name in ordered:
            if "treated" in rows[name]:
                lines.append(f"| {titles[name]} | {' | '.join(back(rows[name]['treated'], name == JUDGE))} |")
    return "\n".join(lines + search_lines(result["search"], titles)).strip() + "\n"


def search_lines(search: dict[str, Any], titles: dict[str, str]) -> list[str]:
    """How far the chosen settings were from the one retrained model on the search's request."""
    lines = [
        "",
        f"The search tried {search['tried']} settings, {search['seconds']:.0f} s of one core; of those chosen, there:",
        "",
        *head("Method Setting Distance KS AUC Forgotten_tokens Retained_tokens"),
    ]
    for name, chosen in sorted(search["chosen"].items(), key=lambda item: item[1]["distance"]):
        setting = ", ".join(f"{key} {value:g}" for key, value in chosen["settings"].items())
        shares = [f"{chosen[key]:.3f}" for key in ("distance", "ks", "auc", "forget", "retain")]
        lines.append(f"| {titles[name]} | {setting} | {' | '.join(shares)} |")
    return lines


def head(names: str) -> list[str]:
    """The first two lines of a table."""
    columns = [name.replace("_", " ") for name in names.split()]
    return [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]


def order(found: dict[str, Any]) -> float:
    """Nearest to retraining first; what diverged last."""
    return found.get("forget_quality", {}).get("statistic", 2.0)


def left(found: dict[str, Any], is_judge: bool) -> list[str]:
    """The cells of the first table."""
    if "forget_quality" not in found:
        return [f"diverged ({found['n_diverged']} of {found['n_seeds']})", *[""] * 10]
    kolmogorov, p = distance(found["forget_quality"], is_judge)
    shares = [
        shown(found[name]) for name in ("utility", "retain_probability", "truth_ratio", "probability", "rouge", "auc")
    ]
    rates = [shown(found[f"tpr_at_{fpr:g}"]) for fpr in FPRS]
    return [kolmogorov, p, *shares, *rates, f"{100 * found['time_ratio']:.0f} %"]


def back(treated: dict[str, Any], is_judge: bool) -> list[str]:
    """The cells of the second table."""
    kolmogorov = [distance(treated[name]["forget_quality"], is_judge)[0] for name in TREATED]
    return [*kolmogorov, *(shown(treated[name]["probability"]) for name in TREATED)]


def distance(quality: dict[str, Any], is_judge: bool) -> tuple[str, str]:
    """KS statistic over pairs, and p; of the judges the null."""
    names = ("null", "null_min", "null_max") if is_judge else ("statistic", "statistic_min", "statistic_max")
    mean, low, high = (quality[name] for name in names)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]", f"{quality['null_p_value' if is_judge else 'p_value']:.1g}"


def shown(figure: dict[str, Any]) -> str:
    """A mean and its interval."""
    text = f"{figure['mean']:.3f}"
    return text if figure["low"] is None else f"{text} [{figure['low']:.3f}, {figure['high']:.3f}]"
