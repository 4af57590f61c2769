"""Canary audits of language models: a bound, its ceiling and the exposure, of a twin that learnt them or did not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_language import VOCABULARY, language_model, token_rows

from hf_privacy.auditing import canary_audit
from hf_privacy.auditing.examinations.canaries import twin, worded
from hf_privacy.data import MembershipSplit, make_worded_canaries
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.signals import SignalStore, token_signals
from hf_privacy.statistics import epsilon_one_run

N, M = 60, 40
SPLIT = MembershipSplit(
    np.arange(20), np.arange(20, 50), np.arange(50, N), n_examples=N, dataset_fingerprint="fingerprint"
)


class Words:
    """What is asked of a tokenizer, beside what a Trainer asks."""

    all_special_ids = (0, 1, 2)
    eos_token_id, pad_token_id, bos_token_id = 2, 0, 1
    model_input_names = ("input_ids", "attention_mask")

    @property
    def added_tokens_decoder(self):
        return {}

    def get_vocab(self):
        return {str(number): number for number in range(VOCABULARY)}

    def save_pretrained(self, folder):
        """Nothing to save."""


@pytest.fixture(scope="module")
def dataset():
    return token_rows([14] * N, prompt=3, seed=4)


@pytest.fixture
def make_trainer(dataset, tmp_path):
    def make(*, lora: bool = False, **arguments):
        def model_init():
            model = language_model("llama", spread=0.02)
            if lora:
                model = get_peft_model(model, LoraConfig(target_modules="all-linear", r=16, task_type="CAUSAL_LM"))
            return model

        settings = {
            "output_dir": str(tmp_path / "run"),
            "num_train_epochs": 60,
            "per_device_train_batch_size": 20,
            "learning_rate": 1e-2,
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "use_cpu": True,
            **arguments,
        }
        return PrivacyTrainer(
            args=PrivacyConfig(**settings),
            model_init=model_init,
            train_dataset=dataset.subset(SPLIT.members),
            processing_class=Words(),
        )

    return make


def audited(trainer, dataset, folder, **settings):
    settings = {
        "n_canaries": M,
        "secret_tokens": 6,
        "exposure_references": 200,
        "coin_seed": 3,
        "delta": 1e-6,
        **settings,
    }
    return canary_audit(trainer, dataset, SPLIT, output_dir=folder, show_progress=False, **settings)


@pytest.mark.parametrize("kind", ["random_tokens", "suffix"])
def test_a_twin_that_learns_its_canaries_shows_them(make_trainer, dataset, tmp_path, kind):
    found = audited(make_trainer(), dataset, tmp_path, kind=kind)
    assert found.auc > 0.95
    assert 0.5 < found.one_run <= found.ceiling
    scores = np.arange(M)
    assert found.ceiling == epsilon_one_run(
        scores, scores >= M // 2, n_guesses=found.n_guesses, delta=found.delta, confidence=0.95
    )
    exposure = found.exposure
    assert exposure["ceiling"] == np.log2(200)
    assert exposure["inserted"] > 6 > 3 > exposure["left_out"]
    assert exposure["inserted"] <= exposure["ceiling"]
    assert found.kind == kind


def test_the_score_is_the_secrets_log_probability_less_that_of_the_start(make_trainer, dataset, tmp_path):
    trainer = make_trainer(num_train_epochs=2)
    audited(trainer, dataset, tmp_path)
    store = SignalStore.open(tmp_path / "private" / "canaries")
    phi, loss = store.read("phi")[0], store.read("loss")[0]
    canaries = make_worded_canaries(
        dataset, n=M, members=SPLIT.members, tokenizer=Words(), vocabulary=VOCABULARY, secret_tokens=6
    )
    torch.manual_seed(trainer.args.seed)
    start = token_signals(trainer.model_init(), canaries.secrets)
    assert np.diff(start.offsets).tolist() == [6] * M
    before = np.add.reduceat(start.log_prob.astype(np.float64), start.offsets[:-1])
    np.testing.assert_allclose(phi, -loss - before, atol=1e-4)
    assert len(store.info(0)["reference_loss"]) == 200


def test_a_twin_without_its_canaries_shows_nothing(make_trainer, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(twin, "_with_canaries", lambda trainer, members, inserted: members)
    found = audited(make_trainer(num_train_epochs=5), dataset, tmp_path)
    assert found.one_run == 0.0
    assert found.auc_low < 0.5 < found.auc_high
    assert abs(found.exposure["inserted"] - 1 / np.log(2)) < 1.0


def test_an_untrained_adapter_scores_exactly_nothing(make_trainer, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(PrivacyTrainer, "train", lambda self, resume_from_checkpoint=None: None)
    found = audited(make_trainer(lora=True), dataset, tmp_path)
    phi = SignalStore.open(tmp_path / "private" / "canaries").read("phi")[0]
    assert (phi == 0.0).all()
    assert (found.one_run, found.auc) == (0.0, 0.5)


def test_repetitions_are_inserted_and_the_bound_is_of_one(make_trainer, dataset, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(twin, "_with_canaries", lambda trainer, members, inserted: seen.append(inserted) or members)
    once = audited(make_trainer(num_train_epochs=1), dataset, tmp_path / "once")
    four = audited(make_trainer(num_train_epochs=1), dataset, tmp_path / "four", repetitions=4)
    assert [len(rows) for rows in seen] == [once.n_inserted, 4 * four.n_inserted]
    rows, times = np.unique(seen[1].column("input_ids").numpy(), axis=0, return_counts=True)
    assert (times == 4).all()
    assert len(rows) == four.n_inserted
    assert four.ceiling < once.ceiling / 4
    assert four.section["repetitions"] == 4


def test_a_new_token_is_learnt_where_the_embedding_is(make_trainer, dataset, tmp_path):
    found = audited(make_trainer(), dataset, tmp_path, kind="new_last_token")
    assert found.exposure is None
    assert found.auc > 0.8
    model = worded.with_new_tokens(make_trainer(), 40).model_init()
    assert model.get_input_embeddings().weight.shape[0] == model.get_output_embeddings().weight.shape[0] == 101


def test_a_new_token_cannot_be_learnt_by_an_adapter(make_trainer, dataset, tmp_path):
    with pytest.raises(InputError, match="an adapter leaves both as they are; use 'random_tokens'"):
        audited(make_trainer(lora=True), dataset, tmp_path, kind="new_last_token")


def test_kinds_for_classes_and_a_missing_tokenizer_are_refused(make_trainer, dataset, tmp_path):
    with pytest.raises(InputError, match="a causal language model takes 'random_tokens'"):
        audited(make_trainer(), dataset, tmp_path, kind="mislabelled")
    trainer = make_trainer()
    trainer.processing_class = None
    with pytest.raises(InputError, match="no processing_class"):
        audited(trainer, dataset, tmp_path)


def test_nothing_of_a_canary_is_in_the_section(make_trainer, dataset, tmp_path):
    section = audited(make_trainer(num_train_epochs=1), dataset, tmp_path).section
    assert {name for name, value in section.items() if isinstance(value, (list, tuple, dict))} == {
        "n_guesses",
        "exposure",
    }
    assert all(isinstance(value, (int, float, type(None))) for value in section["exposure"].values())
    assert SimpleNamespace(**section).n_canaries == M
