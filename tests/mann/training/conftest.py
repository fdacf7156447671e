"""Started runs, by name."""

from collections.abc import Callable
from pathlib import Path

import pytest

from data import Split
from mann.runs import Run
from mann.settings import Config

Start = Callable[[str, Config], Run]


@pytest.fixture
def start(tmp_path: Path, tiny_split: Split) -> Start:
    """Return a function that starts a run by name."""

    def make(name: str, config: Config) -> Run:
        run = Run(tmp_path / name)
        run.start(config, tiny_split, {})
        return run

    return make
