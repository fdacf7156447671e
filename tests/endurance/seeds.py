"""Many seeds at twice the learning rate: does a loss or a gradient ever stop being finite?"""

import shutil
import statistics
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from episodes.algorithmic.copy import Copy
from mann.problems.opening import open_problem
from mann.runs.run import Run
from mann.settings.schema import AnyConfig, checked, preset
from mann.training.loop import NotFiniteError, fit

STEPS = 250
_SMALL: Mapping[str, Any] = MappingProxyType({"hidden_size": 32, "slots": 16, "word_size": 12, "warm_up": 0})
SUBJECTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "copy": {**_SMALL, "sizes": Copy(bits=4, longest=8), "batch": 16, "episodes": 16 * STEPS},
        "strokes": {**_SMALL, "size": 10, "presentations": 5, "batch": 8, "episodes": 8 * STEPS},
    }
)
"""What is trained: changes to the defaults, by task or data set."""


def endure_seeds(count: int, folder: Path, report: Callable[[int], None]) -> dict[str, Any]:
    """Train each of `SUBJECTS` with the seeds 0, 1, ... at twice its learning rate, without a warm-up.

    Returns, for each, what the training ended with, and what was not finite by seed.

    Args:
        count: Seeds.
        folder: Where the trainings go; removed afterwards.
        report: Called with the trainings done.
    """
    found = {}
    for place, (name, changes) in enumerate(SUBJECTS.items()):
        default = preset(name)
        faster = replace(default, **changes, learning_rate=2 * default.learning_rate)
        losses, failures = [], {}
        for seed in range(count):
            ended = _trained(replace(faster, seed=seed), folder)
            if isinstance(ended, float):
                losses.append(ended)
            else:
                failures[seed] = str(ended)
            report(place * count + seed + 1)
        found[name] = {
            "learning_rate": faster.learning_rate,
            "steps": faster.steps,
            "not_finite": failures,
            "last_loss": {"median": statistics.median(losses), "low": min(losses), "high": max(losses)}
            if losses
            else None,
        }
    return {"seeds": count, "subjects": found}


def _trained(config: AnyConfig, folder: Path) -> float | NotFiniteError:
    """Train; returns the last loss, or what was not finite."""
    run = Run(folder / "run")
    try:
        fit(open_problem(checked(config), run, torch.device("cpu")), config, run)
        return run.metrics()[-1]["loss"]
    except NotFiniteError as error:
        return error
    finally:
        shutil.rmtree(run.folder)
