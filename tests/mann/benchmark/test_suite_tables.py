"""The rows, tables, plots and files of the suites, from planted results."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from mann.benchmark.suite_cells import cells
from mann.benchmark.suite_tables import markdown, plot, summarise, tables, write_suites
from mann.benchmark.suites import FULL
from mann.settings.storage import plain


def result(suite: str, column: str, name: str, seed: int, accuracies: dict[int, float], **changes: Any) -> Any:
    """Return the result of a cell with these accuracies by size."""
    (cell,) = [
        one
        for one in cells(Path(), [suite], [name], seed + 1, FULL, 1.0)
        if (one.column, one.config.seed) == (column, seed)
    ]
    (axis,) = cell.settings[0]
    return {
        "folder": cell.folder.name,
        "settings": plain(cell.config),
        "parameters": 1000,
        "state_numbers": 4096,
        "peak_memory_mib": 300.0,
        "milliseconds_a_step": 20.0 + seed,
        "seconds": 60.0,
        "environment": {},
        "suite": suite,
        "column": column,
        "episodes": 3200,
        "learned": True,
        "test_slots": None,
        "sequences": 64,
        "results": [
            {"setting": {axis: size}, "accuracy": share, "low": share - 0.01, "high": share + 0.01}
            for size, share in accuracies.items()
        ],
        **changes,
    }


STRINGS = [
    result("chomsky", "reverse-string", "ntm", 0, {20: 1.0, 40: 1.0, 50: 1.0, 500: 0.9}),
    result("chomsky", "reverse-string", "ntm", 1, {20: 1.0, 40: 0.9, 50: 0.6, 500: 0.5}, learned=False),
    result("chomsky", "parity", "ntm", 0, {20: 0.5, 40: 0.5, 50: 0.5, 500: 0.5}),
    result("chomsky", "odds-first", "lstm", 0, {20: 0.5, 40: 0.5, 50: 0.25, 500: 0.25}, parameters=2000),
]
PAIRS = [
    result("recall", "continuous-recall", "dnc", 0, {32: 1.0, 64: 0.995, 128: 0.6}),
    result("recall", "continuous-recall", "dnc", 1, {32: 1.0, 64: 0.985, 128: 0.5}),
]


def test_a_row_has_the_accuracies_over_seeds_and_the_score_of_each() -> None:
    row, *others = summarise(STRINGS)
    assert (row["suite"], row["column"], row["model"], row["seeds"]) == ("chomsky", "reverse-string", "ntm", 2)
    assert row["curve"][-1] == {"size": 500, "mean": pytest.approx(0.7), "low": 0.5, "high": 0.9}
    assert row["scores"] == [pytest.approx(0.95), pytest.approx(0.55)]  # of 50 and 500, not of 20 and 40
    assert (row["solved"], row["learned"], row["trained"], row["size"]) == (1, 1, 40, "length")
    assert row["milliseconds_a_step"] == 20.5 and row["minutes"] == 1
    assert [other["solved"] for other in others] == [0, 0]


def test_recall_is_scored_at_the_most_pairs_of_the_training() -> None:
    (row,) = summarise(PAIRS)
    assert row["scores"] == [0.995, 0.985] and row["solved"] == 1 and row["size"] == "pairs"


def test_the_tables_have_means_and_bests_and_the_published_rows() -> None:
    summary, strings, recall = tables(summarise(STRINGS + PAIRS))
    assert summary.columns == ["model", "chomsky", "recall", "parameters", "state", "ms a step"]
    assert summary.rows[0] == ["ntm", "1 of 2 (66.7)", "-", "1,000", "4,096", "20"]
    assert summary.rows[1] == ["lstm", "0 of 1 (25.0)", "-", "2,000", "4,096", "20"]
    assert summary.rows[2][:3] == ["dnc", "-", "1 of 1 (99.0)"]
    assert strings.columns == ["model", "reverse-string", "parity", "odds-first"]
    assert strings.rows[0] == ["ntm", "75.0 / 95.0*", "50.0", "-"]
    assert strings.rows[1] == ["lstm", "-", "-", "25.0"]
    assert ["Tape-RNN (published)", "100", "100", "100"] in strings.rows
    assert ["LSTM (published)", "60.9", "100", "55.6"] in strings.rows
    assert recall.columns == ["model", "32", "64", "128", "solved"]
    assert recall.rows == [["dnc", "100.0", "99.0", "55.0", "1 of 2"]]


def test_every_table_of_the_markdown_is_a_whole_grid() -> None:
    for text in markdown(summarise(STRINGS + PAIRS)).split("### ")[1:]:
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert len(lines) >= 3 and len({line.count("|") for line in lines}) == 1


def test_the_plot_has_a_line_for_each_model_and_the_end_of_the_training() -> None:
    figure = plot(summarise(STRINGS))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["reverse-string", "parity", "odds-first"]
    (line, trained) = figure.axes[0].get_lines()
    assert list(numpy.asarray(line.get_ydata())) == [1.0, pytest.approx(0.95), pytest.approx(0.8), pytest.approx(0.7)]
    assert list(numpy.asarray(trained.get_xdata())) == [40, 40]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ntm", "lstm"]


def test_the_comparison_is_written_and_the_page_loads_nothing(tmp_path: Path) -> None:
    paths = write_suites(tmp_path, STRINGS + PAIRS)
    assert {path.name for path in paths} == {
        *("suites.json", "suites.csv", "suites.md", "suites.html"),
        *("suite-chomsky.png", "suite-recall.png"),
    }
    content = json.loads((tmp_path / "suites.json").read_text())
    assert content == {"rows": json.loads(json.dumps(summarise(STRINGS + PAIRS))), "cells": STRINGS + PAIRS}
    lines = list(csv.DictReader((tmp_path / "suites.csv").read_text().splitlines()))
    assert len(lines) == 4 * 4 + 2 * 3
    assert (lines[3]["task"], lines[3]["model"], lines[3]["size"]) == ("reverse-string", "ntm", "500")
    assert float(lines[3]["accuracy"]) == 0.9
    page = (tmp_path / "suites.html").read_text()
    assert "http" not in page.split("<style>")[0].replace("http-equiv", "") and page.count("data:image/png") == 2
    for table in tables(summarise(STRINGS + PAIRS)):
        assert table.title in page and all(cell in page for row in table.rows for cell in row)
