"""The cells of a comparison: each is trained once and continued after an interruption, and has a result."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from data import InputError
from episodes import Copy
from mann import LRUA, LSTMController, MemoryNetwork
from mann.benchmark import cells as running
from mann.benchmark.cells import milliseconds_a_step, result_from_json, run_cell, run_cells
from mann.benchmark.schemes import (
    SECOND_INSTANCE,
    WRONG_BITS,
    GoalCell,
    GoalResult,
    Size,
    cells,
    state_numbers,
    summary,
)
from mann.runs import Run
from mann.settings import changed, config_from_json
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


def tiny(folder: Path, schemes: Any = ("ntm",), seeds: int = 1) -> list[GoalCell]:
    """Return cells of 4 steps."""
    return cells(folder, schemes, ["copy"], seeds, TINY)


def line(step: int, value: float | None = None, seconds: float | None = None) -> dict[str, Any]:
    """Return a line of metrics, of 10 episodes a step."""
    validation = {} if value is None else {"validation": {"wrong_bits_per_sequence": value}}
    return {"step": step, "episodes": 10 * step, "seconds": float(step if seconds is None else seconds), **validation}


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
    whole = json.loads(TARGETS["result"].valid()[0])
    text = b"{" if change is None else json.dumps(whole | change).encode()
    with pytest.raises(InputError, match=rf"cell.json is damaged \({message}.*\): delete it"):
        result_from_json(text, "cell.json", GoalResult)


def test_a_summary_has_the_episodes_to_the_goal_and_the_final_score() -> None:
    metrics = [line(1, 3.0), line(2), line(3, 0.05), line(4, 0.2), line(5, 0.01)]
    found = summary(metrics, WRONG_BITS)
    assert (found["episodes_to_goal"], found["success"], found["score"]) == (30, True, 0.01)
    assert summary(metrics[:4], WRONG_BITS)["success"] is False
    never = summary([line(1, 3.0), line(2, 2.0)], WRONG_BITS)
    assert (never["episodes_to_goal"], never["success"], never["score"]) == (None, False, 2.0)
    assert not SECOND_INSTANCE.reached(0.79) and SECOND_INSTANCE.reached(0.8) and WRONG_BITS.reached(0.1)


def test_the_time_of_a_step_is_the_median_without_compilation_and_validation() -> None:
    # The first line includes the compilation, the lines at 30 and 50 a validation.
    metrics = [line(10, None, 100), line(20, None, 101), line(30, 1.0, 150), line(40, None, 153), line(50, 1.0, 200)]
    assert milliseconds_a_step(metrics) == pytest.approx((100 + 300) / 2)
    assert milliseconds_a_step(metrics[:1] + [line(11, 1.0)]) is None


def test_a_cell_is_run_once_and_continues_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = tiny(tmp_path / "whole")
    (stopped,) = tiny(tmp_path / "stopped")
    result = run_cell(whole, 1)
    assert result == json.loads(whole.result.read_text())
    trained: list[int] = []
    fit = running.fit

    def killed(problem: Any, config: Any, run: Run, interval: Any, **_: Any) -> None:
        fit(problem, config, run, replace(interval, save_seconds=0), stopping=lambda: True)
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        run_cell(stopped, 1)
    assert Run(stopped.folder).steps_done() == 1 and not stopped.result.exists()

    def counted(*arguments: Any, **options: Any) -> None:
        trained.append(1)
        fit(*arguments, **options)

    monkeypatch.setattr(running, "fit", counted)
    continued = run_cell(stopped, 1)
    for key in ("score", "episodes_to_goal", "success", "parameters", "settings"):
        assert continued[key] == result[key]
    for cell in (whole, stopped):
        run_cell(cell, 1)
    assert len(trained) == 1


def test_the_size_of_the_state_is_counted() -> None:
    # Memory 5 x 3, usage 5, read weights 2 x 5, reads 2 x 3, hidden output and cell 7 each.
    network = MemoryNetwork(4, 2, LRUA(read_heads=2), LSTMController, hidden_size=7, slots=5, word_size=3)
    assert state_numbers(network) == state_numbers(nn.Sequential(network)) == 15 + 5 + 10 + 6 + 14


def test_a_folder_of_another_cell_is_refused(tmp_path: Path) -> None:
    (cell,) = tiny(tmp_path)
    run_cell(cell, 1)
    other = replace(cell, config=changed(cell.config, {"hidden_size": 7}))
    with pytest.raises(InputError, match="`hidden_size` is 6, not 7"):
        run_cells([other], 1)


def test_results_are_in_the_order_of_the_cells_and_only_missing_cells_are_run(tmp_path: Path) -> None:
    todo = tiny(tmp_path, ("ntm", "lrua"))
    first = run_cell(todo[1], 1)
    reported: list[int] = []
    results = run_cells(todo, jobs=1, report=reported.append)
    assert reported == [1, 2]
    assert [config_from_json(json.dumps(one["settings"]), "cell.json") for one in results] == [
        cell.config for cell in todo
    ]
    assert results[1] == first
