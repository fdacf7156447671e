"""State tracking: running products of permutations and of sums, against their application to five things."""

from collections import Counter
from itertools import permutations
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from data import InputError
from episodes import StateTracking, TaskEpisodes
from episodes.algorithmic.state_tracking import products

GROUPS = {"S5": 120, "A5": 60, "Z60": 60, "parity": 2}
every_group = pytest.mark.parametrize("group", GROUPS)


def even(permutation: tuple[int, ...]) -> bool:
    """Whether a permutation is a product of an even number of swaps."""
    rest, swaps = list(permutation), 0
    for place in range(len(rest)):
        while rest[place] != place:
            other = rest[place]
            rest[place], rest[other] = rest[other], rest[place]
            swaps += 1
    return swaps % 2 == 0


def applied(group: str, elements: list[int]) -> list[int]:
    """Return the state after each element: five things that are moved, or a number that is counted on."""
    if group in ("Z60", "parity"):
        return [sum(elements[: step + 1]) % GROUPS[group] for step in range(len(elements))]
    listed = [one for one in permutations(range(5)) if group == "S5" or even(one)]
    states, arrangement = [], "abcde"
    for element in elements:
        arrangement = "".join(arrangement[place] for place in listed[element])
        states.append(listed.index(tuple("abcde".index(thing) for thing in arrangement)))
    return states


@every_group
@settings(deadline=None, max_examples=15)
@given(length=st.one_of(st.integers(1, 5), st.just(256)), seed=st.integers(0, 10**9))
def test_each_answer_is_the_product_of_all_elements_so_far(group: Any, length: int, seed: int) -> None:
    sizes = StateTracking(group, shortest=length, longest=length)
    inputs, targets, mask = TaskEpisodes(sizes, batch=3, seed=seed)(0)
    assert mask.all() and inputs.shape == targets.shape == (length, 3, GROUPS[group])
    assert (inputs.sum(-1) == 1).all() and (targets.sum(-1) == 1).all()
    for place in range(3):
        assert targets[:, place].argmax(-1).tolist() == applied(group, inputs[:, place].argmax(-1).tolist())


@every_group
def test_the_products_are_those_of_a_group(group: Any) -> None:
    table = products(group)
    size = len(table)
    everything = torch.arange(size)
    assert torch.equal(table[0], everything) and torch.equal(table[:, 0], everything)  # 0 is the unit
    for one in (table, table.T):  # every element has an inverse, on either side
        assert torch.equal(one.sort(-1).values, everything.expand(size, size))
    a, b, c = torch.randint(size, (3, 500), generator=torch.Generator().manual_seed(0))
    assert torch.equal(table[table[a, b], c], table[a, table[b, c]])
    assert torch.equal(table, table.T) == (group in ("Z60", "parity"))  # only these commute


def test_elements_and_lengths_are_about_equally_likely() -> None:
    inputs = TaskEpisodes(StateTracking("A5", shortest=30, longest=30), batch=400)(0).inputs
    assert chisquare(list(Counter(inputs.argmax(-1).flatten().tolist()).values())).pvalue > 1e-3
    lengths = Counter(len(TaskEpisodes(StateTracking("parity"), batch=1)(step).inputs) for step in range(2000))
    assert sorted(lengths) == list(range(3, 41)) and chisquare(list(lengths.values())).pvalue > 1e-3


def test_an_empty_range_and_another_group_are_refused() -> None:
    with pytest.raises(InputError, match="`shortest` is 5 and `longest` only 4"):
        StateTracking(shortest=5, longest=4)
    with pytest.raises(InputError, match="`group` of state-tracking: .*'S6'"):
        StateTracking("S6")  # pyright: ignore[reportArgumentType]
