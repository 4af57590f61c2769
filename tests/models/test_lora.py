"""LoRA: what trains, and that the saved adapter is the trained function."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from hf_privacy.errors import InputError
from hf_privacy.models import describe_model, load_model, load_saved_model

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = {"vocab_size": 50, "max_position_embeddings": 16}
IMAGE = {"num_channels": 1, "image_size": 8, "patch_size": 4}


def text_base(folder):
    BertForMaskedLM(BertConfig(**SMALL, **TEXT)).save_pretrained(folder)


def distilbert_base(folder):
    DistilBertForMaskedLM(DistilBertConfig(dim=16, hidden_dim=32, n_layers=2, n_heads=2, **TEXT)).save_pretrained(
        folder
    )


def roberta_base(folder):
    RobertaForMaskedLM(RobertaConfig(**SMALL, **TEXT)).save_pretrained(folder)


def scratch_base(name, task, model_kwargs):
    def save(folder):
        load_model(
            name, task=task, num_labels=5, from_scratch=True, model_kwargs=model_kwargs, seed=0
        ).save_pretrained(folder)

    return save


RESNET = {"num_channels": 1, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
TIMM_VIT = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2, "in_chans": 1}
TIMM_RESNET = {"in_chans": 1, "channels": [8, 8, 16, 16], "stem_width": 8}
MLP = {"input_size": 6, "hidden_sizes": [8, 8]}
IMAGES, WORDS, ROWS = "image-classification", "text-classification", "tabular-classification"
CASES = {
    "bert": (text_base, WORDS, {"r": 2, "target_modules": ["query", "value"]}),
    "bert_default_targets": (text_base, WORDS, {"r": 2}),
    "bert_all_linear": (text_base, WORDS, {"r": 2, "target_modules": "all-linear"}),
    "distilbert": (distilbert_base, WORDS, {"r": 2, "target_modules": ["q_lin"]}),
    "roberta": (roberta_base, WORDS, {"r": 2, "target_modules": ["query"]}),
    "vit": (scratch_base("vit", IMAGES, {**SMALL, **IMAGE}), IMAGES, {"r": 2, "target_modules": "all-linear"}),
    "resnet": (scratch_base("resnet", IMAGES, RESNET), IMAGES, {"r": 2, "target_modules": ["convolution"]}),
    "timm_vit": (
        scratch_base("timm:vit_tiny_patch16_224", IMAGES, TIMM_VIT),
        IMAGES,
        {"r": 2, "target_modules": ["qkv"], "lora_dropout": 0.1},
    ),
    "timm_resnet": (
        scratch_base("timm:resnet10t", IMAGES, TIMM_RESNET),
        IMAGES,
        {"r": 2, "target_modules": ["conv2"]},
    ),
    "tabular": (scratch_base("hf_privacy_tabular_mlp", ROWS, MLP), ROWS, {"r": 2, "target_modules": ["layers.0"]}),
}


def inputs(task: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if task == WORDS:
        return {"input_ids": torch.randint(50, (4, 9), generator=generator), "attention_mask": torch.ones(4, 9).long()}
    if task == ROWS:
        return {"features": torch.randn(4, 6, generator=generator)}
    return {"pixel_values": torch.randn(4, 1, 8, 8, generator=generator)}


def adapted(case: str, folder, **changes):
    save, task, lora = CASES[case]
    save(folder)
    return load_model(folder, task=task, num_labels=3, lora={**lora, **changes}, seed=1), inputs(task)


def train(model, batch, steps: int = 3) -> None:
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    labels = torch.tensor([0, 1, 2, 1])
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(**batch).logits, labels).backward()
        optimizer.step()


@pytest.mark.parametrize("case", CASES)
def test_the_saved_adapter_reloads_to_the_function_that_was_trained(case, tmp_path):
    """Also where the base draws layers anew (pooler, pre_classifier) or has running statistics (BatchNorm)."""
    model, batch = adapted(case, tmp_path / "base")
    train(model, batch)
    model.save_pretrained(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "config.json").exists()  # it would make this a full model
    reloaded = load_saved_model(tmp_path / "adapter")
    assert not any(module.training for module in reloaded.modules())
    torch.testing.assert_close(reloaded(**batch).logits, model.eval()(**batch).logits)
    assert reloaded(**batch).logits.shape == (4, 3)


@pytest.mark.parametrize("case", CASES)
def test_the_head_and_the_adapter_train_and_the_rest_stays(case, tmp_path):
    model, batch = adapted(case, tmp_path / "base")
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    train(model, batch)
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved <= trainable
    assert any("lora_B" in name for name in moved)
    head = "timm_model.head" if case == "timm_vit" else "timm_model.fc" if case == "timm_resnet" else "classifier"
    assert any(f"{head}.modules_to_save" in name for name in moved)
    assert describe_model(model)["n_trainable_parameters"] < describe_model(model)["n_parameters"]


def test_a_seed_fixes_the_adapter(tmp_path):
    first, _ = adapted("bert", tmp_path)
    again, _ = adapted("bert", tmp_path)
    task, lora = CASES["bert"][1:]
    text_base(tmp_path)
    a = load_model(tmp_path, task=task, num_labels=3, lora=lora, seed=4).state_dict()
    b = load_model(tmp_path, task=task, num_labels=3, lora=lora, seed=4).state_dict()
    c = load_model(tmp_path, task=task, num_labels=3, lora=lora, seed=5).state_dict()
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert {key.split(".")[-3] for key in a if not torch.equal(a[key], c[key])} >= {"lora_A", "modules_to_save"}
    assert type(first) is type(again)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"r": 2, "target_modules": ["nowhere"]}, "nowhere"),
        ({"rank": 2}, "rank"),
        ({"r": 0, "target_modules": ["query"]}, "does not suit"),
        ({"r": 2, "modules_to_save": ["nowhere"]}, "modules_to_save \\['nowhere'\\]"),
        ({"task_type": "CAUSAL_LM"}, "leave it out"),
    ],
)
def test_a_lora_that_does_not_suit_the_model_is_refused(lora, message, tmp_path):
    text_base(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        load_model(tmp_path, task=WORDS, num_labels=2, lora=lora)
    assert "\n" not in str(caught.value)


def test_lora_without_targets_is_refused_where_peft_knows_no_default(tmp_path):
    scratch_base("resnet", IMAGES, RESNET)(tmp_path)
    with pytest.raises(InputError, match="target_modules"):
        load_model(tmp_path, task=IMAGES, num_labels=2, lora={"r": 2})


def test_lora_on_a_changed_base_is_refused(tmp_path):
    text_base(tmp_path)
    with pytest.raises(InputError, match="save the changed base"):
        load_model(tmp_path, task=WORDS, num_labels=2, lora={"r": 2}, model_kwargs={"num_hidden_layers": 1})


def test_an_adapter_is_no_base(tmp_path):
    model, _ = adapted("bert", tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    with pytest.raises(InputError, match="holds an adapter; pass its base"):
        load_model(tmp_path / "adapter", task=WORDS, num_labels=3)


def test_an_adapter_that_cannot_be_reloaded_as_trained_is_refused(tmp_path):
    model, _ = adapted("distilbert", tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    weights = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({key: t for key, t in tensors.items() if "pre_classifier" not in key}, weights)
    with pytest.raises(InputError, match=r"pre_classifier\.bias"):
        load_saved_model(tmp_path / "adapter")
    weights.write_bytes(b"\0" * 20)
    with pytest.raises(InputError, match="is damaged"):
        load_saved_model(tmp_path / "adapter")
    weights.rename(weights.with_name("adapter_model.bin"))
    with pytest.raises(InputError, match="pickles are never opened"):
        load_saved_model(tmp_path / "adapter")


def test_an_adapter_whose_base_is_gone_is_refused(tmp_path):
    model, _ = adapted("bert", tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter")
    (tmp_path / "base").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="base does not exist"):
        load_saved_model(tmp_path / "adapter")
