"""The comparison of addressing schemes: its cells, and its table, files and picture."""

import json
from pathlib import Path
from typing import Any

import pytest

from data import InputError
from mann.addressing import DNC, LRUA, NTM, SCHEMES
from mann.benchmark.schemes import (
    FULL,
    QUICK,
    Size,
    cells,
    markdown,
    plot,
    summarise,
    with_heads,
    write_comparison,
)
from mann.reporting.pictures import write_picture
from mann.settings import by_option, changed, default_scheme, preset
from mann.settings.storage import config_from_plain, plain

STORED = Path(__file__).resolve().parents[3] / "docs" / "results"
COMPARISON = json.loads((STORED / "addressing.json").read_text())


@pytest.mark.parametrize("images", [False, True])
def test_every_scheme_gets_the_same_number_of_heads(images: bool) -> None:
    for name in SCHEMES:
        scheme = with_heads(default_scheme(name, images), 3)
        assert scheme.read_heads == 3
    assert with_heads(NTM(), 3) == NTM(read_heads=3, write_heads=3)
    assert with_heads(LRUA(), 3) == LRUA(read_heads=3)
    assert with_heads(DNC(), 1) == DNC(read_heads=1)


@pytest.mark.parametrize("size", [FULL, QUICK])
def test_cells_differ_in_scheme_task_and_seed_alone(size: Size, tmp_path: Path) -> None:
    found = cells(tmp_path, list(SCHEMES), ["copy", "strokes"], 2, size)
    assert len(found) == len({cell.folder for cell in found}) == 2 * len(SCHEMES) * 2
    for cell in found:
        first = next(other for other in found if other.config.task_name == cell.config.task_name)
        options = by_option(cell.config)
        # Slots with equal content stay equal when they are addressed by content alone.
        assert options["initial_memory"] == ("learned" if options["addressing"] == "content" else "constant")
        own = {name: options[name] for name in ("seed", "addressing", "initial_memory")}
        assert options["scheme.read_heads"] == 2
        scheme = {name: value for name, value in options.items() if name.startswith("scheme.")}
        assert changed(first.config, {**own, **scheme}) == cell.config


def test_unknown_names_and_zero_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scheme is named 'tape': use all, or some of ntm"):
        cells(tmp_path, ["tape"], ["copy"], 1, FULL)
    with pytest.raises(InputError, match="`seeds` is 0: at least 1 is needed"):
        cells(tmp_path, ["ntm"], ["copy"], 0, FULL)


def result(scheme: str, seed: int, to_goal: int | None, score: float) -> dict[str, Any]:
    """Return the result of a cell of the task copy."""
    return {
        "settings": plain(preset("copy", addressing=scheme, seed=seed)),
        "episodes_to_goal": to_goal,
        "success": to_goal is not None,
        "score": score,
        "milliseconds_a_step": 10.0 + seed,
        "seconds": 5.0,
        "parameters": 1000,
        "state_numbers": 2560,
        "peak_memory_mib": 300.0,
    }


RESULTS = [
    result("ntm", 0, 500, 0.0),
    result("ntm", 1, 100, 0.02),
    result("ntm", 2, None, 4.0),
    result("dnc", 0, None, 9.0),
]


def test_rows_are_medians_with_the_spread_over_seeds() -> None:
    ntm, dnc = summarise(RESULTS)
    assert (ntm["task"], ntm["scheme"], ntm["seeds"], ntm["reached"]) == ("copy", "ntm", 3, 2)
    assert ntm["success_rate"] == pytest.approx(2 / 3)
    assert ntm["episodes_to_goal"] == {"median": 300, "low": 100, "high": 500}
    assert ntm["score"] == {"median": 0.02, "low": 0.0, "high": 4.0}
    assert ntm["milliseconds_a_step"] == {"median": 11, "low": 10, "high": 12}
    assert dnc["episodes_to_goal"] is None and dnc["success_rate"] == 0


def test_the_table_has_the_medians_with_their_ranges() -> None:
    text = markdown(summarise(RESULTS))
    assert "| ntm | 2 of 3 | 300 (100-500) | 0.02 (0-4) | 11.0 (10.0-12.0) | 1,000 | 2,560 | 300 |" in text
    assert "| dnc | 0 of 1 | - | 9 | 10.0 | 1,000 | 2,560 | 300 |" in text
    assert "### copy" in text and "at most 0.1" in text


def test_a_comparison_is_written_as_json_csv_markdown_and_picture(tmp_path: Path) -> None:
    paths = write_comparison(tmp_path, RESULTS)
    assert [path.name for path in paths] == [f"addressing.{kind}" for kind in ("json", "csv", "md", "png")]
    content = json.loads(paths[0].read_text())
    assert content["rows"] == summarise(RESULTS) and content["cells"] == RESULTS
    lines = paths[1].read_text().splitlines()
    assert lines[0].startswith("task,scheme,seed,episodes_to_goal,success")
    assert lines[3].startswith("copy,ntm,2,,False,4.0")
    assert paths[2].read_text() == markdown(summarise(RESULTS))
    assert paths[3].read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_point_and_a_range_for_each_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plotted = []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda self, x, y, *rest, **options: plotted.append((x, y)))
    write_picture(plot(summarise(RESULTS)), tmp_path / "a.png")
    assert ([100, 500], [0, 0]) in plotted and (300, 0) in plotted
    assert ([0.0, 4.0], [0, 0]) in plotted and (9.0, 1) in plotted
    # dnc did not reach the goal, so it has no point in the first plot.
    assert len(plotted) == 2 * 5


def test_quick_is_a_smaller_comparison_of_the_same_tasks() -> None:
    assert set(QUICK.changes) == set(FULL.changes)
    for task, changes in QUICK.changes.items():
        assert changes["episodes"] < FULL.changes[task]["episodes"]
    assert QUICK.validate < FULL.validate


def test_the_stored_cells_make_the_stored_rows_and_table() -> None:
    rows = summarise(COMPARISON["cells"])
    assert rows == COMPARISON["rows"]
    assert (STORED / "addressing.md").read_text() == markdown(rows)
    schemes = {row["scheme"] for row in rows}
    assert len(COMPARISON["cells"]) == len(schemes) * 3 * 3 and schemes <= set(SCHEMES)
    assert {row["seeds"] for row in rows} == {3}


def test_the_stored_cells_have_settings_of_format_1_which_make_the_same_rows_in_format_2() -> None:
    assert all("format" not in cell["settings"] for cell in COMPARISON["cells"])
    later = [
        {**cell, "settings": plain(config_from_plain(cell["settings"], cell["folder"]))} for cell in COMPARISON["cells"]
    ]
    assert all(cell["settings"]["format"] == 2 for cell in later)
    assert summarise(later) == COMPARISON["rows"]


LATER = ("delta", "gated-slots", "mlstm", "append")


def test_the_stored_cells_were_trained_with_one_commit_except_for_those_that_the_page_names() -> None:
    # docs/benchmarks.md: ntm on Omniglot was trained later, with later code, and so were the schemes of today.
    commits: dict[str, list[str]] = {"first": [], "omniglot-ntm": [], "today": []}
    for cell in COMPARISON["cells"]:
        name = cell["folder"].rsplit("-", 1)[0]
        later = "today" if name.endswith(LATER) else "first"
        commits[name if name in commits else later].append(cell["environment"]["commit"])
    assert len(commits["first"]) == 8 * 3 * 3 - 3 and len(commits["omniglot-ntm"]) == 3
    assert all(len(set(same)) <= 1 for same in commits.values())


def test_the_command_makes_the_cells_that_are_stored() -> None:
    stored = {cell["folder"]: config_from_plain(cell["settings"], cell["folder"]) for cell in COMPARISON["cells"]}
    schemes = list(dict.fromkeys(row["scheme"] for row in COMPARISON["rows"]))
    made = cells(Path(), schemes, ["copy", "associative-recall", "omniglot"], 3, FULL, Path("../shared/omniglot"))
    assert {cell.folder.name: cell.config for cell in made} == stored
