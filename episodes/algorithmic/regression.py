"""Regression (Santoro et al. 2016, arXiv 1605.06065, section on regression): learn a function from a few of its points.

Every sequence has a function f of its own, drawn from a Gaussian process: of mean 0, variance 1, and alike at points
that lie close together (`kernel`). It is observed at points drawn uniformly from [-1, 1]^dimensions:

    y_t = f(x_t) + noise * e_t,   e_t standard normal

At step t the network sees the point x_t and the observation before, y_{t-1} (y_0 = 0), and answers with the mean and
the logarithm of the variance of a normal distribution for y_t. So it must bind each observation to the point of the
step before. Input channels: the coordinates of the point, then the observation.

Where points lie, the length scale and the noise are choices made here. The paper speaks of f(x_{t-1}) itself, without
noise; but then the covariance of many observations is all but singular, and rounding errors decide what is exact.

Nothing predicts better than an observer who knows how functions are drawn and has seen the same points in the same
order: Gaussian-process regression with the true hyper-parameters (`exact_posterior`).
"""

import math
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor
from torch.nn import functional

from data import InputError
from episodes.algorithmic.task import AtLeastOne, Task, TaskEpisode, refuse_below

LARGEST_NOISE = 10**6
"""The function, of variance 1, is long hidden by then; far more would not fit into float32."""
POINTS_PER_NOISE = 5 * 10**7
"""The least noise is the number of points over this.

The covariance of n observations can be factored, wherever their points lie, if noise^2 is above the rounding errors of
float64: about n^2 * 1e-16. This leaves a factor of four.
"""


class Prediction(NamedTuple):
    """Normal distributions, one for every observation.

    Attributes:
        mean: float64 [time, batch, 1].
        variance: float64 [time, batch, 1], above 0.
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Regression(Task):
    """Functions to learn.

    Raises:
        InputError: a number is out of its range, or the noise too small for so many points.
    """

    dimensions: Annotated[int, Ge(1), Le(3)] = 1
    """Dimensions of a point."""
    points: AtLeastOne = 50
    """Points in a sequence."""
    length_scale: Annotated[float, Gt(0)] = 0.4
    """Distance over which the function changes; at points so far apart, its values have correlation exp(-1/2)."""
    noise: Annotated[float, Gt(0)] = 0.1
    """Standard deviation of an observation around the function."""

    def __post_init__(self) -> None:
        """Check that the functions asked for can be drawn."""
        refuse_below(1, dimensions=self.dimensions, points=self.points)
        if self.dimensions > 3:
            raise InputError(f"dimensions is {self.dimensions}: use 3 or less")
        # All comparisons with NaN are false: the ranges are asked for, not what lies outside.
        if not 0 < self.length_scale < math.inf:
            raise InputError(f"length_scale is {self.length_scale}: use a finite number above 0")
        least = self.points / POINTS_PER_NOISE
        if not least <= self.noise <= LARGEST_NOISE:
            raise InputError(
                f"noise is {self.noise}: with {self.points} points, use a number from {least:g} to {LARGEST_NOISE}"
            )

    @property
    def input_size(self) -> int:
        """The coordinates of a point and the observation before it."""
        return self.dimensions + 1

    @property
    def output_size(self) -> int:
        """The mean and the logarithm of the variance; the target is one number, the observation."""
        return 2

    def references(self, episode: TaskEpisode) -> dict[str, Tensor]:
        """Return -log of the density that the exact posterior gives the observations, in nats."""
        mean, variance = exact_posterior(episode, self)
        nats = 0.5 * ((2 * math.pi * variance).log() + (episode.targets - mean).square() / variance)
        return {"exact posterior": nats.sum((0, 2))}

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device.

        The inputs are float32 [points, batch, dimensions + 1], coordinates in [-1, 1]; the targets are the
        observations, float32 [points, batch, 1]; all of them count.
        """
        device = generator.device
        # The observations belong to the points as they are shown, in float32.
        where = 2 * torch.rand(self.points, batch, self.dimensions, generator=generator, device=device) - 1
        normal = torch.randn(batch, self.points, 1, generator=generator, device=device, dtype=torch.float64)
        # With z standard normal, the covariance of L z is L L^T.
        observed = (covariance_factor(where, self) @ normal).transpose(0, 1).float()
        before = functional.pad(observed[:-1], (0, 0, 0, 0, 1, 0))
        return TaskEpisode(
            inputs=torch.cat([where, before], dim=-1),
            targets=observed,
            mask=torch.ones(self.points, batch, dtype=torch.bool, device=device),
        )


def kernel(points: Tensor, length_scale: float) -> Tensor:
    """Covariance of the function's values at points: k(x, x') = exp(-|x - x'|^2 / (2 length_scale^2)).

    points: [batch, time, dimensions]; length_scale: above 0; returns float64 [batch, time, time] in [0, 1], 1 where two
    points are the same.
    """
    points = points.double()
    # Not by |x|^2 - 2 x x' + |x'|^2, as is the default for many points: it is inexact where points are close.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    # Divided before squared, so that the square of a small length scale does not vanish and make 0 / 0.
    return ((distances / length_scale).square() / -2).exp()


def covariance_factor(points: Tensor, task: Regression) -> Tensor:
    """Return the Cholesky factor L of the observations' covariance, L L^T = kernel + noise^2 I.

    points: [time, batch, dimensions]; returns float64 [batch, time, time], zero above the diagonal.
    """
    covariance = kernel(points.transpose(0, 1), task.length_scale)
    covariance.diagonal(dim1=-2, dim2=-1).add_(task.noise**2)
    return torch.linalg.cholesky(covariance)


def exact_posterior(episode: TaskEpisode, task: Regression) -> Prediction:
    """Distribution of y_t at every step, given y_1 .. y_{t-1} and x_1 .. x_t, if functions are drawn as `task` does.

    An observation is y_t = L_t1 z_1 + .. + L_tt z_t, where y_1 .. y_{t-1} determine z_1 .. z_{t-1}, and z_t is standard
    normal and independent of them. So y_t has mean y_t - L_tt z_t and standard deviation L_tt: one factorization serves
    all steps (Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section 2.2, has the formulas that
    take one for each).

    Args:
        episode: Inputs [time, batch, dimensions + 1] and targets [time, batch, 1].
        task: What the observer believes: the one that drew the episode, for the best of all predictions.

    Returns:
        Mean and variance, float64 [time, batch, 1]; the first are 0 and 1 + noise^2, and no variance is below noise^2
        but by rounding.
    """
    factor = covariance_factor(episode.inputs[..., :-1], task)
    observed = episode.targets.double().transpose(0, 1)
    normal = torch.linalg.solve_triangular(factor, observed, upper=False)
    deviation = factor.diagonal(dim1=-2, dim2=-1)[..., None]
    mean = observed - deviation * normal
    return Prediction(mean.transpose(0, 1), deviation.square().transpose(0, 1))
