"""The precision of products in training steps, and nowhere else."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from data import ImageClasses, Split
from mann.problems import Classification
from mann.settings import Config
from mann.training import fit
from tests.mann.training.comparing import OFTEN, position
from tests.mann.training.conftest import Start


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_products_have_the_precision_of_the_settings_in_training_steps_alone(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, precision: Any
) -> None:
    config = replace(tiny_config, precision=precision, encoder="conv", encoder_width=4, episodes=4)
    problem = Classification(config, tiny_classes, tiny_split)
    seen: dict[bool, set[Any]] = {True: set(), False: set()}
    weight = problem.model.encoder.get_parameter("convolutions.3.weight")

    def record(_: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        seen[torch.is_grad_enabled()].add((output.dtype, torch.get_float32_matmul_precision()))

    problem.model.encoder.get_submodule("convolutions.3").register_forward_hook(record)
    backward = set[str]()
    weight.register_hook(lambda _: backward.add(torch.get_float32_matmul_precision()))
    before = torch.get_float32_matmul_precision()
    run = start("run", config)
    fit(problem, config, run, OFTEN)
    inside = "high" if precision == "tf32" else before
    assert seen[True] == {(torch.bfloat16 if precision == "bfloat16" else torch.float32, inside)}
    assert seen[False] == {(torch.float32, before)}  # validation
    assert backward == {inside}
    assert torch.get_float32_matmul_precision() == before
    assert {tensor.dtype for tensor in position(run).weights.values()} == {torch.float32}


def test_a_loss_in_bfloat16_is_that_of_float32_up_to_rounding(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    problem = Classification(replace(tiny_config, encoder="conv", encoder_width=8), tiny_classes, tiny_split)
    exact, _ = problem.loss(problem.episode(0))
    with torch.autocast("cpu", torch.bfloat16):
        rounded, _ = problem.loss(problem.episode(0))
    assert 1e-7 < abs(rounded - exact) / exact < 2**-7  # numbers of 8 binary digits
