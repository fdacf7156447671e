"""Devices, signals and progress bars of the commands."""

import signal

import pytest
import torch
from rich.table import Table

from mann.cli.console import caught_signals, pick_device, print_whole, progress_bar, quiet


def test_device_is_picked(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, picked in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device("auto").type == picked
        assert pick_device("cpu").type == "cpu"
    assert pick_device("cuda").type == "cuda"


def test_signals_are_recorded_and_handlers_restored() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        with caught_signals() as caught:
            assert caught() == 0
            signal.raise_signal(number)
            assert caught() == number
        assert {number: signal.getsignal(number) for number in before} == before


def test_progress_is_for_terminals_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal in (False, True):
        monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")  # a terminal, to rich
        with progress_bar() as bar:
            bar.add_task("working", total=3)
        printed = capsys.readouterr()
        assert ("working" in printed.err) == terminal
        assert printed.out == ""


def test_a_table_is_printed_whole_where_the_output_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = Table()
    table.add_column("a heading of many words", no_wrap=True)
    table.add_row("a cell of many more words than the heading")
    print_whole(table)
    assert "a cell of many more words than the heading" in capsys.readouterr().out


def test_other_processes_of_a_group_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    for silent in (False, True):
        with quiet(silent):
            print("message")
        assert capfd.readouterr().out == ("" if silent else "message\n")
