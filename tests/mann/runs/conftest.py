"""Checkpoints of a step."""

from collections.abc import Callable

import pytest
import torch

from mann.runs import Checkpoint, Run
from mann.settings import Config

Make = Callable[[int], Checkpoint]


@pytest.fixture
def checkpoint(tiny_config: Config) -> Make:
    """Return a function that makes the checkpoint of a step."""

    def make(step: int) -> Checkpoint:
        weights = {"weight": torch.full((2, 3), float(step)), "bias": torch.tensor([0.1, -0.0])}
        return Checkpoint(step, tiny_config, weights, {"optimizer": {"state": {0: torch.ones(2)}}, "seconds": 1.5})

    return make


def last(run: Run) -> Checkpoint:
    """Return the last checkpoint, which has to exist."""
    found = run.last_checkpoint()
    assert found is not None
    return found
