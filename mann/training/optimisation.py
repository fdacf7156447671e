"""Optimiser, learning rate and clipping of gradients."""

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from mann.settings import Config, Settings

RECENT_STEPS: Final = 100
"""Steps whose gradient norms make up the median of `largest_norm`."""


def build_optimizer(config: Settings, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of the settings. An encoder's parameters are a group: `share` times the learning rate."""
    encoder = set(getattr(model, "encoder", nn.Module()).parameters())
    groups: list[dict[str, Any]] = [{"params": [one for one in model.parameters() if one not in encoder]}]
    if encoder and isinstance(config, Config):
        within = [one for one in model.parameters() if one in encoder]
        groups = [{"params": within, "share": config.encoder_rate}, *groups]
    if config.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, config.learning_rate, alpha=0.95, eps=config.epsilon, momentum=0.9)
    return torch.optim.Adam(groups, config.learning_rate, eps=config.epsilon, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, config: Settings, step: int) -> None:
    """Give each group of parameters its learning rate of a step."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(config, step) * group.get("share", 1.0)


def learning_rate(config: Settings, step: int) -> float:
    """Return the learning rate of a step (from 0): a linear warm-up, then a half cosine or a constant."""
    share = min(1.0, (step + 1) / (config.warm_up + 1))
    if config.schedule == "cosine":
        share *= 0.5 + 0.5 * math.cos(math.pi * step / config.steps)
    return config.learning_rate * share


def largest_norm(config: Settings, step: int, norms: Sequence[float]) -> float:
    """Return the norm to which the gradient of a step is clipped.

    The gradient of a sequence whose heads address the wrong slots can be 10,000 times the usual one. Adam, whose step
    sizes do not depend on the scale, then moves far in the direction of one batch and loses what was learned. No fixed
    limit will do, since the usual norm changes by as large a factor during a training: hence the median of recent
    steps, after AutoClip (Seetharaman et al. 2020, arXiv 2007.14469). The limit rises as the learning rate falls:
    updates are small then, and rare sequences still count.

    Args:
        config: The settings.
        step: The step, from 0.
        norms: Gradient norms of the last `RECENT_STEPS` steps.
    """
    usual = statistics.median(norms) if norms else 0.0
    if config.clip_to_median is None or usual == 0.0:
        return config.clip
    share = learning_rate(config, step) / config.learning_rate
    return min(config.clip, config.clip_to_median * usual / share)


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients by the names of their parameters."""
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def total_norm(gradients: Collection[Tensor]) -> Tensor:
    """Return the Euclidean norm of all gradients together, [], finite if every gradient is."""
    norm = nn.utils.get_total_norm(gradients)
    if torch.isfinite(norm):
        return norm
    # In float32 the square of 1e20 overflows although the gradient is finite: float64 tells the two cases apart.
    return torch.stack([torch.linalg.vector_norm(gradient, dtype=torch.float64) for gradient in gradients]).norm()


def nonfinite(loss: float, gradients: Mapping[str, Tensor]) -> str:
    """Return which value of a step is not finite, in words, given that one is."""
    if not math.isfinite(loss):
        return f"the loss is {loss}"
    names = [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]
    return f"the gradient of {names[0]} is not finite ({len(names)} of {len(gradients)} parameters)"
