"""From settings to a problem: the kind of problem, the run that is started, the encoder to start from."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from data import InputError, Split, read_split
from mann.problems import Classification, open_problem
from mann.problems.algorithmic_task import TaskProblem
from mann.runs import Checkpoint, Run
from mann.settings import Config, Prototypes
from mann.training import fit
from tests.mann.problems.tiny_tasks import tiny
from tests.mann.training.comparing import OFTEN, position, stop_after

CPU = torch.device("cpu")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder of 40 classes of 4 images, each of one grey."""
    folder = tmp_path / "images"
    for number in range(40):
        (folder / f"class{number:02d}").mkdir(parents=True)
        for sample in range(4):
            Image.new("L", (8, 8), 6 * number + sample).save(folder / f"class{number:02d}" / f"{sample}.png")
    return folder


@pytest.fixture
def config(tiny_config: Config, images: Path) -> Config:
    """Return settings of a run on these images."""
    return replace(tiny_config, dataset="folder", root=images)


def test_a_problem_of_a_task_starts_its_run(tmp_path: Path) -> None:
    config, run = tiny(episodes=12), Run(tmp_path / "run")
    problem = open_problem(config, run, CPU)
    assert isinstance(problem, TaskProblem) and problem.carry is None
    assert run.config() == config and not run.split_path.exists()
    assert run.history()["environment"]["device"].startswith("cpu: ")


def test_a_problem_of_images_starts_its_run_and_keeps_the_split(tmp_path: Path, config: Config, images: Path) -> None:
    run = Run(tmp_path / "run")
    problem = open_problem(config, run, CPU)
    assert isinstance(problem, Classification)
    split = read_split(str(run.split_path))
    assert run.config() == config and f"{len(split.train)} training classes" in problem.description
    fit(problem, config, run, OFTEN, stopping=stop_after(2))
    # Another class would be split by its name; the run keeps the split that it began with.
    (images / "class40").mkdir()
    Image.new("L", (8, 8), 255).save(images / "class40" / "0.png")
    again = open_problem(config, run, CPU)
    assert read_split(str(run.split_path)) == split and again.description == problem.description
    fit(again, config, run, OFTEN)
    assert run.steps_done() == config.steps


def test_a_run_starts_with_the_encoder_of_another_run_and_keeps_its_own_afterwards(
    tmp_path: Path, config: Config
) -> None:
    first = replace(config, model=Prototypes(), encoder="conv", encoder_width=4)
    source = Run(tmp_path / "source")
    fit(open_problem(first, source, CPU), first, source, OFTEN)
    second = replace(config, encoder="conv", encoder_width=4, encoder_from=source.folder, encoder_rate=1e-9)
    run = Run(tmp_path / "run")
    problem = open_problem(second, run, CPU)
    name = "encoder.convolutions.0.weight"
    assert torch.equal(problem.model.state_dict()[name], position(source).weights[name])
    fit(problem, second, run, OFTEN, stopping=stop_after(2))
    saved = position(run)
    weights = {**saved.weights, name: saved.weights[name] + 1}
    run.save(Checkpoint(3, second, weights, saved.training))
    again = open_problem(second, run, CPU)
    fit(again, second, run, OFTEN, stopping=stop_after(1))
    torch.testing.assert_close(again.model.state_dict()[name], weights[name], rtol=0, atol=1e-4)


def test_an_encoder_that_does_not_fit_is_refused(tmp_path: Path, config: Config) -> None:
    first = replace(config, model=Prototypes(), encoder="conv", encoder_width=4)
    source = Run(tmp_path / "source")
    fit(open_problem(first, source, CPU), first, source, OFTEN, stopping=stop_after(1))

    def refused(config: Any) -> str:
        run = Run(tmp_path / "refused")
        with pytest.raises(InputError) as refusal:
            open_problem(config, run, CPU)
        assert not run.exists()  # nothing was started
        return str(refusal.value)

    other = replace(config, encoder="conv", encoder_from=source.folder)
    assert "its encoder_width is 4, not 64" in refused(other)
    assert "its encoder is conv, not none" in refused(replace(config, encoder_width=4, encoder_from=source.folder))
    split: Split = read_split(str(source.split_path))
    swapped = split._replace(train=split.train[1:], test=(*split.test, split.train[0]))
    path = tmp_path / "swapped.json"
    path.write_text(json.dumps(swapped._asdict()))
    message = refused(replace(other, encoder_width=4, split=str(path)))
    assert f"1 of its training classes, such as {split.train[0]!r}, are not training classes here" in message
    assert "holds no checkpoint yet" in refused(replace(other, encoder_from=_started(tmp_path / "new", first)))


def _started(folder: Path, config: Config) -> Path:
    """Start a run without training it."""
    open_problem(config, Run(folder), CPU)
    return folder
