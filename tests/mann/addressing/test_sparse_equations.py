"""Sparse access memory: every equation and whole steps against the oracle, gradients and limits."""

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mann.addressing.scheme import Write
from mann.addressing.similarity import SIMILARITIES
from mann.addressing.sparse import Sparse, SparseState, nearest_slots, next_age, sparse_weights
from tests.mann.addressing import oracles
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    initial_memory,
    one_step,
    oracle_results,
    random_controls,
)


def sparse(read_heads: int = 1, nearest: int = 4, similarity: str = "cosine", **options: Any) -> Sparse:
    """Return the scheme; hypothesis and pytest hand over plain strings."""
    return Sparse(read_heads, nearest, similarity=similarity, **options)  # pyright: ignore[reportArgumentType]


OPTIONS = [(1, 1, 0.005), (1, 4, 0.3), (3, 2, 0.005), (3, 3, 0.2)]


@pytest.mark.parametrize("slots", [1, 2, 7])
@pytest.mark.parametrize("similarity", list(SIMILARITIES))
@pytest.mark.parametrize(("heads", "nearest", "threshold"), OPTIONS)
def test_steps_match_the_oracle(heads: int, nearest: int, threshold: float, similarity: str, slots: int) -> None:
    scheme = sparse(heads, nearest, similarity, threshold=threshold, key_strength=2.0)
    assert_steps_match_the_oracle(scheme, slots, "random", steps=8)


def test_the_oracle_tells_all_variants_apart() -> None:
    variants = [
        sparse(heads, nearest, similarity, threshold=threshold, key_strength=2.0)
        for heads, nearest, threshold in OPTIONS
        for similarity in SIMILARITIES
        if nearest > 1  # several similarities may find the same single slot
    ]
    assert len(oracle_results(variants, slots=7)) == len(variants)


VALUES = st.sampled_from([-1.0, 0.0, 0.5]) | st.floats(-2, 2)


@settings(deadline=None)
@given(slots=st.integers(1, 6), count=st.integers(1, 7), strength=st.floats(0, 9), data=st.data())
def test_nearest_slots_and_their_weights_match_the_oracle(
    slots: int, count: int, strength: float, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.lists(VALUES, min_size=slots, max_size=slots), min_size=1, max_size=3))
    similarities = torch.tensor([rows], dtype=torch.float64)
    near = nearest_slots(similarities, count)
    weights = sparse_weights(similarities, torch.full((1, len(rows), 1), strength, dtype=torch.float64), count)
    for head, row in enumerate(rows):
        chosen = oracles.nearest(row, count)
        assert near[0, head].nonzero().flatten().tolist() == sorted(chosen)
        expected = oracles.sparse_weights(row, strength, count)
        numpy.testing.assert_allclose(weights[0, head].numpy(), expected, atol=1e-10)
        assert weights[0, head].count_nonzero() == min(count, slots)
        assert weights[0, head].sum().item() == pytest.approx(1, abs=1e-12)


@settings(deadline=None)
@given(batch=st.integers(1, 3), heads=st.integers(1, 3), slots=st.integers(1, 5), seed=st.integers(0, 1000))
def test_ages_match_the_oracle(batch: int, heads: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    age = generator.integers(0, 5, (batch, slots)).astype(float)
    read, written = generator.random((2, batch, heads, slots))
    found = next_age(*(torch.from_numpy(part) for part in (age, read, written)), threshold=0.7)
    for b in range(batch):
        assert found[b].tolist() == oracles.next_age(age[b], read[b], written[b], 0.7)


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
    # Similarities must be equal to the last bit, whatever the index of the slot.
    scheme = sparse(heads, 4, similarity)
    generator = torch.Generator().manual_seed(0)
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=dtype)
    controls = {name: part.to(dtype) for name, part in random_controls(scheme, memory, generator).items()}
    state = scheme.initial_state(memory)
    nothing = Write(memory.new_zeros(batch, heads, slots), memory.new_ones(batch, slots, 1), controls["add"])
    read, _ = scheme.read(controls, memory, state, nothing)
    assert not read[..., 4:].any()
    numpy.testing.assert_allclose(read[..., :4].numpy(), 0.25, rtol=1e-6)


@pytest.mark.parametrize(
    ("heads", "nearest", "similarity"), [(1, 2, "cosine"), (2, 3, "cosine"), (2, 2, "dot"), (1, 3, "euclidean")]
)
def test_derivatives_match_finite_differences(heads: int, nearest: int, similarity: str) -> None:
    scheme = sparse(heads, nearest, similarity)
    generator = torch.Generator().manual_seed(0)
    memory = initial_memory("random", 2, 4, 3, generator)
    read = torch.randn(2, heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    age = torch.tensor([[3.0, 1.0, 0.0, 2.0], [0.0, 0.0, 5.0, 1.0]], dtype=torch.float64)
    assert_derivatives_match(scheme, memory, SparseState(read, age), through=["read_weights"])


def test_no_gradient_into_slots_that_are_neither_read_nor_written() -> None:
    scheme = sparse(2, 2)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, torch.empty(1, 9, 3), generator)
    memory = torch.randn(1, 9, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    state = scheme.initial_state(memory)
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
    controls = random_controls(scheme, torch.empty(1, 5, 3), generator)
    controls = {name: part.requires_grad_() for name, part in controls.items()}
    memory = torch.randn(1, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    age = torch.arange(5.0, dtype=torch.float64)[None].requires_grad_()
    _, _, read, state = one_step(scheme, controls, memory, scheme.initial_state(memory)._replace(age=age))
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
    assert assert_finite(scheme, 0.0, slots, dtype) == {"memory", *scheme.controls(3, slots)}
