"""Support sets and queries: the images of the episode, each in its place."""

import pytest
import torch

from data import ImageClasses
from episodes import ClassificationEpisodes, Labels, OneHot, Strings
from episodes.few_shot import few_shot


def numbered(classes: int, samples: int) -> ImageClasses:
    """Return images with the number of their class in the first pixel and that of their sample in the second."""
    images = torch.zeros(classes, samples, 8, 8, dtype=torch.uint8)
    images[:, :, 0, 0] = torch.arange(classes, dtype=torch.uint8)[:, None]
    images[:, :, 0, 1] = torch.arange(samples, dtype=torch.uint8)
    return ImageClasses(images, torch.full((classes,), samples), tuple(map(str, range(classes))))


@pytest.mark.parametrize("labels", [OneHot(4), Strings()])
def test_each_class_is_presented_the_given_number_of_times_before_the_queries(labels: Labels) -> None:
    ways, shots, queries = 3, 2, 3
    source = ClassificationEpisodes(numbered(9, 7), labels, ways, shots + queries, batch=6, seed=3)
    episode = source(0)
    cut = few_shot(episode, shots)
    for column in range(6):
        seen: dict[int, int] = {}
        support, queried = [], []
        for step in range(source.time):
            drawn = int(episode.classes[step, column])
            seen[drawn] = seen.get(drawn, 0) + 1
            (support if seen[drawn] <= shots else queried).append(step)
        assert (len(support), len(queried)) == (ways * shots, ways * queries)
        for part, steps in ((cut.support, support), (cut.queries, queried)):
            for name in ("images", "targets", "presentation", "classes"):
                assert torch.equal(getattr(part, name)[:, column], getattr(episode, name)[steps, column])
        names = {int(episode.classes[step, column]): episode.targets[step, column].tolist() for step in support}
        assert cut.names[:, column].tolist() == list(names.values())
        # The previous label is that of the preceding image; every query follows the last image of the support set.
        previous = cut.support.previous[:, column].unflatten(-1, (labels.characters, labels.symbols))
        assert not previous[0].any()
        assert torch.equal(previous[1:].argmax(-1), cut.support.targets[:-1, column])
        last = cut.queries.previous[:, column].unflatten(-1, (labels.characters, labels.symbols))
        assert torch.equal(last.argmax(-1), cut.support.targets[-1:, column].expand(len(queried), -1))
