"""The comparison of speed: its cases, and its tables, files and pictures."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from data import InputError
from mann.benchmark import implementations, speed
from mann.benchmark.implementations import IMPLEMENTATIONS
from mann.benchmark.speed import BATCHES, SLOTS, STEPS, Case, cases, run
from mann.benchmark.workloads import WORKLOADS, quick
from mann.models.unrolling import Plain

CPU = torch.device("cpu")
TINY = quick(WORKLOADS["w1"])


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the compiled unrolling by another plain one: compilation takes longer than these tests."""
    monkeypatch.setattr(implementations, "CheckedUnrolling", lambda required: Plain())


def test_a_curve_grows_in_one_size_alone() -> None:
    found = cases(["w1"], list(IMPLEMENTATIONS), growth=True, small=False)
    assert [case.curve for case in found if case.name == "w1"] == [
        None,
        *(("steps", size) for size in STEPS),
        *(("batch", size) for size in BATCHES),
    ]
    for case in found[1:]:
        kind, size = case.curve or ("", 0)
        field = {"steps": "time"}.get(kind, kind)
        assert getattr(case.workload, field) == size
        first = next(other for other in found if other.name == case.name and other.curve and other.curve[0] == kind)
        assert replace(case.workload, **{field: 1}) == replace(first.workload, **{field: 1})
    slots = [case for case in found if case.curve and case.curve[0] == "slots"]
    assert [case.curve for case in slots] == [("slots", size) for size in SLOTS] * 4
    assert {case.name for case in slots} == {"lrua", "ntm", "sparse", "dnc"}
    assert all(case.implementations == ["reference", "fast"] for case in slots)
    assert str(slots[-1]) == "dnc at 65,536 slots"


def test_unknown_names_are_refused() -> None:
    with pytest.raises(InputError, match="no workload is named 'w9': use all, or some of w1"):
        cases(["w9"], ["fast"], growth=False, small=False)
    with pytest.raises(InputError, match="no implementation is named 'tape': use all, or some of reference, fast"):
        cases(["w1"], ["fast", "tape"], growth=False, small=False)


def test_a_case_is_measured_and_implementations_left_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dnc", None)
    monkeypatch.setattr(speed, "peak_memory", lambda *_: {"forward": 1.5, "step": 2.5})
    rows, missing = run(Case("w1", TINY, list(IMPLEMENTATIONS)), 6, CPU, memory=True)
    assert [(row["mode"], row["implementation"]) for row in rows] == [
        (mode, name) for mode in ("step", "forward") for name in ("reference", "fast", "lstm", "floor")
    ]
    assert missing == ["dnc is left out of w1: the package is not installed: pip install dnc"]
    for row in rows:
        assert row["episodes_a_second"] == pytest.approx(2000 / row["milliseconds"]["median"])
        assert row["peak_memory_mib"] == {"forward": 1.5, "step": 2.5}[row["mode"]]
        if row["implementation"] == "reference":
            assert row["ratio"] == {"median": 1, "low": 1, "high": 1}
    point, _ = run(Case("w1", TINY, ["lstm"], ("steps", 10)), 6, CPU, memory=True)
    assert [(row["mode"], row["at"], row["ratio"], row["peak_memory_mib"]) for row in point] == [
        ("step", 10, None, None)
    ]


def row(implementation: str, median: float, mode: str = "step", **more: Any) -> dict[str, Any]:
    """Return the row of an implementation."""
    return {
        "workload": "w1",
        "about": "one-shot",
        "curve": None,
        "at": None,
        "implementation": implementation,
        "mode": mode,
        "milliseconds": {"median": median, "low": median - 1, "high": median + 1},
        "steps_a_second": 1000 / median,
        "episodes_a_second": 16000 / median,
        "ratio": {"median": 40 / median, "low": 0.5, "high": 9.0},
        "peak_memory_mib": 12.34,
        **more,
    }


ROWS = [
    row("reference", 40.0),
    row("fast", 20.0, peak_memory_mib=None, ratio=None),
    row("fast", 10.0, "forward"),
    row("fast", 8.0, curve="slots", at=128, workload="ntm"),
    row("fast", 16.0, curve="slots", at=65536, workload="ntm"),
    row("fast", 9.0, curve="slots", at=128, workload="dnc"),
]


def test_tables_have_the_medians_with_their_ranges() -> None:
    text = speed.markdown(ROWS)
    assert "### w1\n\none-shot\n" in text
    assert "| reference | step | 40.00 (39.00-41.00) | 25.0 | 400 | 1.00 (0.50-9.00) | 12.3 |" in text
    assert "| fast | step | 20.00 (19.00-21.00) | 50.0 | 800 | - | - |" in text
    assert "| | | 128 | 65,536 |\n|---|---|---|---|\n| ntm | fast | 8.00 | 16.00 |\n| dnc | fast | 9.00 | - |" in text


def test_a_comparison_is_written_as_json_csv_markdown_and_pictures(tmp_path: Path) -> None:
    paths = speed.write_speed(tmp_path, ROWS, ["dnc is left out"], {"commit": "abc"})
    assert [path.name for path in paths] == [
        *("speed.json", "speed.csv", "speed.md", "speed.png", "speed-growth.png"),
    ]
    content = json.loads(paths[0].read_text())
    assert (content["rows"], content["left_out"], content["environment"]) == (
        ROWS,
        ["dnc is left out"],
        {"commit": "abc"},
    )
    lines = paths[1].read_text().splitlines()
    assert lines[0].startswith("workload,about,curve,at,implementation,mode,milliseconds_median,milliseconds_low")
    assert lines[2] == "w1,one-shot,,,fast,step,20.0,19.0,21.0,50.0,800.0,,,,"
    assert all(path.stat().st_size > 1000 for path in paths[3:])
    assert len(speed.write_speed(tmp_path, ROWS[:3], [], {})) == 4


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    peak = speed.peak_memory("lstm", TINY, CPU)
    assert set(peak) == {"forward", "step"} and all(0 <= mib < 200 for mib in peak.values())
