"""Regression: how functions are drawn, and that nothing predicts them better than the exact posterior."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.stats import kstest

from data import InputError
from episodes import TaskEpisode, TaskEpisodes
from episodes.algorithmic.regression import Prediction, Regression, covariance_factor, exact_posterior, kernel

Array = numpy.ndarray

every_dimension = pytest.mark.parametrize("dimensions", [1, 2, 3])


def slow_kernel(left: Array, right: Array, length_scale: float) -> Array:
    """Return k(x, x') of two lists of points, number by number."""
    return numpy.array(
        [
            [math.exp(-sum((a - b) ** 2 for a, b in zip(x, y, strict=True)) / 2 / length_scale**2) for y in right]
            for x in left
        ]
    ).reshape(len(left), len(right))


def slow_posterior(points: Array, observed: Array, task: Regression) -> tuple[list[float], list[float]]:
    """Means and variances of one sequence by the textbook's formulas, one system of equations for every step.

    points: float64 [time, dimensions]; observed: float64 [time].
    """
    means, variances = [], []
    for step in range(len(points)):
        covariance = slow_kernel(points[:step], points[:step], task.length_scale) + task.noise**2 * numpy.eye(step)
        towards = slow_kernel(points[:step], points[step : step + 1], task.length_scale)[:, 0]
        means.append(towards @ numpy.linalg.inv(covariance) @ observed[:step])
        variances.append(1 + task.noise**2 - towards @ numpy.linalg.inv(covariance) @ towards)
    return means, variances


def sequence_of(episode: TaskEpisode, number: int) -> tuple[Array, Array]:
    """Return the points and the observations of one sequence in float64."""
    return episode.inputs[:, number, :-1].double().numpy(), episode.targets[:, number, 0].double().numpy()


def cost(prediction: Prediction, episode: TaskEpisode) -> torch.Tensor:
    """Negative log-likelihood of every sequence, in nats: float64 [batch]."""
    error = (episode.targets.double() - prediction.mean).square() / prediction.variance
    return (error + prediction.variance.log() + math.log(2 * math.pi))[..., 0].sum(0) / 2


def about(values: torch.Tensor, expected: float) -> None:
    """Check the mean of independent values: no more than four standard errors from what is expected."""
    values = values.double()
    assert abs(values.mean().item() - expected) < 4 * values.std().item() / len(values) ** 0.5


tasks = st.builds(
    Regression,
    dimensions=st.integers(1, 3),
    points=st.integers(1, 12),
    length_scale=st.floats(0.05, 5),
    noise=st.floats(0.05, 2),
)
seeds = st.integers(0, 10**20)


@settings(deadline=None, max_examples=40)
@given(tasks, st.integers(1, 3), seeds)
def test_the_exact_posterior_is_that_of_the_textbook(task: Regression, batch: int, seed: int) -> None:
    episode = TaskEpisodes(task, batch, seed)(0)
    prediction = exact_posterior(episode, task)
    assert {value.dtype for value in prediction} == {torch.float64}
    assert {value.shape for value in prediction} == {(task.points, batch, 1)}
    for number in range(batch):
        means, variances = slow_posterior(*sequence_of(episode, number), task)
        numpy.testing.assert_allclose(prediction.mean[:, number, 0], means, rtol=0, atol=1e-8)
        numpy.testing.assert_allclose(prediction.variance[:, number, 0], variances, rtol=0, atol=1e-8)


@every_dimension
def test_the_exact_posterior_of_the_default_sizes_is_that_of_the_textbook(dimensions: int) -> None:
    task = Regression(dimensions)
    episode = TaskEpisodes(task, batch=1)(0)
    means, variances = slow_posterior(*sequence_of(episode, 0), task)
    mean, variance = exact_posterior(episode, task)
    numpy.testing.assert_allclose(mean[:, 0, 0], means, rtol=0, atol=1e-8)
    numpy.testing.assert_allclose(variance[:, 0, 0], variances, rtol=0, atol=1e-8)


def test_the_exact_posterior_is_that_of_scikit_learn() -> None:
    process = pytest.importorskip("sklearn.gaussian_process")
    task = Regression(dimensions=2, points=30, length_scale=0.7, noise=0.3)
    episode = TaskEpisodes(task, batch=2)(0)
    mean, variance = exact_posterior(episode, task)
    believed = process.kernels.RBF(task.length_scale) + process.kernels.WhiteKernel(task.noise**2)
    for number in range(2):
        points, observed = sequence_of(episode, number)
        for step in range(30):
            regressor = process.GaussianProcessRegressor(believed, alpha=0, optimizer=None)
            if step:
                regressor.fit(points[:step], observed[:step])
            means, deviations = regressor.predict(points[step : step + 1], return_std=True)
            assert mean[step, number, 0].item() == pytest.approx(means.item(), abs=1e-8)
            assert variance[step, number, 0].item() == pytest.approx(deviations.item() ** 2, abs=1e-8)


@every_dimension
def test_by_the_chain_rule_a_sequence_costs_what_its_joint_density_says(dimensions: int) -> None:
    task = Regression(dimensions, points=20, noise=0.2)
    episode = TaskEpisodes(task, batch=4)(0)
    costs = cost(exact_posterior(episode, task), episode)
    for number in range(4):
        points, observed = sequence_of(episode, number)
        covariance = slow_kernel(points, points, task.length_scale) + task.noise**2 * numpy.eye(20)
        determinant = numpy.linalg.slogdet(2 * math.pi * covariance).logabsdet
        expected = (determinant + observed @ numpy.linalg.inv(covariance) @ observed) / 2
        assert costs[number].item() == pytest.approx(expected, abs=1e-8)


@settings(deadline=None, max_examples=40)
@given(tasks, seeds, st.data())
def test_the_exact_posterior_does_not_look_ahead(task: Regression, seed: int, data: st.DataObject) -> None:
    # The prediction of y_t does not know it, and knows no later point either.
    step = data.draw(st.integers(0, task.points - 1))
    episode, other = TaskEpisodes(task, 2, seed)(0), TaskEpisodes(task, 2, seed)(1)
    changed = TaskEpisode(
        torch.cat([episode.inputs[: step + 1], other.inputs[step + 1 :]]),
        torch.cat([episode.targets[:step], other.targets[step:]]),
        episode.mask,
    )
    for before, after in zip(exact_posterior(episode, task), exact_posterior(changed, task), strict=True):
        torch.testing.assert_close(before[: step + 1], after[: step + 1], rtol=0, atol=1e-12)


def test_the_last_observation_is_known_at_the_next_step() -> None:
    # At the same point again it tells all but the noise: f has variance 1 at first, then 1 / (1 + 1 / noise^2).
    task = Regression(points=2, noise=0.5)
    episode = TaskEpisode(
        torch.tensor([[[0.3, 0.0]], [[0.3, 2.0]]]), torch.tensor([[[2.0]], [[1.0]]]), torch.ones(2, 1) > 0
    )
    mean, variance = exact_posterior(episode, task)
    assert mean.flatten().tolist() == pytest.approx([0, 2 / 1.25])
    assert variance.flatten().tolist() == pytest.approx([1.25, 1 / 5 + 0.25])


@every_dimension
def test_the_exact_posterior_knows_how_much_it_errs(dimensions: int) -> None:
    # Errors in standard deviations are standard normal at every step, and independent of each other.
    task = Regression(dimensions)
    episode = TaskEpisodes(task, batch=200)(0)
    mean, variance = exact_posterior(episode, task)
    errors = (episode.targets - mean)[..., 0] / variance[..., 0].sqrt()
    assert kstest(errors.flatten().numpy(), "norm").pvalue > 1e-3
    about((errors[1:] * errors[:-1]).flatten(), 0)
    assert (variance > task.noise**2).all() and (variance < 1 + task.noise**2 + 1e-12).all()
    # And there is something to learn: later errors are smaller.
    assert variance[-1].mean() < 0.8 * variance[0].mean()


@every_dimension
def test_no_other_prediction_is_better_than_the_exact_posterior(dimensions: int) -> None:
    task = Regression(dimensions, points=30, noise=0.2)
    episode = TaskEpisodes(task, batch=2000)(0)
    exact = exact_posterior(episode, task)
    least = cost(exact, episode)
    prior = Prediction(torch.zeros_like(exact.mean), torch.full_like(exact.variance, 1 + task.noise**2))
    others = {
        "the prior": prior,
        "a mean that is never sure": Prediction(exact.mean, prior.variance),
        "a variance without a mean": Prediction(prior.mean, exact.variance),
        "functions that change faster": exact_posterior(episode, replace(task, length_scale=0.3)),
        "functions that change slower": exact_posterior(episode, replace(task, length_scale=0.55)),
        "less noise": exact_posterior(episode, replace(task, noise=0.1)),
        "more noise": exact_posterior(episode, replace(task, noise=0.3)),
    }
    for name, prediction in others.items():
        more = cost(prediction, episode) - least
        assert more.mean() > 4 * more.std() / len(more) ** 0.5, name


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
def test_the_inputs_hold_the_point_and_the_observation_before(
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
def test_what_is_asked_for_is_not_shown_at_the_same_step_nor_before(dimensions: int) -> None:
    episode = TaskEpisodes(Regression(dimensions, points=12), batch=20)(0)
    for step, asked in enumerate(episode.targets):
        assert not (episode.inputs[: step + 1] == asked).any()
        assert step == 11 or (episode.inputs[step + 1, :, -1:] == asked).all()


@every_dimension
def test_sequences_of_one_point_are_predicted_by_the_prior(dimensions: int) -> None:
    task = Regression(dimensions, points=1)
    episode = TaskEpisodes(task, batch=1)(0)
    assert episode.inputs.shape == (1, 1, dimensions + 1) and episode.inputs[0, 0, -1] == 0
    mean, variance = exact_posterior(episode, task)
    assert mean.flatten().tolist() == pytest.approx([0])
    assert variance.flatten().tolist() == pytest.approx([1.01])


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
def test_episodes_are_drawn_and_predicted_on_the_device(dimensions: int) -> None:
    task = Regression(dimensions)
    source = TaskEpisodes(task, device=torch.device("cuda"))
    episode = source(3)
    prediction = exact_posterior(episode, task)
    assert {value.device.type for value in (*episode, *prediction)} == {"cuda"}
    assert same(source(3), episode)
    expected = exact_posterior(TaskEpisode(*[value.cpu() for value in episode]), task)
    for value, other in zip(prediction, expected, strict=True):
        torch.testing.assert_close(value.cpu(), other, rtol=0, atol=1e-8)


@pytest.mark.parametrize("points", [1, 2, 3, 50, 300])
def test_the_least_and_the_largest_noise_can_be_drawn(points: int) -> None:
    # Constant functions, whose covariance is singular without noise, and such as change from point to point.
    for length_scale in (1e-310, 0.4, 100, 1e300):
        for noise in (points / 5e7, 1e6):
            task = Regression(points=points, length_scale=length_scale, noise=noise)
            episode = TaskEpisodes(task, batch=3)(0)
            assert episode.targets.isfinite().all()
            assert all(value.isfinite().all() for value in exact_posterior(episode, task))


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: Regression(dimensions=0), "dimensions is 0: use 1 or more"),
    (lambda: Regression(dimensions=4), "dimensions is 4: use 3 or less"),
    (lambda: Regression(points=0), "points is 0: use 1 or more"),
    *[
        (lambda value=value: Regression(length_scale=value), f"length_scale is {value}: use a finite number above 0")
        for value in (0.0, -0.4, math.nan, math.inf, -math.inf)
    ],
    *[
        (
            lambda value=value: Regression(noise=value),
            f"noise is {value}: with 50 points, use a number from 1e-06 to 10",
        )
        for value in (0.0, -0.1, 9e-7, 1.1e6, 1e39, 1e200, math.nan, math.inf, -math.inf)
    ],
    (lambda: Regression(points=3, noise=5e-8), "noise is 5e-08: with 3 points, use a number from 6e-08 to 1000000"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_values_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_a_refusal_advises_is_taken() -> None:
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
