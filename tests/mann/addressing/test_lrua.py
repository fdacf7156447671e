"""Least recently used access: equations and steps against the oracle, cases by hand, initial weights, gradients."""

import itertools
import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing import LRUA
from mann.addressing import memory as memories
from mann.addressing.lrua import LRUAState, least_used_slots, next_usage, write_weights
from tests.mann.addressing import oracles
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    changed,
    initial_memory,
    initialised_maps,
    one_step,
    oracle_results,
    random_controls,
)

OPTIONS = [
    LRUA(
        read_heads=heads,
        key_strength=strength,
        write_vector=vector,  # pyright: ignore[reportArgumentType]
        write_heads=writers,  # pyright: ignore[reportArgumentType]
        least_used=least_used,  # pyright: ignore[reportArgumentType]
        zeroed=zeroed,  # pyright: ignore[reportArgumentType]
        usage_decay=decay,
    )
    for (heads, decay), strength, vector, writers, least_used, zeroed in itertools.product(
        [(1, 0.99), (3, 0.9)], [0.0, 2.0], ["key", "add"], ["each", "one"], ["shared", "own"], ["one", "all"]
    )
]


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("scheme", OPTIONS, ids=str)
def test_steps_match_the_oracle_under_every_option(scheme: LRUA, slots: int) -> None:
    assert_steps_match_the_oracle(scheme, slots)


def test_the_oracle_tells_all_options_apart() -> None:
    schemes = [scheme for scheme in OPTIONS if scheme.read_heads == 3]
    assert len(oracle_results(schemes, slots=6)) == len(schemes)


@given(
    usages=st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=5, max_size=5), min_size=1, max_size=3),
    count=st.integers(1, 5),
)
def test_least_used_slots_come_in_order_and_ties_go_to_the_lower_index(usages: list[list[float]], count: int) -> None:
    rows = least_used_slots(torch.tensor(usages, dtype=torch.float64), count)
    assert rows.dtype == torch.float64
    for usage, ranked in zip(usages, rows.tolist(), strict=True):
        assert ranked == [[float(slot == chosen) for slot in range(5)] for chosen in oracles.ranked(usage, count)]


def test_ties_go_to_the_lower_index_among_many_slots() -> None:
    # Unstable sorts are right by luck in small cases.
    usage = torch.ones(1, 1000)
    usage[0, 500::2] = 0
    assert least_used_slots(usage, 6).argmax(-1).tolist() == [[500, 502, 504, 506, 508, 510]]


@settings(deadline=None)
@given(batch=st.integers(1, 3), heads=st.integers(1, 3), slots=st.integers(1, 4), seed=st.integers(0, 100))
def test_write_weights_and_usage_match_the_oracle(batch: int, heads: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    gate, previous, least = (
        torch.from_numpy(generator.random(shape))
        for shape in ((batch, heads, 1), (batch, heads, slots), (batch, 1, slots))
    )
    usage = torch.from_numpy(generator.random((batch, slots)))
    found = write_weights(gate, previous, least)
    used = next_usage(usage, 0.7, previous, found)
    for b in range(batch):
        g, old, new, u = (part[b].numpy() for part in (gate, previous, least, usage))
        expected = oracles.lru_write_weights(g, old, new.repeat(heads, 0))
        numpy.testing.assert_allclose(found[b].numpy(), expected, atol=1e-12)
        numpy.testing.assert_allclose(used[b].numpy(), oracles.next_usage(u, 0.7, old, expected), atol=1e-12)


# Three slots; the last read was of slot 2; slot 1 is the least used, slot 0 the next.
MEMORY = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])
USAGE = torch.tensor([[0.5, 0.25, 4.0]])


def by_hand(gate: float, scheme: LRUA, heads: int = 1) -> tuple[list[list[float]], torch.Tensor]:
    """Write the word (10, 20) with every head; returns the memory, and the write weights."""
    read = torch.tensor([[[0.0, 0.0, 1.0]]]).expand(1, heads, 3)
    controls = {
        "key": torch.tensor([[[10.0, 20.0]]]).expand(1, heads, 2),
        "gate": torch.full((1, scheme.writers, 1), gate),
    }
    write, _ = scheme.write(controls, MEMORY, LRUAState(read, USAGE))
    return memories.write(MEMORY, *write)[0].tolist(), write.weights


def test_gate_1_writes_exactly_where_the_last_read_was() -> None:
    memory, weights = by_hand(1.0, LRUA(read_heads=1))
    assert weights.tolist() == [[[0, 0, 1]]]
    assert memory == [[1, 1], [0, 0], [13, 23]]  # and the least used slot is zeroed


def test_gate_0_writes_exactly_to_the_least_used_slot_in_place_of_its_content() -> None:
    memory, weights = by_hand(0.0, LRUA(read_heads=1))
    assert weights.tolist() == [[[0, 1, 0]]]
    assert memory == [[1, 1], [10, 20], [3, 3]]


def test_gate_a_quarter_writes_a_quarter_of_the_word_there_and_three_here() -> None:
    memory, _ = by_hand(0.25, LRUA(read_heads=1))
    assert memory == [[1, 1], [7.5, 15], [5.5, 8]]


def test_shared_heads_all_write_to_all_least_used_slots_and_one_is_zeroed() -> None:
    memory, weights = by_hand(0.0, LRUA(read_heads=2), heads=2)
    assert weights.tolist() == [[[1, 1, 0], [1, 1, 0]]]
    assert memory == [[21, 41], [20, 40], [3, 3]]


def test_own_heads_write_to_a_slot_each_and_all_can_be_zeroed() -> None:
    memory, weights = by_hand(0.0, LRUA(read_heads=2, least_used="own", zeroed="all"), heads=2)
    assert weights.tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert memory == [[10, 20], [10, 20], [3, 3]]


def test_one_write_head_writes_once_where_the_read_heads_read_on_average() -> None:
    scheme = LRUA(read_heads=2, write_heads="one", least_used="own")
    state = LRUAState(torch.tensor([[[0.0, 0.0, 1.0], [0.5, 0.0, 0.5]]]), USAGE)
    controls = {"key": torch.tensor([[[8.0, 0.0], [0.0, 8.0]]]), "gate": torch.ones(1, 1, 1)}
    write, _ = scheme.write(controls, MEMORY, state)
    assert write.weights.tolist() == [[[0.25, 0, 0.75]]]
    # The word is the first head's key.
    assert memories.write(MEMORY, *write)[0].tolist() == [[3, 1], [0, 0], [9, 3]]


def test_with_fewer_slots_than_heads_the_heads_take_turns() -> None:
    scheme = LRUA(read_heads=3, least_used="own")
    controls = {"key": torch.ones(1, 3, 2), "gate": torch.zeros(1, 3, 1)}
    state = LRUAState(torch.zeros(1, 3, 2), torch.tensor([[1.0, 0.0]]))
    assert scheme.write(controls, torch.zeros(1, 2, 2), state)[0].weights.tolist() == [[[0, 1], [1, 0], [0, 1]]]


def test_usage_after_a_step_by_hand() -> None:
    scheme = LRUA(read_heads=2, usage_decay=0.5)
    write, _ = scheme.write(
        {"key": torch.ones(1, 2, 2), "gate": torch.tensor([[[1.0], [0.0]]])},
        MEMORY,
        LRUAState(torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]), USAGE),
    )
    read = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]])
    # The writes: (0, 0, 1) where head 0 read, (1, 1, 0) to the two least used.
    usage = next_usage(USAGE, 0.5, read, write.weights)
    assert usage.tolist() == [[0.25 + 0.5 + 1, 0.125 + 0.75 + 1, 2 + 0.75 + 1]]


def test_an_unused_slot_is_written_before_any_used_one_again() -> None:
    # One head that never writes to what it read fills the slots in turn.
    scheme = LRUA(read_heads=1, key_strength=50.0)
    memory = torch.full((1, 4, 4), 1e-6)
    state = scheme.initial_state(memory)
    written = []
    for step in range(4):
        key = torch.eye(4)[step].view(1, 1, 4)
        controls = {"key": key, "gate": torch.zeros(1, 1, 1), "strength": torch.full((1, 1, 1), 50.0)}
        write, memory, read, state = one_step(scheme, controls, memory, state)
        written.append(int(write.weights.argmax()))
        assert read[0, 0, written[-1]] > 0.99
    assert written == [0, 1, 2, 3]
    numpy.testing.assert_allclose(memory[0].numpy(), numpy.eye(4))


def test_at_first_nothing_was_read_or_used() -> None:
    state = LRUA(read_heads=3).initial_state(torch.zeros(2, 4, 1, dtype=torch.float64))
    assert (state.read_weights.shape, state.usage.shape) == ((2, 3, 4), (2, 4))
    assert not state.read_weights.any() and not state.usage.any()


def test_controls_keep_to_their_ranges_and_the_strength_to_its_scale() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0])
    controls = LRUA(key_strength=3.0, write_vector="add").controls(7, 4)
    numpy.testing.assert_allclose(controls["key"].range(emitted).numpy(), numpy.tanh(emitted.numpy()), atol=1e-6)
    numpy.testing.assert_allclose(controls["add"].range(emitted).numpy(), numpy.tanh(emitted.numpy()), atol=1e-6)
    sigmoid = [1 / (1 + math.exp(-value)) for value in emitted.tolist()]
    assert controls["gate"].range(emitted).tolist() == pytest.approx(sigmoid)
    softplus = [math.log1p(math.exp(value)) for value in emitted.tolist()]
    assert controls["strength"].range(emitted).tolist() == pytest.approx([1 + 3 * value for value in softplus])
    assert "strength" not in LRUA().controls(7, 4) and "add" not in LRUA().controls(7, 4)


def test_strengths_of_two_schemes_have_scales_of_their_own() -> None:
    low, high = LRUA(key_strength=1.0).controls(2, 4), LRUA(key_strength=9.0).controls(2, 4)
    zero = torch.zeros(())
    assert low["strength"].range(zero).item() == pytest.approx(1 + math.log(2))
    assert high["strength"].range(zero).item() == pytest.approx(1 + 9 * math.log(2))


def test_heads_start_alike_with_random_weights() -> None:
    weights, biases, *after = initialised_maps(LRUA(write_vector="add"))
    assert not changed(weights, after[0]) and not changed(biases, after[1])


@pytest.mark.parametrize(
    ("heads", "options", "keys", "gates"),
    [
        (1, {"write_vector": "add"}, [], []),
        (2, {"write_vector": "add"}, [0], [0, 1]),
        (5, {"write_vector": "add"}, [0, 2], [0, 1, 2, 3]),
        (4, {"write_vector": "key"}, [], [0, 1, 2, 3]),
        (4, {"write_vector": "add", "write_heads": "one"}, [], []),
    ],
)
def test_the_first_of_a_pair_starts_by_looking_for_what_the_second_writes(
    heads: int, options: dict[str, Any], keys: list[int], gates: list[int]
) -> None:
    scheme = LRUA(read_heads=heads, start="paired", **options)
    weights, biases, *started = initialised_maps(scheme)
    assert changed(weights, started[0]) == {("key", head) for head in keys}
    assert changed(biases, started[1]) == {("gate", head) for head in gates}
    for head in keys:
        assert torch.equal(started[0]["key"][head], weights["add"][head + 1])
    for head in gates:
        share = torch.sigmoid(started[1]["gate"][head]).item()
        assert share > 0.8 if head % 2 == 0 else share < 0.2


@pytest.mark.parametrize(
    "scheme",
    [
        LRUA(read_heads=1),
        LRUA(read_heads=2, key_strength=2.0, write_vector="add", least_used="own", zeroed="all"),
        LRUA(read_heads=2, write_heads="one"),
    ],
    ids=str,
)
def test_derivatives_match_finite_differences(scheme: LRUA) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = initial_memory("random", 2, 4, 3, generator)
    read = torch.randn(2, scheme.read_heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    usage = torch.rand(2, 4, generator=generator, dtype=torch.float64)
    assert_derivatives_match(scheme, memory, LRUAState(read, usage), through=["read_weights"])


def test_usage_carries_no_gradient() -> None:
    scheme = LRUA(read_heads=2)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, torch.empty(1, 4, 3), generator)
    controls = {name: value.requires_grad_() for name, value in controls.items()}
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(1, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    read = torch.rand(1, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    _, written, weights, state = one_step(scheme, controls, memory, LRUAState(read, usage))
    assert not state.usage.requires_grad
    assert state.read_weights.requires_grad
    (written.sum() + weights.square().sum()).backward()
    assert usage.grad is None and memory.grad is not None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("scheme", [scheme for scheme in OPTIONS if scheme.usage_decay == 0.9], ids=str)
def test_zero_memory_and_zero_keys_leave_values_and_gradients_finite(
    scheme: LRUA, slots: int, dtype: torch.dtype
) -> None:
    assert {"memory", "key"} <= assert_finite(scheme, 0.0, slots, dtype)
