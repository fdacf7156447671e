"""Accuracy by instance: the table has the planted values and the paper's, the plots have points and curves of them."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy
import pytest
from PIL import Image
from rich.console import Console

from mann.reporting.accuracy import CURVE_COLOURS, PAPER_MODELS, draw_instances, draw_training, instance_table
from mann.reporting.pictures import write_picture
from mann.reporting.style import BLUE, one_plot
from tests.mann.reporting.planted_results import INSTANCES, METRICS, evaluation_content


def write_instances(evaluation: Mapping[str, Any], path: Path) -> None:
    """Write the plot of accuracy by instance."""
    figure, axes = one_plot()
    draw_instances(axes, {"this run": evaluation})
    figure.legend(loc="outside right upper")
    write_picture(figure, path)


def write_training(metrics: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the plot of the training curves."""
    figure, axes = one_plot()
    figure.legend(handles=draw_training(axes, metrics), loc="outside right upper")
    write_picture(figure, path)


def printed(content: Mapping[str, Any]) -> str:
    """Return the table as printed on a terminal of 80 columns."""
    output = StringIO()
    Console(file=output, width=80).print(instance_table(content))
    return output.getvalue()


def row_of(text: str, instance: str) -> str:
    """Return the cells of one row, separated by spaces."""
    (cells,) = [line.split() for line in text.splitlines() if line.split()[:1] == [instance]]
    return " ".join(cells)


def pixels(path: Path) -> numpy.ndarray:
    """Return the pixels of a PNG file, uint8 [height, width, 3]."""
    with Image.open(path, formats=["PNG"]) as image:
        return numpy.asarray(image.convert("RGB"))


def count_of(colour: str, picture: numpy.ndarray) -> int:
    """Return the number of pixels of a colour #RRGGBB."""
    wanted = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return int((picture == wanted).all(-1).sum())


def test_the_table_has_the_planted_values_and_the_papers() -> None:
    text = printed(evaluation_content())
    assert row_of(text, "1st") == "1st 36.1 34.2-37.9 4321 36.4 34.5 24.4 24.4"
    assert row_of(text, "2nd") == "2nd 77.7 76.5-78.8 4320 82.8 57.3 49.5 19.6"
    assert row_of(text, "6th") == "6th 91.2 90.3-92.1 4300"
    assert row_of(text, "11th") == "11th 100.0 67.1-100.0 8"


def test_the_table_describes_its_columns_and_the_evaluation() -> None:
    text = printed(evaluation_content())
    for words in ("omniglot, test classes", "864 episodes of 5 classes", "one-hot", "chance: 20%"):
        assert words in text
    for words in ("instance", "observations", "MANN", "human", "LSTM", "forward"):
        assert words in text
    assert text.count("(paper)") == 4
    assert "…" not in text  # nothing is cut off
    assert "1605.06065" in text
    assert "shot" not in text


@pytest.mark.parametrize(
    ("dataset", "labels", "classes"),
    [("strokes", "one-hot", 5), ("folder", "one-hot", 5), ("omniglot", "one-hot", 15)],
)
def test_the_table_leaves_out_a_paper_that_is_not_comparable(dataset: str, labels: str, classes: int) -> None:
    text = printed(evaluation_content(dataset, labels, classes))
    assert row_of(text, "2nd") == "2nd 77.7 76.5-78.8 4320"
    assert "82.8" not in text
    assert "aper" not in text


def test_the_table_for_strings_has_the_papers_second_table() -> None:
    text = printed(evaluation_content(labels="strings"))
    assert row_of(text, "2nd") == "2nd 77.7 76.5-78.8 4320 69.5 9.0 0.2"
    assert "chance: 0.032%" in text  # one of 5 ** 5 strings


def test_the_plot_of_instances_has_the_run_and_the_paper(tmp_path: Path) -> None:
    write_instances(evaluation_content(), tmp_path / "with.png")
    write_instances(evaluation_content("strokes"), tmp_path / "without.png")
    with_paper, without = pixels(tmp_path / "with.png"), pixels(tmp_path / "without.png")
    assert count_of(BLUE, with_paper) > 500
    assert count_of(BLUE, without) > 500
    for _, colour in PAPER_MODELS.values():
        assert count_of(colour, with_paper) > 100
        assert count_of(colour, without) == 0


def test_the_plot_of_instances_has_points_at_their_height(tmp_path: Path) -> None:
    heights = []
    for accuracy in (0.25, 0.5, 0.75):
        point = {**INSTANCES[0], "accuracy": accuracy, "low": accuracy, "high": accuracy}
        write_instances({**evaluation_content("strokes"), "instances": [point]}, tmp_path / "one.png")
        picture = pixels(tmp_path / "one.png")[:, :900]  # without the legend
        ours = (picture == [0x00, 0x72, 0xB2]).all(-1)
        heights.append(float(numpy.nonzero(ours)[0].mean()))
    assert heights[0] > heights[1] > heights[2]  # row 0 is at the top
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=2)


def test_training_curves_are_plotted_for_measured_instances(tmp_path: Path) -> None:
    write_training(METRICS, tmp_path / "training.png")
    picture = pixels(tmp_path / "training.png")
    first, second, fifth = (count_of(CURVE_COLOURS[key], picture) for key in (1, 2, 5))
    assert first > 100
    assert second > 100
    assert fifth == 0


def test_training_curves_include_validation(tmp_path: Path) -> None:
    training_only = [{key: line[key] for key in line if key != "validation"} for line in METRICS]
    write_training(METRICS, tmp_path / "with.png")
    write_training(training_only, tmp_path / "without.png")
    colour = CURVE_COLOURS[2]
    marked, plain = (count_of(colour, pixels(tmp_path / name)) for name in ("with.png", "without.png"))
    assert marked > plain + 20


def test_the_papers_accuracies_are_left_out_for_other_episodes() -> None:
    def table_text(**changes: Any) -> str:
        console = Console(width=200, record=True, file=StringIO())
        console.print(instance_table({**evaluation_content(), **changes}))
        return console.export_text()

    assert "paper" in table_text() and "paper" in table_text(alphabets="all")
    assert "paper" not in table_text(alphabets="one") and "within one alphabet" in table_text(alphabets="one")
    assert "paper" not in table_text(memory="persistent") and "persistent memory" in table_text(memory="persistent")
