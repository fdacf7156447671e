"""Tasks of other libraries: their images and classes in an order, with labels and random numbers of our own."""

import importlib
import random
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from data import InputError
from episodes import Labels, OneHot, Strings, TasksetEpisodes


@dataclass
class Tasks:
    """Tasks as learn2learn makes them: drawn on first use, class after class, with random labels.

    The pixels of an image encode its class, one of ten, and its sample.
    """

    num_tasks: int = -1
    ways: int = 3
    shots: int = 4
    channels: int = 1
    side: int = 20
    drawn: dict[int, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return max(1, self.num_tasks)

    def __getitem__(self, index: int) -> list[Tensor]:
        if index in self.drawn:
            return self.drawn[index]
        chosen = random.sample(range(10), self.ways)
        samples = [number for row in chosen for number in random.sample(range(row * 10, row * 10 + 10), self.shots)]
        labels = torch.as_tensor(numpy.random.permutation(self.ways) * 7).repeat_interleave(self.shots)
        shade = torch.tensor(samples).float() / 200 + torch.rand(()) * 1e-3
        task = [shade[:, None, None, None].expand(-1, self.channels, self.side, self.side), labels]
        if self.num_tasks != -1:
            self.drawn[index] = task
        return task


def numbers(images: Tensor) -> Tensor:
    """Return the numbers that images encode."""
    return (images[..., 0, 0] * 200).floor().long()


@pytest.mark.parametrize("labels", [OneHot(4), Strings()])
def test_an_episode_has_the_images_of_a_task_in_an_order_and_with_labels_of_its_own(labels: Labels) -> None:
    source = TasksetEpisodes(Tasks(), labels, classes=3, presentations=4, batch=60, seed=1)
    episode = source(0)
    samples = numbers(episode.images)
    assert episode.images.shape == (source.time, 60, 20, 20) and episode.images.dtype == torch.float32
    firsts, names = set(), set()
    for column in range(60):
        classes = (samples[:, column] // 10).tolist()
        assert len(set(samples[:, column].tolist())) == 12 and len(set(classes)) == 3
        targets = [tuple(target) for target in episode.targets[:, column].tolist()]
        label_of = dict(zip(classes, targets, strict=True))
        assert len(set(label_of.values())) == 3 and targets == [label_of[one] for one in classes]
        # Not the order of the task, in which classes come one after the other.
        firsts.add(tuple(sorted(classes).index(one) for one in classes))
        assert episode.presentation[:, column].tolist() == [
            classes[: at + 1].count(one) for at, one in enumerate(classes)
        ]
        assert len({(one, int(code)) for one, code in zip(classes, episode.classes[:, column], strict=True)}) == 3
        # Labels do not follow from the task's, which are 0, 7 and 14.
        names.add(tuple(label_of[classes[episode.classes[:, column].tolist().index(label)]] for label in (0, 7, 14)))
        before = episode.previous[:, column].unflatten(-1, (labels.characters, labels.symbols))
        assert not before[0].any() and torch.equal(before[1:].argmax(-1), episode.targets[:-1, column])
    assert len(firsts) > 50 and len(names) > 15


@pytest.mark.parametrize("count", [-1, 5])
def test_steps_are_pure_and_leave_the_random_states_alone(count: int) -> None:
    sources = [TasksetEpisodes(Tasks(count), OneHot(3), classes=3, presentations=4, batch=4, seed=2) for _ in range(2)]
    in_order = [sources[0](step) for step in range(4)]
    random.seed(5)
    numpy.random.seed(5)
    torch.manual_seed(5)
    states = random.getstate(), str(numpy.random.get_state()), torch.get_rng_state()
    backwards = [sources[1](step) for step in reversed(range(4))][::-1]
    assert random.getstate() == states[0] and str(numpy.random.get_state()) == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    for one, other in zip(in_order, backwards, strict=True):
        assert all(torch.equal(mine, its) for mine, its in zip(one, other, strict=True))
    assert not torch.equal(in_order[0].images, in_order[1].images)
    other = replace(sources[0], seed=3)(0)
    assert not torch.equal(numbers(other.images), numbers(in_order[0].images))
    found = {tuple(sorted(numbers(episode.images)[:, column].tolist())) for episode in in_order for column in range(4)}
    assert len(found) == 16 if count == -1 else len(found) <= 5


def test_channels_become_their_mean_sizes_ours_and_bytes_shares() -> None:
    pixels = torch.zeros(2, 3, 4, 4)
    pixels[0, 0] = 0.6
    pixels[1, :, :2, :2] = 1.0
    tasks: Any = [(pixels, torch.tensor([9, 4]))]
    images = TasksetEpisodes(tasks, OneHot(2), classes=2, presentations=1, size=2, batch=1)(0).images[:, 0]
    images = sorted(images, key=lambda image: float(image[1, 1]))
    torch.testing.assert_close(images[0], torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    torch.testing.assert_close(images[1], torch.full((2, 2), 0.2))
    whole: Any = [((pixels[:, 0] * 255).round().byte(), torch.tensor([9, 4]))]
    images = TasksetEpisodes(whole, OneHot(2), classes=2, presentations=1, size=4, batch=1)(0).images[:, 0]
    assert sorted(round(float(image.max()), 6) for image in images) == [0.6, 1.0]


def test_tasks_that_are_not_as_said_are_refused() -> None:
    said: Any = {"classes": 3, "presentations": 4}
    with pytest.raises(InputError, match="^3 classes cannot be told apart by 2 labels"):
        TasksetEpisodes(Tasks(), OneHot(2), **said)
    with pytest.raises(
        InputError, match=r"^task 0 of the taskset has \[5\] images of each of its 3 classes, expected 4"
    ):
        TasksetEpisodes(Tasks(shots=5), OneHot(3), **said)(0)
    with pytest.raises(InputError, match=r"of its 2 classes, expected 4 of 3"):
        TasksetEpisodes(Tasks(ways=2), OneHot(3), **said)(0)
    bright: Any = [(torch.full((12, 8, 8), 2.0), torch.arange(3).repeat(4))]
    with pytest.raises(InputError, match="^pixels of the taskset are from 2 to 2: give its data set a transform"):
        TasksetEpisodes(bright, OneHot(3), **said)(0)


@pytest.mark.learn2learn
@pytest.mark.parametrize("count", [-1, 3])
def test_tasksets_of_learn2learn_are_drawn_from(count: int) -> None:
    learn2learn = importlib.import_module("learn2learn")
    shades = torch.arange(100.0)[:, None, None, None].expand(-1, 1, 28, 28) / 200 + 1e-3
    dataset = learn2learn.data.MetaDataset(
        torch.utils.data.TensorDataset(shades, torch.arange(100) // 10),
        indices_to_labels={index: index // 10 for index in range(100)},
    )
    transforms = learn2learn.data.transforms
    steps = [
        transforms.FusedNWaysKShots(dataset, n=3, k=4),
        transforms.LoadData(dataset),
        transforms.RemapLabels(dataset, shuffle=True),
    ]

    def source() -> TasksetEpisodes:
        taskset = learn2learn.data.Taskset(dataset, task_transforms=steps, num_tasks=count)
        return TasksetEpisodes(taskset, Strings(), classes=3, presentations=4, batch=8)

    first, again = source(), source()
    again(1)
    one, other = first(0), again(0)
    assert torch.equal(one.images, other.images) and torch.equal(one.targets, other.targets)
    samples = numbers(one.images)
    for column in range(8):
        pairs = zip((samples[:, column] // 10).tolist(), map(tuple, one.targets[:, column].tolist()), strict=True)
        assert len(set(samples[:, column].tolist())) == 12 and len(set(pairs)) == 3
