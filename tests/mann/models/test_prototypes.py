"""Prototypical networks: distances to the means of the images so far, against loops."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from data import InputError
from mann.models.baselines.prototypes import PrototypicalNetwork
from mann.models.building import build_classifier
from mann.settings import Config, Prototypes, preset


def test_logits_match_loops_and_states_continue() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(7, 2, 4, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (7, 2), generator=generator)
    before = functional.one_hot(labels, 3).double().roll(1, 0) * 4
    before[0] = 0
    network = PrototypicalNetwork(4 + 3, 3).double()
    inputs = torch.cat([features, before], -1)
    logits, _ = network(inputs)
    for time in range(7):
        for column in range(2):
            for label in range(3):
                matching = [features[earlier, column] for earlier in range(time) if labels[earlier, column] == label]
                expected = -0.5 * 4
                if matching:
                    expected = -float((features[time, column] - sum(matching) / len(matching)).square().sum())
                assert logits[time, column, label].item() == pytest.approx(expected)
    first, state = network(inputs[:3])
    second, _ = network(inputs[3:], state)
    torch.testing.assert_close(torch.cat([first, second]), logits)


def test_an_image_far_from_all_prototypes_gets_a_new_label() -> None:
    network = PrototypicalNetwork(2 + 3, 3)
    inputs = torch.tensor([[0.0, 0, 0, 0, 0], [9, 9, 0, 1, 0], [0.1, 0, 1, 0, 0]])[:, None]
    answers, _ = network(inputs)
    assert answers[1, 0].argmax() != 1
    assert answers[2, 0].argmax() == 1
    answers[2].sum().backward()
    assert network.newness.grad is not None and network.newness.grad != 0


def test_they_are_built_for_images_with_one_hot_labels_alone() -> None:
    config = Config("strokes", model=Prototypes())
    assert isinstance(build_classifier(config).network, PrototypicalNetwork)
    with pytest.raises(InputError, match="^`model=prototypes` needs `labels=one-hot`, not `labels=strings`$"):
        replace(config, labels="strings")
    with pytest.raises(InputError, match="^no model of copy is named 'prototypes'"):
        preset("copy", model="prototypes")
