"""The arguments: safe defaults, and what is refused before anything runs."""

from __future__ import annotations

import pytest
from transformers import HfArgumentParser

from hf_privacy.defenses import PrivacyConfig
from hf_privacy.errors import InputError


def test_trap_5_a_token_in_the_arguments_is_refused(make_args):
    with pytest.raises(InputError, match="hub_token is set: tokens are saved in clear") as refusal:
        make_args(hub_token="hf_secret")
    assert "hf_secret" not in str(refusal.value)


@pytest.mark.parametrize("strategy", ["every_save", "checkpoint", "all_checkpoints"])
def test_trap_6_pushes_while_training_are_refused(strategy, make_args):
    with pytest.raises(InputError, match="checkpoint pushes would publish weights without a report"):
        make_args(hub_strategy=strategy)


def test_trap_17_repositories_are_private_by_default(make_args):
    args = make_args()
    assert args.hub_private_repo is True
    assert args.hub_strategy == "end"
    assert not args.hub_create_pr
    assert not args.allow_unaudited


def test_a_loss_that_is_not_a_number_is_not_hidden(make_args):
    assert make_args().logging_nan_inf_filter is False


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_momentum_outside_its_range_is_refused(momentum, make_args):
    with pytest.raises(InputError, match=r"momentum is .*: pass a number in \[0, 1\)"):
        make_args(momentum=momentum)


@pytest.mark.parametrize("given", [{0.01: 0.2}, {"0.01": "0.2"}, '{"0.01": 0.2}'])
def test_the_tpr_budget_is_read_from_a_mapping_or_from_json(given, make_args):
    assert make_args(max_tpr_at_fpr=given).max_tpr_at_fpr == {0.01: 0.2}


@pytest.mark.parametrize("given", ["0.01", {"low": 0.2}, {0.01: 20}, {2: 0.1}, 0.01, "{broken"])
def test_a_tpr_budget_that_is_no_rates_is_refused_before_training(given, make_args):
    with pytest.raises(InputError, match="max_tpr_at_fpr"):
        make_args(max_tpr_at_fpr=given)


@pytest.mark.parametrize("given", [55, -0.1, float("nan")])
def test_an_auc_budget_that_is_no_rate_is_refused_before_training(given, make_args):
    with pytest.raises(InputError, match="max_auc"):
        make_args(max_auc=given)


def test_the_arguments_come_from_a_command_line(tmp_path):
    line = f"--output_dir {tmp_path} --use_cpu true --max_auc 0.6 --momentum 0 --max_tpr_at_fpr".split()
    (args,) = HfArgumentParser(PrivacyConfig).parse_args_into_dataclasses([*line, '{"0.001": 0.05}'])
    assert (args.max_tpr_at_fpr, args.max_auc, args.momentum) == ({0.001: 0.05}, 0.6, 0.0)


def test_arguments_survive_a_round_trip_through_their_dictionary(make_args):
    args = make_args(max_tpr_at_fpr={0.01: 0.2}, max_auc=0.6)
    # to_dict puts "<HUB_TOKEN>" where there is no token.
    again = PrivacyConfig(**{name: value for name, value in args.to_dict().items() if name != "hub_token"})
    assert (again.max_tpr_at_fpr, again.max_auc, again.hub_strategy) == ({0.01: 0.2}, 0.6, "end")


def test_one_of_several_processes_that_would_train_alone_is_refused(monkeypatch, make_args):
    monkeypatch.setenv("WORLD_SIZE", "2")  # as a shell on a cluster's node has it, without a launcher
    with pytest.raises(InputError, match="the launcher started 2 processes, and this trainer runs as 1: each would"):
        make_args(use_cpu=False)


def test_a_single_process_may_name_the_backend_of_several(make_args):
    assert make_args(ddp_backend="gloo").world_size == 1
