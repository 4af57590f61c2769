"""compute_features: the classification layer's input, for every kind of head, order, batch and wrapper."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch.nn.functional import linear
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification, attach_lora, load_model
from hf_privacy.signals import compute_features

PAD = 1  # RoBERTa counts positions from its pad token
TEXT = {"vocab_size": 30, "num_labels": 3, "pad_token_id": PAD}
SIZE = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}


def images(n_examples: int = 11, channels: int = 1) -> TensorDataset:
    pixels = torch.randn(n_examples, channels, 32, 32, generator=torch.Generator().manual_seed(1))
    return TensorDataset({"pixel_values": pixels, "labels": torch.arange(n_examples) % 3})


def table(n_examples: int = 11) -> TensorDataset:
    features = torch.randn(n_examples, 4, generator=torch.Generator().manual_seed(1))
    return TensorDataset({"features": features, "labels": torch.arange(n_examples) % 3})


def texts(n_examples: int = 11, *, side: str = "right") -> TensorDataset:
    generator = np.random.default_rng(0)
    tokens = np.full((n_examples, 12), PAD)
    for row, length in enumerate(generator.integers(1, 13, n_examples)):
        tokens[row, slice(length) if side == "right" else slice(-length, None)] = generator.integers(5, 30, length)
    ids = torch.from_numpy(tokens)
    columns = {"input_ids": ids, "attention_mask": (ids != PAD).long()}
    return TensorDataset(columns, padding_side=side, sequence_columns=list(columns))


def mlp(hidden_sizes: tuple[int, ...] = (8,)) -> TabularMLPForClassification:
    torch.manual_seed(0)
    return TabularMLPForClassification(
        TabularMLPConfig(input_size=4, hidden_sizes=hidden_sizes, num_labels=3, dropout=0.5)
    )


def resnet() -> PreTrainedModel:
    size = {"num_channels": 1, "embedding_size": 8, "hidden_sizes": [8], "depths": [1], "layer_type": "basic"}
    return load_model(
        "resnet", task="image-classification", num_labels=3, from_scratch=True, model_kwargs=size, seed=0
    )


def timm(name: str) -> PreTrainedModel:
    return load_model(
        name, task="image-classification", num_labels=3, from_scratch=True, model_kwargs={"in_chans": 1}, seed=0
    )


def built(config) -> PreTrainedModel:
    torch.manual_seed(0)
    kinds = {
        BertConfig: BertForSequenceClassification,
        DistilBertConfig: DistilBertForSequenceClassification,
        GPT2Config: GPT2ForSequenceClassification,
        RobertaConfig: RobertaForSequenceClassification,
        ViTConfig: ViTForImageClassification,
    }
    return kinds[type(config)](config)


def gpt2() -> PreTrainedModel:
    return built(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=16, eos_token_id=2, bos_token_id=2, **TEXT))


MODELS = {
    "tabular MLP": (mlp, table, "classifier", 8),
    "linear tabular": (lambda: mlp(()), table, "classifier", 4),
    "ResNet": (resnet, images, "classifier.1", 8),
    "ViT": (
        lambda: built(ViTConfig(image_size=32, patch_size=8, num_channels=1, num_labels=3, **SIZE)),
        images,
        "classifier",
        8,
    ),
    "timm ResNet": (lambda: timm("timm:test_resnet"), images, "timm_model.fc", None),
    "timm ViT": (lambda: timm("timm:test_vit"), lambda: large_images(160), "timm_model.head", None),
    "BERT": (lambda: built(BertConfig(**TEXT, **SIZE)), texts, "classifier", 8),
    "DistilBERT": (
        lambda: built(DistilBertConfig(dim=8, n_layers=1, n_heads=2, hidden_dim=8, **TEXT)),
        texts,
        "classifier",
        8,
    ),
    "RoBERTa": (lambda: built(RobertaConfig(**TEXT, **SIZE)), texts, "classifier.out_proj", 8),
    "GPT-2": (gpt2, texts, "score", 8),
    "GPT-2, padded left": (gpt2, lambda: texts(side="left"), "score", 8),
}


def large_images(side: int) -> TensorDataset:
    pixels = torch.randn(3, 1, side, side, generator=torch.Generator().manual_seed(1))
    return TensorDataset({"pixel_values": pixels, "labels": torch.arange(3)})


def logits_of(model: torch.nn.Module, dataset: TensorDataset) -> np.ndarray:
    batch = dataset.__getitems__(range(len(dataset)))
    batch.pop("labels", None)
    with torch.no_grad():
        return model.eval()(**batch).logits.numpy()


@pytest.mark.parametrize("name", MODELS)
def test_the_classification_layer_makes_the_models_logits_of_the_features(name):
    """The features are pinned by it: whatever else is taken, or in another order, gives other logits."""
    build, data, layer, width = MODELS[name]
    model, dataset = build(), data()
    # in one batch: transformers' GPT-2 counts positions from the left padding, so its logits depend on the batch
    features = compute_features(model, dataset)
    assert features.dtype == np.float32
    head = model.get_submodule(layer)
    assert features.shape == (len(dataset), width or head.in_features)
    with torch.no_grad():
        logits = linear(torch.from_numpy(features), head.weight, head.bias)
    np.testing.assert_allclose(logits.numpy(), logits_of(model, dataset), rtol=1e-4, atol=1e-5)


def test_features_of_a_tabular_mlp_are_its_hidden_layer():
    model, dataset = mlp(), table()
    hidden = torch.relu(model.layers[0](dataset.column("features"))).detach().numpy()
    np.testing.assert_allclose(compute_features(model, dataset), hidden, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["tabular MLP", "ResNet", "RoBERTa", "GPT-2"])
def test_a_row_depends_on_neither_order_nor_batch(name):
    build, data, _, _ = MODELS[name]
    model, dataset = build(), data()
    whole = compute_features(model, dataset)
    order = np.random.default_rng(0).permutation(len(dataset))
    shuffled = compute_features(model, dataset.subset(order), batch_size=3)
    np.testing.assert_allclose(shuffled, whole[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "targets", "task"),
    [
        ("tabular MLP", ["layers.0"], "tabular-classification"),
        ("RoBERTa", ["query", "value"], "text-classification"),
        ("timm ResNet", ["conv1.3"], "image-classification"),
    ],
)
def test_under_lora_the_trained_head_sees_the_features(name, targets, task):
    """With peft the model keeps the frozen head beside the trained copy: the copy's input is meant."""
    build, data, layer, _ = MODELS[name]
    model = attach_lora(build(), {"r": 2, "target_modules": targets}, task=task)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    features = compute_features(model, dataset := data())
    head_name, _, inner = layer.rpartition(".") if name == "RoBERTa" else (layer, "", "")
    head = model.get_base_model().get_submodule(head_name).modules_to_save["default"]
    head = head.get_submodule(inner) if inner else head
    with torch.no_grad():
        logits = linear(torch.from_numpy(features), head.weight, head.bias)
    np.testing.assert_allclose(logits.numpy(), logits_of(model, dataset), rtol=1e-3, atol=1e-4)


def test_a_head_that_is_itself_adapted_by_lora_gives_its_own_input():
    from peft import LoraConfig, get_peft_model

    plain, dataset = mlp(), table()
    expected = compute_features(plain, dataset)
    adapted = get_peft_model(plain, LoraConfig(r=2, target_modules=["classifier"]))
    np.testing.assert_array_equal(compute_features(adapted, dataset), expected)


def test_labels_are_not_needed_and_never_reach_the_model():
    model, dataset = mlp(), table()
    unlabelled = TensorDataset({"features": dataset.column("features")})
    np.testing.assert_array_equal(compute_features(model, unlabelled), compute_features(model, dataset))


def test_the_model_is_left_as_it_was():
    model, dataset = mlp().train(), table()
    model.dropout.eval()
    hooks = [dict(module._forward_hooks) for module in model.modules()]
    first, second = compute_features(model, dataset), compute_features(model, dataset)
    np.testing.assert_array_equal(first, second)  # evaluation mode: dropout is off
    assert (model.training, model.dropout.training, model.classifier.training) == (True, False, True)
    assert [dict(module._forward_hooks) for module in model.modules()] == hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_error_leaves_no_hook_behind():
    model = mlp()
    with pytest.raises(InputError, match="dataset is empty"):
        compute_features(model, table().subset([]))
    assert all(not module._forward_hooks for module in model.modules())


def test_an_accelerator_or_a_compiled_model_changes_nothing():
    model, dataset = mlp(), table()
    expected = compute_features(model, dataset, batch_size=4)
    accelerator = Accelerator(cpu=True)
    under = compute_features(accelerator.prepare(model), dataset, batch_size=4, accelerator=accelerator)
    np.testing.assert_array_equal(under, expected)
    np.testing.assert_array_equal(compute_features(torch.compile(model), dataset, batch_size=4), expected)


def test_the_training_augmentation_of_a_dataset_is_left_out():
    model, dataset = resnet(), images()
    augmented = dataset.with_augmentation(lambda pixels: pixels * 0)
    np.testing.assert_array_equal(compute_features(model, augmented), compute_features(model, dataset))


def test_a_model_without_a_head_is_refused():
    with pytest.raises(InputError, match="model is a Linear in which no classification head is found"):
        compute_features(torch.nn.Linear(4, 3), table())


def test_a_diverged_model_is_refused():
    model = mlp()
    model.layers[0].weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="diverged"):
        compute_features(model, table())
