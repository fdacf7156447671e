"""Comparisons of schemes: what a cell comes to, that it is run once, and what table and picture say."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data import InputError
from episodes import Copy
from mann.addressing import DNC, LRUA, NTM, SCHEMES, Content
from mann.benchmark import cells as running
from mann.benchmark.cells import Cell, result_from_json, run_cell, run_cells, summary
from mann.benchmark.schemes import (
    FULL,
    QUICK,
    SECOND_INSTANCE,
    WRONG_BITS,
    Size,
    cells,
    markdown,
    plot,
    summarise,
    with_heads,
    write_comparison,
)
from mann.reporting.pictures import write_picture
from mann.runs.run import Run
from mann.settings.schema import TaskConfig, default_scheme
from tests.endurance.fuzz import TARGETS

TINY = Size(
    {
        "copy": {
            "sizes": Copy(bits=2, shortest=1, longest=2),
            "episodes": 16,
            "batch": 4,
            "hidden_size": 6,
            "slots": 4,
            "word_size": 3,
        }
    },
    validate=2,
)


def tiny(folder: Path, schemes: Any = ("ntm",), seeds: int = 1) -> list[Cell]:
    """Return cells of 4 steps."""
    return cells(folder, schemes, ["copy"], seeds, TINY)


def line(step: int, value: float | None = None, seconds: float | None = None) -> dict[str, Any]:
    """Return a line of metrics, of 10 episodes a step."""
    said = {} if value is None else {"validation": {"wrong_bits_per_sequence": value}}
    return {"step": step, "episodes": 10 * step, "seconds": float(step if seconds is None else seconds), **said}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": "high"}, "score: Input should be"),
        ({"seconds": None}, "seconds: Input should be"),
        ({"best": 1}, "best: Extra inputs"),
        (None, "Invalid JSON"),
    ],
)
def test_result_that_was_edited_is_refused(change: dict[str, Any] | None, message: str) -> None:
    whole = json.loads(TARGETS["result"].whole()[0])
    text = b"{" if change is None else json.dumps(whole | change).encode()
    with pytest.raises(InputError, match=rf"cell.json is damaged \({message}.*\): delete it"):
        result_from_json(text, "cell.json")


def test_a_summary_says_when_the_goal_was_first_reached_and_how_it_ended() -> None:
    metrics = [line(1, 3.0), line(2), line(3, 0.05), line(4, 0.2), line(5, 0.01)]
    found = summary(metrics, WRONG_BITS)
    assert (found["episodes_to_goal"], found["success"], found["score"]) == (30, True, 0.01)
    assert summary(metrics[:4], WRONG_BITS)["success"] is False
    never = summary([line(1, 3.0), line(2, 2.0)], WRONG_BITS)
    assert (never["episodes_to_goal"], never["success"], never["score"]) == (None, False, 2.0)
    assert not SECOND_INSTANCE.reached(0.79) and SECOND_INSTANCE.reached(0.8) and WRONG_BITS.reached(0.1)


def test_time_of_a_step_is_the_median_without_validation_and_the_first_line() -> None:
    # The first line holds the compiling, the lines at 30 and 50 a validation.
    metrics = [line(10, None, 100), line(20, None, 101), line(30, 1.0, 150), line(40, None, 153), line(50, 1.0, 200)]
    assert summary(metrics, WRONG_BITS)["milliseconds_a_step"] == pytest.approx((100 + 300) / 2)
    assert summary(metrics[:1] + [line(11, 1.0)], WRONG_BITS)["milliseconds_a_step"] is None


@pytest.mark.parametrize("images", [False, True])
def test_every_scheme_has_as_many_heads(images: bool) -> None:
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
        like = next(other for other in found if other.folder.name.startswith(cell.folder.name.split("-")[0]))
        memory = like.config.initial_memory if not isinstance(cell.config.scheme, Content) else "learned"
        same = replace(
            like.config,
            seed=cell.config.seed,
            addressing=cell.config.addressing,
            scheme=cell.config.scheme,
            initial_memory=memory,
        )
        assert same == cell.config


def test_unknown_names_and_no_seeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no scheme is named 'tape': use all, or some of ntm"):
        cells(tmp_path, ["tape"], ["copy"], 1, FULL)
    with pytest.raises(InputError, match="at least 1"):
        cells(tmp_path, ["ntm"], ["copy"], 0, FULL)


def test_a_cell_is_run_once_and_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = tiny(tmp_path / "whole")
    (stopped,) = tiny(tmp_path / "stopped")
    result = run_cell(whole, 1)
    assert result == json.loads(whole.result.read_text())
    trained: list[int] = []
    fit = running.fit

    def killed(problem: Any, config: Any, run: Run, pace: Any) -> None:
        fit(problem, config, run, replace(pace, save_seconds=0), stopping=lambda: True)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        run_cell(stopped, 1)
    assert Run(stopped.folder).steps_done() == 1 and not stopped.result.exists()

    def counted(*arguments: Any) -> None:
        trained.append(1)
        fit(*arguments)

    monkeypatch.setattr(running, "fit", counted)
    again = run_cell(stopped, 1)
    for key in ("score", "episodes_to_goal", "success", "parameters", "settings"):
        assert again[key] == result[key]
    for cell in (whole, stopped):
        run_cell(cell, 1)
    assert len(trained) == 1


def test_a_folder_of_another_cell_is_refused(tmp_path: Path) -> None:
    (cell,) = tiny(tmp_path)
    run_cell(cell, 1)
    other = replace(cell, config=replace(cell.config, hidden_size=7))
    with pytest.raises(InputError, match="hidden_size is 6, not 7"):
        run_cells([other], 1)


def test_results_come_in_the_order_of_the_cells_and_only_what_is_missing_is_run(tmp_path: Path) -> None:
    todo = tiny(tmp_path, ("ntm", "lrua"))
    first = run_cell(todo[1], 1)
    said: list[int] = []
    results = run_cells(todo, jobs=1, report=said.append)
    assert said == [1, 2]
    assert [result["settings"]["addressing"] for result in results] == ["ntm", "lrua"]
    assert results[1] == first
    assert isinstance(todo[0].config, TaskConfig)


def result(scheme: str, seed: int, to_goal: int | None, score: float) -> dict[str, Any]:
    """Return what a cell came to."""
    return {
        "settings": {"task": "copy", "addressing": scheme, "seed": seed},
        "episodes_to_goal": to_goal,
        "success": to_goal is not None,
        "score": score,
        "milliseconds_a_step": 10.0 + seed,
        "seconds": 5.0,
        "parameters": 1000,
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


def test_the_table_says_it_for_people() -> None:
    text = markdown(summarise(RESULTS))
    assert "| ntm | 2 of 3 | 300 (100-500) | 0.02 (0-4) | 11.0 (10.0-12.0) | 1,000 | 300 |" in text
    assert "| dnc | 0 of 1 | - | 9 | 10.0 | 1,000 | 300 |" in text
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


def test_the_picture_shows_each_scheme_at_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("matplotlib.axes.Axes.plot", lambda self, x, y, *rest, **options: drawn.append((x, y)))
    write_picture(plot(summarise(RESULTS)), tmp_path / "a.png")
    assert ([100, 500], [0, 0]) in drawn and (300, 0) in drawn
    assert ([0.0, 4.0], [0, 0]) in drawn and (9.0, 1) in drawn
    # No figure, no point: dnc did not reach the goal.
    assert len(drawn) == 2 * 5
