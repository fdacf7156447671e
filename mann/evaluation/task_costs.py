"""The cost of the answers to the algorithmic tasks, at the sizes of the training and beyond them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from data import InputError
from episodes import TASKS, Recall, StringTask, Task, TaskEpisode, TaskEpisodes
from mann.addressing import WeightsAre
from mann.evaluation.answers import Answers, answers_of
from mann.evaluation.held_out import BATCH, TEST, OnProgress
from mann.evaluation.intervals import mean_interval
from mann.models.network import Access, MemoryNetwork, on_the_cpu
from mann.settings import TaskConfig
from mann.training import Counts

Setting = dict[str, int]
"""Fixed sizes of a task, by name; empty: drawn as in training."""


class Sweep(NamedTuple):
    """Values of one size of a task, from the smallest of the training to beyond the largest.

    Attributes:
        size: Its name.
        values: Values to evaluate, rising.
        fixed: The other sizes.
    """

    size: str
    values: tuple[int, ...]
    fixed: Setting

    def settings(self) -> list[Setting]:
        """Return all settings."""
        return [{self.size: value, **self.fixed} for value in self.values]

    def settings_for(self, sizes: Task) -> list[Setting]:
        """Return the settings that a task of these sizes can have, which may be none."""
        return [setting for setting in self.settings() if _is_possible(sizes, setting)]


def _is_possible(sizes: Task, setting: Setting) -> bool:
    """Return whether a task can have a setting: recall has a key of its own for each pair."""
    return not isinstance(sizes, Recall) or setting.get("pairs", 0) <= sizes.keys


_LONGER: Final = (Sweep("length", (10, 20, 30, 40, *range(50, 501, 50)), {}),)
"""Strings of the lengths of the training, 1 to 40, and longer ones, evenly up to 500 (Deletang et al. 2022)."""
_MORE_PAIRS: Final = (Sweep("pairs", (4, 8, 16, 32, 64, 128, 256), {}),)

SWEEPS: Final[Mapping[str, tuple[Sweep, ...]]] = {
    "copy": (Sweep("length", (1, 5, 10, 15, 20, 30, 50, 80, 120), {}),),
    "repeat-copy": (
        Sweep("length", (1, 5, 10, 15, 20), {"repeats": 10}),
        Sweep("repeats", (1, 5, 10, 15, 20), {"length": 10}),
    ),
    "associative-recall": (Sweep("items", (2, 4, 6, 8, 10, 12, 16, 20), {}),),
    **{name: _LONGER for name, task in TASKS.items() if issubclass(task, StringTask)},
    **{name: _MORE_PAIRS for name, task in TASKS.items() if issubclass(task, Recall)},
    "state-tracking": (Sweep("length", (10, 20, 40, 80, 160, 256), {}),),
}
"""Sizes to evaluate, by task; the paper's figures are at the last or before it."""

RANGES: Final = {
    "length": ("shortest", "longest"),
    "repeats": ("fewest", "most"),
    "items": ("fewest", "most"),
    "pairs": ("fewest", "most"),
}
"""By a size of a sweep, the fields of a task that are its range in training."""


SomeTask = TypeVar("SomeTask", bound=Task)


def sizes_at(sizes: SomeTask, setting: Setting) -> SomeTask:
    """Return the sizes of a task with some of them fixed, where training draws them from a range."""
    return replace(sizes, **{end: size for name, size in setting.items() for end in RANGES[name]})


def settings_of(task: str, sizes: Task) -> list[Setting]:
    """Return the settings in which a task is evaluated, each once, the training's own first.

    Those that the sizes of the training rule out are absent.
    """
    found: list[Setting] = [{}]
    for sweep in SWEEPS.get(task, ()):
        found += [setting for setting in sweep.settings_for(sizes) if setting not in found]
    return found


def largest_trained(task: str, sizes: Task) -> Setting:
    """Return the largest value in training of each size in the sweeps of a task."""
    return {sweep.size: getattr(sizes, RANGES[sweep.size][1]) for sweep in SWEEPS.get(task, ())}


def pictured_settings(task: str, sizes: Task) -> list[Setting]:
    """Return the settings of the pictured sequences: the largest of the training, and the last of every sweep."""
    lasts = [setting for sweep in SWEEPS.get(task, ()) for setting in sweep.settings_for(sizes)[-1:]]
    return [largest_trained(task, sizes), *lasts]


class AnsweredBatch(NamedTuple):
    """A batch of sequences with its answers.

    Attributes:
        episode: The sequences.
        outputs: [time, batch, output_size].
        counts: The counts of each sequence.
    """

    episode: TaskEpisode
    outputs: Tensor
    counts: Counts


@torch.no_grad()
def judged(model: nn.Module, answers: Answers, source: TaskEpisodes, steps: int) -> Iterator[AnsweredBatch]:
    """Answer the first `steps` batches of a source."""
    for step in range(steps):
        episode = source(step)
        outputs, _ = model(episode.inputs)
        yield AnsweredBatch(episode, outputs, answers.judge(outputs, episode)[1])


def _sums(batches: Sequence[Counts]) -> Counts:
    """Return the counts of each batch, float64 [batches, figures], on the CPU."""
    counted, of = (torch.stack([part.double().sum(0).cpu() for part in parts]) for parts in zip(*batches, strict=True))
    return Counts(counted, of)


def figures(answers: Answers, batches: Sequence[Counts]) -> dict[str, float]:
    """Return the figures over all batches."""
    counted, of = (part.sum(0) for part in _sums(batches))
    return dict(zip(answers.figures, (counted / of).tolist(), strict=True))


def intervals(answers: Answers, batches: Sequence[Counts]) -> dict[str, tuple[float, float]]:
    """Return the 95% intervals of the figures. Sequences of a batch share their sizes; batches are independent."""
    counted, of = (part.T.numpy() for part in _sums(batches))
    return {name: interval(counted[place], of[place]) for place, (name, interval) in enumerate(answers.figures.items())}


def measure(model: nn.Module, answers: Answers, source: TaskEpisodes, steps: int) -> dict[str, Any]:
    """Return the mean cost of the first `steps` batches of a source, as `evaluation.json` has it.

    Beside the figures: their intervals; the figures of the parts of the answers, where a task has parts; and the cost
    of known estimators on the same sequences (`references`), with the excess cost of the model (`above`).
    """
    batches = list(judged(model, answers, source, steps))
    counts = [batch.counts for batch in batches]
    parts = {
        name: figures(answers, [answers.judge(*_channels(batch, channels))[1] for batch in batches])
        for name, channels in source.task.parts.items()
    }
    costs = [source.task.references(batch.episode) for batch in batches]
    references = {name: _beside(counts, [cost[name].double().cpu() for cost in costs]) for name in costs[0]}
    return {
        **figures(answers, counts),
        "intervals": intervals(answers, counts),
        **({"parts": parts} if parts else {}),
        **({"references": references} if references else {}),
    }


def _channels(batch: AnsweredBatch, channels: slice) -> tuple[Tensor, TaskEpisode]:
    """Return some channels of the outputs and of the targets."""
    return batch.outputs[..., channels], batch.episode._replace(targets=batch.episode.targets[..., channels])


def _beside(counts: Sequence[Counts], costs: Sequence[Tensor]) -> dict[str, Any]:
    """Return the mean cost of an estimator, and the excess of the model's cost over it on the same sequences."""
    counted, of = (part[:, 0].numpy() for part in _sums(counts))
    difference = counted - torch.stack([cost.sum() for cost in costs]).numpy()
    return {
        "cost": torch.cat(list(costs)).mean().item(),
        "above": float(difference.sum() / of.sum()),
        "interval": mean_interval(difference, of),
    }


class TaskTrace(NamedTuple):
    """A sequence of a task, the answers of a network, and the accesses to its memory.

    Attributes:
        setting: The sizes.
        episode: A batch of one.
        outputs: [time, 1, output_size].
        access: The accesses to the memory; None where there is no memory.
        weights_are: What the weights of the accesses are.
    """

    setting: Setting
    episode: TaskEpisode
    outputs: Tensor
    access: Access | None
    weights_are: WeightsAre = "weightings"


def evaluate_task(
    model: nn.Module,
    config: TaskConfig,
    device: torch.device,
    sequences: int = TEST.episodes,
    progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure a model at the sizes of its training and at those of `SWEEPS`.

    Returns the content of `evaluation.json`.

    Args:
        model: The network, on the device.
        config: The settings of its training.
        device: Where to draw the sequences.
        sequences: Sequences for each setting, at least 2; rounded up to whole batches.
        progress: Called after each setting with that part of `sequences` that corresponds to the settings done.

    Raises:
        InputError: fewer than 2 sequences are asked for.
    """
    if sequences < 2:
        raise InputError(f"`episodes` {sequences}: at least 2 are needed")
    batch = min(BATCH, max(1, sequences // 10))  # several batches, because their differences give the intervals
    steps = math.ceil(sequences / batch)
    settings = settings_of(config.task, config.sizes)
    results = []
    for done, setting in enumerate(settings, 1):
        results.append(measure_at(setting, model, config.sizes, device, batch, steps))
        if progress is not None:
            progress(done * sequences // len(settings))
    return {"task": config.task, "sequences": steps * batch, "results": results}


def measure_at(
    setting: Setting, model: nn.Module, sizes: Task, device: torch.device, batch: int, steps: int
) -> dict[str, Any]:
    """Return a setting and the figures of `steps` batches of test sequences in it; see `measure`."""
    source = TaskEpisodes(sizes_at(sizes, setting), batch, TEST.seed, device)
    return {"setting": setting, **measure(model, answers_of(sizes.name), source, steps)}


@torch.no_grad()
def task_traces(model: nn.Module, config: TaskConfig, device: torch.device) -> list[TaskTrace]:
    """Return the answers to the first test sequence in each of `pictured_settings`, on the CPU."""
    found = []
    for setting in pictured_settings(config.task, config.sizes):
        episode = TaskEpisodes(sizes_at(config.sizes, setting), 1, TEST.seed, device)(0)
        if isinstance(model, MemoryNetwork):
            outputs, _, access = model.trace(episode.inputs)
            trace = TaskTrace(setting, episode, outputs, access, model.scheme.weights_are)
        else:
            trace = TaskTrace(setting, episode, model(episode.inputs)[0], None)
        found.append(on_the_cpu(trace))
    return found
