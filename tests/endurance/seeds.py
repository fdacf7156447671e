"""Trainings with many seeds at twice the learning rate: the loss and the gradients must stay finite."""

import shutil
import statistics
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from episodes.algorithmic.copy import Copy
from mann.problems import open_problem
from mann.runs import Run
from mann.settings import AnyConfig, Options, preset
from mann.training import NotFiniteError, fit
from tests.endurance import OnProgress

STEPS = 250
_SMALL: Final[Options] = {"hidden_size": 32, "slots": 16, "word_size": 12, "warm_up": 0}
SUBJECTS: Final[Mapping[str, Options]] = {
    "copy": {**_SMALL, "sizes": Copy(bits=4, longest=8), "batch": 16, "episodes": 16 * STEPS},
    "strokes": {**_SMALL, "size": 10, "presentations": 5, "batch": 8, "episodes": 8 * STEPS},
}
"""The trainings by task or data set: changes to its defaults."""


def endure_seeds(
    count: int,
    folder: Path,
    progress: OnProgress,
    subjects: Mapping[str, Options] = SUBJECTS,
    faster: float = 2.0,
) -> dict[str, object]:
    """Train each of the subjects with the seeds 0, 1, ... at a multiple of its learning rate, without a warm-up.

    Args:
        count: Number of seeds.
        folder: Where the runs are stored; they are deleted afterwards.
        progress: Receives the number of trainings so far.
        subjects: Changes to the defaults, by task or data set.
        faster: Factor of the learning rate.

    Returns:
        For each subject the range of the last losses, and by seed the message about a value that was not finite.
    """
    found = {}
    for place, (name, changes) in enumerate(subjects.items()):
        config = preset(name, **changes)
        config = replace(config, learning_rate=faster * config.learning_rate)
        losses, failures = [], {}
        for seed in range(count):
            ended = _train(replace(config, seed=seed), folder)
            if isinstance(ended, float):
                losses.append(ended)
            else:
                failures[seed] = str(ended)
            progress(place * count + seed + 1)
        found[name] = {
            "learning_rate": config.learning_rate,
            "steps": config.steps,
            "not_finite": failures,
            "last_loss": {"median": statistics.median(losses), "low": min(losses), "high": max(losses)}
            if losses
            else None,
        }
    return {"seeds": count, "subjects": found}


def _train(config: AnyConfig, folder: Path) -> float | NotFiniteError:
    """Train; returns the last loss, or the error about a value that was not finite."""
    run = Run(folder / "run")
    try:
        fit(open_problem(config, run, torch.device("cpu")), config, run)
        return run.metrics()[-1]["loss"]
    except NotFiniteError as error:
        return error
    finally:
        shutil.rmtree(run.folder)
