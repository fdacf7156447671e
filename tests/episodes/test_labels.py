"""Labels: all different within an episode, and no hint at the class."""

import itertools
from collections import Counter

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from episodes import LABELS, Labels, OneHot, Strings
from episodes.labels import encode
from episodes.randomness import generator_of

CPU = torch.device("cpu")


@pytest.mark.parametrize("labels", [OneHot(7), OneHot(5), Strings(), Strings(2, 3), Strings(5, 1)])
def test_classes_of_an_episode_carry_different_labels_in_range(labels: Labels) -> None:
    drawn = labels.draw(50, 5, generator_of(0, 0, CPU))
    assert drawn.dtype == torch.int64
    assert drawn.shape == (50, 5, labels.characters)
    assert (drawn >= 0).all() and (drawn < labels.symbols).all()
    for episode in drawn.tolist():
        assert len({tuple(label) for label in episode}) == 5


@given(symbols=st.integers(1, 4), characters=st.integers(1, 3), batch=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_all_labels_there_are_can_be_drawn(symbols: int, characters: int, batch: int, seed: int) -> None:
    everything = set(itertools.product(range(symbols), repeat=characters))
    strings = Strings(symbols, characters).draw(batch, len(everything), generator_of(seed, 0, CPU))
    for episode in strings.tolist():
        assert {tuple(label) for label in episode} == everything
    numbers = OneHot(symbols).draw(batch, symbols, generator_of(seed, 0, CPU))
    for episode in numbers.tolist():
        assert {tuple(label) for label in episode} == set(itertools.product(range(symbols)))


def test_every_permutation_of_three_labels_is_about_equally_likely() -> None:
    drawn = OneHot(3).draw(30_000, 3, generator_of(0, 0, CPU))[..., 0]
    counts = Counter(map(tuple, drawn.tolist()))
    assert set(counts) == set(itertools.permutations(range(3)))
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_every_ordered_pair_of_strings_is_about_equally_likely() -> None:
    drawn = Strings(2, 2).draw(30_000, 2, generator_of(0, 0, CPU)).flatten(1)
    counts = Counter(map(tuple, drawn.tolist()))
    assert len(counts) == 4 * 3
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_each_character_of_the_papers_strings_is_about_equally_likely_in_each_place() -> None:
    drawn = Strings().draw(3000, 5, generator_of(2, 0, CPU)).flatten(0, 1)
    for place in drawn.T:
        assert chisquare(numpy.bincount(place.numpy(), minlength=5)).pvalue > 1e-3


def test_labels_by_name_suit_the_number_of_classes() -> None:
    assert set(LABELS) == {"one-hot", "strings"}
    assert LABELS["one-hot"](7) == OneHot(7)
    assert (LABELS["strings"](15).symbols, LABELS["strings"](15).characters) == (5, 5)


def test_an_encoded_string_is_one_hots_side_by_side() -> None:
    # "ca" and "bb" of {a, b, c}.
    encoded = encode(torch.tensor([[2, 0], [1, 1]]), 3)
    assert encoded.dtype == torch.float32
    assert encoded.tolist() == [[0, 0, 1, 1, 0, 0], [0, 1, 0, 0, 1, 0]]
