"""The algorithmic tasks, as problems to train."""

from typing import Any

import torch
from torch import Tensor, nn

from episodes import TaskEpisode, TaskEpisodes
from mann.evaluation.answers import answers_of
from mann.evaluation.held_out import BATCH, VALIDATION
from mann.evaluation.task_costs import figures, judged
from mann.models.building import build_network
from mann.problems.compiling import compile_if_long
from mann.settings import TaskConfig
from mann.training import Counts

VALIDATION_STEPS = 12
"""Batches of the validation: the same for every model, with sizes as in training and a seed of their own."""


class TaskProblem:
    """An algorithmic task; see `mann.training.Problem`.

    Attributes:
        model: The network, on the device.
        carry: None: each sequence starts from a blank memory.
    """

    carry: None = None

    def __init__(self, config: TaskConfig, device: torch.device):
        self.model: nn.Module = build_network(
            config.model, config.seed, config.sizes.input_size, config.sizes.output_size
        ).to(device)
        compile_if_long(self.model, config)
        self.description = f"{config.task}: {config.sizes}"
        self._answers = answers_of(config.task)
        self.counts = len(self._answers.figures)
        self._source = TaskEpisodes(config.sizes, config.batch, config.seed, device)
        self._validation = TaskEpisodes(config.sizes, BATCH, VALIDATION.seed, device)

    def episode(self, step: int) -> TaskEpisode:
        """Return the training episodes of a step."""
        return self._source(step)

    def loss(self, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """Return the mean cost of an answer in nats, and the counts for each figure."""
        return self._answers.judge(self.model(episode.inputs)[0], episode)

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return the figures by name, for a line of metrics."""
        return dict(zip(self._answers.figures, means, strict=True))

    def validate(self) -> dict[str, Any]:
        """Return the figures of the validation's sequences."""
        batches = judged(self.model, self._answers, self._validation, VALIDATION_STEPS)
        return {"validation": figures(self._answers, [batch.counts for batch in batches])}
