"""Language models with their tokenizers, as trl leaves them, and what is no language model."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import transformers
from language_models import GPT2, MODELS, WORDS, logits, moved, scratch, tokenizer
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForMaskedLM, T5Config, T5ForConditionalGeneration

from hf_privacy.errors import InputError
from hf_privacy.models import check_token_ids, describe_model, load_base, load_model, load_saved_model, load_tokenizer


def adapter_on(base: Path, **more) -> torch.nn.Module:
    return moved(load_model(base, task="causal-lm", lora={"r": 2}, seed=0, **more))


# Tokenizers


def test_a_missing_pad_token_is_the_end_of_text_said_once(tmp_path):
    scratch("gpt2").save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.warns(UserWarning, match="has no pad token: '</s>' is taken, its end-of-text token") as said:
        found = load_tokenizer(tmp_path)
    model = load_model(tmp_path, task="causal-lm", tokenizer=found)
    assert len([each for each in said if "pad token" in str(each.message)]) == 1
    assert (found.pad_token_id, model.config.pad_token_id, model.generation_config.pad_token_id) == (2, 2, 2)
    model.save_pretrained(tmp_path / "saved")
    found.save_pretrained(tmp_path / "saved")
    assert load_saved_model(tmp_path / "saved").config.pad_token_id == load_tokenizer(tmp_path / "saved").pad_token_id


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
@pytest.mark.parametrize("pad", ["<unk>", "</s>", "w3"])
def test_nothing_depends_on_which_token_pads(kind, pad, tmp_path):
    """A model that names its end of text as its padding drops that embedding's gradient, if it is not told not to."""
    base = scratch(kind)
    base.save_pretrained(tmp_path)
    ids = torch.tensor([[2, 3, 0, 5, 2, 6]])

    def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
        model.zero_grad()
        model.train()(input_ids=ids, labels=ids).loss.backward()
        return [parameter.grad for parameter in model.parameters()]

    named = load_model(tmp_path, task="causal-lm", tokenizer=tokenizer(pad_token=pad))
    named.save_pretrained(tmp_path / "named")
    again = load_model(tmp_path / "named", task="causal-lm")
    assert again.config.pad_token_id == WORDS[pad]
    for expected, gradient in zip(gradients(base), gradients(again), strict=True):
        assert torch.equal(gradient, expected)
    assert torch.equal(logits(again), logits(base))


def test_an_untrained_model_draws_its_pad_tokens_embedding_as_every_other():
    name, sizes = MODELS["llama"]
    sizes = {key: size for key, size in sizes.items() if key != "pad_token_id"}
    model = load_model(
        name, task="causal-lm", from_scratch=True, model_kwargs=sizes, seed=0, tokenizer=tokenizer(pad_token="</s>")
    )
    assert model.config.pad_token_id == 2
    assert model.get_input_embeddings().weight[2].abs().min() > 0


def test_a_tokenizer_with_more_tokens_than_the_model_embeds_is_refused_and_one_with_fewer_is_not(tmp_path):
    scratch("llama").save_pretrained(tmp_path)
    fewer = tokenizer({word: number for word, number in WORDS.items() if number < 30}, pad_token="</s>")
    load_model(tmp_path, task="causal-lm", tokenizer=fewer)
    more = tokenizer(WORDS | {"w40": 40}, pad_token="</s>")
    with pytest.raises(InputError, match="the tokenizer knows 41 tokens and the model embeds 40"):
        load_model(tmp_path, task="causal-lm", tokenizer=more)
    # Added to the vocabulary and used by no text, as Gemma's image token: no reason to refuse.
    added = tokenizer(pad_token="</s>")
    added.add_tokens(["<image>"])
    model = load_model(tmp_path, task="causal-lm", tokenizer=added)
    check_token_ids(model, torch.tensor([[39]]))
    with pytest.raises(InputError, match="the texts hold the token number 40 and the model embeds 40"):
        check_token_ids(model, added("w3 <image>", return_tensors="pt")["input_ids"])


# What is no causal language model


def test_what_reads_in_both_directions_is_refused_before_its_weights_are_read(tmp_path):
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    BertForMaskedLM(BertConfig(vocab_size=9, **sizes)).save_pretrained(tmp_path / "bert")
    T5ForConditionalGeneration(
        T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    ).save_pretrained(tmp_path / "t5")
    for kind in ("bert", "t5"):
        (tmp_path / kind / "model.safetensors").write_bytes(b"damaged")
    for name, said in (
        ("bert", r"the model is an encoder \(bert\)"),
        ("t5", r"the model is an encoder-decoder \(t5\)"),
    ):
        with pytest.raises(InputError, match=said):
            load_model(tmp_path / name, task="causal-lm")
    with pytest.raises(InputError, match="an encoder"):
        load_model("bert", task="causal-lm", from_scratch=True)
    with pytest.raises(InputError, match="has no causal-lm model"):
        load_model("resnet", task="causal-lm", from_scratch=True)
    decoder = load_model(
        "bert", task="causal-lm", from_scratch=True, model_kwargs={"vocab_size": 9, "is_decoder": True, **sizes}
    )
    assert type(decoder).__name__ == "BertLMHeadModel"


# As others leave them


def as_trl_leaves_it(folder: Path, model: torch.nn.Module) -> Path:
    """The files of trl 1.16's ``SFTTrainer.save_model`` and of its last checkpoint; no pickle is one."""
    for place in (folder, folder / "checkpoint-2"):
        model.save_pretrained(place)
        tokenizer(pad_token="</s>").save_pretrained(place)
        (place / "chat_template.jinja").write_text("{% for message in messages %}{{ message['content'] }}{% endfor %}")
        (place / "training_args.bin").write_bytes(b"no pickle")
        (place / "README.md").write_text("---\nlibrary_name: peft\ntags:\n- sft\n- trl\n---\n")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (folder / "checkpoint-2" / name).write_bytes(b"no pickle")
    (folder / "checkpoint-2" / "trainer_state.json").write_text("{}")
    return folder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("with_adapter", [False, True])
def test_a_folder_of_trl_loads_and_no_pickle_is_opened(with_adapter, precision, tmp_path, monkeypatch):
    base = scratch("llama", dtype=precision)
    base.save_pretrained(tmp_path / "base")
    model = base
    if with_adapter:  # by peft alone, without a record of how the base was opened
        base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        model = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
        moved(model)
    folder = as_trl_leaves_it(tmp_path / "out", model)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("a pickle was opened"))
    for place in (folder, folder / "checkpoint-2"):
        again = load_saved_model(place)
        assert torch.equal(logits(again), logits(model))
        assert again.config.pad_token_id == load_tokenizer(place).pad_token_id == 2
        assert load_tokenizer(place).chat_template.startswith("{% for message")
        described = describe_model(again)
        assert described["adapter"] == ("lora" if with_adapter else None)
        assert described["base_model"] == (str(tmp_path / "base") if with_adapter else None)


def test_pickled_weights_of_a_language_model_are_never_opened(tmp_path):
    scratch("gpt2").save_pretrained(tmp_path / "base")
    adapter_on(tmp_path / "base").save_pretrained(tmp_path / "adapter")
    shutil.move(tmp_path / "adapter" / "adapter_model.safetensors", tmp_path / "adapter" / "adapter_model.bin")
    shutil.move(tmp_path / "base" / "model.safetensors", tmp_path / "base" / "pytorch_model.bin")
    for name in ("adapter", "base"):
        with pytest.raises(InputError, match="never opened"):
            load_saved_model(tmp_path / name)


def test_a_language_models_own_push_is_refused(tmp_path):
    scratch("gpt2").save_pretrained(tmp_path)
    adapter = load_model(tmp_path, task="causal-lm", lora={"r": 2})
    for model in (
        load_model(tmp_path, task="causal-lm"),
        load_saved_model(tmp_path),
        adapter,
        adapter.merge_and_unload(),
    ):
        with pytest.raises(InputError, match="past the gate"):
            model.push_to_hub("ann/model")


def test_an_adapter_names_its_base_and_its_revision(tmp_path):
    scratch("gpt2").save_pretrained(tmp_path)
    model = load_model(tmp_path, task="causal-lm", lora={"r": 2}, revision="v1")
    described = describe_model(model)
    assert (described["base_model"], described["base_revision"]) == (str(tmp_path), "v1")
    assert described["architecture"] == "GPT2LMHeadModel"
    layer = 2 * (16 + 48) + 2 * (16 + 16) + 2 * (16 + 64) + 2 * (64 + 16)
    assert described["n_trainable_parameters"] == GPT2["n_layer"] * layer
    full = describe_model(load_base(tmp_path, task="causal-lm"), base_model="ann/base", base_revision="v1")
    assert (full["base_model"], full["base_revision"], full["adapter"]) == ("ann/base", "v1", None)
