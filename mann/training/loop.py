"""Training on episodes: one loop, its state explicit, so that it can stop and go on anywhere."""

import math
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.tensorboard import SummaryWriter

from data import InputError
from mann.runs.run import Checkpoint, Follower, Run
from mann.settings.schema import AnyConfig, Config, Settings
from mann.training.distributed import ALONE, Team


class Counts(NamedTuple):
    """What is counted in each sequence, and out of how many: both [batch, counts]."""

    counted: Tensor
    of: Tensor


class Problem(Protocol):
    """What is learned, as `fit` asks for it.

    Attributes:
        carried: What the sequences of the next step go on from: tensors without gradients, in tuples and the like, that
            `loss` replaces; None where each step begins anew.
    """

    carried: Any

    @property
    def model(self) -> nn.Module:
        """What is trained, on the device."""
        ...

    @property
    def description(self) -> str:
        """What it is, in a line."""
        ...

    @property
    def counts(self) -> int:
        """How many things are counted."""
        ...

    def episode(self, step: int) -> Any:
        """Return the training episodes of a step."""
        ...

    def loss(self, episode: Any) -> tuple[Tensor, Counts]:
        """Return the loss, [], and what is counted."""
        ...

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return means of what was counted until `step`, None where there was nothing, for a line of metrics."""
        ...

    def validate(self) -> dict[str, Any]:
        """Return how well the model does where it was not trained, for a line of metrics."""
        ...


@dataclass(frozen=True)
class Pace:
    """How often the training reports and saves; nothing here changes what is learned.

    Attributes:
        log: Steps between two lines of metrics.
        validate: Steps between two looks at the validation classes, a multiple of `log`.
        save_seconds: Seconds between two checkpoints.
    """

    log: int = 100
    validate: int = 1000
    save_seconds: float = 30.0


@dataclass
class Sums:
    """What has been counted since the last line of metrics: float64 sums, kept on the device.

    Attributes:
        loss: [], over steps.
        steps: How many.
        counted, of: [counts].
        skipped: Steps that were left out because they were not finite.
    """

    loss: Tensor
    steps: int
    counted: Tensor
    of: Tensor
    skipped: int = 0

    @classmethod
    def zero(cls, counts: int, device: torch.device) -> "Sums":
        """Return empty sums."""
        zeros = torch.zeros(counts, dtype=torch.float64, device=device)
        return cls(torch.zeros((), dtype=torch.float64, device=device), 0, zeros, zeros.clone())

    def add(self, loss: Tensor, counted: Tensor, of: Tensor) -> None:
        """Count one step, whose counts are summed over sequences."""
        self.loss += loss.detach()
        self.steps += 1
        self.counted += counted
        self.of += of

    def means(self) -> list[float | None]:
        """Return the mean of each count, None where there was nothing to count."""
        pairs = zip(self.counted.tolist(), self.of.tolist(), strict=True)
        return [counted / of if of else None for counted, of in pairs]


Report = Callable[[dict[str, Any]], None]
"""Called with every line of metrics."""


LATELY = 100
"""Steps over which the norm of the gradient is looked back on."""


class NotFiniteError(ArithmeticError):
    """The loss or the gradient is not finite; the weights are still those of the step before."""


def build_optimizer(config: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of the config; the group of an encoder has its `share` of the learning rate."""
    encoder = set(getattr(model, "encoder", nn.Module()).parameters())
    groups: list[dict[str, Any]] = [{"params": [one for one in model.parameters() if one not in encoder]}]
    if encoder and isinstance(config, Config):
        within = [one for one in model.parameters() if one in encoder]
        groups = [{"params": within, "share": config.encoder_rate}, *groups]
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, config.learning_rate, alpha=0.95, eps=config.epsilon, momentum=0.9)
    return torch.optim.Adam(groups, config.learning_rate, eps=config.epsilon, fused=True)


def learning_rate(config: Settings, step: int) -> float:
    """Return the learning rate of a step (from 0): a linear warm-up, then a half cosine or a constant."""
    share = min(1.0, (step + 1) / (config.warm_up + 1))
    if config.schedule == "cosine":
        share *= 0.5 + 0.5 * math.cos(math.pi * step / config.steps)
    return config.learning_rate * share


def largest_norm(config: Settings, step: int, norms: Sequence[float]) -> float:
    """Return the norm to which the gradient of a step is scaled down, given those of the steps before it.

    A sequence whose heads go astray can have 10,000 times the usual gradient. Adam, whose steps do not depend on the
    scale, then goes far in the direction of one batch, and what was learned is lost. What is usual changes as much in
    the course of a training, hence the median of late, after AutoClip (Seetharaman et al. 2020, arXiv 2007.14469).
    The limit rises as the learning rate falls: the update cannot go as far then, and what few sequences teach is heard.
    """
    usual = statistics.median(norms) if norms else 0.0
    if config.clip_to_median is None or usual == 0.0:
        return config.clip
    share = learning_rate(config, step) / config.learning_rate
    return min(config.clip, config.clip_to_median * usual / share)


def fit(
    problem: Problem,
    config: AnyConfig,
    run: Run,
    pace: Pace | None = None,
    report: Report | None = None,
    stopping: Callable[[], bool] | None = None,
    team: Team = ALONE,
) -> None:
    """Train until the config's number of steps is done, going on from the run's last checkpoint.

    Where it starts and how often it stops makes no difference to the weights nor, but for the seconds, to the metrics.
    How many processes train makes none but that of rounding.

    Args:
        problem: What is learned.
        config: The settings, those of the run.
        run: A started run; the metrics, a TensorBoard log and checkpoints are written there.
        pace: How often to report and save.
        report: Called with every line of metrics.
        stopping: Asked after every step; when it returns true a checkpoint is written and training ends.
        team: The processes that train together, all of which call this; the run of all but the first is a `Follower`.

    Raises:
        InputError: the run's checkpoint or metrics are damaged, or another process trains it, or its folder cannot be
            written to any more; the last checkpoint is whole then.
        NotFiniteError: the loss or a gradient is not finite; the state before that step is kept in the run's folder.
        LostError: another process of the team has ended.
    """
    pace = pace or Pace()
    model = problem.model
    device = next(model.parameters()).device
    optimizer = build_optimizer(config, model)
    sums = Sums.zero(problem.counts, device)
    norms: deque[float] = deque(maxlen=LATELY)
    if problem.carried is not None and team.size > 1:
        raise InputError("--memory persistent: train in one process, which has the memory of all sequences of a batch")
    with run.written(), run.locked():
        start, seconds = _restore(run, problem, optimizer, sums, norms)
        if team.count(start) != team.size * start:
            raise InputError(f"the processes do not all see the checkpoints of {run.folder}: they need one disk")
        run.keep_metrics_until(start)
        began = saved = time.monotonic()

        def position(step: int) -> Checkpoint:
            state = {
                "optimizer": optimizer.state_dict(),
                "sums": vars(sums),
                "norms": list(norms),
                "carried": [] if problem.carried is None else pytree.tree_leaves(problem.carried),
                "seconds": seconds + time.monotonic() - began,
            }
            return Checkpoint(step, config, model.state_dict(), state)

        with _tensorboard(run, start) as board:
            for step in range(start, config.steps):
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(config, step) * group.get("share", 1.0)
                try:
                    with _tf32(config.precision == "tf32"):
                        _train_step(problem, optimizer, config, step, sums, norms, team)
                except NotFiniteError as error:
                    place = run.keep_nonfinite(position(step))
                    raise NotFiniteError(
                        f"{error}; the state before it is kept in {place}: start again in another --run with a lower "
                        "--learning-rate or --clip, or leave such steps out with --resume --on-nonfinite skip"
                    ) from error
                done = step + 1
                if done % pace.log == 0 or done == config.steps:
                    line = {
                        "step": done,
                        "episodes": done * config.batch,
                        "seconds": round(seconds + time.monotonic() - began, 3),
                        "learning_rate": learning_rate(config, step),
                        "loss": sums.loss.item() / sums.steps if sums.steps else None,
                        **problem.summary(step, sums.means()),
                    }
                    if config.on_nonfinite == "skip":
                        line["skipped"] = sums.skipped
                    if done % pace.validate == 0 or done == config.steps:
                        line.update(problem.validate())
                    sums = Sums.zero(problem.counts, device)
                    run.log(line)
                    _log_to_tensorboard(board, line)
                    if report is not None:
                        report(line)
                stop = team.count(stopping is not None and stopping()) > 0
                if stop or done == config.steps or time.monotonic() - saved > pace.save_seconds:
                    run.save(position(done))
                    saved = time.monotonic()
                if stop:
                    break
        team.wait()  # where this returns, the first process has saved


def _train_step(
    problem: Problem,
    optimizer: torch.optim.Optimizer,
    config: Settings,
    step: int,
    sums: Sums,
    norms: deque[float],
    team: Team = ALONE,
) -> None:
    """One update, if it is finite; what is counted is what the weights before it answered."""
    before = problem.carried
    episode = team.part(problem.episode(step), config.batch)
    with torch.autocast(sums.loss.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss, counts = problem.loss(episode)
    loss = loss * team.share(config.batch)  # a mean over sequences
    optimizer.zero_grad()
    loss.backward()
    counted, of = counts.counted.sum(0), counts.of.sum(0)
    team.add_up([loss.detach(), *_gradients(problem.model).values()])
    team.add_up([counted, of])
    norm = _norm(_gradients(problem.model).values())
    # The norm is finite only if every gradient is.
    if torch.isfinite(norm + loss.detach()):
        nn.utils.clip_grads_with_norm_(problem.model.parameters(), largest_norm(config, step, norms), norm)
        norms.append(norm.item())
        optimizer.step()
        sums.add(loss, counted, of)
        return
    problem.carried = before
    if config.on_nonfinite == "skip":
        sums.skipped += 1
    else:
        what = _not_finite(loss.item(), _gradients(problem.model))
        raise NotFiniteError(f"step {step} of seed {config.seed}: {what}")


def _norm(gradients: Collection[Tensor]) -> Tensor:
    """Return the norm of all gradients, [], finite if they are."""
    norm = nn.utils.get_total_norm(gradients)
    if torch.isfinite(norm):
        return norm
    # In float32 the square of 1e20 is not.
    return torch.stack([torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients]).norm()


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients by the name of their parameter."""
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def _not_finite(loss: float, gradients: Mapping[str, Tensor]) -> str:
    """Say what is not finite in a step in which something is not."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    names = [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]
    return f"the gradient of {names[0]} is not finite ({len(names)} of {len(gradients)} parameters)"


def _restore(
    run: Run, problem: Problem, optimizer: torch.optim.Optimizer, sums: Sums, norms: deque[float]
) -> tuple[int, float]:
    """Put the last checkpoint back into place; returns the steps and the seconds done."""
    checkpoint = run.restore(problem.model)
    if checkpoint is None:
        return 0, 0.0
    try:
        optimizer.load_state_dict(checkpoint.training["optimizer"])
        for name, value in checkpoint.training["sums"].items():
            setattr(sums, name, value.to(sums.loss.device) if isinstance(value, Tensor) else value)
        norms.extend(checkpoint.training["norms"])
        if problem.carried is not None:
            leaves = [leaf.to(sums.loss.device) for leaf in checkpoint.training["carried"]]
            problem.carried = pytree.tree_unflatten(leaves, pytree.tree_structure(problem.carried))
        return checkpoint.step, checkpoint.training["seconds"]
    except (RuntimeError, KeyError, ValueError) as error:
        raise run.unfit(error) from error


@contextmanager
def _tf32(allowed: bool) -> Iterator[None]:
    """Let GPUs multiply with TF32, if it is so."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _tensorboard(run: Run, start: int) -> Iterator[SummaryWriter | None]:
    """Open the TensorBoard log, if the run is written; what was written after step `start` is marked as replaced."""
    if isinstance(run, Follower):
        yield None
        return
    before = threading.excepthook

    def quiet(failed: threading.ExceptHookArgs) -> None:
        # The thread that writes hands its error on, and need not print it too.
        if not issubclass(failed.exc_type, OSError):
            before(failed)

    threading.excepthook = quiet
    try:
        with SummaryWriter(str(run.folder / "tensorboard"), purge_step=start + 1 if start else None) as board:
            yield board
    finally:
        threading.excepthook = before


def _log_to_tensorboard(board: SummaryWriter | None, line: dict[str, Any]) -> None:
    """Write the numbers of a line of metrics, those within another under the name of both."""
    if board is None:
        return
    for name, value in line.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                label = f"instance {int(inner):02d}" if inner.isdigit() else inner
                board.add_scalar(f"{name}/{label}", number, line["step"])
        elif name not in ("step", "episodes", "seconds") and value is not None:
            board.add_scalar(name.replace("_", " "), value, line["step"])
    board.flush()  # before the checkpoint that follows, like the line itself
