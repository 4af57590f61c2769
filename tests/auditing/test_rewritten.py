"""The two further passes over a language model, against asking it about one row at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import llama_like
from transformers import AutoConfig, AutoModelForCausalLM

from hf_privacy.auditing.case import AuditCase
from hf_privacy.auditing.examinations.membership.run import Membership
from hf_privacy.auditing.rewritten import rewritten_losses
from hf_privacy.auditing.scores import attack_scores
from hf_privacy.data import MembershipSplit, encode_language
from hf_privacy.errors import InputError
from hf_privacy.recipe import AuditSettings

WORDS = ("The", "cat", "SAT", "on", "a", "Mat", "who", "Is", "it")


def some_model(n_tokens: int, positions: int = 200):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "llama", vocab_size=n_tokens, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=positions,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@pytest.fixture(scope="module")
def asked():
    tokenizer, rng = llama_like(), np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(2, 7))) for _ in range(24)]
    rows = {"prompt": ["who?"] * 24, "completion": texts}
    encoded = encode_language(Dataset.from_dict(rows), tokenizer)
    return tokenizer, texts, encoded, some_model(len(tokenizer))


def loss_of(model, ids, n_scored):
    """Mean loss of a row's last tokens, alone, unpadded, by plain softmax."""
    with torch.no_grad():
        log_probs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    places = range(len(ids) - n_scored, len(ids))
    return float(-np.mean([log_probs[place - 1, ids[place]] for place in places]))


def test_losses_are_those_of_a_row_at_a_time(asked, monkeypatch):
    tokenizer, texts, encoded, model = asked
    monkeypatch.setattr("hf_privacy.auditing.rewritten._ROWS_A_PASS", 5)  # one prefix, whatever the block
    found = rewritten_losses(model, encoded, 16, tokenizer, batch_size=3, show_progress=False)

    def bare(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    def whole(text):
        return [*bare("who?"), *bare(text), tokenizer.eos_token_id]

    bos = [tokenizer.bos_token_id]
    shots = [token for text in texts[16:24] for token in whole(text)]
    for row in range(16):
        small = [*bos, *whole(texts[row].lower())]
        n_scored = len(bare(texts[row].lower())) + 1
        assert found["lowercase_loss"][row] == pytest.approx(loss_of(model, small, n_scored), abs=1e-5)
        behind = [*bos, *shots, *whole(texts[row])]
        n_scored = len(bare(texts[row])) + 1
        assert len(behind) <= 200
        assert found["recall_loss"][row] == pytest.approx(loss_of(model, behind, n_scored), abs=1e-5)
    assert len(found["recall_loss"]) == 16


def test_what_cannot_be_asked_is_left_out(asked):
    tokenizer, _, encoded, model = asked
    settings = {"batch_size": 8, "show_progress": False}
    assert set(rewritten_losses(model, encoded, 24, tokenizer, **settings)) == {"lowercase_loss"}
    assert set(rewritten_losses(model, encoded, 16, None, **settings)) == {"recall_loss"}
    longest = int(encoded.column("attention_mask").sum(dim=1).max())
    full = some_model(len(tokenizer), positions=longest)
    assert set(rewritten_losses(full, encoded, 16, tokenizer, **settings)) == {"lowercase_loss"}


def case_of(asked, tmp_path, population=8, **settings):
    tokenizer, _, encoded, model = asked
    folder = tmp_path / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    n = 24 - population
    split = MembershipSplit(
        np.arange(n // 2), np.arange(n // 2, n), np.arange(n, 24), n_examples=24, dataset_fingerprint="f"
    )
    return AuditCase(
        target=folder, dataset=encoded, split=split, settings=AuditSettings(depth="quick", **settings),
        output_dir=tmp_path, references_dir=tmp_path, base_model=some_model(len(tokenizer)), show_progress=False,
    )  # fmt: skip


def test_an_audit_of_a_language_model_makes_them_unasked(asked, tmp_path):
    case = case_of(asked, tmp_path)
    made = {attack.name for attack in attack_scores(case.table)}
    assert {"lowercase", "recall", "zlib", "min_k_plus_plus", "window_comparison", "length"} < made
    assert not {"entropy", "confidence", "quantile_regression", "label_only"} & made
    without = {attack.name for attack in attack_scores(case_of(asked, tmp_path, population=0).table)}
    assert made - without == {"recall"}


def test_attacks_on_classifiers_are_refused_before_anything_is_measured(asked, tmp_path):
    case = case_of(asked, tmp_path, extra_attacks=["label_only"])
    with pytest.raises(InputError, match="extra_attacks hold label_only, which attack classifiers, and the model is"):
        Membership().check(case)
