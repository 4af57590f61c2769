"""Scores against a loop of plain backward passes and against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, BertConfig, ViTConfig, ViTForImageClassification

from hf_privacy.errors import InputError
from hf_privacy.weights import fisher, magnitude, mas_sensitivity, random, saliency, select, taylor


def by_backward(net, loss):
    """∂loss/∂w by name, through `.grad`."""
    net.zero_grad()
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in net.named_parameters()}
    net.zero_grad(set_to_none=True)
    return found


def assert_scores(scores, expected):
    assert list(scores) == list(expected)
    for name, score in scores.items():
        assert (score >= 0).all()
        assert not score.requires_grad
        torch.testing.assert_close(score, expected[name].detach(), rtol=1e-9, atol=1e-14)


def rows(batches):
    for batch in batches:
        for i in range(len(batch["labels"])):
            yield batch["input"][i : i + 1], batch["labels"][i : i + 1]


@pytest.mark.parametrize("squared", [False, True])
def test_taylor_sums_over_batches_the_gradient_times_the_weight(net, batches_of, squared):
    batches = batches_of(4, 4, 3)
    expected = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for batch in batches:
        for name, gradient in by_backward(net, F.cross_entropy(net(batch["input"]), batch["labels"])).items():
            product = gradient * net.get_parameter(name)
            expected[name] += product.square() if squared else product.abs()
    assert_scores(taylor(net, batches, squared=squared), expected)


def test_taylor_of_a_loss_linear_in_the_weights_is_its_terms():
    # ℓ = w · x: |g ⊙ w| = |x ⊙ w|.
    net = nn.Linear(3, 1, bias=False)
    x = torch.tensor([[1.0, -2.0, 3.0]])
    scores = taylor(
        net, [{"input": x, "labels": torch.tensor([0])}], loss_function=lambda logits, labels: logits.sum()
    )
    torch.testing.assert_close(scores["weight"], (x * net.weight.detach()).abs())


def test_saliency_is_the_magnitude_of_the_gradient_over_all_examples(net, batches_of):
    batches = batches_of(5, 2)
    whole = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    expected = by_backward(net, F.cross_entropy(net(whole["input"]), whole["labels"]))
    assert_scores(saliency(net, batches), {name: gradient.abs() for name, gradient in expected.items()})


def test_saliency_does_not_depend_on_the_cut_into_batches(net, batches_of):
    (whole,) = batches_of(7)
    cut = [{name: column[part] for name, column in whole.items()} for part in (slice(0, 6), slice(6, 7))]
    assert_scores(saliency(net, cut), saliency(net, [whole]))


@pytest.mark.parametrize("examples_at_once", [1, 2, 10])
def test_mas_sensitivity_is_the_mean_over_examples_of_each_gradients_magnitude(net, batches_of, examples_at_once):
    batches = batches_of(5, 3)
    expected = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for x, _ in rows(batches):
        for name, gradient in by_backward(net, net(x).square().sum()).items():
            expected[name] += gradient.abs() / 8
    assert_scores(mas_sensitivity(net, batches, examples_at_once=examples_at_once), expected)


def test_mas_sensitivity_in_closed_form_for_a_linear_layer():
    # ‖Wx‖²: |∂/∂W| = 2 |Wx| |x|ᵀ.
    net = nn.Linear(3, 2, bias=False).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    logits = x @ net.weight.detach().t()
    expected = (2 * logits.abs()[:, :, None] * x.abs()[:, None, :]).mean(dim=0)
    scores = mas_sensitivity(net, [{"input": x, "labels": torch.zeros(6, dtype=torch.long)}])
    torch.testing.assert_close(scores["weight"], expected)


def test_mas_sensitivity_per_batch_lets_opposite_gradients_cancel():
    net = nn.Linear(1, 1, bias=True)
    nn.init.ones_(net.weight)
    nn.init.zeros_(net.bias)
    batch = {"input": torch.tensor([[1.0], [-1.0]]), "labels": torch.tensor([0, 0])}
    assert mas_sensitivity(net, [batch])["bias"].item() == 2.0  # |2 f(x)| for f(x) = ±1
    assert mas_sensitivity(net, [batch], per_example=False)["bias"].item() == 0.0


def test_mas_sensitivity_per_batch_weighs_batches_by_size(net, batches_of):
    batches = batches_of(5, 1)
    expected = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for batch in batches:
        n = len(batch["labels"])
        for name, gradient in by_backward(net, net(batch["input"]).square().sum() / n).items():
            expected[name] += gradient.abs() * n / 6
    assert_scores(mas_sensitivity(net, batches, per_example=False), expected)


@pytest.mark.parametrize("examples_at_once", [1, 3])
def test_the_empirical_fisher_squares_each_examples_gradient(net, batches_of, examples_at_once):
    batches = batches_of(4, 3)
    expected = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for x, y in rows(batches):
        for name, gradient in by_backward(net, F.cross_entropy(net(x), y)).items():
            expected[name] += gradient.square() / 7
    assert_scores(fisher(net, batches, examples_at_once=examples_at_once), expected)


@pytest.mark.parametrize("examples_at_once", [1, 4])
def test_the_exact_fisher_is_the_expectation_over_the_models_own_classes(net, batches_of, examples_at_once):
    batches = batches_of(4)
    expected = {name: torch.zeros_like(parameter) for name, parameter in net.named_parameters()}
    for x, _ in rows(batches):
        p = net(x).softmax(-1).detach()[0]
        for label in range(3):
            for name, gradient in by_backward(net, -net(x).log_softmax(-1)[0, label]).items():
                expected[name] += p[label] * gradient.square() / 4
    assert_scores(fisher(net, batches, empirical=False, examples_at_once=examples_at_once), expected)


def test_the_exact_fisher_of_logits_is_p_times_one_minus_p():
    # For softmax regression the diagonal at bias c is p_c (1 − p_c), whatever the labels.
    net = nn.Linear(2, 3).double()
    x = torch.randn(5, 2, dtype=torch.float64)
    p = net(x).softmax(-1).detach()
    for labels in (torch.zeros(5, dtype=torch.long), torch.ones(5, dtype=torch.long)):
        scores = fisher(net, [{"input": x, "labels": labels}], empirical=False)
        torch.testing.assert_close(scores["bias"], (p * (1 - p)).mean(dim=0))


def test_the_square_of_a_batchs_gradient_is_no_fisher(net, batches_of):
    # The shortcut some codes take is smaller by far.
    (batch,) = batches_of(64)
    of_the_batch = by_backward(net, F.cross_entropy(net(batch["input"]), batch["labels"]))["2.weight"].square()
    assert fisher(net, [batch])["2.weight"].sum() > 5 * of_the_batch.sum()


def tiny_bert():
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = AutoModelForSequenceClassification.from_config(
        BertConfig(vocab_size=11, num_labels=2, pad_token_id=0, **sizes)
    )
    tokens = torch.tensor([[3, 4, 5, 0], [6, 7, 0, 0], [8, 9, 10, 3]])
    return model, {"input_ids": tokens, "labels": torch.tensor([0, 1, 1])}


def tiny_vit():
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    model = ViTForImageClassification(ViTConfig(image_size=8, patch_size=4, num_labels=3, **sizes))
    return model, {"pixel_values": torch.randn(3, 3, 8, 8), "labels": torch.tensor([0, 1, 2])}


@pytest.mark.parametrize("make", [tiny_bert, tiny_vit])
@pytest.mark.parametrize("score", [mas_sensitivity, fisher])
def test_trap_22_vmap_equals_the_loop_for_transformers_models(make, score):
    torch.manual_seed(0)
    model, batch = make()
    loop, together = score(model, [batch]), score(model, [batch], examples_at_once=3)
    for name, scores in loop.items():
        torch.testing.assert_close(together[name], scores, rtol=1e-4, atol=1e-8)


def test_trap_22_a_model_that_vmap_cannot_run_is_refused_with_the_way_out():
    model, batch = tiny_bert()
    padded = {**batch, "attention_mask": (batch["input_ids"] > 0).long()}
    assert fisher(model, [padded])
    # The model asks of the mask whether there is any padding at all.
    with pytest.raises(InputError, match=r"examples_at_once is 2, and BertForSequenceClassification .*pass 1"):
        fisher(model, [padded], examples_at_once=2)


def test_a_weight_the_loss_does_not_use_scores_zero():
    net = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})
    net.forward = lambda input: net["used"](input)
    batch = {"input": torch.randn(3, 2), "labels": torch.tensor([0, 1, 1])}
    for score in (taylor, saliency, mas_sensitivity, fisher):
        found = score(net, [batch])
        assert not found["unused.weight"].any()
        assert found["used.weight"].any()


def test_tied_weights_score_the_sum_of_both_uses():
    net = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)).double()
    net[1].weight = net[0].weight
    x, y = torch.randn(4, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    expected = by_backward(net, F.cross_entropy(net(x), y))["0.weight"].abs()
    assert_scores(saliency(net, [{"input": x, "labels": y}], parameters=["1.weight"]), {"0.weight": expected})
    one, three = (mas_sensitivity(net, [{"input": x, "labels": y}], examples_at_once=n) for n in (1, 3))
    assert_scores(three, one)


def test_bfloat16_weights_are_scored_in_float32(batches_of):
    # In bfloat16 a sum of equal terms stops growing at 256.
    net = nn.Linear(1, 1, bias=False).bfloat16()
    nn.init.ones_(net.weight)
    batch = {"input": torch.ones(1, 1).bfloat16(), "labels": torch.tensor([0])}
    score = taylor(net, [batch] * 400, loss_function=lambda logits, labels: logits.sum())["weight"]
    assert score.dtype == torch.float32
    assert score.item() == 400.0


class Busy(nn.Module):
    """Dropout, batch statistics, a frozen weight, a module left in another mode, and gradients of an earlier step."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)
        self.drop = nn.Dropout(0.5)
        self.last = nn.Linear(6, 3)

    def forward(self, input):
        return {"logits": self.last(self.drop(self.norm(self.first(input))))}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("score", [taylor, saliency])
def test_the_model_leaves_as_it_came(score, training):
    torch.manual_seed(0)
    net = Busy().train()
    net.drop.eval()
    net.first.weight.requires_grad_(False)
    net.last.weight.grad = torch.full_like(net.last.weight, 7.0)
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    batches = [{"input": torch.randn(8, 4), "labels": torch.randint(0, 3, (8,))}]
    with torch.no_grad():  # a caller's no_grad does not turn the scores to nothing
        found = score(net, batches, parameters=["first.weight", "last.weight"], training=training)
    assert found["first.weight"].any()
    assert (net.training, net.drop.training, net.norm.training) == (True, False, True)
    assert not net.first.weight.requires_grad
    assert net.last.bias.requires_grad
    assert net.first.weight.grad is None
    assert net.last.bias.grad is None
    assert (net.last.weight.grad == 7).all()
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_the_model_leaves_as_it_came_after_an_error_too():
    net = Busy().train()
    batches = [{"input": torch.randn(2, 4), "labels": torch.tensor([0, 1])}]
    with pytest.raises(KeyError, match="boom"):
        taylor(net, batches, loss_function=lambda *_: {}["boom"])
    assert net.training


def test_dropout_is_off_unless_training_is_asked_for():
    torch.manual_seed(0)
    net = Busy().train()
    batches = [{"input": torch.randn(8, 4), "labels": torch.randint(0, 3, (8,))}]
    first, again = taylor(net, batches), taylor(net, batches)
    assert torch.equal(first["last.weight"], again["last.weight"])
    trained, again = taylor(net, batches, training=True), taylor(net, batches, training=True)
    assert not torch.equal(trained["last.weight"], again["last.weight"])


def test_magnitude_is_the_absolute_value_and_shares_no_memory(net):
    scores = magnitude(net, parameters=["0.weight"])
    assert torch.equal(scores["0.weight"], net[0].weight.detach().abs())
    scores["0.weight"].zero_()
    assert net[0].weight.any()


def test_random_scores_select_every_weight_equally_often():
    net = nn.Linear(10, 10, bias=False)
    generator = torch.Generator().manual_seed(0)
    counts = sum(select(random(net, generator=generator), count=20)["weight"].double() for _ in range(500))
    # 500 draws at 0.2: mean 100, standard deviation 8.9; 5 of these hold for all hundred weights.
    assert (counts - 100).abs().max() < 45
    assert counts.sum() == 10_000


@pytest.mark.parametrize("score", [taylor, saliency, mas_sensitivity, fisher])
def test_bad_input_is_refused(score, net, batches_of):
    batches = batches_of(3)
    with pytest.raises(InputError, match="none of that name"):
        score(net, batches, parameters=["9.weight"])
    with pytest.raises(InputError, match="parameters is empty"):
        score(net, batches, parameters=[])
    with pytest.raises(InputError, match="parameters is '0"):
        score(net, batches, parameters="0.weight")
    with pytest.raises(InputError, match="batches is empty"):
        score(net, [])
    with pytest.raises(InputError, match="'labels'"):
        score(net, [{"input": batches[0]["input"]}])
    with pytest.raises(InputError, match="no trainable parameters"):
        score(net.requires_grad_(False), batches)


def test_bad_options_are_refused(net, batches_of):
    with pytest.raises(InputError, match="examples_at_once"):
        fisher(net, batches_of(2), examples_at_once=0)
    with pytest.raises(InputError, match="leave it out"):
        fisher(net, batches_of(2), empirical=False, loss_function=lambda logits, labels: logits.sum())
    with pytest.raises(InputError, match="depends on none"):
        saliency(net, batches_of(2), loss_function=lambda logits, labels: torch.tensor(1.0))
