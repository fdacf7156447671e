"""Sparse access memory: every equation by loops, whole steps, cases by hand, and the slots that need not be kept."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing import memory as memories
from mann.addressing.scheme import Write
from mann.addressing.similarity import EPSILON, SIMILARITIES, content_weights
from mann.addressing.sparse import Sparse, State, nearest_slots, next_age, sparse_weights
from tests.mann.addressing.stepping import one_step, random_controls

Arrays = dict[str, numpy.ndarray]
Tensors = dict[str, torch.Tensor]


def sparse(read_heads: int = 1, nearest: int = 4, similarity: str = "cosine", **options: Any) -> Sparse:
    """Return the scheme; hypothesis and pytest hand over plain strings."""
    return Sparse(read_heads, nearest, similarity=similarity, **options)  # pyright: ignore[reportArgumentType]


# The equations, one number at a time.


def slow_nearest(similarities: list[float], count: int) -> list[int]:
    """Return the slots most like the key, ties to the lower index."""
    return sorted(range(len(similarities)), key=lambda slot: (-similarities[slot], slot))[:count]


def slow_weights(similarities: list[float], strength: float, count: int) -> list[float]:
    """Softmax over the nearest, 0 elsewhere."""
    near = slow_nearest(similarities, count)
    total = sum(math.exp(strength * similarities[slot]) for slot in near)
    return [math.exp(strength * value) / total if slot in near else 0.0 for slot, value in enumerate(similarities)]


def slow_similarity(key: numpy.ndarray, word: numpy.ndarray, similarity: str) -> float:
    """Return how alike two words are."""
    if similarity == "euclidean":
        return -math.sqrt(sum((a - b) ** 2 for a, b in zip(key, word, strict=True)) + EPSILON)
    product = sum(a * b for a, b in zip(key, word, strict=True))
    if similarity == "cosine":
        product /= math.sqrt(sum(a * a for a in key) + EPSILON) * math.sqrt(sum(b * b for b in word) + EPSILON)
    return product


def slow_age(age: numpy.ndarray, read: numpy.ndarray, written: numpy.ndarray, threshold: float) -> list[float]:
    """One more, but 0 where any head's weight is above the threshold."""
    accessed = [any(w > threshold for w in (*read[:, slot], *written[:, slot])) for slot in range(len(age))]
    return [0.0 if yes else steps + 1 for steps, yes in zip(age, accessed, strict=True)]


def slow_step(
    scheme: Sparse, controls: Arrays, memory: numpy.ndarray, read: numpy.ndarray, age: numpy.ndarray
) -> Arrays:
    """Write to and read from the memory of one sequence; controls: [heads, size]; read: [heads, slots]."""
    (slots, word_size), heads = memory.shape, scheme.read_heads
    oldest = sorted(range(slots), key=lambda slot: (-age[slot], slot))[: min(heads, slots)]
    weights = numpy.zeros((heads, slots))
    for head, slot in numpy.ndindex(heads, slots):
        gate = controls["gate"][head, 0]
        fresh = 1.0 if slot == oldest[head % len(oldest)] else 0.0
        weights[head, slot] = controls["write_gate"][head, 0] * (gate * read[head, slot] + (1 - gate) * fresh)
    written = memory.copy()
    for slot in oldest:
        written[slot] = 0
    for head, slot, number in numpy.ndindex(heads, slots, word_size):
        written[slot, number] += weights[head, slot] * controls["add"][head, number]
    reads = numpy.array(
        [
            slow_weights(
                [slow_similarity(controls["key"][head], word, scheme.similarity) for word in written],
                controls["strength"][head, 0],
                scheme.nearest,
            )
            for head in range(heads)
        ]
    )
    ages = numpy.array(slow_age(age, reads, weights, scheme.threshold))
    return {"weights": weights, "memory": written, "read": reads, "age": ages}


@pytest.mark.parametrize("slots", [1, 2, 7])
@pytest.mark.parametrize("similarity", list(SIMILARITIES))
@pytest.mark.parametrize(("heads", "nearest", "threshold"), [(1, 1, 0.005), (1, 4, 0.3), (3, 2, 0.005), (3, 3, 0.2)])
def test_steps_are_those_of_loops(heads: int, nearest: int, threshold: float, similarity: str, slots: int) -> None:
    scheme = sparse(heads, nearest, similarity, threshold=threshold, key_strength=2.0)
    generator = torch.Generator().manual_seed(slots)
    batch, word_size = 2, 3
    memory = torch.randn(batch, slots, word_size, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(batch, slots, memory)
    for _ in range(8):
        controls = random_controls(scheme, batch, word_size, generator)
        before, old = memory, state
        write, memory, read, state = one_step(scheme, controls, before, old)
        for sequence in range(batch):
            expected = slow_step(
                scheme,
                {name: control[sequence].numpy() for name, control in controls.items()},
                *(part[sequence].numpy() for part in (before, old.read_weights, old.age)),
            )
            found = {"weights": write.weights, "memory": memory, "read": read, "age": state.age}
            for name, value in found.items():
                numpy.testing.assert_allclose(value[sequence].numpy(), expected[name], atol=1e-10, err_msg=name)
        assert torch.equal(state.read_weights, read)


VALUES = st.sampled_from([-1.0, 0.0, 0.5]) | st.floats(-2, 2)


@settings(deadline=None)
@given(slots=st.integers(1, 6), count=st.integers(1, 7), strength=st.floats(0, 9), data=st.data())
def test_nearest_slots_and_their_weights_are_those_of_loops(
    slots: int, count: int, strength: float, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.lists(VALUES, min_size=slots, max_size=slots), min_size=1, max_size=3))
    similarities = torch.tensor([rows], dtype=torch.float64)
    near = nearest_slots(similarities, count)
    weights = sparse_weights(similarities, torch.full((1, len(rows), 1), strength, dtype=torch.float64), count)
    for head, row in enumerate(rows):
        chosen = slow_nearest(row, count)
        assert near[0, head].nonzero().flatten().tolist() == sorted(chosen)
        expected = slow_weights(row, strength, count)
        numpy.testing.assert_allclose(weights[0, head].numpy(), expected, atol=1e-10)
        assert weights[0, head].count_nonzero() == min(count, slots)
        assert weights[0, head].sum().item() == pytest.approx(1, abs=1e-12)


@settings(deadline=None)
@given(batch=st.integers(1, 3), heads=st.integers(1, 3), slots=st.integers(1, 5), seed=st.integers(0, 1000))
def test_ages_are_those_of_loops(batch: int, heads: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    age = generator.integers(0, 5, (batch, slots)).astype(float)
    read, written = generator.random((2, batch, heads, slots))
    found = next_age(*(torch.from_numpy(part) for part in (age, read, written)), threshold=0.7)
    for b in range(batch):
        assert found[b].tolist() == slow_age(age[b], read[b], written[b], 0.7)


def test_ties_go_to_the_lower_index_among_many_slots() -> None:
    # Unstable sorts are right by luck in small cases.
    similarities = torch.zeros(1, 1, 1000)
    similarities[0, 0, 501::2] = 1
    assert nearest_slots(similarities, 4)[0, 0].nonzero().flatten().tolist() == [501, 503, 505, 507]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("similarity", list(SIMILARITIES))
@pytest.mark.parametrize(
    ("batch", "heads", "slots", "word_size"), [(1, 1, 40, 3), (2, 3, 33, 5), (16, 4, 100, 2), (16, 4, 129, 40)]
)
def test_of_slots_that_hold_the_same_the_first_are_read(
    batch: int, heads: int, slots: int, word_size: int, similarity: str, dtype: torch.dtype
) -> None:
    # Alike means equal to the last bit, wherever in the memory a slot lies.
    scheme = sparse(heads, 4, similarity)
    generator = torch.Generator().manual_seed(0)
    controls = {name: part.to(dtype) for name, part in random_controls(scheme, batch, word_size, generator).items()}
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=dtype)
    state = scheme.initial_state(batch, slots, memory)
    nothing = Write(memory.new_zeros(batch, heads, slots), memory.new_ones(batch, slots, 1), controls["add"])
    read, _ = scheme.read(controls, memory, state, nothing)
    assert not read[..., 4:].any()
    numpy.testing.assert_allclose(read[..., :4].numpy(), 0.25, rtol=1e-6)


# Cases by hand.


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
    controls = random_controls(scheme, 3, 4, generator)
    memory = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    _, memory, read, _ = one_step(scheme, controls, memory, scheme.initial_state(3, 5, memory))
    plain = content_weights(controls["key"], controls["strength"], memory, scheme.similarity)
    numpy.testing.assert_allclose(read.numpy(), plain.numpy(), atol=1e-12)


@pytest.mark.parametrize("slots", [1, 3, 4, 20])
def test_as_many_slots_are_read_as_there_are_to_be_read_and_no_more(slots: int) -> None:
    scheme = sparse(3)
    generator = torch.Generator().manual_seed(slots)
    memory = torch.randn(2, slots, 3, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(2, slots, memory)
    for _ in range(4):
        _, memory, read, state = one_step(scheme, random_controls(scheme, 2, 3, generator), memory, state)
        assert (read.count_nonzero(-1) == min(4, slots)).all()
        numpy.testing.assert_allclose(read.sum(-1).numpy(), 1, atol=1e-12)


def test_the_nearest_are_read_by_hand() -> None:
    scheme, memory = sparse(nearest=2, similarity="dot"), column(0.5, -1.0, 1.0, 0.0)
    state = scheme.initial_state(1, 4, memory)
    write = Write(torch.zeros(1, 1, 4), torch.ones(1, 4, 1), torch.zeros(1, 1, 1))
    read, after = scheme.read(plain_controls(strength=2 * math.log(3)), memory, state, write)
    # exp(strength * similarity) is 3 and 9.
    assert read[0, 0].tolist() == pytest.approx([0.25, 0, 0.75, 0])
    assert after.age.tolist() == [[0, 1, 0, 1]]


# Slot 0 was accessed two steps ago, slot 1 five, slot 2 just now; there slot 2 was read.
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
    write, state = sparse().write(plain_controls(gate, write_gate, add=8), column(1, 2, 3), State(rows(READ), AGE))
    assert write.weights[0, 0].tolist() == weights
    assert memories.write(column(1, 2, 3), *write).flatten().tolist() == memory
    assert torch.equal(state.age, AGE)


def test_each_head_takes_a_slot_of_its_own_and_all_of_them_are_zeroed() -> None:
    controls = plain_controls(heads=2)
    controls["add"] = torch.tensor([[[8.0], [9.0]]], dtype=torch.float64)
    write, _ = sparse(2).write(controls, column(1, 2, 3), State(rows(READ, READ), AGE))
    assert write.weights.tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert memories.write(column(1, 2, 3), *write).flatten().tolist() == [9, 8, 3]


def test_with_fewer_slots_than_heads_the_heads_take_turns() -> None:
    state = State(torch.zeros(1, 3, 2, dtype=torch.float64), torch.tensor([[1.0, 2.0]], dtype=torch.float64))
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
    _, after = scheme.read(plain_controls(), memory, scheme.initial_state(1, 4, memory), write)
    assert after.age.tolist() == [[1, 1, 1, 1]]


def test_slots_never_accessed_come_first_in_order_and_then_the_one_longest_ago() -> None:
    scheme = sparse(nearest=1, similarity="dot")
    memory = column(*[1e-6] * 4)
    state, written = scheme.initial_state(1, 4, memory), []
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
    state = State(rows([0, 0, 0]), torch.tensor([[5.0, 4.0, 3.0]], dtype=torch.float64))
    _, state = scheme.read(
        plain_controls(), memory, state, Write(rows([0, 0, 0]), torch.ones(1, 3, 1), torch.zeros(1, 1, 1))
    )
    assert state.age.tolist() == [[0, 5, 4]]
    write, _ = scheme.write(plain_controls(), memory, state)
    assert write.weights.tolist() == [[[0, 1, 0]]]


def test_at_first_nothing_was_read_or_accessed() -> None:
    state = sparse(3).initial_state(2, 4, torch.zeros((), dtype=torch.float64))
    assert (state.read_weights.shape, state.age.shape) == ((2, 3, 4), (2, 4))
    assert not state.read_weights.any() and not state.age.any()


def test_controls_keep_to_their_ranges_and_the_strength_to_its_scale() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0])
    controls = sparse(2, key_strength=3.0).controls(5)
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
def test_heads_start_by_writing_and_in_pairs_if_asked(
    heads: int, start: str, keys: list[int], gates: list[int]
) -> None:
    scheme = sparse(heads, start=start)
    generator = torch.Generator().manual_seed(0)
    controls = scheme.controls(4)
    weights = {name: torch.randn(part.heads, part.size, 6, generator=generator) for name, part in controls.items()}
    biases = {name: torch.randn(part.heads, part.size, generator=generator) for name, part in controls.items()}
    before = {name: part.clone() for name, part in weights.items()}, {k: v.clone() for k, v in biases.items()}
    scheme.initialise(weights, biases)
    for name, head in ((name, head) for name in controls for head in range(heads)):
        if name == "key" and head in keys:
            assert torch.equal(weights["key"][head], before[0]["add"][head + 1])
        else:
            assert torch.equal(weights[name][head], before[0][name][head])
        if name == "write_gate":
            assert biases[name][head].tolist() == [2.0]
        elif name == "gate" and head in gates:
            assert biases[name][head].tolist() == [2.0 if head % 2 == 0 else -2.0]
        else:
            assert torch.equal(biases[name][head], before[1][name][head])


# Slots that need not be kept.

SLOTS = 40


def run(scheme: Sparse, controls: list[Tensors], memory: torch.Tensor, state: State) -> list[Tensors]:
    """Return what each step comes to, all by name."""
    results = []
    for now in controls:
        write, memory, read, state = one_step(scheme, now, memory, state)
        results.append({"memory": memory, "write": write.weights, "keep": write.keep, "read": read, "age": state.age})
    return results


def blank(scheme: Sparse, slots: int, batch: int = 2, word_size: int = 3) -> tuple[torch.Tensor, State]:
    """Return a constant memory and the first state."""
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=torch.float64)
    return memory, scheme.initial_state(batch, slots, memory)


def assert_same_on_kept_slots(some: list[Tensors], everything: list[Tensors]) -> None:
    """Compare a run that kept some slots with one that kept all, to the last bit."""
    for fewer, full in zip(some, everything, strict=True):
        kept = fewer["memory"].shape[1]
        assert torch.equal(fewer["read"] @ fewer["memory"], full["read"] @ full["memory"])
        for name in ("memory", "keep"):
            assert torch.equal(fewer[name], full[name][:, :kept]), name
        for name in ("write", "read", "age"):
            assert torch.equal(fewer[name], full[name][..., :kept]), name
        assert (full["memory"][:, kept:] == 1e-6).all()
        assert (full["keep"][:, kept:] == 1).all()
        assert not full["write"][..., kept:].any() and not full["read"][..., kept:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("similarity", list(SIMILARITIES))
def test_in_a_memory_of_usual_size_the_slots_that_are_kept_make_no_difference_to_what_is_read(
    similarity: str, dtype: torch.dtype
) -> None:
    # Products of large matrices are not the same to the last bit in each column: blank slots must tie all the same.
    scheme, steps, slots, batch, word_size = sparse(3, 4, similarity), 5, 101, 16, 40
    generator = torch.Generator().manual_seed(0)
    controls = [random_controls(scheme, batch, word_size, generator) for _ in range(steps)]
    reads = []
    for kept in (scheme.slots_in_reach(slots, steps), slots):
        memory = torch.full((batch, kept, word_size), 1e-6, dtype=dtype)
        typed = [{name: part.to(dtype) for name, part in now.items()} for now in controls]
        results = run(scheme, typed, memory, scheme.initial_state(batch, kept, memory))
        reads.append(torch.stack([step["read"] @ step["memory"] for step in results]))
    assert scheme.slots_in_reach(slots, steps) < slots
    torch.testing.assert_close(reads[0], reads[1], atol=1e-4, rtol=0)


RUNS = {
    "heads": st.integers(1, 3),
    "nearest": st.integers(1, 5),
    "similarity": st.sampled_from(list(SIMILARITIES)),
    "seed": st.integers(0, 10_000),
}


def gated_controls(scheme: Sparse, steps: int, seed: int) -> list[Tensors]:
    """Return controls for each step, a quarter of the gates exactly 0 and a quarter exactly 1."""
    generator = torch.Generator().manual_seed(seed)
    result = []
    for _ in range(steps):
        controls = random_controls(scheme, 2, 3, generator)
        for name in ("gate", "write_gate"):
            choice = torch.rand(controls[name].shape, generator=generator)
            controls[name] = controls[name].masked_fill(choice < 0.25, 0.0).masked_fill(choice > 0.75, 1.0)
        result.append(controls)
    return result


@settings(deadline=None, max_examples=300)
@given(**RUNS, steps=st.integers(1, 12))
def test_slots_in_reach_behave_as_if_all_the_others_were_there(
    heads: int, nearest: int, similarity: str, seed: int, steps: int
) -> None:
    scheme = sparse(heads, nearest, similarity)
    controls = gated_controls(scheme, steps, seed)
    some = run(scheme, controls, *blank(scheme, scheme.slots_in_reach(SLOTS, steps)))
    assert_same_on_kept_slots(some, run(scheme, controls, *blank(scheme, SLOTS)))


@settings(deadline=None, max_examples=300)
@given(**RUNS, parts=st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_slots_that_come_into_reach_later_behave_as_if_they_had_always_been_there(
    heads: int, nearest: int, similarity: str, seed: int, parts: list[int]
) -> None:
    scheme = sparse(heads, nearest, similarity)
    controls = gated_controls(scheme, sum(parts), seed)
    everything = run(scheme, controls, *blank(scheme, SLOTS))
    kept, done = 0, 0
    memory, state = blank(scheme, scheme.slots_in_reach(SLOTS, parts[0]))
    for steps in parts:
        if done:
            slots = scheme.slots_in_reach(SLOTS, steps, before=kept)
            assert kept <= slots <= SLOTS
            more = memory.new_full((2, slots - kept, 3), 1e-6)
            memory, state = torch.cat([memory, more], 1), scheme.grow(state, slots)
        some = run(scheme, controls[done : done + steps], memory, state)
        assert_same_on_kept_slots(some, everything[done : done + steps])
        memory, state = some[-1]["memory"], State(some[-1]["read"], some[-1]["age"])
        kept, done = memory.shape[1], done + steps


# A head that writes -1 and looks for 1 always finds blank slots nearer than those it wrote to.
AVERSE = plain_controls(gate=0.5, key=1, add=-1)


def test_blank_slots_that_were_read_and_then_written_to_leave_others_in_reach() -> None:
    scheme = sparse(nearest=1, similarity="dot")
    everything = run(scheme, [AVERSE] * 2, *blank(scheme, SLOTS, 1, 1))
    # The first step writes to slot 0 and reads slot 1; the second writes to slots 1 and 2, and reads slot 3.
    assert [step["read"].argmax().item() for step in everything] == [1, 3]
    assert everything[1]["write"][0, 0].nonzero().flatten().tolist() == [1, 2]
    some = run(scheme, [AVERSE] * 2, *blank(scheme, scheme.slots_in_reach(SLOTS, 2), 1, 1))
    assert_same_on_kept_slots(some, everything)


def test_slots_that_grow_come_before_all_that_were_accessed() -> None:
    scheme = sparse(nearest=1, similarity="dot")
    fresh = plain_controls(gate=0, key=1, add=-1)
    everything = run(scheme, [AVERSE, fresh], *blank(scheme, SLOTS, 1, 1))
    # The first step writes to slot 0 and reads slot 1, so that the next slot to take is the third.
    assert everything[1]["write"][0, 0].argmax() == 2
    kept = scheme.slots_in_reach(SLOTS, 1)
    (first,) = run(scheme, [AVERSE], *blank(scheme, kept, 1, 1))
    slots = scheme.slots_in_reach(SLOTS, 1, before=kept)
    memory = torch.cat([first["memory"], first["memory"].new_full((1, slots - kept, 1), 1e-6)], 1)
    (second,) = run(scheme, [fresh], memory, scheme.grow(State(first["read"], first["age"]), slots))
    assert_same_on_kept_slots([first, second], everything)


@given(
    heads=st.integers(1, 5),
    nearest=st.integers(1, 9),
    slots=st.integers(1, 300),
    steps=st.integers(0, 100),
    more=st.integers(0, 100),
)
def test_slots_in_reach_never_exceed_the_slots_and_never_become_fewer(
    heads: int, nearest: int, slots: int, steps: int, more: int
) -> None:
    scheme = sparse(heads, nearest)
    first = scheme.slots_in_reach(slots, steps)
    assert min(slots, steps * heads) <= first <= slots
    assert first >= min(slots, nearest if steps else 0)
    assert first <= scheme.slots_in_reach(slots, more, before=max(first, 1)) <= slots
    assert scheme.slots_in_reach(slots, steps, before=slots) == slots
    # Many slots are not all needed: this is what makes the scheme cheap.
    assert scheme.slots_in_reach(10**9, steps) < 10**4


def test_what_grows_is_untouched_and_what_was_there_stays() -> None:
    state = State(rows([0, 1, 0], [0.5, 0.5, 0]), torch.tensor([[2.0, 0.0, 7.0]], dtype=torch.float64))
    grown = sparse(2).grow(state, 5)
    assert grown.read_weights.tolist() == [[[0, 1, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]]
    assert grown.age.tolist() == [[2, 0, 7, 7, 7]]
    same = sparse(2).grow(state, 3)
    assert torch.equal(same.read_weights, state.read_weights) and torch.equal(same.age, state.age)


# Gradients.


@pytest.mark.parametrize(
    ("heads", "nearest", "similarity"), [(1, 2, "cosine"), (2, 3, "cosine"), (2, 2, "dot"), (1, 3, "euclidean")]
)
def test_derivatives_agree_with_finite_differences(heads: int, nearest: int, similarity: str) -> None:
    scheme = sparse(heads, nearest, similarity)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, 2, 3, generator)
    memory = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    read = torch.randn(2, heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    age = torch.tensor([[3.0, 1.0, 0.0, 2.0], [0.0, 0.0, 5.0, 1.0]], dtype=torch.float64)

    def step(memory: torch.Tensor, read: torch.Tensor, *rest: torch.Tensor) -> Any:
        by_name = dict(zip(controls, rest, strict=True))
        write, written, weights, _ = one_step(scheme, by_name, memory, State(read, age))
        return write.weights, written, weights

    assert torch.autograd.gradcheck(step, [part.requires_grad_() for part in (memory, read, *controls.values())])


def test_no_gradient_into_slots_that_are_neither_read_nor_written() -> None:
    scheme = sparse(2, 2)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, 1, 3, generator)
    memory = torch.randn(1, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    state = scheme.initial_state(1, 9, memory)
    write, written, read, _ = one_step(scheme, controls, memory, state)
    (read @ written).square().sum().backward()
    assert memory.grad is not None
    erased = write.keep[0, :, 0] == 0
    assert erased.nonzero().flatten().tolist() == [0, 1]
    reached = (read[0] != 0).any(0) & ~erased
    assert 0 < reached.sum() < 7
    assert torch.equal((memory.grad[0] != 0).any(-1), reached)


def test_no_gradient_through_the_choice_of_slots_or_the_age() -> None:
    scheme = sparse(2, 2)
    generator = torch.Generator().manual_seed(0)
    controls = {name: part.requires_grad_() for name, part in random_controls(scheme, 1, 3, generator).items()}
    memory = torch.randn(1, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    age = torch.arange(5.0, dtype=torch.float64)[None].requires_grad_()
    _, _, read, state = one_step(scheme, controls, memory, scheme.initial_state(1, 5, memory)._replace(age=age))
    assert not state.age.requires_grad and read.requires_grad
    similarities = torch.tensor([[[3.0, 1.0, 2.0, 0.0]]], requires_grad=True)
    sparse_weights(similarities, torch.ones(1, 1, 1), 2)[0, 0, 0].backward()
    assert similarities.grad is not None
    assert (similarities.grad[0, 0] != 0).tolist() == [True, False, True, False]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize(("heads", "similarity"), [(1, "cosine"), (3, "cosine"), (2, "dot"), (2, "euclidean")])
def test_zero_memory_and_zero_keys_leave_values_and_gradients_finite(
    heads: int, similarity: str, slots: int, dtype: torch.dtype
) -> None:
    scheme = sparse(heads, 2, similarity)
    leaves = {
        name: torch.zeros(2, control.heads, control.size, dtype=dtype, requires_grad=True)
        for name, control in scheme.controls(3).items()
    }
    memory = torch.zeros(2, slots, 3, dtype=dtype, requires_grad=True)
    state, now = scheme.initial_state(2, slots, memory), memory
    for _ in range(3):
        controls = {name: control.range(leaves[name]) for name, control in scheme.controls(3).items()}
        _, now, read, state = one_step(scheme, controls, now, state)
        assert torch.isfinite(now).all() and torch.isfinite(read).all() and torch.isfinite(state.age).all()
    (now.sum() + state.read_weights[..., 0].sum()).backward()
    for leaf in (memory, *leaves.values()):
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all()
