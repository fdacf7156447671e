"""The training loop."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final

from annotated_types import Ge

from data import InputError
from data.checking import AtLeastOne, Checked
from mann.runs import Run
from mann.settings import AnyConfig
from mann.training.distributed import SINGLE_PROCESS, ProcessGroup
from mann.training.optimisation import learning_rate
from mann.training.problem import Problem
from mann.training.state import Sums, TrainingState
from mann.training.step import NotFiniteError, tf32, train_step
from mann.training.step_time import StepTime
from mann.training.tensorboard import log_to_tensorboard, tensorboard

SLOWER: Final = (
    "steps take {:.0f} times as long as they did: if other processes are at work, threads wait for each other; stop "
    "this training and `resume` it with OMP_NUM_THREADS=1 in the environment"
)

OnMetrics = Callable[[dict[str, Any]], None]
"""Called with every line of metrics."""


@dataclass(frozen=True)
class LoggingInterval(Checked):
    """How often the training logs, validates and saves; the weights do not depend on it.

    Attributes:
        log: Steps between two lines of metrics.
        validate: Steps between two validations, a multiple of `log`.
        save_seconds: Seconds between two checkpoints; 0 saves after every step.
    """

    name: ClassVar = "training"
    log: AtLeastOne = 100
    validate: AtLeastOne = 1000
    save_seconds: Annotated[float, Ge(0)] = 30.0


def fit(
    problem: Problem,
    config: AnyConfig,
    run: Run,
    interval: LoggingInterval | None = None,
    report: OnMetrics | None = None,
    stopping: Callable[[], bool] | None = None,
    group: ProcessGroup = SINGLE_PROCESS,
) -> None:
    """Train until the settings' number of steps is done, continuing from the run's last checkpoint.

    However often the training stops and continues, the weights are the same, and so are the metrics except for the
    seconds. The number of processes changes rounding errors alone.

    Args:
        problem: The model and its episodes.
        config: The settings, those of the run.
        run: A started run; metrics, a TensorBoard log and checkpoints are written to it.
        interval: How often to log, validate and save.
        report: Called with every line of metrics.
        stopping: Called after every step; if it returns true, a checkpoint is written and the training ends.
        group: The processes that train together, each of which calls this function; the run of all but the main process
            is a `RunReader`.

    Raises:
        InputError: the run's checkpoint or metrics are damaged, another process trains the run, or its folder cannot be
            written to any more; the last checkpoint is whole then.
        NotFiniteError: the loss or a gradient is not finite; the state before that step is kept in the run's folder.
        LostError: another process of the group has ended.

    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> from mann.problems import open_problem
    >>> from mann.settings import preset
    >>> config = preset("copy", episodes=64, slots=16, **{"sizes.longest": 3})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run(Path(folder))
    ...     fit(open_problem(config, run, torch.device("cpu")), config, run)
    ...     run.steps_done()
    2
    """
    interval = interval or LoggingInterval()
    if problem.carry is not None and group.size > 1:
        raise InputError("`memory=persistent`: train in one process, which has the memory of all sequences of a batch")
    state = TrainingState.initial(problem, config)
    with run.written(), run.locked():
        start = state.restore(run)
        if group.sum(start) != group.size * start:
            raise InputError(f"the processes do not all see the checkpoints of {run.folder}: they need one disk")
        run.keep_metrics_until(start)
        saved, step_time, warned = time.monotonic(), StepTime(), False
        with tensorboard(run, start) as board:
            for step in range(start, config.steps):
                began = time.monotonic()
                _train_or_keep(state, step, run, group)
                ratio = step_time.slower(time.monotonic() - began)
                if ratio and not warned:
                    warnings.warn(SLOWER.format(ratio), stacklevel=2)
                    warned = True
                done = step + 1
                last = done == config.steps
                if done % interval.log == 0 or last:
                    line = _metrics(state, step, done % interval.validate == 0 or last)
                    run.log(line)
                    log_to_tensorboard(board, line)
                    if report is not None:
                        report(line)
                stop = group.sum(stopping is not None and stopping()) > 0
                if stop or last or time.monotonic() - saved > interval.save_seconds:
                    run.save(state.checkpoint(done))
                    saved = time.monotonic()
                if stop:
                    break
        group.barrier()  # no process returns before the main process has saved


def _train_or_keep(state: TrainingState, step: int, run: Run, group: ProcessGroup) -> None:
    """Do a training step; if it is not finite, keep the state before it."""
    try:
        with tf32(state.config.precision == "tf32"):
            train_step(state, step, group)
    except NotFiniteError as error:
        kept = run.keep_nonfinite(state.checkpoint(step))
        raise NotFiniteError(
            f"{error}; the state before it is kept in {kept}: start again in another `run` with a lower "
            "`learning_rate` or `clip`, or `resume` with `on_nonfinite=skip`"
        ) from error


def _metrics(state: TrainingState, step: int, validate: bool) -> dict[str, Any]:
    """Return the line of metrics after a step (from 0), and start new sums."""
    problem, config, sums = state.problem, state.config, state.sums
    line = {
        "step": step + 1,
        "episodes": (step + 1) * config.batch,
        "seconds": round(state.seconds, 3),
        "learning_rate": learning_rate(config, step),
        "loss": sums.mean_loss(),
        **problem.summary(step, sums.means()),
    }
    if config.on_nonfinite == "skip":
        line["skipped"] = sums.skipped
    if validate:
        line.update(problem.validate())
    state.sums = Sums.zero(problem.counts, sums.loss.device)
    return line
