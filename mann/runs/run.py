"""The folder of a run.

Files are written to a temporary name and renamed, so that a file under its final name is whole.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout
from torch import nn

from data import InputError, Split, parse_json
from mann.runs.checkpoints import (
    Checkpoint,
    checkpoint_folder,
    delete_leftovers,
    delete_oldest,
    read_checkpoint,
    whole_checkpoints,
    write_checkpoint,
)
from mann.runs.metrics import metrics_from_lines
from mann.settings import AnyConfig, config_json, differences, read_config
from mann.settings.storage import plain
from mann.support.files import write_text

KEPT_CHECKPOINTS: Final = 2


@dataclass(frozen=True)
class Run:
    """A run folder; the docstring of `mann.runs` lists its files.

    Attributes:
        folder: The folder, which need not exist before `start`.
    """

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
        """The split as of the start of the run, whatever has changed in the data or a split file since."""
        return self.folder / "split.json"

    @property
    def nonfinite(self) -> Path:
        """Folder of the states before a step that was not finite."""
        return self.folder / "nonfinite"

    def exists(self) -> bool:
        """Tell whether a run was started in this folder."""
        return (self.folder / "config.json").exists()

    def config(self) -> AnyConfig:
        """Return the settings of the run.

        Raises:
            InputError: this is no run folder, or its settings are damaged.
        """
        return read_config(self.folder / "config.json")

    def start(self, config: AnyConfig, split: Split | None, environment: Mapping[str, Any]) -> None:
        """Make the folder and write the settings, the split and the environment; tasks have no split.

        Raises:
            InputError: the folder cannot be made or written to, or holds a run, or another process works in it.
        """
        if self.steps_done():
            raise InputError(f"{self.folder} holds checkpoints but no config.json: choose another `run`")
        try:
            self.checkpoints.mkdir(parents=True, exist_ok=True)
            with self.locked():
                if self.exists():  # since the caller looked: of two processes that start a run, one does
                    raise self.taken()
                write_text(self.folder / "environment.json", json.dumps(environment, indent=2) + "\n")
                if split is not None:
                    write_text(self.split_path, json.dumps(split._asdict()) + "\n")
                # Last, because it is what makes the folder a run.
                write_text(self.folder / "config.json", config_json(config))
        except OSError as error:
            raise InputError(
                f"run folder {self.folder} cannot be made ({error.strerror}): choose another `run`"
            ) from error

    def taken(self) -> InputError:
        """Return the refusal to start a run in a folder that holds one."""
        return InputError(f"{self.folder} holds a run already: add `resume` to continue, or choose another `run`")

    def refuse_other(self, config: AnyConfig) -> None:
        """Check that the run here has these settings.

        Raises:
            InputError: names the settings that differ.
        """
        found = differences(self.config(), config)
        if found:
            raise InputError(
                f"{self.folder} holds a run with other settings ({'; '.join(found)}): "
                "leave these options as they were, or choose another `run`"
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
        """Return the history of the training: settings, seed, episodes, seconds and environment.

        Raises:
            InputError: config.json, environment.json or the metrics are damaged.
        """
        config, path = self.config(), self.folder / "environment.json"
        last = self.metrics()[-1:] or [{"episodes": 0, "seconds": 0.0}]
        try:
            environment = parse_json(path.read_bytes()) if path.exists() else None
        except ValueError as error:
            raise InputError(f"{path} is damaged ({error}): repair or delete it") from error
        return {
            "settings": plain(config),
            "seed": config.seed,
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
        delete_leftovers(self.checkpoints)  # first: they may be what fills the disk
        write_checkpoint(checkpoint, self.checkpoints)
        delete_oldest(self.checkpoints, KEPT_CHECKPOINTS)

    def keep_nonfinite(self, checkpoint: Checkpoint) -> Path:
        """Write the state before a step that was not finite, for inspection; returns its folder.

        Raises:
            OSError: it cannot be written.
        """
        self.nonfinite.mkdir(exist_ok=True)
        return write_checkpoint(checkpoint, self.nonfinite)

    def steps_done(self) -> int:
        """Return the step of the newest checkpoint, 0 if there is none."""
        return max((int(path.name) for path in whole_checkpoints(self.checkpoints)), default=0)

    def last_checkpoint(self) -> Checkpoint | None:
        """Return the newest checkpoint, or None.

        Raises:
            InputError: it is damaged, or config.json has been changed since the run started.
        """
        saved = whole_checkpoints(self.checkpoints)
        if not saved:
            return None
        checkpoint = read_checkpoint(saved[-1])
        found = differences(self.config(), checkpoint.config)
        if found:
            raise InputError(
                f"{self.folder / 'config.json'} was changed after the run had started ({'; '.join(found)}): "
                "put it back as it was"
            )
        return checkpoint

    def restore(self, model: nn.Module) -> Checkpoint | None:
        """Load the newest checkpoint's weights into `model`; returns that checkpoint, or None if there is none.

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
        """Load the newest checkpoint's weights into `model`.

        Raises:
            InputError: there is none, it is damaged, or is not of such a model.
        """
        if self.restore(model) is None:
            raise InputError(f"{self.folder} holds no checkpoint yet: train it first")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training this run; the lock ends with the process, however that ends.

        Raises:
            InputError: another process trains it.
        """
        try:
            with FileLock(self.folder / ".lock", blocking=False):
                yield
        except Timeout as error:
            raise InputError(
                f"{self.folder} is being trained by another process: wait for it, or choose another `run`"
            ) from error

    @contextmanager
    def written(self) -> Iterator[None]:
        """Turn an `OSError` (disk full, read-only, deleted) into an error that reports which checkpoint is left.

        Raises:
            InputError: a file could not be written.
        """
        try:
            yield
        except OSError as error:
            steps = self.steps_done()
            held = f"its last whole checkpoint is of step {steps}" if steps else "it holds no checkpoint"
            raise InputError(
                f"run folder {self.folder} cannot be written to ({error.strerror or error}); {held}: "
                "put that right, then continue with `resume`"
            ) from error

    def unfit(self, error: Exception) -> InputError:
        """Return the refusal of a whole checkpoint that does not fit the run's config.json."""
        return InputError(
            f"the checkpoint in {self.folder} does not fit its config.json ({str(error).splitlines()[-1].strip()}): "
            "start again with another `run`"
        )


class RunReader(Run):
    """A run that the main process of the group writes; this process reads it and writes nothing."""

    def start(self, config: AnyConfig, split: Split | None, environment: Mapping[str, Any]) -> None:
        """Do nothing: the main process does this."""

    def keep_metrics_until(self, step: int) -> None:
        """Do nothing: the main process does this."""

    def log(self, line: Mapping[str, Any]) -> None:
        """Do nothing: the main process does this."""

    def save(self, checkpoint: Checkpoint) -> None:
        """Do nothing: the main process does this."""

    def keep_nonfinite(self, checkpoint: Checkpoint) -> Path:
        """Return the folder to which the main process writes it."""
        return checkpoint_folder(checkpoint, self.nonfinite)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Take no lock: the main process holds it."""
        yield
