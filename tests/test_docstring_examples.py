"""The examples in docstrings run as they are printed."""

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for package in ("mann", "data", "episodes")
    for path in (REPOSITORY / package).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def failures(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what doctest prints about the failed examples of a module; "" if there are none.

    >>> 1 + 1
    2
    """
    capsys.readouterr()
    failed, attempted = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert attempted, f"no example of {module} was run"
    return capsys.readouterr().out if failed else ""


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(
    name: str, capsys: pytest.CaptureFixture[str], data_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANN_CACHE", str(data_cache))
    monkeypatch.chdir(tmp_path)  # an example may write files
    message = failures(importlib.import_module(name), capsys)
    assert not message, message


def test_there_are_examples_and_a_wrong_one_is_noticed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "mann.settings.presets" in MODULES
    here = importlib.import_module(__name__)
    assert failures(here, capsys) == ""
    monkeypatch.setattr(failures, "__doc__", ">>> 1 + 1\n3\n")
    assert "Expected:\n    3\nGot:\n    2\n" in failures(here, capsys)
