"""The algorithmic tasks: what is trained, and what is counted.

A network answers with a logit for each bit. Its cost is the cross-entropy of the bits that are asked for, in bits a
sequence (Graves et al. 2014 plot it); a bit is wrong if it is on the wrong side of 1/2.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from data import InputError
from episodes import TaskEpisode, TaskEpisodes
from mann.building import build_network, run_fast
from mann.config import TaskConfig, what_is_learned
from mann.evaluation import TEST, VALIDATION
from mann.runs import Run
from mann.training import Counts

VALIDATION_STEPS = 20
"""Batches of the validation: the same for every model, of the sizes of the training, drawn apart from it."""


class Bits(NamedTuple):
    """What the answers of each sequence cost: each [batch], float32.

    Attributes:
        cost: Cross-entropy, in bits.
        wrong: Bits on the wrong side of 1/2.
        asked: Bits that were asked for.
    """

    cost: Tensor
    wrong: Tensor
    asked: Tensor


def count_bits(logits: Tensor, episode: TaskEpisode) -> Bits:
    """Count over the steps that are asked for; logits: [time, batch, output_size]."""
    asked = episode.mask.unsqueeze(-1).expand_as(logits).float()
    cost = functional.binary_cross_entropy_with_logits(logits, episode.targets, reduction="none") / math.log(2)
    wrong = (logits > 0) != (episode.targets > 0.5)
    return Bits(*((value * asked).sum((0, 2)) for value in (cost, wrong, asked)))


class TaskProblem:
    """An algorithmic task as `mann.training.fit` asks for it.

    Attributes:
        model: The network, on the device.
    """

    counts = 4

    def __init__(self, config: TaskConfig, device: torch.device):
        self.model: nn.Module = build_network(config, config.sizes.input_size, config.sizes.output_size).to(device)
        run_fast(self.model, config)
        self.description = f"{config.task}: {config.sizes}"
        self._source = TaskEpisodes(config.sizes, config.batch, config.seed, device)
        self._validation = TaskEpisodes(config.sizes, config.batch, VALIDATION.seed, device)

    def episode(self, step: int) -> TaskEpisode:
        """Return the training episodes of a step."""
        return self._source(step)

    def loss(self, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """Return the mean cost of a bit in nats, and what to count: cost, wrong bits, sequences all right, bits."""
        bits = count_bits(self.model(episode.inputs)[0], episode)
        loss = bits.cost.sum() / bits.asked.sum() * math.log(2)
        counted = torch.stack([bits.cost.detach(), bits.wrong, (bits.wrong == 0).float(), bits.wrong], -1)
        ones = torch.ones_like(bits.asked)
        return loss, Counts(counted, torch.stack([ones, ones, ones, bits.asked], -1))

    def summary(self, means: list[float | None]) -> dict[str, Any]:
        """Return the means by name, for a line of metrics."""
        names = ("bits_per_sequence", "wrong_bits_per_sequence", "exact_sequences", "bit_error_rate")
        return dict(zip(names, means, strict=True))

    def validate(self) -> dict[str, Any]:
        """Return the same of the validation's sequences."""
        return {"validation": measure(self.model, self._validation, VALIDATION_STEPS)}


@torch.no_grad()
def measure(
    model: nn.Module, source: TaskEpisodes, steps: int, report: Callable[[int], None] | None = None
) -> dict[str, float]:
    """Return what the first `steps` batches of a source cost on average, as `evaluation.json` names it."""
    parts = []
    for step in range(steps):
        episode = source(step)
        parts.append(count_bits(model(episode.inputs)[0], episode))
        if report is not None:
            report(step + 1)
    cost, wrong, asked = (torch.cat(values).double().cpu() for values in zip(*parts, strict=True))
    return {
        "bits_per_sequence": cost.mean().item(),
        "wrong_bits_per_sequence": wrong.mean().item(),
        "bit_error_rate": (wrong.sum() / asked.sum()).item(),
        "exact_sequences": (wrong == 0).double().mean().item(),
    }


TESTS: Mapping[str, list[dict[str, int]]] = MappingProxyType(
    {
        "copy": [{"length": length} for length in (10, 20, 30, 50, 120)],
        "repeat-copy": [
            {"length": length, "repeats": repeats} for length, repeats in ((5, 5), (10, 10), (20, 10), (10, 20))
        ],
        "associative-recall": [{"items": items} for items in (6, 8, 12)],
        "ngrams": [],
        "priority-sort": [],
    }
)
"""By task, what to evaluate at besides the sizes of the training: the paper's largest, and beyond them."""

_RANGES = {"length": ("shortest", "longest"), "repeats": ("fewest", "most"), "items": ("fewest", "most")}


def sizes_at(sizes: Any, setting: Mapping[str, int]) -> Any:
    """Return the sizes of a task with some of them fixed, where training draws them from a range."""
    return replace(sizes, **{end: size for name, size in setting.items() for end in _RANGES[name]})


def evaluate_task(
    run: Run, device: torch.device, sequences: int, report: Callable[[int], None] | None = None
) -> dict[str, Any]:
    """Measure a run's last checkpoint at its training's sizes and at those of `TESTS`.

    Args:
        run: A run of a task.
        device: Where to compute.
        sequences: For each setting, at least 1.
        report: Called with the number of settings done.

    Returns:
        The content of `evaluation.json`.

    Raises:
        InputError: no checkpoint, or no sequences are asked for.
    """
    if sequences < 1:
        raise InputError(f"--episodes {sequences}: at least 1 is needed")
    config = run.config()
    assert isinstance(config, TaskConfig)
    model = build_network(config, config.sizes.input_size, config.sizes.output_size)
    run.load(model)
    model.to(device)
    batch = min(sequences, config.batch)
    results = []
    for done, setting in enumerate(settings := [{}, *TESTS[config.task]], 1):
        source = TaskEpisodes(sizes_at(config.sizes, setting), batch, TEST.seed, device)
        results.append({"setting": setting, **measure(model, source, math.ceil(sequences / batch))})
        if report is not None:
            report(done * sequences // len(settings))
    return {"task": what_is_learned(config), "sequences": math.ceil(sequences / batch) * batch, "results": results}
