"""The folder of a run: what it holds, and how it is written so that nothing is lost.

    config.json         everything needed to rebuild the run
    split.json          the classes that it may learn from, and those that it may not
    environment.json    versions, commit, device, command
    metrics.jsonl       a line per logged step
    tensorboard/        the same for TensorBoard
    checkpoints/        STEP/weights.safetensors and STEP/training.pt, the last few
    nonfinite/          the same, of the step before a loss or a gradient that was not finite
    .lock               held while a process trains the run
    evaluation.json     and *.csv, *.png, after an evaluation

Files are written to a temporary name and renamed, so that what has its final name is whole.
"""

import io
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch
from annotated_types import Ge
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from safetensors.torch import load_file
from safetensors.torch import save as safetensors
from torch import Tensor, nn

from data import InputError, Split, parse_json
from mann.settings.schema import AnyConfig, config_from_json, config_json, differing, read_config
from mann.support.files import flush_to_disk, write_text

KEPT_CHECKPOINTS = 2


@dataclass(frozen=True)
class Checkpoint:
    """Where a run stands: the network's weights, and everything else that the next step depends on.

    Attributes:
        step: Steps done.
        config: The settings that led here.
        weights: The `state_dict` of the classifier.
        training: Tensors, numbers and strings in plain containers: loads without unpickling code.
    """

    step: int
    config: AnyConfig
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any]


Figures = dict[Annotated[str, StringConstraints(min_length=1)], float | None]


class Line(BaseModel):
    """What a line of metrics has to be, whatever else it holds: figures, or groups of figures."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, float | None | Figures]  # pyright: ignore[reportIncompatibleVariableOverride]
    step: Annotated[int, Ge(1)]
    episodes: Annotated[int, Ge(1)]
    seconds: Annotated[float, Ge(0)]


def metrics_from_lines(content: bytes, source: str) -> list[dict[str, Any]]:
    """Return lines of metrics; a last one that was cut off while being written is left out.

    Raises:
        InputError: another line is damaged; `source` says where it was.
    """
    *lines, _ = content.split(b"\n")  # the last is empty or torn: a whole line ends with one
    metrics = []
    for number, line in enumerate(lines, 1):
        try:
            step = Line.model_validate_json(line).step
            if metrics and step <= metrics[-1]["step"]:
                raise ValueError(f"step {step} comes after step {metrics[-1]['step']}")
            metrics.append(parse_json(line))
        except ValueError as error:
            raise InputError(
                f"{source} is damaged (line {number}: {what_is_wrong(error)}): repair or delete it"
            ) from error
    return metrics


@dataclass(frozen=True)
class Run:
    """A run folder."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    @property
    def metrics_path(self) -> Path:
        """The metrics, a JSON object a line."""
        return self.folder / "metrics.jsonl"

    @property
    def split_path(self) -> Path:
        """The split as it was when the run started, whatever becomes of the data or of a split file since."""
        return self.folder / "split.json"

    @property
    def nonfinite(self) -> Path:
        """Folder of the states before a step that was not finite."""
        return self.folder / "nonfinite"

    def exists(self) -> bool:
        """Tell whether a run was started here."""
        return (self.folder / "config.json").exists()

    def config(self) -> AnyConfig:
        """Return the settings of the run.

        Raises:
            InputError: this is no run folder, or its settings are damaged.
        """
        return read_config(self.folder / "config.json")

    def start(self, config: AnyConfig, split: Split | None, environment: Mapping[str, Any]) -> None:
        """Make the folder and write what the run is; tasks have no split.

        Raises:
            InputError: the folder cannot be made or written to, or holds a run, or another process works in it.
        """
        if self.steps_done():
            raise InputError(f"{self.folder} holds checkpoints but no config.json: choose another --run")
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if self.exists():  # since somebody looked: of two processes that start a run, one does
                    raise self.taken()
                write_text(self.folder / "environment.json", json.dumps(environment, indent=2) + "\n")
                if split is not None:
                    write_text(self.split_path, json.dumps(split._asdict()) + "\n")
                # Last, because it is what makes the folder a run.
                write_text(self.folder / "config.json", config_json(config))
        except OSError as error:
            raise InputError(
                f"run folder {self.folder} cannot be made ({error.strerror}): choose another --run"
            ) from error

    def taken(self) -> InputError:
        """Return the refusal to start a run where there is one."""
        return InputError(f"{self.folder} holds a run already: add --resume to go on, or choose another --run")

    def refuse_other(self, config: AnyConfig) -> None:
        """Check that the run here has these settings.

        Raises:
            InputError: names the settings that differ.
        """
        differences = differing(self.config(), config)
        if differences:
            raise InputError(
                f"{self.folder} holds a run with other settings ({'; '.join(differences)}): "
                "leave these options as they were, or choose another --run"
            )

    def metrics(self) -> list[dict[str, Any]]:
        """Return the logged lines; a last line that was cut off while being written is left out.

        Raises:
            InputError: another line is damaged.
        """
        if not self.metrics_path.exists():
            return []
        return metrics_from_lines(self.metrics_path.read_bytes(), str(self.metrics_path))

    def history(self) -> dict[str, Any]:
        """Return how the run came about: its seed, how far it is, what that took and where.

        Raises:
            InputError: config.json, environment.json or the metrics are damaged.
        """
        last = self.metrics()[-1:] or [{"episodes": 0, "seconds": 0.0}]
        environment = _json_of(self.folder / "environment.json", "repair or delete it")
        return {
            "seed": self.config().seed,
            "episodes": last[0]["episodes"],
            "seconds": last[0]["seconds"],
            "environment": environment,
        }

    def keep_metrics_until(self, step: int) -> None:
        """Drop the lines after `step`, which will be written again."""
        kept = [line for line in self.metrics() if line["step"] <= step]
        write_text(self.metrics_path, "".join(json.dumps(line) + "\n" for line in kept))

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to the metrics."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())  # before the checkpoint that it leads to

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, whole or not at all, and delete all but the last few.

        Raises:
            OSError: it cannot be written; the checkpoints before are as they were.
        """
        _remove_leftovers(self.checkpoints)  # first: they may be what fills the disk
        _store(checkpoint, self.checkpoints)
        for old in _stored(self.checkpoints)[:-KEPT_CHECKPOINTS]:
            old.rename(old.with_name(f".{old.name}"))  # first: half a checkpoint must not have the name of a whole one
        _remove_leftovers(self.checkpoints)

    def keep_nonfinite(self, checkpoint: Checkpoint) -> Path:
        """Write the state before a step that was not finite, for inspection; returns its folder.

        Raises:
            OSError: it cannot be written.
        """
        self.nonfinite.mkdir(exist_ok=True)
        return _store(checkpoint, self.nonfinite)

    def steps_done(self) -> int:
        """Return the step of the newest checkpoint, 0 if there is none."""
        return max((int(path.name) for path in _stored(self.checkpoints)), default=0)

    def last_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint, or None.

        Raises:
            InputError: it is damaged, or config.json is no longer what led to it.
        """
        saved = _stored(self.checkpoints)
        if not saved:
            return None
        checkpoint = read_checkpoint(saved[-1])
        differences = differing(self.config(), checkpoint.config)
        if differences:
            raise InputError(
                f"{self.folder / 'config.json'} was changed after the run had started ({'; '.join(differences)}): "
                "put it back as it was"
            )
        return checkpoint

    def restore(self, model: nn.Module) -> Checkpoint | None:
        """Put the newest checkpoint's weights into `model`; returns that checkpoint, or None if there is none.

        Raises:
            InputError: it is damaged, or is not of such a model.
        """
        checkpoint = self.last_checkpoint()
        if checkpoint is not None:
            try:
                model.load_state_dict(checkpoint.weights)
            except RuntimeError as error:
                raise self.unfit(error) from error
        return checkpoint

    def load(self, model: nn.Module) -> None:
        """Put the newest checkpoint's weights into `model`.

        Raises:
            InputError: there is none, it is damaged, or is not of such a model.
        """
        if self.restore(model) is None:
            raise InputError(f"{self.folder} holds no checkpoint yet: train it first")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run; the lock goes with the process, however that ends.

        Raises:
            InputError: another process trains it.
        """
        try:
            with FileLock(self.folder / ".lock", blocking=False):
                yield
        except Timeout as error:
            raise InputError(
                f"{self.folder} is being trained by another process: wait for it, or choose another --run"
            ) from error

    @contextmanager
    def written(self) -> Iterator[None]:
        """Say what becomes of the run where its folder cannot be written to: disk full, read-only, deleted.

        Raises:
            InputError: it could not.
        """
        try:
            yield
        except OSError as error:
            steps = self.steps_done()
            held = f"its last whole checkpoint is of step {steps}" if steps else "it holds no checkpoint"
            raise InputError(
                f"run folder {self.folder} cannot be written to ({error.strerror or error}); {held}: "
                "put that right, then go on with --resume"
            ) from error

    def unfit(self, error: Exception) -> InputError:
        """Return the refusal of a checkpoint that is whole, but not of the run that config.json describes."""
        return InputError(
            f"the checkpoint in {self.folder} does not fit its config.json ({str(error).splitlines()[-1].strip()}): "
            "start again with another --run"
        )


class Follower(Run):
    """A run that another process writes: this one reads it, and leaves it as it is."""

    def start(self, config: AnyConfig, split: Split | None, environment: Mapping[str, Any]) -> None:
        """Leave that to the other process."""

    def keep_metrics_until(self, step: int) -> None:
        """Leave that to the other process."""

    def log(self, line: Mapping[str, Any]) -> None:
        """Leave that to the other process."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Leave that to the other process."""

    def keep_nonfinite(self, checkpoint: Checkpoint) -> Path:
        """Return the folder to which the other process writes it."""
        return _place(checkpoint, self.nonfinite)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Leave that to the other process."""
        yield


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        weights = load_file(folder / "weights.safetensors")
        training = torch.load(folder / "training.pt", weights_only=True, map_location="cpu")
        config = config_from_json(training.pop("config"), "the settings in it")
        return Checkpoint(training.pop("step"), config, weights, training)
    except Exception as error:  # damaged content makes the two loaders raise almost anything
        raise InputError(
            f"checkpoint {folder} is damaged ({first_line(error)}): delete that folder to go on from the one before"
        ) from error


def _json_of(path: Path, remedy: str) -> Any:
    """Return what a JSON file says, None where there is none.

    Raises:
        InputError: it is damaged; `remedy` says what to do.
    """
    try:
        return parse_json(path.read_bytes()) if path.exists() else None
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}): {remedy}") from error


def _store(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write a checkpoint into a folder of its own below `folder`, whole or not at all; returns it."""
    final = _place(checkpoint, folder)
    if final.exists():  # written before, by this run: the same step has the same content
        return final
    temporary = folder / f".{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        # Both in memory first: their own writing of files raises other errors than OSError where a disk is full.
        (temporary / "weights.safetensors").write_bytes(safetensors(dict(checkpoint.weights)))
        training = io.BytesIO()
        position = {"step": checkpoint.step, "config": config_json(checkpoint.config)}
        torch.save({**position, **checkpoint.training}, training)
        (temporary / "training.pt").write_bytes(training.getvalue())
        for path in (*temporary.iterdir(), temporary):
            flush_to_disk(path)
        temporary.rename(final)
        flush_to_disk(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _place(checkpoint: Checkpoint, folder: Path) -> Path:
    """Return the folder of a checkpoint below `folder`."""
    return folder / f"{checkpoint.step:09d}"


def _stored(folder: Path) -> list[Path]:
    """Return the folders of whole checkpoints, the oldest first."""
    return sorted(path for path in folder.glob("[0-9]" * 9) if path.is_dir())


def _remove_leftovers(folder: Path) -> None:
    """Remove what was cut off while being written or deleted."""
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)  # what a file manager left is no folder, and may stay


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, its name where it has none."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def what_is_wrong(error: ValueError) -> str:
    """Return what is wrong with the content of a file, and where, in a line."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors()[0]
    return ": ".join((*map(str, first["loc"][:1]), first["msg"]))


def describe_environment(device: torch.device) -> dict[str, Any]:
    """Return what a reader needs to know to repeat a run: versions, commit, device, threads, command."""
    libraries = ("torch", "torchvision", "numpy", "scipy")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "commit": _commit(),
        "device": f"{device.type}: {name}",
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: version(library) for library in libraries},
    }


def _processor() -> str:
    """Return the processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _commit() -> str | None:
    """Return the commit of the code, with "+" if there are changes on top; None outside a repository."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()
