"""Critical weight rewinding of causal language models: whole weights, and an adapter's rank-1 components."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from killed import KillAt, KilledError
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from small_training import QUIET
from tiny_language import language_model, token_rows
from torchrun import on_two_processes

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import DEFENSES, CriticalWeightRewindCallback, PrivacyTrainer, trainer_class
from hf_privacy.errors import InputError
from hf_privacy.models import base_of, on_the_same_weights
from hf_privacy.references import reference_trainer
from hf_privacy.weights import lora_components, privacy_vulnerability, select, taylor, which_weights

MEMBERS, POPULATION = token_rows(), token_rows((6, 8, 10), seed=9)
OPTIMIZERS = {
    "sgd with momentum": {"optim": "sgd", "learning_rate": 0.05, "momentum": 0.9, "weight_decay": 0.1},
    "adamw with decay": {"optim": "adamw_torch", "learning_rate": 0.02, "weight_decay": 0.5},
    "accumulation": {"optim": "adamw_torch", "learning_rate": 0.02, "gradient_accumulation_steps": 2},
}
# Early stopping is refused as a host.
HOSTS = [name for name in DEFENSES if "causal-lm" in trainer_class(name).tasks and name != "early_stopping"]


def adapter(base=None, *, seed=0, **settings):
    """A Llama with an adapter on all its linear layers as peft attaches it: B is zero."""
    base = language_model("llama") if base is None else base
    torch.manual_seed(seed)
    config = {"r": 3, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **settings}
    return get_peft_model(base, LoraConfig(**config))


def weights(trainer):
    return {name: tensor.detach().clone() for name, tensor in trainer.model.named_parameters()}


def same_bits(one, other):
    return torch.equal(one.contiguous().view(torch.uint8), other.contiguous().view(torch.uint8))


@pytest.fixture
def run(tmp_path):
    """Give a function that trains 2 + 2 epochs of 3 batches: ``run(adapter(), fraction=0.2, optim="sgd")``."""

    def make(
        model=None,
        *,
        host="none",
        folder="run",
        model_init=None,
        members=MEMBERS,
        others=(),
        arguments=None,
        **settings,
    ):
        kind = trainer_class(host)
        given = {**QUIET, "num_train_epochs": 2, "per_device_train_batch_size": 3, "learning_rate": 0.02}
        if kind.is_private:
            pytest.importorskip("opacus")
            given |= {"noise_multiplier": 1.0, "accountant": "rdp"}
        trainer = kind(
            model,
            kind.config_class(str(tmp_path / folder), **{**given, **(arguments or {})}),
            train_dataset=members,
            model_init=model_init,
            **({"validation_dataset": POPULATION} if kind.needs_validation else {}),
            callbacks=[
                cwrf := CriticalWeightRewindCallback(
                    **{"reference_dataset": POPULATION, "fraction": 0.2, "entanglement": False, **settings}
                ),
                *others,
            ],
        )
        trainer.cwrf = cwrf
        return trainer

    return make


def rewound_components(before, after, pairs):
    """By name of B, the components that are as before training, column and row; no other comes back by chance."""
    return {
        name_b: (before[name_b] == after[name_b]).all(dim=0) & (before[name_a] == after[name_a]).all(dim=1)
        for name_b, name_a in pairs.items()
    }


# ---- whole weights ----


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["llama", "qwen2"])  # its embeddings are tied to its head
def test_the_linear_layers_go_back_to_the_checkpoint_and_embeddings_and_head_train_on(kind, optimizer, run):
    trainer = run(language_model(kind, spread=0.05), arguments=OPTIMIZERS[optimizer])
    before, names = weights(trainer), which_weights(trainer.model, head=False)
    assert not any("embed" in name or "lm_head" in name for name in names)
    trainer.train()
    after = weights(trainer)
    n_same = sum(int((before[name] == after[name]).sum()) for name in names)
    n_ranked = sum(before[name].numel() for name in names)
    assert n_same == round(0.2 * n_ranked) == sum(count["marked"] for count in trainer.cwrf.rewound_.values())
    assert sum(count["of"] for count in trainer.cwrf.rewound_.values()) == n_ranked
    assert set(trainer.cwrf.rewound_) == {"attention", "linear", "norm"}
    for name in set(before) - set(names):
        assert (before[name] != after[name]).any(), name
    if kind == "qwen2":
        assert trainer.model.get_input_embeddings().weight is trainer.model.get_output_embeddings().weight


def test_head_and_embeddings_are_ranked_where_they_are_asked_for(run):
    trainer = run(language_model("llama"), head=True, kinds=["linear", "embedding"], score="magnitude")
    before = weights(trainer)
    trainer.train()
    of = trainer.cwrf.rewound_
    assert of["embedding"]["of"] == before["model.embed_tokens.weight"].numel()
    mlp = sum(tensor.numel() for name, tensor in before.items() if "mlp" in name)
    assert of["linear"]["of"] == mlp + before["lm_head.weight"].numel()


# ---- rank-1 components ----


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_rewound_components_end_as_they_were_attached_and_only_they(optimizer, run):
    trainer = run(adapter(), arguments=OPTIMIZERS[optimizer])
    before, pairs = weights(trainer), lora_components(trainer.model)
    trainer.train()
    after = weights(trainer)
    found = rewound_components(before, after, pairs)
    n_components = 3 * len(pairs)
    assert sum(int(part.sum()) for part in found.values()) == round(0.2 * n_components)
    assert trainer.cwrf.rewound_ == {"linear": {"marked": round(0.2 * n_components), "of": n_components}}
    assert trainer.cwrf.unit_ == "component"
    for name_b, name_a in pairs.items():
        kept, back = ~found[name_b], found[name_b]
        assert same_bits(after[name_b][:, back], before[name_b][:, back])
        assert not after[name_b][:, back].any()
        assert same_bits(after[name_a][back], before[name_a][back])
        assert (after[name_b][:, kept] != before[name_b][:, kept]).any(dim=0).all()
        assert (after[name_a][kept] != before[name_a][kept]).any(dim=1).all()
    for name, tensor in before.items():
        if name not in pairs and name not in pairs.values():
            assert same_bits(after[name], tensor), name


def test_they_are_the_top_of_the_score_of_the_trained_adapter(run, tmp_path):
    whole = {"per_device_train_batch_size": 8, "learning_rate": 0.05}
    trainer = run(adapter(), arguments=whole)
    before, pairs = weights(trainer), lora_components(trainer.model)
    plain = PrivacyTrainer(copy.deepcopy(trainer.model), trainer.args, train_dataset=MEMBERS)
    trainer.train()
    plain.train()
    scores = privacy_vulnerability(
        plain.model,
        [MEMBERS.__getitems__(range(8))],
        [POPULATION.__getitems__(range(3))],
        initial_state={name: tensor for name, tensor in before.items() if "lora_" in name},
        parameters=pairs,
        columns=True,
    )
    found = rewound_components(before, weights(trainer), pairs)
    for name, selected in select(scores, fraction=0.2).items():
        assert torch.equal(found[name], selected), name


def test_an_adapter_wholly_rewound_is_its_base_and_zeroed_the_same(run):
    class Look(KillAt):
        def on_step_begin(self, args, state, control, *, model, **kwargs):
            if state.global_step == 6:
                batch = {name: column for name, column in MEMBERS.__getitems__(range(8)).items() if name != "labels"}
                model.eval()
                with torch.no_grad():
                    self.logits = model(**batch).logits
                    with base_of(model) as base:
                        self.base = base(**batch).logits
                model.train()

    seen = []
    for edit in ("rewind", "zero"):
        look = Look()
        trainer = run(adapter(), fraction=0.999, edit=edit, train="top", others=[look], score="magnitude")
        trainer.train()
        seen.append(look.logits)
        assert torch.equal(look.logits, look.base)
    assert torch.equal(*seen)


def test_single_entries_of_the_adapter_are_an_option(run):
    trainer = run(adapter(), unit="weight")
    before = weights(trainer)
    trainer.train()
    names = [name for name in before if "lora_" in name]
    n_same = sum(int((before[name] == weights(trainer)[name]).sum()) for name in names)
    assert trainer.cwrf.unit_ == "weight"
    assert n_same == round(0.2 * sum(before[name].numel() for name in names))


def test_modules_saved_in_full_stay_out_and_train_on(run):
    trainer = run(adapter(modules_to_save=["embed_tokens"]), arguments=OPTIMIZERS["adamw with decay"])
    before, pairs = weights(trainer), lora_components(trainer.model)
    trainer.train()
    after = weights(trainer)
    assert trainer.cwrf.rewound_ == {"linear": {"marked": round(0.2 * 3 * len(pairs)), "of": 3 * len(pairs)}}
    (saved,) = (name for name in before if "modules_to_save" in name)
    assert (before[saved] != after[saved]).all()
    original = saved.replace("modules_to_save.default", "original_module")
    assert same_bits(before[original], after[original])


# ---- the controls ----


@pytest.mark.parametrize("score", ["random", "magnitude", "learnability"])
@pytest.mark.parametrize("make", [adapter, lambda: language_model("llama")], ids=["adapter", "whole"])
def test_controls_choose_as_many_and_need_no_reference_data(make, score, run):
    counts = []
    for settings in ({}, {"score": score, "reference_dataset": None}, {"pve_weight": 0.0}):
        trainer = run(make(), **settings)
        trainer.train()
        counts.append(trainer.cwrf.rewound_)
    totals = [{field: sum(count[field] for count in of.values()) for field in ("marked", "of")} for of in counts]
    assert totals[0] == totals[1] == totals[2]


def test_random_components_follow_the_seed(run):
    def found(**settings):
        trainer = run(adapter(), score="random", **settings)
        before, pairs = weights(trainer), lora_components(trainer.model)
        trainer.train()
        return torch.cat(list(rewound_components(before, weights(trainer), pairs).values()))

    assert torch.equal(found(seed=1), found(seed=1))
    assert not torch.equal(found(seed=1), found(seed=2))


def test_training_the_top_alone_leaves_all_other_components_as_trained(run):
    class Watch(KillAt):
        def on_step_begin(self, args, state, control, *, model, **kwargs):
            if state.global_step == 6:
                self.weights = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}

    watch = Watch()
    trainer = run(adapter(), train="top", others=[watch], arguments=OPTIMIZERS["adamw with decay"])
    before, pairs = weights(trainer), lora_components(trainer.model)
    trainer.train()
    top = rewound_components(before, watch.weights, pairs)
    after = weights(trainer)
    assert sum(int(part.sum()) for part in top.values()) == round(0.2 * 3 * len(pairs))
    for name_b, name_a in pairs.items():
        rest = ~top[name_b]
        assert same_bits(after[name_b][:, rest], watch.weights[name_b][:, rest])
        assert same_bits(after[name_a][rest], watch.weights[name_a][rest])
        assert (after[name_b][:, top[name_b]] != 0).any(dim=0).all()  # they learn anew


@pytest.mark.filterwarnings("ignore:.*looks at members")
@pytest.mark.parametrize("host", HOSTS)
def test_it_composes_with_every_defence_of_language_models(host, run):
    members = token_rows([9, 4, 12, 2, 7, 5, 11, 3] * 2).halved()  # with paraphrases
    arguments = {"per_device_train_batch_size": 8}  # of fewer a variance says little
    trainer = run(adapter(), host=host, members=members, arguments=arguments)
    before, pairs = weights(trainer), lora_components(trainer.model)
    trainer.train()
    found = rewound_components(before, weights(trainer), pairs)
    assert sum(int(part.sum()) for part in found.values()) == round(0.2 * 3 * len(pairs))
    assert trainer.describe_defense()["name"] == ("cwrf" if host == "none" else f"{trainer.defense_name}+cwrf")


def test_entanglement_is_that_of_the_components(run):
    trainer = run(adapter(), entanglement=True)
    trainer.train()
    assert set(trainer.cwrf.entanglement_) == {"linear", "all"}
    assert -1 <= trainer.cwrf.entanglement_["all"] <= 1


# ---- killed, on two processes, with references ----


@pytest.mark.parametrize(
    ("settings", "kill_at"),
    [({}, 4), ({}, 7), ({}, 10), ({"train": "top"}, 10), ({"unit": "weight"}, 10)],
    ids=["in the training", "from the training", "in the fine-tuning", "the top alone", "entries"],
)
def test_a_killed_run_of_an_adapter_resumes_bit_for_bit(settings, kill_at, run, tmp_path):
    options = {"arguments": {**OPTIMIZERS["adamw with decay"], "save_strategy": "steps", "save_steps": 3}, **settings}
    whole = run(model_init=lambda: adapter(), folder="whole", **options)
    start = weights(whole)
    whole.train()
    with pytest.raises(KilledError):
        run(model_init=lambda: adapter(), folder="killed", others=[KillAt(kill_at)], **options).train()
    if kill_at == 4:  # the first draw of A is what a resumed run has of it
        kept = load_file(tmp_path / "killed" / "checkpoint-3" / "critical_weights" / "initial.safetensors")
        assert set(kept) == {name for name in start if "lora_" in name}
        assert any("lora_A" in name for name in kept)
    resumed = run(model_init=lambda: adapter(seed=5), folder="killed", **options)
    torch.manual_seed(12345)
    resumed.train(resume_from_checkpoint=True)
    for name, tensor in weights(whole).items():
        assert same_bits(weights(resumed)[name], tensor), name
    assert resumed.cwrf.rewound_ == whole.cwrf.rewound_


def test_references_share_one_base_that_no_rewinding_touches(run, tmp_path):
    base = language_model("llama").requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in base.named_parameters()}
    target = run(model_init=lambda: adapter(on_the_same_weights(base), seed=int(torch.initial_seed()) % 1000))
    target.train()
    rewound = []
    for number, rows in enumerate((range(4), range(4, 8))):
        clone = reference_trainer(target, MEMBERS.subset(rows), seed=number, output_dir=tmp_path / str(number))
        start, pairs = weights(clone), lora_components(clone.model)
        clone.train()
        found = rewound_components(start, weights(clone), pairs)
        assert sum(int(part.sum()) for part in found.values()) == round(0.2 * 3 * len(pairs))
        rewound.append(torch.cat(list(found.values())))
        for name, parameter in clone.model.get_base_model().named_parameters():
            if "base_layer" in name or "lora_" not in name:
                assert parameter is base.get_parameter(name.replace(".base_layer", ""))
    assert not torch.equal(*rewound)
    for name, tensor in before.items():
        assert same_bits(base.get_parameter(name), tensor), name


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """The folder two processes wrote."""
    folder = tmp_path_factory.mktemp("two_processes_language_rewind")
    on_two_processes(Path(__file__).with_name("two_processes_language_rewind.py"), folder)
    return folder


def test_two_processes_rewind_the_same_components_whatever_each_would_have_chosen(two_processes):
    start = load_file(two_processes / "start-0.safetensors")
    ends = [load_file(two_processes / f"end-{rank}.safetensors") for rank in (0, 1)]
    for name, tensor in start.items():
        assert same_bits(ends[0][name], ends[1][name])
        if "lora_" not in name:
            assert same_bits(ends[0][name], tensor)
    pairs = {name: name.replace("lora_B", "lora_A") for name in start if "lora_B" in name}
    found = rewound_components(start, ends[0], pairs)
    assert sum(int(part.sum()) for part in found.values()) == round(0.2 * 3 * len(pairs))


# ---- what it says, and bad input ----


def test_the_summary_says_what_was_ranked(run, tmp_path):
    trainer = run(adapter(), arguments={"logging_strategy": "epoch"})
    trainer.check_run()
    assert trainer.describe_defense()["parameters"]["cwrf_unit"] == "component"
    trainer.train()
    summary = json.loads((tmp_path / "run" / "critical_weights.json").read_text())
    assert summary["unit"] == "component"
    assert summary["weights"]["linear"]["of"] == 3 * 14


@pytest.mark.filterwarnings("ignore:.*looks at members")
@pytest.mark.parametrize(
    ("settings", "holds"),
    [
        ({}, False),
        ({"pve_weight": 1.0}, True),  # the divergence on the population alone
        ({"pve_weight": 1.0, "entanglement": True}, False),
        ({"score": "random"}, True),
        ({"score": "learnability"}, False),
    ],
)
def test_the_guarantee_of_dp_holds_where_the_score_reads_no_member(settings, holds, run):
    trainer = run(adapter(), host="dp", **settings)
    assert (trainer.privacy_spent() is not None) == holds
    assert (trainer.cwrf.unaccounted is None) == holds


@pytest.mark.parametrize(
    ("make", "settings", "sentence"),
    [
        (adapter, {"fraction": 0.01}, r"fraction is 0\.01 of 42 components, which is none"),
        (adapter, {"kinds": ["norm", "attention"]}, "no trainable weights of such layers"),
        (adapter, {"reference_dataset": None}, "reference_dataset is missing"),
        (
            lambda: language_model("llama"),
            {"unit": "component"},
            "unit is 'component' and LlamaForCausalLM has no LoRA",
        ),
        (lambda: adapter(modules_to_save=["norm"]), {"kinds": ["norm"]}, "LoRA's matrices count as 'linear'"),
        (lambda: language_model("qwen2"), {"kinds": ["embedding"]}, "no trainable weights of such layers"),
    ],
)
def test_what_cannot_be_rewound_is_refused_before_training(make, settings, sentence, run):
    trainer = run(make(), **settings)
    before = weights(trainer)
    with pytest.raises(InputError, match=sentence):
        trainer.train()
    for name, tensor in weights(trainer).items():
        assert same_bits(tensor, before[name])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"unit": "rank"}, "unit is 'rank': pass 'weight' or 'component'"),
        ({"unit": "component", "biases": True}, "biases is True with unit 'component'"),
    ],
)
def test_settings_out_of_range_are_refused_at_once(settings, sentence):
    with pytest.raises(InputError, match=sentence):
        CriticalWeightRewindCallback(**settings)


def test_reference_rows_without_labels_are_refused(run):
    bare = TensorDataset({name: POPULATION.column(name) for name in ("input_ids", "attention_mask")})
    with pytest.raises(InputError, match="encode both alike"):
        run(adapter(), reference_dataset=bare).train()


def test_the_plain_loss_score_is_the_learnability_of_a_standing_copy(run):
    """λ = 0 with a copy that hardly moves: the control by cross-entropy alone."""
    model = adapter()
    with torch.no_grad():
        for name in lora_components(model):
            model.get_parameter(name).normal_(std=0.1)
    batch = MEMBERS.__getitems__(range(8))
    state = {name: tensor for name, tensor in model.state_dict().items() if "lora_" in name}
    options = {"parameters": lora_components(model), "columns": True, "training": False}
    alone = privacy_vulnerability(
        model, [batch], [batch], initial_state=state, kl_weight=0.0, learning_rate=1e-9, **options
    )
    for name, scores in taylor(model, [batch], **options).items():
        torch.testing.assert_close(alone[name], scores, rtol=1e-5, atol=1e-9)
