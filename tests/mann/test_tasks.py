"""The algorithmic tasks as they are trained and evaluated."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data import InputError
from episodes import TASKS, Copy, RepeatCopy, TaskEpisode, TaskEpisodes
from mann.config import Config, TaskConfig, checked, config_from_json, config_json, differing, preset
from mann.runs import Run
from mann.tasks import TESTS, TaskProblem, count_bits, evaluate_task, measure, sizes_at
from mann.training import Pace, fit

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
    found = count_bits(torch.tensor(logits), episode)
    for sequence in range(batch):
        cost, wrong, asked = 0.0, 0, 0
        for step, bit in numpy.ndindex(time, width):
            if mask[step, sequence]:
                chance = 1 / (1 + math.exp(-logits[step, sequence, bit]))
                right = chance if targets[step, sequence, bit] else 1 - chance
                cost, asked = cost - math.log2(right), asked + 1
                wrong += right < 0.5
        assert found.cost[sequence].item() == pytest.approx(cost, abs=1e-5)
        assert (found.wrong[sequence], found.asked[sequence]) == (wrong, asked)


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
    found = measure(Knows(5, mistakes), source, 6)
    assert found["wrong_bits_per_sequence"] == mistakes
    assert found["exact_sequences"] == exact
    assert found["bit_error_rate"] == pytest.approx(mistakes / 10)
    assert found["bits_per_sequence"] == pytest.approx(mistakes * 10 / math.log(2), abs=1e-2)


def test_a_loss_is_the_mean_cost_of_a_bit_and_counts_are_of_each_sequence() -> None:
    problem = TaskProblem(tiny(), CPU)
    episode = problem.episode(3)
    loss, counts = problem.loss(episode)
    bits = count_bits(problem.model(episode.inputs)[0], episode)
    assert loss.item() == pytest.approx(bits.cost.sum().item() * math.log(2) / bits.asked.sum().item())
    assert counts.counted.shape == counts.of.shape == (4, problem.counts)
    means = (counts.counted.sum(0) / counts.of.sum(0)).tolist()
    line = problem.summary(means)
    assert line["bits_per_sequence"] == pytest.approx(bits.cost.mean().item())
    assert line["bit_error_rate"] == pytest.approx((bits.wrong.sum() / bits.asked.sum()).item())


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
    assert set(lines[0][-1]["validation"]) > {"bits_per_sequence", "exact_sequences"}
    checkpoints = [run.last_checkpoint() for run in runs]
    for one, other in zip(*(checkpoint.weights.values() for checkpoint in checkpoints if checkpoint), strict=True):
        assert torch.equal(one, other)
    if task != "repeat-copy":  # long sequences
        result = evaluate_task(runs[0], CPU, 3)
        assert result["task"] == task and result["sequences"] == 4
        assert [entry["setting"] for entry in result["results"]] == [{}, *TESTS[task]]
        assert all(0 <= entry["bit_error_rate"] <= 1 for entry in result["results"])
        json.dumps(result)


def test_sizes_beyond_the_training_can_be_asked_of_every_task() -> None:
    for task, sizes in TESTS.items():
        config = tiny(task) if task != "copy" else preset(task)
        for setting in sizes:
            assert isinstance(config, TaskConfig)
            episode = TaskEpisodes(sizes_at(config.sizes, setting), batch=2)(0)
            assert episode.inputs.shape[-1] == config.sizes.input_size
    assert sizes_at(Copy(), {"length": 120}) == Copy(shortest=120, longest=120)
    at = sizes_at(RepeatCopy(), {"length": 20, "repeats": 10})
    assert at == RepeatCopy(shortest=20, longest=20, fewest=10, most=10)


def test_evaluation_refuses_what_it_cannot_measure(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.start(tiny(), None, {})
    with pytest.raises(InputError, match="at least 1"):
        evaluate_task(run, CPU, 0)
    with pytest.raises(InputError, match="no checkpoint yet"):
        evaluate_task(run, CPU, 1)


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
    with pytest.raises(InputError, match="no preset for copy is named 'paper': use default"):
        preset("copy", "paper")


def test_a_tiny_copy_task_is_learned(tmp_path: Path) -> None:
    config = tiny(hidden_size=32, word_size=8, batch=16, episodes=16 * 700, learning_rate=1e-2)
    run = Run(tmp_path / "run")
    run.start(config, None, {})
    problem = TaskProblem(config, CPU)
    before = problem.validate()["validation"]["wrong_bits_per_sequence"]
    fit(problem, config, run, Pace(log=700, validate=700))
    after = run.metrics()[-1]["validation"]["wrong_bits_per_sequence"]
    assert before > 1 and after < 0.1
