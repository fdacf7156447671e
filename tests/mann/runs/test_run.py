"""The run folder: how it starts, what it refuses, and which process may train it."""

import json
import multiprocessing
import os
import sys
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import torch

from data import InputError, Split, read_split
from mann.runs import Checkpoint, Run, RunReader
from mann.settings import Config, changed, config_json
from mann.settings.storage import plain
from tests.mann.runs.conftest import Make, last


def test_a_started_run_holds_its_settings_its_split_and_its_environment(
    tiny_run: Run, tiny_config: Config, tiny_split: Split
) -> None:
    assert tiny_run.exists()
    assert tiny_run.config() == tiny_config
    assert read_split(tiny_run.split_path) == tiny_split
    assert json.loads((tiny_run.folder / "environment.json").read_text()) == {"command": "none"}
    assert tiny_run.last_checkpoint() is None
    assert tiny_run.steps_done() == 0
    assert tiny_run.metrics() == []


def test_a_folder_without_config_is_no_run(tmp_path: Path) -> None:
    assert not Run(tmp_path).exists()
    assert not Run(tmp_path / "absent").exists()
    with pytest.raises(InputError, match="is .*absent the folder of a run"):
        Run(tmp_path / "absent").config()


def test_a_start_that_was_cut_off_can_be_repeated(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(TypeError):
        run.start(tiny_config, tiny_split, {"not for JSON": object()})
    assert run.folder.exists() and not run.exists()
    run.start(tiny_config, tiny_split, {})
    assert run.config() == tiny_config


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        assert not Run(folder).exists()
        with pytest.raises(InputError, match="cannot be made .*choose another `run`"):
            Run(folder).start(tiny_config, tiny_split, {})
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be made .*choose another `run`"):
            Run(tmp_path).start(tiny_config, tiny_split, {})
    finally:
        tmp_path.chmod(0o700)


def test_checkpoints_of_a_lost_config_are_not_taken_over(
    tiny_run: Run, tiny_config: Config, tiny_split: Split, checkpoint: Make
) -> None:
    tiny_run.save(checkpoint(1))
    (tiny_run.folder / "config.json").unlink()
    with pytest.raises(InputError, match="holds checkpoints but no config.json"):
        tiny_run.start(tiny_config, tiny_split, {})


def test_other_settings_are_refused_by_name(tiny_run: Run, tiny_config: Config) -> None:
    tiny_run.refuse_other(replace(tiny_config, root=Path("elsewhere"), on_nonfinite="skip"))
    other = changed(tiny_config, {"seed": 5, "scheme.usage_decay": 0.5})
    with pytest.raises(InputError, match=r"`scheme\.usage_decay` is 0\.99, not 0\.5; `seed` is 0, not 5"):
        tiny_run.refuse_other(other)


def test_a_config_changed_after_the_start_is_refused(tiny_run: Run, tiny_config: Config, checkpoint: Make) -> None:
    tiny_run.save(checkpoint(1))
    edited = changed(tiny_config, {"scheme.usage_decay": 0.5})
    (tiny_run.folder / "config.json").write_text(config_json(edited))
    with pytest.raises(InputError, match=r"config.json was changed .*`scheme\.usage_decay` is 0\.5, not 0\.99"):
        tiny_run.last_checkpoint()
    moved = replace(tiny_config, root=Path("moved"))  # the place of the data may change
    (tiny_run.folder / "config.json").write_text(config_json(moved))
    assert last(tiny_run).step == 1


def test_history_describes_the_training(tiny_run: Run, tiny_config: Config) -> None:
    history = {
        "settings": plain(tiny_config),
        "seed": 0,
        "episodes": 0,
        "seconds": 0.0,
        "environment": {"command": "none"},
    }
    assert tiny_run.history() == history
    for step in (1, 2):
        tiny_run.log({"step": step, "episodes": 16 * step, "seconds": 0.5 * step})
    assert tiny_run.history() == history | {"episodes": 32, "seconds": 1.0}
    (tiny_run.folder / "environment.json").unlink()
    assert tiny_run.history()["environment"] is None
    (tiny_run.folder / "environment.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match=r"environment.json is damaged .* repair or delete it"):
        tiny_run.history()


def start_the_run(folder: Path, seed: int, both: Barrier) -> None:
    """Start a run at the same time as another process; exits with 3 if it is refused."""
    config = Config("strokes", seed=seed)
    both.wait(timeout=120)
    try:
        Run(folder).start(config, None, {"seed": seed})
    except InputError as error:
        assert "holds a run already" in str(error) or "by another process" in str(error)
        sys.exit(3)


def test_of_two_processes_that_start_a_run_one_does(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = context.Barrier(2)
    workers = [context.Process(target=start_the_run, args=(tmp_path / "run", seed, both)) for seed in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    codes = [worker.exitcode for worker in workers]
    assert sorted(codes, key=str) == [0, 3]
    run = Run(tmp_path / "run")
    assert run.config().seed == 1 + codes.index(0)
    assert run.history()["environment"] == {"seed": 1 + codes.index(0)}


def test_a_run_that_another_process_has_just_started_is_not_started_again(tiny_run: Run, tiny_config: Config) -> None:
    message = "holds a run already: add `resume` to continue, or choose another `run`"
    with pytest.raises(InputError, match=message):
        tiny_run.start(replace(tiny_config, seed=9), None, {})
    assert tiny_run.config() == tiny_config


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    run = Run(tmp_path)
    message = "is being trained by another process: wait for it, or choose another `run`"
    with run.locked(), pytest.raises(InputError, match=message), Run(tmp_path).locked():
        raise AssertionError
    with run.locked():
        pass


def contents(folder: Path) -> dict[str, Any]:
    """Return the bytes of all files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_reader_writes_nothing_and_needs_no_lock(
    tmp_path: Path, tiny_run: Run, tiny_config: Config, checkpoint: Make
) -> None:
    tiny_run.log({"step": 1, "episodes": 2, "seconds": 0.5})
    tiny_run.save(checkpoint(1))
    reader = RunReader(tiny_run.folder)
    with tiny_run.locked():
        before = contents(tmp_path)
        with reader.locked():
            reader.start(replace(tiny_config, seed=9), None, {})
            reader.log({"step": 2, "episodes": 4, "seconds": 1.0})
            reader.keep_metrics_until(0)
            reader.save(checkpoint(2))
            folder = reader.keep_nonfinite(checkpoint(2))
        assert contents(tmp_path) == before
    assert last(reader).step == 1 and reader.metrics() == tiny_run.metrics() != []
    assert folder == tiny_run.keep_nonfinite(checkpoint(2))  # the folder that the writing process names


def test_weights_are_loaded_from_the_newest_checkpoint(tiny_run: Run, tiny_config: Config) -> None:
    model = torch.nn.Linear(3, 2)
    with pytest.raises(InputError, match="holds no checkpoint yet: train it first"):
        tiny_run.load(model)
    for step in (1, 2):
        weights = {"weight": torch.full((2, 3), float(step)), "bias": torch.zeros(2)}
        tiny_run.save(Checkpoint(step, tiny_config, weights, {}))
    tiny_run.load(model)
    assert model.weight.unique().tolist() == [2.0]
    with pytest.raises(InputError, match="does not fit its config.json .*start again with another `run`") as refusal:
        tiny_run.load(torch.nn.Linear(4, 2))
    assert "\n" not in str(refusal.value)
