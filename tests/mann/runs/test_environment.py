"""The environment of a run: versions, commit, device and command."""

import json
import os
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from mann.runs import describe_environment


def test_the_environment_holds_everything_that_is_needed_to_repeat_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/some/where/train.py", "strokes", "--run", "my runs/one"])
    environment = describe_environment(torch.device("cpu"))
    assert environment["command"] == "train.py strokes --run 'my runs/one'"
    assert environment["device"].startswith("cpu: ")
    assert environment["threads"] == torch.get_num_threads()
    assert environment["cores"] == os.cpu_count()
    for library in ("torch", "torchvision", "numpy", "scipy"):
        assert environment[library] == version(library)
    assert environment["python"].startswith("3.")
    commit = environment["commit"]
    assert commit is None or (len(commit.rstrip("+")) >= 7 and int(commit.rstrip("+"), 16) >= 0)
    json.dumps(environment)


def test_an_environment_without_git_has_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert describe_environment(torch.device("cpu"))["commit"] is None
