"""Answers beside wrong ones, greedy answers and four bits, each against a loop or the published kernel."""

from __future__ import annotations

import copy
import importlib

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny_tokenizers import llama_like
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from hf_privacy.errors import InputError
from hf_privacy.models import attach_lora
from hf_privacy.unlearning import AnswerRows, answer_figures, greedy_texts, in_four_bits, kept_utility
from hf_privacy.unlearning.judging.answers import prompts
from hf_privacy.unlearning.judging.four_bits import NF4, nf4

ROWS = Dataset.from_dict(
    {
        "question": ["Who is it?", "Where was the long book written?", "Why?"],
        "answer": ["It is Ann.", "In a house by the sea.", "Rain"],
        "paraphrased_answer": ["Ann it is.", "By the sea, in a house.", "It rained."],
        "perturbed_answer": [["Bob it is.", "Eve"], ["By a road.", "In the sea, in a boat."], ["It shone.", "Snow."]],
    }
)


@pytest.fixture(scope="module")
def tokenizer():
    made = llama_like()
    made.pad_token = made.eos_token
    return made


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("llama", vocab_size=len(tokenizer), num_key_value_heads=1, **sizes, **ends)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def naive_mean_log_likelihood(model, tokenizer, question, answer):
    """Of an answer's tokens and the end, one row alone, without padding."""
    opening = tokenizer(question)["input_ids"]
    said = [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    ids = torch.tensor([[*opening, *said]])
    log_p = model(input_ids=ids).logits[0].double().log_softmax(-1)
    return np.mean([log_p[len(opening) + place - 1, token].item() for place, token in enumerate(said)])


def naive_wrong(model, tokenizer, row):
    return [naive_mean_log_likelihood(model, tokenizer, row["question"], text) for text in row["perturbed_answer"]]


def test_figures_are_those_of_each_answer_alone(model, tokenizer):
    found = answer_figures(model, AnswerRows.encode(ROWS, tokenizer), batch_size=2)
    for place, row in enumerate(ROWS):
        likelihoods = {
            name: naive_mean_log_likelihood(model, tokenizer, row["question"], row[name])
            for name in ("answer", "paraphrased_answer")
        }
        wrong = [
            naive_mean_log_likelihood(model, tokenizer, row["question"], text) for text in row["perturbed_answer"]
        ]
        assert found["log_likelihood"][place] == pytest.approx(likelihoods["answer"], abs=1e-4)
        assert found["probability"][place] == pytest.approx(np.exp(likelihoods["answer"]), abs=1e-4)
        ratio = np.exp(np.mean(wrong)) / np.exp(likelihoods["paraphrased_answer"])
        assert found["truth_ratio"][place] == pytest.approx(ratio, rel=1e-3)


def test_without_a_paraphrase_the_answer_stands_in_and_probability_is_a_choice(model, tokenizer):
    rows = AnswerRows.encode(ROWS.remove_columns("paraphrased_answer"), tokenizer, paraphrase=None)
    found = answer_figures(model, rows)
    row = ROWS[1]
    right = naive_mean_log_likelihood(model, tokenizer, row["question"], row["answer"])
    wrong = naive_wrong(model, tokenizer, row)
    assert found["truth_ratio"][1] == pytest.approx(np.exp(np.mean(wrong) - right), rel=1e-3)
    assert found["probability"][1] == pytest.approx(np.exp(right) / (np.exp(right) + np.exp(wrong).sum()), rel=1e-3)


def test_a_subset_keeps_each_questions_own_answers(model, tokenizer):
    rows = AnswerRows.encode(ROWS, tokenizer)
    whole, part = answer_figures(model, rows), answer_figures(model, rows.subset([2, 0]))
    for name in whole:
        np.testing.assert_allclose(part[name], whole[name][[2, 0]], atol=1e-5)


@torch.no_grad()
def naive_greedy(model, ids, end, n):
    said = []
    for _ in range(n):
        token = int(model(input_ids=torch.tensor([[*ids, *said]])).logits[0, -1].argmax())
        if token == end:
            break
        said.append(token)
    return said


def test_greedy_texts_are_those_of_each_prompt_alone_whatever_the_padding(model, tokenizer):
    asked = prompts(AnswerRows.encode(ROWS, tokenizer).answer)
    assert len({len(prompt) for prompt in asked}) > 1
    expected = [
        tokenizer.decode(naive_greedy(model, ids, tokenizer.eos_token_id, 12), skip_special_tokens=True)
        for ids in asked
    ]
    model.generation_config.repetition_penalty = 5.0  # of the model's own settings none counts
    try:
        for size in (1, 3):
            assert greedy_texts(model, asked, tokenizer, max_new_tokens=12, batch_size=size) == expected
    finally:
        model.generation_config.repetition_penalty = None


def test_more_tokens_than_the_model_has_positions_for_are_refused(tokenizer):
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), n_positions=8, n_embd=8, n_layer=1, n_head=1))
    assert len(greedy_texts(model, [[1, 2, 3]], tokenizer, max_new_tokens=5)) == 1
    with pytest.raises(InputError, match=r"max_new_tokens is 6: with the longest prompt that makes 9 tokens .* for 8"):
        greedy_texts(model, [[1], [1, 2, 3]], tokenizer, max_new_tokens=6)


def test_a_models_own_generation_settings_are_as_they_were(model, tokenizer):
    adapted = attach_lora(copy.deepcopy(model), {"r": 2}, task="causal-lm")
    asked = prompts(AnswerRows.encode(ROWS, tokenizer).answer)
    for one in (model, adapted):
        before = one.generation_config
        assert greedy_texts(one, asked, tokenizer, max_new_tokens=3) == greedy_texts(
            model, asked, tokenizer, max_new_tokens=3
        )  # a fresh adapter adds nothing
        assert one.generation_config is before


def test_utility_is_made_of_the_three_sets_to_be_kept(model, tokenizer):
    figures = answer_figures(model, AnswerRows.encode(ROWS, tokenizer), tokenizer, max_new_tokens=4)
    sets = {"retain": figures, "real_authors": figures, "world_facts": figures}
    found = kept_utility(sets)
    assert found["retain_probability"] == pytest.approx(figures["probability"].mean())
    assert found["world_facts_truth_ratio"] == pytest.approx(np.maximum(0, 1 - figures["truth_ratio"]).mean())
    assert len(found) == 10
    with pytest.raises(InputError, match="figures lack 'world_facts' or its generated answers"):
        kept_utility({"retain": figures, "real_authors": figures})


def test_rows_without_as_many_wrong_answers_are_refused(tokenizer):
    for wrong in ([["a"], ["a", "b"], ["a"]], [[], [], []], ["a", "b", "c"]):
        rows = ROWS.remove_columns("perturbed_answer").add_column("perturbed_answer", wrong)
        with pytest.raises(InputError, match="does not hold lists of as many wrong answers in every row"):
            AnswerRows.encode(rows, tokenizer)


def test_each_weight_goes_to_the_nearest_of_sixteen_values_of_its_block():
    weight = torch.randn(5, 13, generator=torch.Generator().manual_seed(0))
    found, flat = nf4(weight, block_size=8).flatten(), weight.flatten()
    for start in range(0, len(flat), 8):
        block = flat[start : start + 8]
        scale = block.abs().max()
        for place, value in enumerate(block):
            nearest = min((scale * code for code in NF4), key=lambda code: abs(code - value))
            assert found[start + place] == pytest.approx(float(nearest), abs=1e-6)
    assert nf4(torch.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_four_bits_are_those_of_bitsandbytes():
    pytest.importorskip("bitsandbytes")
    kernels = importlib.import_module("bitsandbytes.functional")
    weight = 0.1 * torch.randn(64, 172, generator=torch.Generator().manual_seed(1))  # its CPU kernel errs below 64
    packed, state = kernels.quantize_4bit(weight, blocksize=64, quant_type="nf4", compress_statistics=False)
    torch.testing.assert_close(nf4(weight), kernels.dequantize_4bit(packed, state))


def test_the_copy_alone_is_quantised_and_head_embeddings_and_adapter_are_not(model):
    adapted = attach_lora(copy.deepcopy(model), {"r": 2}, task="causal-lm")
    before = {name: tensor.clone() for name, tensor in adapted.state_dict().items()}
    after = in_four_bits(adapted, block_size=16).state_dict()
    assert all(torch.equal(before[name], tensor) for name, tensor in adapted.state_dict().items())
    moved = {name for name, tensor in after.items() if not torch.equal(before[name], tensor)}
    assert moved == {name for name in before if "base_layer.weight" in name}
    assert len(moved) == 14  # seven linear layers in each of two blocks
    with pytest.raises(InputError, match="Embedding has no linear layer"):
        in_four_bits(torch.nn.Embedding(2, 2))
