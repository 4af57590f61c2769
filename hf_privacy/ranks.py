"""Which of a plan's references a process is to train: as it is told, or as the scheduler that started it says.

Light to import: a wrong rank is answered before anything else is loaded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from hf_privacy.arguments import check_whole
from hf_privacy.errors import InputError

# One variable a job: its number in an array of them, how many there are, the first number, and the step between them.
# Where the array's size is not said, the number is that of the reference.
_ARRAYS = (
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
    ("DATATROVE_JOB_ARRAY_INDEX", "DATATROVE_JOB_ARRAY_SIZE", "", ""),
    ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", "", ""),
    ("SKYPILOT_JOB_RANK", "SKYPILOT_NUM_JOBS", "", ""),
    ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", "", ""),  # Kubernetes' indexed jobs
)
# One variable a process of a job: its number and how many there are. Ray Train sets those of torchrun.
_PROCESSES = (
    ("HF_PRIVACY_RANK", "HF_PRIVACY_WORLD"),
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES"),
)


def read_ranks(text: str, *, n_references: int) -> list[int]:
    """Numbers of references from ``"3"``, ``"8-15"`` or ``"0,4,8-11"``, ascending, each once.

    Parameters
    ----------
    text : str
        Both ends of a stretch are included.
    n_references : int
        How many there are, K; they are counted from 0.

    Raises
    ------
    InputError
        For what is no such list, or a number the plan does not have.

    Examples
    --------
    >>> read_ranks("8-10,3", n_references=16)
    [3, 8, 9, 10]
    >>> read_ranks("8-16", n_references=16)
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: --ranks is '8-16' and the plan has 16 references: pass numbers from 0 to 15
    """
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part, re.ASCII)
        if match is None or (match[2] is not None and int(match[2]) < int(match[1])):
            raise InputError(f"--ranks is {text!r}: pass numbers of references, such as 3, 8-15 or 0,4,8-11")
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= n_references:
            raise InputError(
                f"--ranks is {text!r} and the plan has {n_references} references: pass numbers from 0 to "
                f"{n_references - 1}"
            )
        found.update(range(first, last + 1))
    return sorted(found)


def own_ranks(
    *,
    n_references: int,
    ranks: str | None = None,
    rank: int | str | None = None,
    world: int | str | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[int]:
    """The references that this process is to train.

    Those of ``ranks``; else the share of process ``rank`` of ``world``; else what the variables of the scheduler say:
    Slurm's array and its processes, DATATROVE_JOB_ARRAY_INDEX, AWS Batch, Kubernetes' indexed jobs, SkyPilot,
    torchrun, MPI and Ray Train, or HF_PRIVACY_RANK and HF_PRIVACY_WORLD, which mean ``rank`` and ``world``; else all
    of them. Of an array whose jobs have several processes each, both count.

    A share is a stretch of neighbours, as even as can be: process p of w has those from ⌊pK/w⌋ to ⌊(p+1)K/w⌋.
    Nothing depends on how the references are shared out: one that is done is not done again, and one that is done
    twice does no harm.

    Parameters
    ----------
    n_references : int
        K.
    ranks : str, optional
        See `read_ranks`.
    rank, world : int, optional
        Given both or neither.
    environment : mapping of str to str, optional
        By default this process's own.

    Raises
    ------
    InputError
        For numbers that are none, a rank beyond the world, or an array with gaps.

    Examples
    --------
    >>> own_ranks(n_references=16, rank=1, world=8)
    [2, 3]
    >>> own_ranks(n_references=16, environment={"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "8"})
    [10, 11]
    >>> own_ranks(n_references=3, environment={})
    [0, 1, 2]
    """
    if ranks is not None and (rank is not None or world is not None):
        raise InputError("--ranks and --rank are both given: pass --ranks, or --rank with --world")
    if ranks is not None:
        return read_ranks(ranks, n_references=n_references)
    if (rank is None) != (world is None):
        raise InputError("--rank and --world go together: the number of this process, and how many there are")
    if rank is not None and world is not None:
        return _share(_number("--rank", rank), _number("--world", world, least=1), n_references, "--rank")
    values = os.environ if environment is None else environment
    name, place, places = _array_place(values, n_references)
    for number, count in _PROCESSES:
        if number in values and count in values:
            place = place * _number(count, values[count], least=1) + _number(number, values[number])
            places *= _number(count, values[count], least=1)
            name = name or number
            if _number(number, values[number]) >= _number(count, values[count], least=1):
                raise InputError(
                    f"{number} is {values[number]} and {count} is {values[count]}: pass --rank and --world"
                )
            break
    return _share(place, places, n_references, name)


def _array_place(values: Mapping[str, str], n_references: int) -> tuple[str, int, int]:
    """The name of the variable that numbers this job in its array, its place there, and the number of places."""
    for name, count, first, step in _ARRAYS:
        if name not in values:
            continue
        number = _number(name, values[name])
        if count not in values:
            return name, number, n_references
        places = _number(count, values[count], least=1)
        start, stride = _number(first, values.get(first, "0")), _number(step, values.get(step, "1"), least=1)
        place, rest = divmod(number - start, stride)
        last = values.get("SLURM_ARRAY_TASK_MAX") if name.startswith("SLURM") else None
        gaps = last is not None and _number("SLURM_ARRAY_TASK_MAX", last) != start + (places - 1) * stride
        if rest or gaps or not 0 <= place < places:
            raise InputError(
                f"{name} is {number} in an array of {places} jobs with gaps, which does not tell this one's share: "
                f"pass --rank ${name} --world and the size of the whole array"
            )
        return name, place, places
    return "", 0, 1


def _share(place: int, places: int, n_references: int, name: str) -> list[int]:
    if place >= places:
        raise InputError(f"{name} is {place} of {places}: pass a number from 0 to {places - 1}")
    return list(range(place * n_references // places, (place + 1) * n_references // places))


def _number(name: str, value: int | str, *, least: int = 0) -> int:
    if isinstance(value, str):
        value = value.strip()
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII):
            raise InputError(f"{name} is {value!r}: pass a whole number from {least} up")
        value = int(value)
    return check_whole(name, value, at_least=least)
