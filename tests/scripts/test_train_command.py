"""The command that trains: what it writes, refuses and says, and how it stops and goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import load_file

from data import hashed_split, read_split
from mann.addressing import LRUA
from mann.runs.run import Run
from mann.settings.schema import PRESETS, Config

REPOSITORY = Path(__file__).resolve().parents[2]
TRAIN = REPOSITORY / "scripts" / "train.py"

Command = Callable[..., Any]
Refused = Callable[..., str]


def lines(run: Path) -> list[dict[str, Any]]:
    """Return the metrics without the seconds."""
    return [{key: value for key, value in line.items() if key != "seconds"} for line in Run(run).metrics()]


def weights(run: Path) -> dict[str, bytes]:
    """Return the weights of the last checkpoint."""
    checkpoint = Run(run).last_checkpoint()
    assert checkpoint is not None
    return {name: value.numpy().tobytes() for name, value in checkpoint.weights.items()}


def test_training_writes_the_run_folder(command: Command, tiny: list[object], letters: Path, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "one"
    status, output, errors = command(*tiny, "--run", run)
    assert status == 0
    assert "folder: 21 training classes x 4 rotations, 3 validation classes; 16 episodes" in output
    assert f"trained; next: python scripts/evaluate.py {run}" in output
    (said,) = errors.splitlines()  # no bar where there is no terminal
    assert said.startswith("16 episodes, ") and "validation by instance 2: " in said
    names = {path.name for path in run.iterdir()}
    assert names == {
        "config.json",
        "split.json",
        "environment.json",
        "metrics.jsonl",
        "tensorboard",
        "checkpoints",
        ".lock",
    }
    config = json.loads((run / "config.json").read_text())
    assert set(config) == {entry.name for entry in fields(Config)}
    assert (config["dataset"], config["root"], config["hidden_size"]) == ("folder", str(letters), 8)
    assert read_split(run / "split.json") == hashed_split([f"letter{number:02d}" for number in range(30)])
    environment = json.loads((run / "environment.json").read_text())
    assert environment["command"].startswith("train.py folder --root ")
    assert {"commit", "device", "threads", "cores", "python", "torch", "torchvision", "numpy", "scipy"} < set(
        environment
    )
    (checkpoint,) = (run / "checkpoints").iterdir()
    assert checkpoint.name == "000000008"
    assert load_file(checkpoint / "weights.safetensors")
    assert torch.load(checkpoint / "training.pt", weights_only=True)["step"] == 8
    assert [line["episodes"] for line in lines(run)] == [16]


def test_run_goes_to_a_folder_named_after_the_task(
    command: Command, tiny: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(*tiny).status == 0
    assert Run(Path("runs/folder")).steps_done() == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "no task is named: python scripts/train.py TASK, with TASK one of omniglot, strokes, folder"),
        ("--episodes 3", "no task is named"),
        ("mnist", "no task is named 'mnist': use one of omniglot, strokes, folder"),
        ("folder --nope 3", "Unrecognized options: --nope, 3; --help lists all options"),
        ("folder --hiden-size 3", "Unrecognized options: --hiden-size, 3; did you mean --hidden-size?"),
        ("folder more", "Unrecognized options: more; "),
        ("folder --run", "Missing value for argument '--run'"),
        ("folder --preset", "Missing value for argument '--preset'"),
        ("folder --classes", "Missing value for argument '--classes'"),
        ("folder --classes five", "Error parsing --classes: invalid literal for int.*'five'; "),
        ("folder --schedule steep", "invalid choice 'steep' for argument '--schedule'.*'cosine', 'constant'"),
        ("folder --scheme.zeroed none", "invalid choice 'none' for argument '--scheme.zeroed'"),
        ("folder --preset fast", "no preset for folder is named 'fast': use one of default, paper, demo"),
        ("folder --controller rnn", "no controller is named 'rnn': use one of lstm, gru, feedforward"),
        ("folder --addressing tape", "no addressing is named 'tape': use one of .*lrua"),
        ("folder --labels numbers", "no labels is named 'numbers': use one of one-hot, strings"),
        ("folder --device tpu", "no device is named 'tpu': use auto, cpu or cuda"),
        ("folder --split mine", "no split is named 'mine': use omniglot-1200-423, .* or the path of a .json file"),
        ("folder --split mine.json", "split mine.json cannot be read: No such file"),
        ("folder --split strokes", "split strokes names 1200 classes that folder does not have"),
        ("folder --episodes 0", "the settings: episodes: Input should be greater than or equal to 1, found 0"),
        ("folder --learning-rate nan", "the settings: learning_rate: .*finite number"),
        ("folder --scheme.usage-decay 3", r"the settings: scheme\.usage_decay: .*less than or equal to 1, found 3\.0"),
        ("folder --scheme.read-heads 0", r"the settings: scheme\.read_heads: "),
        ("folder --scheme.key-strength -1", r"the settings: scheme\.key_strength: "),
        ("folder --seed 99999999999999999999", "the settings: seed: "),
        ("folder --root /nowhere/at/all", "/nowhere/at/all is not a folder: give one that holds a folder per class"),
        ("omniglot --root /nowhere/at/all", "/nowhere/at/all is not a folder: .*images_background.zip"),
        ("folder --presentations 5", "train classes: 5 presentations .* has 4 drawings: lower --presentations to 4"),
        ("folder --classes 4", "validation classes: 4 classes asked for in an episode, but only 3 .*lower --classes"),
    ],
)
def test_wrong_options_are_refused_and_leave_nothing(
    refused: Refused, letters: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    run = tmp_path / "run"
    task, *options = arguments.split() or [""]
    if task == "folder":
        # Ours first, so that those to be refused count.
        data = [] if "--root" in options else ["--root", letters]
        line = [task, *data, "--size", 8, "--classes", 2, "--presentations", 2, "--run", run, *options]
    else:
        line = [*arguments.split(), *(["--run", run] if task == "omniglot" else [])]
    said = refused("train", *line)
    assert re.search(message, said), said
    assert not run.exists()


def test_root_that_is_not_needed_or_is_missing_is_refused(refused: Refused, letters: Path, tmp_path: Path) -> None:
    assert "leave --root out" in refused("train", "strokes", "--root", letters, "--run", tmp_path / "run")
    assert "name the one that holds a folder per class with --root" in refused(
        "train", "folder", "--run", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there_is_refused(refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    assert refused(*tiny, "--run", tmp_path / "run", "--device", "cuda") == (
        "--device cuda: torch finds no GPU here; use --device cpu"
    )
    assert not (tmp_path / "run").exists()


def test_truncated_archive_is_refused(refused: Refused, tmp_path: Path) -> None:
    for half in ("images_background", "images_evaluation"):
        (tmp_path / f"{half}.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    said = refused("train", "omniglot", "--root", tmp_path, "--run", tmp_path / "run")
    assert "images_background.zip cannot be read" in said and "get it again" in said
    assert not (tmp_path / "run").exists()


def test_download_without_network_names_the_alternatives(
    refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise URLError("no network")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", unreachable)
    said = refused("train", "omniglot", "--run", tmp_path / "run")
    for words in ("could not be downloaded", "no network", "--root", "strokes"):
        assert words in said
    assert not (tmp_path / "run").exists()


def test_run_folder_that_cannot_be_is_refused(refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        assert "cannot be made" in refused(*tiny, "--run", place)
        assert "cannot be made" in refused(*tiny, "--run", place, "--resume")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_run_folder_without_permission_is_refused(refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "cannot be made (Permission denied)" in refused(*tiny, "--run", tmp_path / "locked" / "run")


def test_folder_of_a_run_is_taken_again_only_to_resume(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert command(*tiny, "--run", run, "--resume").status == 0  # there is none yet: it starts
    files = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "holds a run already: add --resume to go on, or choose another --run" in refused(*tiny, "--run", run)
    for line in (
        ["train", "folder", "--run", run, "--resume"],
        [*tiny, "--run", run, "--resume"],
        [*tiny, "--run", run, "--resume", "--preset", "default"],
        ["train", "folder", f"--run={run}", "--resume", "--hidden-size", 8],
    ):
        status, output, errors = command(*line)
        assert (status, errors) == (0, "")
        assert output == f"{run} is trained already; next: python scripts/evaluate.py {run}\n"
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("folder --hidden-size 9", r"\(hidden_size is 8, not 9\)"),
        ("folder --scheme.usage-decay 0.5 --seed 3", r"\(scheme\.usage_decay is 0\.99, not 0\.5; seed is 0, not 3\)"),
        ("folder --episodes 18", r"\(episodes is 16, not 18\)"),
        ("folder --preset demo", rf"\(.*episodes is 16, not {PRESETS['demo']['episodes']}"),
        ("folder --preset fast", "no preset for folder is named 'fast'"),
        ("strokes", r"\(task is folder, not strokes\)"),
        ("folder --nope", "Unrecognized options: --nope"),
    ],
)
def test_run_with_other_settings_is_not_gone_on_with(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path, arguments: str, message: str
) -> None:
    run = tmp_path / "run"
    command(*tiny, "--run", run)
    said = refused("train", *arguments.split(), "--run", run, "--resume")
    assert re.search(message, said), said


def test_run_of_a_preset_goes_on_with_the_preset(command: Command, tiny: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    line = [*tiny, "--run", run, "--preset", "paper"]
    assert command(*line).status == 0
    config = Run(run).config()
    assert (config.optimizer, config.scheme, config.episodes) == ("rmsprop", LRUA(), 16)
    assert "trained already" in command(*line, "--resume").output
    assert "trained already" in command("train", "folder", "--run", run, "--resume").output


def test_damaged_run_is_refused(command: Command, refused: Refused, tiny: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    command(*tiny, "--run", run)
    config = (run / "config.json").read_text()
    resume = ["train", "folder", "--run", run, "--resume"]
    (run / "config.json").write_text(config.replace('"episodes": 16', '"episodes": 20'))
    status, _, errors = command(*resume)
    assert status == 2
    assert "config.json was changed after the run had started (episodes is 20, not 16)" in errors
    (run / "config.json").write_text(config[:50])
    assert f"{run}/config.json: " in refused(*resume)
    # A damaged checkpoint, when there is something left to do.
    (run / "config.json").write_text(config)
    (run / "checkpoints" / "000000008").rename(run / "checkpoints" / "000000007")
    (run / "checkpoints" / "000000007" / "training.pt").write_bytes(b"")
    status, _, errors = command(*resume)
    assert status == 2
    assert "000000007 is damaged" in errors and errors.count("\n") == 1


def test_split_stays_as_it_was_when_the_run_started(
    command: Command, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    names = sorted(path.name for path in letters.iterdir())
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"train": names[:10], "validation": names[10:15], "test": names[15:]}))
    run = tmp_path / "run"
    assert command(*tiny, "--run", run, "--split", own).status == 0
    before = lines(run), weights(run)
    shutil.rmtree(run / "checkpoints" / "000000008")
    # What was for testing must not be trained on after all.
    own.write_text(json.dumps({"train": names[15:], "validation": names[10:15], "test": names[:10]}))
    assert command(*tiny, "--run", run, "--split", own, "--resume").status == 0
    assert (lines(run), weights(run)) == before


def test_data_that_have_moved_are_found_with_root(
    command: Command, refused: Refused, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    run, there, here = tmp_path / "run", tmp_path / "there", tmp_path / "here"
    shutil.copytree(letters, there)
    line = ["train", "folder", "--root", there, *tiny[4:], "--run", run]
    assert command(*line).status == 0
    before = weights(run)
    shutil.rmtree(run / "checkpoints" / "000000008")
    there.rename(here)
    resume = ["train", "folder", "--run", run, "--resume"]
    assert f"{there} is not a folder" in refused(*resume)
    assert command(*resume, "--root", here).status == 0
    assert weights(run) == before


def test_a_curriculum_says_how_far_it_has_come(command: Command, tiny: list[object], tmp_path: Path) -> None:
    growing = ("--labels", "strings", "--most-classes", 5, "--class-every", 5)
    status, _, errors = command(*tiny, "--run", tmp_path / "run", *growing)
    assert status == 0
    (line,) = lines(tmp_path / "run")
    assert line["classes"] == 4  # two at first; the 15th and 16th episode come after the 10th
    assert ", 4 classes  " in errors


def test_loss_that_is_not_finite_ends_in_one_line(command: Command, tiny: list[object], tmp_path: Path) -> None:
    run = tmp_path / "run"
    status, _, errors = command(
        *tiny, "--run", run, "--learning-rate", 1e38, "--clip", 1e38, "--warm-up", 0, "--seed", 4
    )
    assert status == 1
    assert errors.startswith("error: step ") and "of seed 4: the loss is " in errors
    assert errors.count("\n") == 1


def test_steps_that_are_not_finite_are_counted_in_the_end(command: Command, tiny: list[object], tmp_path: Path) -> None:
    extreme = ("--learning-rate", 1e38, "--clip", 1e38, "--warm-up", 0, "--seed", 4)
    status, output, _ = command(*tiny, "--run", tmp_path / "run", *extreme, "--on-nonfinite", "skip")
    assert status == 0
    (line,) = lines(tmp_path / "run")
    assert 0 < line["skipped"] < 8
    assert f"trained but for {line['skipped']} steps that were not finite; next: " in output


SMALL_COPY = (
    "train copy --sizes.bits 3 --sizes.longest 4 --hidden-size 8 --slots 8 --word-size 4 --batch 2 --episodes 40"
)
"""A training of 20 steps."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 2 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", place], check=True)


def test_disk_that_is_full_or_read_only_costs_no_checkpoint(
    command: Command, refused: Refused, small_disk: Path, tmp_path: Path
) -> None:
    whole, run, filler = tmp_path / "whole", small_disk / "run", small_disk / "filler"
    settings = [*SMALL_COPY.split(), "--save-seconds", 0]
    assert command(*settings, "--run", whole).status == 0
    checkpoint = sum(path.stat().st_size + 4096 for path in (whole / "checkpoints" / "000000020").iterdir())
    free = os.statvfs(small_disk)
    # Room for two checkpoints, not for a third.
    filler.write_bytes(bytes(free.f_bavail * free.f_frsize - int(2.7 * checkpoint)))
    status, _, errors = command(*settings, "--run", run)
    assert status == 2
    assert re.fullmatch(
        rf"error: run folder {run} cannot be written to \(No space left on device\); its last whole checkpoint is of "
        r"step \d+: put that right, then go on with --resume\n",
        errors,
    ), errors
    done = Run(run).steps_done()
    assert 0 < done < 20 and weights(run)
    resume = ["train", "copy", "--run", run, "--resume"]
    remount = ["mount", "-o", "remount,ro", small_disk]
    subprocess.run(remount, check=True)
    status, _, errors = command(*resume)
    assert status == 2 and errors.count("\n") == 1
    assert "cannot be written to (Read-only file system)" in errors and f"is of step {done}: " in errors
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    filler.unlink()
    assert command(*resume).status == 0
    assert (weights(run), lines(run)) == (weights(whole), lines(whole))


def test_help_tells_a_newcomer_what_there_is(command: Command) -> None:
    for line in (["--help"], ["omniglot", "--help"], ["strokes", "-h"]):
        status, output, errors = command("train", *line)
        assert (status, errors) == (0, "")
        for words in ("omniglot, strokes, folder", "--run", "--resume", "--preset", "--device", "evaluate.py"):
            assert words in output
        for entry in (*fields(replace(Config("strokes"))), *fields(LRUA)):
            if entry.name not in ("dataset", "scheme"):
                assert "--" + entry.name.replace("_", "-") in output.replace("--scheme.", "--")


def ready(run: Path, process: subprocess.Popen[str]) -> None:
    """Wait until a training is under way."""
    deadline = time.monotonic() + 120
    while not (run / "tensorboard").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)


def test_signals_end_with_a_checkpoint_and_resume_ends_as_without_them(
    command: Command, letters: Path, tiny: list[object], tmp_path: Path, own_cache: Path
) -> None:
    settings = [*tiny, "--episodes", 1200, "--seed", 3]
    whole = tmp_path / "whole"
    assert command(*settings, "--run", whole).status == 0
    stopped = {signal.SIGINT: tmp_path / "in terrupted", signal.SIGTERM: tmp_path / "terminated"}
    processes = {
        number: subprocess.Popen(
            [sys.executable, TRAIN, *map(str, settings[1:]), "--run", run],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, run in stopped.items()
    }
    for number, process in processes.items():
        ready(stopped[number], process)
        process.send_signal(number)
    for number, process in processes.items():
        run = stopped[number]
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 128 + number, errors
        folder = f"'{run}'" if " " in str(run) else str(run)
        assert errors == f"stopped; go on with: python scripts/train.py folder --run {folder} --resume\n"
        assert 0 < Run(run).steps_done() < 600
        assert command("train", "folder", "--run", run, "--resume").status == 0
        assert weights(run) == weights(whole)
        assert lines(run) == lines(whole)


def test_entry_point_refuses_with_status_2(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, TRAIN, "strokes", "--episodes", "0"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "error: the settings: episodes: Input should be greater than or equal to 1, found 0\n"
    assert list(tmp_path.iterdir()) == []


def test_omniglot_is_trained_on(
    command: Command,
    omniglot_root: Path,
    omniglot_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MANN_CACHE", str(omniglot_cache))
    run = tmp_path / "run"
    options = [
        "--classes",
        "5",
        "--presentations",
        "2",
        "--hidden-size",
        "8",
        "--slots",
        "8",
        "--word-size",
        "4",
        "--batch",
        "2",
        "--episodes",
        "6",
    ]
    status, output, _ = command("train", "omniglot", "--root", omniglot_root, "--run", run, *options)
    assert status == 0
    assert "omniglot: 1100 training classes x 4 rotations, 100 validation classes; 6 episodes" in output
    assert Run(run).steps_done() == 3
    assert read_split(run / "split.json") == read_split("omniglot-1200-423")
    status, output, _ = command("evaluate", run, "--episodes", 20)
    assert status == 0
    assert "omniglot, test classes" in output and "(paper)" in output


def test_nearest_neighbours_of_deep_features_are_a_run_like_any_other(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    start = [option for option in tiny if option not in ("--scheme.usage-decay", "0.99")]
    start = [*start, "--addressing", "nearest", "--run", run]
    assert "addressing: nearest goes with encoder autoencoder" in refused(*start)
    assert command(*start, "--encoder", "autoencoder").status == 0
    assert {name.split(".")[0] for name in load_file(run / "checkpoints" / "000000008" / "weights.safetensors")} == {
        "encoder"
    }
    assert "trained already" in command(*start, "--encoder", "autoencoder", "--resume").output
    status, output, _ = command("evaluate", run, "--episodes", 10)
    assert status == 0 and "2nd" in output
    assert json.loads((run / "evaluation.json").read_text())["training"]
    status, output, _ = command("evaluate", run, "--ways", 3, "--shots", 1, "--queries", 1, "--episodes", 10)
    assert status == 0 and "N-way K-shot" in output


def test_an_encoder_is_taken_from_a_run_on_the_same_training_classes(
    command: Command, refused: Refused, tiny: list[object], letters: Path, tmp_path: Path
) -> None:
    plain = [option for option in tiny if option not in ("--scheme.usage-decay", "0.99")]
    before, after, new = tmp_path / "before", tmp_path / "after", tmp_path / "new"
    conv = ("--encoder", "conv", "--encoder-width", 2)
    assert command(*plain, *conv, "--addressing", "prototypes", "--run", before).status == 0

    def encoder(folder: Path) -> dict[str, torch.Tensor]:
        weights = load_file(folder / "checkpoints" / "000000008" / "weights.safetensors")
        return {name: value for name, value in weights.items() if name.startswith("encoder.")}

    # So slow that the encoder at the end is the one at the start.
    slow = (*tiny, "--learning-rate", 1e-12)
    assert command(*slow, *conv, "--encoder-from", before, "--run", after).status == 0
    assert encoder(before) and encoder(before).keys() == encoder(after).keys()
    for name, value in encoder(before).items():
        if name not in ("encoder.gain", "encoder.bias"):
            torch.testing.assert_close(encoder(after)[name], value, rtol=1e-4, atol=1e-6)
    # Features are centred, and all scaled alike.
    factors = encoder(after)["encoder.gain"] / encoder(before)["encoder.gain"]
    torch.testing.assert_close(factors, factors.mean().expand_as(factors), rtol=1e-4, atol=0)
    assert not torch.allclose(encoder(after)["encoder.bias"], factors * encoder(before)["encoder.bias"])

    split = json.loads((before / "split.json").read_text())
    split["train"][0], split["test"][0] = split["test"][0], split["train"][0]
    (tmp_path / "other.json").write_text(json.dumps(split))
    start = (*tiny, "--encoder", "conv", "--run", new)
    message = refused(*start, "--encoder-width", 2, "--encoder-from", before, "--split", tmp_path / "other.json")
    assert f"1 of the classes that it was trained on, such as {split['test'][0]!r}, are not for training" in message
    assert "its encoder_width is 2, not 3" in refused(*start, "--encoder-width", 3, "--encoder-from", before)
    assert "the folder of a run?" in refused(*start, "--encoder-from", tmp_path)
    assert not new.exists()
