"""Balls around examples: uniform starts, projections, steepest steps."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import kstest

from hf_privacy.adversarial.ball import projected, steepest, uniform_in_ball


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_starts_in_the_cube_are_uniform_in_every_entry(generator):
    noise = uniform_in_ball(torch.zeros(2000, 3), epsilon=0.1, norm="linf", generator=generator)
    for entry in range(3):
        assert kstest((noise[:, entry] / 0.2 + 0.5).numpy(), "uniform").pvalue > 0.01


def test_starts_in_the_l2_ball_fill_volume_evenly_in_every_direction(generator):
    """A radius drawn uniformly would crowd the centre; a normal draw scaled to the edge would leave it empty."""
    noise = uniform_in_ball(torch.zeros(2000, 3), epsilon=0.5, norm="l2", generator=generator)
    assert kstest(((noise.norm(dim=1) / 0.5) ** 3).numpy(), "uniform").pvalue > 0.01
    assert kstest((noise[:, 0] / noise.norm(dim=1) / 2 + 0.5).numpy(), "uniform").pvalue > 0.01  # Archimedes


def test_entries_that_may_not_move_are_no_dimensions(generator):
    free = torch.tensor([True, False, True, True, False]).expand(2000, 5)
    noise = uniform_in_ball(torch.zeros(2000, 5), epsilon=1.0, norm="l2", free=free, generator=generator)
    assert (noise[:, [1, 4]] == 0).all()
    assert kstest((noise.norm(dim=1) ** 3).numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize(("norm", "order"), [("linf", torch.inf), ("l2", 2)])
def test_projection_is_the_nearest_point_of_the_ball(norm, order, generator):
    differences = torch.randn(50, 4, generator=generator)
    near = projected(differences, epsilon=0.7, norm=norm)
    assert (near.norm(p=order, dim=1) <= 0.7 + 1e-6).all()
    inside = differences.norm(p=order, dim=1) <= 0.7
    assert torch.equal(near[inside], differences[inside])
    others = uniform_in_ball(differences, epsilon=0.7, norm=norm, generator=generator)
    assert ((differences - near).norm(dim=1) <= (differences - others).norm(dim=1) + 1e-6).all()


@pytest.mark.parametrize(("norm", "order"), [("linf", torch.inf), ("l2", 2)])
def test_the_steepest_step_has_norm_one_and_rises_by_the_dual_norm(norm, order, generator):
    gradient = torch.randn(20, 3, 2, generator=generator)
    step = steepest(gradient, norm=norm)
    torch.testing.assert_close(step.flatten(1).norm(p=order, dim=1), torch.ones(20))
    dual = gradient.flatten(1).norm(p=1 if norm == "linf" else 2, dim=1)
    torch.testing.assert_close((gradient * step).flatten(1).sum(dim=1), dual)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_zero_gradient_makes_no_step(norm):
    assert (steepest(torch.zeros(2, 3), norm=norm) == 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_is_not_taken_for_none(norm, value):
    assert steepest(torch.tensor([[value, 1.0]]), norm=norm).isnan().any()


def test_a_gradient_whose_square_underflows_still_has_a_direction():
    step = steepest(torch.tensor([[3e-38, 4e-38]]), norm="l2")
    torch.testing.assert_close(step, torch.tensor([[0.6, 0.8]]), rtol=1e-4, atol=0)
