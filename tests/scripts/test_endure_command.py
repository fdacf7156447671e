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


def test_broken_promise_ends_in_one_line(
    command: Callable[..., Any], script: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endure = script("endure")

    def broken(*_: object) -> None:
        raise endure.BrokenPromiseError("weights differ")

    monkeypatch.setattr(endure, "endure_kills", broken)
    status, output, errors = command("endure", "kills", "--out", tmp_path / "out")
    assert (status, output, errors) == (1, "", "error: weights differ\n")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        ({"memory_mib": 3.0, "open_files": 0}, "3.0 MiB more are held"),
        ({"memory_mib": 0.0, "open_files": 1}, "1 files more are open"),
        ({"memory_mib": 1.0, "open_files": 0}, None),
    ],
)
def test_growth_is_a_broken_promise(
    command: Callable[..., Any],
    script: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    growth: dict[str, float],
    message: str | None,
) -> None:
    endure = script("endure")
    held = [[1, 100.0, 7], [2, 100.0, 7]]
    found = {"unit": "evaluations", "growth": growth, "held": held}
    monkeypatch.setattr(endure, "endure_evaluations", lambda *_: found)
    status, _, errors = command("endure", "evaluations", "--count", 2, "--out", tmp_path)
    assert (status, errors) == ((0, "") if message is None else (1, f"error: {message}\n"))
    assert json.loads((tmp_path / "evaluations.json").read_text())["held"] == held
    assert (tmp_path / "evaluations.png").stat().st_size


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
