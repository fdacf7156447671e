"""What the commands share: errors in one line, devices, signals, a progress bar for terminals only."""

import errno
import re
import signal
from collections.abc import Callable
from types import ModuleType

import pytest
import torch

from data import InputError

Script = Callable[[str], ModuleType]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("what is\nwrong"), 2, "error: what is wrong"),
        (
            OSError(errno.ENOSPC, "No space left on device", "weights"),
            2,
            "error: .* No space left on device: 'weights'",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_are_one_line(
    script: Script, capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str
) -> None:
    with pytest.raises(SystemExit) as ended, script("commands").one_line_errors():
        raise error
    assert ended.value.code == status
    said = capsys.readouterr().err
    assert re.fullmatch(line + "\n", said)


def test_what_a_file_says_does_nothing_to_a_terminal(script: Script, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), script("commands").one_line_errors():
        raise InputError("no class is named \x1b[2Jone\ntwo \x07\u202e")
    assert capsys.readouterr().err == "error: no class is named \\x1b[2Jone two \\x07\\u202e\n"


def out_of_memory_on_a_gpu() -> None:
    """Raise what a GPU raises."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize(
    "fill",
    [
        lambda: torch.empty(1 << 60),
        lambda: bytearray(1 << 62),
        out_of_memory_on_a_gpu,
    ],
)
def test_too_little_memory_is_one_line_too(
    script: Script, capsys: pytest.CaptureFixture[str], fill: Callable[[], object]
) -> None:
    with pytest.raises(SystemExit) as ended, script("commands").one_line_errors():
        fill()
    assert ended.value.code == 2
    assert re.fullmatch("error: out of memory: lower .*--batch.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes do not fit")])
def test_other_errors_are_ours_and_keep_their_traceback(script: Script, error: Exception) -> None:
    with pytest.raises(type(error)), script("commands").one_line_errors():
        raise error


@pytest.mark.parametrize("edge", ["\u2500", "-"])
def test_boxes_become_one_line(script: Script, edge: str) -> None:
    side, line = ("\u2502", edge * 24) if edge != "-" else (" ", edge * 24)
    upper = f"\u256d{edge} Title {edge * 16}\u256e" if edge != "-" else f" Title \n {line} "
    box = [
        upper,
        f"{side} Unrecognized: --hiden   {side}",
        f"{side} --long                  {side}",
        f"{side} {line} {side}",
        f"{side} Perhaps you meant:      {side}",
        f"{side}     --hidden INT        {side}",
        f"{side}         Hidden units.   {side}",
        f"{side} {line} {side}",
        f"{side} For help, see --help    {side}",
        f"\u2570{line}\u256f" if edge != "-" else "",
    ]
    core = script("commands")._core
    assert core("\n".join(box)) == "Unrecognized: --hiden --long; did you mean --hidden?"
    assert core("\n".join([*box[:3], *box[7:]])) == "Unrecognized: --hiden --long; --help lists all options"


@pytest.mark.parametrize("message", ["one line", "two\nlines"])
def test_message_without_a_box_is_no_failure(script: Script, message: str) -> None:
    assert script("commands")._core(message).endswith("--help lists all options")


def test_device_is_picked(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    pick_device = script("commands").pick_device
    for available, picked in ((False, "cpu"), (True, "cuda")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda available=available: available)
        assert pick_device("auto").type == picked
        assert pick_device("cpu").type == "cpu"
    assert pick_device("cuda").type == "cuda"


def test_signals_are_noted_and_handlers_put_back(script: Script) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        with script("commands").caught_signals() as caught:
            assert caught() == 0
            signal.raise_signal(number)
            assert caught() == number
        assert {number: signal.getsignal(number) for number in before} == before


def test_progress_is_for_terminals_only(
    script: Script, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for terminal in (False, True):
        monkeypatch.setenv("FORCE_COLOR", "1" if terminal else "")  # as good as a terminal to rich
        with script("commands").progress_bar() as bar:
            bar.add_task("working", total=3)
        said = capsys.readouterr()
        assert ("working" in said.err) == terminal
        assert said.out == ""
