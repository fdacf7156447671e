"""The endurance command: kills at a small size, and its exit status where a promise is broken."""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mann.cli.failures import one_line_errors
from tests.endurance import OnProgress
from tests.endurance.command import CHECKS, main
from tests.endurance.kills import BrokenPromiseError

REPOSITORY = Path(__file__).resolve().parents[2]
ENDURE = REPOSITORY / "scripts" / "endure.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


# In a process of its own, because the trainings are forked from it: it must have no threads.
KILLS = """
import sys
from functools import partial
from tests.endurance.command import CHECKS, main, run_training
from tests.endurance.kills import endure_kills
checks = {"kills": CHECKS["kills"]._replace(run=partial(endure_kills, run_training, steps=30))}
sys.exit(main(["kills", "--count", "4", "--out", sys.argv[1]], checks))
"""


def test_the_script_runs_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", [str(ENDURE), "patience"])
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ENDURE), run_name="__main__")
    output, errors = capsys.readouterr()
    assert (ended.value.code, output) == (2, "")
    assert errors.startswith("error: no check is named 'patience': use one of kills, ")


def test_killed_trainings_end_like_uninterrupted_ones(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLS, tmp_path / "out"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "kills.json").read_text())
    assert (found["count"], found["steps"]) == (4, 30)
    for subject in found["subjects"].values():
        assert sum(subject.get(name, 0) for name in ("SIGKILL", "SIGTERM", "SIGINT")) == 2
        assert subject["identical trainings"] >= 1


def test_broken_promise_ends_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(count: int, folder: Path, progress: OnProgress) -> dict[str, Any]:
        progress(count)
        raise BrokenPromiseError("weights differ")

    checks = {"kills": CHECKS["kills"]._replace(run=broken)}
    assert main(["kills", "--out", str(tmp_path / "out")], checks) == 1
    assert capsys.readouterr() == ("", "error: weights differ\n")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("growth", "message"),
    [
        ({"memory_mib": 3.0, "open_files": 0}, "the resident set size has grown by 3.0 MiB"),
        ({"memory_mib": 0.0, "open_files": 1}, "the number of open files has grown by 1"),
        ({"memory_mib": 1.0, "open_files": 0}, None),
    ],
)
def test_growth_is_a_broken_promise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], growth: dict[str, float], message: str | None
) -> None:
    held = [[1, 100.0, 7], [2, 100.0, 7]]
    found = {"unit": "evaluations", "growth": growth, "held": held}
    checks = {"evaluations": CHECKS["evaluations"]._replace(run=lambda *_: found)}
    status = main(["evaluations", "--count", "2", "--out", str(tmp_path)], checks)
    assert (status, capsys.readouterr().err) == ((0, "") if message is None else (1, f"error: {message}\n"))
    assert json.loads((tmp_path / "evaluations.json").read_text())["held"] == held
    assert (tmp_path / "evaluations.png").stat().st_size


@pytest.mark.parametrize(
    ("name", "found", "message"),
    [
        ("seeds", {"subjects": {"copy": {"not_finite": {}}}}, None),
        ("seeds", {"subjects": {"copy": {"not_finite": {3: "step 1", 5: "step 2"}}}}, "not finite: copy 3, copy 5"),
        ("fuzz", {"parsers": {"config": {"crash": ""}}}, None),
        ("fuzz", {"parsers": {"config": {"crash": ""}, "split": {"crash": "KeyError"}}}, "crashed: split"),
    ],
)
def test_failures_are_broken_promises(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, found: dict[str, Any], message: str | None
) -> None:
    checks = {name: CHECKS[name]._replace(run=lambda *_: found)}
    assert main([name, "--out", str(tmp_path)], checks) == (message is not None)
    assert capsys.readouterr().err == ("" if message is None else f"error: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "CHECK is missing"),
        (["patience"], "no check is named 'patience': use one of kills, seeds, training, fuzz, evaluations"),
        (["kills", "--count", "0"], "--count 0: at least 1 is needed"),
    ],
)
def test_wrong_options_are_refused(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        main(arguments)
    output, errors = capsys.readouterr()
    assert (ended.value.code, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("error: ") and message in errors
