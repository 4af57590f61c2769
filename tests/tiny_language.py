"""Causal language models of a few thousand weights, each of its own kind, and rows of tokens for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

from hf_privacy.data import TensorDataset

VOCABULARY = 61
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
# What their heads' values go through differs: nothing, tied weights, a soft cap, a factor, a divisor.
LANGUAGE_MODELS = {
    "gpt2": {**GPT2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2},
    "llama": SMALL,
    "qwen2": {**SMALL, "tie_word_embeddings": True},
    "gemma2": {**SMALL, "final_logit_softcapping": 2.0, "query_pre_attn_scalar": 8, "sliding_window": 8},
    "cohere": {**SMALL, "logit_scale": 0.25},
    "granite": {**SMALL, "logits_scaling": 3.0},
}


def language_model(kind: str, *, lora: bool = False, seed: int = 3, spread: float = 0.3) -> torch.nn.Module:
    """A model from scratch, in evaluation mode; far from uniform, so that an error shows, its adapter too."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **LANGUAGE_MODELS[kind]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    if lora:
        model = get_peft_model(model, LoraConfig(target_modules="all-linear", r=2, task_type="CAUSAL_LM"))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_B" in name:
                    parameter.add_(spread * torch.randn_like(parameter))
    return model.eval()


def token_rows(
    lengths: Sequence[int] = (9, 4, 12, 2, 7, 5, 11, 3), *, prompt: int = 2, seed: int = 0
) -> TensorDataset:
    """Rows of these lengths of random tokens, padded on the right; the first tokens of a longer row are a prompt."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    ids = torch.randint(3, VOCABULARY, shape, generator=generator)
    mask = (torch.arange(shape[1]) < torch.tensor(lengths)[:, None]).long()
    first = torch.tensor([min(prompt, length - 1) for length in lengths])
    scored = mask.bool() & (torch.arange(shape[1]) >= first[:, None])
    tensors = {"input_ids": ids * mask, "attention_mask": mask, "labels": torch.where(scored, ids, -100)}
    return TensorDataset(tensors, padding_side="right", sequence_columns=list(tensors))


def grouped_rows() -> TensorDataset:
    """Twelve rows of six groups, of one, two or three rows each."""
    return token_rows((9, 4, 12, 3, 7, 5) * 2).with_groups(np.array([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5]))
