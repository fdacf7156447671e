"""Stored results are checked against their recipes."""

from pathlib import Path

import pytest

from data import InputError
from mann.papers.recipes import PAPERS
from mann.papers.results import read_results, result_path
from mann.papers.row_runs import run_settings
from mann.settings import Options, changed
from mann.settings.storage import plain
from tests.mann.papers.stored_results import Content, content_of, store


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "validation"}, "its split is 'validation', but the recipe says 'test'"),
        ({"dataset": "strokes"}, "its dataset is 'strokes', but the recipe says 'omniglot'"),
        ({"labels": "one-hot"}, "its labels is 'one-hot', but the recipe says 'strings'"),
        ({"classes": 15}, "its classes is 15, but the recipe says 5"),
        ({"episodes": 100}, "its episodes is 100, but the recipe says 2000"),
        ({"alphabets": "one"}, "its alphabets is 'one', but the recipe says 'all'"),
        ({"memory": "persistent"}, "its memory is 'persistent', but the recipe says 'wiped'"),
        ({"training": {"seed": 1}}, "its seed is 1, but the recipe says 0"),
        ({"training": {"settings": {}}}, "is damaged ("),
        ({"environment": {}}, "is damaged (KeyError('commit'))"),
        ({"counts": {"of": "these", "right": ["1 2", "1 x"], "shown": ["2 2", "2 2"]}}, "is damaged (ValueError"),
        ({"counts": {"of": "these", "right": ["1 2", "1 2"], "shown": ["2 2 2"]}}, "is damaged (IndexError"),
        ({"instances": []}, None),
        ({"instances": [{"instance": 1, "accuracy": 0.5, "low": 0.6, "high": 0.7}]}, "are no share and its interval"),
        ({"instances": [{"instance": 1, "accuracy": 1.5, "low": 0.6, "high": 1.7}]}, "are no share and its interval"),
        ({"instances": [{"instance": 1, "accuracy": "high", "low": 0.6, "high": 0.7}]}, "is damaged (TypeError"),
    ],
)
def test_results_of_another_recipe_are_refused(tmp_path: Path, change: Content, message: str | None) -> None:
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"slots": 9}, "its training.slots is 9, but the recipe says 64"),
        ({"seed": 3}, "its training.seed is 3, but the recipe says 0"),
        ({"addressing": "dnc"}, "its training.addressing is 'dnc', but the recipe says 'lrua'"),
        ({"model": "recurrent"}, "its training.model is 'recurrent', but the recipe says 'memory'"),
        ({"encoder_from": Path("runs/other-0")}, "its training.encoder_from is 'other-0', but the recipe says None"),
        ({"root": Path("elsewhere")}, None),
    ],
)
def test_results_of_other_settings_are_refused(tmp_path: Path, options: Options, message: str | None) -> None:
    content = content_of("strings-5-mann", 0, at2=0.8)
    config = changed(run_settings(PAPERS, "strings-5-mann", 0, Path("runs"), None), options)
    content["training"]["settings"] = plain(config)
    store(tmp_path, "strings-5-mann", 0, content)
    if message is None:
        assert read_results(tmp_path, PAPERS)["strings-5-mann"][0].minutes == 2
        return
    with pytest.raises(InputError) as refusal:
        read_results(tmp_path, PAPERS)
    assert message in str(refusal.value)


def test_an_encoder_of_the_right_row_and_seed_is_required_and_its_folder_is_free(tmp_path: Path) -> None:
    name, source = "few-shot-5-memory-pretrained", "one-hot-20-prototypes"
    content = content_of(name, 1, at1=0.5, at5=0.5)
    for folder in (f"runs/{source}-1", f"elsewhere/{source}-1"):
        content["training"]["settings"]["encoder_from"] = folder
        store(tmp_path, name, 1, content)
        assert list(read_results(tmp_path, PAPERS)[name]) == [1]
    content["training"]["settings"]["encoder_from"] = f"runs/{source}-0"
    store(tmp_path, name, 1, content)
    with pytest.raises(InputError, match=f"training.encoder_from is '{source}-0', but the recipe says '{source}-1'"):
        read_results(tmp_path, PAPERS)


def test_a_result_that_needs_no_training_has_none(tmp_path: Path) -> None:
    content = content_of("strings-5-knn-pixels", 0, at2=0.4)
    store(tmp_path, "strings-5-knn-pixels", 0, content)
    assert read_results(tmp_path, PAPERS)["strings-5-knn-pixels"][0].minutes is None
    content["training"] = content_of("strings-5-mann", 0, at2=0.4)["training"]
    store(tmp_path, "strings-5-knn-pixels", 0, content)
    with pytest.raises(InputError, match="strings-5-knn-pixels"):
        read_results(tmp_path, PAPERS)
