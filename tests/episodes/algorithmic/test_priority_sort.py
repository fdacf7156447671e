"""Priority sort: whole vectors, the highest priority first."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest, uniform

from data import InputError
from episodes import PrioritySort, TaskEpisodes
from episodes.algorithmic.priority_sort import by_priority


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_answer_is_the_vectors_of_highest_priority_in_order(data: st.DataObject) -> None:
    bits, items, batch = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 3))
    answers = data.draw(st.integers(1, items))
    source = TaskEpisodes(PrioritySort(bits, items, answers), batch, data.draw(st.integers(0, 10**20)))
    inputs, targets, mask = source(data.draw(st.integers(0, 10**6)))
    for sequence in range(batch):
        presented = inputs[:, sequence].tolist()
        assert [row[bits + 1] for row in presented] == [0] * items + [1] + [0] * answers
        assert [row[: bits + 1] for row in presented[items:]] == [[0] * (bits + 1)] * (1 + answers)
        pairs = [(row[bits], row[:bits]) for row in presented[:items]]
        assert all(-1 <= priority <= 1 and set(vector) <= {0, 1} for priority, vector in pairs)
        ranked = [vector for _, vector in sorted(pairs, key=lambda pair: -pair[0])]
        assert targets[:, sequence].tolist() == [[0] * bits] * (items + 1) + ranked[:answers]
        assert mask[:, sequence].tolist() == [False] * (items + 1) + [True] * answers


def test_whole_vectors_are_sorted_and_equal_priorities_keep_their_order() -> None:
    vectors = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]], [[1.0, 1.0]], [[0.0, 0.0]]])
    priorities = torch.tensor([[0.5], [-1.0], [0.5], [0.75]])
    assert by_priority(vectors, priorities)[:, 0].tolist() == [[0, 0], [0, 1], [1, 1], [1, 0]]


def test_every_sequence_is_sorted_by_its_own_priorities() -> None:
    vectors = torch.tensor([[[1.0], [1.0]], [[0.0], [0.0]]])
    priorities = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    assert by_priority(vectors, priorities)[..., 0].tolist() == [[1, 0], [0, 1]]


def test_priorities_are_uniform_from_minus_one_to_one() -> None:
    priorities = TaskEpisodes(PrioritySort(), batch=1000)(0).inputs[:20, :, 8].flatten().numpy()
    assert kstest(priorities, uniform(-1, 2).cdf).pvalue > 1e-3


def test_every_content_in_every_order_is_about_equally_likely() -> None:
    # 2 vectors of 2 bits, and which of them is first: 32 cases.
    inputs = TaskEpisodes(PrioritySort(bits=2, items=2, answers=1), batch=8000)(0).inputs
    contents = inputs[:2, :, :2].transpose(0, 1).flatten(1).tolist()
    first = (inputs[0, :, 2] > inputs[1, :, 2]).tolist()
    cases = Counter(zip(map(tuple, contents), first, strict=True))
    assert len(cases) == 32
    assert chisquare(list(cases.values())).pvalue > 1e-3


def test_the_paper_presents_20_and_expects_16() -> None:
    inputs, _, mask = TaskEpisodes(PrioritySort())(0)
    assert mask[:, 0].tolist() == [False] * 21 + [True] * 16
    assert len(torch.unique(inputs[:20, 0, 8])) == 20


def test_more_answers_than_vectors_are_refused() -> None:
    with pytest.raises(InputError, match="`answers` is 16, but only 15 vectors are presented: lower `answers` to 15"):
        PrioritySort(items=15)
