"""The exact posterior of regression: the textbook's formulas, and no prediction is better."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from episodes import Regression, TaskEpisode, TaskEpisodes, exact_posterior
from episodes.algorithmic.regression import Prediction
from tests.episodes.algorithmic.gaussian_process import Array, about, every_dimension, seeds, slow_kernel, tasks


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


@every_dimension
def test_sequences_of_one_point_are_predicted_by_the_prior(dimensions: int) -> None:
    task = Regression(dimensions, points=1)
    episode = TaskEpisodes(task, batch=1)(0)
    assert episode.inputs.shape == (1, 1, dimensions + 1) and episode.inputs[0, 0, -1] == 0
    mean, variance = exact_posterior(episode, task)
    assert mean.flatten().tolist() == pytest.approx([0])
    assert variance.flatten().tolist() == pytest.approx([1.01])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@every_dimension
def test_episodes_are_predicted_on_their_device(dimensions: int) -> None:
    task = Regression(dimensions)
    episode = TaskEpisodes(task, device=torch.device("cuda"))(3)
    prediction = exact_posterior(episode, task)
    assert {value.device.type for value in prediction} == {"cuda"}
    expected = exact_posterior(TaskEpisode(*[value.cpu() for value in episode]), task)
    for value, other in zip(prediction, expected, strict=True):
        torch.testing.assert_close(value.cpu(), other, rtol=0, atol=1e-8)
