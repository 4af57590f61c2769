"""An example's figure depends on the example and the weights alone: over architectures, sides, batches and reloads."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from hf_privacy.adversarial import PGD, AdversarialInputs, input_space
from hf_privacy.data import TensorDataset, encode_text
from hf_privacy.errors import InputError
from hf_privacy.models import (
    align_padding,
    attach_lora,
    load_model,
    load_saved_model,
    load_tokenizer,
    padding_side_for,
)
from hf_privacy.signals import Curvature, check_batch_independence, compute_features, compute_signals

WORDS = {word: number for number, word in enumerate(["[CLS]", "[SEP]", "[UNK]", "[PAD]", *"abcdefghijklmnop"])}
ENCODER = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 40,
}
DECODER = {**ENCODER, "num_key_value_heads": 2}
GPT = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 40}
# Model type, its sizes, and the side it is to be padded on.
ARCHITECTURES = {
    "bert": (ENCODER, "right"),
    "roberta": (ENCODER, "right"),
    "distilbert": (
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 40},
        "right",
    ),
    "electra": ({**ENCODER, "embedding_size": 16}, "right"),
    "albert": ({**ENCODER, "embedding_size": 16}, "right"),
    "deberta-v2": ({**ENCODER, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}, "right"),
    "mpnet": (ENCODER, "right"),
    "modernbert": ({**ENCODER, "bos_token_id": None, "eos_token_id": None}, "right"),
    "gpt2": (GPT, "right"),
    "gpt_neox": (ENCODER, "right"),
    "opt": (
        {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 16,
            "max_position_embeddings": 40,
            "word_embed_proj_dim": 16,
        },
        "right",
    ),
    "bloom": ({"hidden_size": 16, "n_layer": 2, "n_head": 2}, "right"),
    "falcon": ({"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}, "right"),
    "llama": (DECODER, "right"),
    "qwen2": (DECODER, "right"),
    "mixtral": ({**DECODER, "num_local_experts": 2}, "right"),
    "xlnet": ({"d_model": 16, "n_layer": 2, "n_head": 2, "d_inner": 16}, "left"),
    "bart": (
        {
            "d_model": 16,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
            "max_position_embeddings": 40,
        },
        "right",
    ),
    "t5": (
        {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 3},
        "right",
    ),
}
# What mixes an example with its padding, however it is padded.
MIXING = {
    "convbert": {**ENCODER, "embedding_size": 16},
    "fnet": {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16, "max_position_embeddings": 40},
}
N_CLASSES = 3


def tokenizer(*, pad: str | None = "[PAD]", side: str = "right") -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, WORDS[token]) for token in ("[CLS]", "[SEP]")]
    words.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]", "eos_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=pad, padding_side=side, **special)


def tiny(name: str, *, pad: str | None = "[PAD]", aligned: bool = True) -> PreTrainedModel:
    sizes = ARCHITECTURES[name][0] if name in ARCHITECTURES else MIXING[name]
    config = AutoConfig.for_model(name, vocab_size=len(WORDS), num_labels=N_CLASSES, pad_token_id=None, **sizes)
    if aligned:
        align_padding(config, tokenizer(pad=pad))
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():  # untrained weights are so small that positions hardly matter
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(5)
    return model


def texts(lengths: list[int], *, seed: int = 0) -> datasets.Dataset:
    generator = np.random.default_rng(seed)
    words = [word for word in WORDS if not word.startswith("[")]
    return datasets.Dataset.from_dict(
        {
            "text": [" ".join(generator.choice(words, length)) for length in lengths],
            "label": [row % N_CLASSES for row in range(len(lengths))],
        }
    )


def encoded(rows: datasets.Dataset, model: PreTrainedModel) -> TensorDataset:
    tokens = tokenizer()
    return encode_text(rows, tokens, padding_side=padding_side_for(model, tokens))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_text_has_one_figure_alone_in_any_batch_and_at_any_length(name):
    model = tiny(name)
    assert padding_side_for(model, tokenizer()) == ARCHITECTURES[name][1]
    rows = texts([1, 12, 3, 7, 1, 20, 5])
    dataset = encoded(rows, model)
    check_batch_independence(model, dataset)
    alone = compute_signals(model, dataset, batch_size=1)
    for batch_size in (2, 3, 7):
        together = compute_signals(model, dataset, batch_size=batch_size)
        for signal, values in alone.items():
            np.testing.assert_allclose(together[signal], values, rtol=1e-3, atol=1e-4, err_msg=signal)
    # ... and so do the features of the last layer.
    features = compute_features(model, dataset, batch_size=1)
    np.testing.assert_allclose(compute_features(model, dataset, batch_size=7), features, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["bert", "roberta", "distilbert", "electra", "albert", "gpt2", "bart"])
def test_padding_on_the_left_of_a_model_with_positions_is_refused_with_the_way_out(name):
    dataset = encode_text(texts([2, 9]), tokenizer(), padding_side="left")
    with pytest.raises(InputError, match="padding_side = 'right'"):
        check_batch_independence(tiny(name), dataset)


@pytest.mark.parametrize("name", MIXING)
def test_a_model_that_mixes_a_text_with_its_padding_is_refused(name):
    dataset = encode_text(texts([2, 9]), tokenizer())
    with pytest.raises(InputError, match=r"moves with what else is in the batch .* use another architecture"):
        check_batch_independence(tiny(name), dataset)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "opt", "gpt_neox"])
def test_a_model_that_does_not_name_the_pad_token_is_refused_with_its_number(name):
    model = tiny(name, aligned=False)
    dataset = encode_text(texts([2, 9]), tokenizer())
    for named in (None, WORDS["p"]):
        model.config.pad_token_id = named
        with pytest.raises(InputError, match=f"padded with token 3 and model.config.pad_token_id is {named}"):
            check_batch_independence(model, dataset)


def test_an_image_or_table_that_is_judged_by_its_batch_is_refused_and_one_that_is_not_is_not():
    class ByBatch(torch.nn.Module):
        def __init__(self, **settings: bool) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(4, **settings)

        def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"logits": self.norm(features)}

    rows = TensorDataset({"features": torch.randn(5, 4), "labels": torch.arange(5) % 4})
    check_batch_independence(ByBatch(), rows)
    model = ByBatch(track_running_stats=False)
    model.norm.register_forward_pre_hook(lambda module, inputs: (inputs[0] + 0 * inputs[0].mean(),))
    with pytest.raises(InputError, match="one example"):
        check_batch_independence(model, rows)


def test_the_check_leaves_mode_and_random_state_alone_and_passes_over_what_has_diverged():
    model = tiny("gpt2").train()
    dataset = encoded(texts([2, 9]), model)
    state = torch.get_rng_state()
    check_batch_independence(model, dataset)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    model.score.weight.data.fill_(float("nan"))
    check_batch_independence(model, dataset)  # said where signals are taken


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 25), min_size=2, max_size=8),
    name=st.sampled_from(["bert", "roberta", "gpt2", "llama", "opt", "xlnet"]),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_batch_mates_and_order_change_no_figure(lengths, name, seed, data):
    model = tiny(name)
    dataset = encoded(texts(lengths, seed=seed), model)
    order = data.draw(st.permutations(range(len(lengths))))
    batch_size = data.draw(st.integers(1, len(lengths)))
    alone = compute_signals(model, dataset, batch_size=1)["phi"][0]
    mixed = compute_signals(model, dataset.subset(order), batch_size=batch_size)["phi"][0]
    np.testing.assert_allclose(mixed, alone[order], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("names", ["base", "tokenizer", "both", "neither"])
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_reloaded_model_gives_the_figures_it_was_saved_with_whoever_names_the_pad_token(
    tmp_path, name, adapter, names
):
    """The base, its tokenizer, both or neither: what is trained in memory is what is audited from the folder."""
    base_names, tokenizer_names = names in ("base", "both"), names in ("tokenizer", "both")
    base = tiny(name, aligned=base_names)
    base.save_pretrained(tmp_path / "base")
    tokenizer(pad="[PAD]" if tokenizer_names else None).save_pretrained(tmp_path / "base")
    lora = {"r": 2, "target_modules": ["c_attn"] if name == "gpt2" else ["q_proj"]} if adapter else None
    if names == "neither":
        with pytest.warns(UserWarning, match="no pad token: '\\[SEP\\]' is taken, its end-of-text token"):
            tokens = load_tokenizer(tmp_path / "base")
    elif names == "base":
        with pytest.warns(UserWarning, match="no pad token: '\\[PAD\\]' is taken, which its model's configuration"):
            tokens = load_tokenizer(tmp_path / "base")
    else:
        tokens = load_tokenizer(tmp_path / "base")
    model = load_model(tmp_path / "base", task="text-classification", num_labels=N_CLASSES, lora=lora, seed=0)
    assert model.config.pad_token_id == tokens.pad_token_id == WORDS["[SEP]" if names == "neither" else "[PAD]"]
    dataset = encode_text(texts([1, 9, 4]), tokens)
    check_batch_independence(model, dataset)
    before = compute_signals(model, dataset)
    for saved_tokenizer in (True, False):
        folder = tmp_path / f"trained-{saved_tokenizer}"
        model.save_pretrained(folder)
        if saved_tokenizer:
            tokens.save_pretrained(folder)
        reloaded = load_saved_model(folder)
        assert reloaded.config.pad_token_id == tokens.pad_token_id
        for signal, values in compute_signals(reloaded, dataset).items():
            np.testing.assert_allclose(values, before[signal], rtol=1e-5, atol=1e-6, err_msg=signal)


def test_positions_counted_from_another_pad_token_than_the_tokenizers_are_refused():
    model = tiny("roberta")
    with pytest.raises(InputError, match="counts positions from pad token"):
        align_padding(model, tokenizer(pad="p"))


def test_a_pad_token_beyond_the_embeddings_is_refused():
    config = AutoConfig.for_model("gpt2", vocab_size=2)
    with pytest.raises(InputError, match="has the number 3 and the model embeds 2 tokens"):
        align_padding(config, tokenizer())


@pytest.mark.parametrize("name", ["bert", "gpt2", "llama"])
def test_curvature_and_the_embeddings_attack_do_not_see_the_batch(name):
    model = tiny(name)
    dataset = encoded(texts([1, 12, 5]), model)
    attack = AdversarialInputs(input_space(model), PGD(0.05, n_steps=3))
    options = {
        "queries": ("identity", "adversarial"),
        "adversarial": attack,
        "curvature": Curvature(n_vectors=2),
    }
    alone = compute_signals(model, dataset, batch_size=1, **options)
    together = compute_signals(model, dataset, batch_size=3, **options)
    for signal in ("phi", "curvature"):
        np.testing.assert_allclose(together[signal], alone[signal], rtol=5e-3, atol=5e-3, err_msg=signal)


def test_a_lora_model_is_checked_through_its_wrapper():
    model = attach_lora(tiny("llama"), {"r": 2, "target_modules": ["q_proj"]}, task="text-classification")
    dataset = encode_text(texts([2, 9]), tokenizer())
    check_batch_independence(model, dataset)
    model.config.pad_token_id = None
    with pytest.raises(InputError, match="pad_token_id is None"):
        check_batch_independence(model, dataset)
