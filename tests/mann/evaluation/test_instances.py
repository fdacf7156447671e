"""Evaluation: on classes never trained on, the same episodes for every model, answers counted right."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from torch import Tensor, nn

from data import ImageClasses, InputError, Split, read_split, split_names
from mann.evaluation import instances as evaluation
from mann.evaluation.few_shot_accuracy import few_shot_episodes
from mann.evaluation.instances import (
    TEST,
    VALIDATION,
    FixedEpisodes,
    HeldOut,
    accuracy_by_instance,
    answer_counts,
    evaluate,
    held_out_episodes,
    load_classifier,
    with_classes,
)
from mann.evaluation.intervals import by_instance
from mann.models.classifier import Classifier, build_classifier, is_right
from mann.problems.classification import train, training_episodes
from mann.runs.run import Checkpoint, Run
from mann.settings.schema import Config, config_json
from mann.training.loop import Pace

CPU = torch.device("cpu")


class Seen(NamedTuple):
    """One call of a classifier."""

    learning: bool
    images: Tensor
    previous: Tensor
    blank: bool


@contextmanager
def watched() -> Iterator[list[Seen]]:
    """Note what all classifiers see."""
    seen: list[Seen] = []
    forward = Classifier.forward

    def spy(model: Classifier, images: Tensor, previous: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        seen.append(Seen(torch.is_grad_enabled(), images.clone(), previous.clone(), state is None))
        return forward(model, images, previous, state)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Classifier, "forward", spy)
        yield seen


@pytest.fixture
def trained(
    tiny_run: Run, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, short_validation: None
) -> Run:
    """Return a run of 12 steps."""
    train(tiny_config, tiny_classes, tiny_split, tiny_run)
    return tiny_run


def numbered(names: tuple[str, ...]) -> ImageClasses:
    """Return classes whose drawings tell their number, however they are turned: two nested squares of grey."""
    number = torch.arange(len(names))
    images = (number // 256).to(torch.uint8)[:, None, None, None].repeat(1, 2, 8, 8)
    images[:, :, 2:6, 2:6] = (number % 256).to(torch.uint8)[:, None, None, None]
    return ImageClasses(images, torch.full((len(names),), 2), names)


def names_in(images: Tensor, names: tuple[str, ...]) -> set[str]:
    """Return the names of the classes that `numbered` drew; images: [..., height, width]."""
    number = (images[..., 0, 0] * 255).round() * 256 + (images[..., 4, 4] * 255).round()
    return {names[int(index)] for index in number.flatten().tolist()}


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
        train(config, classes, split, run, Pace(log=20, validate=40, save_seconds=1e9))
        during = len(seen)
        evaluate(run, classes, split, episodes=6000)
    learned = set().union(*(names_in(call.images, names) for call in seen if call.learning))
    validated = set().union(*(names_in(call.images, names) for call in seen[:during] if not call.learning))
    tested = set().union(*(names_in(call.images, names) for call in seen[during:]))
    # So many episodes that every class is drawn: the three parts are exactly those of the split.
    assert learned == set(split.train)
    assert validated == set(split.validation)
    assert tested == set(split.test)
    assert not tested & (learned | validated)


@pytest.mark.parametrize("name", split_names())
def test_sources_can_draw_from_no_other_part(tiny_config: Config, name: str) -> None:
    split = read_split(name)
    classes = numbered(split.test + split.train + split.validation)
    trained = training_episodes(tiny_config, classes, split).images.names
    assert {name.removesuffix("/rot090").removesuffix("/rot180").removesuffix("/rot270") for name in trained} == set(
        split.train
    )
    with pytest.MonkeyPatch.context() as patched:
        drawn: dict[str, tuple[str, ...]] = {}

        def note(model: Classifier, fixed: FixedEpisodes, report: Any) -> tuple[numpy.ndarray, numpy.ndarray]:
            drawn[str(fixed.source.seed)] = fixed.source.images.names
            return numpy.ones((2, 2), int), numpy.ones((2, 2), int)

        patched.setattr(evaluation, "answer_counts", note)
        patched.setattr(evaluation, "load_classifier", lambda run, device, config: None)
        patched.setattr(Run, "config", lambda run: tiny_config)
        for part in ("validation", "test"):
            evaluate(Run(Path("none")), classes, split, part)
    assert drawn == {str(VALIDATION.seed): split.validation, str(TEST.seed): split.test}


def test_held_out_episodes_have_no_rotations_and_no_jitter(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = replace(tiny_config, jitter_rotation=90.0, jitter_translation=0.5, rotations=True)
    fixed = held_out_episodes(config, tiny_classes.select(tiny_split.test), TEST)
    assert fixed.source.images.names == tiny_split.test
    drawings = {bytes(drawing.flatten().tolist()) for drawing in tiny_classes.images.flatten(0, 1)}
    shown = (fixed.source(0).images * 255).round().to(torch.uint8).flatten(0, 1)
    assert {bytes(drawing.flatten().tolist()) for drawing in shown} <= drawings


@pytest.mark.parametrize("part", ["validation", "test"])
def test_all_models_are_evaluated_on_the_same_episodes(
    tmp_path: Path, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, part: str
) -> None:
    others = {
        "one": tiny_config,
        "seed": replace(tiny_config, seed=9),
        "batch": replace(tiny_config, batch=7, rotations=False, jitter_rotation=5.0),
        "network": replace(tiny_config, controller="feedforward", hidden_size=5, slots=3),
        "baseline": replace(tiny_config, addressing="none", optimizer="rmsprop"),
    }
    shown = []
    for name, config in others.items():
        run = Run(tmp_path / name)
        run.start(config, tiny_split, {})
        run.save(Checkpoint(1, config, build_classifier(config).state_dict(), {}))
        with watched() as seen:
            evaluate(run, tiny_classes, tiny_split, part, episodes=120)
        shown.append((torch.cat([call.images for call in seen], 1), torch.cat([call.previous for call in seen], 1)))
    for images, previous in shown[1:]:
        assert torch.equal(images, shown[0][0])
        assert torch.equal(previous, shown[0][1])


def test_evaluations_say_whether_their_episodes_were_the_same(tiny_config: Config, tiny_classes: ImageClasses) -> None:
    def identity(images: ImageClasses = tiny_classes, episodes: int = 60, **changes: Any) -> str:
        config = replace(tiny_config, **changes)
        return evaluation.identity(held_out_episodes(config, images, HeldOut(3, episodes)))

    same = [identity(), identity(seed=9, batch=7, hidden_size=5, jitter_rotation=5.0, addressing="none", scheme=None)]
    others = [
        identity(classes=3),
        identity(labels="strings"),
        identity(most_classes=3),
        identity(counting="random"),
        identity(presentations=3),
        identity(length=3),
        identity(tiny_classes.select(tiny_classes.names[1:])),
        identity(tiny_classes.select(tiny_classes.names[::-1])),
        identity(episodes=61),
        evaluation.identity(held_out_episodes(tiny_config, tiny_classes, HeldOut(4, 60))),
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
    right, shown = answer_counts(model, fixed)  # pyright: ignore[reportArgumentType]
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


class Constant:
    """Labels that are always 0, 1, 2, ... written in five characters."""

    symbols = 5
    characters = 5

    def draw(self, batch: int, classes: int, generator: torch.Generator) -> Tensor:
        """Return int64 [batch, classes, 5]."""
        labels = torch.zeros(batch, classes, 5, dtype=torch.int64)
        labels[..., 4] = torch.arange(classes)
        return labels


class RightNowAndThen(nn.Module):
    """Answers "aaaab", or "aaaac" where the first pixel is bright, or a label that is nearly right."""

    def forward(self, images: Tensor, previous: Tensor, state: None = None) -> tuple[Tensor, None]:
        """Return logits [time, batch, 5, 5]."""
        answers = torch.zeros(*images.shape[:2], 5, dtype=torch.int64)
        answers[..., 4] = 1 + (images[..., 0, 0] > 0.3).long()
        answers[..., 2] = (images[..., 0, 0] > 0.8).long()
        return nn.functional.one_hot(answers, 5).float(), None


def test_memory_is_blank_at_the_start_of_every_episode(
    tiny_config: Config, tiny_classes: ImageClasses, trained: Run
) -> None:
    model = load_classifier(trained, CPU)
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
            evaluation, "is_right", lambda logits, episode: counted.append(logits) or is_right(logits, episode)
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


def test_weights_do_not_change_while_evaluating(trained: Run, tiny_classes: ImageClasses, tiny_split: Split) -> None:
    files = {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()}
    one = evaluate(trained, tiny_classes, tiny_split, episodes=60)
    assert evaluate(trained, tiny_classes, tiny_split, episodes=60) == one
    assert {path: path.read_bytes() for path in trained.folder.rglob("*") if path.is_file()} == files


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
def test_evaluation_holds_what_the_contract_says(
    trained: Run, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, part: str
) -> None:
    content = evaluate(trained, tiny_classes, tiny_split, part, episodes=60)
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
    right, shown = answer_counts(load_classifier(trained, CPU), fixed)
    assert [[int(number) for number in column.split()] for column in counts["right"]] == right.T.tolist()
    assert counts["shown"] == [" ".join(["2"] * 60)] * 2
    assert numpy.array_equal(evaluation.from_columns(counts["right"]), right)
    expected = by_instance(right, shown)
    assert instances == [instance._asdict() for instance in expected]
    assert [instance["instance"] for instance in instances] == [1, 2]
    for instance in instances:
        assert set(instance) == {"instance", "accuracy", "low", "high", "observations"}
        assert 0 <= instance["low"] <= instance["accuracy"] <= instance["high"] <= 1
        assert instance["observations"] == 120


@pytest.mark.parametrize(("labels", "classes"), [("strings", 4), ("strings", 3), ("one-hot", 2)])
def test_a_run_is_evaluated_with_another_number_of_classes(
    tmp_path: Path, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, labels: str, classes: int
) -> None:
    config = replace(tiny_config, labels=labels, classes=3, presentations=3)
    run = Run(tmp_path / "run")
    run.start(config, tiny_split, {})
    weights = build_classifier(config).state_dict()
    run.save(Checkpoint(1, config, weights, {}))
    with watched() as seen:
        content = evaluate(run, tiny_classes, tiny_split, episodes=50, config=with_classes(config, classes))
    (call,) = seen
    assert content["classes"] == classes
    assert [one["observations"] for one in content["instances"]] == [50 * classes] * 3
    assert len(call.images) == 3 * classes
    # Labels as wide as in training, of which as many are given to the classes of each episode as there are classes.
    assert call.previous.shape[2] == {"one-hot": 3, "strings": 25}[labels]
    for column in call.previous[1:].unbind(1):
        assert len({tuple(label) for label in column.tolist()}) == classes


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
        # A name without its character: alphabet and turn.
        found = [{tuple(source.images.names[int(row)].split("/")[::2]) for row in column} for column in drawn]
        assert all(len(alphabets) == 1 for alphabets in found) == (name != "all")
        assert len(set.union(*found)) == {"training": 20}.get(name, 5)


def test_a_curriculum_is_evaluated_with_the_classes_of_its_beginning_or_any_it_has_names_for(
    tiny_config: Config,
) -> None:
    config = replace(tiny_config, classes=2, most_classes=4)
    assert held_out_episodes(config, numbered(tuple("abcdef")), TEST).source.classes == 2
    assert with_classes(config, 4).classes == 4
    with pytest.raises(InputError, match=r"--classes 5: .* training with 4 classes no more .* use at most 4"):
        with_classes(config, 5)
    with pytest.raises(InputError, match="--classes 1: at least 2"):
        with_classes(config, 1)
    # Strings name as many as there are; the weights of prototypes know of no names.
    assert with_classes(replace(config, labels="strings"), 50).classes == 50
    assert with_classes(replace(config, addressing="prototypes", scheme=None), 50).labelled == 50


def test_evaluated_is_the_last_checkpoint(trained: Run, tiny_config: Config) -> None:
    config = trained.config()
    weights = build_classifier(replace(tiny_config, seed=77)).state_dict()
    trained.save(Checkpoint(13, config, weights, {}))
    loaded = load_classifier(trained, CPU).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in weights.items())


def evaluated(run: Run, classes: ImageClasses, split: Split, **options: Any) -> Mapping[str, Any]:
    """Evaluate on few episodes."""
    return evaluate(run, classes, split, **{"episodes": 10, **options})


def test_what_cannot_be_evaluated_is_refused(
    tiny_run: Run, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is .*absent the folder of a run"):
        evaluated(Run(tmp_path / "absent"), tiny_classes, tiny_split)
    with pytest.raises(InputError, match="holds no checkpoint yet: train it first"):
        evaluated(tiny_run, tiny_classes, tiny_split)
    tiny_run.save(Checkpoint(1, tiny_config, {"weight": torch.ones(1)}, {}))
    with pytest.raises(InputError, match=r"does not fit its config.json \(.*weight.*\): start again"):
        evaluated(tiny_run, tiny_classes, tiny_split)
    with pytest.raises(InputError, match="--episodes 0: at least 1"):
        evaluated(tiny_run, tiny_classes, tiny_split, episodes=0)
    few = tiny_split._replace(test=tiny_split.test[:1])
    with pytest.raises(InputError, match="2 classes asked for in an episode, but only 1"):
        evaluated(tiny_run, tiny_classes, few)


@pytest.mark.parametrize("change", [{"hidden_size": 9}, {"classes": 3}, {"read_first": True}])
def test_edited_settings_are_refused(
    trained: Run, tiny_classes: ImageClasses, tiny_split: Split, change: dict[str, Any]
) -> None:
    (trained.folder / "config.json").write_text(config_json(replace(trained.config(), **change)))
    with pytest.raises(InputError, match=f"config.json was changed after .*{next(iter(change))} is"):
        evaluated(trained, tiny_classes, tiny_split)
