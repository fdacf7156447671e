"""Dynamic N-grams: how sequences are made, and that nothing predicts them better than the Bayes estimate."""

import itertools
import math
from collections import Counter

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, chisquare, kstest

from data import InputError
from episodes import NGrams, TaskEpisode, TaskEpisodes, bayes_estimate, counting_bits
from episodes.algorithmic.ngrams import beta_half, context_numbers, follow

Bits = tuple[int, ...]


def column(bits: Bits | list[int]) -> torch.Tensor:
    """Return one sequence as float32 [time, 1, 1]."""
    return torch.tensor(bits, dtype=torch.float32)[:, None, None]


def counted_estimate(bits: Bits, context: int) -> float:
    """(N1 + 1/2) / (N0 + N1 + 1) of the bit after `bits`, counted with a slow loop."""
    if len(bits) < context:
        return 0.5
    now = bits[len(bits) - context :]
    followers = [bits[i + context] for i in range(len(bits) - context) if bits[i : i + context] == now]
    return (followers.count(1) + 0.5) / (len(followers) + 1)


def probability(bits: Bits, context: int) -> float:
    """P(bits) under the source, by integrating over the unknown probability of every context.

    With p = sin^2(pi u / 2), u uniform, which is Beta(1/2, 1/2), the mean over evenly spaced u is exact: a polynomial
    in p is a trigonometric polynomial in u.
    """
    p = numpy.sin(numpy.pi / 2 * (numpy.arange(64) + 0.5) / 64) ** 2
    total = 0.5 ** min(context, len(bits))
    for now in itertools.product((0, 1), repeat=context):
        followers = [bits[i] for i in range(context, len(bits)) if bits[i - context : i] == now]
        total *= (p ** followers.count(1) * (1 - p) ** followers.count(0)).mean()
    return total


def all_sequences(length: int) -> list[Bits]:
    """Return every sequence of a length."""
    return list(itertools.product((0, 1), repeat=length))


@settings(deadline=None)
@given(st.data())
def test_the_bayes_estimate_is_that_of_a_slow_count(data: st.DataObject) -> None:
    context = data.draw(st.integers(1, 3))
    time = data.draw(st.integers(context, 30))
    batch = data.draw(st.lists(st.tuples(*[st.integers(0, 1)] * time), min_size=1, max_size=3))
    estimate = bayes_estimate(torch.tensor(batch, dtype=torch.float32).T[..., None], context)
    expected = [[[counted_estimate(bits[: step + 1], context)] for bits in batch] for step in range(time)]
    numpy.testing.assert_allclose(estimate.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("context", [1, 2, 3])
def test_the_bayes_estimate_is_the_conditional_probability_of_the_source(context: int) -> None:
    for bits in all_sequences(7):
        estimate = bayes_estimate(column(bits), context)[:, 0, 0].tolist()
        for step, value in enumerate(estimate):
            seen = bits[: step + 1]
            assert value == pytest.approx(probability((*seen, 1), context) / probability(seen, context), rel=1e-5)


@settings(deadline=None)
@given(st.lists(st.integers(0, 1), min_size=8, max_size=20), st.integers(1, 3), st.integers(3, 7))
def test_the_bayes_estimate_does_not_look_ahead(bits: list[int], context: int, step: int) -> None:
    flipped = bits[: step + 1] + [1 - bit for bit in bits[step + 1 :]]
    before, after = bayes_estimate(column(bits), context), bayes_estimate(column(flipped), context)
    assert torch.equal(before[: step + 1], after[: step + 1])


def test_the_first_bit_of_a_context_is_the_highest_of_its_number() -> None:
    assert context_numbers(torch.tensor([[1], [0], [0], [1], [1]]), 3).tolist() == [[4], [1], [3]]


@settings(deadline=None)
@given(st.data())
def test_bits_follow_the_probability_of_their_context(data: st.DataObject) -> None:
    context = data.draw(st.integers(1, 3))
    shares = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])
    batch, steps = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 12))

    def table(rows: int, values: st.SearchStrategy) -> list[list]:
        row = st.lists(values, min_size=batch, max_size=batch)
        return data.draw(st.lists(row, min_size=rows, max_size=rows))

    first, probabilities = table(context, st.integers(0, 1)), table(2**context, shares)
    chance = table(steps, st.sampled_from([0.0, 0.1, 0.3, 0.6, 0.9]))
    drawn = follow(torch.tensor(first), torch.tensor(probabilities), torch.tensor(chance).view(steps, batch))
    for sequence in range(batch):
        bits = [row[sequence] for row in first]
        for row in chance:
            number = int("".join(map(str, bits[-context:])), base=2)
            bits.append(int(row[sequence] < probabilities[number][sequence]))
        assert drawn[:, sequence].tolist() == bits


def test_probabilities_are_of_beta_one_half() -> None:
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    drawn = beta_half(uniform)
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert kstest(drawn.numpy(), beta(0.5, 0.5).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("context", "length"), [(1, 5), (2, 6), (3, 5)])
def test_every_sequence_is_as_likely_as_the_integral_says(context: int, length: int) -> None:
    episode = TaskEpisodes(NGrams(context, length), batch=40_000)(0)
    # The first bit and all that count; the other first bits are no targets, but the inputs hold them.
    bits = torch.cat([episode.inputs, episode.targets[-1:]])[..., 0].T.long().tolist()
    drawn = Counter(map(tuple, bits))
    expected = {bits: 40_000 * probability(bits, context) for bits in all_sequences(length)}
    assert sum(expected.values()) == pytest.approx(40_000)
    assert chisquare([drawn[bits] for bits in expected], list(expected.values())).pvalue > 1e-3


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 20), st.integers(1, 3), st.integers(0, 10**20), st.integers(0, 10**6))
def test_the_answer_is_the_next_bit_and_first_bits_do_not_count(
    context: int, more: int, batch: int, seed: int, step: int
) -> None:
    inputs, targets, mask = TaskEpisodes(NGrams(context, context + more), batch, seed)(step)
    assert len(inputs) == context + more - 1
    for sequence in range(batch):
        presented, answers = inputs[:, sequence, 0].tolist(), targets[:, sequence, 0].tolist()
        assert set(presented) <= {0, 1}
        assert mask[:, sequence].tolist() == [False] * (context - 1) + [True] * more
        assert answers[: context - 1] == [0] * (context - 1)
        assert answers[context - 1 : -1] == presented[context:]


def test_every_sequence_has_probabilities_of_its_own_and_keeps_them() -> None:
    # The share of ones after a context varies between sequences as Beta(1/2, 1/2) does: with variance 1/8. Were the
    # probabilities shared by the batch, or drawn anew at every step, nearly nothing of it would be left.
    bits = TaskEpisodes(NGrams(context=1, length=2000), batch=400)(0).inputs[..., 0]
    after_zero = bits[:-1] == 0
    often = after_zero.sum(0) > 200
    shares = ((bits[1:] * after_zero).sum(0) / after_zero.sum(0))[often]
    assert len(shares) > 250
    assert shares.var() > 0.08


@pytest.mark.parametrize(("context", "length"), [(1, 5), (2, 6)])
def test_the_optimal_cost_is_the_entropy_of_the_bits_that_count(context: int, length: int) -> None:
    # By the chain rule, what all bits cost on average is the entropy of the sequence; the first bits cost one each.
    likely = {bits: probability(bits, context) for bits in all_sequences(length)}
    entropy = -sum(p * math.log2(p) for p in likely.values()) - context
    bits = torch.tensor(list(likely), dtype=torch.float32).T[..., None]
    mask = (torch.arange(1, length) >= context)[:, None].repeat(1, len(likely))
    cost = counting_bits(TaskEpisode(bits[:-1], bits[1:] * mask[..., None], mask), context)
    assert (cost * torch.tensor(list(likely.values()))).sum().item() == pytest.approx(entropy, rel=1e-5)
    # And sequence by sequence: what it costs is how surprising it is.
    assert cost.tolist() == pytest.approx([-math.log2(p) - context for p in likely.values()], rel=1e-4, abs=1e-5)
    drawn = counting_bits(TaskEpisodes(NGrams(context, length), batch=20_000)(0), context)
    assert abs(drawn.mean().item() - entropy) < 4 * drawn.std().item() / 20_000**0.5


def test_the_papers_optimum_is_found() -> None:
    # About 132 bits of 199 answers, of which four are first bits and cost one bit each. The mean of so many sequences,
    # whose standard deviation is 36 bits, is known to 0.8.
    cost = counting_bits(TaskEpisodes(NGrams(), batch=2000)(0), context=5)
    assert cost.mean().item() + 4 == pytest.approx(132, abs=2.5)


@pytest.mark.parametrize("length", [4, 5])
def test_a_sequence_no_longer_than_a_context_is_refused(length: int) -> None:
    with pytest.raises(
        InputError, match=f"`length` is {length}, so that no bit follows a context of 5: raise `length` to 6"
    ):
        NGrams(length=length)
