"""From settings to a problem."""

import torch

from data import load
from mann.problems.algorithmic_task import TaskProblem
from mann.problems.classification import Classification, take_encoder
from mann.problems.meta_learning import MetaLearning
from mann.runs import Run, describe_environment
from mann.settings import AnyConfig, Maml, TaskConfig
from mann.training import Problem


def open_problem(config: AnyConfig, run: Run, device: torch.device) -> Problem:
    """Return the problem that settings describe, and start its run if it has not been started.

    Args:
        config: The settings, those of the run if it was started.
        run: The run; once started, it keeps its split.
        device: The device to train on.

    Raises:
        InputError: the data are not found or do not fill an episode, there is no such encoder to start from, or the
            run's folder cannot be made.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from mann.settings import preset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = Run(Path(folder) / "copy")
    ...     problem = open_problem(preset("copy", episodes=32), run, torch.device("cpu"))
    ...     run.exists(), problem.description
    (True, 'copy: Copy(bits=8, shortest=1, longest=20)')
    """
    if isinstance(config, TaskConfig):
        problem, split = TaskProblem(config, device), None
    else:
        chosen = str(run.split_path) if run.exists() else config.split
        classes, split = load(config.dataset, config.root, config.size, chosen)
        kind = MetaLearning if isinstance(config.model, Maml) else Classification
        problem = kind(config, classes.to(device), split)
        if config.encoder_from is not None and not run.steps_done():  # later, the checkpoints contain the encoder
            take_encoder(problem.model, config, split, Run(config.encoder_from))
            if isinstance(problem, Classification):
                problem.centre()
    if not run.exists():
        run.start(config, split, describe_environment(device))
    return problem
