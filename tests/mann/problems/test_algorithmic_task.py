"""The algorithmic tasks as problems: they train, stop and resume, are evaluated, and are learned at toy size."""

import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch

from episodes import TASKS, StringTask, TaskEpisodes
from mann.addressing import LRUA, Delta
from mann.evaluation.answers import answers_of
from mann.evaluation.task_costs import evaluate_task, measure, settings_of
from mann.problems.algorithmic_task import TaskProblem
from mann.runs import Run, load_run
from mann.training import LoggingInterval, fit
from tests.mann.problems.tiny_tasks import tiny
from tests.mann.training.comparing import assert_same, lines, stop_after

CPU = torch.device("cpu")


def test_a_loss_is_the_mean_cost_of_a_bit_in_nats() -> None:
    problem = TaskProblem(tiny(episodes=12), CPU)  # a long training would be compiled
    loss, counts = problem.loss(problem.episode(3))
    means = (counts.counted.sum(0) / counts.of.sum(0)).tolist()
    line = problem.summary(3, means)
    bits = counts.of[:, 3].sum().item()
    assert loss.item() == pytest.approx(line["bits_per_sequence"] * 4 * math.log(2) / bits)
    assert line["bit_error_rate"] == pytest.approx(line["wrong_bits_per_sequence"] * 4 / bits)


@pytest.mark.parametrize("task", TASKS)
def test_every_task_trains_resumes_and_is_evaluated(task: str, tmp_path: Path) -> None:
    config = tiny(task, episodes=12, batch=2)
    interval = LoggingInterval(log=1, validate=100, save_seconds=0)
    whole, stopped = Run(tmp_path / "whole"), Run(tmp_path / "stopped")
    for run in (whole, stopped):
        run.start(config, None, {"command": "none"})
    fit(TaskProblem(config, CPU), config, whole, interval)
    fit(TaskProblem(config, CPU), config, stopped, interval, stopping=stop_after(3))
    assert stopped.steps_done() == 3
    fit(TaskProblem(config, CPU), config, stopped, interval)
    assert_same(whole, stopped)
    assert len(lines(whole)) == 6
    assert list(lines(whole)[-1]["validation"]) == list(answers_of(task).figures)
    at_length = issubclass(TASKS[task], StringTask) or task == "repeat-copy"
    if not at_length:  # the sequences of the others are too long for a test
        loaded = load_run(whole, CPU)
        assert loaded.task == config and loaded.split is None
        result = evaluate_task(loaded.model, config, CPU, 3)
        assert result["task"] == task and result["sequences"] == 3
        assert [entry["setting"] for entry in result["results"]] == settings_of(task, config.sizes)
        for entry, (name, figures) in product(result["results"], answers_of(task).figures.items()):
            low, high = entry["intervals"][name]
            assert low <= entry[name] <= high, figures
        json.dumps(result)


def test_a_tiny_copy_task_is_learned(tmp_path: Path) -> None:
    config = tiny(hidden_size=32, word_size=8, batch=16, episodes=16 * 200, learning_rate=1e-2)
    run = Run(tmp_path / "run")
    run.start(config, None, {})
    problem = TaskProblem(config, CPU)
    before = problem.validate()["validation"]["wrong_bits_per_sequence"]
    fit(problem, config, run, LoggingInterval(log=200, validate=200))
    after = run.metrics()[-1]["validation"]["wrong_bits_per_sequence"]
    assert before > 1 and after < 0.1


QUICK_TO_LEARN = {"scheme": LRUA(read_heads=2, key_strength=8.0, write_vector="add", least_used="own")}
TOKENS = [name for name, task in TASKS.items() if task.answer_kind == "tokens"]
TRAININGS: dict[str, tuple[int, dict[str, Any]]] = {
    "repeat-copy": (150, {"learning_rate": 3e-2}),
    "associative-recall": (200, {"learning_rate": 2e-2, **QUICK_TO_LEARN}),
    "ngrams": (80, {"learning_rate": 3e-2, **QUICK_TO_LEARN}),
    "priority-sort": (150, {"learning_rate": 3e-2, **QUICK_TO_LEARN}),
    "regression": (100, {"learning_rate": 1e-2, **QUICK_TO_LEARN}),
    **dict.fromkeys(TOKENS, (250, {"learning_rate": 1e-2, "warm_up": 50, "scheme": Delta()})),
}
"""For each task: training steps, too few to be compiled, and other options than the defaults."""


@pytest.mark.parametrize("task", TRAININGS)
def test_each_task_is_learned_at_toy_size(task: str, tmp_path: Path) -> None:
    """Little is left of the cost of a network without a memory, which has to guess; half of it for functions."""
    steps, options = TRAININGS[task]
    config = tiny(task, hidden_size=64, slots=16, word_size=8, batch=32, episodes=32 * steps, **options)
    run = Run(tmp_path / "run")
    run.start(config, None, {})
    problem = TaskProblem(config, CPU)
    fit(problem, config, run)
    found = measure(problem.model, answers_of(task), TaskEpisodes(config.sizes, config.batch, seed=1), 10)
    if task == "ngrams":  # without a memory 6.6 above: each of 19 bits is a guess
        assert found["references"]["Bayes estimate"]["above"] < 2.0
    elif task == "regression":  # without a memory 1, the variance of the functions
        assert found["squared_error"] < 0.5
    elif "token_accuracy" in found:  # of two tokens half are right by guessing; of five positions a fifth
        assert found["token_accuracy"] > 0.95
    else:  # without a memory 0.5
        assert found["bit_error_rate"] < 0.15
