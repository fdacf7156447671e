"""Our sampler beside learn2learn's: the same images, the same episodes, and what is said of them."""

from typing import Any

import pytest
import torch
from torch import Tensor

from data import ImageClasses
from episodes import LABELS, ClassificationEpisodes, Jitter
from mann.benchmark import samplers
from mann.benchmark.samplers import Drawings, learn2learn_tasks


@pytest.fixture
def marked() -> ImageClasses:
    """Return 7 classes of 4 to 10 drawings, whose pixels are the number of their class times 10, plus their own."""
    counts = torch.arange(4, 11)
    numbers = torch.arange(7)[:, None] * 20 + torch.arange(10) + 1
    present = torch.arange(10) < counts[:, None]
    images = (numbers * present)[..., None, None].expand(-1, -1, 8, 8).to(torch.uint8).contiguous()
    return ImageClasses(images, counts, tuple("abcdefg"))


def number(image: Tensor) -> int:
    """Return which drawing an image is."""
    return round(float(image[0, 4, 4]) * 255)


def test_drawings_are_those_of_the_classes(marked: ImageClasses) -> None:
    drawings = Drawings(marked)
    assert len(drawings) == sum(range(4, 11))
    items: Any = [drawings[index] for index in range(len(drawings))]
    assert [number(image) for image, _ in items] == [row * 20 + at + 1 for row in range(7) for at in range(4 + row)]
    assert all((number(image) - 1) // 20 == row for image, row in items)
    turned: Any = Drawings(marked, lambda image: image * 0)[3]
    assert not turned[0].any()


@pytest.mark.learn2learn
def test_a_task_of_learn2learn_is_like_an_episode(marked: ImageClasses) -> None:
    images, labels = learn2learn_tasks(ClassificationEpisodes(marked, LABELS["one-hot"](5), presentations=3))()
    numbers = [number(image) for image in images]
    assert len(set(numbers)) == 15  # no drawing twice
    classes = [(one - 1) // 20 for one in numbers]
    assert sorted(labels.bincount().tolist()) == [3] * 5
    assert len(set(zip(classes, labels.tolist(), strict=True))) == 5  # a label for each class
    jitter = Jitter(0.2, 0.4)
    moved, _ = learn2learn_tasks(ClassificationEpisodes(marked, LABELS["one-hot"](5), presentations=3, jitter=jitter))()
    assert (moved == 0).any() and not (images == 0).any()


def test_the_table_says_it_for_people() -> None:
    found = {
        "episode": "strokes",
        "rows": [
            {
                "augmentation": "none",
                "sampler": "ours",
                "milliseconds": {"median": 2.0, "low": 1.0, "high": 3.0},
                "episodes_a_second": 8000.0,
                "ratio": {"median": 50.0, "low": 40.0, "high": 60.0},
            }
        ],
        "step": {
            "of": "fast: w1",
            "milliseconds": {"median": 40.0, "low": 39.0, "high": 41.0},
            "share_of_sampling": {"median": 0.05, "low": 0.025, "high": 0.075},
        },
    }
    text = samplers.markdown(found)
    assert "| none | ours | 2.00 (1.00-3.00) | 8,000 | 50.0 (40.0-60.0) |" in text
    assert "takes 5.0% (2.5%-7.5%) of that besides" in text
