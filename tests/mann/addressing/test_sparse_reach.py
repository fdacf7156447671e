"""Sparse access memory: a network that keeps only the slots in reach computes the same as one that keeps all."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing.similarity import SIMILARITIES
from mann.addressing.sparse import Sparse, SparseState
from tests.mann.addressing.stepping import one_step, random_controls

Tensors = dict[str, torch.Tensor]

SLOTS = 40


def sparse(read_heads: int = 1, nearest: int = 4, similarity: str = "cosine") -> Sparse:
    """Return the scheme; hypothesis and pytest hand over plain strings."""
    return Sparse(read_heads, nearest, similarity=similarity)  # pyright: ignore[reportArgumentType]


def run(scheme: Sparse, controls: list[Tensors], memory: torch.Tensor, state: SparseState) -> list[Tensors]:
    """Return the results of each step by name."""
    results = []
    for now in controls:
        write, memory, read, state = one_step(scheme, now, memory, state)
        results.append({"memory": memory, "write": write.weights, "keep": write.keep, "read": read, "age": state.age})
    return results


def blank(scheme: Sparse, slots: int, batch: int = 2, word_size: int = 3) -> tuple[torch.Tensor, SparseState]:
    """Return a constant memory and the first state."""
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=torch.float64)
    return memory, scheme.initial_state(memory)


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
    controls = [random_controls(scheme, torch.empty(batch, slots, word_size), generator) for _ in range(steps)]
    reads = []
    for kept in (scheme.slots_in_reach(slots, steps), slots):
        memory = torch.full((batch, kept, word_size), 1e-6, dtype=dtype)
        typed = [{name: part.to(dtype) for name, part in now.items()} for now in controls]
        results = run(scheme, typed, memory, scheme.initial_state(memory))
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
        controls = random_controls(scheme, torch.empty(2, 4, 3), generator)
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
        memory, state = some[-1]["memory"], SparseState(some[-1]["read"], some[-1]["age"])
        kept, done = memory.shape[1], done + steps


def averse(gate: float) -> Tensors:
    """Return controls of a head that writes -1 and looks for 1, and so reads fresh slots before those it wrote to."""
    numbers = {"key": 1.0, "strength": 2.0, "gate": gate, "write_gate": 1.0, "add": -1.0}
    return {name: torch.full((1, 1, 1), value, dtype=torch.float64) for name, value in numbers.items()}


AVERSE = averse(gate=0.5)


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
    fresh = averse(gate=0.0)
    everything = run(scheme, [AVERSE, fresh], *blank(scheme, SLOTS, 1, 1))
    # The first step writes to slot 0 and reads slot 1, so that the next slot to take is the third.
    assert everything[1]["write"][0, 0].argmax() == 2
    kept = scheme.slots_in_reach(SLOTS, 1)
    (first,) = run(scheme, [AVERSE], *blank(scheme, kept, 1, 1))
    slots = scheme.slots_in_reach(SLOTS, 1, before=kept)
    memory = torch.cat([first["memory"], first["memory"].new_full((1, slots - kept, 1), 1e-6)], 1)
    (second,) = run(scheme, [fresh], memory, scheme.grow(SparseState(first["read"], first["age"]), slots))
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
    # Of many slots few are needed, which makes the scheme cheap.
    assert scheme.slots_in_reach(10**9, steps) < 10**4


def test_added_slots_were_never_accessed_and_the_others_stay() -> None:
    state = SparseState(
        torch.tensor([[[0, 1, 0], [0.5, 0.5, 0]]], dtype=torch.float64),
        torch.tensor([[2.0, 0.0, 7.0]], dtype=torch.float64),
    )
    grown = sparse(2).grow(state, 5)
    assert grown.read_weights.tolist() == [[[0, 1, 0, 0, 0], [0.5, 0.5, 0, 0, 0]]]
    assert grown.age.tolist() == [[2, 0, 7, 7, 7]]
    same = sparse(2).grow(state, 3)
    assert torch.equal(same.read_weights, state.read_weights) and torch.equal(same.age, state.age)
