"""The run folder: nothing half-written is ever taken for whole, nothing whole is lost."""

import errno
import json
import multiprocessing
import os
import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import torch

from data import InputError, Split, read_split
from mann.runs import run as runs
from mann.runs.run import KEPT_CHECKPOINTS, Checkpoint, Run, describe_environment, read_checkpoint
from mann.settings.schema import Config, config_json
from mann.support.files import write_text


@pytest.fixture
def checkpoint(tiny_config: Config) -> Callable[[int], Checkpoint]:
    """Return what makes the checkpoint of a step."""

    def make(step: int) -> Checkpoint:
        weights = {"weight": torch.full((2, 3), float(step)), "bias": torch.tensor([0.1, -0.0])}
        return Checkpoint(step, tiny_config, weights, {"optimizer": {"state": {0: torch.ones(2)}}, "seconds": 1.5})

    return make


Make = Callable[[int], Checkpoint]


def last(run: Run) -> Checkpoint:
    """Return the last checkpoint, which has to be there."""
    found = run.last_checkpoint()
    assert found is not None
    return found


def test_started_run_holds_what_it_was_started_with(tiny_run: Run, tiny_config: Config, tiny_split: Split) -> None:
    assert tiny_run.exists()
    assert tiny_run.config() == tiny_config
    assert read_split(tiny_run.split_path) == tiny_split
    assert json.loads((tiny_run.folder / "environment.json").read_text()) == {"command": "none"}
    assert tiny_run.last_checkpoint() is None
    assert tiny_run.steps_done() == 0
    assert tiny_run.metrics() == []


def test_folder_without_config_is_no_run(tmp_path: Path) -> None:
    assert not Run(tmp_path).exists()
    assert not Run(tmp_path / "absent").exists()
    with pytest.raises(InputError, match="is .*absent the folder of a run"):
        Run(tmp_path / "absent").config()


def test_start_that_was_cut_off_can_be_repeated(
    tmp_path: Path, tiny_config: Config, tiny_split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(runs, "config_json", lambda config: (_ for _ in ()).throw(KeyboardInterrupt))
        run.start(tiny_config, tiny_split, {})
    assert not run.exists()
    run.start(tiny_config, tiny_split, {})
    assert run.config() == tiny_config


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for folder in (file, file / "below"):
        assert not Run(folder).exists()
        with pytest.raises(InputError, match="cannot be made .*choose another --run"):
            Run(folder).start(tiny_config, tiny_split, {})
    assert file.read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_that_cannot_be_written_is_refused(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match="cannot be made .*choose another --run"):
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
    tiny_run.refuse_other(replace(tiny_config, root=Path("elsewhere")))
    other = replace(tiny_config, seed=5, scheme=replace(tiny_config.scheme, usage_decay=0.5))
    with pytest.raises(InputError, match=r"scheme\.usage_decay is 0\.99, not 0\.5; seed is 0, not 5"):
        tiny_run.refuse_other(other)


def test_checkpoint_comes_back_bit_for_bit(tiny_run: Run, checkpoint: Make) -> None:
    tiny_run.save(checkpoint(7))
    found = last(tiny_run)
    assert (found.step, found.config) == (7, tiny_run.config())
    assert tiny_run.steps_done() == 7
    assert {name: value.numpy().tobytes() for name, value in found.weights.items()} == {
        name: value.numpy().tobytes() for name, value in checkpoint(7).weights.items()
    }
    assert found.training.keys() == checkpoint(7).training.keys()
    assert torch.equal(found.training["optimizer"]["state"][0], torch.ones(2))


def test_the_newest_checkpoints_are_kept(tiny_run: Run, checkpoint: Make) -> None:
    for step in (5, 90, 100, 1000):
        tiny_run.save(checkpoint(step))
        assert last(tiny_run).step == step
    kept = sorted(path.name for path in tiny_run.checkpoints.iterdir())
    assert kept == ["000000100", "000001000"]
    assert len(kept) == KEPT_CHECKPOINTS


def test_step_saved_twice_is_kept(tiny_run: Run, checkpoint: Make) -> None:
    tiny_run.save(checkpoint(5))
    tiny_run.save(checkpoint(5))
    assert [path.name for path in tiny_run.checkpoints.iterdir()] == ["000000005"]
    assert last(tiny_run).step == 5


@pytest.mark.parametrize("where", ["safetensors", "torch.save", "flush_to_disk"])
def test_save_that_is_cut_off_leaves_the_checkpoint_before(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    tiny_run.save(checkpoint(1))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(f"mann.runs.run.{where}", cut)
        tiny_run.save(checkpoint(2))
    assert len(list(tiny_run.checkpoints.iterdir())) == 2  # the leftover
    assert last(tiny_run).step == tiny_run.steps_done() == 1
    (tiny_run.checkpoints / ".DS_Store").write_text("a file, no folder")
    tiny_run.save(checkpoint(2))
    names = {path.name for path in tiny_run.checkpoints.iterdir()}
    assert names == {"000000001", "000000002", ".DS_Store"}
    assert last(tiny_run).step == 2


def test_files_reach_the_disk_before_the_checkpoint_has_its_name(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = []
    monkeypatch.setattr(runs, "flush_to_disk", lambda path: flushed.append((path, tiny_run.steps_done())))
    tiny_run.save(checkpoint(3))
    *before, (folder, named) = flushed
    assert {path.name for path, _ in before} >= {"weights.safetensors", "training.pt"}
    assert len(before) == 3 and before[-1][0].parent == tiny_run.checkpoints
    assert all(step == 0 for _, step in before)
    assert (folder, named) == (tiny_run.checkpoints, 3)


def full(*_: object) -> None:
    """Fail as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_checkpoint_that_finds_the_disk_full_leaves_nothing_and_the_one_before(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_run.save(checkpoint(1))
    with monkeypatch.context() as patched:
        patched.setattr(runs, "flush_to_disk", full)
        with pytest.raises(InputError) as refusal, tiny_run.written():
            tiny_run.save(checkpoint(2))
    assert str(refusal.value) == (
        f"run folder {tiny_run.folder} cannot be written to (No space left on device); its last whole checkpoint is of "
        "step 1: put that right, then go on with --resume"
    )
    assert [path.name for path in tiny_run.checkpoints.iterdir()] == ["000000001"]
    assert last(tiny_run).step == 1
    tiny_run.save(checkpoint(2))
    assert last(tiny_run).step == 2


def test_leftovers_make_room_before_a_checkpoint_is_written(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    leftover = tiny_run.checkpoints / ".half"
    leftover.mkdir()
    store = runs._store

    def spy(*given: Any) -> Path:
        assert not leftover.exists()
        return store(*given)

    monkeypatch.setattr(runs, "_store", spy)
    tiny_run.save(checkpoint(1))
    assert last(tiny_run).step == 1


def test_checkpoint_whose_deletion_is_cut_off_has_no_name_of_a_whole_one(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_run.save(checkpoint(1))
    tiny_run.save(checkpoint(2))

    def cut(path: Path, **_: object) -> None:
        (path / "training.pt").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("mann.runs.run.shutil.rmtree", cut)
        tiny_run.save(checkpoint(3))
    for path in tiny_run.checkpoints.glob("[0-9]*"):
        assert read_checkpoint(path).step == int(path.name)
    tiny_run.save(checkpoint(4))
    assert sorted(path.name for path in tiny_run.checkpoints.iterdir()) == ["000000003", "000000004"]


class Harmful:
    """Would make a file when unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("file", ["weights.safetensors", "training.pt"])
@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "missing", "pickle", "list"])
def test_damaged_newest_checkpoint_is_named(
    tmp_path: Path, tiny_run: Run, checkpoint: Make, file: str, damage: str
) -> None:
    tiny_run.save(checkpoint(1))
    tiny_run.save(checkpoint(2))
    path = tiny_run.checkpoints / "000000002" / file
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "list":
        torch.save([1, 2], path)
    else:
        harmful = pickle.dumps(Harmful(str(tmp_path / "unpickled")))
        path.write_bytes(
            {"cut": content[: len(content) // 2], "garbage": b"\x07" * 500, "pickle": harmful}.get(damage, b"")
        )
    with pytest.raises(InputError, match="checkpoint .*000000002 is damaged .*delete that folder") as caught:
        tiny_run.last_checkpoint()
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "unpickled").exists()
    for part in path.parent.iterdir():
        part.unlink()
    path.parent.rmdir()
    assert last(tiny_run).step == 1


def test_config_changed_after_the_start_is_refused(tiny_run: Run, tiny_config: Config, checkpoint: Make) -> None:
    tiny_run.save(checkpoint(1))
    edited = replace(tiny_config, scheme=replace(tiny_config.scheme, usage_decay=0.5))
    (tiny_run.folder / "config.json").write_text(config_json(edited))
    with pytest.raises(InputError, match=r"config.json was changed .*scheme\.usage_decay is 0\.5, not 0\.99"):
        tiny_run.last_checkpoint()
    moved = replace(tiny_config, root=Path("moved"))  # where the data lie may change
    (tiny_run.folder / "config.json").write_text(config_json(moved))
    assert last(tiny_run).step == 1


def line(step: int) -> dict[str, Any]:
    """Return the least that a line of metrics holds."""
    return {"step": step, "episodes": 16 * step, "seconds": 0.5 * step}


def test_metrics_are_appended_line_by_line(tiny_run: Run) -> None:
    lines = [
        line(1) | {"loss": 0.1 + 0.2},
        line(2) | {"loss": 1e-300, "accuracy": {"1": None}, "validation": {"1": 0.3}},
    ]
    for one in lines:
        tiny_run.log(one)
    assert tiny_run.metrics() == lines
    assert tiny_run.metrics_path.read_text() == "".join(json.dumps(one) + "\n" for one in lines)


@pytest.mark.parametrize("torn", ['{"step": 3', '{"step": 3}', "{", "\0\0\0"])
def test_torn_last_line_is_dropped(tiny_run: Run, torn: str) -> None:
    for step in (1, 2):
        tiny_run.log(line(step))
    whole = tiny_run.metrics_path.read_text()
    tiny_run.metrics_path.write_text(whole + torn)
    assert tiny_run.metrics() == [line(1), line(2)]
    tiny_run.keep_metrics_until(2)
    assert tiny_run.metrics_path.read_text() == whole


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b'{"step": 2', "EOF while parsing"),
        (b"", "Invalid JSON"),
        (b"7", "Input should be"),
        (b"[]", "Input should be"),
        (b'"step"', "Input should be"),
        (b"\xff", "Invalid JSON"),
        (b"[" * 100_000, "recursion limit"),
        ({"loss": 1.0}, "step: Field required"),
        ({"step": 2, "episodes": 3}, "seconds: Field required"),
        (line(2) | {"step": "2"}, "step: "),
        (line(2) | {"step": 2.0}, "step: "),
        (line(2) | {"seconds": -1}, "seconds: "),
        (line(2) | {"loss": "small"}, "loss: "),
        (line(2) | {"accuracy": [0.5]}, "accuracy: "),
        (line(2) | {"accuracy": {"1": "0.5"}}, "accuracy: "),
        (line(1), "step 1 comes after step 1"),
    ],
)
def test_damaged_metrics_are_refused_by_line(tiny_run: Run, damaged: Any, message: str) -> None:
    content = damaged if isinstance(damaged, bytes) else json.dumps(damaged).encode()
    tiny_run.metrics_path.write_bytes(json.dumps(line(1)).encode() + b"\n" + content + b"\n")
    with pytest.raises(InputError, match=rf"metrics.jsonl is damaged \(line 2: .*{message}.*\): repair or delete it"):
        tiny_run.keep_metrics_until(2)


def test_metrics_after_the_checkpoint_are_dropped(tiny_run: Run) -> None:
    tiny_run.keep_metrics_until(0)
    assert tiny_run.metrics() == []
    for step in (10, 20, 30):
        tiny_run.log(line(step))
    tiny_run.keep_metrics_until(20)
    assert tiny_run.metrics() == [line(10), line(20)]


def test_history_tells_how_the_run_came_about(tiny_run: Run) -> None:
    history = {"seed": 0, "episodes": 0, "seconds": 0.0, "environment": {"command": "none"}}
    assert tiny_run.history() == history
    for step in (1, 2):
        tiny_run.log(line(step))
    assert tiny_run.history() == history | {"episodes": 32, "seconds": 1.0}
    (tiny_run.folder / "environment.json").unlink()
    assert tiny_run.history()["environment"] is None
    (tiny_run.folder / "environment.json").write_bytes(b"\xff{")
    with pytest.raises(InputError, match=r"environment.json is damaged .* repair or delete it"):
        tiny_run.history()


def test_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file.json", "old")]
    write_text(path, "new")
    assert path.read_text() == "new"


def test_environment_tells_what_is_needed_to_repeat_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/some/where/train.py", "strokes", "--run", "my runs/one"])
    environment = describe_environment(torch.device("cpu"))
    assert environment["command"] == "train.py strokes --run 'my runs/one'"
    assert environment["device"].startswith("cpu: ")
    assert environment["threads"] == torch.get_num_threads()
    assert environment["cores"] == os.cpu_count()
    for library in ("torch", "torchvision", "numpy", "scipy"):
        assert environment[library] == version(library)
    assert environment["python"].startswith("3.")
    commit = environment["commit"]
    assert commit is None or (len(commit.rstrip("+")) >= 7 and int(commit.rstrip("+"), 16) >= 0)
    json.dumps(environment)


def test_environment_without_git_has_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_environment(torch.device("cpu"))["commit"] is None


def start_the_run(folder: Path, seed: int, both: Barrier) -> None:
    """Start a run at the same time as another process; exits with 3 if it is refused."""
    config = replace(Config("strokes"), seed=seed)
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


def test_a_run_that_somebody_else_has_just_started_is_not_started_again(tiny_run: Run, tiny_config: Config) -> None:
    with pytest.raises(InputError, match="holds a run already: add --resume to go on, or choose another --run"):
        tiny_run.start(replace(tiny_config, seed=9), None, {})
    assert tiny_run.config() == tiny_config


def test_a_run_is_trained_by_one_process_at_a_time(tmp_path: Path) -> None:
    run = Run(tmp_path)
    message = "is being trained by another process: wait for it, or choose another --run"
    with run.locked(), pytest.raises(InputError, match=message), Run(tmp_path).locked():
        raise AssertionError
    with run.locked():
        pass
