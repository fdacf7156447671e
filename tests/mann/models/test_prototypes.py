"""Prototypical networks: means of what has been shown, against a slow loop."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from data import InputError
from mann.models.baselines.prototypes import Prototypes
from mann.models.classifier import build_classifier
from mann.settings.schema import Config, TaskConfig, checked, preset


def test_answers_are_those_of_a_slow_loop_and_states_go_on() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(7, 2, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (7, 2), generator=generator)
    before = functional.one_hot(labels, 3).double().roll(1, 0) * 4
    before[0] = 0
    network = Prototypes(4 + 3, 3).double()
    inputs = torch.cat([features, before], -1)
    logits, _ = network(inputs)
    for time in range(7):
        for column in range(2):
            for label in range(3):
                seen = [features[earlier, column] for earlier in range(time) if labels[earlier, column] == label]
                expected = -0.5 * 4
                if seen:
                    expected = -float((features[time, column] - sum(seen) / len(seen)).square().sum())
                assert logits[time, column, label].item() == pytest.approx(expected)
    first, state = network(inputs[:3])
    second, _ = network(inputs[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), logits)


def test_what_is_near_nothing_is_called_something_new() -> None:
    network = Prototypes(2 + 3, 3)
    inputs = torch.tensor([[0.0, 0, 0, 0, 0], [9, 9, 0, 1, 0], [0.1, 0, 1, 0, 0]])[:, None]
    answers, _ = network(inputs)
    assert answers[1, 0].argmax() != 1
    assert answers[2, 0].argmax() == 1
    answers[2].sum().backward()
    assert network.newness.grad is not None and network.newness.grad != 0


def test_they_are_built_for_images_with_one_hot_labels_alone() -> None:
    config = checked(preset("strokes", "default", "prototypes"))
    assert config.scheme is None
    assert isinstance(build_classifier(Config("strokes", addressing="prototypes", scheme=None)).network, Prototypes)
    for wrong in (
        replace(config, labels="strings"),
        replace(preset("copy"), addressing="prototypes", scheme=None),
    ):
        assert isinstance(wrong, Config | TaskConfig)
        with pytest.raises(InputError, match="^the settings: addressing: prototypes are of classes of images"):
            checked(wrong)
