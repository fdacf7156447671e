"""Sequences of different lengths in one batch: each is answered, and ends, as it is alone."""

from functools import partial
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data import InputError
from mann.fast.compiled_step import CompiledStep, interpreted
from mann.fast.compiled_unrolling import CompiledUnrolling
from mann.models.lengths import held, within
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Unrolling, plain
from mann.support.trees import leaves_of
from tests.mann.models.test_drop_in import BATCH, INPUTS, VARIANTS, build

INTERPRETED = partial(CompiledUnrolling, partial(CompiledStep, compiler=interpreted))


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 3))
def test_steps_within_a_sequence_are_those_before_its_end(lengths: list[int], more: int) -> None:
    time = max(lengths) + more
    found = within(lengths, time, len(lengths), torch.device("cpu"))
    assert found.T.tolist() == [[step < length for step in range(time)] for length in lengths]


def test_a_state_is_held_leaf_by_leaf_and_sequence_by_sequence() -> None:
    before, after = (
        (torch.full((2, 3), value), (torch.full((2,), int(value)), torch.full((2, 1, 2), value > 1)))
        for value in (1.0, 2.0)
    )
    kept = held(after, before, torch.tensor([[1.0], [0.0]]))
    for one, old, new in zip(leaves_of(kept), leaves_of(before), leaves_of(after), strict=True):
        assert one.dtype == new.dtype
        assert torch.equal(one[0], new[0])
        assert torch.equal(one[1], old[1])


def batch_of(time: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return inputs [time, batch, width]."""
    return torch.randn(time, BATCH, INPUTS, generator=torch.Generator().manual_seed(time)).to(dtype)


def whole(network: MemoryNetwork, state: Any) -> Any:
    """Return a state with all slots, where a scheme makes those alone that are in reach."""
    memory, addressing = network.start.grow(state.memory, state.addressing, network.slots)
    return state._replace(memory=memory, addressing=addressing)


def alone(network: MemoryNetwork, inputs: Tensor, lengths: list[int]) -> list[tuple[Tensor, Any]]:
    """Return the answers and the last state of each sequence, run by itself."""
    found = (network(inputs[:length, place : place + 1]) for place, length in enumerate(lengths))
    return [(answers, whole(network, last)) for answers, last in found]


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize(("time", "lengths"), [(6, [4, 6]), (5, [1, 2]), (1, [1, 1])])
def test_every_sequence_of_a_batch_is_as_it_is_alone(name: str, time: int, lengths: list[int]) -> None:
    network = build(name)
    inputs = batch_of(time)
    expected = alone(network, inputs, lengths)
    outputs, state = network(inputs, lengths=lengths)
    for place, (length, (answers, last)) in enumerate(zip(lengths, expected, strict=True)):
        torch.testing.assert_close(outputs[:length, place], answers[:, 0], atol=1e-6, rtol=0)
        assert not outputs[length:, place].any()
        for one, other in zip(leaves_of(whole(network, state)), leaves_of(last), strict=True):
            torch.testing.assert_close(one[place], other[0], atol=1e-6, rtol=0)


def run(network: MemoryNetwork, unroll: Unrolling, inputs: Tensor, lengths: list[int]) -> list[Tensor]:
    """Return answers, last state, and the gradients of the weights and the inputs from all of them."""
    network.unroll = unroll
    inputs = inputs.requires_grad_()
    outputs, state = network(inputs, lengths=torch.tensor(lengths))
    results = [outputs, *leaves_of(state)]
    loss = torch.stack([leaf.sin().sum() for leaf in results if leaf.requires_grad]).sum()
    gradients = torch.autograd.grad(loss, [*network.parameters(), inputs], materialize_grads=True)
    return [*(leaf.detach() for leaf in results), *gradients]


@pytest.mark.parametrize("name", VARIANTS)
def test_what_comes_after_the_end_reaches_no_answer_and_no_gradient(name: str) -> None:
    network, lengths = build(name), [2, 4]
    found = []
    for rest in (0.0, 1e30, float("nan"), float("inf")):
        inputs = batch_of(5).clone()
        for place, length in enumerate(lengths):
            inputs[length:, place] = rest
        found.append(run(network, plain, inputs, lengths))
    for other in found[1:]:
        for one, expected in zip(other, found[0], strict=True):
            assert torch.equal(one, expected)
    of_inputs = found[0][-1]
    assert all(not of_inputs[length:, place].any() for place, length in enumerate(lengths))


@pytest.mark.parametrize("name", VARIANTS)
def test_compiled_steps_equal_the_plain_ones(name: str) -> None:
    network, lengths = build(name), [2, 4]
    expected = run(network, plain, batch_of(5), lengths)
    for one, other in zip(run(network, INTERPRETED(), batch_of(5), lengths), expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-6)


def test_all_steps_of_all_sequences_are_the_call_without_lengths() -> None:
    network, inputs = build("ntm"), batch_of(4)
    outputs, state = network(inputs, lengths=numpy.array([4, 4]))
    expected, last = network(inputs)
    assert torch.equal(outputs, expected)
    assert all(torch.equal(one, other) for one, other in zip(leaves_of(state), leaves_of(last), strict=True))


def test_a_batch_goes_on_from_the_state_of_a_padded_one() -> None:
    network, inputs, lengths = build("lrua", batch_first=True), batch_of(6).transpose(0, 1), [2, 3]
    _, state = network(inputs[:, :3], lengths=lengths)
    outputs, _ = network(inputs[:, 3:], state)
    for place, length in enumerate(lengths):
        joined = torch.cat([inputs[place, :length], inputs[place, 3:]])[None]
        torch.testing.assert_close(outputs[place], network(joined)[0][0, length:], atol=1e-10, rtol=0)


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        ([3], "whole number for each of the 2"),
        ([1, 2, 3], "whole number for each of the 2"),
        (3, "whole number for each of the 2"),
        ([1.0, 2.0], "torch.float32"),
        ([True, True], "torch.bool"),
        ([0, 2], "0 to 2: use 1 to 4"),
        ([2, 5], "2 to 5: use 1 to 4"),
        ([-1, 2], "-1 to 2"),
        (["a", "b"], "whole number for each sequence"),
        ([], "whole number for each of the 2"),
    ],
)
def test_lengths_that_do_not_fit_are_refused_in_one_line(lengths: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        build("ntm")(batch_of(4), lengths=lengths)
    assert "\n" not in str(caught.value)
