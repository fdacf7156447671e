"""The comparison of samplers: the same images and episodes for both, and its table."""

from typing import Any

import pytest
import torch
from torch import Tensor

from data import ImageClasses
from episodes import LABELS, ClassificationEpisodes, Jitter
from mann.benchmark import samplers
from mann.benchmark.samplers import ImageDataset, learn2learn_sampler


@pytest.fixture
def marked() -> ImageClasses:
    """Return 7 classes of 4 to 10 images, whose pixels are 20 times the number of their class, plus 1, 2, ..."""
    counts = torch.arange(4, 11)
    numbers = torch.arange(7)[:, None] * 20 + torch.arange(10) + 1
    present = torch.arange(10) < counts[:, None]
    images = (numbers * present)[..., None, None].expand(-1, -1, 8, 8).to(torch.uint8).contiguous()
    return ImageClasses(images, counts, tuple("abcdefg"))


def number(image: Tensor) -> int:
    """Return the value of the pixels of an image."""
    return round(float(image[0, 4, 4]) * 255)


def test_the_data_set_has_the_images_of_the_classes(marked: ImageClasses) -> None:
    dataset = ImageDataset(marked)
    assert len(dataset) == sum(range(4, 11))
    items: Any = [dataset[index] for index in range(len(dataset))]
    assert [number(image) for image, _ in items] == [row * 20 + at + 1 for row in range(7) for at in range(4 + row)]
    assert all((number(image) - 1) // 20 == row for image, row in items)
    blank: Any = ImageDataset(marked, lambda image: image * 0)[3]
    assert not blank[0].any()


@pytest.mark.learn2learn
def test_a_task_of_learn2learn_has_the_sizes_of_an_episode(marked: ImageClasses) -> None:
    images, labels = learn2learn_sampler(ClassificationEpisodes(marked, LABELS["one-hot"](5), presentations=3))()
    numbers = [number(image) for image in images]
    assert len(set(numbers)) == 15  # no image twice
    classes = [(one - 1) // 20 for one in numbers]
    assert sorted(labels.bincount().tolist()) == [3] * 5
    assert len(set(zip(classes, labels.tolist(), strict=True))) == 5  # a label for each class
    jitter = Jitter(0.2, 0.4)
    episodes = ClassificationEpisodes(marked, LABELS["one-hot"](5), presentations=3, jitter=jitter)
    moved, _ = learn2learn_sampler(episodes)()
    assert (moved == 0).any() and not (images == 0).any()


def test_the_table_has_the_medians_with_their_ranges() -> None:
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
            "of": "fast: w1, batch 16.",
            "milliseconds": {"median": 40.0, "low": 39.0, "high": 41.0},
            "share_of_sampling": {"median": 0.05, "low": 0.025, "high": 0.075},
        },
    }
    text = samplers.markdown(found)
    assert "| none | ours | 2.00 (1.00-3.00) | 8,000 | 50.0 (40.0-60.0) |" in text
    assert "A training step takes 40.00 (39.00-41.00) ms (fast: w1, batch 16)." in text
    assert "takes 5.0% (2.5%-7.5%) of that in addition." in text
