"""N-way K-shot classification of images for MAML: the episodes of all other trainings, cut."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from data import ImageClasses, Split
from episodes import ClassificationEpisodes
from episodes.few_shot import FewShot, few_shot
from mann.evaluation.few_shot_accuracy import QUERIES, SHOTS, few_shot_episodes, right_answers, share_right
from mann.evaluation.held_out import HELD_OUT, VALIDATION
from mann.models.building import build_maml
from mann.problems.classification import training_episodes
from mann.settings import Config
from mann.training import Counts


class MetaLearning:
    """Few-shot classification; see `mann.training.Problem`. Steps alternate between 1 and 5 shots.

    Attributes:
        carry: None: each episode starts from the same weights.

    Args:
        config: The settings.
        classes: All classes, on the device to train on.
        split: Training, validation and test classes. Test classes are only counted.

    Raises:
        InputError: the classes do not fill an episode, or learn2learn is not installed.
    """

    carry: None = None

    def __init__(self, config: Config, classes: ImageClasses, split: Split):
        self._source = training_episodes(config, classes, split)

        def held_out(part: str, shots: int) -> ClassificationEpisodes:
            images = classes.select(getattr(split, part))
            return few_shot_episodes(config, images, config.classes, shots, QUERIES, HELD_OUT[part].seed)

        self._validation = {shots: held_out("validation", shots) for shots in SHOTS}
        held_out("test", max(SHOTS))  # refused now rather than after the training
        self.description = f"{config.dataset}: {len(split.train)} training classes, {config.classes}-way MAML"
        self.counts = len(SHOTS)
        self.model = build_maml(config).to(classes.images.device)

    def episode(self, step: int) -> FewShot:
        """Return the training episodes of a step: support sets of 1 and of 5 images of each class take turns."""
        return few_shot(self._source(step), SHOTS[step % len(SHOTS)])

    def loss(self, episode: FewShot) -> tuple[Tensor, Counts]:
        """Return the cross-entropy of the queries, and right answers and all answers by the number of shots."""
        logits, targets = self.model(episode)[:, :, 0], episode.queries.targets[..., 0]
        shots = len(episode.support.targets) // len(episode.names)
        right = (logits.argmax(-1) == targets).sum(0)
        column = functional.one_hot(torch.full_like(right, SHOTS.index(shots)), self.counts)
        loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return loss, Counts(column * right[:, None], column * len(targets))

    def summary(self, step: int, means: list[float | None]) -> dict[str, Any]:
        """Return the accuracy by the number of shots."""
        shares = zip(SHOTS, means, strict=True)
        return {"few_shot": {f"{shots}-shot": mean for shots, mean in shares if mean is not None}}

    def validate(self) -> dict[str, Any]:
        """Return the same on validation classes."""
        episodes = VALIDATION.episodes
        shares = {
            k: share_right(*right_answers(self.model, source, k, episodes)) for k, source in self._validation.items()
        }
        return {"validation": {f"{shots}-shot": share["accuracy"] for shots, share in shares.items()}}
