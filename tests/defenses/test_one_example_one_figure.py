"""What a trainer trains on, prints and hands to an audit are figures of single examples, whatever the batch."""

from __future__ import annotations

import datasets
import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from hf_privacy.data import TensorDataset
from hf_privacy.defenses import DPConfig, DPTrainer, PrivacyConfig, PrivacyTrainer
from hf_privacy.errors import InputError
from hf_privacy.models import load_saved_model
from hf_privacy.signals import compute_signals

SIZES = {
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 16},
    "fnet": {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16, "max_position_embeddings": 16},
    "bart": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "eos_token_id": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 16,
    },
}  # fmt: skip


def model_of(name: str, *, pad: int | None = 0) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, vocab_size=20, num_labels=3, pad_token_id=pad, **SIZES[name])
    return AutoModelForSequenceClassification.from_config(config)


def texts(n: int = 11, *, side: str = "right") -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(2, 11, (n,), generator=generator)
    place = torch.arange(10)
    mask = (place < lengths[:, None]).long()
    ids = torch.randint(3, 20, (n, 10), generator=generator)
    ids[place == lengths[:, None] - 1] = 2
    ids = ids * mask
    if side == "left":
        ids, mask = ids.flip(1), mask.flip(1)
    columns = {"input_ids": ids, "attention_mask": mask, "labels": torch.arange(n) % 3}
    return TensorDataset(columns, padding_side=side, sequence_columns=["input_ids", "attention_mask"])


def arguments(folder, config_class: type = PrivacyConfig, **options):
    quiet = {"use_cpu": True, "report_to": "none", "save_strategy": "no", "disable_tqdm": True, "max_steps": 2}
    return config_class(str(folder), **{**quiet, "logging_strategy": "no", **options})


@pytest.mark.parametrize("batch_size", [1, 4, 11])
@pytest.mark.parametrize("bf16", [False, True])
def test_evaluate_prints_what_an_audit_of_the_saved_model_measures(tmp_path, batch_size, bf16):
    data = texts()
    trainer = PrivacyTrainer(
        model_of("gpt2"),
        arguments(tmp_path, bf16=bf16, per_device_eval_batch_size=batch_size, learning_rate=0.05),
        train_dataset=data,
        eval_dataset=data,
        compute_metrics=lambda found: {"accuracy": float((found.predictions.argmax(1) == found.label_ids).mean())},
    )
    trainer.train()
    printed = trainer.evaluate()
    in_memory = compute_signals(trainer.model, data, accelerator=trainer.accelerator)
    trainer.save_model()
    saved = compute_signals(load_saved_model(tmp_path), data, batch_size=3)
    for found in (in_memory, saved):
        assert printed["eval_loss"] == pytest.approx(found["loss"].mean(), rel=1e-5)
        assert printed["eval_accuracy"] == found["correct"].mean()
    for signal, values in in_memory.items():
        np.testing.assert_allclose(saved[signal], values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "side", "reason"),
    [
        (lambda: model_of("gpt2", pad=None), "right", "padded with token 0 and model.config.pad_token_id is None"),
        (lambda: model_of("gpt2"), "left", "tokenizer.padding_side = 'right'"),
        (lambda: model_of("fnet"), "right", "use another architecture"),
    ],
)
def test_a_text_without_a_figure_of_its_own_is_refused_before_training(tmp_path, model, side, reason):
    data = texts(side=side)
    for given in ({"model": model()}, {"model_init": model}):
        with pytest.raises(InputError, match=reason):
            PrivacyTrainer(args=arguments(tmp_path), train_dataset=data, **given)
    rows = datasets.Dataset.from_dict({name: data.column(name).tolist() for name in data.column_names})
    trainer = PrivacyTrainer(model(), arguments(tmp_path), train_dataset=rows)  # not tensors yet
    if model().config.model_type != "fnet":  # which is given no mask, and rows of one length
        with pytest.raises(InputError, match=reason):
            trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize(("name", "way"), [("gpt2", "functional"), ("bart", "loop")])
def test_decoders_and_what_no_hook_follows_are_trained_privately(tmp_path, name, way):
    args = arguments(tmp_path, DPConfig, noise_multiplier=1.0, per_device_train_batch_size=4, per_sample_gradients=way)
    trainer = DPTrainer(model_of(name), args, train_dataset=texts())
    trainer.train()
    assert trainer.state.global_step == 2
    assert trainer.ledger.n_steps == 2


def test_gradient_checkpointing_under_dp_names_the_way_that_works(tmp_path):
    for way in ("functional", "hooks", "ghost"):
        with pytest.raises(InputError, match="set per_sample_gradients to 'loop'"):
            DPConfig(str(tmp_path), noise_multiplier=1.0, gradient_checkpointing=True, per_sample_gradients=way)
    args = arguments(
        tmp_path, DPConfig, noise_multiplier=1.0, gradient_checkpointing=True, per_sample_gradients="loop",
        per_device_train_batch_size=4,
    )  # fmt: skip
    trainer = DPTrainer(model_of("gpt2"), args, train_dataset=texts())
    trainer.train()
    assert trainer.state.global_step == 2
