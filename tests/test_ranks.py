"""Which references a process trains, by what it is told and by what its scheduler says."""

from __future__ import annotations

import pytest

from hf_privacy.errors import InputError
from hf_privacy.ranks import own_ranks, read_ranks


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("3", [3]), ("8-15", list(range(8, 16))), ("0,4, 8 - 9", [0, 4, 8, 9]), ("2-4,3", [2, 3, 4]), ("5-5", [5])],
)
def test_a_list_of_ranks(text, numbers):
    assert read_ranks(text, n_references=16) == numbers


@pytest.mark.parametrize("text", ["", "a", "1-", "-3", "3-1", "1,,2", "1.5", "0x1", "²", "1 2", "9999999999"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(InputError, match=r"--ranks is .*: pass numbers"):
        read_ranks(text, n_references=16)


def test_a_rank_the_plan_does_not_have_is_refused():
    with pytest.raises(InputError, match="'8-16' and the plan has 16 references: pass numbers from 0 to 15"):
        read_ranks("8-16", n_references=16)


@pytest.mark.parametrize("n_references", [1, 5, 16, 64])
@pytest.mark.parametrize("world", [1, 3, 7, 64])
def test_shares_are_disjoint_whole_and_even(n_references, world):
    shares = [own_ranks(n_references=n_references, rank=rank, world=world) for rank in range(world)]
    assert [number for share in shares for number in share] == list(range(n_references))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


# What each scheduler sets for the third of four jobs, or processes, of 8 references: 4 and 5.
@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "4"},
        {
            "SLURM_ARRAY_TASK_ID": "14",
            "SLURM_ARRAY_TASK_COUNT": "4",
            "SLURM_ARRAY_TASK_MIN": "10",
            "SLURM_ARRAY_TASK_MAX": "16",
            "SLURM_ARRAY_TASK_STEP": "2",
        },
        {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"},
        {"SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "16"},
        {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_PROCID": "0", "SLURM_NTASKS": "2"},
        {"DATATROVE_JOB_ARRAY_INDEX": "2", "DATATROVE_JOB_ARRAY_SIZE": "4"},
        {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "4"},
        {"SKYPILOT_JOB_RANK": "2", "SKYPILOT_NUM_JOBS": "4"},
        {"SKYPILOT_NODE_RANK": "2", "SKYPILOT_NUM_NODES": "4"},
        {"RANK": "2", "WORLD_SIZE": "4"},
        {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"},
        {"HF_PRIVACY_RANK": "2", "HF_PRIVACY_WORLD": "4", "RANK": "0", "WORLD_SIZE": "1"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_every_schedulers_variables_are_read(environment):
    assert own_ranks(n_references=8, environment=environment) == [4, 5]


@pytest.mark.parametrize("name", ["SLURM_ARRAY_TASK_ID", "DATATROVE_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"])
def test_an_array_of_unsaid_size_has_a_job_for_each_reference(name):
    assert own_ranks(n_references=8, environment={name: "6"}) == [6]
    with pytest.raises(InputError, match=f"{name} is 8 of 8"):
        own_ranks(n_references=8, environment={name: "8"})


def test_without_a_word_all_are_this_processes_own():
    assert own_ranks(n_references=3, environment={}) == [0, 1, 2]


def test_what_is_asked_for_wins_over_the_scheduler():
    environment = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "4"}
    assert own_ranks(n_references=8, ranks="7", environment=environment) == [7]
    assert own_ranks(n_references=8, rank="3", world="4", environment=environment) == [6, 7]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SLURM_ARRAY_TASK_ID": "x"}, "SLURM_ARRAY_TASK_ID is 'x': pass a whole number"),
        # --array=3,7 leaves a gap: which share of the whole this is, nobody says.
        (
            {
                "SLURM_ARRAY_TASK_ID": "3",
                "SLURM_ARRAY_TASK_COUNT": "2",
                "SLURM_ARRAY_TASK_MIN": "3",
                "SLURM_ARRAY_TASK_MAX": "7",
                "SLURM_ARRAY_TASK_STEP": "1",
            },
            "an array of 2 jobs with gaps.*pass --rank",
        ),
        ({"RANK": "4", "WORLD_SIZE": "4"}, "RANK is 4 and WORLD_SIZE is 4"),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "0"}, "SLURM_NTASKS"),
    ],
)
def test_variables_that_tell_no_share_are_refused(environment, sentence):
    with pytest.raises(InputError, match=sentence):
        own_ranks(n_references=8, environment=environment)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"ranks": "1", "rank": "1", "world": "2"}, "--ranks and --rank are both given"),
        ({"rank": "1"}, "--rank and --world go together"),
        ({"world": "1"}, "--rank and --world go together"),
        ({"rank": "2", "world": "2"}, "--rank is 2 of 2: pass a number from 0 to 1"),
        ({"rank": "0", "world": "0"}, "--world"),
        ({"rank": "-1", "world": "2"}, "--rank is '-1'"),
    ],
)
def test_arguments_that_tell_no_share_are_refused(arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        own_ranks(n_references=8, environment={}, **arguments)
