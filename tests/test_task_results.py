"""The figures that docs/tasks.md shows are those of the stored results."""

import json
from pathlib import Path
from typing import Any

import pytest

from mann.evaluation.answers import answers_of
from mann.settings import TaskConfig, preset
from mann.settings.presets import TASK_PRESETS

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = sorted((REPOSITORY / "docs" / "results" / "tasks").glob("*.json"))
PAGE = (REPOSITORY / "docs" / "tasks.md").read_text()
SHOWN: dict[str, list[dict[str, int]]] = {
    "copy": [{"length": 20}, {"length": 50}, {"length": 120}],
    "repeat-copy": [{}, {"length": 20, "repeats": 10}, {"repeats": 20, "length": 10}],
    "associative-recall": [{}, {"items": 12}, {"items": 20}],
    "ngrams": [{}],
    "priority-sort": [{}],
    "regression": [{}],
}
"""For each task, the sizes of the columns."""


def kind(path: Path) -> str:
    """Return the page's name for the model."""
    return "LSTM" if "-lstm-" in path.name else "ours"


def number(value: float) -> str:
    """Return a number with three significant digits."""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def row(path: Path) -> str:
    """Return the row of a table that shows a stored result."""
    result = json.loads(path.read_text())
    cost = answers_of(result["task"]).main
    by_setting = {json.dumps(entry["setting"]): entry for entry in result["results"]}
    cells = []
    for setting in SHOWN[result["task"]]:
        entry = by_setting[json.dumps(setting)]
        references = entry.get("references", {})
        optimum = references.get("Bayes estimate") or references.get("exact posterior")
        if optimum:
            low, high = (f"{end:+.2f}" for end in optimum["interval"])
            above = f"{optimum['above']:+.2f} ({low} to {high})"
            cells += [f"{entry[cost]:.1f}", f"{optimum['cost']:.1f}", above]
        else:
            low, high = map(number, entry["intervals"][cost])
            cells.append(f"{number(entry[cost])} ({low} to {high}); {100 * entry['exact_sequences']:.2f}%")
    training = result["training"]
    return f"| {kind(path)}, seed {training['seed']} | {' | '.join(cells)} | {training['seconds'] / 60:.1f} |"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_page_shows_what_is_stored(path: Path) -> None:
    assert row(path) in PAGE


def test_every_row_of_the_page_is_stored() -> None:
    shown = [line for line in PAGE.splitlines() if line.startswith(("| ours, seed ", "| LSTM, seed "))]
    assert sorted(shown) == sorted(map(row, RESULTS))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_stored_result_is_of_the_settings_that_are_the_default(path: Path) -> None:
    result: dict[str, Any] = json.loads(path.read_text())
    config = preset(result["task"], "lstm" if kind(path) == "LSTM" else "default")
    assert isinstance(config, TaskConfig) and result["task"] in TASK_PRESETS["default"]
    assert result["sequences"] >= 1000
    assert result["training"]["episodes"] == config.steps * config.batch
    words = set(result["training"]["environment"]["command"].split()[2:])
    assert all(word in ("--run", "--seed", "--preset", "lstm") or not word.startswith("--") for word in words)
