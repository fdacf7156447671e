"""The training command refuses what is wrong in one line with status 2, and leaves nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from mann.settings import MODELS
from tests.scripts.running import SCRIPTS, Refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no task is named: use one of omniglot, strokes, folder, copy"),
        ("--episodes 3", "no task is named: use one of omniglot"),
        ("mnist", "no task is named 'mnist': use one of omniglot, strokes, folder"),
        ("folder --nope 3", "unrecognized options: --nope 3; --help lists all options"),
        ("folder --hiden-size 3", "unrecognized options: --hiden-size 3; did you mean --hidden-size or "),
        ("folder more", "unrecognized options: more; --help lists all options"),
        ("folder --resume yes", "unrecognized options: yes; "),
        ("folder --sizes.longest 3", r"unrecognized options: --sizes\.longest 3; "),
        ("copy --classes 3", "unrecognized options: --classes 3; "),
        ("copy --size.longest 3", r"unrecognized options: --size\.longest 3; did you mean --sizes\.longest"),
        ("folder --run", "--run: a value is missing"),
        ("folder --preset", "--preset: a value is missing"),
        ("folder --classes", "--classes: a value is missing"),
        ("folder --classes five", "--classes: expected INT, found 'five'"),
        ("folder --learning-rate fast", "--learning-rate: expected FLOAT, found 'fast'"),
        ("folder --clip-to-median five", r"--clip-to-median: expected none\|FLOAT, found 'five'"),
        ("folder --schedule steep", "--schedule: 'steep' is not one of cosine, constant"),
        ("folder --scheme.zeroed none", r"--scheme\.zeroed: 'none' is not one of one, all"),
        ("folder --controller rnn", "--controller: 'rnn' is not one of lstm, gru, feedforward"),
        ("folder --labels numbers", "--labels: 'numbers' is not one of one-hot, strings"),
        ("folder --preset nonsense", "no preset of folder is named 'nonsense': use one of default, lrua, paper, demo"),
        ("copy --preset demo", "no preset of copy is named 'demo': use one of default, lstm, paper-feedforward-ntm"),
        ("folder --addressing tape", "no addressing scheme is named 'tape': use one of .*lrua"),
        ("folder --model tape", f"--model: 'tape' is not one of {', '.join(MODELS)}"),
        ("copy --model maml", "--model: 'maml' is not one of memory, recurrent"),
        ("copy --addressing prototypes", "no model of copy is named 'prototypes': use one of memory, recurrent"),
        ("folder --device tpu", "no device is named 'tpu': use auto, cpu or cuda"),
        ("folder --split mine", "no split is named 'mine': use omniglot-1200-423, .* or the path of a .json file"),
        ("folder --split mine.json", "split mine.json cannot be read: No such file"),
        ("folder --split strokes", "split strokes names 1200 classes that folder does not have"),
        ("folder --episodes 0", "^--episodes: Input should be greater than or equal to 1, found 0"),
        ("folder --size 200", "^--size: Input should be less than or equal to 105, found 200"),
        ("folder --learning-rate nan", "^--learning-rate: Input should be a finite number, found nan"),
        (
            "folder --addressing lrua --scheme.usage-decay 3",
            r"^--scheme\.usage-decay of lrua: .*less than or equal to 1, found 3\.0",
        ),
        ("folder --scheme.read-heads 0", r"^--scheme\.read-heads of delta: .*, found 0"),
        ("folder --addressing lrua --scheme.key-strength -1", r"^--scheme\.key-strength of lrua: .*, found -1"),
        (
            "folder --addressing lrua --scheme.write-heads 2",
            r"^--scheme\.write-heads of lrua: Input should be 'each' or 'one', found 2",
        ),
        ("copy --sizes.longest 0", r"^--sizes\.longest of copy: .*, found 0"),
        ("copy --sizes.shortest 30", r"^--sizes\.shortest is 30 and --sizes\.longest only 20: lower --sizes\.shortest"),
        ("folder --seed 99999999999999999999", "^--seed: Input should be less than 4294967296, found 9"),
        ("folder --seed -1", "^--seed: Input should be greater than or equal to 0, found -1"),
        ("folder --save-seconds -1", "^--save-seconds of training: Input should be .* equal to 0, found -1"),
        ("folder --save-seconds nan", "^--save-seconds of training: .*, found nan"),
        ("folder --root /nowhere/at/all", "/nowhere/at/all is not a folder: "),
        ("omniglot --root /nowhere/at/all", "/nowhere/at/all is not a folder: .*images_background.zip"),
        ("folder --presentations 5", "train classes: .*--presentations"),
        ("folder --classes 4", "validation classes: .*--classes"),
        ("folder --classes 7 --most-classes 5", "--most-classes is 5: use at least the 7 of --classes"),
    ],
)
def test_wrong_options_are_refused_and_leave_nothing(
    refused: Refused, letters: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    run = tmp_path / "run"
    task, *options = arguments.split() or [""]
    if task == "folder":
        # Those that are right first, so that those to be refused count.
        data = [] if "--root" in options else ["--root", letters]
        line = [task, *data, "--size", 8, "--classes", 2, "--presentations", 2, "--run", run, *options]
    else:
        line = [*arguments.split(), *(["--run", run] if task in ("omniglot", "copy") else [])]
    refusal = refused("train", *line)
    assert re.search(message, refusal), refusal
    assert not run.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--addressing ntm --scheme.usage-decay 0.9", "--scheme.usage-decay is an option of lrua and ntm-lru and "),
        ("--addressing content --scheme.shift-range 2", "--scheme.shift-range is an option of ntm and location"),
        ("--addressing ntm --scheme.write-heads one", "--scheme.write-heads of ntm: Input should be a valid integer"),
        ("--model recurrent --slots 3", "--slots is an option of --model memory, not of --model recurrent"),
        ("--addressing none --slots 3", "--slots is an option of --model memory, not of --model recurrent"),
        ("--model recurrent --scheme.read-heads 3", "--scheme.read-heads is an option of --model memory, not of"),
        ("--model prototypes --hidden-size 3", "--hidden-size is an option of --model memory, not of"),
        ("--model recurrent --addressing dnc", "--addressing dnc is for --model memory, not for --model recurrent"),
        ("--model recurrent --memory persistent", "--memory persistent needs --model memory, not --model recurrent"),
        ("--model prototypes --labels strings", "--model prototypes needs --labels one-hot, not --labels strings"),
        ("--model maml", "--model maml needs --encoder conv, not --encoder none"),
        ("--encoder autoencoder", "--encoder autoencoder is for --model nearest, not for --model memory"),
        ("--model nearest", "--model nearest learns an autoencoder: add --encoder autoencoder"),
    ],
)
def test_options_of_another_model_or_scheme_are_refused(
    refused: Refused, letters: Path, tmp_path: Path, options: str, message: str
) -> None:
    data = ("--root", letters, "--size", 8, "--classes", 2, "--presentations", 2, "--run", tmp_path / "run")
    assert message in refused("train", "folder", *data, *options.split())
    assert not (tmp_path / "run").exists()


def test_root_that_is_not_needed_or_is_missing_is_refused(refused: Refused, letters: Path, tmp_path: Path) -> None:
    assert "leave --root out" in refused("train", "strokes", "--root", letters, "--run", tmp_path / "run")
    assert "--root" in refused("train", "folder", "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_refused(refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    assert refused(*tiny, "--run", tmp_path / "run", "--device", "cuda") == (
        "--device cuda: torch finds no GPU; use --device cpu"
    )
    assert not (tmp_path / "run").exists()


def test_truncated_archive_is_refused(refused: Refused, tmp_path: Path) -> None:
    for half in ("images_background", "images_evaluation"):
        (tmp_path / f"{half}.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    refusal = refused("train", "omniglot", "--root", tmp_path, "--run", tmp_path / "run")
    assert "images_background.zip cannot be read" in refusal
    assert not (tmp_path / "run").exists()


def test_download_without_network_names_the_alternatives(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", unreachable)
    refusal = refused("train", "omniglot", "--run", tmp_path / "run")
    for words in ("could not be downloaded", "no network", "--root", "strokes"):
        assert words in refusal
    assert not (tmp_path / "run").exists()


def test_run_folder_that_cannot_be_made_is_refused(refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "cannot be made" in refused(*tiny, "--run", place)
        assert "cannot be made" in refused(*tiny, "--run", place, "--resume")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_run_folder_without_permission_is_refused(refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot be made (Permission denied)" in refused(*tiny, "--run", tmp_path / "locked" / "run")


def test_entry_point_refuses_with_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPTS / "train.py", "strokes", "--episodes", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: --episodes: Input should be greater than or equal to 1, found 0\n"
    assert list(tmp_path.iterdir()) == []
