"""Regression (Santoro et al. 2016, arXiv 1605.06065, section on regression): predict a function from a few points.

Every sequence has a function f of its own, drawn from a Gaussian process of mean 0 and variance 1, with similar values
at points close together (`kernel`). It is observed at points drawn uniformly from [-1, 1]^dimensions:

    y_t = f(x_t) + noise * e_t,   e_t standard normal

At step t the input is the point x_t and the preceding observation, y_{t-1} (y_0 = 0); the output is the mean and the
logarithm of the variance of a normal distribution for y_t. So the network must bind each observation to the point of
the preceding step. Input channels: the coordinates of the point, then the observation.

The distribution of the points, the length scale and the noise are choices made here. The paper presents f(x_{t-1})
itself, without noise; but then the covariance of many observations is all but singular, and rounding errors decide what
is exact.

No prediction is better than that of an observer who knows how functions are drawn and has seen the same points in the
same order: Gaussian-process regression with the true hyper-parameters (`exact_posterior`).
"""

import math
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from data import InputError
from data.checking import AtLeastOne, Positive
from episodes.algorithmic.task import AnswerKind, Task, TaskEpisode

LARGEST_NOISE: Final = 10**6
"""Far above the function's standard deviation, 1, and far below the largest float32."""
POINTS_PER_NOISE: Final = 5 * 10**7
"""The smallest noise is the number of points divided by this.

The covariance of n observations can be factored, wherever their points are, if noise^2 is above the rounding errors of
float64: about n^2 * 1e-16. This leaves a factor of four.
"""


class Prediction(NamedTuple):
    """A normal distribution for every observation.

    Attributes:
        mean: float64 [time, batch, 1].
        variance: float64 [time, batch, 1], above 0.
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Regression(Task):
    """Regression task.

    Raises:
        InputError: A number is out of its range, or `noise` is too small for so many points.
    """

    answer_kind: ClassVar[AnswerKind] = "numbers"

    dimensions: Annotated[int, Ge(1), Le(3)] = 1
    """Dimensions of a point."""
    points: AtLeastOne = 50
    """Points in a sequence."""
    length_scale: Positive = 0.4
    """Distance over which the function changes: its values at two points this far apart have correlation exp(-1/2)."""
    noise: Positive = 0.1
    """Standard deviation of an observation around the function."""
    name: Literal["regression"] = field(default="regression", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that the covariance of so many observations can be factored."""
        least = self.points / POINTS_PER_NOISE
        if not least <= self.noise <= LARGEST_NOISE:
            raise InputError(
                f"`noise` is {self.noise}: with {self.points} points, use a number from {least:g} to {LARGEST_NOISE}"
            )

    @property
    def input_size(self) -> int:
        """The coordinates of a point and the preceding observation."""
        return self.dimensions + 1

    @property
    def output_size(self) -> int:
        """The mean and the logarithm of the variance. The target is one number, the observation."""
        return 2

    def references(self, episode: TaskEpisode) -> dict[str, Tensor]:
        """Return the negative log-likelihood of the observations under the exact posterior, in nats."""
        mean, variance = exact_posterior(episode, self)
        nats = 0.5 * ((2 * math.pi * variance).log() + (episode.targets - mean).square() / variance)
        return {"exact posterior": nats.sum((0, 2))}

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device.

        The inputs are float32 [points, batch, dimensions + 1], coordinates in [-1, 1]; the targets are the
        observations, float32 [points, batch, 1]; all of them count.
        """
        device = generator.device
        # In float32 from the start: the observations belong to the points exactly as they are presented.
        points = 2 * torch.rand(self.points, batch, self.dimensions, generator=generator, device=device) - 1
        normal = torch.randn(batch, self.points, 1, generator=generator, device=device, dtype=torch.float64)
        # With z standard normal, the covariance of L z is L L^T.
        observed = (covariance_factor(points, self) @ normal).transpose(0, 1).float()
        previous = functional.pad(observed[:-1], (0, 0, 0, 0, 1, 0))
        return TaskEpisode(
            inputs=torch.cat([points, previous], dim=-1),
            targets=observed,
            mask=torch.ones(self.points, batch, dtype=torch.bool, device=device),
        )


def kernel(points: Tensor, length_scale: float) -> Tensor:
    """Return the covariance of the function's values: k(x, x') = exp(-|x - x'|^2 / (2 length_scale^2)).

    points: [batch, time, dimensions]; length_scale: above 0; returns float64 [batch, time, time] in [0, 1], 1 where two
    points are the same.
    """
    points = points.double()
    # The default for many points, |x|^2 - 2 x x' + |x'|^2, cancels where points are close to each other.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    # Divide before squaring: the square of a small length scale would underflow, and 0 / 0 is NaN.
    return ((distances / length_scale).square() / -2).exp()


def covariance_factor(points: Tensor, task: Regression) -> Tensor:
    """Return the Cholesky factor L of the observations' covariance, L L^T = kernel + noise^2 I.

    points: [time, batch, dimensions]; returns float64 [batch, time, time], zero above the diagonal.
    """
    covariance = kernel(points.transpose(0, 1), task.length_scale)
    covariance.diagonal(dim1=-2, dim2=-1).add_(task.noise**2)
    return torch.linalg.cholesky(covariance)


def exact_posterior(episode: TaskEpisode, task: Regression) -> Prediction:
    """Return the distribution of y_t at every step given y_1 .. y_{t-1}, x_1 .. x_t and the prior of `task`.

    An observation is y_t = L_t1 z_1 + .. + L_tt z_t, where y_1 .. y_{t-1} determine z_1 .. z_{t-1}, and z_t is standard
    normal and independent of them. So y_t has mean y_t - L_tt z_t and standard deviation L_tt: one factorization serves
    all steps (the formulas of Rasmussen & Williams 2006, Gaussian Processes for Machine Learning, section 2.2, take one
    a step).

    Args:
        episode: Inputs [time, batch, dimensions + 1] and targets [time, batch, 1].
        task: The prior that the observer assumes; the task that drew the episode gives the best prediction.

    Returns:
        Mean and variance, float64 [time, batch, 1]; the first are 0 and 1 + noise^2, and no variance is below noise^2
        except by rounding.
    """
    factor = covariance_factor(episode.inputs[..., :-1], task)
    observed = episode.targets.double().transpose(0, 1)
    normal = torch.linalg.solve_triangular(factor, observed, upper=False)
    deviation = factor.diagonal(dim1=-2, dim2=-1)[..., None]
    mean = observed - deviation * normal
    return Prediction(mean.transpose(0, 1), deviation.square().transpose(0, 1))
