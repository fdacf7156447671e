"""The state of a training: the optimiser, sums for the next line of metrics, gradient norms, the carry, the time."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mann.runs import Checkpoint, Run
from mann.settings import AnyConfig
from mann.support.trees import leaves_of, structure_of, unflatten
from mann.training.optimisation import RECENT_STEPS, build_optimizer
from mann.training.problem import Problem


@dataclass
class Sums:
    """Sums since the last line of metrics, float64, on the device.

    Attributes:
        loss: [], over steps.
        steps: Number of steps.
        counted, of: [counts]; see `Counts`.
        skipped: Steps that were skipped because they were not finite.
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
        """Add one step, whose counts are summed over sequences."""
        self.loss += loss.detach()
        self.steps += 1
        self.counted += counted
        self.of += of

    def means(self) -> list[float | None]:
        """Return the mean of each count, None where nothing was counted."""
        pairs = zip(self.counted.tolist(), self.of.tolist(), strict=True)
        return [counted / of if of else None for counted, of in pairs]

    def mean_loss(self) -> float | None:
        """Return the mean loss, None if every step was skipped."""
        return self.loss.item() / self.steps if self.steps else None


@dataclass
class TrainingState:
    """The state of a training.

    Attributes:
        problem: The problem; its model and its carry are part of the state.
        config: The settings.
        optimizer: The optimiser.
        sums: Sums since the last line of metrics.
        norms: Gradient norms of the last steps.
        earlier: Seconds of training before the last start.
    """

    problem: Problem
    config: AnyConfig
    optimizer: torch.optim.Optimizer
    sums: Sums
    norms: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS))
    earlier: float = 0.0

    def __post_init__(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()

    @classmethod
    def initial(cls, problem: Problem, config: AnyConfig) -> "TrainingState":
        """Return the state before the first step."""
        device = next(problem.model.parameters()).device
        return cls(problem, config, build_optimizer(config, problem.model), Sums.zero(problem.counts, device))

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before the last start included."""
        return self.earlier + time.monotonic() - self._began

    def checkpoint(self, step: int) -> Checkpoint:
        """Return the checkpoint after `step` steps; it shares its tensors with the model and the optimiser."""
        carry = self.problem.carry
        training = {
            "optimizer": self.optimizer.state_dict(),
            "sums": vars(self.sums),
            "norms": list(self.norms),
            "carry": [] if carry is None else leaves_of(carry),
            "seconds": self.seconds,
        }
        return Checkpoint(step, self.config, self.problem.model.state_dict(), training)

    def restore(self, run: Run) -> int:
        """Load the run's last checkpoint; returns the number of steps done, 0 if there is no checkpoint.

        Raises:
            InputError: the checkpoint is damaged, or does not fit the model.
        """
        checkpoint = run.restore(self.problem.model)
        if checkpoint is None:
            return 0
        try:
            self._load(checkpoint.training)
        except (RuntimeError, KeyError, ValueError) as error:
            raise run.unfit(error) from error
        return checkpoint.step

    def _load(self, training: Mapping[str, Any]) -> None:
        """Load the training part of a checkpoint, as `checkpoint` makes it."""
        device = self.sums.loss.device
        self.optimizer.load_state_dict(training["optimizer"])
        for name, value in training["sums"].items():
            setattr(self.sums, name, value.to(device) if isinstance(value, Tensor) else value)
        self.norms.extend(training["norms"])
        if self.problem.carry is not None:
            leaves = [leaf.to(device) for leaf in training["carry"]]
            self.problem.carry = unflatten(structure_of(self.problem.carry), leaves)
        self.earlier = training["seconds"]
