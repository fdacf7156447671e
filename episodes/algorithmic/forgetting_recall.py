"""Forgetting recall: some keys are given again with another value; the last value of a key counts.

    step      1 .. n             n + 1 .. n + u                 n + u + 1 .. 2 n + u
    input     key and value      u of the keys, new values      each of the n keys
    answer    -                  -                              its last value

After `forgetting_mqar` of Arora et al. 2023; see `episodes.algorithmic.recall`. Half of the keys, rounded up, are given
again, each once and with a value other than its first.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch

from data import InputError
from episodes.algorithmic.recall import Recall, draw_subset
from episodes.algorithmic.task import TaskEpisode, draw_size
from episodes.algorithmic.tokens import draw_tokens


@dataclass(frozen=True)
class ForgettingRecall(Recall):
    """Recall the last value of each key.

    >>> from episodes import TaskEpisodes
    >>> inputs, targets, mask = TaskEpisodes(ForgettingRecall(fewest=2, most=2, keys=4, values=3), batch=1)(0)
    >>> inputs[:, 0, :4].argmax(-1).tolist(), inputs[:3, 0, 4:].argmax(-1).tolist()
    ([3, 1, 3, 1, 3], [2, 2, 1])
    >>> targets[mask].argmax(-1).tolist()
    [2, 1]

    Raises:
        InputError: See `Recall`; or there is only one value.
    """

    name: Literal["forgetting-recall"] = field(default="forgetting-recall", repr=False, kw_only=True)
    """The name of the task in settings and on the command line."""

    def check(self) -> None:
        """Check that a value can change."""
        super().check()
        if self.values < 2:
            raise InputError("`values` is 1: use 2 or more, since keys are given again with another value")

    def draw(self, batch: int, generator: torch.Generator) -> TaskEpisode:
        """Return `batch` sequences, drawn on the generator's device."""
        pairs = draw_size(self.fewest, self.most, generator)
        keys = draw_subset(pairs, self.keys, batch, generator)
        values = draw_tokens(self.values, pairs, batch, generator=generator)
        again = draw_subset((pairs + 1) // 2, pairs, batch, generator)
        # Any value but the old one: the old one and 1 to values - 1 more, around the vocabulary.
        more = 1 + draw_tokens(self.values - 1, len(again), batch, generator=generator)
        changed = (values.gather(0, again) + more) % self.values
        last = values.scatter(0, again, changed)
        order = draw_subset(pairs, pairs, batch, generator)
        return self.questions(
            torch.cat([keys, keys.gather(0, again)]),
            torch.cat([values, changed]),
            keys.gather(0, order),
            last.gather(0, order),
        )
