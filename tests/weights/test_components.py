"""Rank-1 components of LoRA: found, scored by a factor in front of each, and masked whole."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_language import language_model, token_rows
from torch import nn

from hf_privacy.errors import InputError
from hf_privacy.tasks import task_of
from hf_privacy.weights import component_mask, component_norms, lora_components, rewind, taylor, which_weights


def adapted(*, seed=0, **settings) -> nn.Module:
    """An embedding, a convolution and a linear layer, each with an adapter whose matrices are all drawn."""
    torch.manual_seed(seed)

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.convolution, self.last = nn.Embedding(5, 4), nn.Conv1d(4, 6, 3), nn.Linear(6, 3)

        def forward(self, ids):
            return {"logits": self.last(self.convolution(self.table(ids).transpose(1, 2)).mean(-1))}

    config = LoraConfig(r=2, target_modules=["table", "convolution", "last"], **settings)
    model = get_peft_model(Mixed(), config).double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return model


BATCH = {"ids": torch.tensor([[0, 1, 2, 3], [3, 4, 0, 0], [2, 2, 1, 4]]), "labels": torch.tensor([0, 2, 1])}


def test_every_trained_pair_is_found_once_with_its_a_and_b():
    model = adapted()
    pairs = lora_components(model)
    assert [name.split(".")[-3 if name.endswith("weight") else -2] for name in pairs] == [
        "lora_embedding_B",
        "lora_B",
        "lora_B",
    ]
    for name_b, name_a in pairs.items():
        assert name_a == name_b.replace("_B", "_A")
        assert model.get_parameter(name_b).shape[1] == model.get_parameter(name_a).shape[0] == 2
    assert lora_components(nn.Linear(2, 2)) == {}
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert lora_components(model) == {}


def test_the_score_of_a_component_is_the_derivative_of_a_factor_in_front_of_it():
    model = adapted()
    pairs = lora_components(model)
    found = taylor(model, [BATCH], parameters=pairs, columns=True)
    loss_of = task_of(model).example_losses
    for name, scores in found.items():
        b = model.get_parameter(name)
        for component in range(2):
            losses = []
            for factor in (1 + 1e-6, 1 - 1e-6):
                before = b.detach().clone()
                with torch.no_grad():
                    b[:, component] *= factor
                    losses.append(loss_of(model(**{"ids": BATCH["ids"]}), BATCH).mean())
                    b.copy_(before)
            derivative = float(losses[0] - losses[1]) / 2e-6
            assert float(scores[component]) == pytest.approx(abs(derivative), rel=1e-5, abs=1e-9)


def test_it_is_the_same_seen_from_a_and_sums_over_batches():
    model = adapted()
    pairs = lora_components(model)
    found = taylor(model, [BATCH, BATCH], parameters=pairs, columns=True)
    model.zero_grad()
    task_of(model).example_losses(model(ids=BATCH["ids"]), BATCH).mean().backward()
    for name_b, name_a in pairs.items():
        a = model.get_parameter(name_a)
        torch.testing.assert_close(found[name_b], 2 * (a.grad * a.detach()).flatten(1).sum(1).abs())


def test_the_norm_of_a_component_is_that_of_its_map():
    model = adapted()
    name_b, name_a = list(lora_components(model).items())[-1]
    a, b = model.get_parameter(name_a).detach(), model.get_parameter(name_b).detach()
    maps = torch.stack([torch.outer(b[:, i], a[i]) for i in range(2)])
    torch.testing.assert_close(component_norms(model)[name_b], maps.flatten(1).norm(dim=1))


def test_a_mask_of_components_is_their_columns_and_rows_and_rewinding_takes_just_them_away():
    model = adapted()
    start = {
        name: torch.zeros_like(p) if "_B" in name else p + 1 for name, p in model.named_parameters() if p.requires_grad
    }
    (name_b, name_a), names = list(lora_components(model).items())[-1], set(lora_components(model))
    selected = {name: torch.tensor([name == name_b, False]) for name in names}
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    mask = component_mask(model, selected)
    assert sum(int(part.sum()) for part in mask.values()) == 3 + 6
    rewind(model, mask, start)
    expected = {name: tensor.clone() for name, tensor in before.items()}
    expected[name_b][:, 0], expected[name_a][0] = 0.0, before[name_a][0] + 1
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, expected[name]), name


def test_a_frozen_a_stays_out_of_the_mask():
    model = adapted()
    name_b, name_a = list(lora_components(model).items())[-1]
    model.get_parameter(name_a).requires_grad_(False)
    assert list(component_mask(model, {name_b: torch.tensor([True, False])})) == [name_b]


def test_the_head_of_a_language_model_is_left_out_and_what_is_tied_to_it():
    untied, tied, adapter = language_model("llama"), language_model("qwen2"), language_model("llama", lora=True)
    assert set(which_weights(untied)) - set(which_weights(untied, head=False)) == {"lm_head.weight"}
    kinds = ["embedding", "norm"]
    assert set(which_weights(tied, kinds=kinds)) - set(which_weights(tied, kinds=kinds, head=False)) == {
        "model.embed_tokens.weight"
    }
    assert which_weights(adapter, head=False) == which_weights(adapter)  # peft adapts no head by itself
    config = LoraConfig(target_modules=["q_proj", "lm_head"], modules_to_save=["embed_tokens"], task_type="CAUSAL_LM")
    both = get_peft_model(language_model("llama"), config)
    assert all("q_proj" in name for name in which_weights(both, head=False))
    assert any("lm_head" in name for name in which_weights(both))


def test_the_head_of_a_classifier_is_the_layer_that_scores_the_classes():
    from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification

    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[3], num_labels=2))
    assert set(which_weights(model)) - set(which_weights(model, head=False)) == {"classifier.weight"}


def test_bad_input_is_refused():
    model = adapted()
    (name,) = list(lora_components(model))[-1:]
    with pytest.raises(InputError, match="has no LoRA components of that name"):
        component_mask(model, {"nothing": torch.tensor([True, False])})
    with pytest.raises(InputError, match="pass 2 booleans"):
        component_mask(model, {name: torch.tensor([True])})
    with pytest.raises(InputError, match=r"columns is True and 0\.bias has none"):
        taylor(nn.Sequential(nn.Linear(2, 2)), [{"input": torch.eye(2), "labels": torch.tensor([0, 1])}], columns=True)


def test_a_language_models_components_are_scored_on_its_scored_tokens():
    model = language_model("llama", lora=True)
    batch = token_rows().__getitems__(range(4))
    found = taylor(model, [batch], parameters=lora_components(model), columns=True)
    task_of(model).example_losses(task_of(model).forward(model, batch), batch).mean().backward()
    for name, scores in found.items():
        b = model.get_parameter(name)
        torch.testing.assert_close(scores, (b.grad * b.detach()).sum(0).abs(), rtol=1e-4, atol=1e-7)
