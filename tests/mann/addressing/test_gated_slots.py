"""Gated slots: against the oracle, by hand, gradients and limits."""

import math

import numpy
import pytest
import torch

from mann.addressing import GatedSlots
from mann.addressing.gated_slots import GatedSlotsState, gate, key_size
from mann.addressing.keys import FOLLOW_BIAS
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    changed,
    initialised_maps,
    one_step,
    oracle_results,
)

VARIANTS = [GatedSlots(heads, follow) for heads in (1, 3) for follow in (True, False)]


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: GatedSlots, slots: int) -> None:
    assert_steps_match_the_oracle(scheme, slots, "random")


def test_the_oracle_tells_all_variants_apart() -> None:
    assert len(oracle_results(VARIANTS, slots=5)) == len(VARIANTS)


def test_the_gate_is_the_eighth_root_of_a_sigmoid() -> None:
    emitted = torch.tensor([0.0, math.log(3), -200.0], dtype=torch.float64)
    numpy.testing.assert_allclose(gate(emitted).numpy(), [0.5**0.125, 0.75**0.125, math.exp(-25)], rtol=1e-12)


@pytest.mark.parametrize(("word_size", "size"), [(1, 1), (2, 1), (5, 3), (40, 20)])
def test_the_first_half_of_a_word_is_its_key(word_size: int, size: int) -> None:
    assert key_size(word_size) == GatedSlots().controls(word_size, 4)["query"].size == size


def test_a_step_by_hand() -> None:
    # The first slot keeps all, the second takes all in; the key [1] is matched by the query [log 3], the value is 7.
    scheme = GatedSlots(1, follow=False)
    memory = torch.tensor([[[0.0, 5.0], [9.0, 9.0]]], dtype=torch.float64)
    numbers = {"word": [1.0, 7.0], "query": [math.log(3)], "gate": [1.0, 0.0]}
    controls = {name: torch.tensor([[row]], dtype=torch.float64) for name, row in numbers.items()}
    write, written, read, _ = one_step(scheme, controls, memory, scheme.initial_state(memory))
    assert write.weights.tolist() == [[[0, 1]]]
    assert written.tolist() == [[[0, 5], [1, 7]]]
    numpy.testing.assert_allclose(read[0, 0].numpy(), [0.25, 0.75])


def test_a_value_is_bound_to_the_query_of_the_step_before() -> None:
    scheme = GatedSlots(2)
    memory = torch.zeros(1, 2, 2, dtype=torch.float64)
    state = GatedSlotsState(torch.tensor([[[4.0]]], dtype=torch.float64))
    numbers = {"word": [[2.0, 7.0]], "query": [[5.0], [6.0]], "gate": [[0.0, 0.0]], "follow": [[0.75]]}
    controls = {name: torch.tensor([row], dtype=torch.float64) for name, row in numbers.items()}
    _, written, _, after = one_step(scheme, controls, memory, state)
    assert written.tolist() == [[[3.5, 7], [3.5, 7]]]
    assert after.query.tolist() == [[[5]]]  # of the first head


@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_derivatives_match_finite_differences(scheme: GatedSlots) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    query = torch.randn(2, 1, 2, generator=generator, dtype=torch.float64)
    assert_derivatives_match(scheme, memory, GatedSlotsState(query), through=["query"], steps=2)


@pytest.mark.parametrize("emitted", [0.0, -60.0, 60.0])
@pytest.mark.parametrize("slots", [1, 4])
def test_values_and_gradients_are_finite_at_the_limits(slots: int, emitted: float) -> None:
    assert "memory" in assert_finite(GatedSlots(), emitted, slots, torch.float32)


def test_only_the_bias_of_follow_is_initialised() -> None:
    weights, biases, after_weights, after_biases = initialised_maps(GatedSlots())
    assert not changed(weights, after_weights)
    assert changed(biases, after_biases) == {("follow", 0)}
    assert after_biases["follow"].tolist() == [[FOLLOW_BIAS]]
    initialised_maps(GatedSlots(follow=False))
