"""The figures that the README shows are those of the stored results."""

import json
import re
from pathlib import Path

import pytest

from mann.papers.recipes import PAPERS
from mann.papers.results import read_results
from mann.reporting.papers_page import PICTURE, page
from mann.settings.storage import config_from_plain

REPOSITORY = Path(__file__).resolve().parent.parent
DOCS = REPOSITORY / "docs"
RESULTS = sorted((DOCS / "results" / "one-hot-5-delta").glob("seed-*.json"))
COLUMNS = (1, 2, 3, 4, 5, 10)


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


def readme_rows() -> dict[str, list[str]]:
    rows = re.findall(r"^\| (ours, seed \d+|MANN \(paper\)) \|(.*)\|$", (REPOSITORY / "README.md").read_text(), re.M)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows}


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_row_of_the_readme_has_the_figures_of_the_stored_result(path: Path) -> None:
    result = json.loads(path.read_text())
    instances = {entry["instance"]: entry for entry in result["instances"]}
    seed = path.stem.removeprefix("seed-")
    expected = [
        f"{percent(instances[k]['accuracy'])} ({percent(instances[k]['low'])}-{percent(instances[k]['high'])})"
        for k in COLUMNS
    ]
    assert readme_rows()[f"ours, seed {seed}"] == expected


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_stored_result_is_of_test_classes_and_tells_how_it_was_made(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["split"] == "test"
    assert result["episodes"] >= 2000
    assert all(entry["observations"] == 5 * result["episodes"] for entry in result["instances"])
    assert result["training"]["seed"] == int(path.stem.removeprefix("seed-"))
    assert {"commit", "device", "threads", "command"} <= set(result["environment"])
    assert config_from_plain(result["training"]["settings"], str(path)).seed == result["training"]["seed"]


def test_every_seed_of_the_readme_has_a_stored_result() -> None:
    shown = {name.removeprefix("ours, seed ") for name in readme_rows() if name.startswith("ours")}
    assert shown == {path.stem.removeprefix("seed-") for path in RESULTS}


def test_the_page_of_results_is_made_from_the_stored_results() -> None:
    assert (DOCS / "results.md").read_text() == page(PAPERS, read_results(DOCS / "results", PAPERS))
    assert (DOCS / "results" / PICTURE).stat().st_size


def test_every_stored_result_is_on_the_page() -> None:
    stored = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "results").glob("*/seed-*.json"))
    assert len(stored) >= 3
    assert sorted(re.findall(r"\[\d+\]\((.*?)\)", (DOCS / "results.md").read_text())) == stored


@pytest.mark.parametrize("path", sorted(DOCS.glob("results/*/seed-*.json")), ids=str)
def test_a_stored_row_is_of_all_test_episodes_and_names_its_folders_beside_the_repository(path: Path) -> None:
    result = json.loads(path.read_text())
    assert result["episodes"] == 2000
    for made in (result, result["training"] or result):
        assert not re.search(r"(^|\s)/", made["environment"]["command"])


COMPARISON = json.loads((REPOSITORY / "docs" / "results" / "addressing.json").read_text())


def test_the_readme_shows_the_stored_comparison() -> None:
    text = (REPOSITORY / "README.md").read_text()
    by_place = {(row["scheme"], row["task"]): row for row in COMPARISON["rows"]}
    for scheme in dict.fromkeys(row["scheme"] for row in COMPARISON["rows"]):
        shown = []
        for task in ("copy", "associative-recall", "omniglot"):
            row = by_place[scheme, task]
            low, median, high = (row["score"][name] for name in ("low", "median", "high"))
            if task == "omniglot":
                low, median, high = (f"{100 * value:.1f}" for value in (low, median, high))
            else:
                low, median, high = (f"{value:.2f}" for value in (low, median, high))
            shown.append(f"{median} ({low}-{high}), {round(row['success_rate'] * row['seeds'])} of {row['seeds']}")
        assert f"| `{scheme}` | {' | '.join(shown)} |" in text
