"""The selection against a full sort."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_privacy.errors import InputError
from hf_privacy.weights import select


def by_full_sort(scores, number, *, largest=True):
    """The oracle: one stable sort of everything, in the order of tensors and entries."""
    flat = np.concatenate([tensor.double().numpy().reshape(-1) for tensor in scores.values()])
    order = np.argsort(-flat if largest else flat, kind="stable")
    chosen = np.zeros(len(flat), dtype=bool)
    chosen[order[:number]] = True
    parts = np.split(chosen, np.cumsum([tensor.numel() for tensor in scores.values()])[:-1])
    return {
        name: torch.from_numpy(part.reshape(tensor.shape))
        for (name, tensor), part in zip(scores.items(), parts, strict=True)
    }


def assert_same(masks, expected):
    assert list(masks) == list(expected)
    for name, mask in masks.items():
        assert mask.dtype == torch.bool
        assert torch.equal(mask, expected[name]), name


# Few values make ties, extreme ones reach every bit of a float.
values = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0000001, 2.0, -1.0, 1e-45, 3.4e38, -3.4e38]),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@settings(max_examples=150, deadline=None)
@given(
    tensors=st.lists(st.lists(values, min_size=0, max_size=12), min_size=1, max_size=4),
    share=st.floats(0, 1, allow_nan=False),
    largest=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_it_equals_a_full_stable_sort(tensors, share, largest, dtype):
    scores = {f"t{i}": torch.tensor(tensor, dtype=dtype) for i, tensor in enumerate(tensors)}
    size = sum(map(len, tensors))
    if size == 0:
        return
    number = max(1, round(share * size))
    assert_same(select(scores, count=number, largest=largest), by_full_sort(scores, number, largest=largest))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("fraction", [0.001, 0.05, 0.5, 0.999])
def test_many_tensors_of_any_shape_give_the_exact_number(dtype, fraction):
    generator = torch.Generator().manual_seed(0)
    shapes = [(7,), (3, 5), (2, 3, 4), (1,), (40, 50), (0,), ()]
    scores = {f"t{i}": torch.randn(shape, generator=generator).abs().to(dtype) for i, shape in enumerate(shapes * 3)}
    size = sum(tensor.numel() for tensor in scores.values())
    masks = select(scores, fraction=fraction)
    assert sum(int(mask.sum()) for mask in masks.values()) == round(fraction * size)
    assert_same(masks, by_full_sort(scores, round(fraction * size)))


@pytest.mark.parametrize("number", [1, 150, 300_000, 599_999])
def test_tensors_longer_than_a_chunk_are_cut_where_a_sort_cuts_them(number):
    # Rounded scores tie thousands of times, across chunks and tensors.
    generator = torch.Generator().manual_seed(0)
    scores = {f"t{i}": torch.rand(300_000, generator=generator).mul(100).round() for i in range(2)}
    assert_same(select(scores, count=number), by_full_sort(scores, number))


def test_ties_go_by_order_of_tensors_then_of_entries():
    scores = {"late": torch.ones(2, 2), "early": torch.ones(2)}
    masks = select(scores, count=3)
    assert masks["late"].tolist() == [[True, True], [True, False]]
    assert masks["early"].tolist() == [False, False]


def test_neighbouring_floats_are_told_apart():
    one = torch.tensor(1.0)
    scores = {"w": torch.stack([torch.nextafter(one, torch.tensor(0.0)), one, torch.nextafter(one, one + 1)])}
    assert select(scores, count=1)["w"].tolist() == [False, False, True]
    assert select(scores, count=1, largest=False)["w"].tolist() == [True, False, False]


def test_minus_zero_ties_with_zero():
    assert select({"w": torch.tensor([-0.0, 0.0])}, count=1)["w"].tolist() == [True, False]


def test_tensors_of_different_precision_are_ranked_by_value():
    scores = {"half": torch.tensor([1.0], dtype=torch.bfloat16)}
    scores["double"] = torch.tensor([1.0 + 1e-12], dtype=torch.float64)
    assert select(scores, count=1)["double"].tolist() == [True]


def test_a_transposed_tensor_is_read_in_its_own_order():
    scores = {"w": torch.tensor([[1.0, 1.0], [0.0, 2.0]]).t()}
    assert select(scores, count=2)["w"].tolist() == [[True, False], [False, True]]


def test_per_layer_each_tensor_gives_its_own_share():
    scores = {"small": torch.rand(10), "large": 100 + torch.rand(40)}
    masks = select(scores, fraction=0.2, scope="layer")
    assert {name: int(mask.sum()) for name, mask in masks.items()} == {"small": 2, "large": 8}
    for name, mask in masks.items():
        assert_same({name: mask}, by_full_sort({name: scores[name]}, int(mask.sum())))


def test_per_layer_a_tensor_too_small_for_the_share_gives_none():
    masks = select({"norm": torch.rand(4), "weight": torch.rand(1000)}, fraction=0.01, scope="layer")
    assert int(masks["norm"].sum()) == 0
    assert int(masks["weight"].sum()) == 10


def test_the_scores_are_left_as_they_were():
    scores = {"w": torch.tensor([-0.0, -3.0, 2.0])}
    before = scores["w"].view(torch.int32).clone()
    select(scores, count=2)
    assert torch.equal(scores["w"].view(torch.int32), before)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_0_1_is_refused(fraction):
    with pytest.raises(InputError, match=r"fraction is .*pass a number in \(0, 1\)"):
        select({"w": torch.rand(5)}, fraction=fraction)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(bad, largest, dtype):
    scores = {"a": torch.rand(3).to(dtype), "b": torch.tensor([1.0, bad], dtype=dtype)}
    with pytest.raises(InputError, match="1 NaN or infinite values of 5"):
        select(scores, count=1, largest=largest)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "pass exactly one"),
        ({"fraction": 0.5, "count": 1}, "pass exactly one"),
        ({"count": 0}, "at least 1"),
        ({"count": 2.0}, "at least 1"),
        ({"count": 6}, "there are 5 scores"),
        ({"count": 6, "scope": "layer"}, "5 scores in w"),
        ({"fraction": 0.01}, "which is none"),
        ({"fraction": 0.5, "scope": "model"}, "'global' or 'layer'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        select({"w": torch.rand(5)}, **arguments)


def test_no_scores_and_whole_numbers_are_refused():
    with pytest.raises(InputError, match="scores are empty"):
        select({}, count=1)
    with pytest.raises(InputError, match="floating-point"):
        select({"w": torch.arange(3)}, count=1)
