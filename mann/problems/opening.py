"""From settings to what is learned."""

import torch

from data import load
from mann.problems.algorithmic_task import TaskProblem
from mann.problems.classification import Classification, take_encoder
from mann.problems.meta_learning import MetaLearning
from mann.runs.run import Run, describe_environment
from mann.settings.schema import AnyConfig, TaskConfig
from mann.training.loop import Problem


def open_problem(config: AnyConfig, run: Run, device: torch.device) -> Problem:
    """Return what is to be learned, and start its run if it has not been started.

    Args:
        config: The settings, those of the run if there is one.
        run: Where it goes; a run that was started keeps its split.
        device: Where to learn.

    Raises:
        InputError: there are no such data, they cannot fill an episode, there is no such encoder to start from, or the
            run's folder cannot be made.
    """
    if isinstance(config, TaskConfig):
        problem, split = TaskProblem(config, device), None
    else:
        chosen = str(run.split_path) if run.exists() else config.split
        classes, split = load(config.dataset, config.root, config.size, chosen)
        kind = MetaLearning if config.addressing == "maml" else Classification
        problem = kind(config, classes.to(device), split)
        if config.encoder_from is not None and not run.steps_done():  # afterwards it is in the checkpoints
            take_encoder(problem.model, config, split, Run(config.encoder_from))
            if isinstance(problem, Classification):
                problem.centre()
    if not run.exists():
        run.start(config, split, describe_environment(device))
    return problem
