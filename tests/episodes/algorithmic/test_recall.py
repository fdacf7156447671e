"""Recall tasks: each answer equals what a dictionary returns that was filled with the pairs in their order."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from data import InputError
from episodes import ContinuousRecall, ForgettingRecall, Recall, TaskEpisodes

TASKS = pytest.mark.parametrize("task", [ContinuousRecall, ForgettingRecall])


def read(task: Recall, inputs: torch.Tensor) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the pairs of a sequence, and the keys asked for afterwards."""
    keys, values = inputs[:, : task.keys], inputs[:, task.keys :]
    assert (keys.sum(-1) == 1).all()
    shown = values.sum(-1).int().tolist()
    pairs = shown.index(0)
    assert shown == [1] * pairs + [0] * (len(shown) - pairs)
    named = keys.argmax(-1).tolist()
    return list(zip(named[:pairs], values[:pairs].argmax(-1).tolist(), strict=True)), named[pairs:]


@TASKS
@settings(deadline=None, max_examples=40)
@given(
    pairs=st.one_of(st.integers(1, 6), st.just(64)),
    more=st.integers(0, 3),
    values=st.integers(2, 5),
    seed=st.integers(0, 10**9),
)
def test_answers_are_those_of_a_dictionary(task: Any, pairs: int, more: int, values: int, seed: int) -> None:
    sizes = task(fewest=pairs, most=pairs, keys=pairs + more, values=values)
    inputs, targets, mask = TaskEpisodes(sizes, batch=5, seed=seed)(0)
    for place in range(5):
        shown, asked = read(sizes, inputs[:, place])
        assert mask[:, place].tolist() == [False] * len(shown) + [True] * len(asked)
        assert not targets[: len(shown), place].any() and (targets[len(shown) :, place].sum(-1) == 1).all()
        assert targets[len(shown) :, place].argmax(-1).tolist() == [dict(shown)[key] for key in asked]
        first, again = shown[:pairs], shown[pairs:]
        assert sorted(asked) == sorted(key for key, _ in first) and len(set(asked)) == pairs
        if task is ContinuousRecall:
            assert not again
        else:
            assert len({key for key, _ in again}) == len(again) == (pairs + 1) // 2
            assert all(dict(first)[key] != value for key, value in again)


@TASKS
def test_pairs_keys_values_and_orders_are_drawn_evenly(task: Any) -> None:
    counts = Counter(int(TaskEpisodes(task(fewest=2, most=5), batch=1)(step).mask.sum()) for step in range(1000))
    assert sorted(counts) == [2, 3, 4, 5] and chisquare(list(counts.values())).pvalue > 1e-3
    sizes = task(fewest=2, most=2, keys=3, values=3)
    episode = TaskEpisodes(sizes, batch=9000)(0)
    read_all = [read(sizes, episode.inputs[:, place]) for place in range(9000)]
    for drawn, number in (
        (Counter(tuple(key for key, _ in shown[:2]) for shown, _ in read_all), 6),
        (Counter(tuple(value for _, value in shown[:2]) for shown, _ in read_all), 9),
        (Counter(asked[0] == shown[0][0] for shown, asked in read_all), 2),
        (Counter(shown[-1] for shown, _ in read_all), 9),
    ):
        assert len(drawn) == number and chisquare(list(drawn.values())).pvalue > 1e-3


def test_a_value_that_changes_becomes_any_other_equally_often() -> None:
    sizes = ForgettingRecall(fewest=1, most=1, keys=1, values=4)
    episode = TaskEpisodes(sizes, batch=9000)(0)
    changes = Counter(
        (shown[0][1], shown[1][1]) for shown, _ in (read(sizes, episode.inputs[:, place]) for place in range(9000))
    )
    assert len(changes) == 12 and chisquare(list(changes.values())).pvalue > 1e-3


@TASKS
def test_more_pairs_than_keys_are_refused(task: Any) -> None:
    with pytest.raises(InputError, match="`most` is 9, but `keys` only 8: .* lower `most` or raise `keys`"):
        task(most=9, keys=8)
    with pytest.raises(InputError, match="`fewest` is 5 and `most` only 4"):
        task(fewest=5, most=4)


def test_forgetting_needs_two_values() -> None:
    with pytest.raises(InputError, match="`values` is 1: use 2 or more"):
        ForgettingRecall(values=1)
    assert ContinuousRecall(values=1).output_size == 1
