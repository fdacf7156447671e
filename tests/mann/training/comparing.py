"""Stopping trainings, and comparing runs bit for bit."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from mann.runs import Checkpoint, Run
from mann.settings import AnyConfig
from mann.training import LoggingInterval, Problem
from mann.training.distributed import SINGLE_PROCESS
from mann.training.optimisation import RECENT_STEPS, learning_rate
from mann.training.state import Sums, TrainingState
from mann.training.step import train_step

OFTEN = LoggingInterval(log=3, validate=6, save_seconds=1e9)


def stop_after(steps: int) -> Callable[[], bool]:
    """Return a callback that asks to stop after so many steps."""
    done = iter(range(1, 10**6))
    return lambda: next(done) == steps


def position(run: Run) -> Checkpoint:
    """Return the last checkpoint, which has to exist."""
    found = run.last_checkpoint()
    assert found is not None
    return found


def bits(content: Any) -> Any:
    """Return nested containers with their tensors as bytes, so that equal means equal bit for bit."""
    if isinstance(content, torch.Tensor):
        return str(content.dtype), tuple(content.shape), content.numpy().tobytes()
    if isinstance(content, dict):
        return {key: bits(value) for key, value in content.items() if key != "seconds"}
    if isinstance(content, list | tuple):
        return [bits(value) for value in content]
    return content


def lines(run: Run) -> list[dict[str, Any]]:
    """Return the metrics without the seconds."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in run.metrics()]


def assert_same(one: Run, other: Run) -> None:
    """Check that two runs are in the same state: weights, optimiser, sums, metrics."""
    assert position(one).step == position(other).step
    assert bits(position(one).weights) == bits(position(other).weights)
    assert bits(position(one).training) == bits(position(other).training)
    assert lines(one) == lines(other)


def descending(problem: Problem, config: AnyConfig, norms: Sequence[float] = ()) -> TrainingState:
    """Return a state whose optimiser subtracts the clipped gradient from the weights in step 0."""
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=1.0)
    sums = Sums.zero(problem.counts, torch.device("cpu"))
    optimizer.param_groups[0]["share"] = 1 / learning_rate(config, 0)  # of the step's learning rate
    return TrainingState(problem, config, optimizer, sums, deque(norms, maxlen=RECENT_STEPS))


def step_of(problem: Problem, config: AnyConfig, norms: Sequence[float] = ()) -> tuple[torch.Tensor, TrainingState]:
    """Do step 0; returns by how much the weights moved, [weights], and the state after it."""
    state = descending(problem, config, norms)
    before = [parameter.detach().clone() for parameter in problem.model.parameters()]
    train_step(state, 0, SINGLE_PROCESS)
    pairs = zip(before, problem.model.parameters(), strict=True)
    return torch.cat([(old - new).detach().flatten() for old, new in pairs]), state
