"""Differentiable Neural Computer: planted usages, links and writes, with the results computed by hand."""

import math

import numpy
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from mann.addressing import memory as memories
from mann.addressing.dnc import (
    DNC,
    SMALLEST,
    DNCState,
    allocation,
    next_links,
    next_precedence,
    next_usage,
    retention,
)
from mann.addressing.scheme import Write
from mann.addressing.similarity import content_weights
from tests.mann.addressing.stepping import one_step, random_controls


def test_allocation_of_planted_usages() -> None:
    # The free list is 1, 0, 3, 2: a quarter, a half, three quarters, all used.
    found = allocation(torch.tensor([[0.5, 0.25, 1.0, 0.75]], dtype=torch.float64))
    expected = [(1 - 0.5) * 0.25, 1 - 0.25, 0, (1 - 0.75) * 0.25 * 0.5]
    numpy.testing.assert_allclose(found[0].numpy(), expected, atol=2 * SMALLEST)


def test_the_first_free_slot_is_allocated_whole_and_the_others_hardly() -> None:
    found = allocation(torch.tensor([[0.5, 0.0, 1.0, 0.0]], dtype=torch.float64))[0].tolist()
    assert found[1] == 1 - SMALLEST and found[2] == 0
    assert found[3] == pytest.approx(SMALLEST) and found[0] == pytest.approx(0.5 * SMALLEST**2)
    assert SMALLEST <= 1e-6


def test_where_all_is_used_nothing_is_allocated() -> None:
    assert not allocation(torch.ones(1, 4)).any()
    found = allocation(torch.full((1, 4), 0.999, dtype=torch.float64))
    assert 0 < found.sum().item() == pytest.approx(1 - 0.999**4)


def test_ties_go_to_the_lower_index_among_many_slots() -> None:
    # Unstable sorts are right by luck in small cases.
    usage = torch.ones(1, 1000)
    usage[0, 500::2] = 0.5
    found = allocation(usage)[0]
    assert found.topk(5).indices.tolist() == [500, 502, 504, 506, 508]
    assert found[500:510:2].tolist() == pytest.approx([0.5, 0.25, 0.125, 0.0625, 0.03125], rel=1e-4)


def test_retention_by_hand() -> None:
    gates = torch.tensor([[[0.5], [1.0]]])
    weights = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 0.0, 0.5]]])
    assert retention(gates, weights).tolist() == [[0.5, 1, 0.75 * 0.5]]


def test_free_gate_1_with_a_full_read_frees_the_slot_exactly() -> None:
    scheme, state = plain_state(4)
    state = state._replace(
        usage=torch.tensor([[0.3, 1.0, 0.7, 0.9]]), read_weights=torch.tensor([[[0.0, 1.0, 0.0, 0.0]]])
    )
    write, after = scheme.write(plain_controls(free_gate=1.0), torch.zeros(1, 4, 2), state)
    assert after.usage.tolist() == [[pytest.approx(0.3), 0, pytest.approx(0.7), pytest.approx(0.9)]]
    assert write.weights[0, 0, 1] == pytest.approx(1 - SMALLEST)
    _, kept = scheme.write(plain_controls(free_gate=0.0), torch.zeros(1, 4, 2), state)
    assert torch.equal(kept.usage, state.usage)


@example(usage=0.21078237997382943, dtype=torch.float64)
@given(usage=st.floats(0, 1), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_full_write_makes_usage_exactly_1_and_the_next_allocation_avoids_the_slot(
    usage: float, dtype: torch.dtype
) -> None:
    before = torch.tensor([[usage, 0.25, usage]], dtype=dtype)
    after = next_usage(before, torch.tensor([[1.0, 0.0, 0.0]], dtype=dtype), torch.ones(1, 3, dtype=dtype))
    assert after[0, 0] == 1 and torch.equal(after[0, 1:], before[0, 1:])
    assert allocation(after)[0, 0] == 0


def test_usage_by_hand() -> None:
    found = next_usage(torch.tensor([[0.5, 0.0, 1.0]]), torch.tensor([[0.5, 0.5, 0.25]]), torch.tensor([[1, 1, 0.5]]))
    assert found.tolist() == [[0.75, 0.5, 0.5]]


def test_precedence_by_hand() -> None:
    found = next_precedence(torch.tensor([[0.25, 0.5, 0.0]]), torch.tensor([[0.5, 0.0, 0.25]]))
    assert found.tolist() == [[0.0625 + 0.5, 0.125, 0.25]]
    full, none = torch.tensor([[0.0, 0.0, 1.0]]), torch.zeros(1, 3)
    assert torch.equal(next_precedence(found, full), full)
    assert torch.equal(next_precedence(found, none), found)


def test_links_by_hand() -> None:
    # Half of the write goes to slot 0, a quarter to slot 1; before it slot 2 was written last.
    links = torch.tensor([[[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    found = next_links(links, torch.tensor([[0.25, 0.0, 0.75]]), torch.tensor([[0.5, 0.25, 0.0]]))
    assert found.tolist() == [[[0, 0, 0.5 * 0.75], [0.25 * 0.5 + 0.25 * 0.25, 0, 0.25 * 0.75], [0, 0.75, 0]]]


def plain_state(slots: int) -> tuple[DNC, DNCState]:
    """Return a scheme of one read head and its first state."""
    scheme = DNC(read_heads=1)
    return scheme, scheme.initial_state(torch.zeros(1, slots, 1))


def plain_controls(
    modes: tuple[float, float, float] = (0, 1, 0),
    free_gate: float = 0,
    allocation_gate: float = 1,
    write_gate: float = 1,
) -> dict[str, torch.Tensor]:
    """Return controls of one read head and words of 2 that write (5, 7) whole."""
    return {
        "write_key": torch.tensor([[[1.0, 0.0]]]),
        "write_strength": torch.tensor([[[2.0]]]),
        "erase": torch.ones(1, 1, 2),
        "add": torch.tensor([[[5.0, 7.0]]]),
        "read_key": torch.tensor([[[0.0, 1.0]]]),
        "read_strength": torch.tensor([[[3.0]]]),
        "free_gate": torch.tensor([[[free_gate]]]),
        "allocation_gate": torch.tensor([[[allocation_gate]]]),
        "write_gate": torch.tensor([[[write_gate]]]),
        "read_modes": torch.tensor([[modes]]),
    }


BACKWARD, CONTENT, FORWARD = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def written_in_turn(order: list[int], slots: int) -> DNCState:
    """Return the state after full writes to the slots in this order."""
    _, state = plain_state(slots)
    links, precedence = state.links, state.precedence
    for slot in order:
        weights = torch.eye(slots)[slot][None]
        links, precedence = next_links(links, precedence, weights), next_precedence(precedence, weights)
    return state._replace(links=links, precedence=precedence)


def read_from(state: DNCState, slot: int, modes: tuple[float, float, float]) -> list[float]:
    """Return the read weights after a full read of the slot."""
    slots = state.usage.shape[-1]
    state = state._replace(read_weights=torch.eye(slots)[slot].view(1, 1, slots))
    write = Write(torch.zeros(1, 1, slots), torch.ones(1, slots, 1), torch.zeros(1, 1, 2))
    weights, _ = DNC(1).read(plain_controls(modes), torch.zeros(1, slots, 2), state, write)
    return weights[0, 0].tolist()


def test_forward_reads_what_was_written_next_and_backward_what_was_before() -> None:
    a, b, c = 2, 0, 3
    state = written_in_turn([a, b, c], 4)
    assert read_from(state, a, FORWARD) == [1, 0, 0, 0]
    assert read_from(state, b, FORWARD) == [0, 0, 0, 1]
    assert read_from(state, c, FORWARD) == [0, 0, 0, 0]
    assert read_from(state, c, BACKWARD) == [1, 0, 0, 0]
    assert read_from(state, b, BACKWARD) == [0, 0, 1, 0]
    assert read_from(state, a, BACKWARD) == [0, 0, 0, 0]
    assert state.precedence.tolist() == [[0, 0, 0, 1]]


def test_a_slot_written_again_loses_its_old_place_in_the_order() -> None:
    state = written_in_turn([2, 0, 3, 0], 4)
    assert read_from(state, 2, FORWARD) == [0, 0, 0, 0]
    assert read_from(state, 3, FORWARD) == [1, 0, 0, 0]
    assert read_from(state, 3, BACKWARD) == [0, 0, 0, 0]
    assert read_from(state, 0, BACKWARD) == [0, 0, 0, 1]


def test_read_modes_mix() -> None:
    state = written_in_turn([2, 0, 3], 4)
    content = [0.25] * 4  # all slots are alike
    mixed = [0.25 * 0 + 0.5 * content[0], 0.5 * content[1], 0.25 * 1 + 0.5 * content[2], 0.25 * 1 + 0.5 * content[3]]
    assert read_from(state, 0, (0.25, 0.5, 0.25)) == pytest.approx(mixed)


def test_fresh_slots_are_all_written_once_and_read_back_in_their_order() -> None:
    scheme, state = plain_state(4)
    memory, order = torch.zeros(1, 4, 2), []
    for _ in range(4):
        write, memory, _, state = one_step(scheme, plain_controls(), memory, state)
        order.append(int(write.weights.argmax()))
        assert_at(write.weights, order[-1])
    assert sorted(order) == [0, 1, 2, 3] and order[0] == 0
    numpy.testing.assert_allclose(memory[0].numpy(), [[5, 7]] * 4, atol=1e-4)
    # With the gate closed nothing is written, whatever there is to write.
    state = state._replace(read_weights=torch.eye(4)[order[0]].view(1, 1, 4))
    for modes, slots in ((FORWARD, order[1:]), (BACKWARD, order[-2::-1])):
        for slot in slots:
            write, after, read, state = one_step(scheme, plain_controls(modes, write_gate=0.0), memory, state)
            assert not write.weights.any() and torch.equal(after, memory)
            assert_at(read, slot)


def assert_at(weights: torch.Tensor, slot: int) -> None:
    """Check that a weighting of the only head is at one of 4 slots, except for the effect of SMALLEST."""
    assert weights[0, 0].tolist() == pytest.approx([float(other == slot) for other in range(4)], abs=1e-4)


def test_read_mode_content_alone_is_content_addressing() -> None:
    scheme = DNC(read_heads=2)
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(memory)
    for _ in range(3):
        controls = random_controls(scheme, memory, generator)
        controls["read_modes"] = torch.tensor(CONTENT, dtype=torch.float64).expand(2, 2, 3)
        _, memory, read, state = one_step(scheme, controls, memory, state)
        assert torch.equal(read, content_weights(controls["read_key"], controls["read_strength"], memory))


def test_allocation_gate_0_writes_by_content_alone_in_the_memory_before_the_write() -> None:
    scheme, state = plain_state(3)
    memory = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]])
    controls = plain_controls(allocation_gate=0.0, write_gate=0.5)
    write, _ = scheme.write(controls, memory, state)
    expected = 0.5 * content_weights(controls["write_key"], controls["write_strength"], memory)
    assert torch.equal(write.weights, expected)


def test_a_write_replaces_what_the_erase_takes_away() -> None:
    scheme, state = plain_state(2)
    memory = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    controls = {**plain_controls(write_gate=0.5), "erase": torch.tensor([[[1.0, 0.0]]])}
    write, _ = scheme.write(controls, memory, state._replace(usage=torch.tensor([[1.0, 0.0]])))
    expected = [[10, 20], [15 + 2.5, 40 + 3.5]]
    numpy.testing.assert_allclose(memories.write(memory, *write)[0].numpy(), expected, atol=1e-4)


def test_at_first_nothing_was_read_written_or_used() -> None:
    state = DNC(read_heads=3).initial_state(torch.zeros(2, 4, 1, dtype=torch.float64))
    shapes = [tuple(part.shape) for part in state]
    assert shapes == [(2, 3, 4), (2, 1, 4), (2, 4), (2, 4, 4), (2, 4)]
    assert not any(part.any() for part in state)


def test_controls_keep_to_their_ranges() -> None:
    controls = DNC(read_heads=2).controls(5, 4)
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0])
    for kind, heads in (("write", 1), ("read", 2)):
        strength = controls[f"{kind}_strength"]
        softplus = [math.log1p(math.exp(value)) for value in emitted.tolist()]
        assert strength.range(emitted).tolist() == pytest.approx([1 + value for value in softplus])
        assert strength.heads == controls[f"{kind}_key"].heads == heads
        assert controls[f"{kind}_key"].range(emitted).tolist() == pytest.approx(
            [math.tanh(v) for v in emitted.tolist()]
        )
    for name in ("erase", "free_gate", "allocation_gate", "write_gate"):
        sigmoid = [1 / (1 + math.exp(-value)) for value in emitted.tolist()]
        assert controls[name].range(emitted).tolist() == pytest.approx(sigmoid)
    modes = controls["read_modes"].range(torch.tensor([[0.0, math.log(2), math.log(5)]] * 2))
    numpy.testing.assert_allclose(modes.numpy(), [[1 / 8, 2 / 8, 5 / 8]] * 2, rtol=1e-6)


def test_a_slot_that_is_freed_is_erased_if_it_is_to_be() -> None:
    # The first slot was read and is free; the second was not read.
    memory = torch.ones(1, 2, 3, dtype=torch.float64)
    state = DNC(read_heads=1).initial_state(memory)
    state = state._replace(read_weights=torch.tensor([[[1.0, 0.0]]], dtype=torch.float64))
    controls = random_controls(DNC(read_heads=1), memory, torch.Generator().manual_seed(0))
    controls = {**controls, "free_gate": torch.ones(1, 1, 1).double(), "write_gate": torch.zeros(1, 1, 1).double()}
    for scheme, expected in ((DNC(1, deallocation=True), [0, 1]), (DNC(1), [1, 1])):
        assert one_step(scheme, controls, memory, state)[1][0, :, 0].tolist() == expected
