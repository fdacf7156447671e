"""Errors and warnings as one line each on standard error, with options in place of the library's parameters."""

import re
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from data import InputError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn errors and signals into a command's exit status, without a traceback; warnings are one line each, too.

    A user's mistake, a full disk or full memory: one line on standard error and exit status 2. Ctrl-C and SIGTERM: the
    stack is unwound, so that worker processes end too, and the exit status is 128 plus the signal's number.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    formatted, warnings.formatwarning = warnings.formatwarning, _warning_line
    try:
        yield
    except (InputError, OSError) as error:
        print_error(error)
        sys.exit(2)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        print_error("out of memory: lower what takes it, such as `batch`, `slots` or `hidden_size`")
        sys.exit(2)
    except KeyboardInterrupt as interruption:
        print("interrupted", file=sys.stderr)
        sys.exit(128 + (interruption.args or (signal.SIGINT,))[0])
    finally:
        warnings.formatwarning = formatted


def _warning_line(message: Warning | str, *_place: object, **_line: object) -> str:
    """Return a warning as one line, without the place in the code that gave it."""
    return f"warning: {with_options(printable(str(message)))}\n"


def print_error(error: object) -> None:
    """Print an error as one line on standard error."""
    print(f"error: {with_options(printable(str(error)))}", file=sys.stderr)


def with_options(message: str) -> str:
    """Return a message of the library with options in place of parameters.

    >>> with_options("`hidden_size` is 0: use `resume` with `on_nonfinite=skip`")
    '--hidden-size is 0: use --resume with --on-nonfinite skip'
    """
    # The Python class that refuses a value is of no interest on the command line; a scheme or a task is.
    return re.sub(r"`([a-z_]+(?:\.[a-z_0-9]+)*)(?:=([^`]+))?`(?: of [A-Z]\w*(?=: ))?", _option, message)


def _option(parameter: re.Match[str]) -> str:
    """Return the option of a parameter, with its value if the message gives one."""
    name, value = parameter.groups()
    return f"--{name.replace('_', '-')}" + (f" {value}" if value else "")


def printable(message: str) -> str:
    """Return a message as one line without control characters, which a file may have put into it."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in " ".join(message.split())
    )


def _out_of_memory(error: Exception) -> bool:
    """Return whether memory was exhausted; for CPU memory, torch's RuntimeError shows it only in its message."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    """Unwind the stack as on Ctrl-C."""
    raise KeyboardInterrupt(number)
