"""Tables, CSV files and pictures hold what was measured, and only that."""

import csv
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from rich.console import Console

from episodes import Episode
from mann.evaluation.instances import Seen
from mann.reporting import accuracy as instances
from mann.reporting.accuracy import draw_instances, draw_training, instance_table
from mann.reporting.comparison import Compared, comparison_table, plot_comparison, write_run_comparison
from mann.reporting.pictures import write_picture
from mann.reporting.run_files import write_classification_report
from mann.reporting.style import BLUE, one_plot
from mann.reporting.task_figures import task_table

FILES = ["instances.csv", "curves.csv", "instances.png", "training.png"]
BLANK = torch.zeros(1, 1, 1)
WITHOUT_MEMORY = Seen(Episode(BLANK, BLANK, BLANK.long(), BLANK.long(), BLANK.long()), BLANK, None)


def write_report(folder: Path, evaluation: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Write what a run without memory is given."""
    return write_classification_report(folder, evaluation, metrics, WITHOUT_MEMORY)


def plot_instances(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write the picture of accuracy by instance alone."""
    figure, axes = one_plot()
    draw_instances(axes, {"this run": evaluation})
    figure.legend(loc="outside right upper")
    write_picture(figure, path)


def plot_training(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture of training alone."""
    figure, axes = one_plot()
    figure.legend(handles=draw_training(axes, metrics), loc="outside right upper")
    write_picture(figure, path)


INSTANCES = [
    {"instance": 1, "accuracy": 0.361, "low": 0.342, "high": 0.379, "observations": 4321},
    {"instance": 2, "accuracy": 0.777, "low": 0.765, "high": 0.788, "observations": 4320},
    {"instance": 6, "accuracy": 0.912, "low": 0.903, "high": 0.921, "observations": 4300},
    {"instance": 11, "accuracy": 1.0, "low": 0.671, "high": 1.0, "observations": 8},
]

METRICS = [
    {
        "step": step,
        "episodes": 16 * step,
        "seconds": step / 10,
        "loss": 1.5,
        "learning_rate": 0.001,
        "accuracy": {"1": 0.21, "2": 0.2 + step / 1000, "10": 0.3 + step / 1000},
    }
    for step in (100, 200, 300, 400)
]
METRICS[1]["validation"] = {"1": 0.19, "2": 0.33}


def evaluation(dataset: str = "omniglot", labels: str = "one-hot", classes: int = 5) -> dict[str, Any]:
    """Return the content of an evaluation.json."""
    return {
        "task": dataset,
        "dataset": dataset,
        "split": "test",
        "episodes": 864,
        "classes": classes,
        "labels": labels,
        "instances": INSTANCES,
    }


def printed(content: Mapping[str, Any]) -> str:
    """Return the table as a terminal of 80 columns shows it."""
    output = StringIO()
    Console(file=output, width=80).print(instance_table(content))
    return output.getvalue()


def row_of(text: str, instance: str) -> str:
    """Return one row, a space between its cells."""
    (cells,) = [line.split() for line in text.splitlines() if line.split()[:1] == [instance]]
    return " ".join(cells)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> numpy.ndarray:
    """Decode a whole PNG, uint8 [height, width, 3]."""
    with Image.open(path, formats=["PNG"]) as image:
        return numpy.asarray(image.convert("RGB"))


def count_of(colour: str, picture: numpy.ndarray) -> int:
    """Count the pixels of exactly one colour, given as #RRGGBB."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((picture == wanted).all(-1).sum())


def test_table_holds_the_planted_values_and_the_papers() -> None:
    text = printed(evaluation())
    assert row_of(text, "1st") == "1st 36.1 34.2-37.9 4321 36.4 34.5 24.4 24.4"
    assert row_of(text, "2nd") == "2nd 77.7 76.5-78.8 4320 82.8 57.3 49.5 19.6"
    assert row_of(text, "6th") == "6th 91.2 90.3-92.1 4300"
    assert row_of(text, "11th") == "11th 100.0 67.1-100.0 8"


def test_table_names_its_columns_and_what_was_evaluated() -> None:
    text = printed(evaluation())
    for words in ("omniglot, test classes", "864 episodes of 5 classes", "one-hot", "chance: 20%"):
        assert words in text
    for words in ("instance", "observations", "MANN", "human", "LSTM", "forward"):
        assert words in text
    assert text.count("(paper)") == 4
    assert "…" not in text  # it all fits
    assert "1605.06065" in text
    assert "shot" not in text


@pytest.mark.parametrize(
    ("dataset", "labels", "classes"),
    [("strokes", "one-hot", 5), ("folder", "one-hot", 5), ("omniglot", "one-hot", 15)],
)
def test_table_shows_no_paper_where_it_cannot_be_compared(dataset: str, labels: str, classes: int) -> None:
    text = printed(evaluation(dataset, labels, classes))
    assert row_of(text, "2nd") == "2nd 77.7 76.5-78.8 4320"
    assert "82.8" not in text
    assert "aper" not in text


def test_table_with_strings_shows_the_papers_second_table() -> None:
    text = printed(evaluation(labels="strings"))
    assert row_of(text, "2nd") == "2nd 77.7 76.5-78.8 4320 69.5 9.0 0.2"
    assert "chance: 0.032%" in text  # one of 5 ** 5 strings


def test_csv_files_hold_what_was_measured(tmp_path: Path) -> None:
    write_report(tmp_path, evaluation(), METRICS)
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


def test_report_returns_its_files_and_leaves_no_others(tmp_path: Path) -> None:
    paths = write_report(tmp_path, evaluation(), METRICS)
    assert paths == [tmp_path / name for name in FILES]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_picture_of_instances_shows_the_run_and_the_paper(tmp_path: Path) -> None:
    plot_instances(evaluation(), tmp_path / "with.png")
    plot_instances(evaluation("strokes"), tmp_path / "without.png")
    with_paper, without = pixels(tmp_path / "with.png"), pixels(tmp_path / "without.png")
    assert count_of(BLUE, with_paper) > 500
    assert count_of(BLUE, without) > 500
    for _, colour in instances._PAPER_MODELS.values():
        assert count_of(colour, with_paper) > 100
        assert count_of(colour, without) == 0


def test_picture_of_instances_puts_points_at_their_height(tmp_path: Path) -> None:
    heights = []
    for accuracy in (0.25, 0.5, 0.75):
        point = {**INSTANCES[0], "accuracy": accuracy, "low": accuracy, "high": accuracy}
        plot_instances({**evaluation("strokes"), "instances": [point]}, tmp_path / "one.png")
        picture = pixels(tmp_path / "one.png")[:, :900]  # without the legend
        ours = (picture == [0x00, 0x72, 0xB2]).all(-1)
        heights.append(float(numpy.nonzero(ours)[0].mean()))
    assert heights[0] > heights[1] > heights[2]  # rows count from the top
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=2)


def test_picture_of_training_shows_the_instances_that_were_measured(tmp_path: Path) -> None:
    plot_training(METRICS, tmp_path / "training.png")
    picture = pixels(tmp_path / "training.png")
    first, second, fifth = (count_of(instances._FOLLOWED[key], picture) for key in (1, 2, 5))
    assert first > 100
    assert second > 100
    assert fifth == 0


def test_picture_of_training_shows_validation(tmp_path: Path) -> None:
    training_only = [{key: line[key] for key in line if key != "validation"} for line in METRICS]
    plot_training(METRICS, tmp_path / "with.png")
    plot_training(training_only, tmp_path / "without.png")
    colour = instances._FOLLOWED[2]
    marked, plain = (count_of(colour, pixels(tmp_path / name)) for name in ("with.png", "without.png"))
    assert marked > plain + 20


def test_run_that_logged_nothing_can_be_reported(tmp_path: Path) -> None:
    write_report(tmp_path, evaluation(), [])
    assert rows_of(tmp_path / "curves.csv") == []
    assert pixels(tmp_path / "training.png").shape[2] == 3


@pytest.mark.filterwarnings("error")
def test_reporting_twice_replaces_the_files(tmp_path: Path) -> None:
    write_report(tmp_path, evaluation("strokes"), METRICS[:2])
    before = (tmp_path / "training.png").read_bytes()
    write_report(tmp_path, evaluation(), METRICS)
    assert len(rows_of(tmp_path / "curves.csv")) == 4
    assert (tmp_path / "training.png").read_bytes() != before


def test_nothing_half_written_is_left_when_plotting_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tmp_path, evaluation(), METRICS)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}

    def failing(figure: Figure, path: Path, **settings: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(Figure, "savefig", failing)
    with pytest.raises(OSError, match="no space left"):
        write_report(tmp_path, evaluation(), METRICS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_paired_differences_stand_below_runs_that_answered_the_same_episodes(tmp_path: Path) -> None:
    def compared(right: str, of: str, **changes: Any) -> Compared:
        """Return a run with right answers by episode, of five at the 2nd instance."""
        counts = {"of": of, "right": ["0 0 0", right], "shown": ["5 5 5", "5 5 5"]}
        return Compared({**evaluation(), "task": "classification", "counts": counts, **changes}, [], {})

    runs = {
        "first": compared("1 3 2", "these"),
        "better": compared("3 4 4", "these"),
        "elsewhere": compared("3 4 4", "others"),
        "alphabet": compared("5 5 5", "these", alphabets="one"),
        "old": Compared({**evaluation(), "task": "classification"}, [], {}),
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


def test_few_shot_accuracies_are_compared_within_episodes_too(tmp_path: Path) -> None:
    def compared(right: list[str], ways: int = 3, **changes: Any) -> Compared:
        """Return a run with right answers of five in each of three episodes, 1-shot and 5-shot."""
        results = [
            {"ways": ways, "shots": shots, "accuracy": sum(map(int, column.split())) / 15, "low": 0.0, "high": 1.0}
            for shots, column in zip((1, 5), right, strict=True)
        ]
        counts = {"of": [[ways, 1, "these"], [ways, 5, "these"]], "right": right, "shown": ["5 5 5"] * 2}
        said = {"dataset": "omniglot", "split": "test", "queries": 5, "labels": "one-hot", "alphabets": "all"}
        content = {"task": "few-shot", **said, "results": results, "counts": counts, **changes}
        return Compared(content, METRICS, {})

    runs = {
        "first": compared(["1 3 2", "5 5 5"]),
        "better": compared(["3 4 4", "5 5 5"]),
        "elsewhere": compared(["3 4 4", "5 5 5"], ways=4),
        "by instance": Compared({**evaluation(), "task": "classification"}, METRICS, {}),
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
    drawn, *_ = plot_comparison(runs).axes
    assert [text.get_text() for text in drawn.get_xticklabels()] == [
        f"{ways}-way, {shots}-shot" for ways in (3, 4) for shots in (1, 5)
    ]
    values = {container.get_label(): list(container[0].get_ydata()) for container in drawn.containers}
    assert values["better, 95% interval"] == [11 / 15, 1]


def test_the_papers_figures_do_not_stand_beside_other_episodes() -> None:
    def shown(**changes: Any) -> str:
        console = Console(width=200, record=True, file=StringIO())
        console.print(instance_table({**evaluation(), **changes}))
        return console.export_text()

    assert "paper" in shown() and "paper" in shown(alphabets="all")
    assert "paper" not in shown(alphabets="one") and "within one alphabet" in shown(alphabets="one")
    assert "paper" not in shown(memory="persistent") and "persistent memory" in shown(memory="persistent")


def test_the_table_of_a_task_says_what_was_measured_at_which_sizes() -> None:
    measured = {"wrong_bits_per_sequence": 1.5, "exact_sequences": 0.5, "bit_error_rate": 0.125}
    spread = {"intervals": dict.fromkeys(("bits_per_sequence", *measured), (0.25, 99.5))}
    evaluation = {
        "task": "repeat-copy",
        "sequences": 64,
        "results": [
            {"setting": {}, "bits_per_sequence": 0.00123, **measured, **spread},
            {
                "setting": {"length": 20, "repeats": 3},
                "bits_per_sequence": 93.55,
                **measured,
                **spread,
                "parts": {"end marker": {"bits_per_sequence": 7.5, **measured}},
                "references": {"Bayes estimate": {"cost": 92.25, "above": 1.3, "interval": (1.2, 1.4)}},
            },
        ],
    }
    console = Console(width=100, record=True, file=StringIO())
    console.print(task_table(evaluation))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "as in training 0.00123 0.25 to 99.5 1.5 50.00% 12.50%" in lines
    assert "length 20, repeats 3 93.55 0.25 to 99.5 1.5 50.00% 12.50%" in lines
    assert "end marker 7.5 1.5 50.00% 12.50%" in lines
    assert "Bayes estimate 92.25" in lines
    assert any("+1.3 (+1.2 to +1.4)" in line for line in lines)
