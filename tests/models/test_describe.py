"""What a report says about a model."""

from __future__ import annotations

from hf_privacy.models import describe_model, load_model

BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 16,
}


def bert():
    return load_model("bert", task="text-classification", num_labels=2, from_scratch=True, model_kwargs=BERT, seed=0)


def test_a_full_model():
    model = bert()
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert describe_model(model, base_model="google/bert", base_revision="main") == {
        "architecture": "BertForSequenceClassification",
        "base_model": "google/bert",
        "base_revision": "main",
        "n_parameters": n_parameters,
        "n_trainable_parameters": n_parameters,
        "adapter": None,
    }


def test_an_adapter_names_its_base(tmp_path):
    base = tmp_path / "my-base"
    bert().save_pretrained(base)
    model = load_model(base, task="text-classification", num_labels=2, lora={"r": 2}, seed=0)
    described = describe_model(model)
    assert (described["adapter"], described["base_model"]) == ("lora", str(base))
    assert described["n_trainable_parameters"] < described["n_parameters"]


def test_a_timm_model_is_named_by_its_own_architecture():
    model = load_model("timm:resnet10t", task="image-classification", num_labels=2, from_scratch=True)
    assert describe_model(model)["architecture"] == "TimmWrapperForImageClassification (resnet10t)"
