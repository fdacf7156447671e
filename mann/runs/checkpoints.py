"""Checkpoints: the weights, and everything else that the next training step depends on.

    STEP/weights.safetensors    the `state_dict` of the model
    STEP/training.pt            step, config     the number of steps done; the settings, as the text of config.json
                                optimizer        the `state_dict` of the optimiser
                                sums             of loss and counts since the last line of metrics
                                norms            gradient norms of the last 100 steps
                                carry            the tensors of the persistent memory; empty where it is wiped
                                seconds          of training so far

STEP has nine digits. `training.pt` loads without unpickling code. There is no random state to store: episodes depend on
the seed and the step alone.
"""

import io
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as safetensors
from torch import Tensor

from data import InputError
from mann.settings import AnyConfig, config_from_json, config_json
from mann.support.files import flush_to_disk
from mann.support.messages import first_line


@dataclass(frozen=True)
class Checkpoint:
    """The state of a training after a step.

    Attributes:
        step: Steps done.
        config: The settings that led here.
        weights: The `state_dict` of the model.
        training: The rest, as `TrainingState.checkpoint` makes it: tensors, numbers and strings in plain containers, so
            that they load without unpickling code.
    """

    step: int
    config: AnyConfig
    weights: Mapping[str, Tensor]
    training: Mapping[str, Any]


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: it is damaged.
    """
    try:
        weights = load_file(folder / "weights.safetensors")
        training = torch.load(folder / "training.pt", weights_only=True, map_location="cpu")
        config = config_from_json(training.pop("config"), "its settings")
        if "carried" in training:  # the name in mann 0.1.0
            training["carry"] = training.pop("carried")
        return Checkpoint(training.pop("step"), config, weights, training)
    except Exception as error:  # damaged content makes the two loaders raise almost anything
        raise InputError(
            f"checkpoint {folder} is damaged ({first_line(error)}): delete that folder to continue from the one before"
        ) from error


def write_checkpoint(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write a checkpoint into a folder of its own below `folder`, whole or not at all; returns that folder.

    Raises:
        OSError: it cannot be written.
    """
    final = checkpoint_folder(checkpoint, folder)
    if final.exists():  # written earlier by this run: the same step has the same content
        return final
    temporary = folder / f".{uuid.uuid4().hex}"
    temporary.mkdir()
    try:
        # Both in memory first: the libraries' own file writers raise other errors than OSError on a full disk.
        (temporary / "weights.safetensors").write_bytes(safetensors(dict(checkpoint.weights)))
        training = io.BytesIO()
        position = {"step": checkpoint.step, "config": config_json(checkpoint.config)}
        torch.save({**position, **checkpoint.training}, training)
        (temporary / "training.pt").write_bytes(training.getvalue())
        for path in (*temporary.iterdir(), temporary):
            flush_to_disk(path)
        # The rename is what makes the checkpoint exist: before it, a kill leaves a hidden folder, which is ignored.
        temporary.rename(final)
        flush_to_disk(folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def checkpoint_folder(checkpoint: Checkpoint, folder: Path) -> Path:
    """Return the folder of a checkpoint below `folder`."""
    return folder / f"{checkpoint.step:09d}"


def whole_checkpoints(folder: Path) -> list[Path]:
    """Return the folders of whole checkpoints, the oldest first."""
    return sorted(path for path in folder.glob("[0-9]" * 9) if path.is_dir())


def delete_oldest(folder: Path, kept: int) -> None:
    """Delete all checkpoints but the last `kept`."""
    for old in whole_checkpoints(folder)[:-kept]:
        # Renamed first: a kill while the files are deleted must not leave half a checkpoint under a valid name.
        old.rename(old.with_name(f".{old.name}"))
    delete_leftovers(folder)


def delete_leftovers(folder: Path) -> None:
    """Delete checkpoints that were cut off while being written or deleted."""
    for leftover in folder.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)  # a file manager's hidden file is no folder, and stays
