"""Classifiers: losses and counts against loops; building from settings."""

import math
from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data import ImageClasses
from episodes import ClassificationEpisodes, Episode, OneHot, Strings
from mann.addressing import LRUA
from mann.models.baselines.recurrent import FeedForwardBaseline, RecurrentBaseline
from mann.models.building import build_classifier
from mann.models.classifier import Classifier, answer_loss, count_by_instance, episode_labels, is_right
from mann.models.controllers import FeedForwardController, LSTMController
from mann.models.network import MemoryNetwork
from mann.settings import Config, Memory, Recurrent

SMALL = Config(
    "strokes",
    size=8,
    classes=3,
    image_scale=0.5,
    label_scale=3.0,
    model=Memory(hidden_size=5, slots=4, word_size=3, scheme=LRUA(read_heads=2)),
)


def episode_of(targets: Tensor) -> Episode:
    """Return an episode with nothing but targets."""
    nothing = torch.zeros(0)
    return Episode(nothing, nothing, targets, nothing, nothing)


@settings(deadline=None)
@given(
    time=st.integers(1, 4),
    batch=st.integers(1, 3),
    characters=st.integers(1, 3),
    symbols=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_loss_and_right_answers_match_loops(time: int, batch: int, characters: int, symbols: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(time, batch, characters, symbols, generator=generator, dtype=torch.float64)
    targets = torch.randint(symbols, (time, batch, characters), generator=generator)
    # Some answers are right.
    kept = torch.rand(time, batch, characters, 1, generator=generator) < 0.6
    logits = logits + 20 * kept * torch.nn.functional.one_hot(targets, symbols)
    total, right = 0.0, numpy.zeros((time, batch), dtype=bool)
    for t, b in numpy.ndindex(time, batch):
        answers = []
        for c in range(characters):
            row = logits[t, b, c].tolist()
            target = int(targets[t, b, c])
            total += math.log(sum(math.exp(value - row[target]) for value in row))
            answers.append(max(range(symbols), key=row.__getitem__) == target)
        right[t, b] = all(answers)
    episode = episode_of(targets)
    assert answer_loss(logits, episode).item() == pytest.approx(total / (time * batch), abs=1e-10)
    assert numpy.array_equal(is_right(logits, episode).numpy(), right)


def test_guessing_costs_the_logarithm_of_the_number_of_labels() -> None:
    assert answer_loss(torch.zeros(2, 3, 1, 5), episode_of(torch.zeros(2, 3, 1, dtype=torch.int64))).item() == (
        pytest.approx(math.log(5))
    )
    strings = answer_loss(torch.zeros(2, 3, 5, 5), episode_of(torch.zeros(2, 3, 5, dtype=torch.int64)))
    assert strings.item() == pytest.approx(math.log(3125))


def test_a_string_is_right_only_if_every_character_is() -> None:
    targets = torch.tensor([[[0, 1, 2]]]).expand(4, 1, 3)
    answers = torch.tensor([[0, 1, 2], [0, 1, 1], [2, 1, 2], [1, 2, 0]])
    logits = torch.nn.functional.one_hot(answers, 3).float()[:, None]
    assert is_right(logits, episode_of(targets)).tolist() == [[True], [False], [False], [False]]


@given(data=st.data(), time=st.integers(1, 6), batch=st.integers(1, 3), instances=st.integers(1, 5))
def test_counts_by_instance_match_loops(data: st.DataObject, time: int, batch: int, instances: int) -> None:
    cells = st.lists(st.lists(st.integers(1, 7), min_size=batch, max_size=batch), min_size=time, max_size=time)
    presentation = data.draw(cells)
    correct = [[value % 2 == 1 for value in row] for row in data.draw(cells)]
    expected = numpy.zeros((2, batch, instances), dtype=int)
    for t, b in numpy.ndindex(time, batch):
        if presentation[t][b] <= instances:
            expected[1, b, presentation[t][b] - 1] += 1
            expected[0, b, presentation[t][b] - 1] += correct[t][b]
    right, answers = count_by_instance(torch.tensor(correct), torch.tensor(presentation), instances)
    assert right.dtype == answers.dtype == torch.int64
    assert numpy.array_equal(right.numpy(), expected[0])
    assert numpy.array_equal(answers.numpy(), expected[1])


def blank_images(classes: int = 4, samples: int = 3, side: int = 8) -> ImageClasses:
    """Return classes of random images."""
    images = torch.randint(
        256, (classes, samples, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return ImageClasses(images, torch.full((classes,), samples), tuple(f"class{index}" for index in range(classes)))


@pytest.mark.parametrize(("labels", "shape"), [("one-hot", (1, 3)), ("strings", (5, 5))])
@pytest.mark.parametrize("kind", ["memory", "recurrent"])
@pytest.mark.parametrize("controller", ["lstm", "feedforward"])
def test_a_classifier_answers_every_step_from_the_pixels_and_the_previous_label(
    labels: Any, shape: tuple[int, int], kind: str, controller: Any
) -> None:
    recurrent = Recurrent(controller=controller, hidden_size=5)
    model = replace(SMALL.model, controller=controller) if kind == "memory" else recurrent
    config = replace(SMALL, labels=labels, model=model)
    model = build_classifier(config)
    source = ClassificationEpisodes(blank_images(), episode_labels(config), 3, 2, batch=2)
    episode = source(0)
    logits, state = model(episode.images, episode.previous)
    inputs = torch.cat([episode.images.reshape(6, 2, 64) * 0.5, episode.previous * 3], -1)
    expected, _ = model.network(inputs)
    assert torch.equal(logits, expected.reshape(6, 2, *shape))
    for part in ("images", "previous"):
        changed = episode._replace(**{part: getattr(episode, part) + 1})
        assert not torch.equal(model(changed.images, changed.previous)[0], logits)
    again, _ = model(episode.images, episode.previous, state)
    # Only the feed-forward baseline has no state to continue from.
    assert torch.equal(again, logits) == ((kind, controller) == ("recurrent", "feedforward"))


def test_there_are_as_many_labels_as_classes() -> None:
    assert episode_labels(SMALL) == OneHot(3)
    assert episode_labels(replace(SMALL, labels="strings", classes=15)) == Strings(5, 5)


def network_of(model: Any) -> Any:
    """Return the network that is built for a model."""
    return build_classifier(replace(SMALL, model=model)).network


def test_the_network_is_built_from_the_settings() -> None:
    small: Any = SMALL.model
    network = network_of(replace(small, read_first=True))
    assert isinstance(network, MemoryNetwork)
    assert isinstance(network.controller, LSTMController)
    assert network.scheme == small.scheme
    assert (network.slots, network.word_size, network.read_first) == (4, 3, True)
    assert network.interface.in_features == 5 and not network.batch_first
    network = network_of(replace(small, controller="feedforward"))
    assert isinstance(network, MemoryNetwork) and not network.read_first
    assert isinstance(network.controller, FeedForwardController) and network.controller.activation is torch.tanh
    network = network_of(replace(small, controller="feedforward", activation="relu"))
    assert isinstance(network, MemoryNetwork) and isinstance(network.controller, FeedForwardController)
    assert network.controller.activation is torch.relu
    network = network_of(Recurrent(hidden_size=5))
    assert isinstance(network, RecurrentBaseline) and network.output.in_features == 5
    network = network_of(Recurrent(controller="feedforward", hidden_size=5))
    assert isinstance(network, FeedForwardBaseline) and network.output.in_features == 5


def test_by_default_a_classifier_passes_pixels_and_labels_on_unchanged() -> None:
    model = Classifier(FeedForwardBaseline(64 + 3, 3, 4), 3)
    images, previous = torch.rand(2, 1, 8, 8), torch.eye(3)[:2, None]
    expected, _ = model.network(torch.cat([images.flatten(2), previous], -1))
    assert torch.equal(model(images, previous)[0], expected[:, :, None])


def weights(model: Classifier) -> Tensor:
    """Return all weights in a row."""
    return torch.cat([value.flatten() for value in model.state_dict().values()])


def test_weights_are_a_function_of_the_seed_alone() -> None:
    first = weights(build_classifier(SMALL))
    torch.manual_seed(77)
    assert torch.equal(weights(build_classifier(SMALL)), first)
    assert not torch.equal(weights(build_classifier(replace(SMALL, seed=1))), first)


def test_building_leaves_the_global_random_state_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(seed: int) -> None:
        raise AssertionError("GPUs were seeded")

    torch.manual_seed(3)
    before = torch.get_rng_state()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", refuse)
    build_classifier(SMALL)
    assert torch.equal(torch.get_rng_state(), before)
