"""The metrics and checkpoints that a training writes, and what ends its writing."""

import shutil
from dataclasses import replace
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from data import ImageClasses, InputError, Split
from mann.evaluation.held_out import VALIDATION, held_out_episodes
from mann.evaluation.instances import accuracy_by_instance
from mann.problems import train
from mann.runs import Checkpoint, Run
from mann.settings import Config
from mann.training import LoggingInterval
from mann.training.optimisation import learning_rate
from tests.mann.training.comparing import OFTEN, bits, position, stop_after
from tests.mann.training.conftest import Start


def test_the_logging_interval_changes_nothing_that_is_learned(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    often, seldom = start("often", tiny_config), start("seldom", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, often, LoggingInterval(log=1, validate=2, save_seconds=0))
    train(tiny_config, tiny_classes, tiny_split, seldom, LoggingInterval(log=100, validate=100))
    assert bits(position(often).weights) == bits(position(seldom).weights)
    assert bits(position(often).training["optimizer"]) == bits(position(seldom).training["optimizer"])
    assert len(often.metrics()) == tiny_config.steps
    assert sorted(path.name for path in often.checkpoints.iterdir()) == ["000000011", "000000012"]
    assert [path.name for path in seldom.checkpoints.iterdir()] == ["000000012"]


def test_metrics_are_the_means_since_the_line_before(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    config = replace(tiny_config, episodes=16)  # 8 steps: lines at 3, 6 and 8
    fine, coarse = start("fine", config), start("coarse", config)
    reported: list[dict[str, Any]] = []
    train(config, tiny_classes, tiny_split, fine, LoggingInterval(log=1, validate=100))
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
    held_out = held_out_episodes(config, tiny_classes.select(tiny_split.validation), VALIDATION)
    assert reported[-1]["validation"] == accuracy_by_instance(model, held_out)


def test_tensorboard_holds_every_line(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(7))
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    # Entries after the checkpoint that a run continues from are replaced, not repeated.
    shutil.rmtree(run.checkpoints / "000000012")
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    events = EventAccumulator(str(run.folder / "tensorboard")).Reload()
    logged = [(event.step, event.value) for event in events.Scalars("loss")]
    assert logged == [(line["step"], pytest.approx(line["loss"])) for line in run.metrics()]
    assert [event.step for event in events.Scalars("validation/instance 02")] == [6, 12]


def test_a_run_that_another_process_trains_is_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    with run.locked(), pytest.raises(InputError, match="is being trained by another process"):
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    assert run.metrics() == [] and run.steps_done() == 0


def test_a_folder_that_is_deleted_ends_the_training_in_one_line(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    with pytest.raises(InputError) as refusal:
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN, report=lambda line: shutil.rmtree(run.folder))
    assert str(refusal.value) == (
        f"run folder {run.folder} cannot be written to (No such file or directory); it holds no checkpoint: "
        "put that right, then continue with `resume`"
    )


def test_a_checkpoint_of_another_network_is_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tiny_run: Run
) -> None:
    tiny_run.save(Checkpoint(3, tiny_config, {"weight": torch.ones(1)}, {}))
    with pytest.raises(InputError, match=r"does not fit its config.json .*start again with another `run`"):
        train(tiny_config, tiny_classes, tiny_split, tiny_run, OFTEN)


@pytest.mark.parametrize("damage", ["optimizer", "norms", "groups"])
def test_a_checkpoint_of_another_training_is_refused(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tiny_run: Run, damage: str
) -> None:
    train(tiny_config, tiny_classes, tiny_split, tiny_run, OFTEN, stopping=stop_after(2))
    step, config, weights, training = (getattr(position(tiny_run), name) for name in Checkpoint.__annotations__)
    if damage == "groups":
        training["optimizer"]["param_groups"] *= 2
    else:
        del training[damage]
    tiny_run.save(Checkpoint(step + 1, config, weights, training))
    with pytest.raises(InputError, match=r"does not fit its config.json .*start again with another `run`") as refusal:
        train(tiny_config, tiny_classes, tiny_split, tiny_run, OFTEN)
    assert "\n" not in str(refusal.value)
