"""The cost of the answers to the algorithmic tasks: planted answers, parts, estimators, sizes beyond the training."""

import math
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from data import InputError
from episodes import (
    ContinuousRecall,
    Copy,
    ForgettingRecall,
    NGrams,
    RepeatCopy,
    TaskEpisode,
    TaskEpisodes,
    bayes_estimate,
)
from mann.evaluation.answers import BitAnswers, GaussianAnswers, TokenAnswers, answers_of
from mann.evaluation.task_costs import (
    SWEEPS,
    evaluate_task,
    measure,
    pictured_settings,
    settings_of,
    sizes_at,
    task_traces,
)
from mann.models.building import build_network
from mann.settings import TaskConfig, preset
from tests.mann.problems.tiny_tasks import tiny


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1000))
def test_bits_are_counted_as_by_loops(time: int, batch: int, width: int, seed: int) -> None:
    rng = numpy.random.default_rng(seed)
    logits = 3 * rng.standard_normal((time, batch, width))
    targets, mask = rng.integers(2, size=(time, batch, width)), rng.integers(2, size=(time, batch))
    episode = TaskEpisode(torch.zeros(time, batch, 1), torch.tensor(targets).float(), torch.tensor(mask).bool())
    _, found = BitAnswers().judge(torch.tensor(logits), episode)
    for sequence in range(batch):
        cost, wrong, asked = 0.0, 0, 0
        for step, bit in numpy.ndindex(time, width):
            if mask[step, sequence]:
                chance = 1 / (1 + math.exp(-logits[step, sequence, bit]))
                right = chance if targets[step, sequence, bit] else 1 - chance
                cost, asked = cost - math.log2(right), asked + 1
                wrong += right < 0.5
        assert found.counted[sequence, 0].item() == pytest.approx(cost, abs=1e-5)
        assert found.counted[sequence, 1:].tolist() == [wrong, wrong == 0, wrong]
        assert found.of[sequence].tolist() == [1, 1, 1, asked]


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 4), st.integers(0, 1000))
def test_tokens_are_counted_as_by_loops(time: int, batch: int, width: int, seed: int) -> None:
    rng = numpy.random.default_rng(seed)
    logits = 3 * rng.standard_normal((time, batch, width))
    tokens, mask = rng.integers(width, size=(time, batch)), rng.integers(2, size=(time, batch))
    mask[0] = 1
    targets = numpy.eye(width)[tokens] * mask[..., None]
    episode = TaskEpisode(torch.zeros(time, batch, 1), torch.tensor(targets).float(), torch.tensor(mask).bool())
    loss, found = TokenAnswers().judge(torch.tensor(logits), episode)
    total, asked_in_all = 0.0, 0
    for sequence in range(batch):
        cost, right, asked = 0.0, 0, 0
        for step in range(time):
            if mask[step, sequence]:
                weights = [math.exp(number) for number in logits[step, sequence]]
                share = weights[tokens[step, sequence]] / sum(weights)
                cost, asked = cost - math.log(share), asked + 1
                right += share == max(weights) / sum(weights)
        assert found.counted[sequence].tolist() == pytest.approx([right, float(right == asked), cost], abs=1e-5)
        assert found.of[sequence].tolist() == [asked, 1, asked]
        total, asked_in_all = total + cost, asked_in_all + asked
    assert loss.item() == pytest.approx(total / asked_in_all, abs=1e-5)


class Knows(torch.nn.Module):
    """Answers a copy task correctly, except the first `mistakes` bits of each sequence."""

    def __init__(self, length: int, mistakes: int):
        super().__init__()
        self.length, self.mistakes = length, mistakes

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, None]:
        logits = torch.zeros(len(inputs), inputs.shape[1], 2)
        answer = 20 * inputs[: self.length, :, :2] - 10
        answer.transpose(0, 1).reshape(inputs.shape[1], -1)
        for number in range(self.mistakes):
            answer[number // 2, :, number % 2] *= -1
        logits[self.length + 1 :] = answer
        return logits, None


@pytest.mark.parametrize(("mistakes", "exact"), [(0, 1.0), (3, 0.0)])
def test_planted_mistakes_are_measured(mistakes: int, exact: float) -> None:
    source = TaskEpisodes(Copy(bits=2, shortest=5, longest=5), batch=4, seed=3)
    found = measure(Knows(5, mistakes), answers_of("copy"), source, 6)
    assert found["wrong_bits_per_sequence"] == mistakes
    assert found["exact_sequences"] == exact
    assert found["bit_error_rate"] == pytest.approx(mistakes / 10)
    assert found["bits_per_sequence"] == pytest.approx(mistakes * 10 / math.log(2), abs=1e-2)


def test_numbers_are_judged_by_their_density() -> None:
    rng = numpy.random.default_rng(0)
    mean, log_variance, number = rng.standard_normal((3, 4, 2))
    mask = numpy.array([[1, 1], [0, 1], [1, 1], [1, 0]])
    episode = TaskEpisode(torch.zeros(4, 2, 2), torch.tensor(number)[..., None], torch.tensor(mask).bool())
    loss, found = GaussianAnswers().judge(torch.tensor(numpy.stack([mean, log_variance], -1)), episode)
    nats = -norm.logpdf(number, mean, numpy.exp(log_variance / 2)) * mask
    assert found.counted[:, 0].numpy() == pytest.approx(nats.sum(0))
    assert found.counted[:, 1].numpy() == pytest.approx(((number - mean) ** 2 * mask).sum(0))
    assert found.of.tolist() == [[1, 3], [1, 3]]
    assert loss.item() == pytest.approx(nats.sum() / 6)


def test_parts_of_the_answers_are_judged_alone() -> None:
    """All bits of the vectors are right, the end marker is always given a step too early."""
    task = RepeatCopy(bits=2, shortest=2, longest=2, fewest=3, most=3)

    class Early(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, None]:
            answer = torch.cat([20 * inputs[:2, :, :2].repeat(3, 1, 1) - 10, torch.full((1, inputs.shape[1], 2), -10)])
            marker = torch.full((7, inputs.shape[1], 1), -10.0)
            marker[5] = 10
            return torch.cat([torch.zeros(3, inputs.shape[1], 3), torch.cat([answer, marker], -1)]), None

    found = measure(Early(), answers_of("repeat-copy"), TaskEpisodes(task, 4, 0), 5)
    assert found["wrong_bits_per_sequence"] == 2
    assert found["parts"]["vectors"]["wrong_bits_per_sequence"] == 0
    assert found["parts"]["vectors"]["exact_sequences"] == 1
    assert found["parts"]["end marker"]["wrong_bits_per_sequence"] == 2
    assert found["parts"]["end marker"]["bit_error_rate"] == pytest.approx(2 / 7)


def test_the_excess_over_an_estimator_is_paired() -> None:
    """A network that answers as counting with a shorter context has the cost of that, up to rounding."""
    task = NGrams(context=3, length=40)

    class Counts(torch.nn.Module):
        def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, None]:
            return bayes_estimate(inputs, 2).logit(), None

    source = TaskEpisodes(task, 20, 0)
    found = measure(Counts(), answers_of("ngrams"), source, 5)
    assert list(found["references"]) == ["Bayes estimate", "counting, context 1", "counting, context 2"]
    same = found["references"]["counting, context 2"]
    assert same["above"] == pytest.approx(0, abs=1e-4) and same["interval"] == pytest.approx((0, 0), abs=1e-4)
    assert same["cost"] == pytest.approx(found["bits_per_sequence"], abs=1e-4)
    best = found["references"]["Bayes estimate"]
    assert 0 < best["interval"][0] < best["above"] < best["interval"][1]
    assert best["above"] == pytest.approx(found["bits_per_sequence"] - best["cost"], abs=1e-4)
    # Differences on the same sequences vary less than the two costs.
    low, high = found["intervals"]["bits_per_sequence"]
    assert best["interval"][1] - best["interval"][0] < high - low


def test_every_task_with_a_sweep_has_sizes_beyond_the_training() -> None:
    for task in SWEEPS:
        config = preset(task)
        assert isinstance(config, TaskConfig)
        for setting in settings_of(task, config.sizes):
            episode = TaskEpisodes(sizes_at(config.sizes, setting), batch=2)(0)
            assert episode.inputs.shape[-1] == config.sizes.input_size
    assert sizes_at(Copy(), {"length": 120}) == Copy(shortest=120, longest=120)
    at = sizes_at(RepeatCopy(), {"length": 20, "repeats": 10})
    assert at == RepeatCopy(shortest=20, longest=20, fewest=10, most=10)


@pytest.mark.parametrize("task", [ContinuousRecall, ForgettingRecall])
@pytest.mark.parametrize(("keys", "largest"), [(3, None), (4, 4), (10, 8), (300, 256)])
def test_recall_is_evaluated_with_no_more_pairs_than_keys(task: Any, keys: int, largest: int | None) -> None:
    sizes = task(most=2, keys=keys, values=2)
    found = [setting["pairs"] for setting in settings_of(task.name, sizes)[1:]]
    assert found == [pairs for pairs in (4, 8, 16, 32, 64, 128, 256) if largest is not None and pairs <= largest]
    pictured = [setting["pairs"] for setting in pictured_settings(task.name, sizes)]
    assert pictured == [2] if largest is None else pictured == [2, largest]


@pytest.mark.parametrize("task", ["continuous-recall", "forgetting-recall"])
def test_recall_of_few_keys_is_evaluated_and_pictured(task: str) -> None:
    sizes = replace(tiny(task).sizes, keys=10)  # pyright: ignore[reportCallIssue]
    config = tiny(task, sizes=sizes)
    network = build_network(config.model, 0, sizes.input_size, sizes.output_size)
    found = evaluate_task(network, config, torch.device("cpu"), 2)
    assert [entry["setting"] for entry in found["results"]] == [{}, {"pairs": 4}, {"pairs": 8}]
    traces = task_traces(network, config, torch.device("cpu"))
    assert [int(trace.episode.mask.sum()) for trace in traces] == [2, 8]


def test_evaluation_needs_two_sequences() -> None:
    network = build_network(tiny().model, 0, 3, 2)
    with pytest.raises(InputError, match="`episodes` 1: at least 2 are needed"):
        evaluate_task(network, tiny(), torch.device("cpu"), 1)
