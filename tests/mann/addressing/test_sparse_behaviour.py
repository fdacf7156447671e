"""Sparse access memory: planted memories, ages and weightings, with the results computed by hand."""

import math
from typing import Any

import numpy
import pytest
import torch

from mann.addressing import memory as memories
from mann.addressing.scheme import Write
from mann.addressing.similarity import SIMILARITIES, content_weights
from mann.addressing.sparse import Sparse, SparseState, next_age
from tests.mann.addressing.stepping import changed, initialised_maps, one_step, random_controls

Tensors = dict[str, torch.Tensor]


def sparse(read_heads: int = 1, nearest: int = 4, similarity: str = "cosine", **options: Any) -> Sparse:
    """Return the scheme; hypothesis and pytest hand over plain strings."""
    return Sparse(read_heads, nearest, similarity=similarity, **options)  # pyright: ignore[reportArgumentType]


def plain_controls(
    gate: float = 0, write_gate: float = 1, key: float = 1, add: float = 1, heads: int = 1, strength: float = 2
) -> Tensors:
    """Return float64 controls of heads that are all alike, for words of one number."""
    numbers = {"key": key, "strength": strength, "gate": gate, "write_gate": write_gate, "add": add}
    return {name: torch.full((1, heads, 1), float(value), dtype=torch.float64) for name, value in numbers.items()}


def column(*words: float) -> torch.Tensor:
    """Return a memory of words of one number."""
    return torch.tensor(words, dtype=torch.float64).view(1, -1, 1)


def rows(*values: list[float]) -> torch.Tensor:
    """Return [1, heads, slots]."""
    return torch.tensor([values], dtype=torch.float64)


@pytest.mark.parametrize("similarity", list(SIMILARITIES))
@pytest.mark.parametrize("nearest", [5, 9])
def test_with_no_more_slots_than_are_read_reads_are_plain_content_addressing(nearest: int, similarity: str) -> None:
    scheme = sparse(2, nearest, similarity)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, torch.empty(3, 5, 4), generator)
    memory = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    _, memory, read, _ = one_step(scheme, controls, memory, scheme.initial_state(memory))
    plain = content_weights(controls["key"], controls["strength"], memory, scheme.similarity)
    numpy.testing.assert_allclose(read.numpy(), plain.numpy(), atol=1e-12)


@pytest.mark.parametrize("slots", [1, 3, 4, 20])
def test_as_many_slots_are_read_as_there_are_to_be_read_and_no_more(slots: int) -> None:
    scheme = sparse(3)
    generator = torch.Generator().manual_seed(slots)
    memory = torch.randn(2, slots, 3, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(memory)
    for _ in range(4):
        _, memory, read, state = one_step(scheme, random_controls(scheme, memory, generator), memory, state)
        assert (read.count_nonzero(-1) == min(4, slots)).all()
        numpy.testing.assert_allclose(read.sum(-1).numpy(), 1, atol=1e-12)


def test_the_nearest_are_read_by_hand() -> None:
    scheme, memory = sparse(nearest=2, similarity="dot"), column(0.5, -1.0, 1.0, 0.0)
    state = scheme.initial_state(memory)
    write = Write(torch.zeros(1, 1, 4), torch.ones(1, 4, 1), torch.zeros(1, 1, 1))
    read, after = scheme.read(plain_controls(strength=2 * math.log(3)), memory, state, write)
    # exp(strength * similarity) is 3 and 9.
    assert read[0, 0].tolist() == pytest.approx([0.25, 0, 0.75, 0])
    assert after.age.tolist() == [[0, 1, 0, 1]]


# Slot 0 was accessed two steps ago, slot 1 five, slot 2 just now, when it was read.
AGE, READ = torch.tensor([[2.0, 5.0, 0.0]], dtype=torch.float64), [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("gate", "write_gate", "weights", "memory"),
    [
        (1, 1, [0, 0, 1], [1, 0, 3 + 8]),
        (0, 1, [0, 1, 0], [1, 8, 3]),
        (0.25, 0.5, [0, 0.375, 0.125], [1, 3, 3 + 1]),
        (0.5, 0, [0, 0, 0], [1, 0, 3]),  # the least recently accessed slot is zeroed all the same
    ],
)
def test_writes_go_to_the_last_read_or_to_the_least_recently_accessed(
    gate: float, write_gate: float, weights: list[float], memory: list[float]
) -> None:
    write, state = sparse().write(
        plain_controls(gate, write_gate, add=8), column(1, 2, 3), SparseState(rows(READ), AGE)
    )
    assert write.weights[0, 0].tolist() == weights
    assert memories.write(column(1, 2, 3), *write).flatten().tolist() == memory
    assert torch.equal(state.age, AGE)


def test_each_head_takes_a_slot_of_its_own_and_all_of_them_are_zeroed() -> None:
    controls = plain_controls(heads=2)
    controls["add"] = torch.tensor([[[8.0], [9.0]]], dtype=torch.float64)
    write, _ = sparse(2).write(controls, column(1, 2, 3), SparseState(rows(READ, READ), AGE))
    assert write.weights.tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert memories.write(column(1, 2, 3), *write).flatten().tolist() == [9, 8, 3]


def test_with_fewer_slots_than_heads_the_heads_take_turns() -> None:
    state = SparseState(torch.zeros(1, 3, 2, dtype=torch.float64), torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    write, _ = sparse(3).write(plain_controls(heads=3), column(5, 6), state)
    assert write.weights.tolist() == [[[0, 1], [1, 0], [0, 1]]]


def test_a_weight_at_the_threshold_is_no_access_and_one_above_it_is() -> None:
    age = torch.tensor([[3.0, 3.0, 3.0, 3.0, 0.0]], dtype=torch.float64)
    above = math.nextafter(0.25, 1)
    read = rows([0.25, above, 0, 0, 0], [0.25, 0, 0, 0.25, 0])
    written = rows([0, 0, 0.25, above, 0], [0, 0, 0.25, 0, 0.25])
    # Two weights at the threshold are not one above it.
    assert next_age(age, read, written, 0.25).tolist() == [[4, 0, 4, 0, 1]]
    scheme = sparse(threshold=0.25, nearest=4)
    memory = column(1, 1, 1, 1)  # a quarter is read of each
    write = Write(torch.zeros(1, 1, 4), torch.ones(1, 4, 1), torch.zeros(1, 1, 1))
    _, after = scheme.read(plain_controls(), memory, scheme.initial_state(memory), write)
    assert after.age.tolist() == [[1, 1, 1, 1]]


def test_slots_never_accessed_come_first_in_order_and_then_the_one_longest_ago() -> None:
    scheme = sparse(nearest=1, similarity="dot")
    memory = column(*[1e-6] * 4)
    state, written = scheme.initial_state(memory), []
    for add in (0.5, 0.6, 0.7, 0.8, -0.1, 0.9):
        # The key finds the largest number, which is the one just written, except for -0.1: then 0.8 is read.
        write, memory, _, state = one_step(scheme, plain_controls(add=add), memory, state)
        written.append(int(write.weights.argmax()))
    assert written == [0, 1, 2, 3, 0, 1]
    assert state.age.tolist() == [[1, 0, 3, 1]]
    # Slots 0 and 3 were both accessed one step before: after slot 2 the lower index is next.
    for slot, add in ((2, 1.0), (0, 1.1), (3, 1.2)):
        write, memory, _, state = one_step(scheme, plain_controls(add=add), memory, state)
        assert write.weights[0, 0].argmax() == slot


def test_a_read_keeps_a_slot_from_being_taken() -> None:
    scheme = sparse(nearest=1, similarity="dot")
    memory = column(9, 1e-6, 1e-6)
    state = SparseState(rows([0, 0, 0]), torch.tensor([[5.0, 4.0, 3.0]], dtype=torch.float64))
    _, state = scheme.read(
        plain_controls(), memory, state, Write(rows([0, 0, 0]), torch.ones(1, 3, 1), torch.zeros(1, 1, 1))
    )
    assert state.age.tolist() == [[0, 5, 4]]
    write, _ = scheme.write(plain_controls(), memory, state)
    assert write.weights.tolist() == [[[0, 1, 0]]]


def test_at_first_nothing_was_read_or_accessed() -> None:
    state = sparse(3).initial_state(torch.zeros(2, 4, 1, dtype=torch.float64))
    assert (state.read_weights.shape, state.age.shape) == ((2, 3, 4), (2, 4))
    assert not state.read_weights.any() and not state.age.any()


def test_controls_keep_to_their_ranges_and_the_strength_to_its_scale() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0])
    controls = sparse(2, key_strength=3.0).controls(5, 4)
    for name in ("key", "add"):
        assert controls[name].range(emitted).tolist() == pytest.approx([math.tanh(v) for v in emitted.tolist()])
    for name in ("gate", "write_gate"):
        sigmoid = [1 / (1 + math.exp(-value)) for value in emitted.tolist()]
        assert controls[name].range(emitted).tolist() == pytest.approx(sigmoid)
    softplus = [math.log1p(math.exp(value)) for value in emitted.tolist()]
    assert controls["strength"].range(emitted).tolist() == pytest.approx([1 + 3 * value for value in softplus])


@pytest.mark.parametrize(
    ("heads", "start", "keys", "gates"),
    [(2, "alike", [], []), (1, "paired", [], []), (2, "paired", [0], [0, 1]), (5, "paired", [0, 2], [0, 1, 2, 3])],
)
def test_heads_start_by_writing_and_in_pairs_if_selected(
    heads: int, start: str, keys: list[int], gates: list[int]
) -> None:
    weights, biases, started_weights, started_biases = initialised_maps(sparse(heads, start=start))
    assert changed(weights, started_weights) == {("key", head) for head in keys}
    assert changed(biases, started_biases) == {
        *(("write_gate", head) for head in range(heads)),
        *(("gate", head) for head in gates),
    }
    assert started_biases["write_gate"].tolist() == [[2.0]] * heads
    for head in keys:
        assert torch.equal(started_weights["key"][head], weights["add"][head + 1])
    for head in gates:
        assert started_biases["gate"][head].tolist() == [2.0 if head % 2 == 0 else -2.0]
