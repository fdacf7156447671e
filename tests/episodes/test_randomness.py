"""Random numbers of a step: the same for the same seed and step, whatever happened before."""

import itertools
from collections import Counter

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from episodes import randomness
from episodes.randomness import REJECTION_RATIO, draw_without_replacement, generator_of

CPU = torch.device("cpu")


def numbers(seed: int, step: int) -> list[float]:
    """Return the first numbers of a step."""
    return torch.rand(8, generator=generator_of(seed, step, CPU)).tolist()


def test_the_same_seed_and_step_give_the_same_numbers_whatever_was_drawn_before() -> None:
    first = numbers(3, 5)
    torch.manual_seed(99)
    torch.rand(17)
    numbers(3, 4)
    assert numbers(3, 5) == first


def test_drawing_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    draw_without_replacement((4, 5), 3, generator_of(0, 0, CPU))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_and_steps_all_give_numbers_of_their_own() -> None:
    # Among them sums and swaps of seed and step, which a careless mixture would confuse.
    values = [0, 1, 2, 3, 10, 1000, 10**9, 2 * 10**9]
    drawn = {tuple(numbers(seed, step)) for seed, step in itertools.product(values, values)}
    assert len(drawn) == len(values) ** 2


@pytest.mark.parametrize("low", [0, 5])
@pytest.mark.parametrize("high", [1, 3, 2**32])
def test_a_seed_of_more_than_32_bits_is_not_a_small_seed_at_another_step(low: int, high: int) -> None:
    assert numbers(low + 2**32 * high, 0) != numbers(low, high)
    assert numbers(low + 2**32 * high, 7) != numbers(low, 7)


def test_numbers_of_neighbouring_steps_are_uniform_and_uncorrelated() -> None:
    draws = numpy.array([numbers(0, step) for step in range(2000)])
    assert abs(draws.mean() - 0.5) < 4 * numpy.sqrt(1 / 12 / draws.size)
    neighbours = numpy.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]
    assert abs(neighbours) < 4 / numpy.sqrt(draws[1:].size)


@given(st.data())
def test_the_given_number_of_different_allowed_options_are_drawn(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4))
    allowed = torch.tensor(rows)
    fewest = int(allowed.sum(-1).min())
    count = data.draw(st.integers(0, fewest))
    generator = generator_of(data.draw(st.integers(0, 10**12)), 0, CPU)
    drawn = draw_without_replacement(allowed.shape, count, generator, allowed)
    assert drawn.shape == (len(rows), count)
    for row, picked in zip(rows, drawn.tolist(), strict=True):
        assert len(set(picked)) == count
        assert all(row[position] for position in picked)


def test_every_ordered_selection_is_about_equally_likely() -> None:
    # 2 of 4 options, of which the second may not be drawn: 6 ordered pairs.
    allowed = torch.tensor([True, False, True, True]).expand(30_000, 4)
    drawn = draw_without_replacement(allowed.shape, 2, generator_of(0, 0, CPU), allowed)
    counts = Counter(map(tuple, drawn.tolist()))
    assert set(counts) == set(itertools.permutations([0, 2, 3], 2))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_rows_are_drawn_independently_of_each_other() -> None:
    drawn = draw_without_replacement((30_000, 2, 3), 1, generator_of(1, 0, CPU))[..., 0]
    pairs = Counter(map(tuple, drawn.tolist()))
    assert len(pairs) == 9
    assert chisquare(list(pairs.values())).pvalue > 1e-3


@given(st.integers(0, 4), st.integers(1, 3), st.integers(0, 10**12))
def test_rejection_draws_the_given_number_of_different_options(count: int, rows: int, seed: int) -> None:
    options = REJECTION_RATIO * count**2 + 1
    drawn = draw_without_replacement((2, rows, options), count, generator_of(seed, 0, CPU))
    assert drawn.shape == (2, rows, count) and drawn.dtype == torch.int64
    for picked in drawn.flatten(0, 1).tolist():
        assert len(set(picked)) == count and all(0 <= position < options for position in picked)


def test_rows_with_a_repeated_option_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    # With rejection for every number of options, all but 6 of the 27 triples of 3 options are drawn again, and again.
    monkeypatch.setattr(randomness, "REJECTION_RATIO", 0)
    drawn = draw_without_replacement((30_000, 3), 3, generator_of(0, 0, CPU))
    counts = Counter(map(tuple, drawn.tolist()))
    assert set(counts) == set(itertools.permutations(range(3)))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_all_options_are_about_equally_likely_with_rejection() -> None:
    options = REJECTION_RATIO * 4 + 1
    drawn = draw_without_replacement((100_000, options), 2, generator_of(0, 0, CPU))
    for place in drawn.unbind(-1):
        assert chisquare(place.bincount(minlength=options).numpy()).pvalue > 1e-3


def test_the_papers_evaluations_do_not_draw_by_rejection() -> None:
    # So that their episodes never change: test classes of Omniglot, and labels of five characters.
    assert max(423, 5**5) <= REJECTION_RATIO * 5**2
