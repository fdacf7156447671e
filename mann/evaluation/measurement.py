"""The measurement of a model of images: the options of an evaluation as typed data."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from torch import nn

from data import ImageClasses, InputError, Split
from data.checking import Checked
from mann.evaluation.few_shot_accuracy import QUERIES, SHOTS, evaluate_few_shot, with_ways
from mann.evaluation.held_out import TEST, OnProgress, with_classes
from mann.evaluation.instances import evaluate
from mann.settings import Config


@dataclass(frozen=True, kw_only=True)
class Measurement(Checked):
    """Accuracy by instance, or N-way K-shot accuracy where `ways` or `shots` are given.

    >>> Measurement(ways=(5,), shots=(1, 5)).file_name
    'few-shot.json'
    >>> Measurement(classes=50).file_name
    '50-classes.json'
    """

    episodes: int = TEST.episodes
    """Test episodes (of a task: sequences for each of the sizes)."""
    classes: int | None = None
    """Classes in an episode (none: as in training); the result is written to a file of its own."""
    alphabets: Literal["all", "one"] | None = None
    """Alphabets that the classes of an episode come from (none: as in training)."""
    memory: Literal["wiped", "persistent"] | None = None
    """Wipe the memory between episodes, or keep it (none: as in training)."""
    ways: tuple[int, ...] = ()
    """N-way K-shot instead of accuracy by instance: numbers of classes, such as 5 20."""
    shots: tuple[int, ...] = ()
    """N-way K-shot: numbers of images of each class in the support set, such as 1 5."""
    queries: int = QUERIES
    """N-way K-shot: queries of each class."""
    nearest: bool = False
    """Nearest neighbours of raw pixels instead of the trained model, on the very same episodes."""
    part: Literal["test", "validation"] = "test"
    """Held-out classes to evaluate on; validation is for choosing between settings."""

    def check(self) -> None:
        """Check that the options fit together."""
        if self.few_shot and (self.classes, self.memory) != (None, None):
            raise InputError(
                "`classes` and `memory` are for accuracy by instance: of N-way K-shot, `ways` is the number of "
                "classes, and support sets are presented to a blank memory"
            )

    @property
    def few_shot(self) -> bool:
        """Whether N-way K-shot accuracy is measured."""
        return bool(self.ways or self.shots)

    @property
    def as_trained(self) -> bool:
        """Whether the trained model is measured by instance on episodes as in training."""
        return not (self.nearest or self.few_shot) and (self.classes, self.alphabets, self.memory) == (None, None, None)

    @property
    def file_name(self) -> str:
        """The file in the run's folder that the result is written to."""
        if self.as_trained:
            return "evaluation.json"
        parts = [
            "nearest" * self.nearest,
            f"{self.classes}-classes" * (self.classes is not None),
            {None: "", "all": "all-alphabets", "one": "one-alphabet"}[self.alphabets],
            f"{self.memory}-memory" * (self.memory is not None),
            "few-shot" * self.few_shot,
        ]
        return f"{'-'.join(filter(None, parts))}.json"

    def settings(self, config: Config) -> Config:
        """Return the settings of the episodes, given those of the training.

        Raises:
            InputError: the labels of the training cannot tell so many classes apart.
        """
        if self.classes is not None:
            config = with_classes(config, self.classes)
        if self.few_shot:
            config = with_ways(config, self._ways(config))
        alphabets, memory = self.alphabets or config.alphabets, self.memory or config.memory
        return replace(config, alphabets=alphabets, memory=memory)

    def measure(
        self, model: nn.Module, config: Config, classes: ImageClasses, split: Split, progress: OnProgress | None = None
    ) -> dict[str, Any]:
        """Measure a model.

        Args:
            model: The model, built for `config`.
            config: The result of `settings`.
            classes: All classes, on the model's device.
            split: The parts of the classes.
            progress: Called after each batch.

        Returns:
            The content of the file; see `evaluate` and `evaluate_few_shot`.
        """
        held_out: tuple[Any, ...] = (self.part, self.episodes, progress)
        if not self.few_shot:
            return evaluate(model, config, classes, split, *held_out)
        ways, shots = self._ways(config), self.shots or SHOTS
        return evaluate_few_shot(model, config, classes, split, ways, shots, self.queries, *held_out)

    def _ways(self, config: Config) -> tuple[int, ...]:
        """Return the numbers of classes."""
        return self.ways or (config.classes,)
