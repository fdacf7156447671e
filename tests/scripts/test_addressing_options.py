"""Schemes from the command line: the listed ones, their options, and one that somebody adds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mann.addressing import NTM, SCHEMES
from mann.runs import Run
from mann.settings import Memory, by_option
from tests.scripts.running import OF_MEMORY, Command, Refused, without

REPOSITORY = Path(__file__).resolve().parents[2]

ADDED = '''"""Round robin: writes to the slots in turn, reads by content."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from data.checking import AtLeastOne
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.ntm import first_slot
from mann.addressing.similarity import content_weights


class State(NamedTuple):
    """turn: [batch, 1, slots], one-hot: the slot that is written next."""

    turn: Tensor


@dataclass(frozen=True)
class RoundRobin(Scheme):
    """See the module's docstring."""

    read_heads: AtLeastOne = 1
    """Read heads."""
    pace: AtLeastOne = 1
    """Slots from one write to the next."""
    name: Literal["round-robin"] = field(default="round-robin", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """A key for each head, and a word to write."""
        return {"key": Control(self.read_heads, word_size, torch.tanh), "add": Control(1, word_size, torch.tanh)}

    def initial_state(self, memory: Tensor) -> State:
        """The first slot's turn."""
        return State(first_slot(memory, 1))

    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Replace the slot whose turn it is."""
        return Write(state.turn, 1 - state.turn.mT, controls["add"]), State(state.turn.roll(self.pace, -1))

    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Read by content."""
        return content_weights(controls["key"], 8.0, memory), state
'''


def test_a_scheme_that_somebody_adds_trains_from_the_command_line(tiny: list[object], tmp_path: Path) -> None:
    """One file of less than 60 lines and its entry in the list of schemes are all that it takes."""
    assert len(ADDED.splitlines()) < 60
    for package in ("mann", "data", "episodes", "scripts"):
        shutil.copytree(REPOSITORY / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "mann" / "addressing" / "round_robin.py").write_text(ADDED)
    listing = tmp_path / "mann" / "addressing" / "__init__.py"
    text = listing.read_text()
    assert text.count("(NTM, Content,") == 1
    listing.write_text(
        text.replace("(NTM, Content,", "(NTM, RoundRobin, Content,").replace(
            "from mann.addressing.ntm import NTM\n",
            "from mann.addressing.ntm import NTM\nfrom mann.addressing.round_robin import RoundRobin\n",
        )
    )
    ended = subprocess.run(
        [sys.executable, "scripts/train.py", *map(str, tiny[1:])]
        + ["--addressing", "round-robin", "--scheme.pace", "2", "--run", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert '"pace": 2' in (tmp_path / "run" / "config.json").read_text()
    assert list((tmp_path / "run" / "checkpoints").iterdir())


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_trains_continues_and_is_evaluated(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    assert command(*tiny, "--run", run, "--addressing", name).status == 0
    assert by_option(Run(run).config())["addressing"] == name
    other = "ntm" if name != "ntm" else "dnc"
    message = refused(*tiny, "--run", run, "--resume", "--addressing", other)
    assert f"--addressing is {name}, not {other}" in message
    assert "trained already" in command("train", "folder", "--run", run, "--resume").output
    status, output, _ = command("evaluate", run, "--episodes", 10)
    assert status == 0 and "2nd" in output


@pytest.mark.parametrize(("former", "model"), [("none", "recurrent"), ("prototypes", "prototypes")])
def test_the_former_names_of_models_still_work(
    command: Command, tiny: list[object], tmp_path: Path, former: str, model: str
) -> None:
    plain = without(tiny, *OF_MEMORY, *(["--hidden-size"] if model == "prototypes" else []))
    run = tmp_path / "run"
    assert command(*plain, "--addressing", former, "--run", run).status == 0
    assert by_option(Run(run).config())["model"] == model
    assert "trained already" in command(*plain, "--model", model, "--run", run, "--resume").output
    status, output, _ = command("evaluate", run, "--episodes", 10)
    assert status == 0 and "2nd" in output


def test_options_are_those_of_the_chosen_scheme(command: Command, tiny: list[object], tmp_path: Path) -> None:
    options = ["--scheme.write-heads", 2, "--scheme.similarity", "dot", "--layers", 2, "--controller", "gru"]
    run = tmp_path / "run"
    assert command(*tiny, "--run", run, "--addressing", "ntm", *options, "--initial-memory", "learned").status == 0
    model = Run(run).config().model
    assert isinstance(model, Memory)
    assert model.scheme == NTM(read_heads=2, write_heads=2, similarity="dot", start="recognise")
    assert (model.layers, model.controller, model.initial_memory) == (2, "gru", "learned")
