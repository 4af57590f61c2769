"""A checkpoint's classes are the dataset's by name: its head is put into their order, or drawn anew."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_privacy.models import load_base_classifier, load_model, load_saved_model

NAMES = ["anger", "joy", "sadness", "surprise"]
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
KINDS = {
    "bert": ("bert", "text-classification", {**SMALL, "vocab_size": 50, "max_position_embeddings": 16}),
    "roberta": ("roberta", "text-classification", {**SMALL, "vocab_size": 50, "max_position_embeddings": 16}),
    "tabular": ("hf_privacy_tabular_mlp", "tabular-classification", {"input_size": 6, "hidden_sizes": [8]}),
    "timm": ("timm:resnet10t", "image-classification", {"in_chans": 1, "channels": [8, 8, 8, 8], "stem_width": 8}),
}


def inputs(kind: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if kind == "tabular":
        return {"features": torch.randn(4, 6, generator=generator)}
    if kind == "timm":
        return {"pixel_values": torch.randn(4, 1, 8, 8, generator=generator)}
    return {"input_ids": torch.randint(3, 50, (4, 9), generator=generator), "attention_mask": torch.ones(4, 9).long()}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A folder with a trained-looking head of the given class names, and its model."""
    made = {}

    def make(kind: str = "bert", names=NAMES):
        key = (kind, tuple(names))
        if key not in made:
            name, task, kwargs = KINDS[kind]
            settings = {"num_labels": len(names), "id2label": names, "from_scratch": True}
            model = load_model(name, task=task, model_kwargs=kwargs, seed=1, **settings)
            folder = tmp_path_factory.mktemp(kind)
            model.save_pretrained(folder)
            made[key] = (str(folder), model.eval())
        return made[key]

    return make


def loaded(kind: str, folder: str, names, **settings):
    return load_model(folder, task=KINDS[kind][1], num_labels=len(names), id2label=names, seed=5, **settings).eval()


def probabilities(model, kind: str) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        logits = model(**inputs(kind)).logits
    return {str(model.config.id2label[number]).casefold(): logits[:, number] for number in range(logits.shape[1])}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.permutations(NAMES))
def test_a_class_keeps_its_logit_in_whatever_order_the_dataset_names_them(checkpoint, kind, names):
    folder, model = checkpoint(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        ours = loaded(kind, folder, [name.upper() for name in names])
    assert [ours.config.id2label[number] for number in range(4)] == [name.upper() for name in names]
    before, after = probabilities(model, kind), probabilities(ours, kind)
    for name in NAMES:
        torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)


def test_the_order_survives_saving(checkpoint, tmp_path):
    folder, model = checkpoint()
    loaded("bert", folder, NAMES[::-1]).save_pretrained(tmp_path)
    again = load_saved_model(tmp_path)
    assert list(again.config.id2label.values()) == NAMES[::-1]
    torch.testing.assert_close(probabilities(again, "bert")["joy"], probabilities(model, "bert")["joy"])


def test_an_adapters_head_is_in_the_datasets_order_too(checkpoint, tmp_path):
    folder, model = checkpoint()
    adapted = loaded("bert", folder, NAMES[::-1], lora={"r": 2, "target_modules": ["query"]})
    torch.testing.assert_close(probabilities(adapted, "bert")["joy"], probabilities(model, "bert")["joy"])
    adapted.save_pretrained(tmp_path)
    again = load_saved_model(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(again(**inputs("bert")).logits, adapted(**inputs("bert")).logits)
    # An adapter does not record its classes: the base's names, in another order, must not stand in for them.
    assert list(again.config.id2label.values()) == ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_3"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_of_other_classes_is_drawn_anew_and_said(checkpoint, kind):
    folder, model = checkpoint(kind)
    names = ["anger", "joy", "sadness", "fear"]
    with pytest.warns(UserWarning, match="the head is drawn anew; give the data the checkpoint's names"):
        ours = loaded(kind, folder, names)
    a, b = model.state_dict(), ours.state_dict()
    different = {key for key in a if not torch.equal(a[key], b[key])}
    assert {a[key].shape[0] for key in different} == {4}
    assert any(key.endswith("weight") for key in different)
    assert len(different) <= 2
    assert ours.config._name_or_path == folder
    base = load_base_classifier(folder, task=KINDS[kind][1], num_labels=4, id2label=names)
    assert base is None


@pytest.mark.parametrize(
    ("theirs", "ours", "said"),
    [
        (["LABEL_0", "LABEL_1"], ["no", "yes"], "the checkpoint's classes have no names: class i of the dataset"),
        (["no", "yes"], ["0", "1"], "the dataset's classes have no names: class i of the dataset"),
    ],
)
def test_names_that_say_nothing_are_told_so(checkpoint, theirs, ours, said):
    folder, model = checkpoint("tabular", theirs)
    with pytest.warns(UserWarning, match=said):
        kept = loaded("tabular", folder, ours)
    assert list(kept.config.id2label.values()) == ours
    torch.testing.assert_close(kept(**inputs("tabular")).logits, model(**inputs("tabular")).logits)


def test_the_base_checkpoint_answers_in_the_datasets_order(checkpoint):
    folder, model = checkpoint()
    base = load_base_classifier(folder, task="text-classification", num_labels=4, id2label=NAMES[::-1])
    torch.testing.assert_close(probabilities(base, "bert")["joy"], probabilities(model, "bert")["joy"])
    assert list(base.config.id2label.values()) == NAMES[::-1]
