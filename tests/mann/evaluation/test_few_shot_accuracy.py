"""N-way K-shot accuracy, and nearest neighbours in both protocols: against slow loops."""

from dataclasses import replace
from typing import Any

import numpy
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from data import ImageClasses, InputError, Split
from episodes import ClassificationEpisodes, OneHot, Strings, TasksetEpisodes
from episodes.few_shot import few_shot
from mann.evaluation.few_shot_accuracy import (
    answered_right,
    evaluate_few_shot,
    few_shot_episodes,
    right_answers,
    share_right,
    with_ways,
)
from mann.evaluation.held_out import FixedEpisodes, HeldOut, held_out_episodes
from mann.evaluation.instances import answer_counts
from mann.models.building import build_classifier, build_nearest_pixels
from mann.settings import Config, changed


@pytest.mark.parametrize("labels", ["one-hot", "strings"])
@pytest.mark.parametrize("kind", ["memory", "recurrent"])
def test_each_query_is_answered_as_if_it_were_the_only_one(
    tiny_config: Config, tiny_classes: ImageClasses, labels: str, kind: str
) -> None:
    config = changed(tiny_config, {"labels": labels, "model": kind, "classes": 4})
    model = build_classifier(config).double()
    for parameter in model.parameters():  # answers that differ
        parameter.data.mul_(3)
    source = few_shot_episodes(config, tiny_classes, ways=3, shots=2, queries=2, seed=4)
    source = replace(source, batch=8)
    episode = source(0)._replace(images=source(0).images.double(), previous=source(0).previous.double())
    right = answered_right(model, episode, shots=2)
    support, queries, names = few_shot(episode, 2)
    answers = set()
    for number in range(6):
        for column in range(8):
            images = torch.cat([support.images, queries.images[number : number + 1]])[:, [column]]
            previous = torch.cat([support.previous, queries.previous[number : number + 1]])[:, [column]]
            with torch.no_grad():
                logits, _ = model(images.double(), previous.double())
            likely = logits[-1, 0].log_softmax(-1)
            scores = [
                sum(float(likely[place, int(name)]) for place, name in enumerate(names[way, column]))
                for way in range(3)
            ]
            best = names[int(numpy.argmax(scores)), column]
            answers.add(int(numpy.argmax(scores)))
            assert bool(right[number, column]) == torch.equal(best, queries.targets[number, column])
    assert len(answers) > 1 and right.shape == (6, 8)


class Knowing:
    """Answers with a label that no class of the episode carries first of all, and then with the right one."""

    def __init__(self, episode: Any):
        self.pixels = {image.numpy().tobytes(): int(label) for image, label in self.pairs(episode)}

    @staticmethod
    def pairs(episode: Any) -> Any:
        return zip(episode.images.flatten(0, 1), episode.targets.flatten(), strict=True)

    def __call__(self, images: Tensor, previous: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        logits = torch.zeros(*images.shape[:2], 1, 9)
        for time, column in numpy.ndindex(*images.shape[:2]):
            logits[time, column, 0, self.pixels[images[time, column].numpy().tobytes()]] = 1.0
        logits[..., 8] = 2.0
        return logits, None


def test_only_labels_of_the_support_set_are_answers(tiny_classes: ImageClasses) -> None:
    source = ClassificationEpisodes(tiny_classes, OneHot(9), 3, 2, batch=1, seed=0)
    (step,) = [step for step in range(30) if 8 not in source(step).targets][:1]
    assert answered_right(Knowing(source(step)), source(step), 1).all()


def test_test_classes_alone_are_drawn_the_same_for_all(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[Tensor]] = []
    draw = ClassificationEpisodes.__call__

    def record(source: ClassificationEpisodes, step: int) -> Any:
        assert source.images.names == tiny_split.test
        drawn[-1].append(draw(source, step).images)
        return draw(source, step)

    monkeypatch.setattr(ClassificationEpisodes, "__call__", record)
    config = replace(tiny_config, classes=3)
    others = [config, changed(config, {"seed": 9, "hidden_size": 5, "batch": 3, "jitter_rotation": 3.0})]
    others.append(changed(config, {"model": "prototypes"}))
    for other in others:
        drawn.append([])
        content = evaluate_few_shot(
            build_classifier(other), other, tiny_classes, tiny_split, (2, 3), (1, 2), 2, episodes=60
        )
        assert [(one["ways"], one["shots"]) for one in content["results"]] == [(2, 1), (2, 2), (3, 1), (3, 2)]
        for one in content["results"]:
            assert one["observations"] == 60 * 2 * one["ways"]
            assert 0 <= one["low"] <= one["accuracy"] <= one["high"] <= 1
    for images in drawn[1:]:
        assert all(torch.equal(one, other) for one, other in zip(images, drawn[0], strict=True))


def test_only_models_without_one_hot_outputs_have_more_ways_than_in_training(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    measured = (tiny_classes, tiny_split, (4,), (1,), 1)
    with pytest.raises(InputError, match=r"^`ways` 4: .* 2 classes .*; use at most 2, .*`labels=strings`"):
        evaluate_few_shot(build_classifier(tiny_config), with_ways(tiny_config, (4,)), *measured, episodes=1)
    for options in (
        {"model": "prototypes"},
        {"model": "nearest", "encoder": "autoencoder"},
        {"labels": "strings"},
    ):
        config = with_ways(changed(tiny_config, options), (4,))
        found = evaluate_few_shot(build_classifier(config), config, *measured, episodes=3)
        assert found["results"][0]["observations"] == 12


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((1, 1, 1), "`ways` 1: at least 2 is needed"),
        ((2, 0, 1), "`shots` 0: at least 1 is needed"),
        ((2, 1, 0), "`queries` 0: at least 1 is needed"),
        ((21, 1, 1), "`ways` 21: there are only 20 classes to draw from"),
        ((2, 3, 2), r"`shots` 3 and `queries` 2 take 5 images of a class, but class 'class00' has 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    tiny_config: Config, tiny_classes: ImageClasses, asked: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        few_shot_episodes(replace(tiny_config, labels="strings"), tiny_classes, *asked, seed=0)


def clouds() -> ImageClasses:
    """Return 6 classes of 6 images that look somewhat alike within a class."""
    generator = torch.Generator().manual_seed(2)
    middles = torch.randint(64, (6, 1, 8, 8), generator=generator)
    noise = torch.randint(192, (6, 6, 8, 8), generator=generator)
    return ImageClasses((middles + noise).byte(), torch.full((6,), 6), tuple("abcdef"))


@pytest.mark.parametrize("encoder", ["none", "autoencoder"])
@pytest.mark.parametrize("labels", ["one-hot", "strings"])
def test_nearest_neighbours_are_those_of_a_slow_loop(tiny_config: Config, labels: str, encoder: str) -> None:
    config = replace(tiny_config, classes=3, presentations=4, labels=labels)
    fixed = held_out_episodes(config, clouds(), HeldOut(seed=1, episodes=50))
    model = build_nearest_pixels(config)
    if encoder == "autoencoder":
        model = build_classifier(changed(config, {"model": "nearest", "encoder": encoder}))
    right, presented = answer_counts(model, fixed)
    episode = fixed.source(0)
    expected = numpy.zeros((50, 4), int)
    for column in range(50):
        features = model.encoder(episode.images[:, column]).detach().numpy()
        names = episode.targets[:, column].tolist()
        for step in range(12):
            answer = [0] * len(names[0])
            if step:
                answer = names[int(((features[:step] - features[step]) ** 2).sum(1).argmin())]
            expected[column, int(episode.presentation[step, column]) - 1] += answer == names[step]
    assert numpy.array_equal(right, expected)
    assert 0.3 < right[:, 1:].sum() / presented[:, 1:].sum() < 1


@pytest.mark.parametrize("labels", [OneHot(3), Strings()])
def test_nearest_neighbours_after_a_support_set_are_scikit_learns(tiny_config: Config, labels: Any) -> None:
    source = ClassificationEpisodes(clouds(), labels, 3, 5, batch=10, seed=5)
    config = replace(tiny_config, classes=3, labels="one-hot" if isinstance(labels, OneHot) else "strings")
    right = answered_right(build_nearest_pixels(config), source(0), 2)
    support, queries, _ = few_shot(source(0), 2)
    for column in range(10):
        known = KNeighborsClassifier(n_neighbors=1).fit(
            support.images[:, column].flatten(1).numpy(), support.classes[:, column].numpy()
        )
        answers = known.predict(queries.images[:, column].flatten(1).numpy())
        assert (answers == queries.classes[:, column].numpy()).tolist() == right[:, column].tolist()
    assert 0.3 < right.float().mean() < 1


def test_tasks_of_another_library_are_measured_in_both_ways(tiny_config: Config) -> None:
    images = clouds().images[:3, :4].flatten(0, 1) / 255
    labels = torch.arange(3).repeat_interleave(4)
    source = TasksetEpisodes([(images, labels)], OneHot(3), 3, 4, size=8, batch=20)
    model = build_nearest_pixels(replace(tiny_config, classes=3))
    right, presented = answer_counts(model, FixedEpisodes(source, 30))
    assert right.shape == presented.shape == (30, 4) and (presented == 3).all()
    distances = (images.flatten(1)[:, None] - images.flatten(1)).square().sum(-1).fill_diagonal_(torch.inf)
    found = share_right(*right_answers(model, source, shots=3, episodes=400))
    # One query of each class after three of each: which are left out, chance decides.
    expected = []
    for left_out in numpy.ndindex(4, 4, 4):
        queries = [4 * way + one for way, one in enumerate(left_out)]
        known = [one for one in range(12) if one not in queries]
        nearest = [known[int(distances[query, known].argmin())] for query in queries]
        expected += [one // 4 == query // 4 for one, query in zip(nearest, queries, strict=True)]
    assert 0.3 < numpy.mean(expected) < 0.95
    assert found["low"] - 0.02 < numpy.mean(expected) < found["high"] + 0.02 and found["observations"] == 1200
