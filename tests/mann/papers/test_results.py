"""The papers' tables beside ours: planted results come out as they went in, and others are refused."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest

from data import InputError
from mann.papers.recipes import (
    PAPERS,
    chosen,
    recipe_of_training,
    run_folder,
    seeds_of,
    small,
    source_of,
    training_arguments,
)
from mann.papers.results import page, paper_of, plot, read_results, result_path, write_page

TABLES, ROWS = PAPERS
Content = dict[str, Any]


def content_of(name: str, seed: int, **accuracies: float) -> Content:
    """Return a result of a row, as scripts/evaluate.py writes it; accuracies: such as at2=0.9, within 0.01."""
    row = ROWS[name]
    table = TABLES[row.table]
    figures = [
        {"accuracy": value, "low": value - 0.01, "high": value + 0.01, "observations": 10}
        | ({"instance": int(at[2:])} if table.ways is None else {"shots": int(at[2:]), "ways": table.ways})
        for at, value in accuracies.items()
    ]
    arguments = training_arguments(PAPERS, name, seed, Path("runs/x"), Path("../omniglot"))
    training = {
        "seed": seed,
        "episodes": 100,
        "seconds": 120.0 + 60 * seed,
        "environment": {"command": " ".join(["train.py", *arguments]), "commit": "aaa"},
    }
    return {
        **table.content,
        ("instances" if table.ways is None else "results"): figures,
        "training": training if row.seeds else None,
        "environment": {"command": f"evaluate.py runs/x {row.evaluation} --root ../omniglot", "commit": "bbb"},
    }


def store(folder: Path, name: str, seed: int, content: Content) -> None:
    path = result_path(folder, name, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def shown(folder: Path, table: str) -> list[list[str]]:
    """Return the cells of a table of the page."""
    text = page(PAPERS, read_results(folder, PAPERS)).split(f"## {TABLES[table].title}\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def test_a_row_says_what_the_paper_has_what_we_have_and_how_far_they_are_apart(tmp_path: Path) -> None:
    for seed in range(3):
        store(tmp_path, "strings-5-mann", seed, content_of("strings-5-mann", seed, at1=0.05, at2=0.8, at10=0.9))
    lines = shown(tmp_path, "strings-5")
    place = lines.index(["MANN, LSTM", "paper", "0.0", "69.5", "80.4", "87.9", "88.4", "93.1", ""])
    assert lines[place + 1 : place + 3] == [
        ["", "ours", "5.0 (4.0-6.0)", "80.0 (79.0-81.0)", "", "", "", "90.0 (89.0-91.0)", "3"],
        ["", "difference", "+5.0", "+10.5", "", "", "", "-3.1", ""],
    ]


def with_counts(content: Content, right: list[list[int]], of: str = "these") -> Content:
    """Return a result that says how many of two answers were right in each episode, at each of its places."""
    columns = [" ".join(map(str, column)) for column in right]
    return {**content, "counts": {"of": of, "right": columns, "shown": [" ".join("2" * len(right[0]))] * len(right)}}


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
    minus = [line for line in shown(tmp_path, "strings-5") if line[1].startswith("minus")]
    assert minus == [
        # Student's interval of 4 episodes that gain 0, 0, 0 and -1: 3.182 standard errors of 0.25.
        ["", "minus MANN, LSTM", "-50.0 (-50.0 to -50.0)", "-25.0 (-104.6 to +54.6)", "", "", "", "", "single seed"],
        # Two seeds, -1 and -0.5: 12.706 standard errors of 0.25.
        ["", "minus MANN, LSTM", "+0.0 (+0.0 to +0.0)", "-75.0 (-392.7 to +242.7)", "", "", "", "", "2"],
    ]


def test_few_shot_rows_are_compared_too(tmp_path: Path) -> None:
    for name, right in (("few-shot-5-memory-pretrained", [2, 2]), ("few-shot-5-prototypes", [1, 1])):
        store(tmp_path, name, 0, with_counts(content_of(name, 0, at1=0.5, at5=0.5), [right, [1, 1]]))
    (minus,) = [line for line in shown(tmp_path, "few-shot-5") if line[1].startswith("minus")]
    assert minus[2:] == ["-50.0 (-50.0 to -50.0)", "+0.0 (+0.0 to +0.0)", "single seed"]


def test_what_is_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    for table in TABLES:
        lines = shown(tmp_path, table)
        ours = [line for line in lines if line[1] == "ours"]
        assert len(ours) == sum(row.table == table for row in ROWS.values())
        assert all(line[2:] == ["not measured yet", *[""] * (len(line) - 3)] for line in ours)
        assert not any(line[1] == "difference" for line in lines)


def test_seeds_are_counted(tmp_path: Path) -> None:
    store(tmp_path, "strings-5-mann", 1, content_of("strings-5-mann", 1, at2=0.8))
    store(tmp_path, "strings-5-knn-pixels", 0, content_of("strings-5-knn-pixels", 0, at2=0.4))
    last = [line[-1] for line in shown(tmp_path, "strings-5") if line[1] == "ours" and "not" not in line[2]]
    assert last == ["nothing is trained", "single seed"]


def test_a_mean_is_over_all_seeds_and_only_where_all_have_a_figure(tmp_path: Path) -> None:
    store(tmp_path, "one-hot-5-mann", 0, content_of("one-hot-5-mann", 0, at2=0.5, at3=0.6))
    store(tmp_path, "one-hot-5-mann", 1, content_of("one-hot-5-mann", 1, at2=0.7))
    (ours,) = [line for line in shown(tmp_path, "one-hot-5") if line[-1] == "2"]
    assert ours[3].startswith("60.0 (") and ours[4] == ""


def test_few_shot_figures_are_those_of_the_tables_ways(tmp_path: Path) -> None:
    content = content_of("few-shot-20-prototypes", 0, at1=0.9, at5=0.95)
    content["results"].append({**content["results"][0], "ways": 5, "accuracy": 0.985, "high": 1.0})
    store(tmp_path, "few-shot-20-prototypes", 0, content)
    lines = shown(tmp_path, "few-shot-20")
    place = lines.index(["prototypical networks", "paper", "96.0", "98.9", ""])
    assert lines[place + 1][2:4] == ["90.0 (89.0-91.0)", "95.0 (94.0-96.0)"]
    assert lines[place + 2][2:4] == ["-6.0", "-3.9"]


def test_the_page_says_how_a_row_was_made(tmp_path: Path) -> None:
    for seed in (0, 2):
        store(tmp_path, "strings-15-mann", seed, content_of("strings-15-mann", seed, at2=0.8))
    text = page(PAPERS, read_results(tmp_path, PAPERS))
    (line,) = [line for line in text.splitlines() if line.startswith("| `strings-15-mann` |")]
    assert f"`{ROWS['strings-15-mann'].training}`" in line
    assert "| 3 | [0](results/strings-15-mann/seed-0.json), [2](results/strings-15-mann/seed-2.json) |" in line
    assert line.endswith("| aaa, bbb |")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "validation"}, "its split is 'validation', but the recipe says 'test'"),
        ({"dataset": "strokes"}, "its dataset is 'strokes', but the recipe says 'omniglot'"),
        ({"labels": "one-hot"}, "its labels is 'one-hot', but the recipe says 'strings'"),
        ({"classes": 15}, "its classes is 15, but the recipe says 5"),
        ({"training": {"seed": 1}}, "its seed is 1, but the recipe says 0"),
        (
            {"training": {"environment": {"command": "train.py omniglot --labels strings --slots 9", "commit": ""}}},
            "its training is 'omniglot --labels strings --slots 9', but the recipe says 'omniglot --labels strings'",
        ),
        (
            {"environment": {"command": "evaluate.py runs/x --part validation", "commit": ""}},
            "its evaluation is '--part validation', but the recipe says ''",
        ),
        ({"environment": {}}, "is damaged (KeyError('command'))"),
        ({"counts": {"of": "these", "right": ["1 2", "1 x"], "shown": ["2 2", "2 2"]}}, "is damaged (ValueError"),
        ({"counts": {"of": "these", "right": ["1 2", "1 2"], "shown": ["2 2 2"]}}, "is damaged (IndexError"),
        ({"instances": []}, None),
        ({"instances": [{"instance": 1, "accuracy": 0.5, "low": 0.6, "high": 0.7}]}, "are no share and its interval"),
        ({"instances": [{"instance": 1, "accuracy": 1.5, "low": 0.6, "high": 1.7}]}, "are no share and its interval"),
        ({"instances": [{"instance": 1, "accuracy": "high", "low": 0.6, "high": 0.7}]}, "is damaged (TypeError"),
    ],
)
def test_results_that_were_not_made_so_are_refused(tmp_path: Path, change: Content, message: str | None) -> None:
    content = content_of("strings-5-mann", 0, at2=0.8)
    for name, value in change.items():
        content[name] = {**content[name], **value} if name == "training" else value
    store(tmp_path, "strings-5-mann", 0, content)
    if message is None:
        read_results(tmp_path, PAPERS)
        return
    with pytest.raises(InputError) as refusal:
        read_results(tmp_path, PAPERS)
    assert message in str(refusal.value) and "strings-5-mann/seed-0.json" in str(refusal.value)


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    store(tmp_path, "strings-5-mann", 0, {})
    result_path(tmp_path, "strings-5-mann", 0).write_text('{"task": ')
    with pytest.raises(InputError, match=r"seed-0.json is damaged .*: delete it, and reproduce the row again"):
        read_results(tmp_path, PAPERS)


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


def test_every_published_row_of_a_method_that_we_have_has_a_recipe() -> None:
    for name, table in TABLES.items():
        beside = [paper_of(table, row) for row in ROWS.values() if row.table == name]
        for paper in table.published:
            ours = paper.model != "human" if table.ways is None else paper.model in ("prototypical networks", "MAML")
            assert beside.count(paper) == ours, (name, paper)


def test_rows_are_chosen_by_name_by_table_or_all() -> None:
    assert chosen(PAPERS, ["strings-15-mann", "one-hot-5-lstm"]) == ["one-hot-5-lstm", "strings-15-mann"]
    assert chosen(PAPERS, ["few-shot-20"]) == [name for name, row in ROWS.items() if row.table == "few-shot-20"]
    assert chosen(PAPERS, ["all"]) == list(ROWS)
    with pytest.raises(InputError, match="no row or table is named 'strings': use all, one-hot-5, strings-5"):
        chosen(PAPERS, ["one-hot-5", "strings"])


def test_rows_of_one_training_share_its_run() -> None:
    runs = Path("runs")
    shared = run_folder(PAPERS, "few-shot-5-memory", 1, runs)
    assert shared == run_folder(PAPERS, "one-hot-5-mann-conv", 1, runs) == runs / "one-hot-5-mann-conv-1"
    trainings = {row.training for row in ROWS.values()}
    assert len({run_folder(PAPERS, name, 0, runs) for name in ROWS}) == len(trainings) < len(ROWS)


def test_a_row_starts_from_the_encoder_of_the_run_of_another_with_its_seed() -> None:
    starting = {name: source for name, row in ROWS.items() if (source := source_of(row))}
    assert starting["few-shot-5-memory-pretrained"] == "one-hot-20-prototypes" and "one-hot-5-mann" not in starting
    for name, source in starting.items():
        assert run_folder(PAPERS, source, 3, Path("runs")) == Path("runs") / f"{source}-3"
        arguments = training_arguments(PAPERS, name, 3, Path("runs"), None)
        assert arguments[arguments.index("--encoder-from") + 1] == f"runs/{source}-3"
        assert recipe_of_training(" ".join(["train.py", *arguments])) == ROWS[name].training


def test_seeds_are_the_rows_own_unless_asked_for() -> None:
    assert seeds_of(ROWS["one-hot-5-mann"], ()) == (0, 1, 2)
    assert seeds_of(ROWS["one-hot-5-mann"], (5,)) == (5,)
    assert seeds_of(ROWS["strings-5-knn-pixels"], (5,)) == seeds_of(ROWS["strings-5-knn-pixels"], ()) == (0,)


def test_small_recipes_are_of_the_same_rows_and_of_other_images() -> None:
    tables, rows = small(PAPERS)
    assert list(rows) == [name for name in ROWS if name != "one-alphabet-5-mann"]  # no alphabets there
    assert {row.table for row in rows.values()} == set(tables)
    assert {table.content["dataset"] for table in tables.values()} == {"strokes"}
    for name, row in rows.items():
        assert row.training.startswith(ROWS[name].training.replace("omniglot", "strokes"))
        assert not any(row == other for other in ROWS.values())
