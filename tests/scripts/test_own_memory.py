"""The example of docs/own-memory.md: a scheme in a file is trained, resumed, evaluated and compared."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mann.addressing import SCHEMES
from mann.runs import Run
from mann.settings import by_option
from tests.scripts.running import TINY, Command, Refused

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own-memory.md").read_text()


@pytest.fixture(autouse=True)
def _example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Write the file of the page into the current folder; forget its scheme afterwards."""
    monkeypatch.chdir(tmp_path)
    first, second = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    (tmp_path / "turns.py").write_text(first)
    (tmp_path / "use.py").write_text(second)
    yield
    SCHEMES.pop("turns", None)


def test_the_python_of_the_page_runs() -> None:
    names: dict[str, object] = {}
    exec(Path("use.py").read_text(), names)  # noqa: S102  the page's own code
    assert names["Turns"] is SCHEMES["turns"]


def test_a_scheme_in_a_file_is_trained_resumed_and_evaluated(command: Command, refused: Refused) -> None:
    own = ("--addressing", "turns.py:Turns")
    options = [*TINY.split(), "--scheme.read-heads", 1]
    assert command("train", "strokes", "--run", "run", *own, *options).status == 0
    assert by_option(Run(Path("run")).config())["scheme.read_heads"] == 1
    SCHEMES.pop("turns")
    # A run names the scheme alone: it never runs code by itself.
    for words in (("evaluate", "run"), ("train", "strokes", "--run", "run", "--resume")):
        assert "'turns'" in refused(*words) and "--addressing FILE.py:CLASS" in refused(*words)
    assert "trained already" in command("train", "strokes", "--run", "run", "--resume", *own).output
    assert command("evaluate", "run", "--episodes", 20, *own).status == 0
    assert (
        json.loads(Path("run/evaluation.json").read_text())["training"]["settings"]["model"]["scheme"]["name"]
        == "turns"
    )


def test_its_options_are_explained(command: Command) -> None:
    said = command("train", "copy", "--addressing=turns.py:Turns", "--help").output
    assert "--scheme.largest-strength" in said and "Largest strength of a read key." in " ".join(said.split())


def test_it_stands_in_the_comparison_of_schemes(command: Command) -> None:
    done = command(
        "benchmark", "addressing", "--quick", "--schemes", "lrua,turns.py:Turns", "--tasks", "copy", "--jobs", 2
    )
    assert done.status == 0
    rows = json.loads(Path("runs/addressing/addressing.json").read_text())["rows"]
    assert [row["scheme"] for row in rows] == ["lrua", "turns"]


def test_it_stands_in_the_suites(command: Command) -> None:
    options = ("--suite", "recall", "--schemes", "turns.py:Turns,lstm", "--jobs", 1)
    assert command("benchmark", "suites", "--quick", *options).status == 0
    content = json.loads(Path("runs/suites/suites.json").read_text())
    assert {row["model"] for row in content["rows"]} == {"turns", "lstm"}
    assert "turns" in Path("runs/suites/suites.html").read_text()


def test_a_file_that_is_not_there_is_refused(refused: Refused) -> None:
    assert "other.py is not there" in refused("train", "copy", "--addressing", "other.py:Turns")
    assert "has no class Turn; its schemes: Turns" in refused("evaluate", "run", "--addressing", "turns.py:Turn")
