"""The presets of the algorithmic tasks that follow the papers."""

import math

import pytest
import torch

from episodes import TASKS
from mann.models.building import build_network
from mann.problems.algorithmic_task import TaskProblem
from mann.settings import Recurrent, TaskConfig, changed, preset
from mann.settings.presets import TASK_PRESETS
from mann.training.distributed import SINGLE_PROCESS
from mann.training.state import TrainingState
from mann.training.step import train_step
from tests.mann.problems.tiny_tasks import SMALL
from tests.mann.training.comparing import bits

LSTM_PARAMETERS = {
    "copy": (1_352_969, 10, 9),
    "repeat-copy": (5_312_007, 8, 7),
    "associative-recall": (1_344_518, 8, 6),
    "ngrams": (331_905, 1, 1),
}
"""By task, parameters of table 3 of Graves et al. 2014, and the inputs and outputs that they fit."""


@pytest.mark.parametrize("task", LSTM_PARAMETERS)
def test_the_papers_lstm_has_the_papers_parameters_except_for_known_differences(task: str) -> None:
    model = preset(task, "paper-lstm").model
    assert isinstance(model, Recurrent)
    parameters, inputs, outputs = LSTM_PARAMETERS[task]
    network = build_network(model, 0, inputs, outputs)
    units, layers = model.hidden_size, model.layers
    # The paper's layers all see the input and are all seen by the output; its start is learned, torch has two biases.
    skips = (layers - 1) * (4 * inputs * units + outputs * units)
    start, second_bias = 2 * layers * units, 4 * layers * units
    assert sum(weight.numel() for weight in network.parameters()) == parameters - skips - start + second_bias


@pytest.mark.parametrize("name", [name for name in TASK_PRESETS if name.startswith("paper")])
@pytest.mark.parametrize("task", TASK_PRESETS["paper-lstm"])
def test_the_papers_settings_train(task: str, name: str) -> None:
    config = preset(task, name)
    assert isinstance(config, TaskConfig)
    assert (config.optimizer, config.schedule, config.episodes) == ("rmsprop", "constant", 1_000_000)
    config = changed(config, {"sizes": SMALL[task], "batch": 1, "hidden_size": 8, "episodes": 2})
    problem = TaskProblem(config, torch.device("cpu"))
    before = bits(problem.model.state_dict())
    state = TrainingState.initial(problem, config)
    for step in range(config.steps):
        train_step(state, step, SINGLE_PROCESS)
    assert state.sums.steps == 2 and math.isfinite(state.sums.mean_loss() or math.nan)
    assert bits(problem.model.state_dict()) != before


@pytest.mark.parametrize("task", TASKS)
def test_the_lstm_to_compare_with_sees_as_many_sequences_of_the_same_task(task: str) -> None:
    ours, beside = preset(task), preset(task, "lstm")
    assert beside.model == Recurrent(hidden_size=256)
    assert isinstance(ours, TaskConfig) and isinstance(beside, TaskConfig)
    assert (ours.episodes, ours.batch, ours.sizes, ours.schedule) == (
        beside.episodes,
        beside.batch,
        beside.sizes,
        beside.schedule,
    )
