"""Associative recall: the answer is the item after the queried one, which is never the last."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from data import InputError
from episodes import AssociativeRecall, TaskEpisodes

Vectors = list[list[float]]


def decoded(sequence: Vectors, bits: int, vectors: int) -> tuple[list[Vectors], Vectors]:
    """Read items and query step by step, and check that every delimiter is where it belongs."""
    item_delimiter, query_delimiter, neither = [0] * bits + [1, 0], [0] * bits + [0, 1], [0, 0]
    items: list[Vectors] = []
    steps = iter(sequence)
    for row in steps:
        if row == query_delimiter:
            break
        assert row == item_delimiter
        content = [next(steps) for _ in range(vectors)]
        assert all(row[bits:] == neither and set(row[:bits]) <= {0, 1} for row in content)
        items.append([row[:bits] for row in content])
    content = [next(steps) for _ in range(vectors)]
    assert all(row[bits:] == neither for row in content)
    assert next(steps) == query_delimiter
    assert list(steps) == [[0] * (bits + 2)] * vectors
    return items, [row[:bits] for row in content]


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_answer_is_the_item_after_the_query(data: st.DataObject) -> None:
    bits, vectors, fewest = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3)), data.draw(st.integers(2, 5))
    task = AssociativeRecall(
        bits,
        vectors,
        fewest,
        most=fewest + data.draw(st.integers(0, 3)),
    )
    batch, seed = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 10**20))
    inputs, targets, mask = TaskEpisodes(task, batch, seed)(data.draw(st.integers(0, 10**6)))
    for sequence in range(batch):
        items, query = decoded(inputs[:, sequence].tolist(), bits, vectors)
        assert task.fewest <= len(items) <= task.most
        before = len(inputs) - vectors
        # So few bits may make two items equal: the answer comes after one of them.
        answers = [after for item, after in zip(items, items[1:], strict=False) if item == query]
        assert targets[before:, sequence].tolist() in answers
        assert not targets[:before, sequence].any()
        assert mask[:, sequence].tolist() == [False] * before + [True] * vectors


def test_every_item_but_the_last_is_queried_about_equally_often_and_answered_by_the_next() -> None:
    # 40 bits: no two items are equal, so that the query names one.
    inputs, targets, _ = TaskEpisodes(AssociativeRecall(bits=20, vectors=2, fewest=5, most=5), batch=2000)(0)
    queried: Counter[int] = Counter()
    for presented, answer in zip(inputs.transpose(0, 1).tolist(), targets[-2:].transpose(0, 1).tolist(), strict=True):
        items, query = decoded(presented, 20, 2)
        position = items.index(query)
        queried[position] += 1
        assert answer == items[position + 1]
    assert sorted(queried) == [0, 1, 2, 3]
    assert chisquare(list(queried.values())).pvalue > 1e-3


def test_every_number_of_items_is_about_equally_likely() -> None:
    source = TaskEpisodes(AssociativeRecall(), batch=1)
    counts = Counter(int(source(step).inputs[:, 0, 6].sum()) for step in range(2000))
    assert sorted(counts) == [2, 3, 4, 5, 6]
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_every_content_is_about_equally_likely() -> None:
    # 2 items of 2 vectors of 1 bit: 16 contents, of which the first item is the query and the second the answer.
    inputs, targets, _ = TaskEpisodes(AssociativeRecall(bits=1, vectors=2, fewest=2, most=2), batch=8000)(0)
    contents: Counter[tuple[float, ...]] = Counter()
    for presented, answer in zip(inputs.transpose(0, 1).tolist(), targets[-2:].transpose(0, 1).tolist(), strict=True):
        items, query = decoded(presented, 1, 2)
        assert [query, answer] == items
        contents[tuple(row[0] for item in items for row in item)] += 1
    assert len(contents) == 16
    assert chisquare(list(contents.values())).pvalue > 1e-3


def test_a_test_of_more_items_is_the_same_source_with_other_sizes() -> None:
    inputs = TaskEpisodes(AssociativeRecall(fewest=12, most=12))(0).inputs
    assert (inputs[..., 6].sum(0) == 12).all()
    assert len(inputs) == 12 * 4 + 5 + 3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"fewest": 1}, "`fewest` of associative-recall: Input should be greater than or equal to 2, found 1"),
        ({"fewest": 7}, "`fewest` is 7 and `most` only 6: lower `fewest` to 6 or less, or raise `most` to 7 or more"),
    ],
)
def test_numbers_of_items_that_cannot_be_queried_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AssociativeRecall(**sizes)
