"""The optimiser, the learning rate of every step and the clipping of gradients."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from data import ImageClasses, Split
from mann.models.building import build_classifier
from mann.problems import Classification
from mann.settings import Config, preset
from mann.training import Counts, fit
from mann.training.optimisation import RECENT_STEPS, build_optimizer, largest_norm, learning_rate, total_norm
from tests.mann.training.comparing import OFTEN, step_of, stop_after
from tests.mann.training.conftest import Start


def slow_learning_rate(config: Config, step: int) -> float:
    """The schedule, from its description."""
    rate = config.learning_rate
    if step < config.warm_up:
        rate = config.learning_rate * (step + 1) / (config.warm_up + 1)
    if config.schedule == "cosine":
        rate = rate * (1 + math.cos(math.pi * step / config.steps)) / 2
    return rate


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
@pytest.mark.parametrize("warm_up", [0, 1, 9, 500])
def test_learning_rate_follows_its_formula(schedule: Any, warm_up: int) -> None:
    config = Config("strokes", schedule=schedule, warm_up=warm_up, batch=1, episodes=200, learning_rate=0.5)
    rates = [learning_rate(config, step) for step in range(200)]
    assert rates == pytest.approx([slow_learning_rate(config, step) for step in range(200)])
    assert all(0 < rate <= 0.5 for rate in rates)
    assert rates[0] == 0.5 / (warm_up + 1)
    after = rates[min(warm_up, 199) :]
    assert after == sorted(after, reverse=True)
    if schedule == "constant":
        assert set(after) == {0.5} or warm_up == 500
    elif warm_up < 200:
        assert rates[-1] < 1e-4


@pytest.mark.parametrize(("encoder", "share"), [("none", 0.25), ("conv", 0.25), ("conv", 1.0)])
def test_every_step_uses_its_learning_rate_and_the_encoder_its_share_of_it(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, encoder: Any, share: float
) -> None:
    used: list[dict[str, float]] = []
    config = replace(tiny_config, encoder=encoder, encoder_width=4, encoder_rate=share)
    run = start("run", config)
    for steps in (5, 100):
        problem = Classification(config, tiny_classes, tiny_split)
        names = {id(parameter): name for name, parameter in problem.model.named_parameters()}

        def record(optimizer: torch.optim.Optimizer, *_: Any, names: dict[int, str] = names) -> None:
            groups = optimizer.param_groups
            used.append({names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]})

        hook = register_optimizer_step_pre_hook(record)
        try:
            fit(problem, config, run, OFTEN, stopping=stop_after(steps))
        finally:
            hook.remove()
        assert all(rates.keys() == set(names.values()) for rates in used)
    assert len(used) == 12
    for number, rates in enumerate(used):
        usual = learning_rate(config, number)
        assert rates == {name: usual * share if name.startswith("encoder.") else usual for name in rates}
        assert ("encoder.gain" in rates) == (encoder == "conv")


def test_optimizers_are_those_of_the_settings(tiny_config: Config) -> None:
    model = build_classifier(tiny_config)
    adam = build_optimizer(tiny_config, model)
    rmsprop = build_optimizer(replace(tiny_config, optimizer="rmsprop"), model)
    assert isinstance(adam, torch.optim.Adam) and isinstance(rmsprop, torch.optim.RMSprop)
    assert (rmsprop.defaults["alpha"], rmsprop.defaults["momentum"]) == (0.95, 0.9)
    for optimizer in (adam, rmsprop):
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        assert list(map(id, parameters)) == list(map(id, model.parameters()))


@pytest.mark.parametrize("model", ["prototypes", "nearest", "maml", "recurrent", "memory"])
def test_an_encoder_that_learns_alone_has_the_full_learning_rate(model: str) -> None:
    config = preset("omniglot", model=model, encoder="autoencoder" if model == "nearest" else "conv")
    assert isinstance(config, Config)
    assert config.encoder_rate == (0.1 if model in ("recurrent", "memory") else 1.0)


@pytest.mark.parametrize("clip", [1e-3, 1e6])
def test_a_gradient_is_clipped_by_its_norm(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, clip: float
) -> None:
    config = replace(tiny_config, clip=clip, clip_to_median=None)
    problem = Classification(config, tiny_classes, tiny_split)
    moved, _ = step_of(problem, config)
    gradients = [parameter.grad.flatten() for parameter in problem.model.parameters() if parameter.grad is not None]
    torch.testing.assert_close(moved, torch.cat(gradients), rtol=0, atol=1e-6)
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-3) if clip == 1e-3 else moved.norm() > 1e-2


def test_a_gradient_is_clipped_to_a_multiple_of_the_median_of_recent_norms(tiny_config: Config) -> None:
    absolute = replace(tiny_config, clip=50.0, clip_to_median=None, schedule="constant", warm_up=0)
    relative = replace(absolute, clip_to_median=5.0)
    norms = ([1e-3] * 40 + [2.0] * 51 + [1e6] * 9)[-RECENT_STEPS:]
    assert largest_norm(absolute, 7, norms) == 50.0
    assert largest_norm(relative, 7, norms) == 10.0  # 5 times the median, 2, however large a few are
    assert largest_norm(relative, 7, [1e6] * 100) == 50.0  # never more than the other limit
    assert largest_norm(relative, 7, []) == 50.0
    assert largest_norm(relative, 7, [0.0] * 60 + [1.0] * 40) == 50.0  # there is no usual norm yet


def test_the_limit_rises_as_the_learning_rate_falls(tiny_config: Config) -> None:
    config = replace(tiny_config, clip=1e9, clip_to_median=5.0)  # 12 steps: 3 of warm-up, a half cosine
    for step in range(12):
        limit = largest_norm(config, step, [2.0] * 9)
        assert limit * learning_rate(config, step) == pytest.approx(10.0 * config.learning_rate)


@pytest.mark.parametrize(("optimizer", "moved"), [("adam", 1 / (1 + 2)), ("rmsprop", 1 / (math.sqrt(0.05) + 2))])
def test_a_gradient_of_half_the_epsilon_moves_a_weight_less(tiny_config: Config, optimizer: Any, moved: float) -> None:
    layer = nn.Linear(1, 1, bias=False)
    config = replace(tiny_config, optimizer=optimizer, learning_rate=0.25, epsilon=2e-6)
    before = layer.weight.item()
    layer.weight.grad = torch.full((1, 1), 1e-6)
    build_optimizer(config, layer).step()
    assert before - layer.weight.item() == pytest.approx(0.25 * moved, rel=1e-5)


def test_large_gradients_are_scaled_down_to_the_norms_before(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = replace(tiny_config, clip_to_median=0.5, schedule="constant", warm_up=0)
    moved, state = step_of(Classification(config, tiny_classes, tiny_split), config, [1e-3, 2e-3, 3e-3])
    assert moved.norm().item() == pytest.approx(1e-3, rel=1e-2)
    assert len(state.norms) == 4 and state.norms[-1] > 1e-2  # the norm before it was scaled down is remembered


class Scaled(Classification):
    """Classification with a loss that is many times as large."""

    scale = 1.0

    def loss(self, episode: Any) -> tuple[torch.Tensor, Counts]:
        """Return the loss times the scale."""
        loss, counts = super().loss(episode)
        return loss * self.scale, counts


def test_a_gradient_whose_square_is_too_large_is_scaled_down(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    config = replace(tiny_config, clip=0.5, clip_to_median=None, schedule="constant", warm_up=0)
    moved = []
    for scale in (1e3, 1e25):
        problem = Scaled(config, tiny_classes, tiny_split)
        problem.scale = scale
        moved.append(step_of(problem, config)[0].double())
    assert [one.norm().item() for one in moved] == pytest.approx([0.5, 0.5], rel=1e-2)
    torch.testing.assert_close(moved[1], moved[0], rtol=1e-2, atol=1e-5)


def test_the_norm_of_gradients_is_finite_if_each_of_them_is() -> None:
    assert total_norm([torch.tensor([3e25]), torch.tensor([4e25])]).item() == pytest.approx(5e25)
    assert torch.isinf(total_norm([torch.tensor([1.0]), torch.tensor([math.inf])]))
    assert torch.isnan(total_norm([torch.tensor([1.0]), torch.tensor([math.nan])]))
