"""Loaded runs: the model of the last checkpoint, with its settings and its split."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data import InputError, Split
from episodes import Copy
from mann.models.baselines.recurrent import RecurrentBaseline
from mann.models.building import build_classifier, build_model
from mann.models.classifier import Classifier
from mann.runs import Checkpoint, Run, load_run
from mann.runs.loading import load_classifier
from mann.settings import AnyConfig, Config, Recurrent, TaskConfig

CPU = torch.device("cpu")


def saved(folder: Path, config: AnyConfig, split: Split | None) -> dict[str, torch.Tensor]:
    """Make a run of a model that was drawn with another seed; returns its weights."""
    weights = build_model(replace(config, seed=7)).state_dict()
    run = Run(folder)
    run.start(config, split, {})
    run.save(Checkpoint(3, config, weights, {}))
    return weights


def assert_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Check that a model has these weights, bit for bit."""
    found = model.state_dict()
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_a_run_on_images_is_loaded_with_its_split(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    weights = saved(tmp_path / "run", tiny_config, tiny_split)
    loaded = load_run(Run(tmp_path / "run"), CPU)
    assert loaded.classification == (tiny_config, tiny_split)
    assert isinstance(loaded.model, Classifier)
    assert_weights(loaded.model, weights)
    config, classifier = load_classifier(Run(tmp_path / "run"), CPU)
    assert config == tiny_config
    assert_weights(classifier, weights)
    with pytest.raises(InputError, match=r"the run is of images \(strokes\): its model learned no algorithmic task"):
        loaded.task  # noqa: B018


def test_a_run_of_a_task_is_loaded_without_a_split(tmp_path: Path) -> None:
    config = TaskConfig(sizes=Copy(bits=3, longest=2), model=Recurrent(hidden_size=4))
    weights = saved(tmp_path / "run", config, None)
    loaded = load_run(Run(tmp_path / "run"), CPU)
    assert (loaded.task, loaded.split) == (config, None)
    assert isinstance(loaded.model, RecurrentBaseline)
    assert_weights(loaded.model, weights)
    for load in (lambda: loaded.classification, lambda: load_classifier(Run(tmp_path / "run"), CPU)):
        with pytest.raises(InputError, match="the run is of the task copy: its model classifies no images"):
            load()


def test_other_settings_of_the_same_sizes_can_be_loaded(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> None:
    weights = saved(tmp_path / "run", tiny_config, tiny_split)
    other = replace(tiny_config, label_scale=1.5)
    loaded = load_run(Run(tmp_path / "run"), CPU, other)
    assert loaded.config == other and isinstance(loaded.model, Classifier) and loaded.model.label_scale == 1.5
    assert_weights(loaded.model, weights)
    with pytest.raises(InputError, match="does not fit its config.json"):
        load_run(Run(tmp_path / "run"), CPU, replace(tiny_config, classes=3))


def test_runs_without_a_checkpoint_or_a_split_are_refused(
    tmp_path: Path, tiny_run: Run, tiny_config: Config, tiny_split: Split
) -> None:
    with pytest.raises(InputError, match="the folder of a run"):
        load_run(Run(tmp_path / "absent"), CPU)
    with pytest.raises(InputError, match="holds no checkpoint yet: train it first"):
        load_run(tiny_run, CPU)
    tiny_run.save(Checkpoint(3, tiny_config, build_classifier(tiny_config).state_dict(), {}))
    assert load_run(tiny_run, CPU).split == tiny_split
    tiny_run.split_path.unlink()
    with pytest.raises(InputError, match="split.json"):
        load_run(tiny_run, CPU)
