"""One update of the weights, if the loss and every gradient are finite."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from mann.training.distributed import ProcessGroup
from mann.training.optimisation import gradients, largest_norm, nonfinite, set_learning_rate, total_norm
from mann.training.state import TrainingState


class NotFiniteError(ArithmeticError):
    """The loss or the gradient is not finite; the weights are still those of the step before."""


def train_step(state: TrainingState, step: int, group: ProcessGroup) -> None:
    """Train on the episodes of one step (from 0), and add its counts to the sums.

    The answers that are counted are those of the weights before the update.

    Raises:
        NotFiniteError: the loss or a gradient is not finite, and such steps are not to be skipped.
    """
    problem, config = state.problem, state.config
    set_learning_rate(state.optimizer, config, step)
    carry = problem.carry
    episode = group.shard(problem.episode(step), config.batch)
    # Autocast covers the forward pass alone: the backward pass runs in the precisions that the forward pass chose.
    with torch.autocast(state.sums.loss.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        loss, counts = problem.loss(episode)
    loss = loss * group.fraction(config.batch)  # the loss is a mean over sequences
    state.optimizer.zero_grad()
    loss.backward()
    found = gradients(problem.model)
    counted, of = counts.counted.sum(0), counts.of.sum(0)
    group.all_reduce([loss.detach(), *found.values()])
    group.all_reduce([counted, of])
    norm = total_norm(found.values())
    if torch.isfinite(norm + loss.detach()):  # the norm is finite only if every gradient is
        nn.utils.clip_grads_with_norm_(problem.model.parameters(), largest_norm(config, step, state.norms), norm)
        state.norms.append(norm.item())
        state.optimizer.step()
        state.sums.add(loss, counted, of)
        return
    problem.carry = carry
    if config.on_nonfinite == "stop":
        raise NotFiniteError(f"step {step} of seed {config.seed}: {nonfinite(loss.item(), found)}")
    state.sums.skipped += 1


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow GPUs to multiply in TF32 within the block, if `allowed`."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if allowed else before)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
