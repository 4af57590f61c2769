"""References of a language model: adapters of one base in memory; they resume, are kept, and every token is stored."""

from __future__ import annotations

import random
from types import SimpleNamespace

import datasets
import numpy as np
import pytest
import torch
from small_training import QUIET
from tiny_tokenizers import byte_level, saved_language_model

from hf_privacy.data import make_split
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.forgetting import u_lira
from hf_privacy.references import reference_run, unlearned_references
from hf_privacy.signals import token_signals
from hf_privacy.tasks import task_named
from hf_privacy.unlearning import NPOConfig, NPOTrainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return saved_language_model(tmp_path_factory.mktemp("base"), byte_level(), "llama", **sizes)


def prepared(folder, lora):
    draw = random.Random(1)
    words = ["cat", "dog", "tree", "river"]
    rows = datasets.Dataset.from_dict({"text": [" ".join(draw.choices(words, k=1 + n % 5)) for n in range(24)]})
    model = SimpleNamespace(
        name_or_path=str(folder), revision=None, from_scratch=False, kwargs={}, lora=lora, dtype="float32",
        quantization=None, gguf_file=None,
    )  # fmt: skip
    data = SimpleNamespace(input_columns=["text"], max_length=64, paraphrase_column=None)
    return rows, task_named("causal-lm").prepare(rows, model=model, data=data, classes=[])


def run_of(folder, output, lora, n_models=2):
    rows, made = prepared(folder, lora)
    split = make_split(rows, label_column=None, stratify=False, population_fraction=0.25, seed=0)
    args = PrivacyConfig(str(output / "target"), **{**QUIET, "num_train_epochs": 2, "learning_rate": 1e-2})
    trainer = PrivacyTrainer(
        args=args,
        model_init=made.model_init,
        train_dataset=made.dataset.subset(split.members),
        processing_class=made.processor,
    )
    return made, reference_run(trainer, made.dataset, split, output / "references", n_models=n_models)


def frozen(model):
    return {name: weight for name, weight in model.named_parameters() if not weight.requires_grad}


def test_adapters_of_a_recipe_share_one_base_that_training_leaves_as_it_was(folder, tmp_path):
    made, run = run_of(folder, tmp_path, {"r": 2})
    first, second = made.model_init(), made.model_init()
    assert frozen(first)
    assert all(weight is frozen(second)[name] for name, weight in frozen(first).items())
    trained = [weight for weight in first.parameters() if weight.requires_grad]
    assert not {id(weight) for weight in trained} & {id(weight) for weight in second.parameters()}
    before = {name: weight.clone() for name, weight in frozen(first).items()}
    run.train()
    assert all(torch.equal(weight, before[name]) for name, weight in frozen(made.model_init()).items())


def test_the_same_seed_gives_the_same_adapter_whether_the_base_is_there_already_or_not(folder):
    _, made = prepared(folder, {"r": 2})
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(made.model_init().state_dict())
    _, anew = prepared(folder, {"r": 2})
    torch.manual_seed(5)
    models.append(anew.model_init().state_dict())
    for name, weight in models[0].items():
        assert torch.equal(weight, models[1][name])
        assert torch.equal(weight, models[2][name])


def test_whole_models_share_nothing(folder):
    _, made = prepared(folder, None)
    first, second = made.model_init(), made.model_init()
    assert not {id(weight) for weight in first.parameters()} & {id(weight) for weight in second.parameters()}


@pytest.mark.parametrize("lora", [None, {"r": 2}], ids=["full", "lora"])
def test_references_resume_are_kept_and_are_stored_token_by_token(lora, folder, tmp_path, monkeypatch):
    made, run = run_of(folder, tmp_path, lora, n_models=4)
    run.train(keep_weights=True)
    offsets = token_signals(made.model, run.audit_dataset).offsets
    stored = [run.store.tokens(number, offsets) for number in range(4)]
    for number, tokens in enumerate(stored):
        # What is kept says again what was stored, to the token.
        again = token_signals(run.kept_model(number), run.audit_dataset)
        np.testing.assert_allclose(tokens.log_prob, again.log_prob, atol=1e-5)
        for name, values in tokens.examples().items():
            np.testing.assert_allclose(run.store.read(name, models=[number])[0], values, atol=1e-5)
    assert not np.array_equal(stored[0].log_prob, stored[1].log_prob)
    # One file lost, another damaged: these two are trained again, to the same signals, and no other is.
    files = [run.store.folder / run.store.file_name(number) for number in range(4)]
    times = [file.stat().st_mtime_ns for file in files]
    files[1].unlink()
    content = bytearray(files[2].read_bytes())
    content[-1] ^= 1
    files[2].write_bytes(content)
    _, resumed = run_of(folder, tmp_path, lora, n_models=4)
    with pytest.warns(UserWarning, match="reference models 2"):
        resumed.train(keep_weights=True)
    for number, tokens in enumerate(stored):
        np.testing.assert_allclose(resumed.store.tokens(number, offsets).log_prob, tokens.log_prob, atol=1e-5)
    kept = [file.stat().st_mtime_ns == time for file, time in zip(files, times, strict=True)]
    assert kept == [True, False, False, True]


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_of_the_shared_base_are_not_trained(bias, folder):
    with pytest.raises(InputError, match=f"model.lora has bias '{bias}'"):
        prepared(folder, {"r": 2, "bias": bias})


def test_u_lira_tells_adapters_that_forgot_from_those_that_never_saw(folder, tmp_path):
    made, run = run_of(folder, tmp_path, {"r": 2}, n_models=8)
    run.train(keep_weights=True)
    forget = np.array([1, 4, 9])
    inside = run.plan.membership[:, forget]

    def make_unlearner(model, forget, retain, folder):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        settings = {**QUIET, "num_train_epochs": 1, "learning_rate": 1e-2, "use_cpu": True}
        args = NPOConfig(str(folder), **settings)
        return NPOTrainer(model, args, forget, retain, processing_class=made.processor)

    phi = unlearned_references(
        run, forget, tmp_path / "unlearned", make_unlearner=make_unlearner, description={"method": "npo"}
    )
    tokens = [token_signals(run.kept_model(number), run.audit_dataset.subset(forget)) for number in range(8)]
    likelihood = np.stack([one.examples()["phi"] for one in tokens])
    for column in range(3):  # of those that never saw a row: their own mean log-likelihood of it
        expected = likelihood[~inside[:, column], column]
        np.testing.assert_allclose(phi.never[:, column], expected[: len(phi.never)], atol=1e-5)
        forgot = likelihood[inside[:, column], column]
        assert (phi.unlearned[:, column] != forgot[: len(phi.unlearned)]).all()
    found = u_lira(phi.unlearned, phi.never).summary
    assert 0.0 <= found["auc_low"] <= found["auc"] <= found["auc_high"] <= 1.0
