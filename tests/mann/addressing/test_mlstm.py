"""The mLSTM's memory: against the oracle, against the equations without the stabiliser, gradients and limits."""

import math

import numpy
import pytest
import torch
from torch.nn import functional

from mann.addressing import MLSTM
from mann.addressing import memory as memories
from mann.addressing.mlstm import FORGET_BIASES, INPUT_SPREAD
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    initialised_maps,
    one_step,
    oracle_results,
    random_controls,
)

VARIANTS = [
    MLSTM(heads, follow, normalise) for heads in (1, 2, 3) for follow in (True, False) for normalise in ("none", "rms")
]


@pytest.mark.parametrize("slots", [1, 2, 5, 6])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: MLSTM, slots: int) -> None:
    assert_steps_match_the_oracle(scheme, slots, "random")


def test_the_oracle_tells_all_variants_apart() -> None:
    assert len(oracle_results(VARIANTS, slots=6)) == len(VARIANTS)


@pytest.mark.parametrize("scale", [1.0, 5.0])
def test_it_is_the_recurrence_without_a_stabiliser(scale: float) -> None:
    # C = f C + exp(i~) k v^T, n = f n + exp(i~) k, h = C^T q / max(|n . q|, 1): equations 19 to 27 of the paper.
    scheme, slots, word_size = MLSTM(1, follow=False, normalise="none"), 4, 3
    memory = torch.zeros(2, slots, word_size, dtype=torch.float64)
    generator, state = torch.Generator().manual_seed(0), scheme.initial_state(memory)
    matrix, sums = torch.zeros_like(memory), torch.zeros(2, slots, 1, dtype=torch.float64)
    for _ in range(10):
        controls = random_controls(scheme, memory, generator)
        controls["forget"], controls["input"] = scale * controls["forget"], scale * controls["input"]
        _, memory, read, state = one_step(scheme, controls, memory, state)
        key = controls["input"].exp() * controls["key"] / math.sqrt(slots)
        matrix = controls["forget"].sigmoid() * matrix + key.mT @ controls["value"]
        sums = controls["forget"].sigmoid() * sums + key.mT
        query = controls["query"]
        # The small number that is added to the divisor is not scaled with it.
        expected = query @ matrix / ((query @ sums).abs().clamp(min=1) + 1e-6 * state.stabiliser.exp())
        numpy.testing.assert_allclose(memories.read(memory, read).numpy(), expected.numpy(), rtol=1e-9)


def test_huge_input_gates_replace_what_was_stored() -> None:
    scheme, memory = MLSTM(1, follow=False, normalise="none"), torch.zeros(1, 2, 1)
    state = scheme.initial_state(memory)
    for gate, value in ((0.0, 5.0), (500.0, 7.0)):
        numbers = {"key": [1.0, 0.0], "query": [1.0, 0.0], "value": [value], "forget": [9.0], "input": [gate]}
        controls = {name: torch.tensor([[row]]) for name, row in numbers.items()}
        _, memory, read, state = one_step(scheme, controls, memory, state)
    assert memories.read(memory, read).item() == pytest.approx(7.0, rel=1e-4)


def test_heads_have_blocks_of_the_slots_for_themselves() -> None:
    scheme = MLSTM(2, normalise="none")
    generator, memory = torch.Generator().manual_seed(0), torch.zeros(1, 5, 2, dtype=torch.float64)
    state = scheme.initial_state(memory)
    for _ in range(3):
        write, memory, read, state = one_step(scheme, random_controls(scheme, memory, generator), memory, state)
        for weights in (write.weights[0], read[0], state.normaliser[0]):
            assert not weights[0, 3:].any() and not weights[1, :3].any()
            assert weights[0, :3].all() and weights[1, 3:].all()


@pytest.mark.parametrize("scheme", [MLSTM(2), MLSTM(3, False, "none")], ids=str)
def test_derivatives_match_finite_differences(scheme: MLSTM) -> None:
    generator = torch.Generator().manual_seed(1)
    memory = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(memory)
    drawn = (torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in state)
    state = type(state)(*drawn)
    assert_derivatives_match(scheme, memory, state, through=state._fields, steps=2)


@pytest.mark.parametrize("emitted", [0.0, -60.0, 60.0, -1e3, 1e3])
@pytest.mark.parametrize("slots", [1, 4])
def test_values_and_gradients_are_finite_at_the_limits(slots: int, emitted: float) -> None:
    assert "memory" in assert_finite(MLSTM(), emitted, slots, torch.float32)


def test_gates_start_without_weights_and_with_the_papers_biases() -> None:
    weights, _, after_weights, after_biases = initialised_maps(MLSTM(4))
    assert not after_weights["forget"].any() and not after_weights["input"].any()
    assert torch.equal(after_weights["key"], weights["key"])
    numpy.testing.assert_allclose(after_biases["forget"].flatten(), [3, 4, 5, 6])
    assert (FORGET_BIASES, INPUT_SPREAD) == ((3.0, 6.0), 0.1)
    many = torch.cat([initialised_maps(MLSTM(200))[3]["input"].flatten() for _ in range(10)])
    assert abs(many.std().item() - INPUT_SPREAD) < 0.01 and abs(many.mean().item()) < 0.01
    assert functional.sigmoid(torch.tensor(FORGET_BIASES[1])) > 0.997


def test_one_head_forgets_as_the_first() -> None:
    assert initialised_maps(MLSTM(1))[3]["forget"].tolist() == [[FORGET_BIASES[0]]]
