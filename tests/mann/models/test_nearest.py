"""Nearest neighbours on deep features: an autoencoder, trained as a run."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
import torch

from data import ImageClasses, InputError, Split
from mann import OneShotClassifier
from mann.models.baselines.nearest import NearestNeighbour
from mann.models.building import build_classifier
from mann.models.encoders import Autoencoder
from mann.problems.classification import train
from mann.runs import Run
from mann.runs.loading import load_classifier
from mann.settings import Config, Nearest, preset
from mann.training import LoggingInterval


@pytest.fixture
def deep(tiny_config: Config) -> Config:
    """Return settings of 12 steps with an autoencoder."""
    return replace(tiny_config, model=Nearest(), encoder="autoencoder", encoder_rate=1.0)


def mixtures() -> ImageClasses:
    """Return 20 classes of 4 images, all mixtures of the same three patterns."""
    generator = torch.Generator().manual_seed(3)
    patterns = torch.rand(3, 64, generator=generator)
    shares = torch.rand(20, 1, 3, generator=generator) + 0.05 * torch.rand(20, 4, 3, generator=generator)
    images = (shares / shares.sum(-1, keepdim=True)) @ patterns
    return ImageClasses((255 * images.view(20, 4, 8, 8)).byte(), torch.full((20,), 4), tuple("abcdefghijklmnopqrst"))


@pytest.mark.usefixtures("short_validation")
def test_an_autoencoder_learns_to_reconstruct_images_of_new_classes(tmp_path: Path, deep: Config) -> None:
    classes = mixtures()
    split = Split(classes.names[:12], classes.names[12:16], classes.names[16:])
    config = replace(deep, rotations=False, classes=4, batch=2, episodes=400, clip_to_median=None)
    run = Run(tmp_path / "run")
    run.start(config, split, {})
    model = train(config, classes, split, run, LoggingInterval(log=100, validate=200))
    unseen = classes.select(split.test).images.flatten(0, 1) / 255
    encoder = model.encoder
    assert isinstance(encoder, Autoencoder)
    variance = unseen.var(0, correction=0).mean().item()
    assert encoder.error(unseen).item() < 0.2 * variance
    first, last = run.metrics()
    assert last["loss"] < first["loss"]
    # The features of the four images of a class, which hardly differ, are close to each other.
    assert last["validation"]["2"] > 0.9


@pytest.mark.usefixtures("short_validation")
def test_a_stopped_training_continues_and_trains_all_weights(
    tmp_path: Path, deep: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    def trained(name: str, stops: bool) -> Run:
        run = Run(tmp_path / name)
        run.start(deep, tiny_split, {})
        if stops:
            asked = iter([False] * 4 + [True])
            train(deep, tiny_classes, tiny_split, run, stopping=lambda: next(asked))
            assert run.steps_done() == 5
        train(deep, tiny_classes, tiny_split, run)
        return run

    one, other = (load_classifier(trained(*how), torch.device("cpu"))[1] for how in (("whole", False), ("parts", True)))
    new = build_classifier(deep).state_dict()
    assert len(new) == 12
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]) and not torch.equal(value, new[name]), name

    # The estimator answers with the class whose features are nearest.
    support, names = tiny_classes.images[:2, 0].numpy(), ["a", "b"]
    classifier = OneShotClassifier(tmp_path / "whole").fit(support, names)
    features = one.encoder(tiny_classes.images[:2].flatten(0, 1) / 255).detach().numpy()
    distances = ((features[:, None] - features[[0, 4]]) ** 2).sum(-1)
    predicted = classifier.predict(tiny_classes.images[:2].flatten(0, 1).numpy())
    assert predicted.tolist() == [names[which] for which in distances.argmin(1)] and len(set(predicted)) == 2
    classifier.save(tmp_path / "saved")
    assert numpy.array_equal(
        OneShotClassifier.load(tmp_path / "saved").predict(tiny_classes.images[:2].flatten(0, 1).numpy()), predicted
    )


def test_continuing_from_a_state_equals_one_run() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(7, 3, 4 + 5, generator=generator)
    network = NearestNeighbour(9, 5)
    whole, _ = network(inputs)
    first, state = network(inputs[:3])
    second, state = network(inputs[3:4], state)
    third, _ = network(inputs[4:], state)
    assert torch.equal(torch.cat([first, second, third]), whole)
    assert len(whole.unique(dim=0)) > 2


def test_an_autoencoder_is_for_nearest_neighbours_alone() -> None:
    assert preset("strokes", model="nearest", encoder="autoencoder").model == Nearest()
    with pytest.raises(InputError, match="^`encoder=autoencoder` is for `model=nearest`, not for `model=memory`$"):
        preset("strokes", encoder="autoencoder")


def test_no_algorithmic_task_has_nearest_neighbours() -> None:
    with pytest.raises(InputError, match="^no model of copy is named 'nearest'"):
        preset("copy", model="nearest")
