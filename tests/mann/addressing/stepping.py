"""Steps of a scheme without a network, and the checks that all schemes share: oracles, gradients, limits."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy
import torch
from torch import Tensor

from mann.addressing import Controls, Scheme, Write
from mann.addressing import memory as memories
from tests.mann.addressing import feature_oracles, oracles

Maps = dict[str, Tensor]

STEPS = {**oracles.STEPS, **feature_oracles.STEPS}
"""The oracle of a step of each scheme, by the scheme's name."""


def random_controls(scheme: Scheme, memory: Tensor, generator: torch.Generator) -> Controls:
    """Return float64 controls for a memory, in their ranges, from normal numbers."""
    batch, slots, word_size = memory.shape
    return {
        name: control.range(torch.randn(batch, control.heads, control.size, generator=generator, dtype=torch.float64))
        for name, control in scheme.controls(word_size, slots).items()
    }


def one_step(
    scheme: Scheme, controls: Controls, memory: Tensor, state: Any, read_first: bool = False
) -> tuple[Write, Tensor, Tensor, Any]:
    """Write, and read the memory after the write or before it; returns the write, the memory, the reads, the state."""
    write, state = scheme.write(controls, memory, state)
    written = memories.write(memory, *write)
    read, state = scheme.read(controls, memory if read_first else written, state, write)
    return write, written, read, state


def initial_memory(start: str, batch: int, slots: int, word_size: int, generator: torch.Generator) -> Tensor:
    """Return a constant or a random memory, in float64."""
    if start == "constant":
        return torch.full((batch, slots, word_size), 1e-6, dtype=torch.float64)
    return torch.randn(batch, slots, word_size, generator=generator, dtype=torch.float64)


def assert_steps_match_the_oracle(scheme: Scheme, slots: int, start: str = "constant", steps: int = 6) -> None:
    """Compare steps with random controls, the read after the write and before it in turn, to 1e-10."""
    generator = torch.Generator().manual_seed(slots)
    batch, word_size = 2, 3
    memory = initial_memory(start, batch, slots, word_size, generator)
    state = scheme.initial_state(memory)
    for step in range(steps):
        controls, read_first = random_controls(scheme, memory, generator), step % 2 == 1
        # Each step from the state that was found: the order of usages must not depend on a last digit.
        before = {"controls": controls, "state": state._asdict()}
        old_memory = memory
        write, memory, read, state = one_step(scheme, controls, memory, state, read_first)
        found = {"memory": memory, "write": write.weights, "read": read, **state._asdict()}
        for sequence in range(batch):
            arrays = {kind: {n: part[sequence].numpy() for n, part in parts.items()} for kind, parts in before.items()}
            expected = STEPS[scheme.name](
                scheme, arrays["controls"], old_memory[sequence].numpy(), arrays["state"], read_first
            )
            assert set(expected) == set(found)
            for name, value in found.items():
                numpy.testing.assert_allclose(value[sequence].numpy(), expected[name], atol=1e-10, err_msg=name)


def oracle_results(schemes: Iterable[Scheme], slots: int, word_size: int = 2) -> set[tuple[float, ...]]:
    """Return the results of one step of each scheme's oracle from the same random memory, state and controls.

    A variant whose result equals that of another would be tested by nothing.
    """
    results = set()
    for scheme in schemes:
        generator = torch.Generator().manual_seed(0)
        memory = initial_memory("random", 1, slots, word_size, generator)
        controls = {}
        for name, control in scheme.controls(word_size, slots).items():
            # The same numbers for a control of the same name, of which each scheme uses the first ones.
            named = torch.Generator().manual_seed(sum(map(ord, name)))
            emitted = torch.randn(10, 10, generator=named, dtype=torch.float64)
            controls[name] = control.range(emitted[: control.heads, : control.size]).numpy()
        rows = torch.rand(10, slots, generator=generator, dtype=torch.float64)
        state = {
            name: (rows[: part.shape[1], : part.shape[2]].softmax(-1) if part.dim() == 3 else rows[0]).numpy()
            for name, part in scheme.initial_state(memory)._asdict().items()
        }
        result = STEPS[scheme.name](scheme, controls, memory[0].numpy(), state)
        results.add(tuple(numpy.concatenate([value.ravel() for value in result.values()]).round(9)))
    return results


def assert_derivatives_match(
    scheme: Scheme, memory: Tensor, state: Any, through: Sequence[str], steps: int = 1, seed: int = 0
) -> None:
    """Compare gradients of steps with finite differences, in memory, controls and the fields `through` of the state."""
    generator = torch.Generator().manual_seed(seed)
    controls = random_controls(scheme, memory, generator)
    fields = [getattr(state, name).clone().requires_grad_() for name in through]
    inputs = [memory.clone().requires_grad_(), *fields, *(part.requires_grad_() for part in controls.values())]

    def run(memory: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        now = state._replace(**dict(zip(through, rest, strict=False)))
        by_name = dict(zip(controls, rest[len(through) :], strict=True))
        results: tuple[Tensor, ...] = ()
        # The first step reaches the second through the memory and the state.
        for _ in range(steps):
            write, memory, read, now = one_step(scheme, by_name, memory, now)
            results = (write.weights, memory, read, memories.read(memory, read), *now)
        return tuple(part for part in results if part.requires_grad)

    assert torch.autograd.gradcheck(run, inputs)


def assert_finite(
    scheme: Scheme,
    emitted: float,
    slots: int,
    dtype: torch.dtype,
    state: Any = None,
    gates: tuple[Sequence[str], float] = ((), 0.0),
) -> set[str]:
    """Run four steps from a memory of zeros, forward and backward, and check that nothing is infinite or NaN.

    Args:
        scheme: The scheme.
        emitted: Every number that the controller emits, before the ranges.
        slots: Number of slots.
        dtype: Of all tensors.
        state: The state to start from; None: the initial one.
        gates: Controls that are set to a value, and the value.

    Returns:
        The inputs that received a gradient: "memory", names of controls, and fields of the given state.
    """
    leaves = {
        name: torch.full((2, control.heads, control.size), emitted, dtype=dtype, requires_grad=True)
        for name, control in scheme.controls(3, slots).items()
    }
    memory = torch.zeros(2, slots, 3, dtype=dtype, requires_grad=True)
    now, read = memory, torch.zeros(0)
    after = scheme.initial_state(memory) if state is None else state
    started = {} if state is None else {name: part for name, part in state._asdict().items() if part.requires_grad}
    for _ in range(4):
        controls = {name: control.range(leaves[name]) for name, control in scheme.controls(3, slots).items()}
        for name in gates[0]:
            controls[name] = controls[name] * 0 + gates[1]
        write, now, read, after = one_step(scheme, controls, now, after)
        assert all(torch.isfinite(part).all() for part in (write.weights, now, read, *after))
    results = [now.sum(), memories.read(now, read).square().sum(), *(part[..., 0].sum() for part in (read, *after))]
    torch.stack(results).sum().backward()
    grads = {name: leaf.grad for name, leaf in {"memory": memory, **leaves, **started}.items()}
    assert all(grad is None or torch.isfinite(grad).all() for grad in grads.values())
    return {name for name, grad in grads.items() if grad is not None}


def random_maps(scheme: Scheme, word_size: int = 4, seed: int = 0) -> tuple[Maps, Maps]:
    """Return random weights [heads, size, hidden_size] and biases [heads, size] by control."""
    controls, generator = scheme.controls(word_size, 8), torch.Generator().manual_seed(seed)
    weights = {name: torch.randn(part.heads, part.size, 6, generator=generator) for name, part in controls.items()}
    return weights, {name: torch.randn(part.heads, part.size, generator=generator) for name, part in controls.items()}


def initialised_maps(scheme: Scheme, word_size: int = 4) -> tuple[Maps, Maps, Maps, Maps]:
    """Return random weights and biases, and copies that the scheme has initialised."""
    weights, biases = random_maps(scheme, word_size)
    after = {name: value.clone() for name, value in weights.items()}, {k: v.clone() for k, v in biases.items()}
    scheme.initialise(*after)
    return weights, biases, *after


def changed(before: Maps, after: Maps) -> set[tuple[str, int]]:
    """Return the controls and heads that differ."""
    assert set(before) == set(after)
    return {
        (name, head)
        for name in before
        for head in range(len(before[name]))
        if (before[name] != after[name])[head].any()
    }
