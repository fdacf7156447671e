"""Held-out episodes: of classes never trained on, and the same for every model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data import ImageClasses, InputError, Split, read_split, split_names
from mann.evaluation.few_shot_accuracy import few_shot_episodes
from mann.evaluation.held_out import (
    HELD_OUT,
    TEST,
    VALIDATION,
    HeldOut,
    held_out_episodes,
    identity,
    with_classes,
)
from mann.evaluation.instances import evaluate
from mann.models.building import build_classifier
from mann.problems.classification import train, training_episodes
from mann.runs import Run
from mann.settings import Config, changed
from mann.training import LoggingInterval
from tests.mann.evaluation.watching import names_in, numbered, watched


@pytest.mark.parametrize("rotations", [True, False])
@pytest.mark.parametrize("name", split_names())
def test_no_test_class_is_trained_on_or_validated_with(
    tmp_path: Path, tiny_config: Config, name: str, rotations: bool
) -> None:
    split = read_split(name)
    # In an order that has nothing to do with the split's.
    names = tuple(sorted(split.train + split.validation + split.test))
    classes = numbered(names)
    config = replace(tiny_config, split=name, rotations=rotations, batch=256, episodes=40 * 256)
    run = Run(tmp_path / "run")
    run.start(config, split, {})
    with watched() as seen:
        model = train(config, classes, split, run, LoggingInterval(log=20, validate=40, save_seconds=1e9))
        during = len(seen)
        evaluate(model, config, classes, split, episodes=6000)
    learned = set().union(*(names_in(call.images, names) for call in seen if call.learning))
    validated = set().union(*(names_in(call.images, names) for call in seen[:during] if not call.learning))
    tested = set().union(*(names_in(call.images, names) for call in seen[during:]))
    # So many episodes that every class is drawn: the three parts are exactly those of the split.
    assert learned == set(split.train)
    assert validated == set(split.validation)
    assert tested == set(split.test)
    assert not tested & (learned | validated)


@pytest.mark.parametrize("name", split_names())
def test_sources_draw_from_no_other_part(tiny_config: Config, name: str) -> None:
    split = read_split(name)
    classes = numbered(split.test + split.train + split.validation)
    trained = training_episodes(tiny_config, classes, split).images.names
    assert {name.removesuffix("/rot090").removesuffix("/rot180").removesuffix("/rot270") for name in trained} == set(
        split.train
    )
    for part, held_out in HELD_OUT.items():
        source = held_out_episodes(tiny_config, classes.select(getattr(split, part)), held_out).source
        assert (source.images.names, source.seed) == (getattr(split, part), held_out.seed)
    # The evaluation draws from the part that is named, although all classes are given.
    with watched() as seen:
        evaluate(build_classifier(tiny_config), tiny_config, classes, split, "validation", episodes=50)
    assert names_in(torch.cat([call.images for call in seen]), classes.names) <= set(split.validation)


def test_held_out_episodes_have_no_rotations_and_no_jitter(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = replace(tiny_config, jitter_rotation=90.0, jitter_translation=0.5, rotations=True)
    fixed = held_out_episodes(config, tiny_classes.select(tiny_split.test), TEST)
    assert fixed.source.images.names == tiny_split.test
    known = {bytes(image.flatten().tolist()) for image in tiny_classes.images.flatten(0, 1)}
    presented = (fixed.source(0).images * 255).round().to(torch.uint8).flatten(0, 1)
    assert {bytes(image.flatten().tolist()) for image in presented} <= known


@pytest.mark.parametrize("part", ["validation", "test"])
def test_all_models_are_evaluated_on_the_same_episodes(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, part: str
) -> None:
    others = [
        tiny_config,
        replace(tiny_config, seed=9),
        replace(tiny_config, batch=7, rotations=False, jitter_rotation=5.0),
        changed(tiny_config, {"controller": "feedforward", "hidden_size": 5, "slots": 3}),
        changed(tiny_config, {"model": "recurrent", "optimizer": "rmsprop"}),
        changed(tiny_config, {"model": "prototypes"}),
    ]
    presented = []
    for config in others:
        with watched() as seen:
            evaluate(build_classifier(config), config, tiny_classes, tiny_split, part, episodes=120)
        presented.append((torch.cat([call.images for call in seen], 1), torch.cat([call.previous for call in seen], 1)))
    for images, previous in presented[1:]:
        assert torch.equal(images, presented[0][0])
        assert torch.equal(previous, presented[0][1])


def test_evaluations_of_the_same_episodes_share_an_identity(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    def identified(images: ImageClasses = tiny_classes, episodes: int = 60, **changes: Any) -> str:
        config = changed(tiny_config, changes)
        return identity(held_out_episodes(config, images, HeldOut(3, episodes)))

    same = [identified(), identified(seed=9, batch=7, hidden_size=5, jitter_rotation=5.0, model="recurrent")]
    others = [
        identified(classes=3),
        identified(labels="strings"),
        identified(most_classes=3),
        identified(counting="random"),
        identified(presentations=3),
        identified(length=3),
        identified(tiny_classes.select(tiny_classes.names[1:])),
        identified(tiny_classes.select(tiny_classes.names[::-1])),
        identified(episodes=61),
        identity(held_out_episodes(tiny_config, tiny_classes, HeldOut(4, 60))),
    ]
    assert len(set(same)) == 1
    assert len(set(same + others)) == 1 + len(others)


def test_test_validation_and_training_episodes_are_drawn_apart(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    assert len({VALIDATION.seed, TEST.seed, tiny_config.seed}) == 3
    images = tiny_classes.select(tiny_split.test)
    one, other = (held_out_episodes(tiny_config, images, held_out).source(0) for held_out in (VALIDATION, TEST))
    assert not torch.equal(one.classes, other.classes)


def test_one_alphabet_is_an_option_of_training_evaluation_and_few_shots(
    tiny_config: Config, tiny_classes: ImageClasses
) -> None:
    names = tuple(f"{'ABCDE'[index % 5]}/{index // 5}" for index in range(20))
    classes = replace(tiny_classes, names=names)
    split = Split(names[:10], names[10:15], names[10:])
    config = replace(tiny_config, alphabets="one", rotations=True)
    sources = {
        "all": held_out_episodes(replace(config, alphabets="all"), classes.select(split.test), TEST).source,
        "test": held_out_episodes(config, classes.select(split.test), TEST).source,
        "training": training_episodes(config, classes, split),
        "few shots": few_shot_episodes(config, classes.select(split.test), 2, 1, 1, 0),
    }
    for name, source in sources.items():
        drawn = replace(source, batch=400)(0).classes.T
        # A name without its character: alphabet and rotation.
        found = [{tuple(source.images.names[int(row)].split("/")[::2]) for row in column} for column in drawn]
        assert all(len(alphabets) == 1 for alphabets in found) == (name != "all")
        assert len(set.union(*found)) == {"training": 20}.get(name, 5)


def test_a_curriculum_is_evaluated_with_the_classes_of_its_beginning_or_any_that_its_labels_tell_apart(
    tiny_config: Config,
) -> None:
    config = replace(tiny_config, classes=2, most_classes=4)
    assert held_out_episodes(config, numbered(tuple("abcdef")), TEST).source.classes == 2
    assert with_classes(config, 4).classes == 4
    with pytest.raises(InputError, match=r"^`classes` 5: .* training with 4 classes tell no more apart; use at most 4"):
        with_classes(config, 5)
    with pytest.raises(InputError, match="^`classes` 1: at least 2"):
        with_classes(config, 1)
    # Strings tell any number of classes apart; the weights of prototypes do not depend on labels.
    assert with_classes(replace(config, labels="strings"), 50).classes == 50
    assert with_classes(changed(config, {"model": "prototypes"}), 50).most_labelled == 50
