"""Errors of commands: one line on standard error, with options in place of parameters."""

import errno
import re
import warnings
from collections.abc import Callable

import pytest
import torch

from data import InputError
from mann.cli.failures import one_line_errors, with_options


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("nothing to replace", "nothing to replace"),
        ("`classes` is 8: at most 5 are available", "--classes is 8: at most 5 are available"),
        ("`hidden_size` and `on_nonfinite=skip`", "--hidden-size and --on-nonfinite skip"),
        ("`scheme.read_heads` of lrua: use 1", "--scheme.read-heads of lrua: use 1"),
        ("`episodes` of TaskConfig: Input should be 1", "--episodes: Input should be 1"),
        ("`slots` of Memory is large", "--slots of Memory is large"),
        ("`learning_rate=0.001`", "--learning-rate 0.001"),
        ("`labels=one-hot`, not `labels=strings`", "--labels one-hot, not --labels strings"),
        ("`resume`", "--resume"),
        ("add `run`: `split` is missing (`root=a folder`)", "add --run: --split is missing (--root a folder)"),
    ],
)
def test_parameters_become_options(message: str, expected: str) -> None:
    assert with_options(message) == expected
    assert "`" not in with_options(message)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (InputError("two\nlines"), 2, "error: two lines"),
        (InputError("`hidden_size` is 0"), 2, "error: --hidden-size is 0"),
        (
            OSError(errno.ENOSPC, "No space left on device", "weights"),
            2,
            "error: .* No space left on device: 'weights'",
        ),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_errors_are_one_line(capsys: pytest.CaptureFixture[str], error: BaseException, status: int, line: str) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == status
    assert re.fullmatch(line + "\n", capsys.readouterr().err)


def test_control_characters_of_a_file_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), one_line_errors():
        raise InputError("no class is named \x1b[2Jone\ntwo \x07\u202e")
    assert capsys.readouterr().err == "error: no class is named \\x1b[2Jone two \\x07\\u202e\n"


def out_of_memory_on_a_gpu() -> None:
    """Raise the error of a GPU."""
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize("fill", [lambda: torch.empty(1 << 60), lambda: bytearray(1 << 62), out_of_memory_on_a_gpu])
def test_too_little_memory_is_one_line_too(capsys: pytest.CaptureFixture[str], fill: Callable[[], object]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        fill()
    assert ended.value.code == 2
    assert re.fullmatch("error: out of memory: lower .*--batch.*\n", capsys.readouterr().err)


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError("shapes do not fit")])
def test_errors_of_the_library_keep_their_traceback(error: Exception) -> None:
    with pytest.raises(type(error)), one_line_errors():
        raise error


def test_a_warning_is_one_line_with_options_and_without_the_place_in_the_code() -> None:
    before = warnings.formatwarning
    with one_line_errors():
        line = warnings.formatwarning("`batch` of\nConfig: slow", UserWarning, "step.py", 3)
    assert line == "warning: --batch: slow\n"
    assert warnings.formatwarning is before
