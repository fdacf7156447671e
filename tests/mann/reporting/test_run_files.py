"""The files of a report: their names and content, and that each is written as a whole."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from episodes import Episode
from mann.evaluation.instances import SequenceTrace
from mann.reporting.run_files import write_classification_report
from tests.mann.reporting.planted_results import INSTANCES, METRICS, evaluation_content, rows_of

FILES = ["instances.csv", "curves.csv", "instances.png", "training.png"]


BLANK = torch.zeros(1, 1, 1)


WITHOUT_MEMORY = SequenceTrace(Episode(BLANK, BLANK, BLANK.long(), BLANK.long(), BLANK.long()), BLANK, None)


def write_report(folder: Path, evaluation: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write the report of a run without memory."""
    return write_classification_report(folder, evaluation, metrics, WITHOUT_MEMORY)


def test_csv_files_have_the_planted_values(tmp_path: Path) -> None:
    write_report(tmp_path, evaluation_content(), METRICS)
    assert rows_of(tmp_path / "instances.csv") == [
        {name: str(value) for name, value in row.items()} for row in INSTANCES
    ]
    curves = rows_of(tmp_path / "curves.csv")
    assert list(curves[0]) == [
        *("step", "episodes", "seconds", "loss", "learning_rate"),
        *("accuracy_1", "accuracy_2", "accuracy_10", "validation_1", "validation_2"),
    ]
    assert [row["episodes"] for row in curves] == ["1600", "3200", "4800", "6400"]
    assert [float(row["accuracy_2"]) for row in curves] == pytest.approx([0.3, 0.4, 0.5, 0.6])
    assert [row["validation_1"] for row in curves] == ["", "0.19", "", ""]
    assert [row["validation_2"] for row in curves] == ["", "0.33", "", ""]


def test_a_report_returns_its_files_and_writes_no_others(tmp_path: Path) -> None:
    paths = write_report(tmp_path, evaluation_content(), METRICS)
    assert paths == [tmp_path / name for name in FILES]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_a_run_without_metrics_can_be_reported(tmp_path: Path) -> None:
    write_report(tmp_path, evaluation_content(), [])
    assert rows_of(tmp_path / "curves.csv") == []
    with Image.open(tmp_path / "training.png", formats=["PNG"]) as picture:
        assert numpy.asarray(picture.convert("L")).min() < 128  # axes are drawn


@pytest.mark.filterwarnings("error")
def test_a_second_report_replaces_the_files(tmp_path: Path) -> None:
    write_report(tmp_path, evaluation_content("strokes"), METRICS[:2])
    before = (tmp_path / "training.png").read_bytes()
    write_report(tmp_path, evaluation_content(), METRICS)
    assert len(rows_of(tmp_path / "curves.csv")) == 4
    assert (tmp_path / "training.png").read_bytes() != before


def test_no_partial_file_is_left_when_plotting_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path, evaluation_content(), METRICS)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def failing(figure: Figure, path: Path, **settings: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", failing)
    with pytest.raises(OSError, match="no space left"):
        write_report(tmp_path, evaluation_content(), METRICS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
