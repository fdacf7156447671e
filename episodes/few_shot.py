"""N-way K-shot episodes: a support set of K images of each of N classes, then images to classify (queries).

Made from label-offset episodes by moving the first K images of every class to the front. A query differs from the 2nd
instance of a class in a label-offset episode: exactly K images of every class have been presented before it, and no
others.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from episodes.label_offset import Episode
from episodes.labels import encode


class FewShot(NamedTuple):
    """A batch of support sets and queries.

    Attributes:
        support: ways * shots steps, in the order of the episode.
        queries: All other images, one a step. Each is to be answered right after the support set, so that its previous
            label is that of the last image of the support set.
        names: int64 [ways, batch, characters], the labels of the classes, in the order in which the classes appeared.
    """

    support: Episode
    queries: Episode
    names: Tensor


def few_shot(episode: Episode, shots: int) -> FewShot:
    """Return label-offset episodes as support sets and queries.

    >>> from data import ImageClasses
    >>> from episodes import ClassificationEpisodes, OneHot
    >>> pixels = torch.zeros(20, 8, 28, 28, dtype=torch.uint8)
    >>> classes = ImageClasses(pixels, torch.full((20,), 8), tuple(map(str, range(20))))
    >>> source = ClassificationEpisodes(classes, OneHot(5), classes=5, presentations=4, batch=16)
    >>> support, queries, _ = few_shot(source(0), shots=1)
    >>> support.images.shape, queries.images.shape
    (torch.Size([5, 16, 28, 28]), torch.Size([15, 16, 28, 28]))

    Args:
        episode: Every class is presented equally often, and more than `shots` times.
        shots: Images of each class in the support set.
    """
    characters = episode.targets.shape[-1]
    labels = encode(episode.targets, episode.previous.shape[-1] // characters)
    columns = torch.arange(labels.shape[1], device=labels.device)

    def split_after(presentation: int) -> tuple[Tensor, Tensor]:
        """Return the steps up to this presentation of their class, and the later ones: [steps, batch] each."""
        late = episode.presentation > presentation
        # A stable sort of false and true puts the early steps first and keeps the order of the episode. There are
        # equally many in every sequence, so that the first sequence gives their number.
        order, early = late.int().argsort(dim=0, stable=True), int((~late[:, 0]).sum())
        return order[:early], order[early:]

    def selected(steps: Tensor, previous: Tensor) -> Episode:
        return Episode(*(values[steps, columns] for values in episode))._replace(previous=previous)

    first, later = split_after(shots)
    presented = labels[first, columns]
    support = selected(first, torch.cat([torch.zeros_like(presented[:1]), presented[:-1]]))
    queries = selected(later, presented[-1:].expand(len(later), -1, -1))
    return FewShot(support, queries, episode.targets[split_after(1)[0], columns])
