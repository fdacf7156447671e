"""Steps that a user may write: compiled, or run the plain way with one warning; with the values of the plain way."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from mann.fast.checked import CheckedUnrolling
from mann.models.unrolling import Tensors, plain
from mann.support.trees import leaves_of
from tests.mann.fast.networks import uncompiled

SLOTS, WIDTH = 5, 4
Memory = Callable[[Tensor, Any], Any]
"""(hidden units, the rest of the state) -> the rest of the state after the step."""


def unchanged(hidden: Tensor, memory: Tensor) -> Tensor:
    return memory


def a_view(hidden: Tensor, memory: Tensor) -> Tensor:
    return memory.transpose(1, 2).transpose(1, 2) if hidden.shape[0] else memory


def another_view(hidden: Tensor, memory: Tensor) -> Tensor:
    return memory.view(-1, WIDTH, SLOTS).view(-1, SLOTS, WIDTH)


def exchanged(hidden: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return leaves[1], leaves[0] * 0.5 + hidden[:, None, :]


def the_same_twice(hidden: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    after = leaves[0] * 0.5 + hidden[:, None, :]
    return after, after


def written_in_place(hidden: Tensor, memory: Tensor) -> Tensor:
    memory = memory.clone()
    memory[:, 0] = hidden
    memory[:, 1].mul_(0.5)
    return memory


def copied_in_place(hidden: Tensor, memory: Tensor) -> Tensor:
    after = torch.zeros_like(memory)
    after.copy_(memory)
    after.add_(hidden[:, None, :])
    return after


def rolled(hidden: Tensor, memory: Tensor) -> Tensor:
    return torch.cat([hidden[:, None, :], memory.roll(1, 1)[:, 1:]], 1)


def chosen(hidden: Tensor, memory: Tensor) -> Tensor:
    return torch.where(memory.sum(-1, keepdim=True) > 0.1, memory * 0.9, hidden[:, None, :])


def at_most(hidden: Tensor, memory: Tensor) -> Tensor:
    return torch.maximum(memory * 0.9, hidden[:, None, :])


def masked(hidden: Tensor, memory: Tensor) -> Tensor:
    return (memory + hidden[:, None, :]).masked_fill(memory > 0.5, 0.0)


def counted(hidden: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    memory, count = leaves
    here = functional.one_hot(count % SLOTS, SLOTS).to(memory.dtype)
    return memory + here[..., None] * hidden[:, None, :], count + 1


def flagged(hidden: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    memory, full = leaves
    free = (~full).to(memory.dtype)
    after = memory + free[..., None] * hidden[:, None, :]
    return after, full | (after.abs().sum(-1) > 1.0)


def without_gradient(hidden: Tensor, leaves: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    memory, age = leaves
    return memory * torch.softmax(age, -1)[..., None] + hidden[:, None, :], (age + 1).detach()


def scattered(hidden: Tensor, memory: Tensor) -> Tensor:
    at = memory.sum(-1).argmin(-1)
    return memory.index_put((torch.arange(len(hidden), device=at.device), at), hidden)


def nested(hidden: Tensor, leaves: tuple[tuple[Tensor, tuple[Tensor]], Tensor]) -> Any:
    (memory, (usage,)), other = leaves
    return (memory + hidden[:, None, :] * usage[..., None], (usage * 0.9,)), other + hidden


def dictionary(hidden: Tensor, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"b": leaves["b"] + hidden, "a": leaves["a"] * 0.5 + hidden[:, None, :]}


def memory(batch: int) -> Tensor:
    return torch.linspace(-1, 1, batch * SLOTS * WIDTH).view(batch, SLOTS, WIDTH).contiguous()


COMPILED: dict[Memory, Callable[[int], Any]] = {
    **{body: memory for body in (unchanged, a_view, another_view, written_in_place, copied_in_place, rolled, chosen)},
    **{body: memory for body in (at_most, masked, scattered)},
    exchanged: lambda batch: (memory(batch), memory(batch) * 2),
    the_same_twice: lambda batch: (memory(batch), memory(batch) * 2),
    counted: lambda batch: (memory(batch), torch.arange(batch)),
    flagged: lambda batch: (memory(batch), torch.zeros(batch, SLOTS, dtype=torch.bool)),
    without_gradient: lambda batch: (memory(batch), torch.ones(batch, SLOTS)),
    nested: lambda batch: ((memory(batch), (torch.ones(batch, SLOTS),)), torch.zeros(batch, WIDTH)),
    dictionary: lambda batch: {"b": torch.zeros(batch, WIDTH), "a": memory(batch)},
}


def appended(hidden: Tensor, keys: Tensor) -> Tensor:
    return torch.cat([keys, hidden[:, None, :]], 1)


def as_numbers(hidden: Tensor, memory: Tensor) -> Tensor:
    return memory * float(memory.detach().abs().max()) + hidden[:, None, :]  # depends on the numbers of this very step


PLAIN: dict[Memory, Callable[[int], Any]] = {appended: memory, as_numbers: memory}


def step_of(body: Memory) -> Callable[..., tuple[Tensor, Tensors, Any]]:
    """Return a step with a product and a state that `body` updates, which the features depend on."""

    def step(weights: Tensors, now: Tensors, state: tuple[Tensor, Any]) -> tuple[Tensor, Tensors, Any]:
        before, rest = state
        hidden = torch.addmm(now[0], before, weights[0].T).tanh()
        after = body(hidden, rest)
        seen = [leaf.flatten(1).sum(-1) for leaf in leaves_of(rest) if leaf.is_floating_point()]
        return torch.cat([hidden, torch.stack(seen, -1)], -1), (before,), (hidden, after)

    return step


def results(unroll: Any, body: Memory, rest: Any, batch: int = 2) -> list[Tensor]:
    """Return values and gradients of a sequence of 6 steps."""
    generator = torch.Generator().manual_seed(0)
    weight, inputs = (torch.randn(*size, generator=generator) for size in ((WIDTH, WIDTH), (6, batch, WIDTH)))
    leaves = [weight.requires_grad_(), inputs.requires_grad_()]
    features, last = unroll(step_of(body), (weight,), (inputs,), (torch.zeros(batch, WIDTH), rest(batch)))
    known = [one for one in (features, *leaves_of(last)) if one.requires_grad]
    sum((one.sin().sum() for one in known), start=torch.zeros(())).backward()
    return [features.detach(), *(one.detach() for one in leaves_of(last)), *(one.grad for one in leaves)]  # pyright: ignore


@pytest.mark.parametrize("body", COMPILED, ids=lambda body: body.__name__)
def test_a_step_is_traced(body: Memory) -> None:
    rest = COMPILED[body]
    torch.testing.assert_close(results(uncompiled(), body, rest), results(plain, body, rest), atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("cxx_compiler")
def test_several_are_compiled_as_one_step() -> None:
    bodies = (unchanged, exchanged, written_in_place, rolled, counted, flagged, scattered)

    def together(hidden: Tensor, leaves: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(body(hidden, one) for body, one in zip(bodies, leaves, strict=True))

    def rest(batch: int) -> tuple[Any, ...]:
        return tuple(COMPILED[body](batch) for body in bodies)

    found = results(CheckedUnrolling(required=True), together, rest)
    torch.testing.assert_close(found, results(plain, together, rest), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("body", PLAIN, ids=lambda body: body.__name__)
def test_a_step_that_cannot_be_compiled_runs_the_plain_way_with_one_warning(body: Memory) -> None:
    unroll = CheckedUnrolling()
    with pytest.warns(UserWarning, match="steps run uncompiled") as warned:
        found = [results(unroll, body, PLAIN[body]) for _ in range(2)]
    assert len(warned) == 1
    expected = results(plain, body, PLAIN[body])
    for one in found:
        torch.testing.assert_close(one, expected, atol=0, rtol=0)
    with pytest.raises(Exception, match=r"."), warnings.catch_warnings():
        results(CheckedUnrolling(required=True), body, PLAIN[body])
