"""label_only_correct: the views themselves, and answers that depend on the example alone."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from hf_privacy.data import TensorDataset
from hf_privacy.errors import InputError
from hf_privacy.models import TabularMLPConfig, TabularMLPForClassification
from hf_privacy.signals import augmented_queries, compute_signals, label_only_correct
from hf_privacy.signals.queries import AddNoise, FlipBits, HideTokens, Rotate, Translate

CLS, SEP, MASK = 2, 3, 4


class ImageClassifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = torch.nn.Linear(36, 3)
        self.dropout = torch.nn.Dropout(0.5)
        self.inputs: list[torch.Tensor] = []

    def forward(self, pixel_values):
        self.inputs.append(pixel_values.clone())
        return SimpleNamespace(logits=self.linear(self.dropout(pixel_values.flatten(1))))


def images(n_examples: int = 23) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(n_examples, 1, 6, 6, generator=generator)
    return TensorDataset({"pixel_values": pixels, "labels": torch.arange(n_examples) % 3})


def texts(n_examples: int = 17) -> TensorDataset:
    """[CLS] words [SEP], of different lengths, padded on the right."""
    generator = np.random.default_rng(0)
    tokens = np.zeros((n_examples, 14), dtype=np.int64)
    for row, length in enumerate(generator.integers(4, 15, n_examples)):
        tokens[row, :length] = [CLS, *generator.integers(5, 40, length - 2), SEP]
    ids = torch.from_numpy(tokens)
    columns = {"input_ids": ids, "attention_mask": (ids > 0).long()}
    labels = torch.from_numpy(generator.integers(0, 3, n_examples))
    return TensorDataset({**columns, "labels": labels}, padding_side="right", sequence_columns=list(columns))


def bits(n_examples: int = 19) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    features = torch.randint(2, (n_examples, 30), generator=generator).float()
    return TensorDataset({"features": features, "labels": torch.arange(n_examples) % 3})


def reals(n_examples: int = 19) -> TensorDataset:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(n_examples, 30, generator=generator)
    return TensorDataset({"features": features, "labels": torch.arange(n_examples) % 3})


def table_model() -> TabularMLPForClassification:
    torch.manual_seed(0)
    return TabularMLPForClassification(TabularMLPConfig(input_size=30, hidden_sizes=[8], num_labels=3, dropout=0.5))


def text_model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    # weights large enough that the predicted class depends on the words
    return BertForSequenceClassification(BertConfig(vocab_size=40, num_labels=3, initializer_range=0.5, **size))


TOKENIZER = SimpleNamespace(mask_token_id=MASK, all_special_ids=[0, CLS, SEP, MASK])
CASES = {
    "images": (ImageClassifier, images, None),
    "texts": (text_model, texts, None),
    "masked texts": (text_model, texts, TOKENIZER),
    "bits": (table_model, bits, None),
    "reals": (table_model, reals, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_identity_comes_first_and_is_the_signal_correct(case):
    build, data, tokenizer = CASES[case]
    model, dataset = build(), data()
    correct = label_only_correct(model, dataset, tokenizer=tokenizer)
    assert correct.dtype == np.float64
    assert correct.shape == (len(augmented_queries(dataset)), len(dataset))
    assert set(np.unique(correct)) == {0.0, 1.0}
    np.testing.assert_array_equal(correct[0], compute_signals(model, dataset)["correct"][0])
    assert (correct[1:] != correct[0]).any()  # the views are not all the example itself


@pytest.mark.parametrize("case", CASES)
def test_an_answer_depends_on_its_example_alone(case):
    build, data, tokenizer = CASES[case]
    model, dataset = build(), data()
    whole = label_only_correct(model, dataset, tokenizer=tokenizer)
    order = np.random.default_rng(0).permutation(len(dataset))
    shuffled = label_only_correct(model, dataset.subset(order), tokenizer=tokenizer, batch_size=3)
    np.testing.assert_array_equal(shuffled, whole[:, order])


@pytest.mark.parametrize("case", ["texts", "bits", "reals"])
def test_the_seed_governs_random_views_and_the_callers_random_state_is_left(case):
    build, data, _ = CASES[case]
    model, dataset = build(), data()
    state = torch.get_rng_state()
    first, again, other = (label_only_correct(model, dataset, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_model_runs_in_evaluation_mode_and_gets_its_modes_back():
    model, dataset = ImageClassifier().train(), images()
    model.linear.eval()
    np.testing.assert_array_equal(label_only_correct(model, dataset), label_only_correct(model, dataset))
    assert (model.training, model.dropout.training, model.linear.training) == (True, True, False)
    assert model.linear.weight.grad is None


@pytest.mark.parametrize("d", [1, 2, 3])
def test_translations_by_d_pixels_are_4d_plus_1_views(d):
    queries = augmented_queries(images(), translation=d, mirrored=False)
    assert len(queries) == 4 * d + 1
    moves = {(query.down, query.right) for query in queries.values() if isinstance(query, Translate)}
    assert len(moves) == 4 * d
    assert {abs(down) + abs(right) for down, right in moves} == {d}


@pytest.mark.parametrize(("down", "right"), [(2, 0), (-1, 0), (0, 3), (0, -2), (1, -2)])
def test_a_moved_image_repeats_its_edge(down, right):
    pixels = torch.arange(30.0).reshape(1, 1, 5, 6)
    moved = Translate(down=down, right=right)({"pixel_values": pixels})["pixel_values"]
    for row in range(5):
        for column in range(6):
            source = pixels[0, 0, min(max(row - down, 0), 4), min(max(column - right, 0), 5)]
            assert moved[0, 0, row, column] == source


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_quarter_turn_is_exact_and_counter_clockwise(quarters):
    pixels = torch.randn(2, 3, 6, 6)
    turned = Rotate(90.0 * quarters)({"pixel_values": pixels})["pixel_values"]
    torch.testing.assert_close(turned, torch.rot90(pixels, quarters, dims=(2, 3)), rtol=1e-4, atol=1e-4)


def test_half_a_turn_of_an_oblong_image():
    pixels = torch.randn(1, 1, 4, 7)
    turned = Rotate(180.0)({"pixel_values": pixels})["pixel_values"]
    torch.testing.assert_close(turned, pixels.flip(2, 3), rtol=1e-4, atol=1e-4)


def test_the_views_reach_the_model_and_the_training_augmentation_does_not():
    model, dataset = ImageClassifier(), images(5)
    queries = {"right": Translate(down=0, right=1), "mirror": augmented_queries(dataset)["flip"]}
    label_only_correct(model, dataset.with_augmentation(lambda pixels: pixels * 0), queries=queries)
    pixels = dataset.column("pixel_values")
    torch.testing.assert_close(model.inputs[0][..., 1:], pixels[..., :-1])
    torch.testing.assert_close(model.inputs[1], pixels.flip(-1))


def test_hidden_tokens_are_masked_or_withheld_from_attention_and_ends_and_special_ones_stay():
    inputs = texts().__getitems__(range(17))
    inputs.pop("labels")
    withheld = HideTokens(rate=0.9)(inputs)
    masked = HideTokens(rate=0.9, mask_token=MASK, kept_tokens=frozenset({7}))(inputs)
    assert torch.equal(withheld["input_ids"], inputs["input_ids"])
    assert torch.equal(masked["attention_mask"], inputs["attention_mask"])
    hidden = (withheld["attention_mask"] == 0) & (inputs["attention_mask"] == 1)
    assert 0.75 < hidden.sum() / (inputs["attention_mask"].sum() - 2 * 17) <= 1.0
    for row in range(17):
        last = int(inputs["attention_mask"][row].sum()) - 1
        assert withheld["attention_mask"][row, [0, last]].tolist() == [1, 1]
    changed = masked["input_ids"] != inputs["input_ids"]
    assert (masked["input_ids"][changed] == MASK).all()
    assert torch.equal(changed, hidden & (inputs["input_ids"] != 7))


def test_a_larger_rate_of_the_same_draw_hides_more_of_the_same():
    inputs = texts().__getitems__(range(17))
    few, many = (HideTokens(rate=rate)(inputs)["attention_mask"] for rate in (0.2, 0.6))
    assert (many <= few).all()
    assert (many < few).any()


def test_padding_on_the_left_changes_nothing_of_what_is_hidden():
    inputs = texts().__getitems__(range(17))
    right = HideTokens(rate=0.5)({name: inputs[name] for name in ("input_ids", "attention_mask")})
    lengths = inputs["attention_mask"].sum(dim=1).tolist()
    turned = {
        name: torch.stack([row.roll(14 - length) for row, length in zip(inputs[name], lengths, strict=True)])
        for name in ("input_ids", "attention_mask")
    }
    left = HideTokens(rate=0.5)(turned)
    for row, length in enumerate(lengths):
        assert torch.equal(left["attention_mask"][row, 14 - length :], right["attention_mask"][row, :length])


def test_bits_are_turned_at_the_rate_asked_for():
    features = torch.randint(2, (200, 100)).float()
    turned = FlipBits(rate=0.1)({"features": features})["features"]
    assert ((turned == 0) | (turned == 1)).all()
    assert (turned != features).float().mean().item() == pytest.approx(0.1, abs=0.01)


def test_noise_is_sized_in_standard_deviations_of_each_column():
    features = torch.randn(3000, 2) * torch.tensor([1.0, 50.0])
    queries = augmented_queries(TensorDataset({"features": features}), levels=(0.1,), draws=1)
    query = list(queries.values())[1]
    assert isinstance(query, AddNoise)
    spread = (query({"features": features})["features"] - features).std(dim=0) / features.std(dim=0)
    torch.testing.assert_close(spread, torch.tensor([0.1, 0.1]), rtol=0.05, atol=0.0)


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (images, {"translation": -1}, "translation is -1"),
        (texts, {"levels": (1.5,)}, "shares of tokens"),
        (bits, {"levels": (1.0,)}, "shares of tokens or features"),
        (reals, {"levels": (-0.1,)}, "pass positive levels"),
        (reals, {"levels": ()}, "pass positive levels"),
        (texts, {"draws": 0}, "at least one draw"),
        (texts, {"seed": -1}, "seed is -1"),
        (lambda: images(0), {}, "dataset is empty"),
        (lambda: TensorDataset({"sound": torch.zeros(2)}), {}, "must be pixel_values, input_ids or features"),
    ],
)
def test_bad_queries_are_refused(data, arguments, message):
    with pytest.raises(InputError, match=message):
        augmented_queries(data(), **arguments)


def test_bad_input_is_refused():
    model, dataset = ImageClassifier(), images()
    with pytest.raises(InputError, match="needs a labels column"):
        label_only_correct(model, TensorDataset({"pixel_values": dataset.column("pixel_values")}))
    with pytest.raises(InputError, match=r"queries is \{\}"):
        label_only_correct(model, dataset, queries={})
    with pytest.raises(InputError, match="6 × 6 pixels"):
        label_only_correct(model, dataset, queries=augmented_queries(dataset, translation=6))
    model.linear.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="diverged"):
        label_only_correct(model, dataset)
