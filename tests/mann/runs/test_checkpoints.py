"""Checkpoints: one that is not whole is never taken for a whole one, and a whole one is never lost."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from data import InputError
from mann.runs import Checkpoint, Run, read_checkpoint
from mann.runs.run import KEPT_CHECKPOINTS
from tests.mann.runs.conftest import Make, last


def names(run: Run) -> list[str]:
    """Return the names in the folder of the checkpoints."""
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_a_checkpoint_is_read_bit_for_bit(tiny_run: Run, checkpoint: Make) -> None:
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
    assert names(tiny_run) == ["000000100", "000001000"]
    assert len(names(tiny_run)) == KEPT_CHECKPOINTS


def test_a_step_saved_twice_is_kept(tiny_run: Run, checkpoint: Make) -> None:
    tiny_run.save(checkpoint(5))
    tiny_run.save(checkpoint(5))
    assert names(tiny_run) == ["000000005"]
    assert last(tiny_run).step == 5


class Weights(Mapping[str, Tensor]):
    """Weights that call a function when they are read."""

    def __init__(self, when_read: Callable[[], None]):
        self.when_read = when_read

    def __getitem__(self, name: str) -> Tensor:
        self.when_read()
        return torch.ones(2)

    def __iter__(self) -> Iterator[str]:
        return iter(["weight"])

    def __len__(self) -> int:
        return 1


def cut(*_: object) -> None:
    """Fail as a process does that is interrupted."""
    raise KeyboardInterrupt


class Cut:
    """Interrupts the process that serialises it."""

    def __reduce__(self) -> str:
        raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["weights", "training", "fsync"])
def test_a_save_that_is_cut_off_leaves_the_checkpoint_before(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    tiny_run.save(checkpoint(1))
    step, config, weights, training = (getattr(checkpoint(2), name) for name in Checkpoint.__annotations__)
    if where == "weights":
        weights = Weights(cut)
    elif where == "training":
        training = {"optimizer": Cut()}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        if where == "fsync":
            patched.setattr(os, "fsync", cut)
        tiny_run.save(Checkpoint(step, config, weights, training))
    assert len(names(tiny_run)) == 2  # the leftover
    assert last(tiny_run).step == tiny_run.steps_done() == 1
    (tiny_run.checkpoints / ".DS_Store").write_text("a file, no folder")
    tiny_run.save(checkpoint(2))
    assert names(tiny_run) == [".DS_Store", "000000001", "000000002"]
    assert last(tiny_run).step == 2


def test_files_reach_the_disk_before_the_checkpoint_has_its_name(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[tuple[int, int]] = []
    flush = os.fsync

    def record(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, tiny_run.steps_done()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    tiny_run.save(checkpoint(3))
    folder = tiny_run.checkpoints / "000000003"
    inner = [folder / "weights.safetensors", folder / "training.pt", folder]  # renaming keeps their numbers
    *before, after = flushed
    assert sorted(before) == sorted((path.stat().st_ino, 0) for path in inner)
    assert after == (tiny_run.checkpoints.stat().st_ino, 3)


def test_a_full_disk_leaves_nothing_of_a_checkpoint_and_the_one_before(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    tiny_run.save(checkpoint(1))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(InputError) as refusal, tiny_run.written():
            tiny_run.save(checkpoint(2))
    assert str(refusal.value) == (
        f"run folder {tiny_run.folder} cannot be written to (No space left on device); its last whole checkpoint is of "
        "step 1: put that right, then continue with `resume`"
    )
    assert names(tiny_run) == ["000000001"]
    assert last(tiny_run).step == 1
    tiny_run.save(checkpoint(2))
    assert last(tiny_run).step == 2


def test_leftovers_make_room_before_a_checkpoint_is_written(tiny_run: Run, checkpoint: Make) -> None:
    leftover = tiny_run.checkpoints / ".half"
    leftover.mkdir()
    seen: list[bool] = []
    one = checkpoint(1)
    tiny_run.save(Checkpoint(1, one.config, Weights(lambda: seen.append(leftover.exists())), one.training))
    assert seen == [False]
    assert last(tiny_run).step == 1


def test_a_checkpoint_whose_deletion_is_cut_off_has_no_name_of_a_whole_one(
    tiny_run: Run, checkpoint: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_run.save(checkpoint(1))
    tiny_run.save(checkpoint(2))

    def cut_off(path: Path, **_: object) -> None:
        (path / "training.pt").unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(shutil, "rmtree", cut_off)
        tiny_run.save(checkpoint(3))
    for path in tiny_run.checkpoints.glob("[0-9]*"):
        assert read_checkpoint(path).step == int(path.name)
    tiny_run.save(checkpoint(4))
    assert names(tiny_run) == ["000000003", "000000004"]


class Harmful:
    """Would make a folder when unpickled."""

    def __init__(self, path: str):
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("file", ["weights.safetensors", "training.pt"])
@pytest.mark.parametrize("damage", ["cut", "empty", "garbage", "missing", "pickle", "list"])
def test_a_damaged_newest_checkpoint_is_named(
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
    shutil.rmtree(path.parent)
    assert last(tiny_run).step == 1


@pytest.mark.parametrize("missing", ["step", "config"])
def test_a_checkpoint_without_a_step_or_settings_is_damaged(tiny_run: Run, checkpoint: Make, missing: str) -> None:
    tiny_run.save(checkpoint(2))
    path = tiny_run.checkpoints / "000000002" / "training.pt"
    training = torch.load(path, weights_only=True)
    del training[missing]
    torch.save(training, path)
    with pytest.raises(InputError, match="checkpoint .*000000002 is damaged .*delete that folder"):
        tiny_run.last_checkpoint()


def test_the_state_before_a_step_that_is_not_finite_is_kept_apart(tiny_run: Run, checkpoint: Make) -> None:
    tiny_run.save(checkpoint(1))
    folder = tiny_run.keep_nonfinite(checkpoint(2))
    assert folder == tiny_run.nonfinite / "000000002"
    assert read_checkpoint(folder).step == 2
    assert tiny_run.steps_done() == 1
