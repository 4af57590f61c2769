"""`hf-privacy compare`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import heeded, show
from hf_privacy.cli.parent import stop_with_parent
from hf_privacy.cli.processes import expected_share, leave_distributed, share_of_cores
from hf_privacy.cli.workers import start_ahead, workers_beside
from hf_privacy.comparison.plan import Comparison
from hf_privacy.errors import InputError
from hf_privacy.recipe.folder import PRIVATE


def run(options: Options) -> int:
    """Train and audit every defence under every seed, then write and print the table; goes on where it was stopped.

    With ``--board`` nothing is trained: result files are drawn on one page.
    """
    if options.flags["board"] is not None:
        from hf_privacy.cli import board

        return board.run(options)
    for name in ("output", "push_to_space", "public", "dry_run"):
        if options.flags[name]:
            raise InputError(f"--{name.replace('_', '-')} is of a board: pass --board with result files too")
    if options.flags["worker"]:
        stop_with_parent()
    if options.config is None:
        raise InputError("no comparison: pass --config comparison.yaml")
    comparison = Comparison.load(options.config, options.overrides)
    heeded(comparison.common_recipe())
    launched, rank = leave_distributed()
    if not options.flags["worker"] and not launched:
        references = comparison.common_recipe().audit.references
        count, threads = expected_share(comparison.workers, most=references + len(comparison.seeds))
        if count > 1:
            start_ahead(_worker_arguments(comparison), threads=threads)

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
    show(
        f"\n{comparison_markdown(table)}\ntable, JSON and plot: {path.parent}",
        lambda: {**table, "folder": path.parent},
    )
    return 0


def _workers(comparison: Comparison) -> AbstractContextManager:
    """The processes beside this one, which claim trainings, reference models and audits as this one does."""
    references = max(comparison.cells(name)[0].recipe.audit.references for name in comparison.defenses)
    count, threads = share_of_cores(comparison.workers, most=references + len(comparison.seeds))
    if count == 1:
        return nullcontext()
    arguments = _worker_arguments(comparison)
    resolved = Path(arguments[2])
    resolved.parent.mkdir(parents=True, exist_ok=True)
    comparison.save(resolved)
    return workers_beside(arguments, count=count - 1, threads=threads)


def _worker_arguments(comparison: Comparison) -> list[str]:
    """A worker's command; it reads the comparison with what the command line set."""
    return ["compare", "--config", str(Path(comparison.output_dir) / PRIVATE / "comparison.yaml"), "--worker"]


def _say(line: str) -> None:
    print(line, flush=True)
