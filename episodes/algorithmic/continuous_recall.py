"""Continuous recall: n pairs of a key and a value, a pair in each step, then the n keys in another order.

    step      1 .. n             n + 1 .. 2 n
    input     key and value      key
    answer    -                  value

After the continuous form of multi-query recall (Arora et al. 2023); see `episodes.algorithmic.recall`. Values are drawn
independently of each other; in their code those of an episode are distinct, so that there could not be more pairs than
values.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from episodes.algorithmic.recall import Recall, draw_subset
from episodes.algorithmic.task import TaskEpisode, draw_size
from episodes.algorithmic.tokens import draw_tokens


@dataclass(frozen=True)
class ContinuousRecall(Recall):
    """Recall the value of each key.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(ContinuousRecall(fewest=2, most=2, keys=4, values=3), batch=1)(0)
    >>> inputs[:, 0, :4].argmax(-1).tolist(), inputs[:2, 0, 4:].argmax(-1).tolist()
    ([3, 1, 3, 1], [2, 2])
    >>> targets[mask].argmax(-1).tolist()
    [2, 2]
    """

    name: Literal["continuous-recall"] = field(default="continuous-recall", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        pairs = draw_size(self.fewest, self.most, generator)
        keys = draw_subset(pairs, self.keys, batch, generator)
        values = draw_tokens(self.values, pairs, batch, generator=generator)
        order = draw_subset(pairs, pairs, batch, generator)
        return self.questions(keys, values, keys.gather(0, order), values.gather(0, order))
