"""Steps whose loss or gradient is not finite: the training stops before the update, or skips them."""

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from data import ImageClasses, InputError, Split
from mann.problems import Classification, train
from mann.runs import Run, read_checkpoint
from mann.settings import Config
from mann.support.trees import leaves_of
from mann.training import Counts, NotFiniteError, ProcessGroup, fit
from mann.training.distributed import SINGLE_PROCESS
from mann.training.optimisation import gradients, nonfinite
from mann.training.state import TrainingState
from mann.training.step import train_step
from tests.mann.training.comparing import OFTEN, assert_same, bits, descending, position, stop_after
from tests.mann.training.conftest import Start

BIAS = "network.output.bias"


class Poisoned(Classification):
    """Classification where the gradient of the output's bias is infinite at some steps, the loss staying as it is."""

    def __init__(self, config: Config, classes: ImageClasses, split: Split, *steps: int):
        super().__init__(config, classes, split)
        self.steps, self.step = steps, 0

    def episode(self, step: int) -> Any:
        """Return the episodes of a step."""
        self.step = step
        return super().episode(step)

    def loss(self, episode: Any) -> tuple[torch.Tensor, Counts]:
        """Return the loss and the counts."""
        loss, counts = super().loss(episode)
        if self.step in self.steps:
            bias = self.model.get_parameter(BIAS)
            loss = loss + (bias - bias.detach()).abs().sum().sqrt()  # the root's slope at 0 is infinite
        return loss, counts


class Constant(nn.Module):
    """Answers the same whatever it sees: `logits`, times a weight of 1."""

    encoder = None

    def __init__(self, logits: list[float]):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.logits = torch.tensor(logits)

    def forward(self, images: torch.Tensor, previous: torch.Tensor, state: None) -> tuple[torch.Tensor, None]:
        """Return the same logits at every step."""
        time, batch = images.shape[:2]
        return (self.weight * self.logits).expand(time, batch, 1, 2), None


@pytest.mark.parametrize("logits", [[math.nan, 0.0], [math.inf, 0.0], [3e38, -3e38]])
def test_a_step_that_is_not_finite_changes_nothing(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, logits: list[float]
) -> None:
    config = replace(tiny_config, seed=5)
    problem = Classification(config, tiny_classes, tiny_split)
    model = problem.model = Constant(logits)  # pyright: ignore[reportAttributeAccessIssue]
    state = descending(problem, config)
    with pytest.raises(NotFiniteError, match=r"step 3 of seed 5: the loss is (nan|inf)"):
        train_step(state, 3, SINGLE_PROCESS)
    assert model.weight.item() == 1
    assert state.sums.steps == 0 and not state.norms


def test_the_state_before_such_a_step_is_kept_and_reproduces_it(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    problem = Poisoned(tiny_config, tiny_classes, tiny_split, 5)
    with pytest.raises(NotFiniteError) as stopped:
        fit(problem, tiny_config, run, OFTEN)
    for words in ("step 5 of seed 0: the gradient of network.output.bias is not finite (1 of ", str(run.nonfinite)):
        assert words in str(stopped.value)
    assert "`on_nonfinite=skip`" in str(stopped.value)
    (folder,) = run.nonfinite.iterdir()
    state = read_checkpoint(folder)
    assert (folder.name, state.step, run.steps_done()) == ("000000005", 5, 0)
    clean = start("clean", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, clean, OFTEN, stopping=stop_after(5))
    assert bits(state.weights) == bits(position(clean).weights)
    # The episode follows from the seed and the step, so that nothing else is needed.
    problem.model.load_state_dict(state.weights)
    loss, _ = problem.loss(problem.episode(state.step))
    problem.model.zero_grad()
    loss.backward()
    assert not torch.isfinite(gradients(problem.model)[BIAS]).all()


def test_such_steps_can_be_skipped_and_are_counted(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    config = replace(tiny_config, on_nonfinite="skip")
    whole, parts, untouched = start("whole", config), start("parts", config), start("untouched", config)
    fit(Poisoned(config, tiny_classes, tiny_split, 1, 3, 4, 5), config, whole, OFTEN)
    assert [line["skipped"] for line in whole.metrics()] == [1, 3, 0, 0]
    assert [line["loss"] is None for line in whole.metrics()] == [False, True, False, False]
    assert not whole.nonfinite.exists()
    while parts.steps_done() < config.steps:
        problem = Poisoned(config, tiny_classes, tiny_split, 1, 3, 4, 5)
        fit(problem, config, parts, OFTEN, stopping=stop_after(5))
    assert_same(whole, parts)
    train(config, tiny_classes, tiny_split, untouched, OFTEN)
    assert [line["skipped"] for line in untouched.metrics()] == [0, 0, 0, 0]
    assert bits(position(untouched).weights) != bits(position(whole).weights)


def test_a_run_that_stopped_can_continue_without_the_step(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    skipping = replace(tiny_config, on_nonfinite="skip")
    stopped, whole = start("stopped", tiny_config), start("whole", skipping)
    for config, run in ((tiny_config, stopped), (skipping, stopped), (skipping, whole)):
        with pytest.raises(NotFiniteError) if config is tiny_config else nullcontext():
            fit(Poisoned(config, tiny_classes, tiny_split, 5), config, run, OFTEN)
    assert bits(position(stopped).weights) == bits(position(whole).weights)


def test_the_last_checkpoint_survives_such_a_step(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(4))
    before = bits(position(run).weights)
    with pytest.raises(NotFiniteError, match="step 4 of seed 0"):
        fit(Poisoned(tiny_config, tiny_classes, tiny_split, 4), tiny_config, run, OFTEN)
    assert position(run).step == 4
    assert bits(position(run).weights) == before


def test_persistent_memory_is_as_before_a_skipped_step_and_needs_a_single_process(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, tiny_run: Run
) -> None:
    config = replace(tiny_config, memory="persistent", on_nonfinite="skip")
    problem = Poisoned(config, tiny_classes, tiny_split, 1)
    seen = [bits(leaves_of(problem.carry))]
    state = TrainingState.initial(problem, config)
    for step in range(3):
        train_step(state, step, SINGLE_PROCESS)
        seen.append(bits(leaves_of(problem.carry)))
    assert seen[0] != seen[1] == seen[2] != seen[3]
    assert (state.sums.steps, state.sums.skipped) == (2, 1)
    with pytest.raises(InputError, match="`memory=persistent`: train in one process"):
        fit(problem, config, tiny_run, OFTEN, group=ProcessGroup(0, 2))


def test_the_value_that_is_not_finite_is_named() -> None:
    found = {"one": torch.ones(2), "two": torch.tensor([1.0, math.nan])}
    assert nonfinite(0.5, found) == "the gradient of two is not finite (1 of 2 parameters)"
    assert nonfinite(-math.inf, found) == "the loss is -inf"


def test_the_matrix_precision_is_restored_where_training_fails(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    config = replace(tiny_config, precision="tf32")
    before = torch.get_float32_matmul_precision()
    with pytest.raises(NotFiniteError):
        fit(Poisoned(config, tiny_classes, tiny_split, 0), config, start("run", config), OFTEN)
    assert torch.get_float32_matmul_precision() == before
