"""Accuracy by instance: answers are counted as by slow loops, in blank or persistent memory."""

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from data import ImageClasses, InputError, Split
from mann.evaluation import instances
from mann.evaluation.held_out import TEST, VALIDATION, HeldOut, held_out_episodes, with_classes
from mann.evaluation.instances import accuracy_by_instance, answer_counts, evaluate, first_sequence, from_columns
from mann.evaluation.intervals import by_instance
from mann.models.building import build_classifier
from mann.models.classifier import is_right
from mann.settings import Config, changed
from tests.mann.evaluation.watching import Constant, RightNowAndThen, watched


@pytest.mark.parametrize("counting", ["exact", "random"])
@pytest.mark.parametrize("labels", ["one-hot", "strings"])
def test_answers_are_counted_as_by_a_slow_loop(
    tiny_config: Config, tiny_classes: ImageClasses, counting: Any, labels: str
) -> None:
    config = replace(tiny_config, counting=counting, labels=labels, classes=3)
    fixed = held_out_episodes(config, tiny_classes, HeldOut(seed=3, episodes=70))
    model = build_classifier(config)
    if labels == "strings":  # or no answer would ever be right
        fixed = fixed._replace(source=replace(fixed.source, labels=Constant()))
        model = RightNowAndThen()
    right, shown = answer_counts(model, fixed)
    instances = 2 if counting == "exact" else 6
    expected_right, expected_shown = numpy.zeros((70, instances), int), numpy.zeros((70, instances), int)
    for number in range(70):
        episode = fixed.source(number // 50)
        column = number % 50
        logits, _ = model(episode.images[:, column : column + 1], episode.previous[:, column : column + 1])
        times: dict[int, int] = {}
        for step in range(fixed.source.time):
            drawn = int(episode.classes[step, column])
            times[drawn] = times.get(drawn, 0) + 1
            answer = [int(character.argmax()) for character in logits[step, 0]]
            expected_shown[number, times[drawn] - 1] += 1
            expected_right[number, times[drawn] - 1] += answer == episode.targets[step, column].tolist()
    assert numpy.array_equal(shown, expected_shown)
    assert numpy.array_equal(right, expected_right)
    assert 0 < right.sum() < shown.sum()
    assert shown.sum() == 70 * 6


def test_memory_is_blank_at_the_start_of_every_episode(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    model = build_classifier(tiny_config)
    fixed = held_out_episodes(tiny_config, tiny_classes, HeldOut(seed=3, episodes=150))
    with watched() as seen:
        answer_counts(model, fixed)
    assert len(seen) == 3
    assert all(call.blank and not call.learning for call in seen)

    # The slow loop above runs every episode by itself.


def test_persistent_memory_is_never_wiped(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    config = replace(tiny_config, classes=3, labels="strings", memory="persistent")
    fixed = held_out_episodes(config, tiny_classes, HeldOut(seed=3, episodes=120))
    assert fixed.persistent and not held_out_episodes(replace(config, memory="wiped"), tiny_classes, TEST).persistent
    fixed = fixed._replace(source=replace(fixed.source, labels=Constant()))
    model = build_classifier(config)
    for parameter in model.parameters():  # answers that differ
        parameter.data.mul_(3)
    counted: list[Tensor] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            instances, "is_right", lambda logits, episode: counted.append(logits) or is_right(logits, episode)
        )
        right, shown = answer_counts(model, fixed)
    assert right.shape == shown.shape == (120, 2) and shown.sum() == 120 * 6
    # One long sequence, which begins with the batch after those that count.
    episodes = [fixed.source(step) for step in (3, 0, 1, 2)]
    with torch.no_grad():
        logits, _ = model(*(torch.cat([each[part] for each in episodes]) for part in (0, 1)))
    torch.testing.assert_close(torch.cat(counted), logits[6:])
    wiped, _ = model(episodes[1].images, episodes[1].previous)
    assert not torch.allclose(wiped, counted[0], atol=1e-3)


def test_evaluation_repeats_itself_and_leaves_the_weights_alone(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    model = build_classifier(tiny_config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one = evaluate(model, tiny_config, tiny_classes, tiny_split, episodes=60)
    assert evaluate(model, tiny_config, tiny_classes, tiny_split, episodes=60) == one
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_fewer_episodes_are_the_first_of_more(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    model = build_classifier(tiny_config)
    counts = {
        episodes: answer_counts(model, held_out_episodes(tiny_config, tiny_classes, HeldOut(3, episodes)))
        for episodes in (1, 50, 70, 120)
    }
    for episodes, (right, shown) in counts.items():
        assert right.shape == shown.shape == (episodes, 2)
        assert numpy.array_equal(right, counts[120][0][:episodes])
        assert numpy.array_equal(shown, counts[120][1][:episodes])


def test_report_counts_up_to_the_episodes_asked_for(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    done: list[int] = []
    answer_counts(
        build_classifier(tiny_config), held_out_episodes(tiny_config, tiny_classes, HeldOut(3, 120)), done.append
    )
    assert done == [50, 100, 120]


def test_accuracy_by_instance_is_right_over_shown(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    config = replace(tiny_config, counting="random", classes=3)
    model = build_classifier(config)
    fixed = held_out_episodes(config, tiny_classes, HeldOut(3, 50))
    right, shown = answer_counts(model, fixed)
    accuracy = accuracy_by_instance(model, fixed)
    # A class has 4 drawings, so that it is never shown a 5th or 6th time: those are left out.
    assert list(accuracy) == ["1", "2", "3", "4"]
    for instance, value in accuracy.items():
        assert value == right[:, int(instance) - 1].sum() / shown[:, int(instance) - 1].sum()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_the_content_is_that_of_the_contract(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, part: str
) -> None:
    model = build_classifier(tiny_config)
    content = evaluate(model, tiny_config, tiny_classes, tiny_split, part, episodes=60)
    instances, counts = content.pop("instances"), content.pop("counts")
    assert content == {
        "task": "classification",
        "dataset": "strokes",
        "split": part,
        "episodes": 60,
        "classes": 2,
        "alphabets": "all",
        "memory": "wiped",
        "labels": "one-hot",
    }
    held_out = {"validation": VALIDATION, "test": TEST}[part]
    fixed = held_out_episodes(tiny_config, tiny_classes.select(getattr(tiny_split, part)), HeldOut(held_out.seed, 60))
    right, shown = answer_counts(model, fixed)
    assert [[int(number) for number in column.split()] for column in counts["right"]] == right.T.tolist()
    assert counts["shown"] == [" ".join(["2"] * 60)] * 2
    assert numpy.array_equal(from_columns(counts["right"]), right)
    expected = by_instance(right, shown)
    assert instances == [instance._asdict() for instance in expected]
    assert [instance["instance"] for instance in instances] == [1, 2]
    for instance in instances:
        assert set(instance) == {"instance", "accuracy", "low", "high", "observations"}
        assert 0 <= instance["low"] <= instance["accuracy"] <= instance["high"] <= 1
        assert instance["observations"] == 120


@pytest.mark.parametrize(("labels", "classes"), [("strings", 4), ("strings", 3), ("one-hot", 2)])
def test_a_model_is_evaluated_with_another_number_of_classes(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, labels: str, classes: int
) -> None:
    config = replace(tiny_config, labels=labels, classes=3, presentations=3)
    model = build_classifier(config)
    with watched() as seen:
        content = evaluate(model, with_classes(config, classes), tiny_classes, tiny_split, episodes=50)
    (call,) = seen
    assert content["classes"] == classes
    assert [one["observations"] for one in content["instances"]] == [50 * classes] * 3
    assert len(call.images) == 3 * classes
    # Labels as wide as in training, of which as many are given to the classes of each episode as there are classes.
    assert call.previous.shape[2] == {"one-hot": 3, "strings": 25}[labels]
    for column in call.previous[1:].unbind(1):
        assert len({tuple(label) for label in column.tolist()}) == classes


def test_too_few_episodes_or_classes_are_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    model = build_classifier(tiny_config)
    with pytest.raises(InputError, match="^`episodes` 0: at least 1"):
        evaluate(model, tiny_config, tiny_classes, tiny_split, episodes=0)
    few = tiny_split._replace(test=tiny_split.test[:1])
    with pytest.raises(InputError, match="`classes` is 2|2 classes"):
        evaluate(model, tiny_config, tiny_classes, few, episodes=10)


@pytest.mark.parametrize("model", ["memory", "recurrent"])
def test_the_first_sequence_is_that_of_the_evaluation(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, model: str
) -> None:
    config = changed(tiny_config, {"model": model})
    classifier = build_classifier(config)
    trace = first_sequence(classifier, config, tiny_classes, tiny_split)
    with watched() as seen:
        evaluate(classifier, config, tiny_classes, tiny_split, episodes=50)
    assert torch.equal(trace.episode.images, seen[0].images[:, :1])
    with torch.no_grad():
        logits, _ = classifier(seen[0].images[:, :1], seen[0].previous[:, :1])
    torch.testing.assert_close(trace.logits, logits)
    assert (trace.access is not None) == (model == "memory")
