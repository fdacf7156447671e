"""95% intervals of accuracies and means, and the accuracy by instance.

The answers of one episode are not independent: a model that confuses two classes confuses them
again. The interval is therefore Wilson's with an effective sample size, which is the number of
observations over the design effect: how many times larger the variance of the accuracy is than
that of as many independent answers (Kish, "Survey Sampling", 1965; used with Wilson's interval by
Korn and Graubard, Survey Methodology 24, 1998).
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy
from scipy.special import ndtri, stdtrit

CONFIDENCE = 0.95


class Instance(NamedTuple):
    """The accuracy at one instance of a class in an episode.

    Attributes:
        instance: 1 at the first presentation of the class in the episode, then 2, 3, ...
        accuracy: Fraction of right answers, low <= accuracy <= high.
        low: Lower end of the 95% interval, >= 0.
        high: Upper end, <= 1.
        observations: Answers given, > 0.
    """

    instance: int
    accuracy: float
    low: float
    high: float
    observations: int


class Estimate(NamedTuple):
    """A figure and the ends of its 95% interval, low <= value <= high; of a share, none is below 0 or above 1."""

    value: float
    low: float
    high: float


def estimate_of(result: Mapping[str, Any]) -> Estimate:
    """Return the accuracy of a stored result, which has its interval beside it."""
    return Estimate(result["accuracy"], result["low"], result["high"])


def by_instance(correct: numpy.ndarray, answers: numpy.ndarray) -> list[Instance]:
    """Return accuracy and interval for each instance at which an answer was given.

    The interval holds for many episodes, say 30 and more; how much answers depend on each other
    cannot be told from fewer.

    Args:
        correct: Integers [episodes, instances], right answers; column 0 is the first instance.
        answers: Integers [episodes, instances], answers given; may be 0.

    Raises:
        ValueError: the shapes differ or are not two-dimensional, or not 0 <= correct <= answers.
    """
    if correct.shape != answers.shape or correct.ndim != 2:
        raise ValueError(f"correct {correct.shape} and answers {answers.shape} must both be [episodes, instances]")
    if (correct < 0).any() or (correct > answers).any():
        raise ValueError("there must be between 0 and `answers` correct answers")
    results = []
    for column in numpy.flatnonzero(answers.sum(0)):
        observations = int(answers[:, column].sum())
        accuracy = int(correct[:, column].sum()) / observations
        low, high = share_interval(correct[:, column], answers[:, column])
        results.append(Instance(int(column) + 1, accuracy, low, high, observations))
    return results


def share_interval(counted: numpy.ndarray, of: numpy.ndarray) -> tuple[float, float]:
    """Return the ends of the 95% interval of sum(counted) / sum(of), a share.

    counted, of: whole numbers [groups], 0 <= counted <= of, not all of them 0; answers within a group may depend on
    each other.
    """
    observations = int(of.sum())
    return _wilson(int(counted.sum()) / observations, observations / _design_effect(counted, of))


def over_seeds(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean over training seeds that were measured on the same episodes, and its 95% interval.

    It covers the choice of seeds, by Student's interval, and that of episodes. The latter does not shrink with the
    number of seeds, which share the episodes: it is as wide as that of a seed, on average. The two are combined as
    those of a sum are (Zou and Donner, Statistics in Medicine 27, 2008). The interval of a single seed is its own, and
    covers the choice of episodes alone. That of several may reach below 0 or above 1.

    estimates: of each seed, at least one: shares, or differences of them.
    """
    values = [estimate.value for estimate in estimates]
    mean, count = statistics.fmean(values), len(values)
    spread = 0.0
    if count > 1:
        spread = _student_quantile(count - 1) * statistics.stdev(values) / math.sqrt(count)
    below = statistics.fmean(estimate.value - estimate.low for estimate in estimates)
    above = statistics.fmean(estimate.high - estimate.value for estimate in estimates)
    return Estimate(mean, mean - math.hypot(below, spread), mean + math.hypot(above, spread))


class Difference(NamedTuple):
    """The accuracy of one model minus that of another at an instance, low <= difference <= high."""

    instance: int
    difference: float
    low: float
    high: float


def paired_differences(correct: numpy.ndarray, others: numpy.ndarray, answers: numpy.ndarray) -> list[Difference]:
    """Return how much more accurate a model is than another one on the same episodes, with a 95% interval.

    Episodes that are hard are hard for both: the interval is of the differences within episodes, and is narrower than
    that of two accuracies measured apart.

    Args:
        correct: Integers [episodes, instances], right answers of the model.
        others: The same of the model to compare with.
        answers: Integers [episodes, instances], answers given by each of them; may be 0.
    """
    results = []
    for column in numpy.flatnonzero(answers.sum(0)):
        answered = answers[:, column] > 0
        gained, of = (correct - others)[answered, column], answers[answered, column]
        results.append(Difference(int(column) + 1, float(gained.sum() / of.sum()), *mean_interval(gained, of)))
    return results


def mean_interval(counted: numpy.ndarray, of: numpy.ndarray) -> tuple[float, float]:
    """Return the ends of the 95% interval of sum(counted) / sum(of), a mean of any numbers.

    Student's, of a ratio of two sums over groups (Cochran, "Sampling Techniques", 1977, section 2.11). A single group
    does not show how means vary: the interval is then (-inf, inf).

    counted, of: [groups], of > 0.
    """
    groups, total = len(of), of.sum()
    mean = float(counted.sum() / total)
    if groups == 1:
        return -math.inf, math.inf
    residuals = counted - mean * of
    deviation = math.sqrt(groups / (groups - 1) * float(residuals @ residuals)) / float(total)
    spread = _student_quantile(groups - 1) * deviation
    return mean - spread, mean + spread


def _design_effect(correct: numpy.ndarray, answers: numpy.ndarray) -> float:
    """Return the variance of the accuracy over that of independent answers, >= 1.

    Both are the unbiased estimates, so that episodes of one answer each give exactly 1. The
    accuracy is a ratio of two sums over episodes, sum(correct) / sum(answers), whose variance is
    linearised (Cochran, "Sampling Techniques", 1977, section 2.11).

    Args:
        correct: Integers [episodes].
        answers: Integers [episodes], not all 0.
    """
    episodes = numpy.count_nonzero(answers)
    observations = int(answers.sum())
    if episodes == 1:
        return float(observations)  # one episode does not show dependence: its answers count as one
    accuracy = int(correct.sum()) / observations
    if accuracy in (0.0, 1.0):
        return 1.0  # nothing varies, neither within episodes nor between them
    independent = accuracy * (1 - accuracy) / (observations - 1)
    residuals = correct - accuracy * answers
    clustered = episodes / (episodes - 1) * float(residuals @ residuals) / observations**2
    # A value below 1 is chance, or a model that balances its errors: it must not narrow the interval.
    return max(1.0, clustered / independent)


def _student_quantile(freedom: int) -> float:
    """Return how many standard errors a 95% interval by Student's t reaches to each side; freedom: degrees, >= 1."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _wilson(fraction: float, size: float) -> tuple[float, float]:
    """Return the ends of Wilson's score interval (E. B. Wilson, JASA 22, 1927).

    Args:
        fraction: Of successes, 0..1.
        size: Number of trials, > 0; may be fractional.

    Returns:
        low and high, 0 <= low <= fraction <= high <= 1.
    """
    squared = float(ndtri((1 + CONFIDENCE) / 2)) ** 2
    centre = fraction + squared / (2 * size)
    spread = (squared * (fraction * (1 - fraction) / size + squared / (4 * size**2))) ** 0.5
    scale = 1 + squared / size
    # Rounding must not move an end past the fraction, nor one that is exactly 0 or 1 away from it.
    low = max(0.0, min(fraction, (centre - spread) / scale))
    high = min(1.0, max(fraction, (centre + spread) / scale))
    return low, high
