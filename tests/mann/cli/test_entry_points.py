"""`python -m mann COMMAND`: usage, unknown commands, and the same commands as scripts/."""

import sys

import pytest

from mann.cli import COMMANDS, main


def run_main(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run `python -m mann` with some words; returns status, output and errors."""
    monkeypatch.setattr(sys, "argv", ["mann", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_usage_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["--help"], ["-h"]):
        status, output, errors = run_main(monkeypatch, capsys, *words)
        assert (status, errors) == (0, "")
        assert output.startswith("usage: ")
        for name in COMMANDS:
            assert f"\n  {name} " in output


def test_an_unknown_command_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = run_main(monkeypatch, capsys, "trian")
    assert (status, output) == (2, "")
    assert errors == f"error: no command is named 'trian': use one of {', '.join(COMMANDS)}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, output, errors = run_main(monkeypatch, capsys, name, "--help")
    assert (status, errors) == (0, "")
    assert output.startswith("usage: ") and len(output.splitlines()) > 10


@pytest.mark.parametrize("words", ["train mnist", "evaluate", "report", "reproduce", "benchmark", "demo --prot 1"])
def test_a_mistake_is_one_line_and_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: str
) -> None:
    status, output, errors = run_main(monkeypatch, capsys, *words.split())
    assert (status, output) == (2, "")
    assert errors.startswith("error: ") and errors.count("\n") == 1 and "`" not in errors
