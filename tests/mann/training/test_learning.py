"""Networks learn, in seconds, what they should be able to learn, and not what they cannot."""

from typing import Any

import pytest
import torch
from torch import nn

from data import ImageClasses
from episodes import ClassificationEpisodes, OneHot
from mann.addressing import LRUA
from mann.models.baselines.recurrent import FeedForwardBaseline, RecurrentBaseline
from mann.models.classifier import Classifier, answer_loss, count_by_instance, is_right
from mann.models.controllers import CONTROLLERS, ControllerKind, controller_kind
from mann.models.network import MemoryNetwork

CLASSES = 2
PRESENTATIONS = 3
SIDE = 3


def easy_images(drawings: int = 10) -> ImageClasses:
    """Return 6 classes of clearly different images, their drawings a little noisy."""
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.rand(6, 1, SIDE, SIDE, generator=generator).round() * 200
    noise = torch.rand(6, drawings, SIDE, SIDE, generator=generator) * 50
    return ImageClasses((prototypes + noise).to(torch.uint8), torch.full((6,), drawings), tuple("abcdef"))


def episodes(seed: int, batch: int) -> ClassificationEpisodes:
    """Return episodes of 2 of the classes, 3 drawings of each."""
    return ClassificationEpisodes(easy_images(), OneHot(CLASSES), CLASSES, PRESENTATIONS, batch=batch, seed=seed)


def seeded(build: Any, *arguments: Any, **options: Any) -> nn.Module:
    """Build a network with weights that are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(*arguments, **options)


def accuracy_after(network: nn.Module, steps: int, learning_rate: float = 1e-2) -> list[float]:
    """Train, and return the accuracy by instance in episodes that were not trained on."""
    model = Classifier(network, CLASSES)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate)
    source = episodes(seed=0, batch=32)
    for step in range(steps):
        episode = source(step)
        loss = answer_loss(model(episode.images, episode.previous)[0], episode)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    episode = episodes(seed=1, batch=1000)(0)
    with torch.no_grad():
        logits, _ = model(episode.images, episode.previous)
    right, shown = count_by_instance(is_right(logits, episode), episode.presentation, PRESENTATIONS)
    return (right.sum(0) / shown.sum(0)).tolist()


WIDTH = SIDE**2 + CLASSES


def memory_network(controller: ControllerKind) -> nn.Module:
    """Return a small memory network."""
    scheme = LRUA(read_heads=1, key_strength=8.0, write_vector="add", least_used="own")
    return seeded(MemoryNetwork, WIDTH, CLASSES, scheme, controller, hidden_size=24, slots=6, word_size=8)


KINDS = {**CONTROLLERS, "feedforward-tanh": controller_kind("feedforward", activation="tanh")}
TRAININGS = {"lstm": (300, 2e-2), "gru": (300, 2e-2), "feedforward": (350, 2e-2), "feedforward-tanh": (500, 3e-2)}
"""By controller, the steps and the learning rate with which it learns."""


@pytest.mark.parametrize("name", KINDS)
def test_a_memory_network_learns_to_name_a_class_that_it_saw_once(name: str) -> None:
    before = accuracy_after(memory_network(KINDS[name]), 0)
    assert before[1] < 0.65
    after = accuracy_after(memory_network(KINDS[name]), *TRAININGS[name])
    # At first sight: half of the first images, and every first image of the other class.
    assert after[0] < 0.8
    assert after[1] > 0.9 and after[2] > 0.9


def test_the_lstm_baseline_learns_to_name_a_class_too() -> None:
    after = accuracy_after(seeded(RecurrentBaseline, nn.LSTM, WIDTH, CLASSES, 24), 600)
    assert after[0] < 0.8
    assert after[1] > 0.9


def test_the_feed_forward_baseline_learns_but_cannot_remember() -> None:
    after = accuracy_after(seeded(FeedForwardBaseline, WIDTH, CLASSES, 24), 300)
    # It can know that the label often changes; a second sight follows the first directly in half of all cases.
    assert after[0] > 0.55
    assert abs(after[1] - 0.5) < 0.05


def test_the_feed_forward_baseline_learns_what_needs_no_memory() -> None:
    network = seeded(FeedForwardBaseline, 2, 1, 16)
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    inputs = torch.randint(2, (4, 200, 2), generator=torch.Generator().manual_seed(0)).float()
    different = (inputs[..., :1] != inputs[..., 1:]).float()
    for _ in range(200):
        loss = nn.functional.binary_cross_entropy_with_logits(network(inputs)[0], different)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert ((network(inputs)[0] > 0) == different.bool()).all()
