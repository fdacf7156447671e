"""The figures of docs/speed.md and the stored tables are those of the stored results."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mann.benchmark import samplers, speed
from mann.benchmark.writing import flat
from mann.reporting.pictures import write_csv

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "docs" / "results"
PAGE = (REPOSITORY / "docs" / "speed.md").read_text()

Rows = Mapping[tuple[str, str], Mapping[str, Any]]


def stored(folder: str) -> list[dict[str, Any]]:
    """Return the rows of a stored comparison of speed."""
    return json.loads((RESULTS / folder / "speed.json").read_text())["rows"]


def ends(row: Mapping[str, Any]) -> list[float]:
    """Return the relative speed of a row, and the ends of its interval."""
    return [row["ratio"][end] for end in ("median", "low", "high")]


def ratio(row: Mapping[str, Any]) -> str:
    """Return the relative speed of a row as text."""
    return "{:.2f} ({:.2f}-{:.2f})".format(*ends(row))


def line(name: str, rows: Rows) -> str:
    """Return the row of a workload as the page has it."""
    names = ("reference", "fast", "floor", "lstm", "dnc")
    reference, fast, floor, lstm, dnc = (rows[name, implementation] for implementation in names)
    milliseconds = [f"{row['milliseconds']['median']:.1f}" for row in (reference, fast, floor)]
    ratios = [ratio(row) for row in (fast, floor, lstm, dnc)]
    memory = f"{fast['peak_memory_mib']:.0f} of {reference['peak_memory_mib']:.0f}"
    return f"| `{name}` | {' | '.join([*milliseconds, *ratios, memory])} |"


@pytest.mark.parametrize("folder", ["speed", "speed-growth"])
def test_the_stored_table_and_csv_are_those_of_the_stored_rows(folder: str, tmp_path: Path) -> None:
    rows = stored(folder)
    assert (RESULTS / folder / "speed.md").read_text() == speed.markdown(rows)
    lines = [flat(row) for row in rows]
    write_csv(tmp_path / "speed.csv", list(lines[0]), lines)
    assert (RESULTS / folder / "speed.csv").read_bytes() == (tmp_path / "speed.csv").read_bytes()


def test_the_stored_table_of_samplers_is_that_of_the_stored_result() -> None:
    found = json.loads((RESULTS / "episodes" / "episodes.json").read_text())
    assert (RESULTS / "episodes" / "episodes.md").read_text() == samplers.markdown(found)


def test_the_page_has_the_stored_figures_of_all_workloads() -> None:
    steps = [row for row in stored("speed") if row["mode"] == "step"]
    rows = {(row["workload"], row["implementation"]): row for row in steps}
    for name in dict.fromkeys(row["workload"] for row in steps):
        assert line(name, rows) in PAGE.splitlines()


def test_the_readme_has_the_stored_figures() -> None:
    said = " ".join((REPOSITORY / "README.md").read_text().split())
    rows = {row["implementation"]: row for row in stored("speed") if (row["workload"], row["mode"]) == ("w1", "step")}
    fast, floor = rows["fast"], rows["floor"]
    assert f"takes {fast['milliseconds']['median']:.1f} ms" in said
    assert "{:.1f} times ({:.2f} to {:.2f}) as fast as the same network".format(*ends(fast)) in said
    assert f"would be {floor['ratio']['median']:.1f} times as fast" in said
    drawn = json.loads((RESULTS / "episodes" / "episodes.json").read_text())["rows"]
    (ours,) = [row for row in drawn if (row["sampler"], row["augmentation"]) == ("ours", "jitter")]
    assert "drawn {:.0f} times ({:.0f} to {:.0f}) as fast".format(*ends(ours)) in said
    short = [json.loads(path.read_text()) for path in sorted((RESULTS / "one-hot-5-mann-short").glob("*.json"))]
    first, second, third = (f"{100 * result['instances'][1]['accuracy']:.1f}" for result in short)
    seconds = sorted(result["training"]["seconds"] for result in short)
    assert f"has {first}, {second} and {third}% at the 2nd instance" in said
    assert f"after {seconds[0]:.0f} to {seconds[-1]:.0f} seconds" in said


def test_the_page_has_the_stored_growth_with_slots() -> None:
    growing = [row for row in stored("speed-growth") if row["curve"] == "slots" and row["implementation"] == "fast"]
    times = {(row["workload"], row["at"]): row["milliseconds"]["median"] for row in growing}
    sizes = sorted({size for _, size in times})
    for name in dict.fromkeys(name for name, _ in times):
        cells = [f"{times[name, size]:.1f}" if (name, size) in times else "-" for size in sizes]
        assert f"| `{name}` | {' | '.join(cells)} |" in PAGE


def test_the_page_has_the_stored_figures_of_the_samplers() -> None:
    found = json.loads((RESULTS / "episodes" / "episodes.json").read_text())
    for row in found["rows"]:
        beside = "" if row["sampler"] == "learn2learn" else ratio(row)
        cells = [row["augmentation"], row["sampler"], f"{row['milliseconds']['median']:.2f}", beside]
        assert f"| {' | '.join(cells)} |" in PAGE
    share = found["step"]["share_of_sampling"]
    assert "{:.1%} ({:.1%} to {:.1%})".format(*(share[end] for end in ("median", "low", "high"))) in PAGE
