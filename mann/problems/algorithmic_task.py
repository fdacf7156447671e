"""The algorithmic tasks as they are trained."""

from typing import Any

import torch
from torch import Tensor, nn

from episodes import TaskEpisode, TaskEpisodes
from mann.evaluation.answers import answers_of
from mann.evaluation.instances import VALIDATION
from mann.evaluation.task_costs import BATCH, figures, judged
from mann.models.building import build_network, run_fast
from mann.settings.schema import TaskConfig
from mann.training.loop import Counts

VALIDATION_STEPS = 12
"""Batches of the validation: the same for every model, of the sizes of the training, drawn apart from it."""


class TaskProblem:
    """An algorithmic task as `mann.training.loop.fit` asks for it.

    Attributes:
        model: The network, on the device.
        carried: Nothing: each sequence begins anew.
    """

    carried: Any = None

    def __init__(self, config: TaskConfig, device: torch.device):
        self.model: nn.Module = build_network(config, config.sizes.input_size, config.sizes.output_size).to(device)
        run_fast(self.model, config)
        self.description = f"{config.task}: {config.sizes}"
        self._answers = answers_of(config.task)
        self.counts = len(self._answers.figures)
        self._source = TaskEpisodes(config.sizes, config.batch, config.seed, device)
        self._validation = TaskEpisodes(config.sizes, BATCH, VALIDATION.seed, device)

    def episode(self, step: int) -> TaskEpisode:
        """Return the training episodes of a step."""
        return self._source(step)

    def loss(self, episode: TaskEpisode) -> tuple[Tensor, Counts]:
        """Return the mean cost of an answer in nats, and what is counted for each figure."""
        return self._answers.judge(self.model(episode.inputs)[0], episode)

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return the figures by name, for a line of metrics."""
        return dict(zip(self._answers.figures, means, strict=True))

    def validate(self) -> dict[str, Any]:
        """Return the figures of the validation's sequences."""
        batches = judged(self.model, self._answers, self._validation, VALIDATION_STEPS)
        return {"validation": figures(self._answers, [batch.counts for batch in batches])}
