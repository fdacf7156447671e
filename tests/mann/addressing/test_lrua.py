"""Least recently used access: every equation by loops, whole steps under every option, and cases by hand."""

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
from mann.addressing.lrua import State, least_used_slots, next_usage, write_weights
from mann.addressing.similarity import EPSILON
from tests.mann.addressing.stepping import one_step, random_controls

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


def slow_step(
    scheme: LRUA,
    controls: dict[str, numpy.ndarray],
    memory: numpy.ndarray,
    read_before: numpy.ndarray,
    usage_before: numpy.ndarray,
) -> dict[str, numpy.ndarray]:
    """Write to and read from the memory of one sequence as the paper says, one number at a time.

    controls: [heads, size]; memory: [slots, word_size]; read_before: [read heads, slots]; usage_before: [slots].
    """
    slots, word_size = memory.shape
    order = sorted(range(slots), key=lambda slot: (usage_before[slot], slot))
    least = order[: min(scheme.read_heads, slots)]
    writers = scheme.read_heads if scheme.write_heads == "each" else 1
    written_weights = numpy.zeros((writers, slots))
    for head, slot in numpy.ndindex(writers, slots):
        gate = controls["gate"][head, 0]
        if scheme.write_heads == "each":
            before = read_before[head, slot]
        else:
            before = sum(read_before[reader, slot] for reader in range(scheme.read_heads)) / scheme.read_heads
        chosen = slot in least if scheme.least_used == "shared" else slot == least[head % len(least)]
        written_weights[head, slot] = gate * before + (1 - gate) * (1.0 if chosen else 0.0)
    written = memory.copy()
    for slot in least[:1] if scheme.zeroed == "one" else least:
        written[slot] = 0
    words = controls["add" if scheme.write_vector == "add" else "key"]
    for head, slot, number in numpy.ndindex(writers, slots, word_size):
        written[slot, number] += written_weights[head, slot] * words[head, number]
    read = numpy.zeros((scheme.read_heads, slots))
    for head in range(scheme.read_heads):
        key = controls["key"][head]
        strength = controls["strength"][head, 0] if scheme.key_strength else 1.0
        powers = []
        for slot in range(slots):
            lengths = math.sqrt(key @ key + EPSILON) * math.sqrt(written[slot] @ written[slot] + EPSILON)
            powers.append(math.exp(strength * (key @ written[slot]) / lengths))
        read[head] = [power / sum(powers) for power in powers]
    usage = numpy.array(
        [
            scheme.usage_decay * usage_before[slot]
            + sum(read[head, slot] for head in range(scheme.read_heads))
            + sum(written_weights[head, slot] for head in range(writers))
            for slot in range(slots)
        ]
    )
    return {"weights": written_weights, "memory": written, "read": read, "usage": usage}


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("scheme", OPTIONS, ids=str)
def test_steps_are_those_of_loops_under_every_option(scheme: LRUA, slots: int) -> None:
    generator = torch.Generator().manual_seed(slots)
    batch, word_size = 2, 3
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=torch.float64)
    state = scheme.initial_state(batch, slots, memory)
    for _ in range(6):
        controls = random_controls(scheme, batch, word_size, generator)
        before, old = memory, state
        write, memory, read, state = one_step(scheme, controls, before, old)
        for sequence in range(batch):
            expected = slow_step(
                scheme,
                {name: control[sequence].numpy() for name, control in controls.items()},
                *(part[sequence].numpy() for part in (before, old.read_weights, old.usage)),
            )
            found = {"weights": write.weights, "memory": memory, "read": read, "usage": state.usage}
            for name, value in found.items():
                numpy.testing.assert_allclose(value[sequence].numpy(), expected[name], atol=1e-10, err_msg=name)
        assert torch.equal(state.read_weights, read)


def test_the_reference_of_this_test_tells_all_options_apart() -> None:
    # An option that changed nothing would be tested by nothing.
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(6, 2, generator=generator, dtype=torch.float64).numpy()
    read_before = torch.rand(3, 6, generator=generator, dtype=torch.float64).softmax(-1).numpy()
    usage = torch.rand(6, generator=generator, dtype=torch.float64).numpy()
    everything = LRUA(3, 2.0, "add", "each", "own", "all")
    emitted = random_controls(everything, 1, 2, generator)
    controls = {name: value[0].numpy() for name, value in emitted.items()}
    results = set()
    schemes = [scheme for scheme in OPTIONS if scheme.read_heads == 3]
    for scheme in schemes:
        result = slow_step(scheme, controls, memory, read_before, usage)
        results.add(tuple(numpy.concatenate([value.ravel() for value in result.values()]).round(9)))
    assert len(results) == len(schemes)


@given(
    usages=st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0]), min_size=5, max_size=5), min_size=1, max_size=3),
    count=st.integers(1, 5),
)
def test_least_used_slots_come_in_order_and_ties_go_to_the_lower_index(usages: list[list[float]], count: int) -> None:
    rows = least_used_slots(torch.tensor(usages, dtype=torch.float64), count)
    assert rows.dtype == torch.float64
    for usage, ranked in zip(usages, rows.tolist(), strict=True):
        order = sorted(range(5), key=lambda slot: (usage[slot], slot))[:count]
        assert ranked == [[float(slot == chosen) for slot in range(5)] for chosen in order]


def test_ties_go_to_the_lower_index_among_many_slots() -> None:
    # Unstable sorts are right by luck in small cases.
    usage = torch.ones(1, 1000)
    usage[0, 500::2] = 0
    assert least_used_slots(usage, 6).argmax(-1).tolist() == [[500, 502, 504, 506, 508, 510]]


@settings(deadline=None)
@given(batch=st.integers(1, 3), heads=st.integers(1, 3), slots=st.integers(1, 4), seed=st.integers(0, 100))
def test_write_weights_and_usage_are_those_of_loops(batch: int, heads: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    gate, previous, least = (
        torch.from_numpy(generator.random(shape))
        for shape in ((batch, heads, 1), (batch, heads, slots), (batch, 1, slots))
    )
    usage = torch.from_numpy(generator.random((batch, slots)))
    found = write_weights(gate, previous, least)
    used = next_usage(usage, 0.7, previous, found)
    for b, slot in numpy.ndindex(batch, slots):
        total = 0.7 * float(usage[b, slot])
        for head in range(heads):
            g = float(gate[b, head, 0])
            expected = g * float(previous[b, head, slot]) + (1 - g) * float(least[b, 0, slot])
            assert float(found[b, head, slot]) == pytest.approx(expected, abs=1e-12)
            total += float(previous[b, head, slot]) + expected
        assert float(used[b, slot]) == pytest.approx(total, abs=1e-12)


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
    write, _ = scheme.write(controls, MEMORY, State(read, USAGE))
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
    state = State(torch.tensor([[[0.0, 0.0, 1.0], [0.5, 0.0, 0.5]]]), USAGE)
    controls = {"key": torch.tensor([[[8.0, 0.0], [0.0, 8.0]]]), "gate": torch.ones(1, 1, 1)}
    write, _ = scheme.write(controls, MEMORY, state)
    assert write.weights.tolist() == [[[0.25, 0, 0.75]]]
    # The word is the first head's key.
    assert memories.write(MEMORY, *write)[0].tolist() == [[3, 1], [0, 0], [9, 3]]


def test_with_fewer_slots_than_heads_the_heads_take_turns() -> None:
    scheme = LRUA(read_heads=3, least_used="own")
    controls = {"key": torch.ones(1, 3, 2), "gate": torch.zeros(1, 3, 1)}
    state = State(torch.zeros(1, 3, 2), torch.tensor([[1.0, 0.0]]))
    assert scheme.write(controls, torch.zeros(1, 2, 2), state)[0].weights.tolist() == [[[0, 1], [1, 0], [0, 1]]]


def test_usage_after_a_step_by_hand() -> None:
    scheme = LRUA(read_heads=2, usage_decay=0.5)
    write, _ = scheme.write(
        {"key": torch.ones(1, 2, 2), "gate": torch.tensor([[[1.0], [0.0]]])},
        MEMORY,
        State(torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]), USAGE),
    )
    read = torch.tensor([[[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]]])
    # The writes: (0, 0, 1) where head 0 read, (1, 1, 0) to the two least used.
    usage = next_usage(USAGE, 0.5, read, write.weights)
    assert usage.tolist() == [[0.25 + 0.5 + 1, 0.125 + 0.75 + 1, 2 + 0.75 + 1]]


def test_an_unused_slot_is_written_before_any_used_one_again() -> None:
    # One head that never writes to what it read fills the slots in turn.
    scheme = LRUA(read_heads=1, key_strength=50.0)
    memory = torch.full((1, 4, 4), 1e-6)
    state = scheme.initial_state(1, 4, memory)
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
    state = LRUA(read_heads=3).initial_state(2, 4, torch.zeros(1, dtype=torch.float64))
    assert (state.read_weights.shape, state.usage.shape) == ((2, 3, 4), (2, 4))
    assert not state.read_weights.any() and not state.usage.any()


def test_controls_keep_to_their_ranges_and_the_strength_to_its_scale() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0])
    controls = LRUA(key_strength=3.0, write_vector="add").controls(7)
    numpy.testing.assert_allclose(controls["key"].range(emitted).numpy(), numpy.tanh(emitted.numpy()), atol=1e-6)
    numpy.testing.assert_allclose(controls["add"].range(emitted).numpy(), numpy.tanh(emitted.numpy()), atol=1e-6)
    sigmoid = [1 / (1 + math.exp(-value)) for value in emitted.tolist()]
    assert controls["gate"].range(emitted).tolist() == pytest.approx(sigmoid)
    softplus = [math.log1p(math.exp(value)) for value in emitted.tolist()]
    assert controls["strength"].range(emitted).tolist() == pytest.approx([1 + 3 * value for value in softplus])
    assert "strength" not in LRUA().controls(7) and "add" not in LRUA().controls(7)


def test_strengths_of_two_schemes_have_scales_of_their_own() -> None:
    low, high = LRUA(key_strength=1.0).controls(2), LRUA(key_strength=9.0).controls(2)
    zero = torch.zeros(())
    assert low["strength"].range(zero).item() == pytest.approx(1 + math.log(2))
    assert high["strength"].range(zero).item() == pytest.approx(1 + 9 * math.log(2))


def emitted_maps(scheme: LRUA, word_size: int = 4) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return random weights [heads, size, hidden] and biases [heads, size] by control."""
    controls = scheme.controls(word_size)
    weights = {name: torch.randn(control.heads, control.size, 6) for name, control in controls.items()}
    return weights, {name: torch.randn(control.heads, control.size) for name, control in controls.items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[tuple[str, int]]:
    """Return the controls and heads that differ."""
    return {
        (name, head)
        for name in before
        for head in range(len(before[name]))
        if (before[name] != after[name])[head].any()
    }


def test_heads_start_alike_as_chance_has_them() -> None:
    weights, biases = emitted_maps(LRUA(write_vector="add"))
    started = {name: value.clone() for name, value in weights.items()}, {k: v.clone() for k, v in biases.items()}
    LRUA(write_vector="add").initialise(*started)
    assert not changed(weights, started[0]) and not changed(biases, started[1])


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
    weights, biases = emitted_maps(scheme)
    started = {name: value.clone() for name, value in weights.items()}, {k: v.clone() for k, v in biases.items()}
    scheme.initialise(*started)
    assert changed(weights, started[0]) == {("key", head) for head in keys}
    assert changed(biases, started[1]) == {("gate", head) for head in gates}
    for head in keys:
        assert torch.equal(started[0]["key"][head], weights["add"][head + 1])
    for head in gates:
        share = torch.sigmoid(started[1]["gate"][head]).item()
        assert share > 0.8 if head % 2 == 0 else share < 0.2


def flattened_step(scheme: LRUA, names: list[str]) -> Any:
    """Return a step as a function of tensors alone, for gradients; usage is handed in as it is."""

    def step(memory: torch.Tensor, read: torch.Tensor, usage: torch.Tensor, *controls: torch.Tensor) -> Any:
        by_name = dict(zip(names, controls, strict=True))
        _, written, weights, _ = one_step(scheme, by_name, memory, State(read, usage))
        return written, weights

    return step


@pytest.mark.parametrize(
    "scheme",
    [
        LRUA(read_heads=1),
        LRUA(read_heads=2, key_strength=2.0, write_vector="add", least_used="own", zeroed="all"),
        LRUA(read_heads=2, write_heads="one"),
    ],
    ids=str,
)
def test_derivatives_agree_with_finite_differences(scheme: LRUA) -> None:
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, 2, 3, generator)
    memory = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    read = torch.randn(2, scheme.read_heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    usage = torch.rand(2, 4, generator=generator, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (memory, read, *controls.values())]
    step = flattened_step(scheme, list(controls))
    assert torch.autograd.gradcheck(lambda memory, read, *rest: step(memory, read, usage, *rest), inputs)


def test_usage_carries_no_gradient() -> None:
    scheme = LRUA(read_heads=2)
    generator = torch.Generator().manual_seed(0)
    controls = {name: value.requires_grad_() for name, value in random_controls(scheme, 1, 3, generator).items()}
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(1, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    read = torch.rand(1, 2, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    _, written, weights, state = one_step(scheme, controls, memory, State(read, usage))
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
    leaves = {
        name: torch.zeros(2, control.heads, control.size, dtype=dtype, requires_grad=True)
        for name, control in scheme.controls(3).items()
    }
    memory = torch.zeros(2, slots, 3, dtype=dtype, requires_grad=True)
    state, now = scheme.initial_state(2, slots, memory), memory
    for _ in range(3):
        controls = {name: control.range(leaves[name]) for name, control in scheme.controls(3).items()}
        _, now, read, state = one_step(scheme, controls, now, state)
        assert torch.isfinite(now).all() and torch.isfinite(read).all() and torch.isfinite(state.usage).all()
    (now.sum() + (state.read_weights[..., 0]).sum()).backward()
    for leaf in (memory, *leaves.values()):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()
    assert memory.grad is not None and leaves["key"].grad is not None
