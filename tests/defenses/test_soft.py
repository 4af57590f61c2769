"""SOFT: which rows are replaced by their paraphrases and when, from columns to batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from datasets import Dataset
from killed import KillAt, KilledError
from tiny_language import language_model, token_rows
from tiny_tokenizers import byte_level

from hf_privacy.data import encode_language
from hf_privacy.defenses import PrivacyConfig, PrivacyTrainer, SOFTConfig, SOFTTrainer
from hf_privacy.errors import InputError
from hf_privacy.references import reference_trainer
from hf_privacy.signals import compute_signals

LENGTHS = (9, 4, 12, 2, 7, 5, 11, 3)
# The third and the sixth row have none: they are their own.
WITHOUT = [2, 5]


def rows():
    plain = token_rows(LENGTHS)
    both = token_rows([*LENGTHS, *LENGTHS[::-1]], seed=4)
    tensors = {name: torch.cat([plain.column(name), both.column(name)[8:]]) for name in plain.column_names}
    for column in tensors.values():
        column[[8 + row for row in WITHOUT]] = column[WITHOUT]
    return both.with_tensors(tensors).halved()


class RecordingTrainer(SOFTTrainer):
    """Keeps epoch and token numbers of every batch."""

    def training_loss(self, model, inputs):
        self.seen = [*getattr(self, "seen", []), (int(self.state.epoch or 0), inputs["input_ids"].clone())]
        return super().training_loss(model, inputs)


@pytest.fixture
def make_trainer(make_args):
    """Give a function: ``make_trainer(replaced_share=0.25)``."""

    def make(*, data=None, callbacks=(), lora=False, **arguments):
        settings = {"num_train_epochs": 3, "per_device_train_batch_size": 3, "learning_rate": 0.01, **arguments}
        return RecordingTrainer(
            args=make_args(SOFTConfig, **settings),
            model_init=lambda: language_model("llama", lora=lora, spread=0.1),
            train_dataset=rows() if data is None else data,
            callbacks=list(callbacks),
        )

    return make


def texts_of(batches):
    """The rows of these batches, as sets of their tokens."""
    return {tuple(row[row != 0].tolist()) for batch in batches for row in batch}


def text(dataset, row):
    ids = dataset.column("input_ids")[row]
    return tuple(ids[ids != 0].tolist())


# ---- rows ----


def test_a_dataset_knows_its_rows_paraphrases_through_every_view():
    data = rows()
    assert len(data) == 8
    assert data.has_paraphrase.tolist() == [row not in WITHOUT for row in range(8)]
    view = data.subset([7, 2, 0])
    assert view.has_paraphrase.tolist() == [True, False, True]
    where = np.array([False, True, True])
    changed = view.paraphrased(where)
    others = data.paraphrased(np.ones(8, dtype=bool))
    wanted = [data.column("input_ids")[7], others.column("input_ids")[2], others.column("input_ids")[0]]
    assert torch.equal(changed.column("input_ids"), torch.stack(wanted))
    assert changed.has_paraphrase is None
    assert data.with_groups(np.arange(8)).subset([7, 2]).paraphrased(where[1:]).groups.tolist() == [7, 2]
    assert data.digest() != data.paraphrased(np.zeros(8, dtype=bool)).digest()  # the same rows without any
    assert token_rows().has_paraphrase is None
    assert data.with_tensors({name: data.column(name) for name in data.column_names}).has_paraphrase is None
    with pytest.raises(InputError, match="has no paraphrases: encode it with paraphrase_column"):
        token_rows().paraphrased(np.ones(8, dtype=bool))
    with pytest.raises(InputError, match="the dataset has 3 rows"):
        token_rows([4, 5, 6]).halved()


@pytest.mark.parametrize("kind", ["text", "completion"])
def test_a_paraphrase_is_encoded_as_its_row_is(kind):
    tokenizer = byte_level(pad="<pad>")
    own, others = ["it is so", "not at all", "who knows"], ["so it is, and more", None, ""]
    columns = {"other": others, "text": own} if kind == "text" else {
        "other": others, "prompt": ["is it?", "or not?", "well?"], "completion": own
    }  # fmt: skip
    data = encode_language(Dataset.from_dict(columns), tokenizer, paraphrase_column="other")
    assert data.has_paraphrase.tolist() == [True, False, False]
    assert data.texts == own
    plain = {**columns, ("text" if kind == "text" else "completion"): ["so it is, and more", *own[1:]]}
    wanted = encode_language(Dataset.from_dict(plain).remove_columns("other"), tokenizer)
    found = data.paraphrased(np.ones(3, dtype=bool))
    assert found.texts == wanted.texts
    for ours, theirs in ((found, wanted), (data, encode_language(Dataset.from_dict(columns), tokenizer))):
        mine, yours = ours.__getitems__(range(3)), theirs.__getitems__(range(3))
        assert all(torch.equal(mine[name], yours[name]) for name in mine)


def test_paraphrases_of_conversations_and_columns_that_are_not_there_are_refused():
    tokenizer = byte_level(pad="<pad>")
    with pytest.raises(InputError, match="other"):
        encode_language(Dataset.from_dict({"text": ["a b"]}), tokenizer, paraphrase_column="other")
    with pytest.raises(InputError, match="column 'other' holds no texts"):
        encode_language(Dataset.from_dict({"text": ["a b"], "other": [3]}), tokenizer, paraphrase_column="other")


# ---- training ----


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_after_the_warm_up_the_lowest_losses_are_replaced_where_they_have_a_paraphrase(lora, make_trainer, make_args):
    trainer = make_trainer(replaced_share=0.5, lora=lora)
    trainer.train()
    # The warm-up is an undefended epoch; its losses rank the rows.
    warm = PrivacyTrainer(
        args=make_args(PrivacyConfig, num_train_epochs=1, per_device_train_batch_size=3, learning_rate=0.01),
        model_init=lambda: language_model("llama", lora=lora, spread=0.1),
        train_dataset=rows(),
    )
    warm.train()
    losses = compute_signals(warm.model, rows())["loss"][0]
    lowest = sorted(range(8), key=losses.__getitem__)[:4]
    replaced = [row for row in lowest if row not in WITHOUT]
    others = rows().paraphrased(np.ones(8, dtype=bool))
    for epoch in (0, 1, 2):
        seen = texts_of([ids for at, ids in trainer.seen if at == epoch])
        wanted = {text(others if epoch and row in replaced else rows(), row) for row in range(8)}
        assert seen == wanted
    (entry,) = [entry for entry in trainer.state.log_history if "replaced_rows" in entry]
    assert entry == {
        "replaced_rows": len(replaced), "without_paraphrase": 4 - len(replaced), "epoch": 1, "step": 3
    }  # fmt: skip


def test_a_share_of_one_replaces_all_that_can_be(make_trainer):
    trainer = make_trainer(replaced_share=1.0, warmup_epochs=2)
    trainer.train()
    assert trainer._replaced.tolist() == [row not in WITHOUT for row in range(8)]
    assert texts_of([ids for at, ids in trainer.seen if at == 1]) == {text(rows(), row) for row in range(8)}


@pytest.mark.parametrize("kill_at", [3, 4, 5, 7], ids=["warm-up", "its end", "just after", "an epoch's end"])
def test_trap_3_a_resumed_run_goes_on_with_the_rows_that_were_replaced(kill_at, make_trainer, tmp_path):
    saved = {"save_strategy": "steps", "save_steps": kill_at - 1, "num_train_epochs": 4}
    whole = make_trainer(output_dir=str(tmp_path / "whole"), **saved)
    whole.train()
    killed = make_trainer(output_dir=str(tmp_path / "killed"), callbacks=[KillAt(kill_at)], **saved)
    with pytest.raises(KilledError):
        killed.train()
    resumed = make_trainer(output_dir=str(tmp_path / "killed"), **saved)
    resumed.train(resume_from_checkpoint=True)
    assert resumed._replaced.tolist() == whole._replaced.tolist()
    for ours, theirs in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    # Which rows they are is in no log.
    assert all(isinstance(value, (int, float)) for entry in whole.state.log_history for value in entry.values())


def test_a_reference_replaces_rows_of_its_own(make_trainer, tmp_path):
    trainer = make_trainer(data=rows().subset(range(6)))
    clone = reference_trainer(trainer, rows().subset([1, 3, 6, 7]), seed=2, output_dir=tmp_path / "reference")
    clone.train()
    assert len(clone._replaced) == 4
    assert clone._replaced.sum() == 2


# ---- what is refused ----


def test_rows_without_paraphrases_are_refused(make_trainer):
    for data in (token_rows(), rows().subset(WITHOUT)):
        with pytest.raises(InputError, match="train_dataset has no paraphrases: encode it with paraphrase_column"):
            make_trainer(data=data)


def test_workers_that_would_go_on_with_the_first_rows_are_refused(make_trainer):
    with pytest.raises(InputError, match="dataloader_persistent_workers is set"):
        make_trainer(dataloader_persistent_workers=True, dataloader_num_workers=1)


def test_a_training_that_ends_within_its_warm_up_says_so(make_trainer):
    with pytest.warns(UserWarning, match="ended at step 1, within its warm-up: no row was replaced"):
        make_trainer(max_steps=1).train()
