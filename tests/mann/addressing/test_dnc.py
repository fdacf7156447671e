"""Differentiable Neural Computer: every equation by loops, whole steps, and cases by hand."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mann.addressing import memory as memories
from mann.addressing.dnc import (
    DNC,
    SMALLEST,
    State,
    allocation,
    next_links,
    next_precedence,
    next_usage,
    retention,
)
from mann.addressing.scheme import Write
from mann.addressing.similarity import EPSILON, content_weights
from tests.mann.addressing.stepping import one_step, random_controls

Arrays = dict[str, numpy.ndarray]
SIMILARITIES = ["cosine", "dot", "euclidean"]


def scheme_of(read_heads: int, similarity: str = "cosine") -> DNC:
    """Return the scheme; hypothesis and pytest hand over plain strings."""
    return DNC(read_heads, similarity)  # pyright: ignore[reportArgumentType]


def random(generator: numpy.random.Generator, *shape: int) -> torch.Tensor:
    """Return float64 numbers from 0 to 1."""
    return torch.from_numpy(generator.random(shape))


# The equations of Graves et al. 2016, one number at a time.


def slow_retention(free_gates: numpy.ndarray, read_weights: numpy.ndarray) -> numpy.ndarray:
    """psi(i) = prod_r (1 - f_r w^r(i)); free_gates: [heads]; read_weights: [heads, slots]."""
    heads, slots = read_weights.shape
    return numpy.array(
        [math.prod(1 - free_gates[head] * read_weights[head, slot] for head in range(heads)) for slot in range(slots)]
    )


def slow_usage(usage: numpy.ndarray, written: numpy.ndarray, retained: numpy.ndarray) -> numpy.ndarray:
    """u = (u + w - u w) psi; all [slots]."""
    return numpy.array([(u + w - u * w) * psi for u, w, psi in zip(usage, written, retained, strict=True)])


def slow_allocation(usage: numpy.ndarray) -> numpy.ndarray:
    """Go through the free list, the least used slot first."""
    result, product = numpy.zeros(len(usage)), 1.0
    for slot in sorted(range(len(usage)), key=lambda slot: (usage[slot], slot)):
        counted = SMALLEST + (1 - SMALLEST) * usage[slot]
        result[slot] = (1 - counted) * product
        product *= counted
    return result


def slow_links(links: numpy.ndarray, precedence: numpy.ndarray, written: numpy.ndarray) -> numpy.ndarray:
    """L(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j), L(i, i) = 0; links: [slots, slots]."""
    result = numpy.zeros_like(links)
    for i, j in numpy.ndindex(*links.shape):
        if i != j:
            result[i, j] = (1 - written[i] - written[j]) * links[i, j] + written[i] * precedence[j]
    return result


def slow_precedence(precedence: numpy.ndarray, written: numpy.ndarray) -> numpy.ndarray:
    """p(i) = (1 - sum_j w(j)) p(i) + w(i); both [slots]."""
    return numpy.array([(1 - sum(written)) * p + w for p, w in zip(precedence, written, strict=True)])


def slow_content(key: numpy.ndarray, strength: float, memory: numpy.ndarray, similarity: str) -> numpy.ndarray:
    """Softmax over slots of strength times similarity; key: [word_size]; memory: [slots, word_size]."""
    scores = []
    for word in memory:
        product = sum(a * b for a, b in zip(key, word, strict=True))
        if similarity == "cosine":
            product /= math.sqrt(sum(a * a for a in key) + EPSILON) * math.sqrt(sum(b * b for b in word) + EPSILON)
        elif similarity == "euclidean":
            product = -math.sqrt(sum((a - b) ** 2 for a, b in zip(key, word, strict=True)) + EPSILON)
        scores.append(math.exp(strength * product))
    return numpy.array([score / sum(scores) for score in scores])


def slow_step(similarity: str, controls: Arrays, memory: numpy.ndarray, state: Arrays) -> Arrays:
    """Write to and read from the memory of one sequence; controls: [heads, size]."""
    (slots, word_size), heads = memory.shape, len(state["read_weights"])
    retained = slow_retention(controls["free_gate"][:, 0], state["read_weights"])
    usage = slow_usage(state["usage"], state["write_weights"][0], retained)
    allocated = slow_allocation(usage)
    content = slow_content(controls["write_key"][0], controls["write_strength"][0, 0], memory, similarity)
    share, gate = controls["allocation_gate"][0, 0], controls["write_gate"][0, 0]
    weights = numpy.array([gate * (share * a + (1 - share) * c) for a, c in zip(allocated, content, strict=True)])
    written = memory.copy()
    for slot, number in numpy.ndindex(slots, word_size):
        written[slot, number] *= 1 - weights[slot] * controls["erase"][0, number]
        written[slot, number] += weights[slot] * controls["add"][0, number]
    links = slow_links(state["links"], state["precedence"], weights)
    read = numpy.zeros((heads, slots))
    for head in range(heads):
        found = slow_content(controls["read_key"][head], controls["read_strength"][head, 0], written, similarity)
        mode = controls["read_modes"][head]
        for slot in range(slots):
            backward = sum(links[i, slot] * state["read_weights"][head, i] for i in range(slots))
            forward = sum(links[slot, j] * state["read_weights"][head, j] for j in range(slots))
            read[head, slot] = mode[0] * backward + mode[1] * found[slot] + mode[2] * forward
    return {
        "memory": written,
        "read_weights": read,
        "write_weights": weights[None],
        "usage": usage,
        "links": links,
        "precedence": slow_precedence(state["precedence"], weights),
    }


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("heads", [1, 3])
def test_steps_are_those_of_loops(heads: int, similarity: str, slots: int) -> None:
    scheme = scheme_of(heads, similarity)
    generator = torch.Generator().manual_seed(slots)
    batch, word_size = 2, 3
    memory = torch.randn(batch, slots, word_size, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(batch, slots, memory)
    for _ in range(6):
        controls = random_controls(scheme, batch, word_size, generator)
        before, old = memory, state
        write, memory, read, state = one_step(scheme, controls, before, old)
        for sequence in range(batch):
            expected = slow_step(
                similarity,
                {name: control[sequence].numpy() for name, control in controls.items()},
                before[sequence].numpy(),
                {name: part[sequence].numpy() for name, part in old._asdict().items()},
            )
            for name, value in {"memory": memory, **state._asdict()}.items():
                numpy.testing.assert_allclose(value[sequence].numpy(), expected[name], atol=1e-10, err_msg=name)
        assert torch.equal(state.read_weights, read) and torch.equal(state.write_weights, write.weights)
        assert torch.equal(write.add, controls["add"])


def test_the_similarities_of_the_loops_are_told_apart() -> None:
    # The steps above would otherwise test one of them three times.
    key, memory = numpy.array([1.0, 2.0]), numpy.array([[3.0, 0.0], [0.5, 1.0], [0.0, 1.0]])
    results = [slow_content(key, 1.0, memory, similarity) for similarity in SIMILARITIES]
    assert not any(numpy.allclose(results[a], results[b], atol=0.01) for a, b in ((0, 1), (0, 2), (1, 2)))


SIZES = {"batch": st.integers(1, 3), "slots": st.integers(1, 5), "seed": st.integers(0, 1000)}


@settings(deadline=None)
@given(**SIZES, heads=st.integers(1, 4))
def test_retention_is_that_of_loops(batch: int, slots: int, seed: int, heads: int) -> None:
    generator = numpy.random.default_rng(seed)
    gates, weights = random(generator, batch, heads, 1), random(generator, batch, heads, slots)
    found = retention(gates, weights)
    for b in range(batch):
        expected = slow_retention(gates[b, :, 0].numpy(), weights[b].numpy())
        numpy.testing.assert_allclose(found[b].numpy(), expected, atol=1e-10)


@settings(deadline=None)
@given(**SIZES)
def test_usage_links_and_precedence_are_those_of_loops(batch: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    usage, retained, precedence = (random(generator, batch, slots) for _ in range(3))
    weights = random(generator, batch, slots) / slots
    links = random(generator, batch, slots, slots)  # with a diagonal that has to go
    used, linked = next_usage(usage, weights, retained), next_links(links, precedence, weights)
    last = next_precedence(precedence, weights)
    for b in range(batch):
        u, r, p, w = (part[b].numpy() for part in (usage, retained, precedence, weights))
        numpy.testing.assert_allclose(used[b].numpy(), slow_usage(u, w, r), atol=1e-10)
        numpy.testing.assert_allclose(linked[b].numpy(), slow_links(links[b].numpy(), p, w), atol=1e-10)
        numpy.testing.assert_allclose(last[b].numpy(), slow_precedence(p, w), atol=1e-10)


USAGES = st.sampled_from([0.0, 1e-7, 1e-5, 0.25, 0.5, 1.0]) | st.floats(0, 1, allow_subnormal=False)


@settings(deadline=None)
@given(slots=st.integers(1, 6), data=st.data())
def test_allocation_is_that_of_loops_with_ties_to_the_lower_index(slots: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(USAGES, min_size=slots, max_size=slots), min_size=1, max_size=3))
    found = allocation(torch.tensor(rows, dtype=torch.float64))
    for row, usage in zip(found, rows, strict=True):
        numpy.testing.assert_allclose(row.numpy(), slow_allocation(numpy.array(usage)), atol=1e-10)
        assert (row >= 0).all()
        assert row.sum() <= 1 + 1e-15


# Cases by hand.


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


def plain_state(slots: int) -> tuple[DNC, State]:
    """Return a scheme of one read head and its first state."""
    scheme = DNC(read_heads=1)
    return scheme, scheme.initial_state(1, slots, torch.zeros(()))


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


def written_in_turn(order: list[int], slots: int) -> State:
    """Return the state after full writes to the slots in this order."""
    _, state = plain_state(slots)
    links, precedence = state.links, state.precedence
    for slot in order:
        weights = torch.eye(slots)[slot][None]
        links, precedence = next_links(links, precedence, weights), next_precedence(precedence, weights)
    return state._replace(links=links, precedence=precedence)


def read_from(state: State, slot: int, modes: tuple[float, float, float]) -> list[float]:
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
    """Check that a weighting of the only head is at one of 4 slots, but for what SMALLEST lets through."""
    assert weights[0, 0].tolist() == pytest.approx([float(other == slot) for other in range(4)], abs=1e-4)


def test_read_mode_content_alone_is_content_addressing() -> None:
    scheme = DNC(read_heads=2)
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(2, 4, 3, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(2, 4, memory)
    for _ in range(3):
        controls = random_controls(scheme, 2, 3, generator)
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
    state = DNC(read_heads=3).initial_state(2, 4, torch.zeros((), dtype=torch.float64))
    shapes = [tuple(part.shape) for part in state]
    assert shapes == [(2, 3, 4), (2, 1, 4), (2, 4), (2, 4, 4), (2, 4)]
    assert not any(part.any() for part in state)


def test_controls_keep_to_their_ranges() -> None:
    controls = DNC(read_heads=2).controls(5)
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


# What holds for all writes.


@settings(deadline=None)
@given(slots=st.integers(1, 5), seed=st.integers(0, 1000), data=st.data())
def test_links_have_no_diagonal_and_rows_and_columns_that_share_out_at_most_1(
    slots: int, seed: int, data: st.DataObject
) -> None:
    generator = numpy.random.default_rng(seed)
    links, precedence = torch.zeros(1, slots, slots, dtype=torch.float64), torch.zeros(1, slots, dtype=torch.float64)
    for full in data.draw(st.lists(st.booleans(), min_size=1, max_size=8)):
        if full:
            weights = torch.eye(slots, dtype=torch.float64)[generator.integers(slots)]
        else:
            weights = torch.from_numpy(generator.dirichlet([0.3] * slots) * generator.random())
        links, precedence = next_links(links, precedence, weights[None]), next_precedence(precedence, weights[None])
        assert not links.diagonal(dim1=1, dim2=2).any()
        assert (links >= -1e-12).all()
        assert (links.sum(1) <= 1 + 1e-12).all() and (links.sum(2) <= 1 + 1e-12).all()
        assert (precedence >= 0).all() and precedence.sum() <= 1 + 1e-12


@settings(deadline=None)
@given(heads=st.integers(1, 3), slots=st.integers(1, 5), seed=st.integers(0, 1000))
def test_weightings_and_usages_stay_in_their_ranges_with_gates_open_and_shut(heads: int, slots: int, seed: int) -> None:
    scheme, generator = DNC(heads), torch.Generator().manual_seed(seed)
    memory = torch.full((2, slots, 3), 1e-6, dtype=torch.float64)
    state = scheme.initial_state(2, slots, memory)
    for _ in range(8):
        controls = random_controls(scheme, 2, 3, generator)
        for name in ("free_gate", "allocation_gate", "write_gate"):
            controls[name] = controls[name].round()
        choice = torch.randint(3, (2, heads), generator=generator)
        controls["read_modes"] = torch.nn.functional.one_hot(choice, 3).double()
        _, memory, _, state = one_step(scheme, controls, memory, state)
        slack = 1e-12
        for part in state:
            assert (part >= -slack).all() and (part <= 1 + slack).all()
        for part in (state.read_weights, state.write_weights, state.links, state.links.mT, state.precedence):
            assert (part.sum(-1) <= 1 + slack).all()
        assert not state.links.diagonal(dim1=1, dim2=2).any()


# Gradients.


def test_derivatives_of_the_equations_agree_with_finite_differences() -> None:
    generator = numpy.random.default_rng(0)
    usage, weights, retained, precedence, gates, reads, links = (
        random(generator, *shape).requires_grad_()
        for shape in ((2, 4), (2, 4), (2, 4), (2, 4), (2, 3, 1), (2, 3, 4), (2, 4, 4))
    )
    assert torch.autograd.gradcheck(retention, (gates, reads))
    assert torch.autograd.gradcheck(next_usage, (usage, weights, retained))
    assert torch.autograd.gradcheck(next_links, (links, precedence, weights))
    assert torch.autograd.gradcheck(next_precedence, (precedence, weights))


def test_derivatives_of_the_allocation_agree_with_finite_differences() -> None:
    # Away from ties and from SMALLEST, where the free list changes.
    usage = torch.tensor([[0.6, 0.1, 0.9, 0.35], [0.2, 0.95, 0.05, 0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(allocation, (usage,))


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("heads", [1, 2])
def test_derivatives_of_a_step_agree_with_finite_differences(heads: int, similarity: str) -> None:
    scheme = scheme_of(heads, similarity)
    torch_generator, generator = torch.Generator().manual_seed(0), numpy.random.default_rng(0)
    controls = random_controls(scheme, 1, 2, torch_generator)
    memory = torch.randn(1, 3, 2, generator=torch_generator, dtype=torch.float64)
    state = State(
        random(generator, 1, heads, 3).softmax(-1),
        random(generator, 1, 1, 3) / 3,
        torch.tensor([[0.7, 0.2, 0.45]], dtype=torch.float64),
        random(generator, 1, 3, 3) / 3,
        random(generator, 1, 3) / 3,
    )
    usage = scheme.write(controls, memory, state)[1].usage[0].sort().values
    assert usage[0] > 0.01 and usage.diff().min() > 0.01  # no ties nearby
    names = list(controls)

    def step(memory: torch.Tensor, *rest: torch.Tensor) -> Any:
        by_name = dict(zip(names, rest[len(state) :], strict=True))
        write, written, read, after = one_step(scheme, by_name, memory, State(*rest[: len(state)]))
        return written, read, write.weights, after.usage, after.links, after.precedence

    inputs = [tensor.clone().requires_grad_() for tensor in (memory, *state, *controls.values())]
    assert torch.autograd.gradcheck(step, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_allocation_of_usages_of_exactly_0_and_1_has_finite_gradients(dtype: torch.dtype) -> None:
    for rows in (
        [[0.0]],
        [[1.0]],
        [[0.0] * 4],
        [[1.0] * 4],
        [[0.0, 1.0, 0.0, 1.0, 0.5]],
        [[0.0] * 300],
        [[1e-6] * 300],
    ):
        usage = torch.tensor(rows, dtype=dtype, requires_grad=True)
        found = allocation(usage)
        assert torch.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()
        found.square().sum().backward()
        assert usage.grad is not None and torch.isfinite(usage.grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gate", [None, 0.0, 1.0])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize(("heads", "similarity"), [(1, "cosine"), (2, "cosine"), (1, "dot"), (1, "euclidean")])
def test_zero_memory_and_zero_keys_leave_values_and_gradients_finite(
    heads: int, similarity: str, slots: int, gate: float | None, dtype: torch.dtype
) -> None:
    scheme = scheme_of(heads, similarity)
    leaves = {
        name: torch.zeros(2, control.heads, control.size, dtype=dtype, requires_grad=True)
        for name, control in scheme.controls(3).items()
    }
    memory = torch.zeros(2, slots, 3, dtype=dtype, requires_grad=True)
    state, now = scheme.initial_state(2, slots, memory), memory
    for _ in range(4):
        controls = {name: control.range(leaves[name]) for name, control in scheme.controls(3).items()}
        if gate is not None:  # usages of exactly 0 and exactly 1
            for name in ("write_gate", "allocation_gate", "free_gate"):
                controls[name] = controls[name] * 0 + gate
        _, now, read, state = one_step(scheme, controls, now, state)
        assert all(torch.isfinite(part).all() for part in (now, read, *state))
    (now.sum() + sum(part[..., 0].sum() for part in state)).backward()
    for leaf in (memory, *leaves.values()):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()
    assert memory.grad is not None and leaves["read_key"].grad is not None and leaves["write_gate"].grad is not None
