"""N-way K-shot: a support set of K drawings of each of N classes, then drawings to be named (queries).

Made from label-offset episodes by putting the first K drawings of every class first. A query is not the 2nd instance of
a class: when it comes, exactly K drawings of every class have been seen, and nothing else.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from episodes.label_offset import Episode
from episodes.labels import encode


class FewShot(NamedTuple):
    """A batch of support sets and queries.

    Attributes:
        support: Of ways * shots steps, in the order in which the episode showed them.
        queries: All others, one in each step; each is to be answered right after the support set, and so the label
            before is that of the support set's last drawing.
        names: int64 [ways, batch, characters], the labels that classes carry, in the order in which they came.
    """

    support: Episode
    queries: Episode
    names: Tensor


def few_shot(episode: Episode, shots: int) -> FewShot:
    """Cut label-offset episodes, in which every class is shown equally often, and more than `shots` times."""
    characters = episode.targets.shape[-1]
    labels = encode(episode.targets, episode.previous.shape[-1] // characters)
    columns = torch.arange(labels.shape[1], device=labels.device)

    def parts(most: int) -> tuple[Tensor, Tensor]:
        """Return which steps show a class for at most the `most`-th time, and which later: [steps, batch] each."""
        late = episode.presentation > most
        order, early = late.int().argsort(dim=0, stable=True), int((~late[:, 0]).sum())
        return order[:early], order[early:]

    def taken(steps: Tensor, previous: Tensor) -> Episode:
        return Episode(*(values[steps, columns] for values in episode))._replace(previous=previous)

    first, later = parts(shots)
    shown = labels[first, columns]
    support = taken(first, torch.cat([torch.zeros_like(shown[:1]), shown[:-1]]))
    queries = taken(later, shown[-1:].expand(len(later), -1, -1))
    return FewShot(support, queries, episode.targets[parts(1)[0], columns])
