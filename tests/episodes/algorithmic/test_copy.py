"""Copy: the vectors presented before the delimiter are the answer after it."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from data import InputError
from episodes import Copy, TaskEpisodes


def delimiter_step(sequence: list[list[float]], channel: int) -> int:
    """Return the only step of a sequence at which a channel is 1; it is 0 at all others."""
    assert sorted({step[channel] for step in sequence}) == [0, 1]
    (step,) = (number for number, step in enumerate(sequence) if step[channel] == 1)
    return step


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 5), st.integers(1, 6), st.integers(0, 4), st.integers(1, 3), st.integers(0, 10**20), st.integers(0)
)
def test_the_answer_repeats_the_question(bits: int, shortest: int, more: int, batch: int, seed: int, step: int) -> None:
    inputs, targets, mask = TaskEpisodes(Copy(bits, shortest, shortest + more), batch, seed)(step % 10**6)
    for sequence in range(batch):
        presented = inputs[:, sequence].tolist()
        length = delimiter_step(presented, channel=bits)
        assert shortest <= length <= shortest + more
        vectors = [row[:bits] for row in presented[:length]]
        assert set(itertools.chain(*vectors)) <= {0, 1}
        nothing = [0.0] * bits
        # Nothing is presented with the delimiter, nor while the answer is given.
        assert presented[length:] == [[*nothing, 1]] + [[*nothing, 0]] * length
        assert targets[:, sequence].tolist() == [nothing] * (length + 1) + vectors
        assert mask[:, sequence].tolist() == [False] * (length + 1) + [True] * length


def test_every_length_is_about_equally_likely() -> None:
    source = TaskEpisodes(Copy(bits=1, shortest=3, longest=7), batch=1)
    lengths = Counter(len(source(step).inputs) // 2 for step in range(2000))
    assert sorted(lengths) == [3, 4, 5, 6, 7]
    assert chisquare(list(lengths.values())).pvalue > 1e-3


def test_the_papers_lengths_are_1_to_20() -> None:
    assert {len(TaskEpisodes(Copy(), batch=1)(step).inputs) // 2 for step in range(300)} == set(range(1, 21))


def test_every_content_is_about_equally_likely() -> None:
    # 2 vectors of 2 bits: 16 contents.
    answer = TaskEpisodes(Copy(bits=2, shortest=2, longest=2), batch=8000)(0).targets[-2:]
    contents = Counter(map(tuple, answer.transpose(0, 1).flatten(1).tolist()))
    assert len(contents) == 16
    assert chisquare(list(contents.values())).pvalue > 1e-3


def test_the_bits_do_not_tell_the_length() -> None:
    source = TaskEpisodes(Copy(bits=1, shortest=1, longest=2), batch=4)
    pairs = Counter((len(inputs), *inputs[0, :, 0].tolist()) for inputs, _, _ in map(source, range(6000)))
    assert len(pairs) == 32
    assert chisquare(list(pairs.values())).pvalue > 1e-3


def test_a_test_of_longer_sequences_is_the_same_source_with_other_sizes() -> None:
    assert TaskEpisodes(Copy(shortest=120, longest=120))(0).mask[:, 0].sum() == 120
    assert torch.equal(TaskEpisodes(Copy(shortest=20, longest=20))(0).mask[:, 0], torch.arange(41) > 20)


def test_a_shortest_sequence_longer_than_the_longest_is_refused() -> None:
    with pytest.raises(
        InputError, match="`shortest` is 5 and `longest` only 4: lower `shortest` to 4 or less, or raise `longest`"
    ):
        Copy(shortest=5, longest=4)
