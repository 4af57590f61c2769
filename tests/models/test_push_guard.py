"""A loaded model's own `push_to_hub` refuses before anything is sent, and can be given back."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from hf_privacy.errors import InputError
from hf_privacy.models import (
    TabularMLPConfig,
    TabularMLPForClassification,
    allow_unguarded_push,
    guard_push,
    load_model,
    load_saved_model,
    load_tokenizer,
)


@pytest.fixture(autouse=True)
def nothing_is_sent(monkeypatch):
    """Whatever would go to the Hub, from models, tokenizers and peft alike, goes here instead."""
    sent = []
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda self, *a, **k: sent.append("repository"))
    monkeypatch.setattr("huggingface_hub.HfApi.create_commit", lambda self, *a, **k: sent.append("commit"))
    return sent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=8, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, num_labels=2
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nc\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


LOADED = {
    "model": lambda folder: load_model(folder, task="text-classification", num_labels=2),
    "saved": load_saved_model,
    "adapter": lambda folder: load_model(folder, task="text-classification", num_labels=2, lora={"r": 2}),
    "base of an adapter": lambda folder: load_model(
        folder, task="text-classification", num_labels=2, lora={"r": 2}
    ).get_base_model(),
    "merged": lambda folder: load_model(
        folder, task="text-classification", num_labels=2, lora={"r": 2}
    ).merge_and_unload(),
    "body": lambda folder: load_model(folder, task="text-classification", num_labels=2).bert,
    "copy": lambda folder: copy.deepcopy(load_model(folder, task="text-classification", num_labels=2)),
    "unpickled": lambda folder: pickle.loads(pickle.dumps(load_saved_model(folder))),
    "from scratch": lambda folder: load_model(
        "hf_privacy_tabular_mlp", task="tabular-classification", num_labels=2, from_scratch=True,
        model_kwargs={"input_size": 4},
    ),
    "tokenizer": load_tokenizer,
}  # fmt: skip


@pytest.mark.parametrize("load", LOADED.values(), ids=LOADED)
def test_push_to_hub_refuses_and_names_the_guarded_way(load, folder, nothing_is_sent):
    with pytest.raises(InputError, match=r"hf_privacy\.reports\.push_folder.*allow_unguarded_push"):
        load(folder).push_to_hub("ann/model")
    assert nothing_is_sent == []


@pytest.mark.parametrize("load", [LOADED["model"], LOADED["tokenizer"]], ids=["model", "tokenizer"])
def test_saving_with_a_push_sends_no_file(load, folder, tmp_path, nothing_is_sent, monkeypatch):
    repository = type("Repository", (), {"repo_id": "ann/model"})
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", lambda self, *a, **k: repository)
    monkeypatch.setattr(
        "transformers.modeling_utils.create_and_tag_model_card",
        lambda *a, **k: type("Card", (), {"save": lambda *_: None}),
        raising=False,
    )
    with pytest.raises(InputError, match="past the gate"):
        load(folder).save_pretrained(tmp_path / "saved", push_to_hub=True, repo_id="ann/model")
    assert nothing_is_sent == []


def test_a_guarded_model_is_otherwise_the_same(folder, tmp_path):
    model = load_saved_model(folder)
    plain = BertForSequenceClassification.from_pretrained(folder).eval()
    assert type(model) is BertForSequenceClassification
    assert model.state_dict().keys() == plain.state_dict().keys()
    rows = {"input_ids": torch.tensor([[2, 5, 6, 3]])}
    assert torch.equal(model(**rows).logits, plain(**rows).logits)
    model.save_pretrained(tmp_path / "again")
    tokenizer = load_tokenizer(folder)
    tokenizer.save_pretrained(tmp_path / "again")
    assert "push_to_hub" not in "".join(path.read_text() for path in (tmp_path / "again").glob("*.json"))
    assert pickle.loads(pickle.dumps(tokenizer))("a b") == tokenizer("a b")


def test_the_guard_can_be_taken_away():
    model = guard_push(TabularMLPForClassification(TabularMLPConfig(input_size=4, num_labels=2)))
    allow_unguarded_push(model)
    assert model.push_to_hub.__func__ is TabularMLPForClassification.push_to_hub
    assert "_upload_modified_files" not in vars(model)
