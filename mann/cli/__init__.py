"""The commands: `python -m mann COMMAND`, and the files of scripts/.

train:     train a model
evaluate:  measure trained models
report:    everything about a run on one HTML page
demo:      the page on which one draws
reproduce: rebuild the papers' tables
benchmark: compare schemes, speed and samplers

training_options: the options of train, generated from the settings
command_line:     command lines as typed options, with one call of tyro
failures:         errors as one line on standard error, with options in place of parameters
console:          tables, progress bars, devices, signals
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from data import InputError
from mann.cli.failures import one_line_errors
from mann.support.process_memory import keep_freed_memory

COMMANDS: Final = ("train", "evaluate", "report", "demo", "reproduce", "benchmark")

USAGE: Final = """usage: python -m mann COMMAND [options]

  train      train a model on images or on an algorithmic task
  evaluate   measure trained models on classes and sequences that they were not trained on
  report     write everything about a run to one HTML page
  demo       draw characters in the browser and see a memory learn them
  reproduce  rebuild the papers' tables
  benchmark  compare addressing schemes, speed and samplers

python -m mann COMMAND --help explains a command.
"""


def main() -> None:
    """Run the command that the command line names, and exit."""
    with one_line_errors():
        name, *arguments = sys.argv[1:] or ["--help"]
        if name in ("-h", "--help"):
            print(USAGE, end="")
            sys.exit(0)
        if name not in COMMANDS:
            raise InputError(f"no command is named {name!r}: use one of {', '.join(COMMANDS)}")
        run(name, arguments)


def run(name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command, and exit with its status; arguments: those of the process where none are given."""
    with one_line_errors():
        keep_freed_memory()
        # Imported by name: a command does not wait for the libraries of the others.
        command = import_module(f"mann.cli.{name}")
        sys.exit(command.main(list(sys.argv[1:] if arguments is None else arguments)))
