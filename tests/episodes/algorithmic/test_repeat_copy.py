"""Repeat copy: the answer is the question, repeated the given number of times, and then the end marker."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from data import InputError
from episodes import RepeatCopy, TaskEpisodes
from episodes.algorithmic.repeat_copy import normalised


def sizes_of(inputs: Tensor, bits: int) -> tuple[int, int]:
    """Read length and repeats from when the delimiter comes and when the episode ends."""
    length = int(inputs[:, 0, bits].argmax())
    repeats, rest = divmod(len(inputs) - 1 - length - 1, length)
    assert rest == 0
    return length, repeats


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_the_answer_is_the_question_repeated_and_an_end_marker(data: st.DataObject) -> None:
    bits, shortest, fewest, trained = (data.draw(st.integers(1, 4)) for _ in range(4))
    task = RepeatCopy(
        bits,
        shortest,
        longest=shortest + data.draw(st.integers(0, 3)),
        fewest=fewest,
        most=fewest + data.draw(st.integers(0, 3)),
        trained_fewest=trained,
        trained_most=trained + data.draw(st.integers(1, 9)),
    )
    batch, seed = data.draw(st.integers(1, 3)), data.draw(st.integers(0, 10**20))
    inputs, targets, mask = TaskEpisodes(task, batch, seed)(data.draw(st.integers(0, 10**6)))
    middle = (task.trained_fewest + task.trained_most) / 2
    spread = sum((n - middle) ** 2 for n in range(task.trained_fewest, task.trained_most + 1))
    spread = (spread / (task.trained_most - task.trained_fewest + 1)) ** 0.5
    for sequence in range(batch):
        presented = inputs[:, sequence].tolist()
        (length,) = (step for step, row in enumerate(presented) if row[bits] != 0)
        number = presented[length][bits + 1] * spread + middle
        repeats = round(number)
        assert number == pytest.approx(repeats, abs=1e-4)
        assert task.shortest <= length <= task.longest and task.fewest <= repeats <= task.most
        vectors = [row[:bits] for row in presented[:length]]
        assert all(bit in (0, 1) for vector in vectors for bit in vector)
        assert [row[bits:] for row in presented[:length]] == [[0, 0]] * length
        assert presented[length][: bits + 1] == [0] * bits + [1]
        steps = length * repeats + 1
        assert presented[length + 1 :] == [[0] * (bits + 2)] * steps
        answer = [[*vector, 0] for vector in vectors] * repeats + [[0] * bits + [1]]
        assert targets[:, sequence].tolist() == [[0] * (bits + 1)] * (length + 1) + answer
        assert mask[:, sequence].tolist() == [False] * (length + 1) + [True] * steps


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 30))
def test_the_number_has_mean_0_and_variance_1_in_training(low: int, more: int) -> None:
    numbers = [normalised(number, low, low + more) for number in range(low, low + more + 1)]
    assert sum(numbers) == pytest.approx(0, abs=1e-9)
    assert sum(number**2 for number in numbers) / len(numbers) == pytest.approx(1)
    assert numbers == sorted(numbers)


def test_a_number_that_never_varied_in_training_is_only_centred() -> None:
    assert [normalised(number, 4, 4) for number in (3, 4, 6)] == [-1, 0, 2]


def test_the_papers_numbers_are_those_of_one_to_ten_and_go_on_beyond() -> None:
    assert normalised(1, 1, 10) == pytest.approx(-4.5 / 8.25**0.5)
    assert normalised(10, 1, 10) == pytest.approx(4.5 / 8.25**0.5)
    # A test of 20 repeats scales the number as training does.
    inputs = TaskEpisodes(RepeatCopy(shortest=10, longest=10, fewest=20, most=20))(0).inputs
    assert inputs[10, :, 7].tolist() == pytest.approx([14.5 / 8.25**0.5] * 16)
    assert len(inputs) == 10 + 1 + 200 + 1


def test_the_papers_lengths_and_repeats_are_1_to_10() -> None:
    pairs = [sizes_of(TaskEpisodes(RepeatCopy(), batch=1)(step).inputs, bits=6) for step in range(300)]
    assert {length for length, _ in pairs} == {repeats for _, repeats in pairs} == set(range(1, 11))


def test_every_length_with_every_number_of_repeats_is_about_equally_likely() -> None:
    source = TaskEpisodes(RepeatCopy(bits=1, shortest=2, longest=4, fewest=3, most=6), batch=1)
    pairs = Counter(sizes_of(source(step).inputs, bits=1) for step in range(2400))
    assert set(pairs) == {(length, repeats) for length in range(2, 5) for repeats in range(3, 7)}
    assert chisquare(list(pairs.values())).pvalue > 1e-3


def test_every_content_is_about_equally_likely() -> None:
    # 2 vectors of 2 bits: 16 contents.
    presented = TaskEpisodes(RepeatCopy(bits=2, shortest=2, longest=2, fewest=1, most=1), batch=8000)(0).inputs[
        :2, :, :2
    ]
    contents = Counter(map(tuple, presented.transpose(0, 1).flatten(1).tolist()))
    assert len(contents) == 16
    assert chisquare(list(contents.values())).pvalue > 1e-3


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"shortest": 5, "longest": 4}, "`shortest` is 5 and `longest` only 4"),
        ({"fewest": 12}, "`fewest` is 12 and `most` only 10.*lower `fewest` to 10"),
        ({"trained_fewest": 3, "trained_most": 2}, "`trained_fewest` is 3 and `trained_most` only 2"),
    ],
)
def test_empty_ranges_are_refused(sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RepeatCopy(**sizes)
