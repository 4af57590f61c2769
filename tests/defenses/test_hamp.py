"""HAMP at prediction time: the order of the classes stays, everything else about the input goes."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from hf_privacy import audit
from hf_privacy.data import MembershipSplit, TensorDataset
from hf_privacy.defenses import HAMPConfig, HAMPTrainer, PrivacyConfig, PrivacyTrainer
from hf_privacy.defenses.hamp.outputs import defended_model, random_inputs
from hf_privacy.errors import InputError
from hf_privacy.hub import weights_sha256
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import compute_signals
from hf_privacy.statistics import summarize

FAMILIES = ["tabular", "timm", "resnet", "bert", "gpt2"]


def logits_of(model, dataset, rows=None):
    batch = dataset.__getitems__(range(len(dataset)) if rows is None else rows)
    with torch.inference_mode():
        return model.eval()(**{name: tensor for name, tensor in batch.items() if name != "labels"})["logits"]


def family(name, model_of, lora_model_of):
    return lora_model_of(name.removeprefix("lora-")) if name.startswith("lora-") else model_of(name)


# ---- what is given out ----


@pytest.mark.parametrize("name", [*FAMILIES, "lora-bert"])
def test_the_order_of_the_classes_is_kept_and_no_score_is(name, model_of, lora_model_of, data_of):
    model, data = family(name, model_of, lora_model_of), data_of(name.removeprefix("lora-"), 40)
    defended = defended_model(model, data, n_random_inputs=100)
    true, given = logits_of(model, data), logits_of(defended, data)
    assert given.shape == true.shape
    assert given.dtype == torch.float32
    assert torch.equal(given.argmax(dim=1), true.argmax(dim=1))
    assert torch.equal(given.argsort(dim=1, descending=True), true.argsort(dim=1, descending=True, stable=True))
    assert not (given == true).any()


def test_the_scores_are_those_of_the_random_inputs(model_of, data_of):
    model, data = model_of("tabular"), data_of("tabular", 40)
    given = logits_of(defended_model(model, data, n_random_inputs=20, seed=3), data)
    inputs = random_inputs(data, 20, generator=torch.Generator().manual_seed(3))
    drawn = {tuple(row) for row in model(**inputs).logits.detach().sort(dim=1).values.tolist()}
    assert {tuple(row) for row in given.sort(dim=1).values.tolist()} <= drawn


def test_what_is_given_out_is_a_function_of_the_order_alone(model_of, data_of):
    model, data = model_of("tabular"), data_of("tabular", 60)
    true, given = logits_of(model, data), logits_of(defended_model(model, data), data)
    answers = {}
    for order, scores in zip(true.argsort(dim=1).tolist(), given.tolist(), strict=True):
        answers.setdefault(tuple(order), set()).add(tuple(scores))
    assert len(answers) > 1
    assert all(len(scores) == 1 for scores in answers.values())


def test_the_same_question_has_the_same_answer_in_any_batch_and_again(model_of, data_of):
    data = data_of("tabular", 30)
    defended = defended_model(model_of("tabular"), data)
    together = logits_of(defended, data)
    alone = torch.cat([logits_of(defended, data, [row]) for row in range(30)])
    assert torch.equal(alone, together)
    assert torch.equal(logits_of(defended_model(model_of("tabular"), data), data), together)


def test_another_seed_answers_otherwise(model_of, data_of):
    data, model = data_of("tabular", 30), model_of("tabular")
    first, second = (logits_of(defended_model(model, data, seed=seed), data) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_equal_logits_keep_the_class_that_argmax_names(data_of):
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[], num_labels=3)).eval()
    defended = defended_model(model, data_of("tabular"), n_random_inputs=10)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 1.0, 1.0]))
        assert defended(torch.zeros(1, 4)).logits.argmax() == 1


def test_no_class_without_rows_is_taught(tmp_path):
    torch.manual_seed(0)
    data = TensorDataset({"features": torch.randn(40, 4), "labels": torch.tensor([1, 3] * 20)})
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[8], num_labels=5))
    args = HAMPConfig(str(tmp_path), gamma=0.9, alpha=0.0, learning_rate=0.1, num_train_epochs=60, save_strategy="no")
    args.disable_tqdm = True
    HAMPTrainer(model, args, None, data).train()
    probabilities = torch.softmax(model.cpu().eval()(data.column("features")).logits, dim=1)
    assert probabilities[:, [0, 2, 4]].max() < 0.05
    assert probabilities[:, [1, 3]].min() > 0.02  # the wrong class among those that occur


def test_no_loss_and_no_hidden_state_is_given_out(model_of, data_of):
    data = data_of("bert", 4)
    defended = defended_model(model_of("bert"), data).eval()
    output = defended(**data.__getitems__(range(4)), output_hidden_states=True)
    assert list(output.keys()) == ["logits"]


# ---- the view ----


@pytest.mark.parametrize("name", ["tabular", "lora-bert"])
def test_the_model_itself_is_left_as_it_was(name, model_of, lora_model_of, data_of):
    model, data = family(name, model_of, lora_model_of), data_of(name.removeprefix("lora-"), 10)
    before = logits_of(model, data)
    defended = defended_model(model.train(), data)
    assert model.training
    assert type(defended) is type(model)
    assert next(defended.parameters()) is next(model.parameters())
    assert torch.equal(logits_of(model, data), before)
    assert not torch.equal(logits_of(defended, data), before)
    again = copy.deepcopy(model.state_dict())
    assert again.keys() == defended.state_dict().keys()


def test_while_training_the_true_scores_pass(model_of, data_of):
    model, data = model_of("tabular"), data_of("tabular")
    features = data.column("features")
    assert torch.equal(defended_model(model, data).train()(features).logits, model.train()(features).logits)


def test_a_saved_view_is_loaded_as_the_plain_model(model_of, data_of, tmp_path):
    model, data = model_of("tabular"), data_of("tabular")
    defended_model(model, data).save_pretrained(tmp_path)
    saved = TabularMLPForClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(logits_of(saved, data), logits_of(model, data))


@pytest.mark.parametrize("name", ["tabular", "lora-bert"])
def test_a_report_on_the_view_is_never_one_on_the_weights(name, model_of, lora_model_of, data_of, tmp_path):
    # Whoever downloads the weights has the plain model: the gate compares this hash with that of what is pushed.
    model, data = family(name, model_of, lora_model_of), data_of(name.removeprefix("lora-"))
    model.save_pretrained(tmp_path / "plain")
    for view in ("view", "again"):
        defended_model(model, data).save_pretrained(tmp_path / view)
    hashes = {folder: weights_sha256(tmp_path / folder) for folder in ("plain", "view", "again")}
    assert hashes["view"] == hashes["again"] != hashes["plain"]


# ---- random inputs ----


def draw(dataset, n=400):
    return random_inputs(dataset, n, generator=torch.Generator().manual_seed(0))


def test_random_features_are_coins_where_the_table_is_binary_and_in_range_elsewhere():
    labels = torch.zeros(4, dtype=torch.long)
    coins = draw(TensorDataset({"features": torch.eye(4), "labels": labels}))["features"]
    assert set(coins.unique().tolist()) == {0.0, 1.0}
    assert coins.mean() == pytest.approx(0.5, abs=0.05)  # not the 1 in 4 of the table
    table = torch.tensor([[-1.0, 5.0], [1.0, 5.0]])
    drawn = draw(TensorDataset({"features": table, "labels": labels[:2]}))["features"]
    assert drawn[:, 0].min() >= -1
    assert drawn[:, 0].max() <= 1
    assert drawn[:, 0].std() > 0.5
    assert (drawn[:, 1] == 5).all()


def test_random_pixels_fill_the_range_of_their_channel():
    images = torch.stack([torch.linspace(-2, 2, 16).reshape(4, 4), torch.linspace(0, 9, 16).reshape(4, 4)])
    data = TensorDataset({"pixel_values": images.expand(3, 2, 4, 4), "labels": torch.zeros(3, dtype=torch.long)})
    drawn = draw(data, 50)["pixel_values"]
    assert drawn.shape == (50, 2, 4, 4)
    for channel, (low, high) in enumerate([(-2, 2), (0, 9)]):
        assert low <= drawn[:, channel].min() < low + 0.2
        assert high - 0.2 < drawn[:, channel].max() <= high


def test_random_tokens_keep_padding_and_what_all_rows_share():
    tokens = torch.tensor([[1, 5, 6, 0], [1, 7, 0, 0], [1, 8, 9, 4]])
    mask = (tokens > 0).long()
    data = TensorDataset({"input_ids": tokens, "attention_mask": mask, "labels": torch.zeros(3, dtype=torch.long)})
    drawn = draw(data)
    assert (drawn["input_ids"][:, 0] == 1).all()
    assert torch.equal(drawn["input_ids"] == 0, drawn["attention_mask"] == 0)  # padding is never drawn
    assert set(drawn["input_ids"][:, 1].unique().tolist()) == {1, 4, 5, 6, 7, 8, 9}
    assert {tuple(row) for row in drawn["attention_mask"].tolist()} == {tuple(row) for row in mask.tolist()}


@pytest.mark.parametrize(("n", "message"), [(0, "n_random_inputs is 0"), (5, "tied logits to each of 5")])
def test_a_view_that_could_not_keep_the_order_is_refused(n, message, data_of):
    model = TabularMLPForClassification(TabularMLPConfig(input_size=4, hidden_sizes=[], num_labels=3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    with pytest.raises(InputError, match=message):
        defended_model(model, data_of("tabular"), n_random_inputs=n)


def test_the_trainer_needs_data_to_mimic(make_args, model_of, data_of):
    rows = [dict(row) for row in (data_of("tabular")[index] for index in range(8))]
    trainer = HAMPTrainer(model_of("tabular"), make_args(HAMPConfig), train_dataset=rows)
    with pytest.raises(InputError, match="dataset is list: pass a TensorDataset"):
        trainer.defended_model()
    trainer.defended_model(data_of("tabular"))


# ---- what an attack sees ----


SETTINGS = {"num_train_epochs": 50, "per_device_train_batch_size": 50, "learning_rate": 0.01}


def attacked(model, data):
    """AUC of the LOSS attack, on all examples and on those classified correctly, and of the label-only attack."""
    signals = {name: values[0] for name, values in compute_signals(model, data).items()}
    members = np.arange(500) < 250
    kept = signals["correct"] == 1
    return {
        "loss": summarize(-signals["loss"], members, fprs=(0.1,))["auc"],
        "loss_among_correct": summarize(-signals["loss"][kept], members[kept], fprs=(0.1,))["auc"],
        "label_only": summarize(signals["correct"], members, fprs=(0.1,))["auc"],
        "correct": signals["correct"],
    }


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_view_hides_the_scores_and_leaves_label_only_attacks_as_they_were(
    seed, make_args, memorizer, noisy_digits
):
    trainer = memorizer(HAMPTrainer, make_args(HAMPConfig, gamma=0.8, alpha=0.01, seed=seed, **SETTINGS))
    plain = attacked(trainer.model, noisy_digits)
    hidden = attacked(trainer.defended_model(), noisy_digits)
    assert hidden["loss"] < plain["loss"] - 0.05
    # What is left to the LOSS attack is whether the label is right: among the right ones it is blind.
    assert plain["loss_among_correct"] > 0.6
    assert hidden["loss_among_correct"] == pytest.approx(0.5, abs=0.06)
    assert np.array_equal(hidden["correct"], plain["correct"])
    assert hidden["label_only"] == plain["label_only"] > 0.58


def test_soft_labels_of_high_entropy_keep_the_network_unsure(make_args, memorizer, noisy_digits):
    plain = memorizer(PrivacyTrainer, make_args(PrivacyConfig, seed=0, **SETTINGS))
    hamp = memorizer(HAMPTrainer, make_args(HAMPConfig, gamma=0.8, alpha=0.01, seed=0, **SETTINGS))
    entropies = [compute_signals(trainer.model, noisy_digits)["entropy"].mean() for trainer in (plain, hamp)]
    assert entropies[0] < 0.6
    assert entropies[1] == pytest.approx(0.8 * np.log(10), abs=0.2)


def test_the_audit_takes_the_view_in_place_of_the_model(make_args, memorizer, noisy_digits, tmp_path):
    trainer = memorizer(HAMPTrainer, make_args(HAMPConfig, gamma=0.8, seed=0, **SETTINGS))
    split = MembershipSplit(range(250), range(250, 500), [], n_examples=500, dataset_fingerprint="digits")
    audits = {"plain": trainer, "view": trainer.defended_model()}
    settings = {"split": split, "trainer": trainer, "depth": "quick", "show_progress": False}
    reports = {
        name: audit(target, noisy_digits, output_dir=tmp_path / name, **settings) for name, target in audits.items()
    }
    found = {name: {attack["name"]: attack["auc"] for attack in r.attacks} for name, r in reports.items()}
    assert found["view"]["loss"] < found["plain"]["loss"] - 0.05
    assert reports["view"].model["weights_sha256"] != reports["plain"].model["weights_sha256"]
    assert reports["view"].defense["name"] == "hamp"
    assert reports["view"].defense["parameters"]["gamma"] == 0.8
    assert reports["view"].utility["nonmember_accuracy"] == reports["plain"].utility["nonmember_accuracy"]
