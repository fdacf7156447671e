"""The algorithmic tasks as they are trained and evaluated."""

import json
import math
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from data import InputError
from episodes import (
    TASKS,
    AssociativeRecall,
    Copy,
    NGrams,
    PrioritySort,
    Regression,
    RepeatCopy,
    Task,
    TaskEpisode,
    TaskEpisodes,
    bayes_estimate,
)
from mann.addressing import LRUA
from mann.evaluation.answers import BitAnswers, GaussianAnswers, answers_of
from mann.evaluation.task_costs import SWEEPS, evaluate_task, measure, settings_of, sizes_at
from mann.models.building import build_network
from mann.problems.algorithmic_task import TaskProblem
from mann.runs.run import Run
from mann.settings.schema import (
    TASK_PRESETS,
    Config,
    TaskConfig,
    checked,
    config_from_json,
    config_json,
    differing,
    preset,
)
from mann.training.loop import Pace, fit

CPU = torch.device("cpu")


def tiny(task: str = "copy", **changes: Any) -> TaskConfig:
    """Return settings of a network that trains in a second."""
    config = preset(task)
    assert isinstance(config, TaskConfig)
    sizes = Copy(bits=2, shortest=1, longest=2) if task == "copy" else config.sizes
    return replace(config, **{"sizes": sizes, "hidden_size": 8, "slots": 5, "word_size": 4, "batch": 4, **changes})


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


class Knows(torch.nn.Module):
    """Answers a copy task as it should, but for the first `mistakes` bits of each sequence."""

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
def test_what_is_measured_is_what_was_planted(mistakes: int, exact: float) -> None:
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


def test_what_a_network_pays_above_an_estimator_is_paired() -> None:
    """A network that answers as counting with a shorter context does pays what that costs, to rounding."""
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
    # Differences of the same sequences vary less than what they are differences of.
    low, high = found["intervals"]["bits_per_sequence"]
    assert best["interval"][1] - best["interval"][0] < high - low


def test_a_loss_is_the_mean_cost_of_a_bit_in_nats() -> None:
    problem = TaskProblem(tiny(), CPU)
    loss, counts = problem.loss(problem.episode(3))
    means = (counts.counted.sum(0) / counts.of.sum(0)).tolist()
    line = problem.summary(3, means)
    bits = counts.of[:, 3].sum().item()
    assert loss.item() == pytest.approx(line["bits_per_sequence"] * 4 * math.log(2) / bits)
    assert line["bit_error_rate"] == pytest.approx(line["wrong_bits_per_sequence"] * 4 / bits)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_trains_stops_goes_on_the_same_and_is_evaluated(task: str, tmp_path: Path) -> None:
    config = tiny(task, episodes=12, batch=2)
    pace = Pace(log=1, validate=6, save_seconds=0)
    runs = [Run(tmp_path / name) for name in ("whole", "stopped")]
    for run in runs:
        run.start(config, None, {"command": "none"})
    fit(TaskProblem(config, CPU), config, runs[0], pace)
    steps = iter([False, False, True])
    fit(TaskProblem(config, CPU), config, runs[1], pace, stopping=lambda: next(steps))
    assert runs[1].steps_done() == 3
    fit(TaskProblem(config, CPU), config, runs[1], pace)
    lines = [[{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics()] for run in runs]
    assert lines[0] == lines[1] and len(lines[0]) == 6
    assert list(lines[0][-1]["validation"]) == list(answers_of(task).figures)
    checkpoints = [run.last_checkpoint() for run in runs]
    for one, other in zip(*(checkpoint.weights.values() for checkpoint in checkpoints if checkpoint), strict=True):
        assert torch.equal(one, other)
    if task != "repeat-copy":  # long sequences
        result = evaluate_task(runs[0], CPU, 3)
        assert result["task"] == task and result["sequences"] == 3
        assert [entry["setting"] for entry in result["results"]] == settings_of(task)
        for entry, (name, figures) in product(result["results"], answers_of(task).figures.items()):
            low, high = entry["intervals"][name]
            assert low <= entry[name] <= high, figures
        json.dumps(result)


def test_sizes_beyond_the_training_can_be_asked_of_every_task() -> None:
    for task in SWEEPS:
        config = preset(task)
        for setting in settings_of(task):
            assert isinstance(config, TaskConfig)
            episode = TaskEpisodes(sizes_at(config.sizes, setting), batch=2)(0)
            assert episode.inputs.shape[-1] == config.sizes.input_size
    assert sizes_at(Copy(), {"length": 120}) == Copy(shortest=120, longest=120)
    at = sizes_at(RepeatCopy(), {"length": 20, "repeats": 10})
    assert at == RepeatCopy(shortest=20, longest=20, fewest=10, most=10)


def test_evaluation_refuses_what_it_cannot_measure(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(tiny(), None, {})
    with pytest.raises(InputError, match="--episodes 1: at least 2"):
        evaluate_task(run, CPU, 1)
    with pytest.raises(InputError, match="no checkpoint yet"):
        evaluate_task(run, CPU, 2)


@pytest.mark.parametrize("task", TASKS)
def test_settings_of_tasks_go_through_json(task: str) -> None:
    config = tiny(task)
    assert checked(config) == config
    with pytest.raises(InputError, match=r"here: sizes\.bats: Unexpected"):
        content = json.loads(config_json(config))
        config_from_json(json.dumps({**content, "sizes": {**content["sizes"], "bats": 3}}), "here")
    with pytest.raises(InputError, match="no task is named 'sort'"):
        config_from_json(json.dumps({**json.loads(config_json(config)), "task": "sort"}), "here")


def test_settings_of_different_tasks_differ_in_the_task() -> None:
    assert differing(tiny(), tiny(hidden_size=9)) == ["hidden_size is 8, not 9"]
    assert differing(preset("copy"), preset("ngrams")) == ["task is copy, not ngrams"]
    assert differing(preset("copy"), Config("strokes")) == ["task is copy, not strokes"]
    with pytest.raises(InputError, match="no preset for copy is named 'paper': use one of default, lstm, paper-f"):
        preset("copy", "paper")


LSTM_PARAMETERS = {
    "copy": (1_352_969, 10, 9),
    "repeat-copy": (5_312_007, 8, 7),
    "associative-recall": (1_344_518, 8, 6),
    "ngrams": (331_905, 1, 1),
}
"""By task, parameters of table 3 of Graves et al. 2014, and the inputs and outputs that they fit."""


@pytest.mark.parametrize("task", LSTM_PARAMETERS)
def test_the_papers_lstm_has_the_papers_parameters_but_for_what_is_named(task: str) -> None:
    config = preset(task, "paper-lstm")
    parameters, inputs, outputs = LSTM_PARAMETERS[task]
    network = build_network(config, inputs, outputs)
    units, layers = config.hidden_size, config.layers
    skips = (layers - 1) * (
        4 * inputs * units + outputs * units
    )  # from the input to every layer, from all to the output
    start, second_bias = 2 * layers * units, 4 * layers * units
    assert sum(weight.numel() for weight in network.parameters()) == parameters - skips - start + second_bias


@pytest.mark.parametrize("setting", [name for name in TASK_PRESETS if name.startswith("paper")])
@pytest.mark.parametrize("task", [task for task in TASKS if task != "regression"])
def test_the_papers_settings_train(task: str, setting: str, tmp_path: Path) -> None:
    config = checked(preset(task, setting))
    assert isinstance(config, TaskConfig)
    assert (config.optimizer, config.schedule, config.episodes) == ("rmsprop", "constant", 1_000_000)
    small = replace(config, episodes=2, batch=1, hidden_size=8)
    run = Run(tmp_path)
    run.start(small, None, {})
    fit(TaskProblem(small, CPU), small, run)
    assert run.steps_done() == 2


@pytest.mark.parametrize("task", ["copy", "associative-recall", "repeat-copy"])
def test_the_lstm_to_compare_with_sees_as_many_sequences_of_the_same_task(task: str) -> None:
    ours, beside = preset(task), preset(task, "lstm")
    assert (beside.addressing, beside.controller) == ("none", "lstm")
    assert (ours.episodes, ours.batch, ours.sizes, ours.schedule) == (  # pyright: ignore[reportAttributeAccessIssue]
        beside.episodes,
        beside.batch,
        beside.sizes,  # pyright: ignore[reportAttributeAccessIssue]
        beside.schedule,
    )


def test_a_tiny_copy_task_is_learned(tmp_path: Path) -> None:
    config = tiny(hidden_size=32, word_size=8, batch=16, episodes=16 * 700, learning_rate=1e-2)
    run = Run(tmp_path / "run")
    run.start(config, None, {})
    problem = TaskProblem(config, CPU)
    before = problem.validate()["validation"]["wrong_bits_per_sequence"]
    fit(problem, config, run, Pace(log=700, validate=700))
    after = run.metrics()[-1]["validation"]["wrong_bits_per_sequence"]
    assert before > 1 and after < 0.1


TOYS: dict[str, tuple[Task, int, dict[str, Any]]] = {
    "repeat-copy": (RepeatCopy(bits=2, longest=2, most=2, trained_most=2), 600, {"learning_rate": 1e-2}),
    "associative-recall": (AssociativeRecall(bits=3, vectors=1, most=3), 600, {"learning_rate": 5e-3}),
    "ngrams": (NGrams(context=1, length=30), 300, {"learning_rate": 5e-3}),
    "priority-sort": (PrioritySort(bits=3, items=3, answers=2), 500, {"learning_rate": 5e-3}),
    "regression": (
        Regression(points=15, length_scale=1.0),
        400,
        {
            "learning_rate": 5e-3,
            "addressing": "lrua",
            "scheme": LRUA(read_heads=2, key_strength=8.0, write_vector="add", least_used="own"),
        },
    ),
}
"""Of each task small episodes, training steps, and what else differs from the default settings."""


@pytest.mark.parametrize("task", TOYS)
def test_each_task_is_learned_at_toy_size(task: str, tmp_path: Path) -> None:
    """Of what a network without a memory has to guess, little is left; half of it for functions."""
    sizes, steps, changes = TOYS[task]
    config = tiny(task, sizes=sizes, hidden_size=64, slots=16, word_size=8, batch=32, episodes=32 * steps, **changes)
    run = Run(tmp_path / "run")
    run.start(config, None, {})
    problem = TaskProblem(config, CPU)
    fit(problem, config, run)
    found = measure(problem.model, answers_of(task), TaskEpisodes(sizes, config.batch, seed=1), 10)
    if task == "ngrams":  # without a memory 11 above: each of 29 bits is a guess
        assert found["references"]["Bayes estimate"]["above"] < 1.5
    elif task == "regression":  # without a memory 1, the variance of the functions
        assert found["squared_error"] < 0.5
    else:  # without a memory 0.5
        assert found["bit_error_rate"] < 0.1
