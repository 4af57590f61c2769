"""Tokenizers of a few hundred tokens, of the kinds that causal language models have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

CORPUS = ["the cat sat on the mat", "thecat andthe dog", "who is it? itis me.", "a?b a?b a?b", "user assistant"] * 3


def byte_level(*, bos: bool = False, eos: str = "<|endoftext|>", pad: str | None = None) -> PreTrainedTokenizerFast:
    """As GPT-2's and Qwen's: bytes, merges over letters and marks; no opening token unless `bos`."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # merges over spaces too
    backend.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "<pad>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=340, special_tokens=special, initial_alphabet=alphabet)
    )
    if bos:
        number = backend.token_to_id("<s>")
        backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", number)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>" if bos else "<|endoftext|>",
        eos_token=eos,
        pad_token=pad or eos,
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )


def llama_like(*, ends: bool = False) -> PreTrainedTokenizerFast:
    """As Llama's: a mark for spaces, put before every text; an opening token, and an ending one where asked."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    special = ["<unk>", "<s>", "</s>"]
    letters = [*map(chr, range(33, 127)), "▁", "\n"]
    backend.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=200, special_tokens=special, initial_alphabet=letters)
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if ends else "<s> $A", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )


def saved_language_model(folder: Path, tokenizer: PreTrainedTokenizerFast, kind: str, **sizes: Any) -> Path:
    """An untrained model of this tokenizer's tokens in a folder, the tokenizer beside it; the same each time."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
