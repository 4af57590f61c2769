"""One stage in a process of its own: python stage.py --stage stage.yaml --ends UNIXTIME; called by run.py."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from trial import training_seconds

from hf_privacy.atomic_file import write_atomically
from hf_privacy.comparison import comparison_table, work
from hf_privacy.comparison.experiments import Experiments
from hf_privacy.comparison.markdown import comparison_markdown
from hf_privacy.comparison.plan import Comparison
from hf_privacy.defenses.critical_weights.callback import REPORT_FILE as CRITICAL_WEIGHTS
from hf_privacy.hub import load_report_dict
from hf_privacy.recipe import Recipe

HERE = Path(__file__).parent
TABLE = HERE.parent / "unlearning" / "table.py"


class Running:
    """A stage and what it has found so far.

    Parameters
    ----------
    file : path
        The stage as `plan.Stage.resolved` gives it.
    ends : float
        When the time is up, in seconds since 1970.
    """

    def __init__(self, file: Path, ends: float) -> None:
        self.folder, self.ends = file.parent, ends
        self.stage: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
        self.config: dict[str, Any] = self.stage["config"]
        kept = self.folder / "found.json"
        self.found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}

    def keep(self, **found: Any) -> None:
        """Write down what was found."""
        self.found |= found
        write_atomically(self.folder / "found.json", json.dumps(self.found, ensure_ascii=False).encode())

    def fits(self, training: float, trainings: int) -> bool:
        """Whether one training would end in the time left; the rest of them is for another call."""
        self.keep(trial={"training": training, "stage": training * trainings})
        if time.time() + training <= self.ends:
            return True
        self.keep(state=f"skipped: a training takes {training:.0f} s, and fewer are left")
        return False

    def recipe_file(self, name: str, values: dict[str, Any]) -> str:
        """The values as a YAML in the stage's folder."""
        path = self.folder / name
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return str(path)


def run_commands(running: Running) -> None:
    """Each command's last line is its finding."""
    lines = []
    for arguments in running.stage["commands"]:
        done = subprocess.run([sys.executable, *arguments], cwd=HERE.parents[1], capture_output=True, text=True)
        lines.append(f"`python {' '.join(arguments)}`: {(done.stdout.strip().splitlines() or ['nothing'])[-1]}")
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:])
            raise SystemExit(done.returncode)
    running.keep(state="done", table="\n\n".join(lines))


def run_comparison(running: Running) -> None:
    """Row by row; each row that is whole joins the table."""
    experiments = Experiments(with_repeats=False)
    done: list[str] = []
    seconds: dict[str, float] = running.found.get("trials", {})
    for name in running.stage["rows"]:
        comparison = restricted(running.config, [*done, name])
        cell = comparison.cells(name)[0]
        if name not in seconds:
            seconds[name] = training_seconds(experiments.of(cell.recipe))
            running.keep(trials=seconds)
        trainings = (len(comparison.seeds) + cell.recipe.audit.references) * len(running.stage["rows"])
        if not running.fits(seconds[name], trainings):
            return
        work(restricted(running.config, [name]), experiments, say=lambda line: print(line, flush=True))
        done.append(name)
        table = comparison_table(comparison)
        text = "\n".join([comparison_markdown(table), *correlations(comparison)])
        running.keep(table=text, rows=done, state="under way")
    running.keep(state="done")


def correlations(comparison: Comparison) -> list[str]:
    """Of each row that rewinds weights by both scores, how these go together, by kind of layer."""
    lines = []
    for name in comparison.defenses:
        file = comparison.cells(name)[0].folder.path / CRITICAL_WEIGHTS
        found = json.loads(file.read_text(encoding="utf-8"))["entanglement"] if file.is_file() else None
        if found:
            figures = ", ".join(f"{kind} {'–' if value is None else f'{value:.2f}'}" for kind, value in found.items())
            title = comparison.title_of(name)
            lines.append(f"\n{title}: Pearson correlation of vulnerability and learnability, {figures}.")
    return lines


def restricted(config: dict[str, Any], names: list[str]) -> Comparison:
    """The comparison of some of its rows, whose hosts may be others."""
    rows = {name: dict(config["defenses"][name]) for name in names}
    for row in rows.values():
        if row.get("host") not in rows:
            row.pop("host", None)
    return Comparison.from_dict({**config, "defenses": rows})


def run_unlearning(running: Running) -> None:
    """As recipes/unlearning/table.py, which keeps each row that it has measured."""
    recipe = Recipe.load(running.config["recipe"]).override(running.config["overrides"])
    if not running.fits(training_seconds(Experiments(with_repeats=False).of(recipe)), running.stage["trainings"]):
        return
    file = running.recipe_file("unlearning.yaml", running.config)
    run(str(TABLE), "--config", file)
    running.keep(state="done", table=(Path(running.config["output_dir"]) / "table.md").read_text(encoding="utf-8"))


def run_audit(running: Running) -> None:
    """A recipe trained and audited; references that are trained stay."""
    file = running.recipe_file("recipe.yaml", running.config)
    recipe = Recipe.load(file)
    if not running.fits(training_seconds(Experiments(with_repeats=False).of(recipe)), running.stage["trainings"]):
        return
    for command in ("train", "audit"):
        run("-m", "hf_privacy.cli", command, "--config", file)
    running.keep(state="done", table=attacks_of(load_report_dict(Path(recipe.output_dir))))


def attacks_of(report: dict[str, Any]) -> str:
    """Each attack over the targets: AUC, and the TPR at the smallest FPR that all resolve."""
    targets = report["targets"]
    lines = [f"{targets['n_targets']} targets, {report['references']['n_models']} references.", ""]
    lines += ["| Attack | AUC | TPR |", "|---|---|---|"]
    for attack in targets["attacks"]:
        auc = "{mean:.3f} [{low:.3f}, {high:.3f}]".format(**attack["auc"])
        rates = [
            f"{100 * entry['mean']:.1f} % at {100 * entry['fpr']:g} % FPR"
            for entry in attack["tpr_at_fpr"]
            if entry["mean"] is not None
        ]
        lines.append(f"| {attack['title']} | {auc} | {'; '.join(rates) or '–'} |")
    return "\n".join(lines)


def run(*arguments: str) -> None:
    """Another command of this Python; its failure is the stage's."""
    done = subprocess.run([sys.executable, *arguments])
    if done.returncode:
        raise SystemExit(done.returncode)


RUNS = {"commands": run_commands, "comparison": run_comparison, "unlearning": run_unlearning, "audit": run_audit}


def main() -> None:
    """Run the stage of the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stage", type=Path, required=True)
    parser.add_argument("--ends", type=float, required=True)
    options = parser.parse_args()
    running = Running(options.stage, options.ends)
    if running.stage["prepare"] and not running.found:
        run(*running.stage["prepare"])
    RUNS[running.stage["kind"]](running)


if __name__ == "__main__":
    main()
