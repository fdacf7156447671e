"""Training a classifier on episodes: one loop, its state explicit, so that it can stop and go on anywhere."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from data import ImageClasses, Split
from episodes import ClassificationEpisodes, Jitter
from mann.classifier import (
    Classifier,
    answer_loss,
    build_classifier,
    count_by_instance,
    episode_labels,
    is_right,
)
from mann.config import Config
from mann.evaluation import VALIDATION, accuracy_by_instance, held_out_episodes
from mann.network import MemoryNetwork
from mann.runs import Checkpoint, Run
from mann.unrolling import fast

WORTH_COMPILING = 1500
"""Training steps from which on compiling them (about half a minute, once) is repaid."""


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
        right, shown: [instances], answers that were right and all answers.
    """

    loss: Tensor
    steps: int
    right: Tensor
    shown: Tensor

    @classmethod
    def zero(cls, instances: int, device: torch.device) -> "Sums":
        """Return empty sums."""
        zeros = torch.zeros(instances, dtype=torch.float64, device=device)
        return cls(torch.zeros((), dtype=torch.float64, device=device), 0, zeros, zeros.clone())

    def add(self, loss: Tensor, right: Tensor, shown: Tensor) -> None:
        """Count one step; right, shown: [batch, instances]."""
        self.loss += loss.detach()
        self.steps += 1
        self.right += right.sum(0)
        self.shown += shown.sum(0)

    def means(self) -> dict[str, Any]:
        """Return the loss and the accuracy by instance, for a line of metrics."""
        pairs = zip(self.right.tolist(), self.shown.tolist(), strict=True)
        accuracy = {str(k): right / shown for k, (right, shown) in enumerate(pairs, 1) if shown}
        return {"loss": self.loss.item() / self.steps, "accuracy": accuracy}


Report = Callable[[dict[str, Any]], None]
"""Called with every line of metrics."""


class NotFiniteError(ArithmeticError):
    """The loss or the gradient is not finite; the weights are still those of the step before."""


def training_episodes(config: Config, classes: ImageClasses, split: Split) -> ClassificationEpisodes:
    """Return the training episodes, of training classes alone.

    Raises:
        InputError: the training classes cannot fill an episode.
    """
    images = classes.select(split.train)
    jitter = Jitter(math.radians(config.jitter_rotation), config.jitter_translation)
    return ClassificationEpisodes(
        images.with_rotations() if config.rotations else images,
        episode_labels(config),
        classes=config.classes,
        presentations=config.presentations,
        counting=config.counting,
        batch=config.batch,
        seed=config.seed,
        jitter=jitter if jitter != Jitter(0.0, 0.0) else None,
    )


def build_optimizer(config: Config, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of the config."""
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(model.parameters(), config.learning_rate, alpha=0.95, momentum=0.9)
    return torch.optim.Adam(model.parameters(), config.learning_rate, fused=True)


def learning_rate(config: Config, step: int) -> float:
    """Return the learning rate of a step (from 0): a linear warm-up, then a half cosine or a constant."""
    share = min(1.0, (step + 1) / (config.warm_up + 1))
    if config.schedule == "cosine":
        share *= 0.5 + 0.5 * math.cos(math.pi * step / config.steps)
    return config.learning_rate * share


def train(
    config: Config,
    classes: ImageClasses,
    split: Split,
    run: Run,
    pace: Pace | None = None,
    report: Report | None = None,
    stopping: Callable[[], bool] | None = None,
) -> Classifier:
    """Train until the config's number of steps is done, going on from the run's last checkpoint.

    Where it starts and how often it stops makes no difference to the weights nor, but for the seconds, to the metrics.

    Args:
        config: The settings, those of the run.
        classes: All classes, on the device to train on.
        split: Which of them are for training and for validation.
        run: A started run; the metrics, a TensorBoard log and checkpoints are written there.
        pace: How often to report and save.
        report: Called with every line of metrics.
        stopping: Asked after every step; when it returns true a checkpoint is written and training ends.

    Returns:
        The classifier.

    Raises:
        InputError: the classes do not fill an episode, or the run's checkpoint or metrics are damaged.
        NotFiniteError: the loss or a gradient is not finite.
    """
    pace = pace or Pace()
    device = classes.images.device
    source = training_episodes(config, classes, split)
    validation = held_out_episodes(config, classes.select(split.validation), VALIDATION)
    model = build_classifier(config).to(device)
    if isinstance(model.network, MemoryNetwork) and config.steps >= WORTH_COMPILING:
        model.network.unroll = fast()
    optimizer = build_optimizer(config, model)
    sums = Sums.zero(config.presentations, device)
    start, seconds = _restore(run, model, optimizer, sums)
    run.keep_metrics_until(start)
    began = saved = time.monotonic()

    def save(step: int) -> None:
        state = {
            "optimizer": optimizer.state_dict(),
            "sums": vars(sums),
            "seconds": seconds + time.monotonic() - began,
        }
        run.save(Checkpoint(step, config, model.state_dict(), state))

    with _tensorboard(run, start) as board:
        for step in range(start, config.steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, step)
            _train_step(model, optimizer, source, step, config.clip, sums)
            done = step + 1
            if done % pace.log == 0 or done == config.steps:
                line = {
                    "step": done,
                    "episodes": done * config.batch,
                    "seconds": round(seconds + time.monotonic() - began, 3),
                    "learning_rate": learning_rate(config, step),
                    **sums.means(),
                }
                if done % pace.validate == 0 or done == config.steps:
                    line["validation"] = accuracy_by_instance(model, validation)
                sums = Sums.zero(config.presentations, device)
                run.log(line)
                _log_to_tensorboard(board, line)
                if report is not None:
                    report(line)
            stop = stopping is not None and stopping()
            if stop or done == config.steps or time.monotonic() - saved > pace.save_seconds:
                save(done)
                saved = time.monotonic()
            if stop:
                break
    return model


def _train_step(
    model: Classifier,
    optimizer: torch.optim.Optimizer,
    source: ClassificationEpisodes,
    step: int,
    clip: float,
    sums: Sums,
) -> None:
    """One update; what is counted is what the weights before it answered."""
    episode = source(step)
    logits, _ = model(episode.images, episode.previous)
    loss = answer_loss(logits, episode)
    optimizer.zero_grad()
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), clip)
    # The norm is finite only if every gradient is.
    if not torch.isfinite(norm + loss.detach()):
        raise NotFiniteError(
            f"step {step} of seed {source.seed}: the loss is {loss.item()}, the gradient's norm {norm.item()}: "
            "start again in another --run with a lower --learning-rate or --clip"
        )
    optimizer.step()
    sums.add(loss, *count_by_instance(is_right(logits, episode), episode.presentation, len(sums.right)))


def _restore(run: Run, model: Classifier, optimizer: torch.optim.Optimizer, sums: Sums) -> tuple[int, float]:
    """Put the last checkpoint back into place; returns the steps and the seconds done."""
    checkpoint = run.restore(model)
    if checkpoint is None:
        return 0, 0.0
    try:
        optimizer.load_state_dict(checkpoint.training["optimizer"])
        for name, value in checkpoint.training["sums"].items():
            setattr(sums, name, value.to(sums.right.device) if isinstance(value, Tensor) else value)
        return checkpoint.step, checkpoint.training["seconds"]
    except (RuntimeError, KeyError, ValueError) as error:
        raise run.unfit(error) from error


@contextmanager
def _tensorboard(run: Run, start: int) -> Iterator[SummaryWriter]:
    """Open the TensorBoard log; what was written after step `start` is marked as replaced."""
    with SummaryWriter(str(run.folder / "tensorboard"), purge_step=start + 1 if start else None) as board:
        yield board


def _log_to_tensorboard(board: SummaryWriter, line: dict[str, Any]) -> None:
    """Write the scalars of a line of metrics."""
    step = line["step"]
    board.add_scalar("loss", line["loss"], step)
    board.add_scalar("learning rate", line["learning_rate"], step)
    for part in ("accuracy", "validation"):
        for instance, value in line.get(part, {}).items():
            board.add_scalar(f"{part}/instance {int(instance):02d}", value, step)
