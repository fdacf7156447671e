"""Classification as a problem to train: its episodes, its curriculum, its persistent memory, its refusals."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from data import ImageClasses, InputError, Split
from episodes import Jitter
from mann.models.classifier import answer_loss
from mann.problems import Classification, train
from mann.problems.classification import training_episodes
from mann.runs import Run
from mann.settings import Config, Memory, Nearest, Recurrent, changed
from mann.support.trees import leaves_of
from mann.training import LoggingInterval


@pytest.mark.parametrize("labels", ["one-hot", "strings"])
def test_a_curriculum_adds_a_class_every_so_many_episodes(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, labels: Any
) -> None:
    config = replace(tiny_config, labels=labels, most_classes=5, class_every=5, batch=2)
    problem = Classification(config, tiny_classes, tiny_split)
    assert "2 classes in an episode at first, up to 5" in problem.description
    # Before the 5th, 10th and 15th episode, two at a step; in any order of the steps.
    expected = [2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5]
    for step in reversed(range(len(expected))):
        episode = problem.episode(step)
        assert len(episode.images) == 2 * expected[step]
        for column in range(2):
            assert len(set(episode.classes[:, column].tolist())) == expected[step]
            assert len(set(map(tuple, episode.targets[:, column].tolist()))) == expected[step]
        loss, _ = problem.loss(episode)
        assert loss.isfinite()
        assert problem.summary(step, [0.5, None]) == {"classes": expected[step], "accuracy": {"1": 0.5}}
    # Refused before the training, not in the middle of it: there are 12 training classes.
    with pytest.raises(
        InputError, match="train classes: 13 classes asked for in an episode, but only 12 to draw from: lower `classes`"
    ):
        Classification(replace(config, most_classes=13, rotations=False), tiny_classes, tiny_split)


def test_with_persistent_memory_the_episodes_of_a_place_in_the_batch_are_one_long_sequence(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = changed(tiny_config, {"memory": "persistent", "hidden_size": 6})
    persistent, wiped = (
        Classification(each, tiny_classes, tiny_split) for each in (config, replace(config, memory="wiped"))
    )
    episodes = [persistent.episode(step) for step in range(3)]
    with torch.no_grad():
        logits, state = wiped.model(*(torch.cat([each[part] for each in episodes]) for part in (0, 1)))
    for each, expected in zip(episodes, logits.split(4), strict=True):
        loss, _ = persistent.loss(each)
        torch.testing.assert_close(loss, answer_loss(expected, each))
        loss.backward()  # through one episode alone: the graph of the episode before is gone
    assert not torch.equal(answer_loss(logits[4:8], episodes[1]), wiped.loss(episodes[1])[0])
    torch.testing.assert_close(persistent.carry, state)
    assert not any(leaf.requires_grad for leaf in leaves_of(persistent.carry))


def test_training_draws_from_training_classes_and_their_rotations_with_jitter(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    upright = training_episodes(replace(tiny_config, rotations=False), tiny_classes, tiny_split)
    assert upright.images.names == tiny_split.train
    assert upright.jitter is None
    config = replace(tiny_config, jitter_rotation=90.0, jitter_translation=0.25)
    source = training_episodes(config, tiny_classes, tiny_split)
    rotated = [f"{name}{angle}" for angle in ("", "/rot090", "/rot180", "/rot270") for name in tiny_split.train]
    assert list(source.images.names) == rotated
    assert source.jitter is not None
    assert source.jitter == Jitter(math.pi / 2, 0.25)
    assert (source.seed, source.batch, source.time) == (0, 2, 4)


def test_classes_that_do_not_fill_an_episode_are_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tiny_run: Run
) -> None:
    with pytest.raises(
        InputError, match="validation classes: 5 classes asked for .* only 4 "
    ):  # 12 to train on, 4 to validate
        train(replace(tiny_config, classes=5), tiny_classes, tiny_split, tiny_run)
    with pytest.raises(InputError, match="train classes: 5 presentations .*4 "):
        train(replace(tiny_config, presentations=5), tiny_classes, tiny_split, tiny_run)
    few = tiny_split._replace(test=tiny_split.test[:2], validation=tiny_split.validation + tiny_split.test[2:])
    with pytest.raises(InputError, match="test classes: 3 classes asked for .* only 2 "):
        Classification(replace(tiny_config, classes=3), tiny_classes, few)


def test_nearest_neighbours_of_pixels_have_nothing_to_learn(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    with pytest.raises(InputError, match="`model=nearest` learns an autoencoder: add `encoder=autoencoder`"):
        Classification(replace(tiny_config, model=Nearest()), tiny_classes, tiny_split)


def test_it_learns(tiny_config: Config, tmp_path: Any) -> None:
    # A pixel tells the classes apart. A class that is new while the label before is known has the other label.
    images = torch.zeros(20, 4, 8, 8, dtype=torch.uint8)
    images[torch.arange(20), :, torch.arange(20) // 8 * 3, torch.arange(20) % 8] = 255
    classes = ImageClasses(images, torch.full((20,), 4), tuple(f"class{index:02d}" for index in range(20)))
    split = Split(classes.names[:12], classes.names[12:16], classes.names[16:])
    model = Recurrent(hidden_size=32)
    config = replace(tiny_config, model=model, batch=16, episodes=16 * 150, learning_rate=1e-2, rotations=False)
    run = Run(tmp_path / "run")
    run.start(config, split, {})
    train(config, classes, split, run, LoggingInterval(log=10, validate=150))
    first, last = run.metrics()[0], run.metrics()[-1]
    assert first["loss"] > 0.64  # near log 2, a guess
    assert last["loss"] < 0.6
    assert 0.7 < last["accuracy"]["1"] < 0.85


def test_the_weights_are_drawn_with_the_seed_and_the_first_loss_follows_from_it(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    losses = [
        problem.loss(problem.episode(0))[0].item()
        for problem in (
            Classification(replace(tiny_config, seed=seed, model=Memory(slots=6)), tiny_classes, tiny_split)
            for seed in (3, 3, 4)
        )
    ]
    assert losses[0] == losses[1] != losses[2]
