"""Audit scores of real language models against a row at a time: no padding, plain softmax, the papers' formulas."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_language import LANGUAGE_MODELS, language_model, token_rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_privacy.auditing.scores import attack_scores
from hf_privacy.auditing.table import SignalTable
from hf_privacy.auditing.tokens import TokenTable
from hf_privacy.data import encode_language
from hf_privacy.models import base_of
from hf_privacy.signals import signals_and_tokens

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
STORIES, TOFU = SHARED / "pretrained" / "stories260K", SHARED / "tofu" / "full.parquet"
WIDTHS = (2, 3, 4, 5, 8, 11, 15, 21, 29, 40)
NAMES = ("loss", "loss_sum", "min_k", "min_k_plus_plus", "surp", "zlib", "base_calibration", "window_comparison")


def log_softmax_of(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    return (logits.exp() / logits.exp().sum(-1, keepdim=True)).log().numpy()


def one_row(model, base, ids, scored, text):
    """What every attack says of one row, each typed from its paper."""
    whole, before = (log_softmax_of(asked, ids) for asked in (model, base))
    places = [place for place in range(1, len(ids)) if scored[place]]
    token = [whole[place - 1][ids[place]] for place in places]
    entropy = [-(np.exp(whole[place - 1]) @ whole[place - 1]) for place in places]
    spread = [
        math.sqrt(np.exp(whole[place - 1]) @ (whole[place - 1] + mean) ** 2)
        for place, mean in zip(places, entropy, strict=True)
    ]
    difference = [a - before[place - 1][ids[place]] for a, place in zip(token, places, strict=True)]
    n = len(token)
    lowest = sorted(range(n), key=lambda place: token[place])
    standard = sorted((a + h) / max(s, 1e-3) for a, h, s in zip(token, entropy, spread, strict=True))
    surprising = [token[place] for place in lowest[: max(1, int(0.4 * n + 1e-9))] if entropy[place] < 2.0]
    n_kept = max(1, int(0.2 * n + 1e-9))
    shares = []
    for width in [width for width in WIDTHS if width <= n] or [n]:
        sums = [sum(difference[start : start + width]) for start in range(n - width + 1)]
        shares.append(np.mean([value > 0 for value in sums]))
    return {
        "loss": np.mean(token),
        "loss_sum": np.sum(token),
        "min_k": np.mean([token[place] for place in lowest[:n_kept]]),
        "min_k_plus_plus": np.mean(standard[:n_kept]),
        "surp": np.mean(surprising or [token[place] for place in lowest[: max(1, int(0.4 * n + 1e-9))]]),
        "zlib": np.mean(token) / len(zlib.compress(text.encode())),
        "base_calibration": np.mean(difference),
        "window_comparison": np.mean(shares),
    }


def audited(model, base, dataset, texts, *, batch_size):
    (target, tokens), (before, before_tokens) = (
        signals_and_tokens(asked, dataset, batch_size=batch_size) for asked in (model, base)
    )
    table = SignalTable(
        target=target, base=before, membership=np.arange(len(dataset)) % 2 == 0,
        tokens=TokenTable(tokens.offsets, tokens, before_tokens, texts=texts),
    )  # fmt: skip
    return {attack.name: attack.scores for attack in attack_scores(table, NAMES)}


def rows_of(dataset):
    columns = (dataset.column(name).tolist() for name in ("input_ids", "labels", "attention_mask"))
    return [
        (ids[: sum(mask)], [label != -100 for label in labels[: sum(mask)]])
        for ids, labels, mask in zip(*columns, strict=True)
    ]


def compare(found, expected, order):
    assert set(found) == set(NAMES)
    for name in NAMES:
        naive = np.array([row[name] for row in expected])[order]
        # A window whose differences add up to nothing may fall on either side of it.
        tolerance = 0.02 if name == "window_comparison" else 1e-4 if name == "min_k_plus_plus" else 1e-5
        np.testing.assert_allclose(found[name], naive, rtol=1e-5, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in LANGUAGE_MODELS if kind in ("gpt2", "llama", "qwen2", "gemma2")])
def test_every_score_is_that_of_a_row_at_a_time_for_any_batch_size_and_order(kind, lora):
    model, other = language_model(kind, lora=lora), language_model(kind, seed=4)
    dataset = token_rows()
    texts = [f"row {number} " * (number + 1) for number in range(len(dataset))]

    def naive(base):
        return [one_row(model, base, *row, text) for row, text in zip(rows_of(dataset), texts, strict=True)]

    expected = naive(other)
    for batch_size, seed in ((1, 0), (3, 1), (8, 2)):
        order = np.random.default_rng(seed).permutation(len(dataset))
        shuffled = [texts[row] for row in order]
        found = audited(model, other, dataset.subset(order), shuffled, batch_size=batch_size)
        compare(found, expected, order)


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
def test_an_untrained_adapter_differs_from_its_base_nowhere(kind):
    model, dataset = language_model(kind, lora=True), token_rows()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    target, tokens = signals_and_tokens(model, dataset, batch_size=3)
    with base_of(model) as base:
        before, before_tokens = signals_and_tokens(base, dataset, batch_size=3)
    table = SignalTable(
        target=target, base=before, membership=np.arange(8) < 4,
        tokens=TokenTable(tokens.offsets, tokens, before_tokens),
    )  # fmt: skip
    for attack in attack_scores(table, ["base_calibration", "window_comparison"]):
        assert not attack.scores.any()


@pytest.mark.skipif(not (STORIES.is_dir() and TOFU.is_file()), reason="needs ../shared/data: stories260K and tofu")
def test_on_stories260k_and_tofu():
    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    base = AutoModelForCausalLM.from_pretrained(STORIES).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in base.parameters():
            parameter.add_(0.02 * parameter.std() * torch.randn_like(parameter))
    rows = Dataset.from_parquet(str(TOFU)).select(range(12))
    dataset = encode_language(rows, tokenizer, columns=("question", "answer"))
    assert dataset.texts == rows["answer"]
    expected = [one_row(model, base, *row, text) for row, text in zip(rows_of(dataset), dataset.texts, strict=True)]
    compare(audited(model, base, dataset, dataset.texts, batch_size=5), expected, np.arange(12))
