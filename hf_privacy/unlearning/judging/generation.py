"""What a model answers by greedy decoding, many questions at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from hf_privacy.arguments import check_whole
from hf_privacy.errors import InputError
from hf_privacy.models.modes import evaluation_mode
from hf_privacy.models.padding import position_limit


@torch.no_grad()
def greedy_texts(
    model: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_new_tokens: int = 200,
    batch_size: int = 64,
) -> list[str]:
    """The likeliest token after the likeliest token, up to the end-of-text token: one text a prompt.

    Prompts of a batch are padded on the **left** and masked, whatever the tokenizer pads on: behind padding on the
    right a model would go on from the padding. Those of alike length are asked together.

    Parameters
    ----------
    model : torch.nn.Module
        A causal language model; asked in evaluation mode and left as it was. What its own generation settings say of
        sampling, penalties and lengths does not count.
    prompts : sequence of lists of int
        Token numbers, as in training: never tokenized again.
    tokenizer : PreTrainedTokenizerBase
    max_new_tokens : int, default 200
    batch_size : int, default 64

    Returns
    -------
    list of str
        In the order of the prompts, without special tokens.

    Raises
    ------
    InputError
        For ``max_new_tokens`` or ``batch_size`` below 1, or more tokens than the model has positions for.
    """
    limit = check_whole("max_new_tokens", max_new_tokens, at_least=1)
    size = check_whole("batch_size", batch_size, at_least=1)
    places = position_limit(model)
    most = max(map(len, prompts), default=0) + limit
    if places is not None and most > places:
        raise InputError(
            f"max_new_tokens is {limit}: with the longest prompt that makes {most} tokens and the model has positions "
            f"for {places}; ask for fewer"
        )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    settings = GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id,
    )
    order = np.argsort([len(prompt) for prompt in prompts], kind="stable")
    texts = [""] * len(prompts)
    device = next(model.parameters()).device
    with evaluation_mode(model), _own_settings(model, settings):
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            longest = max(len(prompts[row]) for row in batch)
            ids = torch.full((len(batch), longest), pad, dtype=torch.int64)
            mask = torch.zeros_like(ids)
            for place, row in enumerate(batch):
                ids[place, longest - len(prompts[row]) :] = torch.tensor(list(prompts[row]))
                mask[place, longest - len(prompts[row]) :] = 1
            answers = model.generate(input_ids=ids.to(device), attention_mask=mask.to(device))
            for row, answer in zip(batch, answers[:, longest:].cpu(), strict=True):
                texts[row] = str(tokenizer.decode(answer, skip_special_tokens=True))
    return texts


@contextmanager
def _own_settings(model: torch.nn.Module, settings: GenerationConfig) -> Iterator[None]:
    """What is passed to ``generate`` is filled up with the model's own settings, so these are put aside."""
    name = "generation_config"
    own = {module: vars(module)[name] for module in model.modules() if name in vars(module)}
    try:
        for module in own:
            module.generation_config = settings
        yield
    finally:
        for module, before in own.items():
            module.generation_config = before
