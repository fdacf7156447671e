"""NTM reads with least recently used writes: against the oracle, by hand, initial weights, gradients and limits."""

import math
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor

from mann.addressing import NTMLRU
from mann.addressing.similarity import Similarity
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

KINDS: list[Similarity] = ["cosine", "dot", "euclidean"]
VARIANTS = [
    NTMLRU(heads, strength, reach, decay, similarity=kind)
    for heads, strength, reach, decay in [(1, 8.0, 1, 0.99), (3, 2.0, 0, 0.9), (3, 0.0, 2, 0.5), (7, 2.0, 1, 1.0)]
    for kind in KINDS
]


@pytest.mark.parametrize(("slots", "start"), [(1, "constant"), (2, "random"), (5, "constant"), (5, "random")])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: NTMLRU, slots: int, start: str) -> None:
    assert_steps_match_the_oracle(scheme, slots, start)


def test_the_oracle_tells_all_variants_apart() -> None:
    assert len(oracle_results(VARIANTS, slots=9)) == len(VARIANTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_first_nothing_was_read_or_used(dtype: torch.dtype) -> None:
    state = NTMLRU(read_heads=3).initial_state(torch.zeros(2, 4, 1, dtype=dtype))
    assert state.read_weights.tolist() == [[[0.0] * 4] * 3] * 2
    assert state.usage.tolist() == [[0.0] * 4] * 2
    assert state.read_weights.dtype == state.usage.dtype == dtype


def by_hand(heads: int, **controls: list[list[float]]) -> dict[str, Tensor]:
    """Return controls of one sequence, one row a head; by default heads stay where they were."""
    rows = {
        "read_key": [[0.0, 0.0]] * heads,
        "read_strength": [[1.0]] * heads,
        "read_gate": [[0.0]] * heads,
        "read_shift": [[0.0, 1.0, 0.0]] * heads,
        "read_sharpening": [[1.0]] * heads,
        "write_gate": [[0.0]] * heads,
        "add": [[10.0, 20.0]] * heads,
        **controls,
    }
    return {name: torch.tensor([row]) for name, row in rows.items()}


def test_the_first_read_is_by_content_whatever_the_gate() -> None:
    # From reads of zero the gate only scales the content weights, and sharpening normalises them to a sum of 1.
    scheme = NTMLRU(read_heads=1)
    memory = torch.tensor([[[0.0, 0.0], [0.0, 3.0], [0.0, 0.0]]])
    for gate in (1.0, 0.5, 1e-6):
        controls = by_hand(
            1, read_key=[[0.0, 2.0]], read_strength=[[math.log(4)]], read_gate=[[gate]], add=[[0.0, 0.0]]
        )
        _, _, read, _ = one_step(scheme, controls, memory, scheme.initial_state(memory))
        # Cosines 0, 1 and 0.
        assert read[0, 0].tolist() == pytest.approx([1 / 6, 4 / 6, 1 / 6], abs=1e-6)


def test_heads_write_to_a_least_used_slot_each_in_place_of_its_content() -> None:
    scheme = NTMLRU(read_heads=2)
    memory = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])
    state = scheme.initial_state(memory)._replace(usage=torch.tensor([[0.5, 0.25, 4.0]]))
    controls = by_hand(2, add=[[10.0, 20.0], [30.0, 40.0]])
    write, written, _, _ = one_step(scheme, controls, memory, state)
    assert write.weights.tolist() == [[[0, 1, 0], [1, 0, 0]]]
    assert written[0].tolist() == [[30, 40], [10, 20], [3, 3]]


def test_a_write_gate_of_a_quarter_writes_a_quarter_where_the_head_itself_read_last() -> None:
    scheme = NTMLRU(read_heads=2)
    memory = torch.tensor([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]])
    state = scheme.initial_state(memory)._replace(
        read_weights=torch.tensor([[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]), usage=torch.tensor([[0.5, 0.25, 4.0]])
    )
    write, written, _, _ = one_step(scheme, by_hand(2, write_gate=[[0.25], [1.0]]), memory, state)
    assert write.weights.tolist() == [[[0, 0.75, 0.25], [0, 1, 0]]]
    assert written[0].tolist() == [[0, 0], [17.5, 35], [5.5, 8]]


@pytest.mark.parametrize(("offset", "slot"), [(-1, 1), (0, 2), (1, 0)])
def test_reads_move_by_exactly_their_shift_around_the_end_too_and_count_as_use(offset: int, slot: int) -> None:
    scheme = NTMLRU(read_heads=1, usage_decay=0.5)
    memory = torch.zeros(1, 3, 2)
    state = scheme.initial_state(memory)._replace(
        read_weights=torch.tensor([[[0.0, 0.0, 1.0]]]), usage=torch.tensor([[0.5, 0.25, 4.0]])
    )
    shifts = [0.25, 0.25, 0.25]
    shifts[offset + 1] = 0.5
    controls = by_hand(1, read_shift=[shifts], read_sharpening=[[500.0]])
    write, _, read, after = one_step(scheme, controls, memory, state)
    expected = [float(place == slot) for place in range(3)]
    assert read[0, 0].tolist() == expected
    assert write.weights[0, 0].tolist() == [0, 1, 0]
    usage = [0.25 + expected[0], 0.125 + expected[1] + 1, 2 + expected[2]]
    assert after.usage[0].tolist() == usage


def test_with_more_heads_than_slots_the_heads_take_turns_and_all_is_zeroed() -> None:
    scheme = NTMLRU(read_heads=3)
    memory = torch.full((1, 2, 2), 7.0)
    state = scheme.initial_state(memory)._replace(usage=torch.tensor([[1.0, 0.0]]))
    controls = by_hand(3, add=[[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
    write, written, _, _ = one_step(scheme, controls, memory, state)
    assert write.weights.tolist() == [[[0, 1], [1, 0], [0, 1]]]
    assert written[0].tolist() == [[10, 20], [101, 202]]


def test_an_unused_slot_is_written_before_any_used_one_again() -> None:
    scheme = NTMLRU(read_heads=1)
    memory = torch.full((1, 4, 4), 1e-6)
    state = scheme.initial_state(memory)
    written = []
    for step in range(4):
        word = torch.eye(4)[step].view(1, 1, 4)
        controls = {**by_hand(1, read_strength=[[50.0]], read_gate=[[1.0]]), "read_key": word, "add": word}
        write, memory, read, state = one_step(scheme, controls, memory, state)
        written.append(int(write.weights.argmax()))
        assert read[0, 0, written[-1]] > 0.99
    assert written == [0, 1, 2, 3]
    numpy.testing.assert_allclose(memory[0].numpy(), numpy.eye(4))


def test_controls_keep_to_their_ranges_and_the_strength_to_its_scale() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0], dtype=torch.float64)
    controls = NTMLRU(read_heads=3, key_strength=4.0, shift_range=2).controls(7, 4)
    tanh = [math.tanh(value) for value in emitted.tolist()]
    sigmoid = [1 / (1 + math.exp(-value)) for value in emitted.tolist()]
    softplus = [math.log1p(math.exp(value)) for value in emitted.tolist()]
    expected = {
        "read_key": tanh,
        "read_strength": [1 + 4 * value for value in softplus],
        "read_gate": sigmoid,
        "read_shift": [math.exp(value - 200) / (1 + math.exp(-199) + math.exp(-200)) for value in emitted.tolist()],
        "read_sharpening": [1 + value for value in softplus],
        "write_gate": sigmoid,
        "add": tanh,
    }
    assert set(controls) == set(expected)
    for name, values in expected.items():
        assert controls[name].range(emitted).tolist() == pytest.approx(values, abs=1e-12), name
        assert controls[name].heads == 3


@pytest.mark.parametrize("start", ["alike", "paired"])
@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("heads", [1, 2, 5])
def test_heads_start_by_reading_by_content_and_in_pairs_only_if_selected(heads: int, reach: int, start: Any) -> None:
    scheme = NTMLRU(read_heads=heads, shift_range=reach, start=start)
    weights, biases, started_weights, started_biases = initialised_maps(scheme)
    paired = heads // 2 * 2 if start == "paired" else 0
    assert changed(weights, started_weights) == {("read_key", head) for head in range(0, paired, 2)}
    assert changed(biases, started_biases) == {
        *(("read_gate", head) for head in range(heads)),
        *(("read_shift", head) for head in range(heads)),
        *(("write_gate", head) for head in range(paired)),
    }
    assert (torch.sigmoid(started_biases["read_gate"]) > 0.85).all()
    # No shift is favoured, and no other shift is touched.
    others = [place for place in range(2 * reach + 1) if place != reach]
    assert (started_biases["read_shift"][:, reach] == 2).all()
    assert torch.equal(started_biases["read_shift"][:, others], biases["read_shift"][:, others])
    for head in range(0, paired, 2):
        assert torch.equal(started_weights["read_key"][head], weights["add"][head + 1])
        assert torch.sigmoid(started_biases["write_gate"][head]).item() > 0.85
        assert torch.sigmoid(started_biases["write_gate"][head + 1]).item() < 0.15


def test_heads_start_in_pairs_by_default() -> None:
    assert NTMLRU() == NTMLRU(start="paired")
    weights, _, started, _ = initialised_maps(NTMLRU())
    assert torch.equal(started["read_key"][0], weights["add"][1])


@pytest.mark.parametrize(
    "scheme", [*(NTMLRU(2, 2.0, 1, 0.9, similarity=kind) for kind in KINDS), NTMLRU(1, 2.0, 0), NTMLRU(5)], ids=str
)
def test_derivatives_of_two_steps_match_finite_differences(scheme: NTMLRU) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = initial_memory("random", 1, 4, 2, generator)
    read = torch.randn(1, scheme.read_heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(memory)._replace(read_weights=read, usage=usage)
    assert_derivatives_match(scheme, memory, state, through=["read_weights"], steps=2)


def test_usage_carries_no_gradient_and_the_last_read_does() -> None:
    scheme = NTMLRU(read_heads=2)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, torch.empty(1, 4, 3), generator)
    controls = {name: value.requires_grad_() for name, value in controls.items()}
    memory = torch.randn(1, 4, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    _, _, _, state = one_step(scheme, controls, memory, scheme.initial_state(memory))
    assert not state.usage.requires_grad
    assert state.read_weights.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "scheme",
    [*(NTMLRU(heads, 8.0, reach, similarity=kind) for heads, reach in [(1, 0), (2, 1)] for kind in KINDS), NTMLRU(6)],
    ids=str,
)
def test_zero_memory_and_controls_at_their_limits_leave_values_and_gradients_finite(
    scheme: NTMLRU, dtype: torch.dtype
) -> None:
    # 0: keys of zero. -28, -60, -200: a sharpening of 1, and gates of so little or of 0 that nothing much is ever read.
    # 200, 500: gates of 1, sharpenings of 201 and 501.
    for emitted in (0.0, -28.0, -60.0, -200.0, 200.0, 500.0):
        for slots in (1, 4):
            assert {"memory", "add"} <= assert_finite(scheme, emitted, slots, dtype)
