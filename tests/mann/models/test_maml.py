"""MAML through learn2learn: its steps by hand, its gradient by finite differences, and a run."""

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from data import ImageClasses, InputError, Split
from episodes import ClassificationEpisodes, OneHot
from episodes.few_shot import few_shot
from mann.evaluation.few_shot_accuracy import answered_right, evaluate_few_shot
from mann.evaluation.held_out import HeldOut
from mann.models.baselines.maml import MAML, RATE, STEPS
from mann.models.building import build_classifier, build_maml
from mann.models.encoders import ConvEncoder
from mann.problems import meta_learning
from mann.problems.meta_learning import MetaLearning
from mann.runs import Run
from mann.settings import Config, Maml, preset
from mann.training import LoggingInterval, fit


@pytest.fixture
def settings(tiny_config: Config) -> Config:
    """Return settings of a small MAML."""
    episodes = {"presentations": 7, "rotations": False, "classes": 3}
    return replace(tiny_config, model=Maml(), encoder="conv", encoder_width=3, clip_to_median=None, **episodes)


def pictures() -> ImageClasses:
    """Return 12 classes of 10 images, similar within a class."""
    generator = torch.Generator().manual_seed(2)
    middles = torch.randint(200, (12, 1, 8, 8), generator=generator)
    noise = torch.randint(56, (12, 10, 8, 8), generator=generator)
    return ImageClasses((middles + noise).byte(), torch.full((12,), 10), tuple("abcdefghijkl"))


@pytest.mark.learn2learn
def test_queries_are_answered_after_steps_of_gradient_descent_from_the_initial_weights(settings: Config) -> None:
    model = build_maml(settings).double()
    episode = ClassificationEpisodes(pictures(), OneHot(3), 3, 4, batch=4, seed=5)(0)
    cut = few_shot(episode._replace(images=episode.images.double(), previous=episode.previous.double()), 2)
    with torch.no_grad():
        logits = model(cut)
    torch.testing.assert_close(model(cut), logits)
    for column in range(4):
        adapted = copy.deepcopy(model.start)
        for _ in range(STEPS):
            loss = functional.cross_entropy(adapted(cut.support.images[:, column]), cut.support.targets[:, column, 0])
            adapted.zero_grad()
            loss.backward()
            for weight in adapted.parameters():
                assert weight.grad is not None
                weight.data -= RATE * weight.grad
        torch.testing.assert_close(logits[:, column, 0], adapted(cut.queries.images[:, column]))
    right = answered_right(model, episode._replace(images=episode.images.double()), 2)
    assert torch.equal(right, logits[:, :, 0].argmax(-1) == cut.queries.targets[..., 0])


@pytest.mark.learn2learn
def test_the_gradient_goes_through_the_steps(settings: Config) -> None:
    split = Split(tuple("abcd"), tuple("efgh"), tuple("ijkl"))
    problem = MetaLearning(settings, pictures(), split)
    problem.model.double()
    cut = problem.episode(1)
    cut = cut._replace(
        support=cut.support._replace(images=cut.support.images.double()),
        queries=cut.queries._replace(images=cut.queries.images.double()),
    )
    loss, counts = problem.loss(cut)
    assert len(cut.support.targets) == 15 and counts.of.tolist() == [[0, 6], [0, 6]]
    loss.backward()
    bias: Any = problem.model.start[1].bias
    change = 1e-5

    def moved(by: float) -> float:
        with torch.no_grad():
            bias[0] += by
            found = problem.loss(cut)[0].item()
            bias[0] -= by
        return found

    slope = (moved(change) - moved(-change)) / (2 * change)
    assert bias.grad[0].item() == pytest.approx(slope, rel=1e-5)
    assert all(weight.grad is not None and weight.grad.any() for weight in problem.model.parameters())


@pytest.mark.learn2learn
def test_a_stopped_training_continues_and_is_measured(
    tmp_path: Path, settings: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meta_learning, "VALIDATION", HeldOut(seed=10**9, episodes=20))
    classes, config = pictures(), replace(settings, episodes=16)
    split = Split(classes.names[:6], classes.names[6:9], classes.names[9:])

    def trained(name: str, stops: bool) -> Run:
        run = Run(tmp_path / name)
        run.start(config, split, {})
        interval = LoggingInterval(log=4, validate=8)
        if stops:
            asked = iter([False] * 4 + [True])
            fit(MetaLearning(config, classes, split), config, run, interval, stopping=lambda: next(asked))
            assert run.steps_done() == 5
        fit(MetaLearning(config, classes, split), config, run, interval)
        return run

    whole, pieces = trained("whole", False), trained("pieces", True)
    models = [build_maml(config) for _ in range(2)]
    for run, model in zip((whole, pieces), models, strict=True):
        run.load(model)
    one, other = (model.state_dict() for model in models)
    new = build_maml(config).state_dict()
    assert all(torch.equal(value, other[name]) and not torch.equal(value, new[name]) for name, value in one.items())
    _, last = whole.metrics()
    assert set(last["few_shot"]) == set(last["validation"]) == {"1-shot", "5-shot"}
    content = evaluate_few_shot(models[0], config, classes, split, (2, 3), (5,), episodes=30)
    assert [one["observations"] for one in content["results"]] == [30 * 10, 30 * 15]
    with pytest.raises(InputError, match="^`ways` 4: the one-hot labels of a training with 3 classes"):
        evaluate_few_shot(models[0], config, classes, split, (4,), (1,))


def test_it_is_for_n_way_k_shot_alone(settings: Config) -> None:
    with pytest.raises(InputError, match="^MAML answers no sequences: measure N-way K-shot accuracy"):
        build_classifier(settings)


def test_without_learn2learn_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "learn2learn.algorithms", None)
    with pytest.raises(InputError, match=r"^`model=maml` needs learn2learn: install it with requirements-learn2learn"):
        MAML(ConvEncoder(8, 3), 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": "strings"}, "needs `labels=one-hot`, not `labels=strings`"),
        ({"encoder": "none"}, "needs `encoder=conv`, not `encoder=none`"),
        ({"counting": "random"}, "needs `counting=exact`, not `counting=random`"),
        ({"presentations": 5}, "needs `presentations` of 6 or more"),
    ],
)
def test_settings_that_it_cannot_be_trained_with_are_refused(
    settings: Config, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"^`model=maml` {message}"):
        replace(settings, **change)


def test_no_algorithmic_task_has_it() -> None:
    with pytest.raises(InputError, match="^no model of copy is named 'maml'"):
        preset("copy", model="maml")
