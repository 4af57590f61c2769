"""Weights of which each process holds a part: who refuses them, and how a training record is made."""

from __future__ import annotations

import pytest
from tiny_models import tiny_data, tiny_model
from transformers import Trainer

from hf_privacy.auditing import target, train_target
from hf_privacy.defenses import trainer_class
from hf_privacy.errors import InputError
from hf_privacy.recipe import Recipe, RunFolder, prepare


@pytest.mark.parametrize("defense", ["dp", "dp_adversarial", "none", "relax_loss"])
def test_who_needs_whole_weights_refuses_parts_of_them(defense, tmp_path, monkeypatch):
    if defense.startswith("dp"):
        pytest.importorskip("opacus")
    made = Trainer.create_accelerator_and_postprocess

    def made_sharded(self):
        made(self)
        self.is_fsdp_enabled = True

    monkeypatch.setattr(Trainer, "create_accelerator_and_postprocess", made_sharded)
    kind = trainer_class(defense)
    noise = {"noise_multiplier": 1.0, "accountant": "rdp"} if kind.is_private else {}
    more = {"epsilon": 0.1} if defense == "dp_adversarial" else {}
    args = kind.config_class(output_dir=str(tmp_path), report_to="none", use_cpu=True, **noise, **more)
    if kind.takes_sharded_weights:
        kind(tiny_model("tabular"), args, train_dataset=tiny_data("tabular"))
    else:
        with pytest.raises(
            InputError, match=rf"sharded \(FSDP or DeepSpeed\) and {kind.__name__} works on whole ones"
        ):
            kind(tiny_model("tabular"), args, train_dataset=tiny_data("tabular"))


def test_the_record_of_a_sharded_training_is_that_of_a_whole_one(write_recipe, tmp_path, monkeypatch):
    """What is read from the saved model, as where no process holds it, is what the model in memory says."""
    records = []
    for sharded in (False, True):
        monkeypatch.setattr(target, "_is_sharded", lambda trainer, sharded=sharded: sharded)
        path = write_recipe(tmp_path / str(sharded), training={"num_train_epochs": 1})
        experiment = prepare(Recipe.load(path), with_repeats=False)
        folder = RunFolder(tmp_path / str(sharded) / "run")
        records.append(train_target(experiment, experiment.trainer(), folder))
        assert folder.is_trained
    for record in records:
        del record["training_seconds"]
    assert records[0] == pytest.approx(records[1])
