"""Clipped sums of per-example gradients against a loop over examples."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    LlamaConfig,
    ViTConfig,
    ViTForImageClassification,
)

from hf_privacy import said_once
from hf_privacy.defenses.dp import functional, per_sample_gradients
from hf_privacy.defenses.dp.per_sample_gradients import (
    check_private,
    clipped_gradients,
    clipped_sum_by_loop,
)
from hf_privacy.errors import InputError
from hf_privacy.models import load_model, load_saved_model

opacus = pytest.importorskip("opacus")


def cross_entropies(call, batch):
    outputs = call(**{name: values for name, values in batch.items() if name != "labels"})
    return F.cross_entropy(outputs["logits"], batch["labels"], reduction="none")


def assert_equal_to_a_loop(found, expected, *, n=5):
    gradients, losses = found
    for gradient, total in zip(gradients, expected, strict=True):
        if gradient is None:
            assert not total.any()
        else:
            torch.testing.assert_close(gradient, total, rtol=2e-4, atol=1e-6)
    assert losses.shape == (n,)


NAMES = ("tabular", "vit", "bert", "roberta", "distilbert", "timm", "convnext")
WAYS = [(way, name) for way in ("bookkeeping", "functional") for name in NAMES]
WAYS += [(way, name) for way in ("hooks", "ghost") for name in ("tabular", "vit", "timm")]


@pytest.mark.parametrize("max_norm", [0.1, 100.0])
@pytest.mark.parametrize(("way", "name"), WAYS)
def test_the_clipped_sum_is_that_of_a_loop(way, name, max_norm, model_of, data_of):
    model, batch = model_of(name), data_of(name, 5).__getitems__(range(5))
    expected = clipped_sum_by_loop(model, batch, max_norm=max_norm, losses=cross_entropies)
    with clipped_gradients(model, way, max_norm=max_norm, losses=cross_entropies) as clipped_sum:
        assert_equal_to_a_loop(clipped_sum(batch), expected)
        # And again: nothing of the first pass is left.
        assert_equal_to_a_loop(clipped_sum(batch), expected)


def test_the_loop_clips_each_example_by_its_whole_norm(model_of, data_of):
    model, batch = model_of("tabular"), data_of("tabular", 3).__getitems__(range(3))
    total = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for row in range(3):
        model.zero_grad()
        logits = model(features=batch["features"][row : row + 1]).logits
        F.cross_entropy(logits, batch["labels"][row : row + 1]).backward()
        norm = sum((p.grad**2).sum() for p in model.parameters()) ** 0.5
        for t, p in zip(total, model.parameters(), strict=True):
            t += p.grad * torch.clamp(0.2 / norm, max=1.0)
    for ours, theirs in zip(
        clipped_sum_by_loop(model, batch, max_norm=0.2, losses=cross_entropies), total, strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_examples_are_taken_in_chunks_without_a_difference(model_of, data_of, monkeypatch):
    model, batch = model_of("tabular"), data_of("tabular", 7).__getitems__(range(7))
    with clipped_gradients(model, "functional", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        whole = clipped_sum(batch)
        monkeypatch.setattr(functional, "_CPU_BYTES", 1)  # one example at a time
        single = clipped_sum(batch)
    for a, b in zip(whole[0], single[0], strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(whole[1], single[1])


def test_an_adapters_clipped_sum_is_that_of_a_loop(lora_model_of, data_of):
    model, batch = lora_model_of("bert").eval(), data_of("bert", 5).__getitems__(range(5))
    expected = clipped_sum_by_loop(model, batch, max_norm=0.5, losses=cross_entropies)
    assert any(total.any() for total in expected)
    with clipped_gradients(model, "functional", max_norm=0.5, losses=cross_entropies) as clipped_sum:
        assert_equal_to_a_loop(clipped_sum(batch), expected)


@pytest.mark.parametrize("way", ["hooks", "ghost"])
@pytest.mark.parametrize("name", ["bert", "convnext"])
def test_where_opacuss_hooks_go_wrong_they_are_refused(name, way, model_of, data_of):
    # BERT's position embeddings get one gradient for the whole batch; ConvNeXt's come out wrong without a word.
    model, batch = model_of(name), data_of(name, 5).__getitems__(range(5))
    with (
        pytest.raises(InputError, match=rf"per_sample_gradients '{way}' cannot follow this model .*'functional'"),
        clipped_gradients(model, way, max_norm=1.0, losses=cross_entropies) as clipped_sum,
    ):
        clipped_sum.check(batch)


def test_where_torch_func_computes_something_else_it_is_refused(data_of, monkeypatch):
    # From the second layer on, a causal model must not see what comes later; the open mask alone lets it.
    config = LlamaConfig(
        vocab_size=20, pad_token_id=0, num_labels=3, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=16, max_position_embeddings=16, initializer_range=1.0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_config(config)
    batch = data_of("llama", 4).__getitems__(range(4))
    with clipped_gradients(model, "functional", max_norm=1.0, losses=cross_entropies) as clipped_sum:
        clipped_sum.check(batch)
        monkeypatch.setattr(per_sample_gradients, "MASKS", ("open",))
        with pytest.raises(InputError, match="not those of one example at a time"):
            clipped_gradients(model, "functional", max_norm=1.0, losses=cross_entropies).__enter__().check(batch)


_SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 16}
_FOLLOWED = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 16},
    "opt": {**_SIZES, "ffn_dim": 16, "word_embed_proj_dim": 16},
    "gpt_neox": {**_SIZES, "intermediate_size": 16},
    "qwen2": {**_SIZES, "intermediate_size": 16, "num_key_value_heads": 2},
}
_BY_LOOP = {
    "bart": {
        "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 16,
    },
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0},
}  # fmt: skip


def _of_type(name: str, sizes: dict) -> torch.nn.Module:
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, vocab_size=20, pad_token_id=0, eos_token_id=2, num_labels=3, **sizes)
    return AutoModelForSequenceClassification.from_config(config)


def _short_and_long() -> dict[str, torch.Tensor]:
    """Texts of 3 and of 8 tokens, each with 2 as its last."""
    ids = torch.tensor([[5, 6, 2, 0, 0, 0, 0, 0], [7, 8, 9, 10, 11, 12, 13, 2]])
    return {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": torch.tensor([0, 1])}


@pytest.mark.parametrize("name", _FOLLOWED)
def test_decoders_give_each_text_the_gradient_it_has_alone_and_unpadded(name):
    model, batch = _of_type(name, _FOLLOWED[name]), _short_and_long()
    with clipped_gradients(model, "functional", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        clipped_sum.check(batch)
        model.eval()
        found = clipped_sum(batch)
    for row, length in enumerate((3, 8)):
        alone = {key: values[row : row + 1, :length] if values.ndim == 2 else values[row : row + 1]
                 for key, values in batch.items()}  # fmt: skip
        torch.testing.assert_close(found[1][row : row + 1], cross_entropies(model, alone), rtol=1e-4, atol=1e-6)
    assert_equal_to_a_loop(found, clipped_sum_by_loop(model, batch, max_norm=0.1, losses=cross_entropies), n=2)


@pytest.mark.parametrize("name", _BY_LOOP)
def test_what_no_other_way_follows_names_the_loop_and_the_loop_does(name):
    model, batch = _of_type(name, _BY_LOOP[name]), _short_and_long()
    for way in ("functional", "hooks", "ghost"):
        with (
            pytest.raises(InputError, match="or to 'loop', which is slow and follows every model"),
            clipped_gradients(model, way, max_norm=0.1, losses=cross_entropies) as clipped_sum,
        ):
            clipped_sum.check(batch)
    with clipped_gradients(model.eval(), "loop", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        clipped_sum.check(batch)
        found = clipped_sum(batch)
    assert_equal_to_a_loop(found, clipped_sum_by_loop(model, batch, max_norm=0.1, losses=cross_entropies), n=2)
    assert sum(float(gradient.norm()) ** 2 for gradient in found[0]) ** 0.5 <= 2 * 0.1


def test_the_loop_goes_through_gradient_checkpointing_and_leaves_gradients_alone():
    model, batch = _of_type("qwen2", _FOLLOWED["qwen2"]), _short_and_long()
    expected = clipped_sum_by_loop(model, batch, max_norm=0.1, losses=cross_entropies)
    model.gradient_checkpointing_enable()
    model.train()
    with clipped_gradients(model, "loop", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        found = clipped_sum(batch)
    assert_equal_to_a_loop(found, expected, n=2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_pad_token_the_model_does_not_name_is_found_by_the_check():
    """By vmap each text is a batch of one, which GPT-2 answers at its last place, padding or not."""
    model, batch = _of_type("gpt2", _FOLLOWED["gpt2"]), _short_and_long()
    model.config.pad_token_id = None
    with (
        pytest.raises(InputError, match="not those of one example at a time"),
        clipped_gradients(model, "functional", max_norm=0.1, losses=cross_entropies) as clipped_sum,
    ):
        clipped_sum.check(batch)


def test_the_check_lets_a_right_way_pass_and_leaves_the_modes_alone(model_of, data_of):
    model, batch = model_of("vit").train(), data_of("vit", 5).__getitems__(range(5))
    for way in ("functional", "hooks", "ghost"):
        with clipped_gradients(model, way, max_norm=0.1, losses=cross_entropies) as clipped_sum:
            clipped_sum.check(batch)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("way", ["auto", "functional"])
def test_what_a_layer_draws_in_training_is_drawn_once(way):
    """ViT's embeddings own weights and hold dropout: what a row lost goes for its gradient too."""
    model = ViTForImageClassification(
        ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=8,
            patch_size=4, num_channels=1, num_labels=3, hidden_dropout_prob=0.5,
        )
    ).train()  # fmt: skip
    batch = {"pixel_values": torch.randn(1, 1, 8, 8), "labels": torch.tensor([1])}
    with clipped_gradients(model, way, max_norm=1e6, losses=cross_entropies) as clipped_sum:
        clipped_sum.check(batch)
        assert clipped_sum.way == ("bookkeeping" if way == "auto" else way)
        for parameter in model.parameters():
            parameter.grad = None
        torch.manual_seed(5)
        found, _ = clipped_sum(batch)
    if way == "auto":  # vmap draws in another order
        torch.manual_seed(5)
        cross_entropies(model, batch).sum().backward()
        for parameter, gradient in zip(model.parameters(), found, strict=True):
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-6)


def test_what_does_not_follow_is_said_once_with_what_is_taken(model_of, data_of, monkeypatch):
    """A model with a weight that is used in a way of its own."""
    model, batch = model_of("tabular"), data_of("tabular", 4).__getitems__(range(4))
    torch.nn.utils.parametrizations.weight_norm(next(m for m in model.modules() if isinstance(m, torch.nn.Linear)))
    monkeypatch.setattr(said_once, "_SAID", set())
    with clipped_gradients(model, "auto", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        with pytest.warns(UserWarning, match=r"'auto' takes 'functional', which is slower: .*a weight is used in"):
            clipped_sum.check(batch)
        found = clipped_sum(batch)
    assert_equal_to_a_loop(found, clipped_sum_by_loop(model, batch, max_norm=0.1, losses=cross_entropies), n=4)
    with (
        warnings.catch_warnings(),
        clipped_gradients(model, "auto", max_norm=0.1, losses=cross_entropies) as clipped_sum,
    ):
        warnings.simplefilter("error")  # the next training of this process says it no more
        clipped_sum.check(batch)
        assert clipped_sum.way == "functional"


def test_what_a_weight_of_zeros_hides_is_found_by_the_check(data_of, monkeypatch):
    """A block that begins with nothing, as adapters do: what is before its last weight has no gradient yet."""

    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3, bias=False)
            torch.nn.init.zeros_(self.last.weight)

        def forward(self, features):
            return {"logits": self.last(torch.tanh(self.first(features)))}

    model, batch = Block(), data_of("tabular", 4).__getitems__(range(4))
    right = per_sample_gradients.clipped_sum_by_bookkeeping

    def without_the_first(*arguments):
        gradients, losses = right(*arguments)
        return [torch.zeros_like(gradient) for gradient in gradients[:2]] + gradients[2:], losses

    before = {name: values.clone() for name, values in model.state_dict().items()}
    monkeypatch.setattr(per_sample_gradients, "clipped_sum_by_bookkeeping", without_the_first)
    with clipped_gradients(model, "bookkeeping", max_norm=100.0, losses=cross_entropies) as clipped_sum:
        assert not any(gradient.any() for gradient in clipped_sum(batch)[0][:2])
        with pytest.raises(InputError, match="not those of one example at a time"):
            clipped_sum.check(batch)
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


class OnceForAll(torch.nn.Module):
    """What is looked up once for all rows comes out once a row, of which the first is taken."""

    def __init__(self):
        super().__init__()
        self.places, self.head = torch.nn.Embedding(4, 4), torch.nn.Linear(4, 3)

    def forward(self, features):
        place = self.places(torch.arange(4)[None])[0].mean(dim=0)
        return {"logits": self.head(torch.tanh(features + place))}


def test_what_is_taken_for_another_rows_is_found_where_nothing_is_clipped_yet(data_of):
    """Without clipping the sum is right all the same; later on, gradients grow."""
    model, batch = OnceForAll(), data_of("tabular", 4).__getitems__(range(4))
    with clipped_gradients(model, "bookkeeping", max_norm=100.0, losses=cross_entropies) as clipped_sum:
        assert_equal_to_a_loop(
            clipped_sum(batch), clipped_sum_by_loop(model, batch, max_norm=100.0, losses=cross_entropies), n=4
        )
        with pytest.raises(InputError, match="not those of one example at a time"):
            clipped_sum.check(batch)
        assert clipped_sum.max_norm == 100.0


def test_what_mixes_rows_in_training_alone_is_found(data_of):
    class Normal(torch.nn.Module):
        def forward(self, values):
            return F.batch_norm(values, torch.zeros(4), torch.ones(4), training=self.training)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.normal, self.head = Normal(), torch.nn.Linear(4, 3)

        def forward(self, features):
            return {"logits": self.head(self.normal(features))}

    model, batch = Model().train(), data_of("tabular", 4).__getitems__(range(4))
    with (
        pytest.raises(InputError, match="in training the loss of one example moves with its batch-mates"),
        clipped_gradients(model, "bookkeeping", max_norm=1.0, losses=cross_entropies) as clipped_sum,
    ):
        clipped_sum.check(batch)


def test_timms_blocks_in_place_are_followed():
    settings = {"task": "image-classification", "num_labels": 3, "from_scratch": True}
    sizes = {"norm_layer": "groupnorm1", "channels": [8, 8, 8, 8], "stem_width": 8}
    model = load_model("timm:resnet10t", model_kwargs=sizes, **settings)
    batch = {"pixel_values": torch.randn(5, 3, 32, 32), "labels": torch.arange(5) % 3}
    expected = clipped_sum_by_loop(model, batch, max_norm=0.1, losses=cross_entropies)
    with clipped_gradients(model, "auto", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        clipped_sum.check(batch)
        assert clipped_sum.way == "bookkeeping"
        assert_equal_to_a_loop(clipped_sum(batch), expected)


def test_auto_ends_in_a_way_that_does_for_every_batch(model_of, data_of, monkeypatch):
    """What fails on one batch is not left for what was never held against the other."""
    model, rows = model_of("tabular"), data_of("tabular", 5)
    right = per_sample_gradients.clipped_sum_by_vmap

    def only(n):
        def found(model, batch, *others, **named):
            if len(batch["labels"]) != n:
                raise ValueError("not this one")
            return right(model, batch, *others, **named)

        return found

    by_bookkeeping = only(3)
    monkeypatch.setattr(per_sample_gradients, "clipped_sum_by_vmap", only(2))
    monkeypatch.setattr(
        per_sample_gradients,
        "clipped_sum_by_bookkeeping",
        lambda model, losses_of, factors_of, n_rows, units: by_bookkeeping(
            model, rows.__getitems__(range(len(losses_of()))), 0.1, cross_entropies, units, mask="none"
        ),
    )
    with clipped_gradients(model, "auto", max_norm=0.1, losses=cross_entropies) as clipped_sum:
        clipped_sum.check(rows.__getitems__(range(3)), rows.__getitems__(range(2)))
    assert clipped_sum.way == "loop"


def test_the_attention_is_what_it_was_afterwards(model_of, data_of):
    model, batch = model_of("bert"), data_of("bert", 2).__getitems__(range(2))
    before = model.config._attn_implementation
    with clipped_gradients(model, "functional", max_norm=1.0, losses=cross_entropies) as clipped_sum:
        clipped_sum(batch)
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("way", ["functional", "hooks", "ghost"])
def test_one_example_alone_never_exceeds_the_bound(way, model_of, data_of):
    model, data = model_of("tabular"), data_of("tabular", 6)
    with clipped_gradients(model, way, max_norm=0.01, losses=cross_entropies) as clipped_sum:
        for row in range(6):
            gradients, _ = clipped_sum(data.__getitems__([row]))
            assert torch.stack([gradient.norm() for gradient in gradients]).norm() <= 0.01


@pytest.mark.parametrize("way", ["hooks", "ghost"])
def test_the_hooks_leave_the_model_as_it_was(way, model_of, data_of):
    model = model_of("tabular")
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    with clipped_gradients(model, way, max_norm=1.0, losses=cross_entropies) as clipped_sum:
        clipped_sum(data_of("tabular", 3).__getitems__(range(3)))
    for name, module in model.named_modules():
        assert set(vars(module)) - before[name] <= {"activations"}
        assert not module._forward_hooks
    assert all(parameter.grad is None for parameter in model.parameters())


def test_batch_norm_is_refused_with_the_reason_and_the_way_out(model_of):
    with pytest.raises(InputError, match=r"normalises an example by its batch-mates.*norm_layer: groupnorm1"):
        check_private(model_of("resnet"))


def test_the_way_out_trains_and_reloads(tmp_path):
    settings = {"task": "image-classification", "num_labels": 3, "from_scratch": True}
    with pytest.raises(InputError, match="GroupNorm"):  # timm's own class, no nn.BatchNorm2d by name
        check_private(load_model("timm:resnet10t", **settings))
    model = load_model("timm:resnet10t", model_kwargs={"norm_layer": "groupnorm1"}, **settings)
    check_private(model)
    model.save_pretrained(tmp_path)
    saved = load_saved_model(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), saved.parameters(), strict=True))


def test_a_model_without_trainable_weights_is_refused(model_of):
    model = model_of("tabular")
    model.requires_grad_(False)
    with pytest.raises(InputError, match="no trainable weights"):
        check_private(model)
