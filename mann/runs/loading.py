"""A trained model with its settings and its split, loaded once."""

from typing import NamedTuple

import torch
from torch import nn

from data import InputError, Split, read_split
from mann.models.building import answers_no_sequences, build_model
from mann.models.classifier import Classifier
from mann.runs.run import Run
from mann.settings import AnyConfig, Config, TaskConfig


class LoadedRun(NamedTuple):
    """The model, settings and split of a run.

    Attributes:
        config: The settings of the training.
        split: The classes that were trained on and those that were not; None for an algorithmic task.
        model: A `Classifier` or `MAML` for images, a network for a task, with the weights of the last checkpoint.
    """

    config: AnyConfig
    split: Split | None
    model: nn.Module

    @property
    def classification(self) -> tuple[Config, Split]:
        """The settings and the split of a run on images.

        Raises:
            InputError: it is a run of an algorithmic task.
        """
        if not isinstance(self.config, Config) or self.split is None:
            raise InputError(f"the run is of the task {self.config.task_name}: its model classifies no images")
        return self.config, self.split

    @property
    def task(self) -> TaskConfig:
        """The settings of a run of an algorithmic task.

        Raises:
            InputError: it is a run on images.
        """
        if not isinstance(self.config, TaskConfig):
            raise InputError(f"the run is of images ({self.config.task_name}): its model learned no algorithmic task")
        return self.config


def load_run(run: Run, device: torch.device, config: AnyConfig | None = None) -> LoadedRun:
    """Load the model of a run's last checkpoint.

    Args:
        run: The run.
        device: Where to put the model.
        config: Settings to build the model from, with weights of the same sizes; None: those of the run.

    Raises:
        InputError: the folder holds no run, there is no checkpoint, or one of its files is damaged.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from mann.problems import open_problem
    >>> from mann.settings import preset
    >>> from mann.training import fit
    >>> config, cpu = preset("copy", episodes=32, slots=16, **{"sizes.longest": 3}), torch.device("cpu")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run(Path(folder))
    ...     fit(open_problem(config, run, cpu), config, run)
    ...     loaded = load_run(run, cpu)
    >>> outputs, state = loaded.model(torch.zeros(5, 1, loaded.task.sizes.input_size))
    >>> state.memory.shape
    torch.Size([1, 16, 20])
    """
    config = config or run.config()
    split = read_split(run.split_path) if isinstance(config, Config) else None
    model = build_model(config)
    run.load(model)
    return LoadedRun(config, split, model.to(device))


def load_classifier(run: Run, device: torch.device) -> tuple[Config, Classifier]:
    """Load the classifier of a run on images.

    Raises:
        InputError: see `load_run`; or the run is of an algorithmic task, or of MAML.
    """
    loaded = load_run(run, device)
    config, _ = loaded.classification
    if not isinstance(loaded.model, Classifier):
        raise answers_no_sequences()
    return config, loaded.model
