"""The figures that the README shows are those of the stored results."""

import json
import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = sorted((REPOSITORY / "docs" / "results").glob("omniglot-seed*.json"))
SHOWN = (1, 2, 3, 4, 5, 10)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def readme_rows() -> dict[str, list[str]]:
    rows = re.findall(r"^\| (ours, seed \d+|MANN \(paper\)) \|(.*)\|$", (REPOSITORY / "README.md").read_text(), re.M)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_row_of_the_readme_says_what_the_stored_result_says(path: Path) -> None:
    result = json.loads(path.read_text())
    instances = {entry["instance"]: entry for entry in result["instances"]}
    seed = path.stem.removeprefix("omniglot-seed")
    expected = [
        f"{percent(instances[k]['accuracy'])} ({percent(instances[k]['low'])}-{percent(instances[k]['high'])})"
        for k in SHOWN
    ]
    assert readme_rows()[f"ours, seed {seed}"] == expected


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_stored_result_is_of_test_classes_and_says_how_it_was_made(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["split"] == "test"
    assert result["episodes"] >= 2000
    assert all(entry["observations"] == 5 * result["episodes"] for entry in result["instances"])
    assert result["training"]["seed"] == int(path.stem.removeprefix("omniglot-seed"))
    assert {"commit", "device", "threads", "command"} <= set(result["environment"])


def test_every_seed_of_the_readme_has_a_stored_result() -> None:
    shown = {name.removeprefix("ours, seed ") for name in readme_rows() if name.startswith("ours")}
    assert shown == {path.stem.removeprefix("omniglot-seed") for path in RESULTS}
