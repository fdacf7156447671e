"""The page of the papers' tables: planted results appear in it as they were stored."""

from pathlib import Path

import numpy

from mann.papers.commands import training_arguments
from mann.papers.recipes import PAPERS
from mann.papers.results import read_results
from mann.reporting.papers_page import page, plot, write_page
from tests.mann.papers.stored_results import ROWS, TABLES, content_of, store, with_counts


def cells_of(folder: Path, table: str) -> list[list[str]]:
    """Return the cells of a table of the page."""
    text = page(PAPERS, read_results(folder, PAPERS)).split(f"## {TABLES[table].title}\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_a_row_has_the_papers_figures_ours_and_the_difference(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "strings-5-mann", seed, content_of("strings-5-mann", seed, at1=0.05, at2=0.8, at10=0.9))
    lines = cells_of(tmp_path, "strings-5")
    place = lines.index(["MANN, LSTM", "paper", "0.0", "69.5", "80.4", "87.9", "88.4", "93.1", ""])
    assert lines[place + 1 : place + 3] == [
        ["", "ours", "5.0 (4.0-6.0)", "80.0 (79.0-81.0)", "", "", "", "90.0 (89.0-91.0)", "3"],
        ["", "difference", "+5.0", "+10.5", "", "", "", "-3.1", ""],
    ]


def test_a_row_is_compared_with_its_tables_reference_on_the_same_episodes_and_seeds(tmp_path: Path) -> None:
    def stored(name: str, seed: int, *right: list[int], of: str = "these") -> None:
        store(tmp_path, name, seed, with_counts(content_of(name, seed, at1=0.5, at2=0.5), list(right), of))

    nothing, half, all_right = [0] * 4, [1] * 4, [2] * 4
    stored("strings-5-mann", 0, half, all_right)
    stored("strings-5-mann", 1, half, half)
    stored("strings-5-lstm", 0, half, nothing)
    stored("strings-5-lstm", 1, half, nothing)
    stored("strings-5-lstm", 2, all_right, all_right)  # which the reference has not
    stored("strings-5-feedforward", 0, half, nothing, of="others")
    stored("strings-5-knn-pixels", 0, nothing, [2, 2, 2, 0])
    minus = [line for line in cells_of(tmp_path, "strings-5") if line[1].startswith("minus")]
    assert minus == [
        # Student's interval of 4 episodes that gain 0, 0, 0 and -1: 3.182 standard errors of 0.25.
        ["", "minus MANN, LSTM", "-50.0 (-50.0 to -50.0)", "-25.0 (-104.6 to +54.6)", "", "", "", "", "single seed"],
        # Two seeds, -1 and -0.5: 12.706 standard errors of 0.25.
        ["", "minus MANN, LSTM", "+0.0 (+0.0 to +0.0)", "-75.0 (-392.7 to +242.7)", "", "", "", "", "2"],
    ]


def test_few_shot_rows_are_compared_too(tmp_path: Path) -> None:
    for name, right in (("few-shot-5-memory-pretrained", [2, 2]), ("few-shot-5-prototypes", [1, 1])):
        store(tmp_path, name, 0, with_counts(content_of(name, 0, at1=0.5, at5=0.5), [right, [1, 1]]))
    (minus,) = [line for line in cells_of(tmp_path, "few-shot-5") if line[1].startswith("minus")]
    assert minus[2:] == ["-50.0 (-50.0 to -50.0)", "+0.0 (+0.0 to +0.0)", "single seed"]


def test_rows_that_are_not_measured_are_marked(tmp_path: Path) -> None:
    for table in TABLES:
        lines = cells_of(tmp_path, table)
        ours = [line for line in lines if line[1] == "ours"]
        assert len(ours) == sum(row.table == table for row in ROWS.values())
        assert all(line[2:] == ["not measured yet", *[""] * (len(line) - 3)] for line in ours)
        assert not any(line[1] == "difference" for line in lines)


def test_seeds_are_counted(tmp_path: Path) -> None:
    store(tmp_path, "strings-5-mann", 1, content_of("strings-5-mann", 1, at2=0.8))
    store(tmp_path, "strings-5-knn-pixels", 0, content_of("strings-5-knn-pixels", 0, at2=0.4))
    last = [line[-1] for line in cells_of(tmp_path, "strings-5") if line[1] == "ours" and "not" not in line[2]]
    assert last == ["nothing is trained", "single seed"]


def test_a_mean_is_over_all_seeds_and_only_where_all_have_a_figure(tmp_path: Path) -> None:
    store(tmp_path, "one-hot-5-mann", 0, content_of("one-hot-5-mann", 0, at2=0.5, at3=0.6))
    store(tmp_path, "one-hot-5-mann", 1, content_of("one-hot-5-mann", 1, at2=0.7))
    (ours,) = [line for line in cells_of(tmp_path, "one-hot-5") if line[-1] == "2"]
    assert ours[3].startswith("60.0 (") and ours[4] == ""


def test_few_shot_figures_are_those_of_the_tables_ways(tmp_path: Path) -> None:
    content = content_of("few-shot-20-prototypes", 0, at1=0.9, at5=0.95)
    content["results"].append({**content["results"][0], "ways": 5, "accuracy": 0.985, "high": 1.0})
    store(tmp_path, "few-shot-20-prototypes", 0, content)
    lines = cells_of(tmp_path, "few-shot-20")
    place = lines.index(["prototypical networks", "paper", "96.0", "98.9", ""])
    assert lines[place + 1][2:4] == ["90.0 (89.0-91.0)", "95.0 (94.0-96.0)"]
    assert lines[place + 2][2:4] == ["-6.0", "-3.9"]


def test_the_page_has_the_commands_that_make_a_row(tmp_path: Path) -> None:
    for seed in (0, 2):
        store(tmp_path, "strings-15-mann", seed, content_of("strings-15-mann", seed, at2=0.8))
    text = page(PAPERS, read_results(tmp_path, PAPERS))
    (line,) = [line for line in text.splitlines() if line.startswith("| `strings-15-mann` |")]
    assert f"`{' '.join(training_arguments(ROWS['strings-15-mann'].training))}`" in line
    assert "| 3 | [0](results/strings-15-mann/seed-0.json), [2](results/strings-15-mann/seed-2.json) |" in line
    assert line.endswith("| aaa, bbb |")


def test_all_models_are_in_one_picture(tmp_path: Path) -> None:
    assert plot(PAPERS, read_results(tmp_path, PAPERS)) is None
    store(tmp_path, "few-shot-5-memory", 0, content_of("few-shot-5-memory", 0, at1=0.9))
    assert plot(PAPERS, read_results(tmp_path, PAPERS)) is None  # another measure
    for name, value in (("strings-5-mann", 0.8), ("strings-5-lstm", 0.3), ("strings-15-mann", 0.7)):
        store(tmp_path, name, 0, content_of(name, 0, at2=value))
    figure = plot(PAPERS, read_results(tmp_path, PAPERS))
    assert figure is not None
    small_table, large_table = figure.axes
    drawn = {container.get_label(): container[0] for container in small_table.containers}
    assert {name: list(line.get_ydata()) for name, line in drawn.items()} == {"LSTM": [0.3], "MANN, LSTM": [0.8]}
    papers = {line.get_label(): line for line in small_table.lines if str(line.get_label()).endswith("(paper)")}
    assert numpy.array_equal(papers["MANN, LSTM (paper)"].get_ydata(), [0.0, 0.695, 0.804, 0.879, 0.884, 0.931])
    assert papers["LSTM (paper)"].get_color() == drawn["LSTM"].get_color() != drawn["MANN, LSTM"].get_color()
    assert "15 classes" in large_table.get_title()


def test_page_and_picture_are_written_together(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert write_page(tmp_path, PAPERS) == [tmp_path / "results.md"]
    assert "instances.png" not in (tmp_path / "results.md").read_text()
    store(tmp_path / "results", "strings-5-mann", 0, content_of("strings-5-mann", 0, at2=0.8))
    assert write_page(tmp_path, PAPERS) == [tmp_path / "results" / "instances.png", tmp_path / "results.md"]
    assert "(results/instances.png)" in (tmp_path / "results.md").read_text()
    assert (tmp_path / "results" / "instances.png").stat().st_size > 1000
