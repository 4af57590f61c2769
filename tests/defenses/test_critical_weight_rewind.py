"""Critical weight rewinding: what goes back, what stands still, what trains on, and that a killed run goes on."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from killed import KillAt, KilledError
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torchrun import on_two_processes
from transformers import TrainerCallback

import hf_privacy
from hf_privacy.data import TensorDataset
from hf_privacy.defenses import (
    CCLConfig,
    CCLTrainer,
    CriticalWeightRewindCallback,
    CriticalWeightRewindError,
    EarlyStoppingConfig,
    EarlyStoppingTrainer,
    HAMPConfig,
    HAMPTrainer,
    PrivacyConfig,
    PrivacyTrainer,
    RelaxLossConfig,
    RelaxLossTrainer,
)
from hf_privacy.defenses.base.checkpoints import seal_checkpoint
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.references import plan_references, recipe_hash, reference_trainer
from hf_privacy.signals import compute_signals
from hf_privacy.weights import privacy_vulnerability, select, which_weights

HOSTS = {
    "none": (PrivacyTrainer, PrivacyConfig, {}),
    "relax_loss": (RelaxLossTrainer, RelaxLossConfig, {"alpha": 0.3}),
    "ccl": (CCLTrainer, CCLConfig, {}),
    "hamp": (HAMPTrainer, HAMPConfig, {"gamma": 0.5}),
}
OPTIMIZERS = {
    "sgd with momentum": {"optim": "sgd", "learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "adamw with decay": {"optim": "adamw_torch", "learning_rate": 0.02, "weight_decay": 0.5},
    "accumulation": {"optim": "adamw_torch", "learning_rate": 0.02, "gradient_accumulation_steps": 3},
}


class Watch(TrainerCallback):
    """Keeps weights, learning rate and optimizer state as every step finds them."""

    def __init__(self):
        self.weights, self.rates, self.n_states, self.epochs = [], [], [], []

    def on_step_begin(self, args, state, control, *, model, optimizer, **kwargs):
        self.weights.append({name: tensor.detach().clone() for name, tensor in model.named_parameters()})
        self.rates.append(optimizer.param_groups[0]["lr"])
        self.n_states.append(len(optimizer.state))
        self.epochs.append(state.epoch or 0)


def same_bits(one, other):
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


def changed(one, other):
    return one.contiguous().view(torch.int32) != other.contiguous().view(torch.int32)


def weights(trainer):
    return {name: tensor.detach().clone() for name, tensor in trainer.model.named_parameters()}


def dropout_mlp():
    return smooth_mlp(dropout=0.4)


def smooth_mlp(**fields):
    # With relu a unit may be off for every example, and its weights then rightly stand still.
    config = TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=3, activation="tanh", **fields)
    return TabularMLPForClassification(config)


@pytest.fixture
def run(make_args, data_of, model_of):
    """Give a function that trains 2 + 2 epochs of 4 steps: ``run(fraction=0.2, host="ccl", optim="sgd")``."""

    def make(host="none", *, model=None, model_init=None, family="tabular", others=(), arguments=None, **settings):
        trainer_class, config_class, own = HOSTS[host]
        settings = {"reference_dataset": data_of(family, 6, seed=5), "fraction": 0.2, **settings}
        cwrf = CriticalWeightRewindCallback(**settings)
        if model is None and model_init is None:
            torch.manual_seed(0)
            model = smooth_mlp() if family == "tabular" else model_of(family)
        defaults = {"num_train_epochs": 2, "per_device_train_batch_size": 3, "learning_rate": 0.05, **own}
        trainer = trainer_class(
            model,
            make_args(config_class, **{**defaults, **(arguments or {})}),
            train_dataset=data_of(family, 12),
            model_init=model_init,
            callbacks=[cwrf, *others],
        )
        trainer.cwrf = cwrf
        return trainer

    return make


def mask_of(before, after, names):
    """Weights that are as they were before training; none of the trained ones comes back by chance."""
    return {name: ~changed(before[name], after[name]) for name in names}


def n_marked(mask):
    return sum(int(selected.sum()) for selected in mask.values())


# ---- what is rewound, and that it stays ----


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rewound_weights_end_bit_for_bit_where_they_began_and_only_they(optimizer, run):
    trainer = run(arguments=OPTIMIZERS[optimizer])
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    mask = mask_of(before, weights(trainer), names)
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask) == round(0.2 * n_weights)
    for name in set(before) - set(names):
        assert changed(before[name], weights(trainer)[name]).any()


def test_they_are_the_top_of_the_score_of_a_copy_of_the_trained_model(run, data_of):
    watch = Watch()
    trainer = run(others=[watch], arguments={"per_device_train_batch_size": 12})  # one step an epoch: one order
    before, names = weights(trainer), which_weights(trainer.model)
    initial = copy.deepcopy(trainer.model)
    trainer.train()
    # `Watch` comes after the callback, so that step 2 shows the rewound model; the rest is as trained.
    rewound = mask_of(before, watch.weights[2], names)
    plain = PrivacyTrainer(copy.deepcopy(initial), trainer.args, train_dataset=data_of("tabular", 12))
    plain.train()
    scores = privacy_vulnerability(
        plain.model,
        [data_of("tabular", 12).__getitems__(range(12))],
        [data_of("tabular", 6, seed=5).__getitems__(range(6))],
        initial_state=initial.state_dict(),
        parameters=names,
    )
    expected = select(scores, fraction=0.2)
    for name in names:
        assert torch.equal(rewound[name], expected[name]), name
        rest = ~expected[name]
        assert same_bits(watch.weights[2][name][rest], plain.model.get_parameter(name).detach()[rest]), name


@pytest.mark.parametrize("fraction", [0.02, 0.5])
def test_the_fraction_is_that_of_all_ranked_weights(fraction, run):
    trainer = run(fraction=fraction)
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask_of(before, weights(trainer), names)) == round(fraction * n_weights)
    assert trainer.cwrf.rewound_ == {"linear": {"marked": round(fraction * n_weights), "of": n_weights}}


def test_the_scope_can_be_each_layer(run):
    trainer = run(fraction=0.25, scope="layer")
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    for selected in mask_of(before, weights(trainer), names).values():
        assert int(selected.sum()) == round(0.25 * selected.numel())


def test_the_rest_goes_on_from_where_training_left_it(run):
    watch = Watch()
    trainer = run(others=[watch])
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    at_switch, after = watch.weights[8], weights(trainer)
    for name in names:
        kept = changed(before[name], after[name])
        assert changed(at_switch[name], before[name])[kept].all()
        assert changed(at_switch[name], after[name])[kept].all()


def test_the_learning_rate_starts_again_and_falls_to_zero_by_a_cosine(run):
    watch = Watch()
    run(others=[watch], num_train_epochs=3, arguments={"lr_scheduler_type": "linear", "warmup_steps": 2}).train()
    first = [0.05 * min(step / 2, (8 - step) / 6) for step in range(8)]
    second = [0.05 * 0.5 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    assert watch.rates == pytest.approx(first + second)


def test_the_optimizer_starts_without_memory(run):
    watch = Watch()
    run(others=[watch], arguments={"optim": "adamw_torch"}).train()
    assert [n == 0 for n in watch.n_states] == [step in (0, 8) for step in range(16)]


@pytest.mark.parametrize(
    ("arguments", "settings", "lengths"),
    [
        ({}, {}, (8, 8)),
        ({}, {"num_train_epochs": 1}, (8, 4)),
        ({}, {"num_train_epochs": 0.3}, (8, 2)),
        ({"num_train_epochs": 1.5}, {}, (6, 6)),
        ({"max_steps": 3}, {}, (3, 3)),
    ],
)
def test_the_lengths_of_the_phases(arguments, settings, lengths, run):
    trainer = run(arguments=arguments, score="magnitude", **settings)
    trainer.train()
    assert (trainer.cwrf.first_steps, trainer.cwrf.second_steps) == lengths
    assert trainer.state.global_step == trainer.state.max_steps == sum(lengths)


def test_epochs_are_counted_on_through_both_phases(run):
    # RelaxLoss alternates by the epoch, which the order of the examples depends on too.
    watch = Watch()
    trainer = run("relax_loss", others=[watch])
    trainer.train()
    assert [int(epoch) for epoch in watch.epochs] == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
    epochs = [[i for batch in trainer.train_dataset.drawn[:8][s : s + 4] for i in batch] for s in (0, 4)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(12))] * 2


def test_a_batch_norm_keeps_counting_and_its_buffers_are_left_alone(run):
    trainer = run(family="resnet", arguments={"num_train_epochs": 1})
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    counts = [buffer for name, buffer in trainer.model.named_buffers() if name.endswith("num_batches_tracked")]
    assert [int(count) for count in counts] == [8] * len(counts) != []
    assert set(trainer.cwrf.rewound_) == {"conv", "norm", "linear"}
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask_of(before, weights(trainer), names)) >= round(0.2 * n_weights)


def test_training_again_rewinds_to_the_weights_it_began_with(run):
    trainer = run(model_init=dropout_mlp)
    trainer.train()
    once = weights(trainer)
    trainer.train()
    for name, tensor in weights(trainer).items():
        assert same_bits(tensor, once[name])


# ---- the controls ----


def test_zeroed_weights_stay_zero(run):
    trainer = run(edit="zero", arguments=OPTIMIZERS["adamw with decay"])
    names = which_weights(trainer.model)
    n_weights = sum(trainer.model.get_parameter(name).numel() for name in names)
    trainer.train()
    assert sum(int((weights(trainer)[name] == 0).sum()) for name in names) == round(0.2 * n_weights)


def test_training_the_top_alone_leaves_all_others_as_trained(run):
    watch = Watch()
    trainer = run(train="top", others=[watch], arguments=OPTIMIZERS["adamw with decay"])
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    at_switch, after = watch.weights[8], weights(trainer)
    n_weights = sum(before[name].numel() for name in names)
    moved = {name: changed(at_switch[name], after[name]) for name in before}
    assert n_marked(moved) == round(0.2 * n_weights)
    for name in names:
        assert torch.equal(moved[name], ~changed(at_switch[name], before[name]))


@pytest.mark.parametrize("score", ["random", "magnitude", "learnability"])
def test_other_scores_choose_as_many_other_weights_and_need_no_reference_data(score, run):
    masks = []
    for settings in ({}, {"score": score, "reference_dataset": None}):
        trainer = run(**settings)
        before, names = weights(trainer), which_weights(trainer.model)
        trainer.train()
        masks.append(mask_of(before, weights(trainer), names))
    assert n_marked(masks[0]) == n_marked(masks[1])
    assert any(not torch.equal(masks[0][name], masks[1][name]) for name in names)


def test_random_masks_follow_the_trainers_seed_unless_given_their_own(run):
    def mask(trainer_seed, **settings):
        trainer = run(score="random", arguments={"seed": trainer_seed}, **settings)
        before, names = weights(trainer), which_weights(trainer.model)
        trainer.train()
        return torch.cat([m.flatten() for m in mask_of(before, weights(trainer), names).values()])

    assert torch.equal(mask(1), mask(1))
    assert not torch.equal(mask(1), mask(2))
    assert torch.equal(mask(1, seed=9), mask(2, seed=9))


def test_every_setting_of_the_score_changes_it(run):
    changes = {
        "pve_weight": 0.9,
        "pve_epochs": 3,
        "pve_learning_rate": 5.0,
        "temperature": 4.0,
        "pve_start": "initial",
    }
    correlations = []
    for settings in ({}, *({name: value} for name, value in changes.items())):
        trainer = run(**settings, arguments={"learning_rate": 0.5, "optim": "sgd", "max_steps": 2})
        trainer.train()
        correlations.append(trainer.cwrf.entanglement_["all"])
    assert len(set(correlations)) == len(correlations)


# ---- with every host ----


@pytest.mark.parametrize("host", HOSTS)
def test_it_composes_with_every_loss_defence_which_trains_in_both_phases(host, run):
    class CountLosses(HOSTS[host][0]):
        n_losses = 0

        def training_loss(self, model, inputs):
            self.n_losses += 1
            return super().training_loss(model, inputs)

    trainer = run(host)
    trainer.__class__ = CountLosses
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    assert trainer.n_losses == 16
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask_of(before, weights(trainer), names)) == round(0.2 * n_weights)


@pytest.mark.filterwarnings("ignore:.*never moved")
def test_under_lora_the_adapter_goes_back_and_the_base_is_never_touched(run, lora_model_of):
    trainer = run(model=lora_model_of("bert"), family="bert", arguments={"num_train_epochs": 1})
    before = weights(trainer)
    trained = [name for name, parameter in trainer.model.named_parameters() if parameter.requires_grad]
    names = which_weights(trainer.model)
    assert set(names) < set(trained)
    trainer.train()
    after = weights(trainer)
    for name in set(before) - set(trained):
        assert same_bits(before[name], after[name])
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask_of(before, after, names)) == round(0.2 * n_weights)


def test_in_bfloat16_autocast_a_copy_of_the_model_runs_on_its_own_weights(run):
    # accelerate puts a forward of its own on the model; the scores are those of copies of it.
    class Copy(TrainerCallback):
        def on_step_begin(self, args, state, control, *, model, train_dataloader, **kwargs):
            twin = copy.deepcopy(model)
            with torch.no_grad():
                for parameter in twin.parameters():
                    parameter.zero_()
            features = train_dataloader.dataset.column("features")
            self.logits = (twin(features=features).logits, model(features=features).logits)

    watched = Copy()
    trainer = run(others=[watched], arguments={"bf16": True})
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    assert not watched.logits[0].any()
    assert watched.logits[1].all()
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask_of(before, weights(trainer), names)) == round(0.2 * n_weights)


@pytest.fixture
def dp_run(make_args, data_of):
    pytest.importorskip("opacus")
    from hf_privacy.defenses.dp.config import DPConfig
    from hf_privacy.defenses.dp.trainer import DPTrainer

    def make(*, settings=None, **arguments):
        given = {"num_train_epochs": 2, "per_device_train_batch_size": 8, "learning_rate": 0.05, "accountant": "rdp"}
        args = make_args(DPConfig, **{**given, **arguments})
        cwrf = None
        if settings is not None:
            cwrf = CriticalWeightRewindCallback(fraction=0.2, **settings)
        trainer = DPTrainer(
            smooth_mlp(), args, train_dataset=data_of("tabular", 40), callbacks=[] if cwrf is None else [cwrf]
        )
        trainer.cwrf = cwrf
        return trainer

    return make


@pytest.mark.parametrize("per_sample_gradients", ["hooks", "functional"])
@pytest.mark.filterwarnings("ignore:.*looks at members")
def test_noise_of_dp_moves_no_rewound_weight(per_sample_gradients, dp_run, data_of):
    trainer = dp_run(
        settings={"reference_dataset": data_of("tabular", 6, seed=5)},
        noise_multiplier=1.0,
        per_sample_gradients=per_sample_gradients,
    )
    before, names = weights(trainer), which_weights(trainer.model)
    trainer.train()
    n_weights = sum(before[name].numel() for name in names)
    assert n_marked(mask_of(before, weights(trainer), names)) == round(0.2 * n_weights)
    assert trainer.ledger.n_steps == 20


def test_a_dp_budget_is_planned_for_both_phases(dp_run):
    alone = dp_run(target_epsilon=8.0)
    both = dp_run(target_epsilon=8.0, settings={"score": "magnitude"})
    assert both.planned_steps() == 2 * alone.planned_steps()
    assert both.plan() > alone.plan()
    both.train()
    assert both.ledger.n_steps == both.planned_steps() == 20
    assert 0 < both.privacy_spent()["epsilon"] <= 8.0


def test_a_dp_budget_that_ends_before_the_rewind_is_refused_before_training(dp_run):
    trainer = dp_run(target_epsilon=8.0, noise_multiplier=0.8, num_train_epochs=200, settings={"score": "random"})
    with pytest.raises(InputError, match=r"the budget allows .* of 2,000 steps of training and fine-tuning"):
        trainer.train()


@pytest.mark.parametrize(
    ("settings", "is_private"),
    [
        ({"score": "random"}, True),
        ({"score": "magnitude"}, True),
        ({"score": "learnability"}, False),
        ({"score": "privacy_vulnerability"}, False),
        ({"score": "privacy_vulnerability", "pve_weight": 1.0}, False),
        ({"score": "privacy_vulnerability", "pve_weight": 1.0, "entanglement": False}, True),
    ],
)
@pytest.mark.filterwarnings("ignore:.*looks at members")
def test_no_epsilon_is_given_where_the_score_looks_at_members_without_noise(settings, is_private, dp_run, data_of):
    trainer = dp_run(noise_multiplier=1.0, settings={**settings, "reference_dataset": data_of("tabular", 6, seed=5)})
    assert (trainer.privacy_spent() is not None) == is_private


def test_that_no_epsilon_will_be_given_is_said_beforehand(dp_run):
    with pytest.warns(UserWarning, match="learnability score looks at members without noise"):
        dp_run(noise_multiplier=1.0, settings={"score": "learnability"})


# ---- resuming ----


def assert_resumes(run, tmp_path, kill_at, **options):
    arguments = {"save_strategy": "steps", "save_steps": 3, **options.pop("arguments", {})}

    def trainer(folder, others=()):
        given = {**arguments, "output_dir": str(tmp_path / folder)}
        return run(
            model_init=options.get("model_init", dropout_mlp),
            others=others,
            arguments=given,
            **{name: value for name, value in options.items() if name != "model_init"},
        )

    whole = trainer("whole")
    whole.train()
    killed = trainer("killed", [KillAt(kill_at)])
    with pytest.raises(KilledError):
        killed.train()
    resumed = trainer("killed")
    torch.manual_seed(12345)  # a fresh process has another random state
    resumed.train(resume_from_checkpoint=True)
    for name, tensor in weights(whole).items():
        assert same_bits(weights(resumed)[name], tensor), name
    assert resumed.cwrf.rewound_ == whole.cwrf.rewound_
    assert resumed.cwrf.entanglement_ == whole.cwrf.entanglement_
    return resumed


@pytest.mark.parametrize(
    ("optimizer", "kill_at"),
    [("sgd with momentum", 5), ("adamw with decay", 10), ("adamw with decay", 13)],
    ids=["in the training", "in the fine-tuning, from the training", "in the fine-tuning"],
)
def test_a_killed_run_resumes_bit_for_bit(optimizer, kill_at, run, tmp_path):
    assert_resumes(run, tmp_path, kill_at, arguments={**OPTIMIZERS[optimizer], "lr_scheduler_type": "linear"})


def test_the_checkpoint_at_the_end_of_training_is_of_the_trained_model_and_resumes(run, tmp_path):
    resumed = assert_resumes(run, tmp_path, 9, arguments={"save_steps": 8})
    saved = load_file(tmp_path / "killed" / "checkpoint-8" / "model.safetensors")
    initial = load_file(tmp_path / "killed" / "checkpoint-8" / "critical_weights" / "initial.safetensors")
    assert changed(saved["classifier.weight"], initial["classifier.weight"]).all()
    assert resumed.state.global_step == 16


def test_relax_loss_resumes_with_the_parity_it_had(run, tmp_path):
    assert_resumes(run, tmp_path, 13, host="relax_loss")


def test_the_top_alone_resumes_too(run, tmp_path):
    assert_resumes(run, tmp_path, 13, train="top")


def test_a_finished_run_leaves_its_aggregates_alone_and_resuming_it_changes_nothing(run, tmp_path):
    arguments = {"save_strategy": "epoch", "logging_strategy": "epoch"}
    finished = run(model_init=dropout_mlp, arguments=arguments)
    finished.train()
    folder = tmp_path / "run"
    assert not (folder / "critical_weights").exists()
    summary = json.loads((folder / "critical_weights.json").read_text())
    assert summary["weights"] == finished.cwrf.rewound_ == {"linear": {"marked": 11, "of": 56}}
    assert summary["entanglement"] == finished.cwrf.entanglement_
    assert (summary["training_steps"], summary["fine_tuning_steps"]) == (8, 8)
    again = run(model_init=dropout_mlp, arguments=arguments)
    again.train(resume_from_checkpoint=True)
    for name, tensor in weights(finished).items():
        assert same_bits(weights(again)[name], tensor)


def test_without_checkpoints_nothing_is_written(run, tmp_path):
    run().train()
    assert not (tmp_path / "run").exists() or not any((tmp_path / "run").iterdir())


def test_the_entanglement_is_logged(run):
    trainer = run()
    trainer.train()
    (entry,) = [entry for entry in trainer.state.log_history if "critical_weights" in entry]
    assert entry["critical_weights"] == 11
    assert entry["entanglement_all"] == trainer.cwrf.entanglement_["all"]
    assert entry["step"] == 8


# ---- two processes ----


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes_rewind")
    on_two_processes(Path(__file__).with_name("two_processes_rewind.py"), folder)
    return folder


@pytest.mark.parametrize("scores", ["same", "different"])
def test_both_of_two_processes_rewind_the_same_weights_whatever_each_would_have_chosen(scores, two_processes):
    start = load_file(two_processes / f"start-{scores}-0.safetensors")
    ends = [load_file(two_processes / f"end-{scores}-{rank}.safetensors") for rank in (0, 1)]
    for name in start:
        assert same_bits(ends[0][name], ends[1][name])
    names = [name for name in start if name.endswith("weight")]
    assert n_marked(mask_of(start, ends[0], names)) == 11


# ---- references, recipes, reports ----


@pytest.fixture
def target(run):
    return run("ccl", model_init=dropout_mlp)


def test_reference_models_rewind_by_their_own_members(target, run, tmp_path):
    target.train()
    pool, masks = target.train_dataset, []
    for number, rows in enumerate((range(6), range(6, 12))):
        clone = reference_trainer(target, pool.subset(rows), seed=7, output_dir=tmp_path / str(number))
        (cwrf,) = [c for c in clone.callback_handler.callbacks if isinstance(c, CriticalWeightRewindCallback)]
        assert cwrf is not target.cwrf
        assert cwrf.rewound_ is None
        assert cwrf.reference_dataset is target.cwrf.reference_dataset
        assert cwrf.settings_sha256 == target.cwrf.settings_sha256
        before, names = weights(clone), which_weights(clone.model)
        clone.train()
        masks.append(mask_of(before, weights(clone), names))
        assert n_marked(masks[-1]) == 11
        assert not (tmp_path / str(number)).exists() or not any((tmp_path / str(number)).iterdir())
    assert any(not torch.equal(masks[0][name], masks[1][name]) for name in names)


@pytest.mark.parametrize(
    "settings",
    [{"fraction": 0.1}, {"kinds": ["linear"]}, {"pve_weight": 0.4}, {"seed": 3}, {"reference_dataset": "another"}],
)
def test_every_setting_is_part_of_the_recipes_hash(settings, run, data_of):
    plan = plan_references(np.arange(12) % 3, n_models=2)
    if "reference_dataset" in settings:
        settings = {"reference_dataset": data_of("tabular", 6, seed=6)}
    hashes = [
        recipe_hash(run(model_init=dropout_mlp, **given), plan, dataset_fingerprint="f", pool_hash="p")
        for given in ({}, {}, settings)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_defence_is_named_with_its_host(run):
    alone, both = run().describe_defense(), run("relax_loss").describe_defense()
    assert (alone["name"], both["name"]) == ("cwrf", "relax_loss+cwrf")
    assert both["parameters"]["alpha"] == 0.3
    assert both["parameters"]["cwrf_fraction"] == 0.2
    assert both["paper"]["id"] == "arXiv:2207.05801; arXiv:2603.13186"
    assert alone["paper"]["id"] == "arXiv:2603.13186"


def test_without_it_the_defence_is_the_hosts_own(make_args, model_of, data_of):
    trainer = CCLTrainer(model_of("tabular"), make_args(CCLConfig), train_dataset=data_of("tabular"))
    described = trainer.describe_defense()
    assert described["name"] == "ccl"
    assert described["parameters"] == {"alpha": 0.5, "beta": 0.05, "concave_term": "exp_p"}


def test_the_package_gives_it_out():
    assert hf_privacy.CriticalWeightRewindCallback is CriticalWeightRewindCallback
    assert set(CriticalWeightRewindCallback.paper) == {"title", "id", "citation"}


# ---- bad input ----


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"fraction": 0.0}, r"fraction is 0\.0: pass a number in \(0, 1\)"),
        ({"fraction": 1.0}, r"fraction is 1\.0"),
        ({"score": "loss"}, r"score is 'loss': pass 'privacy_vulnerability' or"),
        ({"edit": "drop"}, r"edit is 'drop': pass 'rewind' or 'zero'"),
        ({"train": "all"}, r"train is 'all': pass 'rest' or 'top'"),
        ({"num_train_epochs": 0}, r"num_train_epochs is 0"),
        ({"pve_weight": 1.5}, r"pve_weight is 1\.5"),
        ({"pve_epochs": 0}, r"pve_epochs is 0"),
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"kinds": "linear"}, r"kinds is 'linear': pass a list"),
        ({"kinds": ["dense"]}, r"kinds is \['dense'\]"),
        ({"reference_dataset": [1]}, r"reference_dataset is list: pass a TensorDataset"),
    ],
)
def test_settings_out_of_range_are_refused_at_once(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        CriticalWeightRewindCallback(**settings)


@pytest.mark.parametrize(
    ("settings", "arguments", "sentence"),
    [
        ({"reference_dataset": None}, {}, "reference_dataset is missing"),
        ({"fraction": 0.001}, {}, "fraction is 0.001 of 56 weights, which is none"),
        ({"kinds": ["conv"]}, {}, "has no trainable weights of such layers"),
        ({}, {"auto_find_batch_size": True}, "auto_find_batch_size is set"),
        ({}, {"restore_callback_states_from_checkpoint": True}, "restore_callback_states_from_checkpoint is set"),
    ],
)
def test_what_cannot_be_rewound_is_refused_before_training(settings, arguments, sentence, run):
    trainer = run(**settings, arguments=arguments)
    before = weights(trainer)
    with pytest.raises(InputError, match=sentence):
        trainer.train()
    for name, tensor in weights(trainer).items():
        assert same_bits(tensor, before[name])


def test_members_are_no_reference_data(run):
    trainer = run()
    trainer.cwrf.reference_dataset = trainer.train_dataset
    with pytest.raises(InputError, match="reference_dataset is the training set"):
        trainer.train()


def test_reference_data_of_other_columns_are_refused(run):
    with pytest.raises(InputError, match="encode both alike"):
        run(reference_dataset=TensorDataset({"pixels": torch.zeros(2, 4), "labels": torch.zeros(2).long()})).train()


def test_a_callback_added_later_is_refused(make_args, model_of, data_of):
    from transformers import Trainer, TrainingArguments

    args = TrainingArguments(make_args().output_dir, use_cpu=True, report_to="none", disable_tqdm=True)
    with pytest.raises(InputError, match=r"pass CriticalWeightRewindCallback in callbacks= of a PrivacyTrainer"):
        Trainer(
            model_of("tabular"),
            args,
            train_dataset=list(data_of("tabular")),
            callbacks=[CriticalWeightRewindCallback(score="random")],
        ).train()


def test_two_of_them_are_refused(run):
    with pytest.raises(InputError, match="2 callbacks ask for a second phase of training"):
        run(others=[CriticalWeightRewindCallback(score="random")]).train()


def test_a_scheduler_of_ones_own_is_refused(make_args, model_of, data_of):
    model = model_of("tabular")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = PrivacyTrainer(
        model,
        make_args(),
        train_dataset=data_of("tabular"),
        callbacks=[CriticalWeightRewindCallback(score="random")],
        optimizers=(optimizer, torch.optim.lr_scheduler.ConstantLR(optimizer)),
    )
    with pytest.raises(InputError, match="set lr_scheduler_type instead"):
        trainer.train()


def test_a_scheduler_that_looks_at_the_loss_is_refused(run):
    trainer = run()
    trainer.args.lr_scheduler_type = "reduce_lr_on_plateau"
    with pytest.raises(InputError, match=r"lr_scheduler_type is reduce_lr_on_plateau: .* use 'cosine'"):
        trainer.train()


def test_early_stopping_as_the_host_is_refused(make_args, model_of, data_of):
    with pytest.raises(InputError, match="training would stop before its second phase"):
        EarlyStoppingTrainer(
            model_of("tabular"),
            make_args(EarlyStoppingConfig),
            train_dataset=data_of("tabular"),
            validation_dataset=data_of("tabular", 6, seed=9),
            callbacks=[CriticalWeightRewindCallback(score="random")],
        )


def test_a_training_that_is_stopped_before_the_rewind_is_an_error(run):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = True

    with pytest.raises(CriticalWeightRewindError, match="stopped at step 1 of 8, before"):
        run(others=[Stop()]).train()


def test_another_callback_that_writes_to_rewound_weights_is_found_out(run):
    class Write(TrainerCallback):
        def on_train_end(self, args, state, control, *, model, **kwargs):
            pass

        def on_optimizer_step(self, args, state, control, *, model, **kwargs):
            with torch.no_grad():
                model.classifier.weight.add_(1.0)

    with pytest.raises(CriticalWeightRewindError, match=r"classifier\.weight have moved"):
        run(fraction=0.9, others=[Write()]).train()


def checkpointed(run, tmp_path, step, **settings):
    killed = run(model_init=dropout_mlp, others=[KillAt(step)], arguments={"save_strategy": "steps", "save_steps": 3})
    with pytest.raises(KilledError):
        killed.train()
    return run(**{"model_init": dropout_mlp, "arguments": {"save_strategy": "steps", "save_steps": 3}, **settings})


def test_resuming_with_other_settings_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="saved with other settings of critical weight rewinding"):
        checkpointed(run, tmp_path, 13, fraction=0.3).train(resume_from_checkpoint=True)


def test_resuming_with_another_length_is_refused(run, tmp_path):
    arguments = {"save_strategy": "steps", "save_steps": 3, "num_train_epochs": 3}
    with pytest.raises(InputError, match="is of 8 steps of training and 8 of fine-tuning, and the arguments ask"):
        checkpointed(run, tmp_path, 5, arguments=arguments).train(resume_from_checkpoint=True)


def test_resuming_without_the_initial_state_is_refused(run, tmp_path):
    trainer = checkpointed(run, tmp_path, 5)
    for file in Path(tmp_path).rglob("initial.safetensors"):
        file.unlink()
    for checkpoint in Path(tmp_path).rglob("checkpoint-*"):
        seal_checkpoint(checkpoint)  # as if they had been saved so
    with pytest.raises(InputError, match="there is no initial state to rewind to"):
        trainer.train(resume_from_checkpoint=True)


def test_resuming_a_checkpoint_of_a_plain_training_is_refused(run, make_args, data_of):
    args = make_args(max_steps=1, save_strategy="steps", save_steps=1)
    PrivacyTrainer(model_init=dropout_mlp, args=args, train_dataset=data_of("tabular", 12)).train()
    with pytest.raises(InputError, match="saved without critical weight rewinding"):
        run(model_init=dropout_mlp).train(resume_from_checkpoint=True)


# ---- the direction of the effect ----


def test_rewinding_lowers_leakage_a_random_mask_does_not_and_zeroing_costs_more(noisy_digits, make_args):
    members, others = noisy_digits.subset(range(200)), noisy_digits.subset(range(200, 400))
    population = noisy_digits.subset(range(400, 500))
    config = TabularMLPConfig(input_size=64, hidden_sizes=[64], num_labels=10)
    arguments = {"optim": "sgd", "learning_rate": 0.1, "num_train_epochs": 30, "per_device_train_batch_size": 50}

    def measured(**settings):
        """Mean AUC of the loss attack and mean accuracy on non-members over three seeds."""
        figures = []
        for seed in range(3):
            settings = {"reference_dataset": population, "num_train_epochs": 8, **settings}
            trainer = PrivacyTrainer(
                model_init=lambda: TabularMLPForClassification(config),
                args=make_args(seed=seed, **arguments),
                train_dataset=members,
                callbacks=[CriticalWeightRewindCallback(**settings)] if "fraction" in settings else [],
            )
            trainer.train()
            signals = [compute_signals(trainer.model, part) for part in (members, others)]
            losses = np.concatenate([part["loss"][0] for part in signals])
            auc = roc_auc_score(np.repeat([1, 0], 200), -losses)
            figures.append((auc, signals[1]["correct"][0].mean()))
        return np.mean(figures, axis=0)

    auc, accuracy = measured()
    auc_rewound, accuracy_rewound = measured(fraction=0.05)
    auc_random, _ = measured(fraction=0.05, score="random")
    # Measured: 0.659 without, 0.620 rewound, 0.664 with a random mask of the same size.
    assert auc_rewound < auc - 0.02
    assert auc_rewound < auc_random - 0.02
    assert accuracy_rewound > accuracy - 0.02
    # Of three tenths of the weights: 0.37 rewound, 0.19 zeroed.
    assert measured(fraction=0.3, edit="zero")[1] < measured(fraction=0.3)[1] - 0.05
