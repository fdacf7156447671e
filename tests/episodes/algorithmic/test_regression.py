"""Regression: how functions are drawn, and which tasks are refused."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.stats import kstest

from data import InputError
from episodes import Regression, TaskEpisode, TaskEpisodes, exact_posterior
from episodes.algorithmic.regression import covariance_factor, kernel
from tests.episodes.algorithmic.gaussian_process import about, every_dimension, seeds, slow_kernel, tasks


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 40), st.floats(1e-3, 1e3), seeds)
def test_the_kernel_is_that_of_a_slow_loop(
    dimensions: int, batch: int, time: int, length_scale: float, seed: int
) -> None:
    points = TaskEpisodes(Regression(dimensions, time), batch, seed)(0).inputs[..., :-1].transpose(0, 1)
    covariance = kernel(points, length_scale)
    assert (covariance.dtype, covariance.shape) == (torch.float64, (batch, time, time))
    for number in range(min(batch, 2)):
        sequence = points[number].double().numpy()
        expected = slow_kernel(sequence, sequence, length_scale)
        numpy.testing.assert_allclose(covariance[number].numpy(), expected, rtol=1e-9, atol=1e-14)


def test_the_kernel_is_1_at_the_same_point_and_falls_with_the_distance() -> None:
    # The third point is one length scale from the first: sqrt(0.3^2 + 0.4^2) = 0.5.
    covariance = kernel(torch.tensor([[[0.0, 0.0], [0.0, 0.0], [0.3, -0.4], [1.0, 1.0]]]), 0.5)[0]
    near, far = math.exp(-0.5), math.exp(-4)
    assert covariance[0].tolist() == pytest.approx([1, 1, near, far], abs=1e-7)
    assert covariance[:, 0].tolist() == pytest.approx([1, 1, near, far], abs=1e-7)
    assert covariance.diagonal().tolist() == [1] * 4


def test_the_kernel_tells_points_apart_that_all_but_coincide() -> None:
    points = 0.7 + torch.arange(30)[:, None].double() * 2**-24
    expected = slow_kernel(points.numpy(), points.numpy(), 5 * 2**-24)
    numpy.testing.assert_allclose(kernel(points[None], 5 * 2**-24)[0].numpy(), expected, rtol=1e-6)


def test_a_kernel_of_the_smallest_and_largest_length_scales_is_finite() -> None:
    points = torch.tensor([[[0.0], [1e-30], [1.0]]])
    assert kernel(points, 1e-310)[0].tolist() == torch.eye(3).tolist()
    assert kernel(points, 1e300)[0].tolist() == torch.ones(3, 3).tolist()


def test_the_factor_is_that_of_the_covariance_with_noise() -> None:
    points = torch.rand(6, 2, 3, generator=torch.Generator().manual_seed(0))
    factor = covariance_factor(points, Regression(dimensions=3, length_scale=0.7, noise=0.5))
    for number in range(2):
        sequence = points[:, number].double().numpy()
        expected = slow_kernel(sequence, sequence, 0.7) + 0.25 * numpy.eye(6)
        numpy.testing.assert_allclose((factor @ factor.mT)[number].numpy(), expected, atol=1e-12)
    assert torch.equal(factor, factor.tril())


@every_dimension
def test_observations_have_the_mean_and_the_variance_of_the_prior(dimensions: int) -> None:
    task = Regression(dimensions, points=4, noise=0.5)
    observed = TaskEpisodes(task, batch=20_000)(0).targets[..., 0]
    for values in observed:
        about(values, 0)
        about(values.square(), 1.25)
        assert kstest(values.numpy() / 1.25**0.5, "norm").pvalue > 1e-3


@every_dimension
@pytest.mark.parametrize("length_scale", [0.4, 1.5])
def test_observations_covary_as_their_points_are_close(dimensions: int, length_scale: float) -> None:
    # Noise has no part in it, even where points all but coincide.
    task = Regression(dimensions, points=3, length_scale=length_scale, noise=0.5)
    episode = TaskEpisodes(task, batch=30_000)(0)
    checked = 0
    for one, other in ((0, 1), (0, 2), (1, 2)):
        difference = (episode.inputs[one, :, :-1] - episode.inputs[other, :, :-1]).double()
        distance = difference.square().sum(-1).sqrt() / length_scale
        product = (episode.targets[one] * episode.targets[other])[:, 0].double()
        expected = (-distance.square() / 2).exp()
        for nearest, farthest in ((0, 0.5), (0.5, 1), (1, 2), (2, math.inf)):
            among = (distance >= nearest) & (distance < farthest)
            if among.sum() > 300:
                about((product - expected)[among], 0)
                checked += 1
    assert checked >= 9


@every_dimension
def test_points_are_uniform_and_independent(dimensions: int) -> None:
    episode = TaskEpisodes(Regression(dimensions, points=3), batch=10_000)(0)
    coordinates = episode.inputs[..., :-1].permute(0, 2, 1).flatten(0, 1)
    for values in coordinates:
        assert kstest(values.numpy(), "uniform", args=(-1, 2)).pvalue > 1e-3
    # Of each other, and of what is observed there.
    rows = torch.cat([coordinates, episode.targets[..., 0]])
    for number, values in enumerate(rows[: len(coordinates)]):
        for other in rows[number + 1 :]:
            about(values * other, 0)


def test_every_sequence_has_a_function_of_its_own() -> None:
    # Neighbours in the batch are independent; at points that nearly coincide, shared functions would agree.
    episode = TaskEpisodes(Regression(points=1, noise=0.01), batch=20_001)(0)
    points, observed = episode.inputs[0, :, 0], episode.targets[0, :, 0]
    near = (points[1:] - points[:-1]).abs() < 0.1
    assert near.sum() > 500
    about((observed[1:] * observed[:-1])[near], 0)


@settings(deadline=None, max_examples=60)
@given(tasks, st.integers(1, 3), seeds, st.integers(0, 10**6))
def test_the_inputs_hold_the_point_and_the_preceding_observation(
    task: Regression, batch: int, seed: int, step: int
) -> None:
    episode = TaskEpisodes(task, batch, seed)(step)
    assert [value.dtype for value in episode] == [torch.float32, torch.float32, torch.bool]
    assert (task.input_size, task.output_size) == (task.dimensions + 1, 2)
    assert episode.inputs.shape == (task.points, batch, task.input_size)
    assert episode.targets.shape == (task.points, batch, 1)
    assert episode.mask.shape == (task.points, batch) and episode.mask.all()
    assert episode.inputs.isfinite().all() and episode.targets.isfinite().all()
    assert episode.inputs[..., :-1].abs().max() <= 1
    for number in range(batch):
        observed = episode.targets[:, number, 0].tolist()
        assert episode.inputs[:, number, -1].tolist() == [0, *observed[:-1]]


@every_dimension
def test_the_answer_is_not_in_the_inputs_of_its_step_nor_before(dimensions: int) -> None:
    episode = TaskEpisodes(Regression(dimensions, points=12), batch=20)(0)
    for step, answer in enumerate(episode.targets):
        assert not (episode.inputs[: step + 1] == answer).any()
        assert step == 11 or (episode.inputs[step + 1, :, -1:] == answer).all()


def same(one: TaskEpisode, other: TaskEpisode) -> bool:
    """Whether two episodes agree in every number."""
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


def test_an_episode_is_a_pure_function_of_seed_and_step() -> None:
    source = TaskEpisodes(Regression(dimensions=2), seed=3)
    first = source(7)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    source(2)
    assert same(source(7), first)
    assert same(TaskEpisodes(Regression(dimensions=2), seed=3)(7), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_steps_seeds_and_the_sequences_of_a_batch_all_differ() -> None:
    episodes = [TaskEpisodes(Regression(points=2), seed=seed)(step) for seed in (0, 1, 2**40) for step in (0, 1, 2)]
    for part in (
        torch.cat([inputs[..., :-1] for inputs, _, _ in episodes], 1),
        torch.cat([targets for _, targets, _ in episodes], 1),
    ):
        assert len(torch.unique(part[..., 0].T, dim=0)) == 9 * 16


def test_an_episode_may_be_changed_without_changing_its_other_parts() -> None:
    source = TaskEpisodes(Regression(points=3))
    expected = source(0)
    for part in range(3):
        changed = source(0)
        changed[part].logical_not_()
        for other in {0, 1, 2} - {part}:
            assert torch.equal(changed[other], expected[other])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_dimension
def test_episodes_are_drawn_on_the_device(dimensions: int) -> None:
    source = TaskEpisodes(Regression(dimensions), device=torch.device("cuda"))
    episode = source(3)
    assert {value.device.type for value in episode} == {"cuda"}
    assert same(source(3), episode)


@pytest.mark.parametrize("points", [1, 2, 3, 50, 300])
def test_the_least_and_the_largest_noise_can_be_drawn(points: int) -> None:
    # Constant functions, whose covariance is singular without noise, and such as change from point to point.
    for length_scale in (1e-310, 0.4, 100, 1e300):
        for noise in (points / 5e7, 1e6):
            task = Regression(points=points, length_scale=length_scale, noise=noise)
            episode = TaskEpisodes(task, batch=3)(0)
            assert episode.targets.isfinite().all()
            assert all(value.isfinite().all() for value in exact_posterior(episode, task))


RANGES: list[tuple[dict[str, Any], str]] = [
    ({"dimensions": 0}, "greater than or equal to 1, found 0"),
    ({"dimensions": 4}, "less than or equal to 3, found 4"),
    ({"points": 0}, "greater than or equal to 1, found 0"),
    *[
        ({field: value}, f"{rule}, found {value}")
        for field in ("length_scale", "noise")
        for rule, values in (("greater than 0", (0.0, -0.4)), ("a finite number", (math.nan, math.inf, -math.inf)))
        for value in values
    ],
]


@pytest.mark.parametrize(("sizes", "rule"), RANGES)
def test_values_out_of_range_are_refused(sizes: dict[str, Any], rule: str) -> None:
    with pytest.raises(InputError) as caught:
        Regression(**sizes)
    assert str(caught.value) == f"`{next(iter(sizes))}` of regression: Input should be {rule}"


@pytest.mark.parametrize(
    ("points", "noise", "least"),
    [*[(50, noise, "1e-06") for noise in (9e-7, 1.1e6, 1e39, 1e200)], (3, 5e-8, "6e-08")],
)
def test_noise_that_does_not_suit_the_number_of_points_is_refused(points: int, noise: float, least: str) -> None:
    with pytest.raises(InputError) as caught:
        Regression(points=points, noise=noise)
    assert str(caught.value) == f"`noise` is {noise}: with {points} points, use a number from {least} to 1000000"


def test_the_values_that_an_error_proposes_are_accepted() -> None:
    for task in (Regression(points=3, noise=6e-08), Regression(noise=1e-06), Regression(noise=1000000)):
        assert TaskEpisodes(task)(0).targets.isfinite().all()


@pytest.mark.parametrize("option", ["dimensions", "points", "length_scale", "noise"])
def test_settings_go_through_json_and_wrong_ones_are_refused_by_their_range(option: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Regression)
    task = Regression(dimensions=3, points=1, length_scale=1.5, noise=0.25)
    assert adapter.validate_json(adapter.dump_json(task)) == task
    for wrong in ("0", "4") if option == "dimensions" else ("0",):
        with pytest.raises(ValidationError) as caught:
            adapter.validate_json(f'{{"{option}": {wrong}}}')
        assert caught.value.errors()[0]["loc"] == (option,)
