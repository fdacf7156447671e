"""Training can be repeated, and stopped anywhere without a trace in its weights, its metrics or its checkpoints."""

import math
import shutil
import time
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch

from data import ImageClasses, Split
from mann.addressing import LRUA
from mann.problems import train
from mann.runs import Run
from mann.settings import Config, changed
from tests.mann.training.comparing import OFTEN, assert_same, bits, lines, position, stop_after
from tests.mann.training.conftest import Start

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
    "no memory": {"model": "recurrent", "rotations": False},
    "persistent memory": {"memory": "persistent", "counting": "random", "length": 3},
    "curriculum": {"labels": "strings", "most_classes": 4, "class_every": 4},
    "bfloat16": {"encoder": "conv", "encoder_width": 4, "precision": "bfloat16"},
}


class Trained(NamedTuple):
    """A run that was not interrupted, and the weights of the model that its training returned."""

    config: Config
    run: Run
    weights: Any


@pytest.fixture(scope="module", params=VARIANTS)
def uninterrupted(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    tiny_config: Config,
    tiny_classes: ImageClasses,
    tiny_split: Split,
) -> Trained:
    """Return a run of each variant, trained at once."""
    config = changed(tiny_config, VARIANTS[request.param])
    run = Run(tmp_path_factory.mktemp("uninterrupted") / "run")
    run.start(config, tiny_split, {})
    model = train(config, tiny_classes, tiny_split, run, OFTEN)
    return Trained(config, run, bits(dict(model.state_dict())))


# After every step, and with sums of two steps, at a line of metrics, and one step before the end.
@pytest.mark.parametrize("every", [1, 5])
def test_interrupted_training_ends_as_if_it_had_not_been(
    uninterrupted: Trained, tiny_classes: ImageClasses, tiny_split: Split, start: Start, every: int
) -> None:
    config, parts = uninterrupted.config, start("parts", uninterrupted.config)
    visits, resumed = 0, None
    while parts.steps_done() < config.steps:
        resumed = train(config, tiny_classes, tiny_split, parts, OFTEN, stopping=stop_after(every))
        visits += 1
        assert position(parts).step == min(every * visits, config.steps)
    assert visits == math.ceil(config.steps / every) and resumed is not None
    assert_same(uninterrupted.run, parts)
    assert bits(dict(resumed.state_dict())) == uninterrupted.weights == bits(position(uninterrupted.run).weights)


@pytest.mark.parametrize("uninterrupted", ["defaults"], indirect=True)
def test_steps_and_lines_after_the_checkpoint_are_repeated(
    uninterrupted: Trained, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    killed = start("killed", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, killed, OFTEN, stopping=stop_after(4))
    # As a kill leaves it: lines of steps that are not in the checkpoint, half a line, half a checkpoint.
    with killed.metrics_path.open("a") as file:
        file.write('{"step": 6, "episodes": 12, "seconds": 1.0, "loss": 100.0, "accuracy": {}}\n{"step": 9, "lo')
    leftover = killed.checkpoints / ".half"
    leftover.mkdir()
    (leftover / "weights.safetensors").write_bytes(b"half")
    train(tiny_config, tiny_classes, tiny_split, killed, OFTEN)
    assert_same(uninterrupted.run, killed)
    assert not leftover.exists()


@pytest.mark.parametrize("uninterrupted", ["defaults"], indirect=True)
def test_one_seed_gives_one_run_and_another_seed_another(
    uninterrupted: Trained, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    repeated = start("repeated", tiny_config)
    other_config = replace(tiny_config, seed=1)
    other = start("other", other_config)
    torch.rand(5)  # the global random state has no influence
    state = torch.get_rng_state()
    train(tiny_config, tiny_classes, tiny_split, repeated, OFTEN)
    assert torch.equal(torch.get_rng_state(), state)
    train(other_config, tiny_classes, tiny_split, other, OFTEN)
    assert_same(uninterrupted.run, repeated)
    assert bits(position(other).weights) != bits(position(repeated).weights)
    assert lines(other) != lines(repeated)


@pytest.mark.parametrize("uninterrupted", ["defaults"], indirect=True)
def test_a_finished_training_is_left_as_it_is(
    uninterrupted: Trained, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    copy = start("copy", tiny_config)
    shutil.rmtree(copy.folder)
    shutil.copytree(uninterrupted.run.folder, copy.folder)
    model = train(tiny_config, tiny_classes, tiny_split, copy, OFTEN)
    assert bits(dict(model.state_dict())) == uninterrupted.weights
    assert_same(uninterrupted.run, copy)


def test_seconds_continue_after_a_stop(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    before = 0.0
    for _ in range(3):
        time.sleep(0.2)  # the time between two processes does not count
        began = time.monotonic()
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(4))
        elapsed = time.monotonic() - began
        seconds = position(run).training["seconds"]
        assert before < seconds <= before + elapsed
        before = seconds
    logged = [line["seconds"] for line in run.metrics()]
    assert logged == sorted(logged) and 0 < logged[0] < logged[-1] <= before + 1e-3
