"""load_model and load_saved_model: every kind of model, there and back, and every refusal."""

from __future__ import annotations

import json

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from hf_privacy.errors import InputError
from hf_privacy.models import load_model, load_saved_model

RESNET = {"num_channels": 1, "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
VIT = {**SMALL, "image_size": 8, "patch_size": 4, "num_channels": 1}
BERT = {**SMALL, "vocab_size": 50, "max_position_embeddings": 16}
TIMM = {"in_chans": 1, "channels": [8, 8, 16, 16], "stem_width": 8}
SCRATCH = {
    "resnet": ("resnet", "image-classification", RESNET),
    "vit": ("vit", "image-classification", VIT),
    "timm": ("timm:resnet10t", "image-classification", TIMM),
    "bert": ("bert", "text-classification", BERT),
    "tabular": ("hf_privacy_tabular_mlp", "tabular-classification", {"input_size": 6, "hidden_sizes": [8]}),
}


def scratch(kind: str, *, num_labels: int = 3, seed: int | None = 0, **kwargs):
    name, task, model_kwargs = SCRATCH[kind]
    return load_model(
        name, task=task, num_labels=num_labels, from_scratch=True, model_kwargs=model_kwargs, seed=seed, **kwargs
    )


def inputs(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if kind == "bert":
        return {"input_ids": torch.randint(50, (4, 9), generator=generator), "attention_mask": torch.ones(4, 9).long()}
    if kind == "tabular":
        return {"features": torch.randn(4, 6, generator=generator)}
    return {"pixel_values": torch.randn(4, 1, 8, 8, generator=generator)}


def same_weights(first, second) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("kind", SCRATCH)
def test_a_model_from_scratch_saves_and_reloads_to_the_same_function(kind, tmp_path):
    model = scratch(kind, id2label=["cat", "dog", "eel"])
    assert model.training
    with torch.no_grad():  # one training pass, so that running statistics are not the initial ones
        model(**inputs(kind))
    model.save_pretrained(tmp_path)
    reloaded = load_saved_model(tmp_path)
    assert not reloaded.training
    assert list(reloaded.config.id2label.values()) == ["cat", "dog", "eel"]
    assert same_weights(reloaded, model)
    # The weights are the same to the bit; where they lie in memory decides in which order a kernel adds.
    torch.testing.assert_close(reloaded(**inputs(kind)).logits, model.eval()(**inputs(kind)).logits)


@pytest.mark.parametrize("kind", SCRATCH)
def test_a_seed_fixes_every_weight_and_leaves_the_callers_random_state_alone(kind):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = scratch(kind, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert same_weights(first, scratch(kind, seed=3))
    assert not same_weights(first, scratch(kind, seed=4))
    assert not same_weights(scratch(kind, seed=None), scratch(kind, seed=None))


def test_a_timm_model_from_scratch_keeps_timms_own_initialisation():
    """The transformers wrapper alone draws every weight from N(0, 0.02²) and loses the zero-initialised branches."""
    model = load_model(
        "timm/resnet18.a1_in1k", task="image-classification", num_labels=3, from_scratch=True, seed=0
    ).timm_model
    torch.manual_seed(1)
    reference = timm.create_model("resnet18", num_classes=3)
    assert (model.layer1[0].bn2.weight == 0).all()
    for key, weight in reference.state_dict().items():
        if key.endswith("weight") and weight.ndim > 1:
            assert model.state_dict()[key].std().item() == pytest.approx(weight.std().item(), rel=0.1), key


@pytest.mark.parametrize("kind", SCRATCH)
def test_another_number_of_classes_gets_a_fresh_head_on_the_same_body(kind, tmp_path):
    task = SCRATCH[kind][1]
    model = scratch(kind)
    model.save_pretrained(tmp_path)
    wider = load_model(tmp_path, task=task, num_labels=5, seed=1).eval()
    assert wider(**inputs(kind)).logits.shape == (4, 5)
    before, after = model.state_dict(), wider.state_dict()
    changed = {key.rpartition(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert len(changed) == 1
    assert same_weights(wider, load_model(tmp_path, task=task, num_labels=5, seed=1))
    assert same_weights(model, load_model(tmp_path, task=task, num_labels=3))


def test_a_masked_language_model_becomes_a_classifier(tmp_path):
    BertForMaskedLM(BertConfig(**BERT)).save_pretrained(tmp_path)
    model = load_model(tmp_path, task="text-classification", num_labels=2, id2label={0: "no", 1: "yes"}, seed=0)
    assert model.config.label2id == {"no": 0, "yes": 1}
    assert same_weights(model, load_model(tmp_path, task="text-classification", num_labels=2, seed=0))


def test_weights_are_loaded_in_float32_whatever_they_were_saved_in(tmp_path):
    scratch("bert").half().save_pretrained(tmp_path)
    assert load_model(tmp_path, task="text-classification", num_labels=3).dtype == torch.float32
    assert load_saved_model(tmp_path).dtype == torch.float32


def test_configuration_fields_can_be_changed_on_pretrained_weights(tmp_path):
    scratch("bert").save_pretrained(tmp_path)
    kwargs = {"hidden_dropout_prob": 0.3}
    model = load_model(tmp_path, task="text-classification", num_labels=3, model_kwargs=kwargs)
    assert model.config.hidden_dropout_prob == 0.3


def test_a_checkpoint_for_several_labels_at_once_becomes_single_label(tmp_path):
    scratch("bert").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "problem_type": "multi_label_classification"}))
    model = load_model(tmp_path, task="text-classification", num_labels=3)
    output = model(**inputs("bert"), labels=torch.tensor([0, 1, 2, 0]))
    torch.testing.assert_close(
        output.loss, torch.nn.functional.cross_entropy(output.logits, torch.tensor([0, 1, 2, 0]))
    )


def test_an_untrained_copy_of_a_saved_architecture(tmp_path):
    scratch("resnet").save_pretrained(tmp_path)
    again = load_model(tmp_path, task="image-classification", num_labels=3, from_scratch=True, seed=9)
    assert not same_weights(again, load_saved_model(tmp_path))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name_or_path": "timm:resnet10z"}, "'resnet10z', which timm does not know: did you mean"),
        ({"name_or_path": "resnett"}, "'resnett', which transformers does not know: did you mean resnet"),
        ({"task": "regression"}, "task is 'regression'"),
        ({"num_labels": 1}, "num_labels is 1"),
        ({"id2label": ["a", "b"]}, "id2label has the classes"),
        ({"model_kwargs": {"depthz": [1]}}, "model_kwargs has 'depthz'.*did you mean depths"),
        ({"model_kwargs": {"depths": "many"}}, "model_kwargs .* does not suit resnet"),
        ({"name_or_path": "timm:resnet10t", "model_kwargs": {"colour": 1}}, "cannot be built.*colour"),
        ({"task": "text-classification"}, "'resnet' has no text-classification model"),
        ({"task": "tabular-classification"}, "'resnet' has no tabular-classification model"),
        (
            {"name_or_path": "hf_privacy_tabular_mlp", "task": "text-classification"},
            "'hf_privacy_tabular_mlp' has no text-classification model",
        ),
        ({"lora": {"r": 2}}, "save the untrained base"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(arguments, message):
    settings = {"name_or_path": "resnet", "task": "image-classification", "num_labels": 3, "from_scratch": True}
    with pytest.raises(InputError, match=message) as caught:
        load_model(**{**settings, **arguments})
    assert "\n" not in str(caught.value)


def test_what_cannot_be_loaded_is_refused_in_one_sentence(tmp_path):
    def refused(name) -> str:
        with pytest.raises(InputError) as caught:
            load_model(name, task="image-classification", num_labels=3)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "does not exist" in refused(tmp_path / "absent")
    assert "neither reachable nor cached" in refused("nobody/no-such-model")
    assert "neither reachable nor cached" in refused("timm/resnet18.a1_in1k")
    assert "no config.json" in refused(tmp_path)
    scratch("resnet").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[: len(content) // 2])
    assert "are damaged" in refused(tmp_path)
    weights.unlink()
    assert "no .safetensors weights" in refused(tmp_path)


def test_a_pickled_checkpoint_is_never_opened(tmp_path):
    """Trap 19."""
    scratch("resnet").save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    for load in (load_saved_model, lambda folder: load_model(folder, task="image-classification", num_labels=3)):
        with pytest.raises(InputError, match="pickled ones are never opened"):
            load(tmp_path)


def test_weights_that_do_not_fit_the_body_are_refused_instead_of_drawn_anew(tmp_path):
    scratch("resnet").save_pretrained(tmp_path)
    for kwargs in ({"num_channels": 3}, {"hidden_sizes": [8, 24]}):
        with pytest.raises(InputError, match="do not fit"):
            load_model(tmp_path, task="image-classification", num_labels=3, model_kwargs=kwargs)
    scratch("timm").save_pretrained(tmp_path)
    with pytest.raises(InputError, match="do not fit"):
        load_model(tmp_path, task="image-classification", num_labels=3, model_kwargs={"in_chans": 3})


def test_weights_of_another_architecture_are_refused(tmp_path):
    scratch("vit").save_pretrained(tmp_path)
    save_file({"something.else": torch.zeros(2)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="none of the weights"):
        load_model(tmp_path, task="image-classification", num_labels=3)


def test_a_saved_model_without_its_head_is_refused_for_an_audit(tmp_path):
    scratch("vit").save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {key: tensor for key, tensor in tensors.items() if not key.startswith("classifier")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack classifier\.bias"):
        load_saved_model(tmp_path)


def test_a_missing_folder_is_refused_for_an_audit(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        load_saved_model(tmp_path / "absent")
