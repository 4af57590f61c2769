"""`hf-privacy unlearn`."""

from __future__ import annotations

from pathlib import Path

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.errors import InputError


def run(options: Options) -> int:
    """Make the recipe's trained model forget, into a folder of its own, and judge the result."""
    recipe = options.recipe()
    from hf_privacy.auditing import check_split, check_target, judge_unlearning, unlearn_queue, unlearn_request
    from hf_privacy.cli.plain_progress import show_progress
    from hf_privacy.recipe import RunFolder, check_unlearning, prepare
    from hf_privacy.unlearning import read_queue

    check_unlearning(recipe)
    file = options.flags["queue"]
    if file is not None and recipe.unlearning.request:
        raise InputError("--queue and unlearning.request are both given: pass one of them")
    queue = None if file is None else read_queue(str(file))
    folder = RunFolder(Path(recipe.output_dir))
    check_target(recipe, folder)
    experiment = prepare(recipe)
    check_split(experiment, folder)
    if queue is None:
        unlearned = unlearn_request(experiment, folder, watch=show_progress)
    else:
        unlearned = unlearn_queue(experiment, folder, queue, watch=show_progress)
    section, report = judge_unlearning(experiment, folder, unlearned)
    if report is None:
        from hf_privacy.reports import unlearning_lines

        show(unlearning_lines(section), lambda: {"unlearning": section})
    else:
        from hf_privacy.cli.report import present

        present(report, unlearned.path, recipe.push)
    return 0
