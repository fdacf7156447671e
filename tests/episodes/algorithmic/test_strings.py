"""Tasks of strings: each answer equals that of a slow construction, made in plain Python from the question alone."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from data import InputError
from episodes import TASKS, MissingDuplicate, StackManipulation, StringTask, TaskEpisodes

Sequence = list[int]


def parity(question: Sequence) -> Sequence:
    return [1 if len([bit for bit in question if bit == 1]) in range(1, 10**6, 2) else 0]


def cycle_navigation(question: Sequence) -> Sequence:
    circle, place = ["a", "b", "c", "d", "e"], 0
    for move in question:
        place = {0: place - 1, 1: place, 2: place + 1}[move]
        place = 4 if place < 0 else 0 if place > 4 else place
    return [circle.index("abcde"[place])]


def reverse_string(question: Sequence) -> Sequence:
    answer: Sequence = []
    for token in question:
        answer.insert(0, token)
    return answer


def stack_manipulation(question: Sequence) -> Sequence:
    stack: Sequence = []
    for token in question:
        if token == 2:
            del stack[-1:]
        else:
            stack.append({0: 0, 1: 1, 3: 0, 4: 1}[token])
    return [stack.pop() for _ in range(len(stack))] + [2]


def duplicate_string(question: Sequence) -> Sequence:
    return [*question, *question]


def missing_duplicate(question: Sequence) -> Sequence:
    if question == [1]:
        return [1]
    half = len(question) // 2
    halves = question[:half], question[half : 2 * half]
    (place,) = (place for place in range(half) if 2 in (halves[0][place], halves[1][place]))
    return [next(one[place] for one in halves if one[place] != 2)]


def odds_first(question: Sequence) -> Sequence:
    numbered = list(enumerate(question, 1))
    return [token for number, token in numbered if number % 2] + [token for n, token in numbered if n % 2 == 0]


def bucket_sort(question: Sequence) -> Sequence:
    buckets = Counter(question)
    return [token for token in range(max(question) + 1) for _ in range(buckets[token])]


ANSWERS: dict[str, Callable[[Sequence], Sequence]] = {
    "parity": parity,
    "cycle-navigation": cycle_navigation,
    "reverse-string": reverse_string,
    "stack-manipulation": stack_manipulation,
    "duplicate-string": duplicate_string,
    "missing-duplicate": missing_duplicate,
    "odds-first": odds_first,
    "bucket-sort": bucket_sort,
}
every_task = pytest.mark.parametrize("name", ANSWERS)


def test_every_task_of_strings_has_a_slow_construction() -> None:
    assert set(ANSWERS) == {name for name, task in TASKS.items() if issubclass(task, StringTask)}


def source(name: str, length: int, batch: int = 8, seed: int = 0, **sizes: int) -> TaskEpisodes:
    """Return episodes of a task with strings of one length."""
    make: Any = TASKS[name]
    return TaskEpisodes(make(shortest=length, longest=length, **sizes), batch, seed)


def check(episodes: TaskEpisodes, length: int, answer: Callable[[Sequence], Sequence]) -> list[Sequence]:
    """Check an episode sequence by sequence; returns the questions."""
    inputs, targets, mask = episodes(0)
    questions = []
    for place in range(episodes.batch):
        presented, expected, counted = inputs[:, place], targets[:, place], mask[:, place]
        assert (presented.sum(-1) == 1).all()  # one token at each step
        tokens = presented.argmax(-1).tolist()
        empty = episodes.task.input_size - 1
        question = tokens[:length]
        assert empty not in question and set(tokens[length:]) == {empty}
        right = answer(question)
        # The answers that count are the first on the empty tokens.
        assert counted.tolist() == [length <= step < length + len(right) for step in range(len(tokens))]
        assert expected[counted].argmax(-1).tolist() == right
        assert (expected.sum(-1) == counted).all()
        questions.append(question)
    return questions


@every_task
@settings(deadline=None, max_examples=25)
@given(length=st.one_of(st.integers(1, 12), st.just(40)), seed=st.integers(0, 10**9))
def test_answers_are_those_of_the_slow_construction(name: str, length: int, seed: int) -> None:
    check(source(name, length, seed=seed), length, ANSWERS[name])


@every_task
@pytest.mark.parametrize("length", [1, 2, 499, 500])
def test_the_shortest_and_the_longest_strings_are_answered(name: str, length: int) -> None:
    check(source(name, length, batch=3), length, ANSWERS[name])


@pytest.mark.parametrize("name", ["reverse-string", "duplicate-string", "odds-first", "bucket-sort"])
@pytest.mark.parametrize("vocabulary", [1, 7])
def test_the_vocabulary_is_an_option(name: str, vocabulary: int) -> None:
    questions = check(source(name, 9, batch=50, vocabulary=vocabulary), 9, ANSWERS[name])
    assert {token for question in questions for token in question} == set(range(vocabulary))


@every_task
def test_lengths_are_those_of_the_paper_and_about_equally_likely(name: str) -> None:
    make: Any = TASKS[name]
    drawn = TaskEpisodes(make(), batch=1)
    empty = drawn.task.input_size - 1
    lengths = Counter(int((drawn(step).inputs[:, 0].argmax(-1) != empty).sum()) for step in range(2000))
    assert sorted(lengths) == list(range(1, 41))
    assert chisquare(list(lengths.values())).pvalue > 1e-3


@every_task
def test_every_question_is_about_equally_likely(name: str) -> None:
    # The stack is 1 or 2 bits of 3 tokens, so its questions are not: they are tested below.
    if name in ("stack-manipulation", "missing-duplicate"):
        pytest.skip("its questions are not equally likely")
    tokens = source(name, 2, batch=9000)(0).inputs[:2].argmax(-1).T.tolist()
    questions = Counter(map(tuple, tokens))
    assert len(questions) == {"cycle-navigation": 9, "bucket-sort": 25}.get(name, 4)
    assert chisquare(list(questions.values())).pvalue > 1e-3


def test_the_sizes_of_stacks_and_the_actions_are_equally_likely() -> None:
    tokens = source("stack-manipulation", 4, batch=9000)(0).inputs[:4].argmax(-1)
    sizes = (tokens < 2).int().sum(0)
    assert sorted(Counter(sizes.tolist())) == [1, 2, 3]
    assert chisquare(list(Counter(sizes.tolist()).values())).pvalue > 1e-3
    actions = Counter(tokens[tokens >= 2].tolist())
    assert sorted(actions) == [2, 3, 4] and chisquare(list(actions.values())).pvalue > 1e-3
    # No bit after an action.
    assert not ((tokens[1:] < 2) & (tokens[:-1] >= 2)).any()


def test_every_place_of_a_doubled_string_is_masked_equally_often() -> None:
    tokens = source("missing-duplicate", 7, batch=9000)(0).inputs[:7].argmax(-1)
    assert (tokens[-1] == 3).all() and (tokens[:-1] != 3).all()
    places = Counter((tokens == 2).int().argmax(0).tolist())
    assert sorted(places) == list(range(6)) and chisquare(list(places.values())).pvalue > 1e-3


def test_a_popped_empty_stack_stays_empty() -> None:
    # Of many sequences some pop more often than there are bits, and push afterwards.
    episodes = source("stack-manipulation", 12, batch=400)
    questions = check(episodes, 12, stack_manipulation)

    def lowest(question: Sequence) -> int:
        heights = [0]
        for token in question:
            heights.append(heights[-1] + (-1 if token == 2 else 1))
        return min(heights)

    assert sum(lowest(question) < 0 and question[-1] > 2 for question in questions) > 5


@pytest.mark.parametrize("task", [StackManipulation, MissingDuplicate])
def test_an_empty_range_of_lengths_is_refused(task: Any) -> None:
    with pytest.raises(InputError, match="`shortest` is 5 and `longest` only 4"):
        task(shortest=5, longest=4)


def test_targets_are_zero_where_no_answer_counts() -> None:
    _, targets, mask = source("stack-manipulation", 9, batch=50)(0)
    assert not (mask == mask[:, :1]).all()  # masks differ across a batch
    assert torch.equal(targets.sum(-1), mask.float())
