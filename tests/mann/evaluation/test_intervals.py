"""Accuracy by instance and its interval: against scipy, other formulas, and simulation."""

import math
import statistics
from collections.abc import Callable
from statistics import NormalDist

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_rel
from scipy.stats import t as student

from mann.evaluation.intervals import Estimate, Instance, by_instance, mean_interval, over_seeds, paired_differences


def column(*values: int) -> numpy.ndarray:
    """Return integers [episodes, 1]."""
    return numpy.array(values)[:, None]


def wilson_by_roots(accuracy: float, size: float) -> list[float]:
    """Find where a true accuracy would be just 1.96 standard errors from the one seen."""
    quantile = NormalDist().inv_cdf(0.975)

    def distance(true: float) -> float:
        return (accuracy - true) ** 2 - quantile**2 * true * (1 - true) / size

    return [bisect(distance, 0, accuracy), bisect(distance, accuracy, 1)]


def bisect(function: Callable[[float], float], low: float, high: float) -> float:
    """Find the root of a function that changes its sign once between low and high."""
    rising = function(high) > function(low)
    for _ in range(60):
        middle = (low + high) / 2
        if (function(middle) > 0) == rising:
            high = middle
        else:
            low = middle
    return low


def test_one_answer_per_episode_is_scipys_wilson() -> None:
    correct = column(*[1] * 37, *[0] * 13)
    expected = binomtest(37, 50).proportion_ci(method="wilson")
    (found,) = by_instance(correct, numpy.ones_like(correct))
    assert found.accuracy == 0.74
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_paired_differences_are_scipys_where_every_episode_has_as_many_answers() -> None:
    rng = numpy.random.default_rng(0)
    hard = rng.random((40, 1))
    one, other = rng.binomial(5, hard, (40, 2)), rng.binomial(5, 0.9 * hard, (40, 2))
    shown = numpy.full((40, 2), 5)
    for column, found in enumerate(paired_differences(one, other, shown)):
        expected = ttest_rel(one[:, column] / 5, other[:, column] / 5).confidence_interval(0.95)
        assert found.instance == column + 1
        assert found.difference == pytest.approx((one - other)[:, column].mean() / 5)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
        # Episodes are hard for both alike: apart, the two intervals are wider than that of the difference.
        apart = [by_instance(counts[:, [column]], shown[:, [column]])[0] for counts in (one, other)]
        assert found.high - found.low < sum(result.high - result.low for result in apart) / 2


def test_paired_differences_leave_out_episodes_that_asked_nothing() -> None:
    one, other, shown = numpy.array([[3, 0], [1, 0], [0, 0]]), numpy.array([[1, 0], [1, 0], [0, 0]]), [4, 2, 0]
    (found,) = paired_differences(one, other, numpy.array([shown, [0, 0, 0]]).T)
    low, high = mean_interval(numpy.array([2, 0]), numpy.array([4, 2]))
    assert found == (1, pytest.approx(2 / 6), low, high)
    (found,) = paired_differences(one[:, :1], one[:, :1], numpy.array([shown]).T)
    assert found[1:] == (0, 0, 0)


def test_paired_intervals_hold_the_true_difference_as_often_as_they_say() -> None:
    rng = numpy.random.default_rng(1)
    hits, trials, episodes = 0, 400, 60
    for _ in range(trials):
        hard = rng.beta(2, 1, episodes)
        shown = rng.integers(0, 5, episodes)
        one, other = rng.binomial(shown, hard), rng.binomial(shown, 0.8 * hard)
        (found,) = paired_differences(one[:, None], other[:, None], shown[:, None])
        hits += found.low <= 0.2 * 2 / 3 <= found.high
    assert binomtest(hits, trials, 0.95).pvalue > 1e-3


def test_balanced_episodes_claim_no_more_than_independent_answers() -> None:
    # Every episode has 4 of 5 right, less variation than chance allows: the design effect is 1.
    correct = column(*[4] * 20)
    expected = binomtest(80, 100).proportion_ci(method="wilson")
    (found,) = by_instance(correct, numpy.full_like(correct, 5))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)


def test_answers_that_agree_within_an_episode_count_as_one() -> None:
    # 30 episodes all right, 20 all wrong, 5 answers each: as much as 50 answers tell, not 250;
    # 249 / 49 of them, to be exact, count as one, because both variances are unbiased estimates.
    correct = column(*[5] * 30, *[0] * 20)
    (found,) = by_instance(correct, numpy.full_like(correct, 5))
    assert found.observations == 250
    assert [found.low, found.high] == pytest.approx(wilson_by_roots(0.6, 250 / (249 / 49)))


def test_equal_episodes_agree_with_the_variance_of_their_means() -> None:
    generator = numpy.random.default_rng(1)
    correct = generator.binomial(5, generator.beta(2, 1, size=60))[:, None]
    means = [int(count) / 5 for count in correct[:, 0]]
    accuracy = statistics.fmean(means)
    clustered = statistics.variance(means) / 60
    independent = accuracy * (1 - accuracy) / (300 - 1)
    assert clustered > independent
    (found,) = by_instance(correct, numpy.full_like(correct, 5))
    expected = wilson_by_roots(accuracy, 300 * independent / clustered)
    assert [found.low, found.high] == pytest.approx(expected)


def test_unequal_episodes_agree_with_the_jackknife() -> None:
    generator = numpy.random.default_rng(2)
    shown = generator.integers(0, 6, size=400)
    correct = generator.binomial(shown, generator.beta(1, 1, size=400))
    some = numpy.flatnonzero(shown)
    left_out = [(correct.sum() - correct[episode]) / (shown.sum() - shown[episode]) for episode in some]
    jackknife = (len(some) - 1) * statistics.pvariance(left_out)
    accuracy = correct.sum() / shown.sum()
    size = shown.sum() * (accuracy * (1 - accuracy) / (shown.sum() - 1)) / jackknife
    assert size < 0.8 * shown.sum()
    (found,) = by_instance(correct[:, None], shown[:, None])
    low, high = wilson_by_roots(accuracy, size)
    assert found.high - found.low == pytest.approx(high - low, rel=0.01)


@pytest.mark.parametrize("spread", [1.0, 100.0], ids=["correlated", "nearly-independent"])
def test_interval_holds_the_true_accuracy_95_times_in_100(spread: float) -> None:
    generator = numpy.random.default_rng(3)
    true, simulations, episodes = 0.8, 1500, 100
    skill = generator.beta(true * spread, (1 - true) * spread, size=(simulations, episodes))
    shown = generator.integers(0, 10, size=(simulations, episodes))
    correct = generator.binomial(shown, skill)
    held = 0
    for right, given_answers in zip(correct, shown, strict=True):
        (found,) = by_instance(right[:, None], given_answers[:, None])
        held += found.low <= true <= found.high
    # Four standard errors of 1500 draws at 0.95 are 0.0225.
    assert 0.9275 < held / simulations < 0.9725


def test_all_right_is_certain_above_and_not_below() -> None:
    (found,) = by_instance(column(5, 5, 5), column(5, 5, 5))
    expected = binomtest(15, 15).proportion_ci(method="wilson")
    assert found.accuracy == found.high == 1
    assert found.low == pytest.approx(expected.low)
    assert found.low < 1


def test_all_wrong_is_certain_below_and_not_above() -> None:
    (found,) = by_instance(column(0, 0), column(3, 4))
    assert found.accuracy == found.low == 0
    assert found.high == pytest.approx(binomtest(0, 7).proportion_ci(method="wilson").high)


def test_single_episode_counts_as_one_answer() -> None:
    # The second episode has no answer and tells nothing.
    (found,) = by_instance(column(30, 0), column(40, 0))
    assert found.observations == 40
    assert [found.low, found.high] == pytest.approx(wilson_by_roots(0.75, 1))


def test_random_counting_leaves_out_what_was_never_shown() -> None:
    correct = numpy.array([[1, 2, 0, 1], [3, 0, 0, 0]])
    shown = numpy.array([[5, 4, 0, 1], [5, 3, 0, 0]])
    found = by_instance(correct, shown)
    assert [(row.instance, row.accuracy, row.observations) for row in found] == [
        (1, 0.4, 10),
        (2, 2 / 7, 7),
        (4, 1.0, 1),
    ]


def test_values_can_be_written_as_json() -> None:
    (found,) = by_instance(column(1, 2), column(3, 3))
    assert [type(value) for value in found] == [int, float, float, float, int]


@pytest.mark.parametrize(
    ("correct", "shown", "message"),
    [
        (column(1, 1), column(2), "must both be"),
        (numpy.array([1]), numpy.array([2]), "must both be"),
        (column(3), column(2), "correct answers"),
        (column(-1), column(2), "correct answers"),
    ],
)
def test_impossible_counts_are_refused(correct: numpy.ndarray, shown: numpy.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        by_instance(correct, shown)


@st.composite
def counts(draw: st.DrawFn) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Draw correct and shown, [1..8 episodes, 1..4 instances]."""
    instances = draw(st.integers(1, 4))
    answer = st.integers(0, 6).flatmap(lambda shown: st.tuples(st.integers(0, shown), st.just(shown)))
    episode = st.lists(answer, min_size=instances, max_size=instances)
    drawn = numpy.array(draw(st.lists(episode, min_size=1, max_size=8)))
    return drawn[..., 0], drawn[..., 1]


@given(counts())
def test_interval_holds_the_accuracy_seen(
    correct_and_shown: tuple[numpy.ndarray, numpy.ndarray],
) -> None:
    correct, shown = correct_and_shown
    for row in by_instance(correct, shown):
        assert isinstance(row, Instance)
        assert 0 <= row.low <= row.accuracy <= row.high <= 1
        assert row.low < row.high
        independent = binomtest(int(correct[:, row.instance - 1].sum()), row.observations).proportion_ci(
            method="wilson"
        )
        assert row.high - row.low >= independent.high - independent.low - 1e-12


def test_interval_of_a_mean_is_students_over_groups() -> None:
    """With groups of one each it is that of the mean of as many numbers."""
    numbers = numpy.random.default_rng(0).normal(3, 2, 25)
    expected = student.interval(0.95, 24, numbers.mean(), numbers.std(ddof=1) / 5)
    assert mean_interval(numbers, numpy.ones(25)) == pytest.approx(expected)


def test_interval_of_a_mean_holds_the_truth_as_often_as_it_says() -> None:
    rng = numpy.random.default_rng(1)
    holds = 0
    for _ in range(2000):
        of = rng.integers(1, 9, 30).astype(float)
        low, high = mean_interval(of * (5 + rng.standard_normal(30)), of)
        holds += low <= 5 <= high
    assert 0.93 < holds / 2000 < 0.965


def test_a_single_group_tells_nothing_of_a_mean() -> None:
    assert mean_interval(numpy.array([3.0]), numpy.array([2.0])) == (-math.inf, math.inf)


def test_seeds_that_agree_leave_the_choice_of_episodes() -> None:
    one = Estimate(0.9, 0.88, 0.91)
    assert over_seeds([one]) == pytest.approx(one)
    assert over_seeds([one] * 5) == pytest.approx(one)  # they share their episodes


def test_seeds_that_differ_have_students_interval_where_episodes_leave_nothing_open() -> None:
    values = [0.5, 0.6, 0.55, 0.7]
    expected = student.interval(0.95, 3, statistics.fmean(values), statistics.stdev(values) / 2)
    found = over_seeds([Estimate(value, value, value) for value in values])
    assert found == pytest.approx((0.5875, *expected))


def test_both_choices_make_the_interval_of_several_seeds() -> None:
    # Student's interval of 0.6 and 0.8 is 12.706 * 0.1 to each side: more than there is of a share.
    found = over_seeds([Estimate(0.6, 0.5, 0.7), Estimate(0.8, 0.7, 0.9)])
    assert found == pytest.approx((0.7, 0.7 - math.hypot(0.1, 1.2706), 0.7 + math.hypot(0.1, 1.2706)), abs=1e-4)
    spread = student.ppf(0.975, 1) * 0.001
    found = over_seeds([Estimate(0.699, 0.689, 0.719), Estimate(0.701, 0.681, 0.721)])
    assert found == pytest.approx((0.7, 0.7 - math.hypot(0.015, spread), 0.7 + math.hypot(0.02, spread)))
