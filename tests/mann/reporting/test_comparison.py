"""Several runs side by side: values, paired differences and points of the plot."""

from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from mann.reporting.comparison import EvaluatedRun, comparison_table, plot_comparison, write_run_comparison
from tests.mann.reporting.planted_results import METRICS, evaluation_content, rows_of


def test_paired_differences_are_listed_for_runs_on_the_same_episodes(tmp_path: Path) -> None:
    def compared(right: str, of: str, **changes: Any) -> EvaluatedRun:
        """Return a run with right answers by episode, of five at the 2nd instance."""
        counts = {"of": of, "right": ["0 0 0", right], "shown": ["5 5 5", "5 5 5"]}
        return EvaluatedRun({**evaluation_content(), "task": "classification", "counts": counts, **changes}, [], {})

    runs = {
        "first": compared("1 3 2", "these"),
        "better": compared("3 4 4", "these"),
        "elsewhere": compared("3 4 4", "others"),
        "alphabet": compared("5 5 5", "these", alphabets="one"),
        "old": EvaluatedRun({**evaluation_content(), "task": "classification"}, [], {}),
    }
    console = Console(width=200, record=True, file=StringIO())
    console.print(comparison_table(runs))
    text = console.export_text()
    lines = text.splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["minus", "first"]]
    # Gains of 2, 1 and 2 of 5: 5/15 on average, and 4.303 standard errors of 1/15 on either side.
    assert lines[place].split()[2:] == ["+0.0", "+33.3"]
    assert lines[place + 1].split() == ["+0.0", "to", "+0.0", "+4.6", "to", "+62.0"]
    assert lines[place - 2].split()[0] == "better" and "within one alphabet" in text
    write_run_comparison(tmp_path, runs)
    rows = [row for row in rows_of(tmp_path / "comparison.csv") if row["name"] == "difference"]
    assert [(row["run"], row["at"]) for row in rows] == [("better", "1st"), ("better", "2nd")]
    assert [float(row["value"]) for row in rows] == [0, 5 / 15]


def test_few_shot_accuracies_have_paired_differences(tmp_path: Path) -> None:
    def compared(right: list[str], ways: int = 3, **changes: Any) -> EvaluatedRun:
        """Return a run with right answers of five in each of three episodes, 1-shot and 5-shot."""
        results = [
            {"ways": ways, "shots": shots, "accuracy": sum(map(int, column.split())) / 15, "low": 0.0, "high": 1.0}
            for shots, column in zip((1, 5), right, strict=True)
        ]
        counts = {"of": [[ways, 1, "these"], [ways, 5, "these"]], "right": right, "shown": ["5 5 5"] * 2}
        described = {"dataset": "omniglot", "split": "test", "queries": 5, "labels": "one-hot", "alphabets": "all"}
        content = {"task": "few-shot", **described, "results": results, "counts": counts, **changes}
        return EvaluatedRun(content, METRICS, {})

    runs = {
        "first": compared(["1 3 2", "5 5 5"]),
        "better": compared(["3 4 4", "5 5 5"]),
        "elsewhere": compared(["3 4 4", "5 5 5"], ways=4),
        "by instance": EvaluatedRun({**evaluation_content(), "task": "classification"}, METRICS, {}),
    }
    console = Console(width=200, record=True, file=StringIO())
    console.print(comparison_table(runs))
    lines = console.export_text().splitlines()
    (place,) = [number for number, line in enumerate(lines) if line.split()[:2] == ["minus", "first"]]
    assert lines[place].split()[2:] == ["+33.3", "+0.0"]
    assert lines[place + 1].split() == ["+4.6", "to", "+62.0", "+0.0", "to", "+0.0"]
    write_run_comparison(tmp_path, runs)
    rows = [row for row in rows_of(tmp_path / "comparison.csv") if row["run"] == "better"]
    assert [(row["at"], row["name"], float(row["value"])) for row in rows] == [
        ("3-way, 1-shot", "accuracy", 11 / 15),
        ("3-way, 5-shot", "accuracy", 1),
        ("3-way, 1-shot", "difference", 5 / 15),
        ("3-way, 5-shot", "difference", 0),
    ]
    axes, *_ = plot_comparison(runs).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        f"{ways}-way, {shots}-shot" for ways in (3, 4) for shots in (1, 5)
    ]
    values = {container.get_label(): list(container[0].get_ydata()) for container in axes.containers}
    assert values["better, 95% interval"] == [11 / 15, 1]
