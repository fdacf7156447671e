"""Stored results are checked against their recipes."""

from pathlib import Path

import pytest

from data import InputError
from mann.papers.recipes import PAPERS
from mann.papers.results import read_results, result_path
from tests.mann.papers.stored_results import Content, content_of, store


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
