"""Attention over the last steps: against the oracle and torch's attention, by hand, gradients and limits."""

import numpy
import pytest
import torch
from torch.nn import functional

from mann.addressing import Append
from mann.addressing import memory as memories
from mann.addressing.append import attention
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    changed,
    initialised_maps,
    one_step,
    random_controls,
)

VARIANTS = [Append(heads, follow) for heads in (1, 3) for follow in (True, False)]


@pytest.mark.parametrize("slots", [1, 2, 4, 9])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: Append, slots: int) -> None:
    assert_steps_match_the_oracle(scheme, slots)


def test_the_oracle_tells_all_variants_apart() -> None:
    # Two steps: only the second one's key can follow a query, and there are two slots to choose from.
    results = set()
    for scheme in VARIANTS:
        memory = torch.zeros(1, 5, 4, dtype=torch.float64)
        state, generator = scheme.initial_state(memory), torch.Generator().manual_seed(0)
        first, second = (random_controls(scheme, memory, generator) for _ in range(2))
        _, memory, _, state = one_step(scheme, first, memory, state)
        _, memory, read, _ = one_step(scheme, second, memory, state)
        results.add(tuple(memory.flatten().tolist() + read.flatten().tolist()))
    assert len(results) == len(VARIANTS)


@pytest.mark.parametrize("slots", [1, 3, 8])
def test_it_is_the_attention_of_a_transformer_over_the_last_steps(slots: int) -> None:
    scheme, generator = Append(2, follow=False), torch.Generator().manual_seed(0)
    memory = torch.full((3, slots, 6), 9.0, dtype=torch.float64)
    state, words = scheme.initial_state(memory), []
    for _ in range(8):
        controls = random_controls(scheme, memory, generator)
        words.append(controls["word"][:, 0])
        _, memory, read, state = one_step(scheme, controls, memory, state)
        last = torch.stack(words[-slots:], 1)
        expected = functional.scaled_dot_product_attention(controls["query"], last[..., :3], last[..., 3:])
        numpy.testing.assert_allclose(memories.read(memory, read)[..., 3:].numpy(), expected.numpy(), atol=1e-12)


def test_slots_are_written_in_turn_and_replaced() -> None:
    scheme, memory = Append(1, follow=False), torch.full((1, 3, 1), 9.0)
    state, found = scheme.initial_state(memory), []
    for step in range(5):
        controls = {"word": torch.tensor([[[float(step)]]]), "query": torch.zeros(1, 1, 1)}
        _, memory, _, state = one_step(scheme, controls, memory, state)
        found.append(memory.flatten().tolist())
    assert found == [[0, 9, 9], [0, 1, 9], [0, 1, 2], [3, 1, 2], [3, 4, 2]]


def test_nothing_is_read_before_something_is_written() -> None:
    keys = torch.randn(1, 3, 4, requires_grad=True)
    weights = attention(torch.randn(1, 2, 4), keys, torch.zeros(1, 3))
    assert weights.tolist() == [[[0, 0, 0], [0, 0, 0]]]
    weights.sum().backward()
    assert keys.grad is not None and torch.isfinite(keys.grad).all()


@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_derivatives_match_finite_differences(scheme: Append) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    query = torch.randn(2, 1, 2, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(memory)._replace(query=query)
    assert_derivatives_match(scheme, memory, state, through=["query"], steps=2)


@pytest.mark.parametrize("emitted", [0.0, -60.0, 60.0])
@pytest.mark.parametrize("slots", [1, 3, 8])
def test_values_and_gradients_are_finite_at_the_limits(slots: int, emitted: float) -> None:
    assert {"word", "query"} <= assert_finite(Append(), emitted, slots, torch.float32)


def test_only_the_bias_of_follow_is_initialised() -> None:
    weights, biases, after_weights, after_biases = initialised_maps(Append())
    assert not changed(weights, after_weights)
    assert changed(biases, after_biases) == {("follow", 0)}
    initialised_maps(Append(follow=False))
