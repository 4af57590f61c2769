"""What lies in the folders a training writes."""

from __future__ import annotations

import errno
import json

import pytest
import torch
from huggingface_hub import constants
from transformers import AutoImageProcessor, AutoModelForImageClassification

from hf_privacy.data import image_processor_for
from hf_privacy.defenses import PrivacyTrainer
from hf_privacy.errors import InputError

SECRET = "hf_" + "SecretOfThisTest" + "z" * 18


@pytest.fixture
def logged_in(monkeypatch):
    """A machine that is online, with a token in its environment; nothing is sent."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", SECRET)


def test_trap_5_no_saved_file_holds_the_arguments_or_a_token(logged_in, make_args, model_of, data_of, tmp_path):
    args = make_args(max_steps=2, save_strategy="steps", save_steps=1, push_to_hub=True, hub_model_id="ann/model")
    trainer = PrivacyTrainer(model_of("vit"), args, train_dataset=data_of("vit"))
    trainer.train()
    trainer.save_model()
    trainer.save_model(str(tmp_path / "elsewhere"))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"model.safetensors", "config.json"} <= {path.name for path in tmp_path.glob("run/*")}
    assert (tmp_path / "elsewhere" / "model.safetensors").is_file()
    assert len(list(tmp_path.glob("run/checkpoint-*"))) == 2
    assert not [path for path in files if path.name == "training_args.bin"]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_saving_is_not_pushing(logged_in, make_args, model_of, data_of):
    # The stock save_model pushes when push_to_hub is set; here the report, made of what was saved, comes after it.
    args = make_args(max_steps=1, push_to_hub=True, hub_model_id="ann/model")
    trainer = PrivacyTrainer(model_of("tabular"), args, train_dataset=data_of("tabular"))
    trainer.train()
    trainer.save_model()


def test_a_push_without_a_token_fails_before_training(make_args, model_of, data_of, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token here"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match="there is no token for the Hub"):
        PrivacyTrainer(model_of("tabular"), make_args(push_to_hub=True), train_dataset=data_of("tabular"))


def test_a_push_while_the_hub_is_switched_off_fails_before_training(make_args, model_of, data_of, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE is set"):
        PrivacyTrainer(model_of("tabular"), make_args(push_to_hub=True), train_dataset=data_of("tabular"))


def test_trap_13_a_timm_model_from_scratch_reloads_with_its_processor(make_args, model_of, data_of, tmp_path):
    model = model_of("timm")
    trainer = PrivacyTrainer(
        model,
        make_args(max_steps=1),
        train_dataset=data_of("timm"),
        processing_class=image_processor_for(model, size=8),
    )
    trainer.train()
    trainer.save_model()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run")
    again = AutoModelForImageClassification.from_pretrained(tmp_path / "run")
    assert dict(processor.size) == {"height": 8, "width": 8}
    pixels = data_of("timm").column("pixel_values")
    with torch.no_grad():
        torch.testing.assert_close(again(pixels).logits, model.eval()(pixels).logits)


def test_the_card_of_a_saved_model_says_how_it_was_trained_and_that_it_is_unaudited(
    make_args, model_of, data_of, tmp_path
):
    args = make_args(max_steps=1, optim="sgd", momentum=0.7, learning_rate=0.125)
    trainer = PrivacyTrainer(model_of("vit"), args, train_dataset=data_of("vit"))
    trainer.train()
    trainer.save_model()
    trainer.create_model_card(license="mit", tags=["digits"])
    card = (tmp_path / "run" / "README.md").read_text()
    assert "has not been audited" in card
    assert "0.125" in card
    assert "0.7" in card
    assert "license: mit" in card
    assert "- digits" in card
    assert str(tmp_path) not in card


def test_a_field_the_card_does_not_have_is_refused(make_args, model_of, data_of):
    trainer = PrivacyTrainer(model_of("vit"), make_args(), train_dataset=data_of("vit"))
    trainer.save_model()
    with pytest.raises(InputError, match="finetuned_from"):
        trainer.create_model_card(finetuned_from="ann/base")


def test_the_card_of_an_adapter_is_ours_and_not_the_template_of_peft(make_args, lora_model_of, data_of, tmp_path):
    trainer = PrivacyTrainer(lora_model_of("bert"), make_args(), train_dataset=data_of("bert"))
    for _ in range(2):
        trainer.save_model()
        trainer.create_model_card()
        card = (tmp_path / "run" / "README.md").read_text()
        assert "More Information Needed" not in card
        assert "has not been audited" in card
        assert str(tmp_path) not in card


def test_a_card_written_by_hand_outlives_saving(make_args, lora_model_of, data_of, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "README.md").write_text("# By hand\n")
    trainer = PrivacyTrainer(lora_model_of("bert"), make_args(), train_dataset=data_of("bert"))
    trainer.save_model()
    assert "# By hand" in (tmp_path / "run" / "README.md").read_text()


def test_a_card_written_by_hand_outlives_a_save_that_fails(make_args, lora_model_of, data_of, tmp_path, monkeypatch):
    trainer = PrivacyTrainer(lora_model_of("bert"), make_args(), train_dataset=data_of("bert"))
    card = tmp_path / "run" / "README.md"
    card.parent.mkdir(exist_ok=True)
    card.write_text("mine")

    def full(model, output_dir, **options):
        card.write_text("an empty form")  # as peft does
        (tmp_path / "run" / "adapter_model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(trainer.model), "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.save_model()
    assert card.read_text() == "mine"
    assert not (tmp_path / "run" / "adapter_model.safetensors").exists()


def test_the_hyperparameters_are_plain_values_without_paths_or_hub_settings(make_args, model_of, tmp_path):
    trainer = PrivacyTrainer(model_of("tabular"), make_args())
    text = json.dumps(trainer.hyperparameters())
    assert str(tmp_path) not in text
    assert "hub" not in text
    assert trainer.hyperparameters()["momentum"] is None, "AdamW has none"
