"""Planted results of rows of the papers' tables, as the evaluation command writes them."""

import json
from pathlib import Path
from typing import Any

from mann.papers.recipes import PAPERS
from mann.papers.results import result_path
from mann.papers.row_runs import run_settings
from mann.settings.storage import plain

TABLES, ROWS = PAPERS
Content = dict[str, Any]


def content_of(name: str, seed: int, **accuracies: float) -> Content:
    """Return a result of a row; accuracies: such as at2=0.9, with an interval of 0.01 to each side."""
    row = ROWS[name]
    table, measurement = TABLES[row.table], row.evaluation
    figures = [
        {"accuracy": value, "low": value - 0.01, "high": value + 0.01, "observations": 10}
        | ({"instance": int(at[2:])} if table.ways is None else {"shots": int(at[2:]), "ways": table.ways})
        for at, value in accuracies.items()
    ]
    settings = plain(run_settings(PAPERS, name, seed, Path("runs"), Path("../omniglot")))
    training = {
        "settings": settings,
        "seed": seed,
        "episodes": 100,
        "seconds": 120.0 + 60 * seed,
        "environment": {"command": "train.py", "commit": "aaa"},
    }
    return {
        **table.content,
        "episodes": measurement.episodes,
        **({"queries": measurement.queries} if measurement.few_shot else {}),
        "alphabets": measurement.alphabets or row.training.alphabets,
        "memory": row.training.memory,
        ("instances" if table.ways is None else "results"): figures,
        "training": training if row.seeds else None,
        "environment": {"command": "evaluate.py runs/x", "commit": "bbb"},
    }


def store(folder: Path, name: str, seed: int, content: Content) -> None:
    """Store the result of a row and a seed."""
    path = result_path(folder, name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def with_counts(content: Content, right: list[list[int]], of: str = "these") -> Content:
    """Return a result with the number of right answers of two in each episode, at each of its places."""
    columns = [" ".join(map(str, column)) for column in right]
    return {**content, "counts": {"of": of, "right": columns, "shown": [" ".join("2" * len(right[0]))] * len(right)}}
