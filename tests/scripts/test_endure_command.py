"""The command that puts the program through much: kills at a small size, and how it ends when a promise is broken."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ENDURE = REPOSITORY / "scripts" / "endure.py"
CARELESS = """
import sys
sys.path[:0] = [{scripts!r}, {repository!r}]
import endure
from mann import runs
runs.Run.keep_metrics_until = lambda run, step: None  # lines that are written again are there twice
sys.exit(endure.main(["kills", "--count", "6", "--out", sys.argv[1]]))
"""

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_killed_trainings_end_as_if_they_had_not_been(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ENDURE, "kills", "--count", "6", "--out", tmp_path / "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "kills.json").read_text())
    assert found["count"] == 6
    for subject in found["subjects"].values():
        assert sum(subject.get(name, 0) for name in ("SIGKILL", "SIGTERM", "SIGINT")) == 3
        assert subject["identical trainings"] >= 1


def test_broken_promise_ends_in_one_line(tmp_path: Path) -> None:
    careless = CARELESS.format(scripts=str(ENDURE.parent), repository=str(REPOSITORY))
    done = subprocess.run(
        [sys.executable, "-c", careless, tmp_path / "out"], cwd=tmp_path, capture_output=True, text=True, timeout=280
    )
    assert done.returncode != 0
    assert "metrics" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "required"),
        (("patience",), "no check is named 'patience': use one of kills, seeds, training, fuzz, evaluations"),
        (("kills", "--count", 0), "--count 0: at least 1 is needed"),
    ],
)
def test_wrong_options_are_refused(refused: Callable[..., str], arguments: tuple[Any, ...], message: str) -> None:
    assert message in refused("endure", *arguments)
