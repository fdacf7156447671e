"""Encoders: each image by itself, the same in training and afterwards, trained together with the network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from data import ImageClasses, Split
from mann import OneShotClassifier
from mann.models.building import build_classifier
from mann.models.classifier import Classifier
from mann.models.encoders import LENGTH, ConvEncoder
from mann.problems.classification import Classification, train
from mann.runs import Run
from mann.runs.loading import load_classifier
from mann.settings import Config
from mann.training import LoggingInterval


@pytest.fixture
def conv(tiny_config: Config) -> Config:
    """Return settings of 12 steps with a small encoder."""
    return replace(tiny_config, encoder="conv", encoder_width=3)


def random_images(count: int, size: int = 8) -> Tensor:
    """Return images of random pixels."""
    return torch.rand(count, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("size", [8, 20, 21, 105])
def test_features_are_those_of_an_image_alone(size: int) -> None:
    encoder = ConvEncoder(size, 3).double()
    images = random_images(5, size)
    together = encoder(images)
    alone = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(encoder.eval()(images), together, rtol=0, atol=0)
    assert together.shape[1] == encoder.features


def test_settled_features_are_centred_and_have_the_set_length() -> None:
    torch.manual_seed(0)
    encoder, images = ConvEncoder(20, 8).double(), random_images(50, 20)
    before = encoder(images)
    # The reason for it: the common part of all features is much longer than their differences.
    assert before.mean(0).norm() > 3 * (before - before.mean(0)).norm(dim=1).mean()
    encoder.settle(images)
    features = encoder(images)
    torch.testing.assert_close(features.mean(0), torch.zeros_like(features[0]), rtol=0, atol=1e-12)
    assert features.square().sum(1).mean().sqrt().item() == pytest.approx(LENGTH)
    assert all(parameter.requires_grad for parameter in encoder.parameters())


def test_centred_features_keep_their_proportions() -> None:
    torch.manual_seed(0)
    encoder, images = ConvEncoder(20, 8).double(), random_images(50, 20)
    with torch.no_grad():
        encoder.gain.uniform_(0.5, 3)
        encoder.bias.uniform_(5, 9)
    before = encoder(images)
    encoder.centre(images)
    features = encoder(images)
    torch.testing.assert_close(features.mean(0), torch.zeros_like(features[0]), rtol=0, atol=1e-12)
    assert features.square().sum(1).mean().sqrt().item() == pytest.approx(LENGTH)
    apart, were = features[1:] - features[0], before[1:] - before[0]
    torch.testing.assert_close(apart, were * (apart.norm() / were.norm()), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("start", [ConvEncoder.settle, ConvEncoder.centre])
def test_features_that_are_the_same_for_all_images_stay_finite(start: Callable[[ConvEncoder, Tensor], None]) -> None:
    encoder = ConvEncoder(8, 3)
    start(encoder, torch.zeros(4, 8, 8))
    assert 0 < encoder(random_images(2).float()).abs().max() < 10 * LENGTH


def test_an_answer_depends_on_no_other_sequence_and_on_no_later_image(conv: Config) -> None:
    model = build_classifier(replace(conv, classes=3)).double()
    images, previous = random_images(12).view(4, 3, 8, 8), torch.zeros(4, 3, 3, dtype=torch.float64)
    logits, _ = model(images, previous)
    changed = images.clone()
    changed[3] = 0.0
    changed[:, 1:] = 1.0
    others, _ = model(changed, previous)
    torch.testing.assert_close(others[:3, 0], logits[:3, 0], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(others[3, 0], logits[3, 0]) and not torch.allclose(others[:3, 1], logits[:3, 1])


def test_continuing_from_a_state_equals_one_run(conv: Config) -> None:
    model = build_classifier(conv).double()
    images, previous = random_images(12).view(6, 2, 8, 8), torch.ones(6, 2, 2, dtype=torch.float64)
    whole, _ = model(images, previous)
    first, state = model(images[:2], previous[:2])
    second, _ = model(images[2:], previous[2:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-10, atol=1e-10)


def test_the_encoder_is_drawn_with_the_seed(conv: Config) -> None:
    one, other = build_classifier(conv), build_classifier(conv)
    assert all(torch.equal(mine, its) for mine, its in zip(one.parameters(), other.parameters(), strict=True))
    assert isinstance(one.encoder, ConvEncoder) and not list(
        build_classifier(replace(conv, encoder="none")).encoder.parameters()
    )
    seeded = build_classifier(replace(conv, seed=5)).encoder
    assert not torch.equal(nn.utils.parameters_to_vector(seeded.parameters()), weights(one.encoder))


def weights(module: nn.Module) -> Tensor:
    """Return all weights in a row."""
    return nn.utils.parameters_to_vector(module.parameters())


@pytest.mark.usefixtures("short_validation")
def test_an_encoder_is_trained_saved_and_continued(
    tmp_path: Path, conv: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    def trained(name: str, stops: bool) -> Run:
        run = Run(tmp_path / name)
        run.start(conv, tiny_split, {})
        interval = LoggingInterval(log=3, validate=6)
        if stops:
            asked = iter([False] * 4 + [True])
            train(conv, tiny_classes, tiny_split, run, interval, stopping=lambda: next(asked))
            assert run.steps_done() == 5
        train(conv, tiny_classes, tiny_split, run, interval)
        return run

    whole, pieces = trained("whole", False), trained("pieces", True)
    one, other = (load_classifier(run, torch.device("cpu"))[1] for run in (whole, pieces))
    assert torch.equal(weights(one), weights(other))
    before: Classifier = Classification(conv, tiny_classes, tiny_split).model
    for (name, now), then in zip(one.encoder.named_parameters(), before.encoder.parameters(), strict=True):
        assert not torch.equal(now, then), name
    episode = Classification(conv, tiny_classes, tiny_split).episode(0)
    torch.testing.assert_close(one.trace(episode.images, episode.previous)[0], one(episode.images, episode.previous)[0])

    support = tiny_classes.images[:2, 0].numpy()
    classifier = OneShotClassifier(whole.folder).fit(support, ["a", "b"])
    asked_of = tiny_classes.images[:2, 1:].flatten(0, 1).numpy()
    expected = classifier.predict_proba(asked_of)
    assert abs(expected[3] - classifier.predict_proba(asked_of[3:4])[0]).max() < 1e-10
    classifier.save(tmp_path / "saved")
    assert (OneShotClassifier.load(tmp_path / "saved").predict_proba(asked_of) == expected).all()
