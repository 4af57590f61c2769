"""Reference models as tasks of a Ray cluster."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_privacy.atomic_file import disk_errors_named
from hf_privacy.errors import InputError
from hf_privacy.progress import progress
from hf_privacy.references.collect import ReferenceRun
from hf_privacy.references.share import take
from hf_privacy.references.train import model_folder
from hf_privacy.references.written_plan import WrittenPlan, opened_run

if TYPE_CHECKING:
    from hf_privacy.recipe import Recipe


@dataclass(frozen=True)
class TaskAnswer:
    """What a task brings home of one reference: bytes of its file in the store and of its kept weights, by name."""

    row: bytes
    weights: dict[str, bytes]


class RayEngine:
    """Trains the references of a recipe's audit as Ray tasks; pass it to `hf_privacy.audit` as ``reference_engine``.

    A task is given the plan (see `WrittenPlan`) and a number, both plain text, and makes the reference as
    `hf-privacy references run` does; nothing is pickled but that and the bytes it brings home. What comes home is in
    the audit's own store at once, so that an audit that is stopped goes on with the rest. Ray tries a reference again
    whose process or machine was lost.

    Parameters
    ----------
    recipe : Recipe
        With its ``audit.engine``. Data and local checkpoints must lie at the same place on every machine.

    Raises
    ------
    InputError
        Where Ray is not installed.
    """

    def __init__(self, recipe: Recipe) -> None:
        try:
            import ray  # noqa: F401 - asked for before anything is trained
        except ImportError:
            raise InputError(
                "engine.name is 'ray' and Ray is not installed: pip install 'hf-privacy[ray]', or use engine 'local'"
            ) from None
        self.recipe = recipe
        self.settings = recipe.audit.engine

    def __call__(
        self, run: ReferenceRun, *, batch_size: int = 512, keep_weights: bool = False, show_progress: bool = False
    ) -> None:
        """Train until the store of ``run`` is whole.

        Raises
        ------
        InputError
            For a cluster that is not there, or one without room for a single reference, before anything is trained;
            a reference whose process was lost more often than it may be.
        """
        todo = [number for number in range(run.plan.n_models) if not run.store.has(number)]
        if not todo:
            return
        import ray

        recipe = self.recipe.override({"audit.batch_size": batch_size, "audit.keep_weights": keep_weights})
        # Of all that there may be: one text for every step of an audit that may stop early.
        plan = WrittenPlan.of(recipe, {**run.store.metadata, "n_models": recipe.audit.references})
        with self._connected():
            needs = {"num_cpus": self.settings.cpus, "num_gpus": self._gpus()}
            task = ray.remote(max_retries=self.settings.retries, **needs)(train_some)
            text, place = plan.text(), os.getcwd()
            at_once = recipe.audit.stack or 1  # adapters that a task trains side by side
            groups = [todo[first : first + at_once] for first in range(0, len(todo), at_once)]
            answers = _as_they_come(
                {task.remote(text, group, place): group for group in groups}, self.settings.retries
            )
            for number, answer in progress(
                answers, total=len(todo), description="reference models", enabled=show_progress
            ):
                _bring_home(run, number, answer)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        """Connect to the cluster, or start one of this machine's cores; what was joined here is left at the end."""
        import ray

        if ray.is_initialized():
            yield
            return
        try:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a cluster that is started here tells nobody of it
            ray.init(address=self.settings.address, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray's own, gRPC's and ConnectionError
            raise InputError(
                f"engine.address is {self.settings.address!r} and no Ray cluster answers there "
                f"({type(error).__name__}): start one with `ray start --head`, or leave address out"
            ) from error
        try:
            self._check_room()
            yield
        finally:
            ray.shutdown()

    def _check_room(self) -> None:
        """Refuse what no machine of the cluster has, for which Ray would wait for ever."""
        import ray

        needs = {"CPU": float(self.settings.cpus), "GPU": float(self._gpus())}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(all(node.get(name, 0) >= need for name, need in needs.items()) for node in nodes):
            raise InputError(
                f"a reference needs {needs['CPU']:g} cores and {needs['GPU']:g} GPUs and no machine of the Ray "
                "cluster has both: set engine.cpus and engine.gpus to what there is"
            )

    def _gpus(self) -> float:
        import ray

        if self.settings.gpus is not None:
            return self.settings.gpus
        return 1.0 if ray.cluster_resources().get("GPU", 0) else 0.0


def train_some(plan: str, numbers: list[int], place: str) -> list[TaskAnswer]:
    """Make references of a plan: what runs on a machine of the cluster.

    Parameters
    ----------
    plan : str
        `WrittenPlan.text`.
    numbers : list of int
    place : str
        The working folder, where there is one of this name: data may be named relative to it.
    """
    if os.path.isdir(place):
        os.chdir(place)
    run, options, _ = _opened(plan)
    for number in numbers:  # of a task that was lost on its way home
        (run.store.folder / run.store.file_name(number)).unlink(missing_ok=True)
    run.train_missing(batch_size=options.batch_size, keep_weights=options.keep_weights, numbers=numbers)
    return [_taken_out(run, number) for number in numbers]


def _taken_out(run: ReferenceRun, number: int) -> TaskAnswer:
    """A reference's bytes; its files are deleted."""
    weights = {}
    if run.keeps_weights(number):
        folder = model_folder(run.store, number)
        files = [path for path in folder.rglob("*") if path.is_file()]
        weights = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
        shutil.rmtree(folder)
    file = run.store.folder / run.store.file_name(number)
    answer = TaskAnswer(file.read_bytes(), weights)
    file.unlink()
    return answer


@functools.lru_cache(maxsize=1)
def _opened(plan: str) -> tuple[ReferenceRun, Any, Any]:
    """Data, model and store of a plan, once for all tasks of a process."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    written = WrittenPlan.of_text(plan)
    recipe = written.worker_recipe({})
    folder = tempfile.TemporaryDirectory(prefix="hf_privacy_")  # deleted when the process ends
    run = opened_run(recipe, Path(folder.name))
    written.refuse_other_store(run.store.metadata)
    return run, recipe.audit, folder


def _as_they_come(groups: dict[Any, list[int]], retries: int) -> Iterator[tuple[int, TaskAnswer]]:
    """The answers of tasks, by number, each as soon as it is there; when one fails the others are called off."""
    import ray

    left = dict(groups)
    try:
        while left:
            (ready, *_), _ = ray.wait(list(left), num_returns=1)
            numbers = left.pop(ready)
            try:
                answers = ray.get(ready)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, InputError):
                    raise InputError(str(error.cause)) from None
                raise
            except ray.exceptions.RayError as error:
                raise InputError(
                    f"reference {numbers[0]} was lost with its process or machine ({type(error).__name__}) more than "
                    f"engine.retries, {retries}, times: what is finished is kept; see that a reference has the memory "
                    "it needs, then run the same command again"
                ) from error
            yield from zip(numbers, answers, strict=True)
    finally:
        for task in left:
            with suppress(Exception):
                ray.cancel(task)


def _bring_home(run: ReferenceRun, number: int, answer: TaskAnswer) -> None:
    fetched = run.store.folder / "fetched"
    folder = fetched / f"{number:04d}"
    shutil.rmtree(folder, ignore_errors=True)
    size = len(answer.row) + sum(map(len, answer.weights.values()))
    try:
        with disk_errors_named(folder, size):
            (folder / "weights").mkdir(parents=True)
            (folder / "row").write_bytes(answer.row)
            for name, content in answer.weights.items():
                path = folder / "weights" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        if not take(run.store, number, folder / "row", folder / "weights" if answer.weights else None):
            raise InputError(
                f"reference {number} came from a machine with other data, recipe or versions: install there what is "
                "installed here"
            )
    finally:
        shutil.rmtree(fetched, ignore_errors=True)
