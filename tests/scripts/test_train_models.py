"""Trainings of other models than a memory, with encoders, and on Omniglot."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from data import read_split
from mann.runs import Run
from tests.scripts.running import OF_MEMORY, Command, Refused, without


def test_omniglot_is_trained_on(
    command: Command, omniglot_root: Path, data_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANN_CACHE", str(data_cache))
    run = tmp_path / "run"
    options = "--classes 5 --presentations 2 --hidden-size 8 --slots 8 --word-size 4 --batch 2 --episodes 6"
    status, output, _ = command("train", "omniglot", "--root", omniglot_root, "--run", run, *options.split())
    assert status == 0
    assert "omniglot: 1100 training classes x 4 rotations, 100 validation classes; 6 episodes" in output
    assert Run(run).steps_done() == 3
    assert read_split(str(run / "split.json")) == read_split("omniglot-1200-423")
    status, output, _ = command("evaluate", run, "--episodes", 20)
    assert status == 0
    assert "omniglot, test classes" in output and "(paper)" in output


def without_memory(tiny: list[object]) -> list[object]:
    """Return the arguments of a tiny training without those of the memory and its controller."""
    return without(tiny, *OF_MEMORY, "--hidden-size")


def encoder_of(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights of the encoder of a run."""
    weights = load_file(run / "checkpoints" / "000000008" / "weights.safetensors")
    return {name: value for name, value in weights.items() if name.startswith("encoder.")}


def test_nearest_neighbours_of_deep_features_are_a_run_like_any_other(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    start = [*without_memory(tiny), "--model", "nearest", "--run", run]
    assert "--model nearest learns an autoencoder: add --encoder autoencoder" in refused(*start)
    assert command(*start, "--encoder", "autoencoder").status == 0
    assert {name.split(".")[0] for name in load_file(run / "checkpoints" / "000000008" / "weights.safetensors")} == {
        "encoder"
    }
    # The former name of the model.
    former = [*without(start, "--model"), "--addressing", "nearest"]
    assert "trained already" in command(*former, "--encoder", "autoencoder", "--resume").output
    status, output, _ = command("evaluate", run, "--episodes", 10)
    assert status == 0 and "2nd" in output
    assert json.loads((run / "evaluation.json").read_text())["training"]
    status, output, _ = command("evaluate", run, "--ways", 3, "--shots", 1, "--queries", 1, "--episodes", 10)
    assert status == 0 and "N-way K-shot" in output


def test_an_encoder_is_taken_from_a_run_on_the_same_training_classes(
    command: Command, refused: Refused, tiny: list[object], tmp_path: Path
) -> None:
    before, after, new = tmp_path / "before", tmp_path / "after", tmp_path / "new"
    conv = ("--encoder", "conv", "--encoder-width", 2)
    assert command(*without_memory(tiny), *conv, "--model", "prototypes", "--run", before).status == 0
    # So slow that the encoder at the end is the one at the start.
    slow = (*tiny, "--learning-rate", 1e-12)
    assert command(*slow, *conv, "--encoder-from", before, "--run", after).status == 0
    assert encoder_of(before) and encoder_of(before).keys() == encoder_of(after).keys()
    for name, value in encoder_of(before).items():
        if name not in ("encoder.gain", "encoder.bias"):
            torch.testing.assert_close(encoder_of(after)[name], value, rtol=1e-4, atol=1e-6)
    # Features are centred, and all scaled alike.
    factors = encoder_of(after)["encoder.gain"] / encoder_of(before)["encoder.gain"]
    torch.testing.assert_close(factors, factors.mean().expand_as(factors), rtol=1e-4, atol=0)
    assert not torch.allclose(encoder_of(after)["encoder.bias"], factors * encoder_of(before)["encoder.bias"])

    split = json.loads((before / "split.json").read_text())
    split["train"][0], split["test"][0] = split["test"][0], split["train"][0]
    (tmp_path / "other.json").write_text(json.dumps(split))
    start = (*tiny, "--encoder", "conv", "--run", new)
    message = refused(*start, "--encoder-width", 2, "--encoder-from", before, "--split", tmp_path / "other.json")
    assert f"1 of its training classes, such as {split['test'][0]!r}, are not training classes here" in message
    assert "--encoder-from" in message and "--split" in message
    assert "its encoder_width is 2, not 3" in refused(*start, "--encoder-width", 3, "--encoder-from", before)
    assert "the folder of a run?" in refused(*start, "--encoder-from", tmp_path)
    assert not new.exists()
