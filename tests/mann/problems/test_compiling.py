"""Long trainings of memory networks are compiled, short ones are not."""

import importlib
import logging
from dataclasses import replace
from typing import Any

import pytest
import torch

from data import ImageClasses, Split
from mann.fast.checked import CheckedUnrolling
from mann.models.baselines.recurrent import RecurrentBaseline
from mann.models.network import MemoryNetwork
from mann.models.unrolling import plain
from mann.problems import Classification
from mann.problems.algorithmic_task import TaskProblem
from mann.problems.compiling import WORTH_COMPILING
from mann.settings import Config, Recurrent, preset

CPU = torch.device("cpu")


def unrolling(network: Any) -> Any:
    """Return what runs a memory network over time."""
    assert isinstance(network, MemoryNetwork)
    return network.unroll


@pytest.mark.usefixtures("cxx_compiler")
def test_networks_of_long_trainings_are_compiled(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    long = replace(tiny_config, episodes=2 * WORTH_COMPILING)
    short = replace(tiny_config, episodes=2 * (WORTH_COMPILING - 1))
    assert unrolling(Classification(short, tiny_classes, tiny_split).model.network) is plain
    assert isinstance(unrolling(Classification(long, tiny_classes, tiny_split).model.network), CheckedUnrolling)
    without = Classification(replace(long, model=Recurrent(hidden_size=8)), tiny_classes, tiny_split)
    assert isinstance(without.model.network, RecurrentBaseline)  # there is nothing to compile in the baselines


@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize(("steps", "compiled"), [(WORTH_COMPILING - 1, False), (WORTH_COMPILING, True)])
def test_networks_of_tasks_are_compiled_as_well(steps: int, compiled: bool) -> None:
    config: Any = preset("copy", episodes=steps, batch=1, hidden_size=8, slots=5)
    assert isinstance(unrolling(TaskProblem(config, CPU).model), CheckedUnrolling) == compiled


@pytest.mark.usefixtures("cxx_compiler")
def test_compiling_does_not_warn_that_there_is_no_gpu() -> None:
    importlib.import_module("mann.fast.torch_internals")
    assert not logging.getLogger("torch.utils.cpp_extension").isEnabledFor(logging.WARNING)
