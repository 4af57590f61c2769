"""Top-K and Random-k on language models: sensitivity by hand, exact masks, frozen bits, merged weights."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny_language import language_model, token_rows
from torch.nn import functional as F

from hf_privacy.errors import InputError
from hf_privacy.unlearning import ParameterPerturbationConfig, ParameterPerturbationTrainer

LENGTHS = (9, 4, 12, 6, 7, 5, 11, 10, 8, 7)


@pytest.fixture(scope="module")
def sets():
    data = token_rows(LENGTHS * 3)
    parts = {"forget": range(5), "retain": range(5, 20), "heldout": range(20, 30)}
    return {f"{name}_dataset": data.subset(rows) for name, rows in parts.items()}


@pytest.fixture(scope="module")
def adapted():
    return language_model("llama", lora=True)


@pytest.fixture
def perturbed(adapted, sets, make_args):
    """``perturbed(edit="zero")``: a copy of the adapted model, perturbed; its trainer."""

    def make(model=None, **arguments):
        args = make_args(ParameterPerturbationConfig, **{"check_evidence": False, "count": 20, **arguments})
        trainer = ParameterPerturbationTrainer(copy.deepcopy(adapted if model is None else model), args, **sets)
        trainer.unlearn()
        return trainer

    return make


def parameters(model) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def row_log_likelihood(model, row):
    """Σ_t log p of the row's scored tokens, from its own tokens alone."""
    length = int(row["attention_mask"].sum())
    logits = model(input_ids=row["input_ids"][None, :length]).logits[0]
    targets = row["labels"][1:length]
    losses = F.cross_entropy(logits[:-1], targets.clamp_min(0), reduction="none")
    return -losses[targets != -100].sum()


def sensitivity(model, dataset, names):
    """Mean over rows of |∂ Σ_t l_t/∂w|, one backward pass a row."""
    chosen = [dict(model.named_parameters())[name].requires_grad_(True) for name in names]
    total = [torch.zeros_like(weight) for weight in chosen]
    for number in range(len(dataset)):
        row = {name: column[number] for name, column in dataset.__getitems__(range(len(dataset))).items()}
        for score, gradient in zip(total, torch.autograd.grad(row_log_likelihood(model, row), chosen), strict=True):
            score += gradient.abs() / len(dataset)
    return dict(zip(names, total, strict=True))


def test_the_marked_weights_are_those_most_sensitive_on_the_forget_set(perturbed, adapted, sets):
    trainer = perturbed()
    scores = sensitivity(copy.deepcopy(adapted), sets["forget_dataset"], trainer.trainable())
    assert all("lora_" in name for name in scores)
    flat = torch.cat([score.flatten() for score in scores.values()])
    marked = torch.cat([trainer.mask[name].flatten() for name in scores])
    assert int(marked.sum()) == 20
    # Next to the cut two orders of summation may disagree.
    assert flat[marked].min() >= flat[~marked].max() * (1 - 1e-4)


@pytest.mark.parametrize("selection", ["top_k", "random_k"])
@pytest.mark.parametrize("edit", ["gaussian", "zero"])
def test_the_marked_weights_of_the_adapter_move_and_no_other_bit(selection, edit, perturbed, adapted):
    trainer = perturbed(selection=selection, edit=edit)
    before, after = parameters(adapted), parameters(trainer.model)
    for name, weight in before.items():
        moved = after[name] != weight
        assert torch.equal(moved, trainer.mask.get(name, torch.zeros_like(moved)))


def test_random_k_looks_at_no_data_and_repair_trains_the_adapter_alone(perturbed, adapted):
    first, second = (perturbed(selection="random_k", seed=seed) for seed in (1, 2))
    assert any(not torch.equal(first.mask[name], second.mask[name]) for name in first.mask)
    repaired = perturbed(num_train_epochs=1, learning_rate=0.05)
    moved = {
        name
        for name, weight in parameters(adapted).items()
        if not torch.equal(weight, parameters(repaired.model)[name])
    }
    assert moved == set(repaired.trainable())
    assert {name.split("_")[0] for name in repaired.after_edit} == {"forget", "retain", "heldout"}
    assert all(value >= 0 for value in repaired.after_edit.values())


# ---- the adapter added to its base ----


def test_merged_weights_are_perturbed_in_units_of_what_the_adapter_added(perturbed, adapted):
    trainer = perturbed(weights="merged", selection="random_k", fraction=0.5, count=None, sigma=0.5, scope="layer")
    merged = parameters(copy.deepcopy(adapted).merge_and_unload())
    base = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): weight
        for name, weight in parameters(adapted).items()
        if "lora_" not in name
    }
    after = parameters(trainer.model)
    assert set(trainer.mask) == {name for name, weight in merged.items() if not torch.equal(weight, base[name])}
    for name, weight in merged.items():
        marked = trainer.mask.get(name, torch.zeros_like(weight, dtype=torch.bool))
        assert torch.equal(after[name][~marked], weight[~marked])
        if marked.any():
            spread = (weight - base[name]).std(correction=0)
            noise = (after[name] - weight)[marked]
            assert float(noise.std() / spread) == pytest.approx(0.5, rel=0.5)


@pytest.mark.parametrize("edit", ["zero", "reinitialise"])
def test_both_controls_on_merged_weights_put_the_bases_values_back(edit, perturbed, adapted):
    before = parameters(adapted)
    trainer = perturbed(weights="merged", edit=edit)
    for name, marked in trainer.mask.items():
        base = before[f"base_model.model.{name.removesuffix('.weight')}.base_layer.weight"]
        assert torch.equal(trainer.model.get_parameter(name)[marked], base[marked])
    assert all(torch.equal(weight, before[name]) for name, weight in parameters(adapted).items())


def test_a_model_without_an_adapter_has_none_to_add(perturbed):
    with pytest.raises(InputError, match="weights is 'merged' and the LlamaForCausalLM has no adapter"):
        perturbed(language_model("llama"), weights="merged")


def test_a_base_in_four_bits_is_refused(perturbed, adapted):
    model = copy.deepcopy(adapted)
    model.get_base_model().is_loaded_in_4bit = True
    with pytest.raises(InputError, match="the base is in four bits"):
        perturbed(model, weights="merged")
