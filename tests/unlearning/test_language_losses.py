"""Each unlearning loss of a language model against its formula, typed anew as a loop over rows and scored tokens."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_language import SMALL, language_model, token_rows
from tiny_tokenizers import byte_level
from transformers import AutoConfig, AutoModelForCausalLM

from hf_privacy.errors import InputError
from hf_privacy.unlearning import GradientAscentConfig, GradientAscentTrainer, unlearner_class
from hf_privacy.unlearning.dpo.alternatives import with_other_answers

ROWS = token_rows((9, 4, 12, 6, 7, 5, 11, 10, 8, 7) * 2)
OTHERS = token_rows((8, 11, 5, 7, 6, 9, 4, 10), seed=9)
SETS = {"forget_dataset": ROWS.subset(range(8)), "retain_dataset": ROWS.subset(range(8, 20))}
FORGET, RETAIN = [0, 1, 2], [3, 4, 5, 6]
# Those of forget rows and, where they take any, of retain rows.
METHODS = ["grad_diff", "npo", "simnpo", "dpo", "undial", "wga", "satimp", "ceu"]


def build(name, make_args, model=None, *, is_moved=True, **arguments):
    """A trainer that has kept the model before, whose trainable weights then moved."""
    kind = unlearner_class(name)
    beside = {"alternative_dataset": OTHERS} if name == "dpo" else {}
    settings = {"check_evidence": False, "per_device_train_batch_size": 4, "optim": "adamw_torch", **arguments}
    trainer = kind(
        model or language_model("llama", lora=True), make_args(kind.config_class, **settings), **SETS, **beside
    )
    trainer.prepare()
    if is_moved:
        move(trainer.model)
    return trainer


@torch.no_grad()
def move(model, size=0.1):
    generator = torch.Generator().manual_seed(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def batch_of(dataset, rows):
    """As training draws it: with the rows' numbers."""
    beside = {"alternative": OTHERS.__getitems__(rows)} if len(dataset) == len(OTHERS) else {}
    return {**dataset.__getitems__(rows), **beside}


def loss_of(trainer, forget=FORGET, retain=RETAIN):
    return trainer.unlearning_loss(
        trainer.model, batch_of(SETS["forget_dataset"], forget), batch_of(SETS["retain_dataset"], retain)
    )


def places_of(labels):
    return [place for place in range(1, len(labels)) if labels[place] != -100]


@torch.no_grad()
def tokens_of(model, dataset, row):
    """Of one row by itself, without padding: log p of the whole vocabulary at each scored token, and the tokens."""
    batch = dataset.__getitems__([row])
    labels = batch["labels"][0]
    logits = model(input_ids=batch["input_ids"]).logits[0].double().numpy()
    found = []
    for place in places_of(labels):
        z = logits[place - 1]
        found.append((z - z.max() - np.log(np.exp(z - z.max()).sum()), int(labels[place])))
    return found


def negative_log_likelihood(model, dataset, row):
    return float(np.mean([-log_p[token] for log_p, token in tokens_of(model, dataset, row)]))


def log_likelihood(model, dataset, row):
    return float(sum(log_p[token] for log_p, token in tokens_of(model, dataset, row)))


def minus_log_sigmoid(value):
    return float(np.log(1 + np.exp(-value)))


def kept(trainer, rows):
    return np.mean([negative_log_likelihood(trainer.model, SETS["retain_dataset"], row) for row in rows])


def expected_forget_loss(name, trainer, row):
    """The formula of one forget row."""
    now, before, data = trainer.model, trainer.reference, SETS["forget_dataset"]
    if name == "grad_diff":
        return -0.7 * negative_log_likelihood(now, data, row)
    if name == "npo":
        ratio = log_likelihood(now, data, row) - log_likelihood(before, data, row)
        return 2 / 0.3 * minus_log_sigmoid(-0.3 * ratio)
    if name == "simnpo":
        return 0.6 * 2 / 2.5 * minus_log_sigmoid(2.5 * (negative_log_likelihood(now, data, row) - 0.4))
    if name == "dpo":
        forget, other = (log_likelihood(now, rows, row) - log_likelihood(before, rows, row) for rows in (data, OTHERS))
        return 2 / 0.3 * minus_log_sigmoid(0.3 * (other - forget))
    if name == "wga":
        return -np.mean([np.exp(2.0 * log_p[token]) * -log_p[token] for log_p, token in tokens_of(now, data, row)])
    if name == "satimp":
        found = [log_p[token] for log_p, token in tokens_of(now, data, row)]
        return -np.mean([np.exp(2.0 * own) * (1 - np.exp(own)) ** 0.5 * -own for own in found])
    values = []
    if name == "ceu":
        for log_p, token in tokens_of(now, data, row)[1:]:
            target = np.exp(log_p)
            target[token] = 0
            values.append(-(target / target.sum() * log_p).sum())
        return np.mean(values)
    for (log_p, token), (log_before, _) in zip(tokens_of(now, data, row), tokens_of(before, data, row), strict=True):
        target = np.exp(log_before)
        target[token] *= np.exp(-3.0)  # β off its logit
        values.append(-(target / target.sum() * log_p).sum())
    return np.mean(values)


SETTINGS = {
    "grad_diff": {"forget_weight": 0.7},
    "npo": {"beta": 0.3},
    "simnpo": {"beta": 2.5, "delta": 0.4, "forget_weight": 0.6},
    "dpo": {"beta": 0.3},
    "undial": {"beta": 3.0, "retain_weight": 0.5},
    "wga": {"beta": 2.0},
    "satimp": {"beta1": 2.0, "beta2": 0.5},
    "ceu": {"retain_weight": 0.5},
}


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_its_formula(name, make_args):
    trainer = build(name, make_args, **SETTINGS[name])
    weight = trainer.args.retain_weight
    expected = np.mean([expected_forget_loss(name, trainer, row) for row in FORGET]) + weight * kept(trainer, RETAIN)
    assert loss_of(trainer).item() == pytest.approx(expected, rel=1e-4)


def test_the_divergence_of_the_retain_rows_is_at_scored_tokens_alone(make_args):
    trainer = build("grad_diff", make_args, retain_loss="kl", retain_weight=2.0)
    data, of_rows = SETS["retain_dataset"], []
    for row in RETAIN:
        pairs = zip(tokens_of(trainer.reference, data, row), tokens_of(trainer.model, data, row), strict=True)
        of_rows.append(np.mean([(np.exp(before) * (before - now)).sum() for (before, _), (now, _) in pairs]))
    forget = np.mean([-negative_log_likelihood(trainer.model, SETS["forget_dataset"], row) for row in FORGET])
    assert loss_of(trainer).item() == pytest.approx(forget + 2 * np.mean(of_rows), rel=1e-4)
    assert np.mean(of_rows) > 0.01


def test_rmu_steers_a_layer_along_one_direction_and_holds_it_elsewhere(make_args):
    trainer = build("rmu", make_args, layer=1, steering=3.0, retain_weight=0.5)
    assert trainer.target.norm().item() == pytest.approx(3.0, rel=1e-5)
    assert (trainer.target >= 0).all()

    @torch.no_grad()
    def states(model, dataset, row):
        batch = dataset.__getitems__([row])
        found = model(input_ids=batch["input_ids"], output_hidden_states=True).hidden_states[1][0]
        return [found[place].double() for place in places_of(batch["labels"][0])]

    forget = [
        np.mean([float((h - trainer.target).square().sum()) for h in states(trainer.model, SETS["forget_dataset"], r)])
        for r in FORGET
    ]
    retain = [
        np.mean([float((now - then).square().sum()) for now, then in zip(*pair, strict=True)])
        for pair in (
            [states(model, SETS["retain_dataset"], row) for model in (trainer.model, trainer.reference)]
            for row in RETAIN
        )
    ]
    assert loss_of(trainer).item() == pytest.approx(np.mean(forget) + 0.5 * np.mean(retain), rel=1e-4)
    assert np.mean(retain) > 1e-3


def test_rmu_steers_what_the_authors_call_layer_7_where_the_model_is_deep_enough(make_args):
    """They count modules from 0: the last of the three layers that they train, 5 to 7, is the one that is steered."""
    settings = {**SMALL, "num_hidden_layers": 16}
    trainer = build("rmu", make_args, AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **settings)))
    outputs = []
    trainer.model.model.layers[7].register_forward_hook(lambda _, __, output: outputs.append(output))
    steered = trainer.layer_outputs(trainer.model, batch_of(SETS["forget_dataset"], FORGET))
    (output,) = outputs
    torch.testing.assert_close(steered, output[0] if isinstance(output, tuple) else output)


@pytest.mark.parametrize("name", [*METHODS, "rmu"])
def test_a_rows_loss_is_its_own_whatever_is_in_its_batch_and_however_it_is_padded(name, make_args):
    """Rows of 4, 9 and 12 tokens: a mean over the batch's tokens, or by another row's length, would show."""
    trainer = build(name, make_args, retain_weight=1.0)
    alone = [loss_of(trainer, [row], [5]).item() for row in FORGET]
    assert loss_of(trainer, FORGET, [5]).item() == pytest.approx(np.mean(alone), rel=1e-4)
    batches = [batch_of(SETS["forget_dataset"], FORGET), batch_of(SETS["retain_dataset"], RETAIN)]
    padded = []
    for batch in batches:
        length = batch["labels"].shape[1]
        wider = {key: torch.nn.functional.pad(batch[key], (0, 5)) for key in ("input_ids", "attention_mask")}
        wider["input_ids"][:, length:] = 17  # whatever stands there
        padded.append({**batch, **wider, "labels": torch.nn.functional.pad(batch["labels"], (0, 5), value=-100)})
    plain = trainer.unlearning_loss(trainer.model, *batches).item()
    assert trainer.unlearning_loss(trainer.model, *padded).item() == pytest.approx(plain, rel=1e-4)


def gradient(trainer, loss):
    parameters = [parameter for parameter in trainer.model.parameters() if parameter.requires_grad]
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)])


def test_npo_without_temperature_is_gradient_ascent(make_args):
    """Of rows with equally many scored tokens NPO's gradient is that of ascent times their number: it adds them up."""
    trainer = build("npo", make_args, beta=1e-6, retain_weight=0.0)
    args = make_args(GradientAscentConfig, check_evidence=False)
    ascent = GradientAscentTrainer(trainer.model, args, **SETS)
    batch = batch_of(token_rows((9, 9, 9), seed=4), [0, 1, 2])
    pushed = gradient(trainer, trainer.forget_loss(trainer.model, batch))
    expected = 7 * gradient(ascent, ascent.unlearning_loss(ascent.model, batch, None))
    torch.testing.assert_close(pushed, expected, rtol=1e-3, atol=1e-4)
    assert expected.norm() > 0.1


def test_npo_lets_go_of_what_is_forgotten_and_ascent_does_not(make_args):
    trainer = build("npo", make_args, beta=0.1, retain_weight=0.0, is_moved=False)
    batch = batch_of(SETS["forget_dataset"], FORGET)
    trainer.log_ratio = lambda model, batch: trainer.sequence_log_prob(model, batch) - 500  # far below where it was
    before = gradient(trainer, -trainer.sequence_log_prob(trainer.model, batch).mean()).norm()
    assert gradient(trainer, trainer.forget_loss(trainer.model, batch)).norm() < 1e-6 * before


def test_undial_without_strength_is_distillation_from_itself_and_has_no_gradient(make_args):
    trainer = build("undial", make_args, beta=0.0, is_moved=False)
    strong = build("undial", make_args, beta=10.0, is_moved=False)
    assert gradient(trainer, loss_of(trainer)).norm() < 1e-4 * gradient(strong, loss_of(strong)).norm()


def test_wga_weighs_without_a_gradient_of_the_weights_and_is_ascent_without_power(make_args):
    batch = batch_of(SETS["forget_dataset"], FORGET)
    plain = build("wga", make_args, beta=0.0, retain_weight=0.0)
    torch.testing.assert_close(
        gradient(plain, loss_of(plain)), gradient(plain, -plain.mean_loss(plain.model, batch)), rtol=1e-4, atol=1e-6
    )
    trainer = build("wga", make_args, beta=1.0, retain_weight=0.0)
    counts = torch.tensor([len(places_of(labels)) for labels in batch["labels"]])
    losses = trainer.token_losses(trainer.model, batch)
    shares = torch.repeat_interleave(1 / (counts * len(counts)), counts)
    found, expected = (
        gradient(trainer, loss_of(trainer)),
        gradient(trainer, -(shares * (-losses).exp().detach() @ losses)),
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_simnpo_and_npo_differ_in_what_length_does(make_args):
    """With β so small that both are linear, SimNPO pushes by a row's mean and NPO by its sum."""
    simnpo = build("simnpo", make_args, beta=1e-6, forget_weight=1.0, retain_weight=0.0)
    batch = batch_of(SETS["forget_dataset"], FORGET)
    torch.testing.assert_close(
        gradient(simnpo, simnpo.forget_loss(simnpo.model, batch)),
        gradient(simnpo, -simnpo.mean_loss(simnpo.model, batch)),
        rtol=1e-3,
        atol=1e-5,
    )


# ---- RMU's weights, task arithmetic's step ----


def test_rmu_moves_what_is_named_and_no_other(make_args):
    trainer = build(
        "rmu", make_args, layer=2, trained=["layers.0.mlp.down_proj"], is_moved=False, learning_rate=0.05, max_steps=2
    )
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainable = trainer.trainable()
    trainer.unlearn()
    moved = {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {name for name in trainable if "layers.0.mlp.down_proj" in name}
    assert trainer.trainable() == trainable


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trained": ["layers.9"]}, r"trained is \['layers.9'\] and no trainable weight has such a name"),
        ({"layer": 3}, "layer is 3 and the model has 2"),
    ],
)
def test_rmu_refuses_what_the_model_does_not_have(make_args, arguments, message):
    with pytest.raises(InputError, match=message):
        build("rmu", make_args, **arguments)


@pytest.mark.parametrize("lora", [None, "all-linear", ["q_proj", "embed_tokens"]])
def test_task_arithmetic_goes_as_far_the_other_way(make_args, monkeypatch, lora):
    start, is_lora = language_model("llama"), lora is not None
    if is_lora:
        start = get_peft_model(start, LoraConfig(target_modules=lora, r=2, task_type="CAUSAL_LM"))
        move(start)
    trained = []

    def unlearned(scale):
        trainer = build(
            "task_arithmetic",
            make_args,
            copy.deepcopy(start),
            is_moved=False,
            scale=scale,
            learning_rate=0.01,
            num_train_epochs=1,
        )
        step_back = trainer._step_back

        def watched():
            trained.append(functions_of(trainer.model))
            step_back()

        trainer._step_back = watched
        trainer.unlearn()
        return functions_of(trainer.model)

    def functions_of(model):
        """Each layer's weight with what its adapter adds."""
        model = copy.deepcopy(model)
        if is_lora:
            model = model.merge_and_unload()
        return {name: parameter.detach().double() for name, parameter in model.named_parameters()}

    before = functions_of(start)
    for scale in (0.5, 2.0):
        found = unlearned(scale)
        forgetting = trained[-1]
        assert any(not torch.equal(values, before[name]) for name, values in forgetting.items())
        for name, values in found.items():
            expected = before[name] - scale * (forgetting[name] - before[name])
            torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)


# ---- the other answers of DPO ----


def test_other_answers_keep_the_prompt_and_are_all_that_is_scored():
    tokenizer = byte_level()
    answers = ["no idea", "none"]
    encoded = [[*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id] for text in answers]
    drawn = [
        with_other_answers(ROWS, tokenizer, answers, generator=torch.Generator().manual_seed(s)) for s in (0, 0, 1)
    ]
    chosen = []
    for row in range(len(ROWS)):
        ids, labels = ROWS.column("input_ids")[row], ROWS.column("labels")[row]
        begin = int((labels != -100).nonzero()[0])
        batch = drawn[0].__getitems__([row])
        assert batch["input_ids"][0, :begin].tolist() == ids[:begin].tolist()
        assert (batch["labels"][0, :begin] == -100).all()
        answer = batch["input_ids"][0, begin:].tolist()
        assert answer in encoded
        assert batch["labels"][0, begin:].tolist() == answer
        chosen.append(encoded.index(answer))
    assert set(chosen) == {0, 1}
    for name in ROWS.column_names:
        assert torch.equal(drawn[0].column(name), drawn[1].column(name))
    assert not torch.equal(drawn[0].column("input_ids"), drawn[2].column("input_ids"))


def test_a_report_holds_no_answer(make_args):
    described = build("dpo", make_args, alternatives=["Ada Example lives in Bonn"]).describe_unlearning()
    assert "Ada" not in str(described)
    assert described["parameters"]["alternatives"] == "one for each row"


@pytest.mark.parametrize(
    ("alternatives", "message"),
    [
        (OTHERS.subset([0]), "alternative_dataset is 1 rows and forget_dataset has 8"),
        ([3], "alternative_dataset is list"),
        (None, "processing_class is no tokenizer, and alternatives are texts"),
    ],
)
def test_other_answers_that_do_not_fit_are_refused(make_args, alternatives, message):
    kind = unlearner_class("dpo")
    with pytest.raises(InputError, match=message):
        kind(language_model("llama"), make_args(kind.config_class), **SETS, alternative_dataset=alternatives)
