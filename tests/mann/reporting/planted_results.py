"""The content of an evaluation and of metrics with planted values, and reading CSV files."""

import csv
from pathlib import Path
from typing import Any

INSTANCES = [
    {"instance": 1, "accuracy": 0.361, "low": 0.342, "high": 0.379, "observations": 4321},
    {"instance": 2, "accuracy": 0.777, "low": 0.765, "high": 0.788, "observations": 4320},
    {"instance": 6, "accuracy": 0.912, "low": 0.903, "high": 0.921, "observations": 4300},
    {"instance": 11, "accuracy": 1.0, "low": 0.671, "high": 1.0, "observations": 8},
]


METRICS = [
    {
        "step": step,
        "episodes": 16 * step,
        "seconds": step / 10,
        "loss": 1.5,
        "learning_rate": 0.001,
        "accuracy": {"1": 0.21, "2": 0.2 + step / 1000, "10": 0.3 + step / 1000},
    }
    for step in (100, 200, 300, 400)
]
METRICS[1]["validation"] = {"1": 0.19, "2": 0.33}


def evaluation_content(dataset: str = "omniglot", labels: str = "one-hot", classes: int = 5) -> dict[str, Any]:
    """Return the content of an evaluation.json."""
    return {
        "task": dataset,
        "dataset": dataset,
        "split": "test",
        "episodes": 864,
        "classes": classes,
        "labels": labels,
        "instances": INSTANCES,
    }


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
