"""Training: it learns, it can be repeated, and it can be stopped anywhere without leaving a trace."""

import logging
import math
import shutil
import warnings
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils import _pytree as pytree

from data import ImageClasses, InputError, Split
from episodes import Jitter
from mann.addressing import LRUA
from mann.evaluation.instances import accuracy_by_instance, held_out_episodes
from mann.fast import fast
from mann.models import building
from mann.models.classifier import answer_loss, build_classifier
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Plain, plain
from mann.problems import classification
from mann.problems.classification import Classification, train, training_episodes
from mann.runs.run import Checkpoint, Run, read_checkpoint
from mann.settings.schema import Config, preset
from mann.training import loop as training
from mann.training.distributed import Team
from mann.training.loop import NotFiniteError, Pace, Sums, build_optimizer, learning_rate

OFTEN = Pace(log=3, validate=6, save_seconds=1e9)

Start = Callable[[str, Config], Run]


@pytest.fixture
def start(tmp_path: Path, tiny_split: Split) -> Start:
    """Return what starts a run by name."""

    def make(name: str, config: Config) -> Run:
        run = Run(tmp_path / name)
        run.start(config, tiny_split, {})
        return run

    return make


def stop_after(steps: int) -> Callable[[], bool]:
    """Return what asks to stop after so many steps."""
    done = iter(range(1, 10**6))
    return lambda: next(done) == steps


def position(run: Run) -> Checkpoint:
    """Return the last checkpoint, which has to be there."""
    found = run.last_checkpoint()
    assert found is not None
    return found


def bits(content: Any) -> Any:
    """Return nested containers with their tensors as bytes, so that equal means equal bit for bit."""
    if isinstance(content, torch.Tensor):
        return str(content.dtype), tuple(content.shape), content.numpy().tobytes()
    if isinstance(content, dict):
        return {key: bits(value) for key, value in content.items() if key != "seconds"}
    if isinstance(content, list | tuple):
        return [bits(value) for value in content]
    return content


def lines(run: Run) -> list[dict[str, Any]]:
    """Return the metrics without the seconds."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in run.metrics()]


def assert_same(one: Run, other: Run) -> None:
    """Check that two runs stand at the same place: weights, optimiser, sums, metrics."""
    assert position(one).step == position(other).step
    assert bits(position(one).weights) == bits(position(other).weights)
    assert bits(position(one).training) == bits(position(other).training)
    assert lines(one) == lines(other)


VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "paper": {
        "controller": "feedforward",
        "optimizer": "rmsprop",
        "schedule": "constant",
        "counting": "random",
        "labels": "strings",
        "jitter_rotation": 11.25,
        "jitter_translation": 0.1,
        "scheme": LRUA(),
    },
    "no memory": {"addressing": "none", "rotations": False},
    "persistent memory": {"memory": "persistent", "counting": "random", "length": 3},
    "curriculum": {"labels": "strings", "most_classes": 4, "class_every": 4},
    "fewer digits": {"encoder": "conv", "encoder_width": 4, "precision": "bfloat16"},
}


@pytest.mark.parametrize("labels", ["one-hot", "strings"])
def test_a_curriculum_adds_a_class_every_so_many_episodes(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, labels: str
) -> None:
    config = replace(tiny_config, labels=labels, most_classes=5, class_every=5, batch=2)
    problem = Classification(config, tiny_classes, tiny_split)
    assert "2 classes in an episode at first, up to 5" in problem.description
    # Before the 5th, 10th and 15th episode, two at a step; asked for in any order.
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
    # Refused before it begins, not when it gets there: there are 12 training classes.
    with pytest.raises(InputError, match="train classes: 13 classes asked for in an episode, but only 12"):
        Classification(replace(config, most_classes=13, rotations=False), tiny_classes, tiny_split)


def test_with_persistent_memory_the_episodes_of_a_place_in_the_batch_are_one_long_sequence(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = replace(tiny_config, memory="persistent", hidden_size=6)
    persistent, wiped = (
        Classification(each, tiny_classes, tiny_split) for each in (config, replace(config, memory="wiped"))
    )
    episodes = [persistent.episode(step) for step in range(3)]
    with torch.no_grad():
        logits, state = wiped.model(*(torch.cat([each[part] for each in episodes]) for part in (0, 1)))
    for each, expected in zip(episodes, logits.split(4), strict=True):
        loss, _ = persistent.loss(each)
        torch.testing.assert_close(loss, answer_loss(expected, each))
        loss.backward()  # through one episode alone: what was before is no longer there
    assert not torch.equal(answer_loss(logits[4:8], episodes[1]), wiped.loss(episodes[1])[0])
    torch.testing.assert_close(persistent.carried, state)
    assert not any(leaf.requires_grad for leaf in pytree.tree_leaves(persistent.carried))


def test_persistent_memory_is_as_before_a_step_that_is_left_out_and_is_of_one_process(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    tiny_run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(tiny_config, memory="persistent", on_nonfinite="skip")
    problem = Classification(config, tiny_classes, tiny_split)
    poisoned(problem, monkeypatch, 1)
    seen = [bits(pytree.tree_leaves(problem.carried))]
    for step in range(3):
        optimizer, sums = build_optimizer(config, problem.model), Sums.zero(2, torch.device("cpu"))
        training._train_step(problem, optimizer, config, step, sums, deque())
        seen.append(bits(pytree.tree_leaves(problem.carried)))
    assert seen[0] != seen[1] == seen[2] != seen[3]
    with pytest.raises(InputError, match="--memory persistent: train in one process"):
        training.fit(problem, config, tiny_run, OFTEN, team=Team(0, 2))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("every", [1, 2, 5])
def test_interrupted_training_ends_as_if_it_had_not_been(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    variant: str,
    every: int,
) -> None:
    config = replace(tiny_config, **VARIANTS[variant])
    whole, parts = start("whole", config), start("parts", config)
    model = train(config, tiny_classes, tiny_split, whole, OFTEN)
    resumed, visits = model, 0
    while parts.steps_done() < config.steps:
        resumed = train(config, tiny_classes, tiny_split, parts, OFTEN, stopping=stop_after(every))
        visits += 1
        assert position(parts).step == min(every * visits, config.steps)
    assert visits == math.ceil(config.steps / every)
    assert_same(whole, parts)
    assert bits(dict(resumed.state_dict())) == bits(dict(model.state_dict())) == bits(position(whole).weights)


def test_what_was_learned_and_logged_after_the_checkpoint_is_done_again(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    whole, killed = start("whole", tiny_config), start("killed", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, whole, OFTEN)
    train(tiny_config, tiny_classes, tiny_split, killed, OFTEN, stopping=stop_after(4))
    # As a kill leaves it: lines of steps that are not in the checkpoint, half a line, half a checkpoint.
    with killed.metrics_path.open("a") as file:
        file.write('{"step": 6, "episodes": 12, "seconds": 1.0, "loss": 100.0, "accuracy": {}}\n{"step": 9, "lo')
    leftover = killed.checkpoints / ".half"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")
    train(tiny_config, tiny_classes, tiny_split, killed, OFTEN)
    assert_same(whole, killed)
    assert not leftover.exists()


def test_one_seed_gives_one_run_and_another_seed_another(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    same, again = start("same", tiny_config), start("again", tiny_config)
    other_config = replace(tiny_config, seed=1)
    other = start("other", other_config)
    train(tiny_config, tiny_classes, tiny_split, same, OFTEN)
    torch.rand(5)  # the global random state counts for nothing
    state = torch.get_rng_state()
    train(tiny_config, tiny_classes, tiny_split, again, OFTEN)
    assert torch.equal(torch.get_rng_state(), state)
    train(other_config, tiny_classes, tiny_split, other, OFTEN)
    assert_same(same, again)
    assert bits(position(same).weights) != bits(position(other).weights)
    assert lines(same) != lines(other)


def test_pace_changes_nothing_that_is_learned(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    often, seldom = start("often", tiny_config), start("seldom", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, often, Pace(log=1, validate=2, save_seconds=0))
    train(tiny_config, tiny_classes, tiny_split, seldom, Pace(log=100, validate=100))
    assert bits(position(often).weights) == bits(position(seldom).weights)
    assert bits(position(often).training["optimizer"]) == bits(position(seldom).training["optimizer"])
    assert len(often.metrics()) == tiny_config.steps
    assert sorted(path.name for path in often.checkpoints.iterdir()) == ["000000011", "000000012"]
    assert [path.name for path in seldom.checkpoints.iterdir()] == ["000000012"]


def test_metrics_are_the_means_since_the_line_before(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    config = replace(tiny_config, episodes=16)  # 8 steps: lines at 3, 6 and 8
    fine, coarse = start("fine", config), start("coarse", config)
    reported: list[dict[str, Any]] = []
    train(config, tiny_classes, tiny_split, fine, Pace(log=1, validate=100))
    model = train(config, tiny_classes, tiny_split, coarse, OFTEN, report=reported.append)
    assert reported == coarse.metrics()
    assert [line["step"] for line in reported] == [3, 6, 8]
    assert [line["episodes"] for line in reported] == [6, 12, 16]
    assert ["validation" in line for line in reported] == [False, True, True]
    for line, steps in zip(reported, ((0, 1, 2), (3, 4, 5), (6, 7)), strict=True):
        single = [fine.metrics()[step] for step in steps]
        assert line["loss"] == pytest.approx(sum(one["loss"] for one in single) / len(steps))
        for instance in ("1", "2"):
            assert line["accuracy"][instance] == pytest.approx(
                sum(one["accuracy"][instance] for one in single) / len(steps)
            )
        assert line["learning_rate"] == learning_rate(config, steps[-1])
    assert 0 < reported[0]["seconds"] <= reported[1]["seconds"] <= reported[2]["seconds"]
    held_out = held_out_episodes(config, tiny_classes.select(tiny_split.validation), classification.VALIDATION)
    assert reported[-1]["validation"] == accuracy_by_instance(model, held_out)


def test_seconds_go_on_after_a_stop(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr(training.time, "monotonic", lambda: float(next(clock)))
    run = start("run", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(4))
    for stops in (1, 2):  # the time between does not count
        before = position(run).training["seconds"]
        assert before >= 4 * stops
        clock = iter(range(5000 * stops, 10**6))
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(4))
        assert before + 4 <= position(run).training["seconds"] < before + 100
    seconds = [line["seconds"] for line in run.metrics()]
    assert seconds == sorted(set(seconds))


def test_finished_training_is_left_as_it_is(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    run, copy = start("run", tiny_config), Run(start("copy", tiny_config).folder)
    model = train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    shutil.rmtree(copy.folder)
    shutil.copytree(run.folder, copy.folder)
    again = train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    assert bits(dict(again.state_dict())) == bits(dict(model.state_dict()))
    assert_same(run, copy)


def test_a_run_that_another_process_trains_is_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    run = start("run", tiny_config)
    with run.locked(), pytest.raises(InputError, match="is being trained by another process"):
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    assert run.metrics() == [] and run.steps_done() == 0


def test_folder_that_is_deleted_ends_the_training_in_one_line(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    run = start("run", tiny_config)
    with pytest.raises(InputError) as refusal:
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN, report=lambda line: shutil.rmtree(run.folder))
    assert str(refusal.value) == (
        f"run folder {run.folder} cannot be written to (No such file or directory); it holds no checkpoint: "
        "put that right, then go on with --resume"
    )


def test_tensorboard_holds_every_line(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, short_validation: None
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = start("run", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(7))
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    # What was logged after the checkpoint that a run goes on from is replaced, not shown twice.
    shutil.rmtree(run.checkpoints / "000000012")
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("loss")]
    assert logged == [(line["step"], pytest.approx(line["loss"])) for line in run.metrics()]
    assert [event.step for event in events.Scalars("validation/instance 02")] == [6, 12]


def slow_learning_rate(config: Config, step: int) -> float:
    """The schedule, from its description."""
    rate = config.learning_rate
    if step < config.warm_up:
        rate = config.learning_rate * (step + 1) / (config.warm_up + 1)
    if config.schedule == "cosine":
        rate = rate * (1 + math.cos(math.pi * step / config.steps)) / 2
    return rate


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("warm_up", [0, 1, 9, 500])
def test_learning_rate_follows_its_formula(schedule: Any, warm_up: int) -> None:
    config = replace(Config("strokes"), schedule=schedule, warm_up=warm_up, batch=1, episodes=200, learning_rate=0.5)
    rates = [learning_rate(config, step) for step in range(200)]
    assert rates == pytest.approx([slow_learning_rate(config, step) for step in range(200)])
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[0] == 0.5 / (warm_up + 1)
    after = rates[min(warm_up, 199) :]
    assert after == sorted(after, reverse=True)
    if schedule == "constant":
        assert set(after) == {0.5} or warm_up == 500
    elif warm_up < 200:
        assert rates[-1] < 1e-4


@pytest.mark.parametrize(("encoder", "share"), [("none", 0.25), ("conv", 0.25), ("conv", 1.0)])
def test_every_step_uses_its_learning_rate_and_the_encoder_its_share_of_it(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    monkeypatch: pytest.MonkeyPatch,
    encoder: str,
    share: float,
) -> None:
    used = []
    step = training._train_step

    def spy(problem: Any, optimizer: torch.optim.Optimizer, *rest: Any) -> None:
        rates = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
        used.append({name: rates[id(parameter)] for name, parameter in problem.model.named_parameters()})
        step(problem, optimizer, *rest)

    monkeypatch.setattr(training, "_train_step", spy)
    config = replace(tiny_config, encoder=encoder, encoder_width=4, encoder_rate=share)
    run = start("run", config)
    train(config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(5))
    train(config, tiny_classes, tiny_split, run, OFTEN)
    assert len(used) == 12
    for number, rates in enumerate(used):
        usual = learning_rate(config, number)
        assert rates == {name: usual * share if name.startswith("encoder.") else usual for name in rates}
        assert ("encoder.gain" in rates) == (encoder == "conv")


def test_optimizers_are_those_of_the_config(tiny_config: Config) -> None:
    model = build_classifier(tiny_config)
    adam = build_optimizer(tiny_config, model)
    rmsprop = build_optimizer(replace(tiny_config, optimizer="rmsprop"), model)
    assert isinstance(adam, torch.optim.Adam) and isinstance(rmsprop, torch.optim.RMSprop)
    assert (rmsprop.defaults["alpha"], rmsprop.defaults["momentum"]) == (0.95, 0.9)
    for optimizer in (adam, rmsprop):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        assert list(map(id, parameters)) == list(map(id, model.parameters()))


@pytest.mark.parametrize("addressing", ["prototypes", "nearest", "maml", "none", "ntm"])
def test_an_encoder_that_learns_alone_has_all_of_the_rate(addressing: str) -> None:
    config = preset("omniglot", "default", addressing)
    assert isinstance(config, Config)
    alone = addressing in ("prototypes", "nearest", "maml")
    assert config.encoder_rate == (1.0 if alone else 0.1)


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_gradient_is_clipped_by_its_norm(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, clip: float
) -> None:
    config = replace(tiny_config, clip=clip, clip_to_median=None)
    problem = Classification(config, tiny_classes, tiny_split)
    model = problem.model
    before = [parameter.detach().clone() for parameter in model.parameters()]
    sums = Sums.zero(2, torch.device("cpu"))
    training._train_step(problem, torch.optim.SGD(model.parameters(), lr=1.0), config, 0, sums, deque())
    moved = torch.cat([(old - new).flatten() for old, new in zip(before, model.parameters(), strict=True)])
    gradient = torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])
    assert torch.allclose(moved, gradient, atol=1e-6)
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3) if clip == 1e-3 else moved.norm() > 1e-2


def test_gradient_is_clipped_to_what_is_usual_of_late(tiny_config: Config) -> None:
    plain = replace(tiny_config, clip=50.0, clip_to_median=None, schedule="constant", warm_up=0)
    relative = replace(plain, clip_to_median=5.0)
    norms = deque([1e-3] * 40 + [2.0] * 51 + [1e6] * 9, maxlen=training.LATELY)
    assert training.largest_norm(plain, 7, norms) == 50.0
    assert training.largest_norm(relative, 7, norms) == 10.0  # 5 times the median, 2, however large a few are
    assert training.largest_norm(relative, 7, [1e6] * 100) == 50.0  # never more than the other limit
    assert training.largest_norm(relative, 7, []) == 50.0
    assert training.largest_norm(relative, 7, [0.0] * 60 + [1.0] * 40) == 50.0  # nothing is usual yet


def test_the_limit_rises_as_the_learning_rate_falls(tiny_config: Config) -> None:
    config = replace(tiny_config, clip=1e9, clip_to_median=5.0)  # 12 steps: 3 of warm-up, a half cosine
    for step in range(12):
        limit = training.largest_norm(config, step, [2.0] * 9)
        assert limit * learning_rate(config, step) == pytest.approx(10.0 * config.learning_rate)


@pytest.mark.parametrize(("optimizer", "moved"), [("adam", 1 / (1 + 2)), ("rmsprop", 1 / (math.sqrt(0.05) + 2))])
def test_a_gradient_of_half_the_epsilon_moves_a_weight_less(tiny_config: Config, optimizer: Any, moved: float) -> None:
    layer = nn.Linear(1, 1, bias=False)
    config = replace(tiny_config, optimizer=optimizer, learning_rate=0.25, epsilon=2e-6)
    before = layer.weight.item()
    layer.weight.grad = torch.full((1, 1), 1e-6)
    build_optimizer(config, layer).step()
    assert before - layer.weight.item() == pytest.approx(0.25 * moved, rel=1e-5)


def test_large_gradients_are_scaled_down_to_what_went_before(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = replace(tiny_config, clip_to_median=0.5, schedule="constant", warm_up=0)
    problem = Classification(config, tiny_classes, tiny_split)
    model, sums, norms = problem.model, Sums.zero(2, torch.device("cpu")), deque[float]([1e-3, 2e-3, 3e-3])
    before = [parameter.detach().clone() for parameter in model.parameters()]
    training._train_step(problem, torch.optim.SGD(model.parameters(), lr=1.0), config, 0, sums, norms)
    moved = torch.cat([(old - new).flatten() for old, new in zip(before, model.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)
    assert len(norms) == 4 and norms[-1] > 1e-2  # what is remembered is the norm before it was scaled down


class Constant(nn.Module):
    """Answers the same whatever it sees: `logits`, times a weight of 1."""

    encoder = None

    def __init__(self, logits: list[float]):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.logits = torch.tensor(logits)

    def forward(self, images: torch.Tensor, previous: torch.Tensor, state: None) -> tuple[torch.Tensor, None]:
        time, batch = images.shape[:2]
        return (self.weight * self.logits).expand(time, batch, 1, 2), None


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [3e38, -3e38]])
def test_step_that_is_not_finite_changes_nothing(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, logits: list[float]
) -> None:
    config = replace(tiny_config, seed=5)
    problem = Classification(config, tiny_classes, tiny_split)
    model = problem.model = Constant(logits)  # pyright: ignore[reportAttributeAccessIssue]
    sums = Sums.zero(2, torch.device("cpu"))
    with pytest.raises(NotFiniteError, match=r"step 3 of seed 5: the loss is (nan|inf)"):
        training._train_step(problem, torch.optim.SGD(model.parameters(), lr=1.0), config, 3, sums, deque())
    assert model.weight.item() == 1
    assert sums.steps == 0


def poisoned(problem: Classification, monkeypatch: pytest.MonkeyPatch, *steps: int) -> None:
    """Let the gradient of the output's bias be infinite at some steps, the loss staying as it is."""
    episode, loss = problem.episode, problem.loss
    now = [0]

    def note(step: int) -> Any:
        now[0] = step
        return episode(step)

    def spoiled(shown: Any) -> tuple[torch.Tensor, Any]:
        value, counts = loss(shown)
        if now[0] in steps:
            bias = dict(problem.model.named_parameters())[BIAS]
            # The root's slope at 0 is infinite.
            value = value + (bias - bias.detach()).abs().sum().sqrt()
        return value, counts

    monkeypatch.setattr(problem, "episode", note)
    monkeypatch.setattr(problem, "loss", spoiled)


BIAS = "network.output.bias"


def test_state_before_a_step_that_is_not_finite_is_kept_and_shows_it_again(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = start("run", tiny_config)
    problem = Classification(tiny_config, tiny_classes, tiny_split)
    poisoned(problem, monkeypatch, 5)
    with pytest.raises(NotFiniteError) as stopped:
        training.fit(problem, tiny_config, run, OFTEN)
    for words in ("step 5 of seed 0: the gradient of network.output.bias is not finite (1 of ", str(run.nonfinite)):
        assert words in str(stopped.value)
    assert "--on-nonfinite skip" in str(stopped.value)
    (folder,) = run.nonfinite.iterdir()
    state = read_checkpoint(folder)
    assert (folder.name, state.step, run.steps_done()) == ("000000005", 5, 0)
    clean = start("clean", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, clean, OFTEN, stopping=stop_after(5))
    assert bits(state.weights) == bits(position(clean).weights)
    # The episode comes from the seed and the step: all that is needed is there.
    problem.model.load_state_dict(state.weights)
    loss, _ = problem.loss(problem.episode(state.step))
    problem.model.zero_grad()
    loss.backward()
    assert not torch.isfinite(training._gradients(problem.model)[BIAS]).all()


def test_steps_that_are_not_finite_can_be_left_out_and_are_counted(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(tiny_config, on_nonfinite="skip")
    whole, parts, untouched = start("whole", config), start("parts", config), start("untouched", config)
    problem = Classification(config, tiny_classes, tiny_split)
    poisoned(problem, monkeypatch, 1, 3, 4, 5)
    training.fit(problem, config, whole, OFTEN)
    assert [line["skipped"] for line in whole.metrics()] == [1, 3, 0, 0]
    assert [line["loss"] is None for line in whole.metrics()] == [False, True, False, False]
    assert not whole.nonfinite.exists()
    while parts.steps_done() < config.steps:
        again = Classification(config, tiny_classes, tiny_split)
        poisoned(again, monkeypatch, 1, 3, 4, 5)
        training.fit(again, config, parts, OFTEN, stopping=stop_after(5))
    assert_same(whole, parts)
    train(config, tiny_classes, tiny_split, untouched, OFTEN)
    assert [line["skipped"] for line in untouched.metrics()] == [0, 0, 0, 0]
    assert bits(position(untouched).weights) != bits(position(whole).weights)


def test_a_run_that_stopped_goes_on_without_the_step(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    skipping = replace(tiny_config, on_nonfinite="skip")
    stopped, whole = start("stopped", tiny_config), start("whole", skipping)
    for config, run in ((tiny_config, stopped), (skipping, stopped), (skipping, whole)):
        problem = Classification(config, tiny_classes, tiny_split)
        poisoned(problem, monkeypatch, 5)
        with pytest.raises(NotFiniteError) if config is tiny_config else nullcontext():
            training.fit(problem, config, run, OFTEN)
    assert bits(position(stopped).weights) == bits(position(whole).weights)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_products_have_the_digits_asked_for_in_training_steps_alone(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    precision: Any,
) -> None:
    config = replace(tiny_config, precision=precision, encoder="conv", encoder_width=4, episodes=4)
    problem = Classification(config, tiny_classes, tiny_split)
    seen: dict[bool, set[Any]] = {True: set(), False: set()}
    weight = problem.model.encoder.get_parameter("convolutions.3.weight")

    def note(_: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen[torch.is_grad_enabled()].add((output.dtype, torch.get_float32_matmul_precision()))

    problem.model.encoder.get_submodule("convolutions.3").register_forward_hook(note)
    asked = set[str]()
    weight.register_hook(lambda _: asked.add(torch.get_float32_matmul_precision()))
    before = torch.get_float32_matmul_precision()
    run = start("run", config)
    training.fit(problem, config, run, OFTEN)
    inside = "high" if precision == "tf32" else before
    assert seen[True] == {(torch.bfloat16 if precision == "bfloat16" else torch.float32, inside)}
    assert seen[False] == {(torch.float32, before)}  # validation
    assert asked == {inside}  # on the way back
    assert torch.get_float32_matmul_precision() == before
    assert {tensor.dtype for tensor in position(run).weights.values()} == {torch.float32}


def test_the_digits_are_those_of_before_where_training_fails(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(tiny_config, precision="tf32")
    problem = Classification(config, tiny_classes, tiny_split)
    poisoned(problem, monkeypatch, 0)
    before = torch.get_float32_matmul_precision()
    with pytest.raises(NotFiniteError):
        training.fit(problem, config, start("run", config), OFTEN)
    assert torch.get_float32_matmul_precision() == before


def test_a_step_in_bfloat16_is_one_in_float32_to_its_digits(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    problem = Classification(replace(tiny_config, encoder="conv", encoder_width=8), tiny_classes, tiny_split)
    exact, _ = problem.loss(problem.episode(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = problem.loss(problem.episode(0))
    assert 1e-7 < abs(rounded - exact) / exact < 2**-7  # numbers of 8 binary digits


def test_what_is_not_finite_is_named() -> None:
    gradients = {"one": torch.ones(2), "two": torch.tensor([1.0, math.nan])}
    assert training._not_finite(0.5, gradients) == "the gradient of two is not finite (1 of 2 parameters)"
    assert training._not_finite(-math.inf, gradients) == "the loss is -inf"


def test_a_gradient_whose_square_is_too_large_is_scaled_down(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(tiny_config, clip=0.5, clip_to_median=None, schedule="constant", warm_up=0)
    moved = []
    for scale in (1e3, 1e25):
        problem = Classification(config, tiny_classes, tiny_split)
        loss = problem.loss
        monkeypatch.setattr(problem, "loss", lambda episode, loss=loss, scale=scale: _scaled(loss(episode), scale))
        model, sums = problem.model, Sums.zero(2, torch.device("cpu"))
        before = [parameter.detach().clone() for parameter in model.parameters()]
        training._train_step(problem, torch.optim.SGD(model.parameters(), lr=1.0), config, 0, sums, deque())
        moved.append(
            torch.cat([(old - new).flatten() for old, new in zip(before, model.parameters(), strict=True)]).double()
        )
    assert [one.norm().item() for one in moved] == pytest.approx([0.5, 0.5], rel=1e-2)
    torch.testing.assert_close(moved[1], moved[0], rtol=1e-2, atol=1e-5)
    assert torch.isinf(training._norm([torch.tensor([1.0]), torch.tensor([math.inf])]))
    assert torch.isnan(training._norm([torch.tensor([1.0]), torch.tensor([math.nan])]))


def _scaled(answer: tuple[torch.Tensor, Any], scale: float) -> tuple[torch.Tensor, Any]:
    """Return a loss that is so many times as large, and what was counted."""
    return answer[0] * scale, answer[1]


def test_last_checkpoint_survives_a_loss_that_is_not_finite(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start("run", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(4))
    before = bits(position(run).weights)
    monkeypatch.setattr(classification, "answer_loss", lambda logits, episode: logits.sum() * math.nan)
    with pytest.raises(NotFiniteError, match="step 4 of seed 0"):
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    assert position(run).step == 4
    assert bits(position(run).weights) == before


def test_checkpoint_of_another_network_is_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tiny_run: Run
) -> None:
    tiny_run.save(Checkpoint(3, tiny_config, {"weight": torch.ones(1)}, {}))
    with pytest.raises(InputError, match=r"does not fit its config.json .*start again with another --run"):
        train(tiny_config, tiny_classes, tiny_split, tiny_run, OFTEN)


@pytest.mark.parametrize(("episodes", "compiled"), [(22, False), (24, True)])
def test_long_trainings_are_compiled(
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
    start: Start,
    short_validation: None,
    monkeypatch: pytest.MonkeyPatch,
    episodes: int,
    compiled: bool,
) -> None:
    asked = []

    def spy() -> Plain:
        asked.append(True)
        return Plain()

    monkeypatch.setattr(building, "fast", spy)
    monkeypatch.setattr(building, "WORTH_COMPILING", 12)
    config = replace(tiny_config, episodes=episodes)
    model = train(config, tiny_classes, tiny_split, start("run", config), OFTEN)
    assert isinstance(model.network, MemoryNetwork)
    assert (model.network.unroll is not plain) == bool(asked) == compiled
    without = replace(config, addressing="none")
    train(without, tiny_classes, tiny_split, start("without", without), OFTEN)
    assert len(asked) == compiled  # there is nothing of ours to compile in the baselines


def test_compiling_says_nothing_of_a_gpu_that_is_not_there() -> None:
    with warnings.catch_warnings(action="ignore"):  # where there is no compiler it says so
        fast()
    assert not logging.getLogger("torch.utils.cpp_extension").isEnabledFor(logging.WARNING)


def test_training_draws_from_training_classes_and_their_rotations_with_jitter(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    plainly = training_episodes(replace(tiny_config, rotations=False), tiny_classes, tiny_split)
    assert plainly.images.names == tiny_split.train
    assert plainly.jitter is None
    config = replace(tiny_config, jitter_rotation=90.0, jitter_translation=0.25)
    source = training_episodes(config, tiny_classes, tiny_split)
    turned = [f"{name}{turn}" for turn in ("", "/rot090", "/rot180", "/rot270") for name in tiny_split.train]
    assert list(source.images.names) == turned
    assert source.jitter is not None
    assert source.jitter == Jitter(math.pi / 2, 0.25)
    assert (source.seed, source.batch, source.time) == (0, 2, 4)


def test_classes_that_do_not_fill_an_episode_are_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tiny_run: Run
) -> None:
    with pytest.raises(InputError, match="5 classes asked for .*only 4"):  # 12 to train on, 4 to validate
        train(replace(tiny_config, classes=5), tiny_classes, tiny_split, tiny_run)
    with pytest.raises(InputError, match="5 presentations .*4 drawings"):
        train(replace(tiny_config, presentations=5), tiny_classes, tiny_split, tiny_run)


def test_it_learns(tiny_config: Config, start: Start) -> None:
    # A pixel tells the classes apart. A class that is new while the label before is known has the other label.
    images = torch.zeros(20, 4, 8, 8, dtype=torch.uint8)
    images[torch.arange(20), :, torch.arange(20) // 8 * 3, torch.arange(20) % 8] = 255
    classes = ImageClasses(images, torch.full((20,), 4), tuple(f"class{index:02d}" for index in range(20)))
    split = Split(classes.names[:12], classes.names[12:16], classes.names[16:])
    config = replace(
        tiny_config, addressing="none", hidden_size=32, batch=16, episodes=16 * 150, learning_rate=1e-2, rotations=False
    )
    run = start("run", config)
    train(config, classes, split, run, Pace(log=10, validate=150))
    first, last = run.metrics()[0], run.metrics()[-1]
    assert first["loss"] > 0.64  # near log 2, a guess
    assert last["loss"] < 0.6
    assert 0.7 < last["accuracy"]["1"] < 0.85
