"""`hf-privacy compare`."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.parent import stop_with_parent
from hf_privacy.cli.processes import leave_distributed, share_of_cores
from hf_privacy.comparison.plan import Comparison
from hf_privacy.errors import InputError
from hf_privacy.recipe.folder import PRIVATE


def run(options: Options) -> int:
    """Train and audit every defence under every seed, then write and print the table; goes on where it was stopped."""
    if options.flags["worker"]:
        stop_with_parent()
    if options.config is None:
        raise InputError("no comparison: pass --config comparison.yaml")
    comparison = Comparison.load(options.config, options.overrides)
    launched, rank = leave_distributed()

    from transformers.utils import logging

    from hf_privacy.comparison import check_comparison, comparison_table, work, write_comparison
    from hf_privacy.comparison.experiments import Experiments
    from hf_privacy.comparison.markdown import comparison_markdown

    logging.disable_progress_bar()
    if options.flags["worker"] or rank > 0:
        work(comparison, say=_say)
        return 0
    experiments = Experiments()
    check_comparison(comparison, experiments)
    with _workers(comparison) if not launched else nullcontext():
        work(comparison, experiments, say=_say)
    table = comparison_table(comparison)
    path = write_comparison(comparison.output_dir, table)
    print(f"\n{comparison_markdown(table)}\ntable, JSON and plot: {path.parent}")
    return 0


def _workers(comparison: Comparison) -> AbstractContextManager:
    """The processes beside this one, which claim trainings, reference models and audits as this one does."""
    from hf_privacy.references import worker_processes

    references = max(comparison.cells(name)[0].recipe.audit.references for name in comparison.defenses)
    count, threads = share_of_cores(comparison.workers, most=references + len(comparison.seeds))
    if count == 1:
        return nullcontext()
    resolved = Path(comparison.output_dir) / PRIVATE / "comparison.yaml"
    resolved.parent.mkdir(parents=True, exist_ok=True)
    comparison.save(resolved)
    command = [sys.executable, "-m", "hf_privacy.cli", "compare", "--config", str(resolved), "--worker"]
    return worker_processes(command, count=count - 1, threads=threads)


def _say(line: str) -> None:
    print(line, flush=True)
