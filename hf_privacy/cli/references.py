"""`hf-privacy references`: an audit's reference models on many machines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hf_privacy.cli.arguments import Options
from hf_privacy.cli.output import show
from hf_privacy.errors import InputError
from hf_privacy.launch import launched_processes
from hf_privacy.recipe.config import Recipe
from hf_privacy.recipe.folder import RunFolder

if TYPE_CHECKING:
    from hf_privacy.references import SharedStore

# Which of the flags go with which action; --plan and --output are asked for below.
_FLAGS = {
    "plan": ("output", "config", "folder"),
    "run": ("plan", "store", "ranks", "rank", "world", "scratch"),
    "status": ("plan", "store"),
    "collect": ("plan", "store", "config", "folder"),
}


def run(options: Options) -> int:
    """Write a plan, train some of its references, say what is done, or bring it home."""
    action = str(options.flags["action"])
    _check(action, options)
    if action == "plan":
        _plan(options)
    elif action == "run":
        _run(options)
    elif action == "status":
        return _status(options)
    else:
        recipe = options.recipe()
        missing = _collect(recipe, str(options.flags["plan"]), options.flags["store"])
        wanted, folder = recipe.audit.references, recipe.output_dir
        text = f"{wanted - len(missing)} of {wanted} references are in {folder}"
        done = [number for number in range(wanted) if number not in missing]
        facts = {"references": wanted, "done": done, "missing": missing, "folder": folder}
        show(f"{text}\nmissing: {_listed(missing)}" if missing else text, lambda: facts)
    return 0


def collect_all(recipe: Recipe, plan: str, store: object) -> None:
    """Bring every reference that an audit of ``recipe`` wants from a plan's store.

    Raises
    ------
    InputError
        Where some are not there: they are not trained here unasked.
    """
    missing = _collect(recipe, plan, store)
    if missing:
        raise InputError(
            f"{len(missing)} of {recipe.audit.references} references are not in the store of the plan "
            f"({_listed(missing)}): run those numbers with `hf-privacy references run`, or leave --plan out to train "
            "them here"
        )


def _check(action: str, options: Options) -> None:
    if action != "run" and launched_processes() > 1:
        raise InputError(f"references {action} was started in {launched_processes()} processes: start one")
    given = {**options.flags, "config": options.config, "folder": options.folder}
    for name in ("config", "folder", "output", "plan", "store", "ranks", "rank", "world", "scratch"):
        if given[name] is not None and name not in _FLAGS[action]:
            raise InputError(f"--{name} is given and the action is {action}, which has no use for it: leave it out")
    if action == "status" and options.overrides:
        raise InputError(f"--{next(iter(options.overrides))} is given and the action is status: leave it out")
    needed = "output" if action == "plan" else "plan"
    if given[needed] is None:
        raise InputError(f"no --{needed}: pass the file of the plan, such as --{needed} runs/plan.json")


def _plan(options: Options) -> None:
    recipe = options.recipe()
    from hf_privacy.references import plan_of_recipe

    plan = plan_of_recipe(recipe)
    plan.save(str(options.flags["output"]))
    facts = {"references": plan.n_references, "plan": str(options.flags["output"]), "hash": plan.hash}
    show(f"a plan of {plan.n_references} references, {plan.hash[:12]}; nothing is trained yet", lambda: facts)


def _run(options: Options) -> None:
    from hf_privacy.ranks import own_ranks

    shared = _shared(str(options.flags["plan"]), options.flags["store"])
    told = {name: options.flags[name] for name in ("ranks", "rank", "world")}
    ranks = own_ranks(n_references=shared.plan.n_references, **told)
    recipe = shared.plan.worker_recipe(options.overrides)
    n_all = shared.plan.n_references
    if not ranks:
        facts = {"references": n_all, "asked": [], "trained": 0}
        show(f"there are fewer references than machines: none of the {n_all} is this one's", lambda: facts)
        return
    from hf_privacy.cli.processes import leave_distributed, share_of_cores

    leave_distributed()
    share_of_cores(1, most=1)
    from hf_privacy.references import run_ranks

    scratch = options.flags["scratch"]
    trained = run_ranks(shared, ranks, recipe, scratch=None if scratch is None else str(scratch), say=_say)
    facts = {"references": n_all, "asked": list(ranks), "trained": trained}
    show(f"{trained} of {len(ranks)} references trained here, of {n_all} in the plan", lambda: facts)


def _status(options: Options) -> int:
    shared = _shared(str(options.flags["plan"]), options.flags["store"])
    found = shared.status()
    lines = [f"{len(found.done)} of {shared.plan.n_references} references are done"]
    if found.failed:
        kinds = "; ".join(sorted(set(found.failures.values())))
        lines.append(f"failed: {_listed(found.failed)} ({kinds})")
    if found.missing:
        lines.append(f"missing: {_listed(found.missing)}")
    facts = {
        "references": shared.plan.n_references,
        "done": list(found.done),
        "failed": [{"number": number, "kind": found.failures.get(number)} for number in found.failed],
        "missing": list(found.missing),
    }
    show("\n".join(lines), lambda: facts)
    return 0


def _collect(recipe: Recipe, plan: str, store: object) -> list[int]:
    shared = _shared(plan, store)
    shared.plan.refuse_other_recipe(recipe)
    from hf_privacy.references import collect_shared

    folder = RunFolder(Path(recipe.output_dir))
    folder.check_usable()
    return collect_shared(shared, folder.private / "references", n_references=recipe.audit.references)


def _shared(plan: str, store: object) -> SharedStore:
    from hf_privacy.references.shared_folder import folder_of
    from hf_privacy.references.shared_store import SharedStore
    from hf_privacy.references.written_plan import WrittenPlan

    return SharedStore(WrittenPlan.load(plan), folder_of(plan)[0] if store is None else str(store))


def _listed(numbers: list[int]) -> str:
    """Numbers as --ranks takes them.

    Examples
    --------
    >>> _listed([0, 3, 4, 5, 9])
    '0,3-5,9'
    """
    stretches: list[list[int]] = []
    for number in numbers:
        if stretches and number == stretches[-1][-1] + 1:
            stretches[-1].append(number)
        else:
            stretches.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in stretches)


def _say(line: str) -> None:
    print(line, flush=True)
