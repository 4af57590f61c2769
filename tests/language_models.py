"""Tiny causal language models, untrained, with weights large enough that each part of them shows in the logits."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from hf_privacy.models import load_model

COMMON = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
NO_HEAD_DIM = {name: size for name, size in COMMON.items() if name != "head_dim"}
GPT2 = {
    "vocab_size": 40,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 32,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Gemma 2 scales its embeddings and caps its scores; the caps are small here so that they are felt.
MODELS = {
    "gpt2": ("gpt2", GPT2),
    "llama": ("llama", {**COMMON, "tie_word_embeddings": False}),
    "llama tied": ("llama", {**COMMON, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", {**NO_HEAD_DIM, "tie_word_embeddings": True}),
    "gemma2": (
        "gemma2",
        {**COMMON, "final_logit_softcapping": 0.5, "attn_logit_softcapping": 0.5, "sliding_window": 8},
    ),
}


def scratch(kind: str, **more) -> torch.nn.Module:
    """An untrained model with weights large enough that every part shows in the logits."""
    name, sizes = MODELS[kind]
    model = load_model(name, task="causal-lm", from_scratch=True, model_kwargs=sizes, seed=0, **more)
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(model.named_parameters())):
            generator = torch.Generator().manual_seed(number)
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def logits(model: torch.nn.Module) -> torch.Tensor:
    ids = torch.randint(3, 40, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def moved(adapter: torch.nn.Module) -> torch.nn.Module:
    """The adapter with every trainable weight moved."""
    with torch.no_grad():
        for number, parameter in enumerate(p for p in adapter.parameters() if p.requires_grad):
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    return adapter


WORDS = {f"w{number}": number for number in range(3, 40)} | {"<unk>": 0, "<s>": 1, "</s>": 2}


def tokenizer(words: dict[str, int] = WORDS, **more) -> PreTrainedTokenizerFast:
    """A tokenizer of whole words."""
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>", **more
    )
