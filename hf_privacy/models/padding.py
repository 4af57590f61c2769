"""How texts of different lengths stand in one batch: with which token they are filled up, and on which side.

A text's figure must not depend on the length of its neighbours. Two things decide it. The pad token: GPT-2, Llama and
their like answer at the last token that is not ``config.pad_token_id``, so the model must name the token its texts are
padded with. The side: padding on the left moves the positions of BERT, GPT-2 and others; on the right it moves none,
but XLNet answers at the last place of all.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from torch import nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedConfig, PreTrainedTokenizerBase

from hf_privacy.errors import InputError
from hf_privacy.models.modes import bare_model, evaluation_mode

ADAPTER_CONFIG = "adapter_config.json"
_POSITION_TABLES = ("position_embeddings", "embed_positions", "positions_embed", "pos_embed", "wpe")
# What a tokenizer's folder holds at least one of; transformers may else make up an empty one.
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "*.model")


def fill_pad_token(
    tokenizer: PreTrainedTokenizerBase, name: str, *, revision: str | None = None, gguf_file: str | None = None
) -> None:
    """Give a tokenizer without pad token the one its checkpoint's configuration names, else its end-of-text token.

    Says so, once for each tokenizer; one without either stays as it is.
    """
    if tokenizer.pad_token_id is not None:
        return
    named = _named_in_config(name, revision, gguf_file)
    token = None if named is None or named >= len(tokenizer) else tokenizer.convert_ids_to_tokens(named)
    if token is not None:
        tokenizer.pad_token, why = token, "which its model's configuration names"
    elif tokenizer.eos_token is not None:
        tokenizer.pad_token, why = tokenizer.eos_token, "its end-of-text token"
    else:
        return
    warnings.warn(
        f"the tokenizer of {name} has no pad token: {tokenizer.pad_token!r} is taken, {why}; it is saved with the "
        "model",
        stacklevel=3,
    )


def _named_in_config(name: str, revision: str | None, gguf_file: str | None) -> int | None:
    try:
        if (Path(name) / ADAPTER_CONFIG).is_file():
            adapter = PeftConfig.from_pretrained(name)
            name, revision = adapter.base_model_name_or_path, adapter.revision
        more = {} if gguf_file is None else {"gguf_file": gguf_file}
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False, **more)
        return config.get_text_config().pad_token_id
    except (OSError, ValueError, AttributeError, TypeError):
        return None


def tokenizer_beside(
    name: str, *, revision: str | None = None, gguf_file: str | None = None
) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a folder or Hub id, with a pad token; None where there is none."""
    if (
        gguf_file is None
        and Path(name).is_dir()
        and not any(any(Path(name).glob(pattern)) for pattern in _TOKENIZER_FILES)
    ):
        return None
    more = {} if gguf_file is None else {"gguf_file": gguf_file}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False, **more)
    except (OSError, ValueError):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said when the tokenizer itself is loaded
        fill_pad_token(tokenizer, name, revision=revision, gguf_file=gguf_file)
    return tokenizer


def check_vocabulary(model: nn.Module, tokenizer: Any) -> None:
    """Refuse a tokenizer whose vocabulary the model has no embeddings for: it is another model's.

    A model may embed more tokens than its tokenizer knows, and most do; tokens added to a vocabulary may lack an
    embedding (Gemma's image token), as long as no text holds them (`check_token_ids`).

    Raises
    ------
    InputError
    """
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        rows = model.get_input_embeddings().num_embeddings
        if tokenizer.vocab_size > rows:
            raise InputError(
                f"the tokenizer knows {tokenizer.vocab_size} tokens and the model embeds {rows}: pass the model's own "
                "tokenizer"
            )


def check_token_ids(model: nn.Module, input_ids: torch.Tensor) -> None:
    """Refuse texts with tokens that the model has no embedding for, before the model is asked.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    input_ids : integer tensor of any shape

    Raises
    ------
    InputError

    Examples
    --------
    >>> from transformers import GPT2Config, GPT2LMHeadModel
    >>> model = GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=4, n_layer=1, n_head=1, eos_token_id=0))
    >>> check_token_ids(model, torch.tensor([[0, 9]]))
    Traceback (most recent call last):
    ...
    hf_privacy.errors.InputError: the texts hold the token number 9 and the model embeds 9 tokens, numbered from 0: ...
    """
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    largest = int(input_ids.max()) if input_ids.numel() else 0
    if rows is not None and largest >= rows:
        raise InputError(
            f"the texts hold the token number {largest} and the model embeds {rows} tokens, numbered from 0: encode "
            "them with the model's own tokenizer, or resize its embeddings"
        )


def align_padding(target: nn.Module | PreTrainedConfig, tokenizer: Any) -> None:
    """Let a text model, or the configuration it is to be built from, name the tokenizer's pad token.

    Written into the configuration, that of its text part, and the one for generation. What is no tokenizer, or has no
    pad token, changes nothing.

    Parameters
    ----------
    target : torch.nn.Module or PreTrainedConfig
        A configuration where the model is not built yet: RoBERTa and its like count positions from the pad token they
        were built with.
    tokenizer : PreTrainedTokenizerBase or anything else

    Raises
    ------
    InputError
        When the model has no embedding for that token, or was built to count positions from another one.

    Examples
    --------
    >>> from transformers import GPT2Config, PreTrainedTokenizerFast
    >>> from tokenizers import Tokenizer, models
    >>> words = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}))
    >>> config = GPT2Config(vocab_size=2)
    >>> align_padding(config, PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]"))
    >>> config.pad_token_id
    0
    """
    pad = getattr(tokenizer, "pad_token_id", None)
    config = target if isinstance(target, PreTrainedConfig) else getattr(target, "config", None)
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or pad is None or not isinstance(config, PreTrainedConfig):
        return
    text = config.get_text_config()
    vocabulary = getattr(text, "vocab_size", None)
    if vocabulary is not None and pad >= vocabulary:
        raise InputError(
            f"the tokenizer's pad token {tokenizer.pad_token!r} has the number {pad} and the model embeds "
            f"{vocabulary} tokens: set tokenizer.pad_token = tokenizer.eos_token, or resize the model's embeddings"
        )
    if isinstance(target, nn.Module):
        built = _position_offset(target)
        if built is not None and built != pad:
            raise InputError(
                f"the model counts positions from pad token {built} and the tokenizer pads with {pad}: set "
                f"tokenizer.pad_token to the model's ({tokenizer.convert_ids_to_tokens(built)!r})"
            )
        generation = getattr(target, "generation_config", None)
        if generation is not None:
            generation.pad_token_id = pad
    for part in {id(config): config, id(text): text}.values():
        part.pad_token_id = pad
        if part.is_encoder_decoder and tokenizer.eos_token_id is not None:
            part.eos_token_id = tokenizer.eos_token_id  # where BART and T5 read their answer


def _position_offset(model: nn.Module) -> int | None:
    """The pad token that a model counts its positions from (RoBERTa and its like); None for one that does not."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name and module.padding_idx is not None:
            return module.padding_idx
    return None


def padding_side_for(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> str:
    """The side on which texts for this classifier are padded: right, unless only left leaves its answers alone.

    Tried on a short and a long text, each alone and side by side.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
        Its configuration names the tokenizer's pad token (`align_padding`).
    tokenizer : PreTrainedTokenizerBase
        With a pad token.

    Returns
    -------
    str
        ``"right"`` or ``"left"``; ``"right"`` too where neither holds, which
        `hf_privacy.signals.check_batch_independence` then says.
    """
    texts = [tokenizer(" ".join(["a"] * n))["input_ids"] for n in (1, 9)]
    if not 0 < len(texts[0]) < len(texts[1]):
        return "right"
    device = next(model.parameters()).device
    with evaluation_mode(model), torch.no_grad():
        for side in ("right", "left"):
            padded = [_pad(ids, len(texts[1]), tokenizer.pad_token_id, side) for ids in texts]
            together = {name: torch.tensor([row[name] for row in padded], device=device) for name in padded[0]}
            try:
                answer = model(**together).logits
                alone = torch.cat(
                    [
                        model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
                        for ids in (torch.tensor([ids], device=device) for ids in texts)
                    ]
                )
            except (ValueError, RuntimeError, IndexError, TypeError, AttributeError):
                continue
            if torch.allclose(answer, alone, rtol=0, atol=3e-4 * float(alone.abs().max()) + 1e-6):
                return side
    return "right"


def position_limit(model: nn.Module) -> int | None:
    """How many tokens the model has positions for; None where positions are not looked up in a table.

    Examples
    --------
    >>> position_limit(nn.Linear(2, 2)) is None
    True
    """
    limits = [
        # RoBERTa counts from behind its padding index, BART from a fixed offset.
        module.num_embeddings
        - (0 if module.padding_idx is None else module.padding_idx + 1)
        - int(getattr(module, "offset", 0))
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and name.rpartition(".")[2] in _POSITION_TABLES
    ]
    return min(limits) if limits else None


def context_length(model: nn.Module) -> int | None:
    """The most tokens that a model has places for, or was made for: rotary positions never end, but mean nothing.

    Examples
    --------
    >>> from transformers import LlamaConfig, LlamaForCausalLM
    >>> small = {"vocab_size": 8, "hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 1}
    >>> context_length(LlamaForCausalLM(LlamaConfig(**small, num_hidden_layers=1, max_position_embeddings=32)))
    32
    """
    made_for = getattr(bare_model(model).config.get_text_config(), "max_position_embeddings", None)
    return min((limit for limit in (position_limit(model), made_for) if limit is not None), default=None)


def _pad(ids: list[int], length: int, pad: int, side: str) -> dict[str, list[int]]:
    filling, n = [pad] * (length - len(ids)), len(ids)
    if side == "right":
        return {"input_ids": ids + filling, "attention_mask": [1] * n + [0] * (length - n)}
    return {"input_ids": filling + ids, "attention_mask": [0] * (length - n) + [1] * n}
