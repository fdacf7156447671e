"""Differentiable least recently used access: against the oracle, by hand, against LRUA, gradients and limits."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann.addressing import LRUSoft
from mann.addressing.lru_soft import soft_least_used
from mann.addressing.lrua import least_used_slots
from mann.addressing.similarity import Similarity
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

KINDS: list[Similarity] = ["cosine", "dot", "euclidean"]
VARIANTS = [
    LRUSoft(heads, strength, sharpness, decay, similarity=kind)
    for heads, strength, sharpness, decay in [(1, 8.0, 1.0, 0.99), (3, 2.0, 100.0, 0.9), (7, 0.0, 5.0, 1.0)]
    for kind in KINDS
]


@pytest.mark.parametrize(("slots", "start"), [(1, "constant"), (2, "random"), (5, "constant"), (5, "random")])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: LRUSoft, slots: int, start: str) -> None:
    assert_steps_match_the_oracle(scheme, slots, start)


def test_the_oracle_tells_all_variants_apart() -> None:
    assert len(oracle_results(VARIANTS, slots=9)) == len(VARIANTS)


@settings(deadline=None)
@given(
    batch=st.integers(1, 3),
    slots=st.integers(1, 6),
    sharpness=st.sampled_from([0.5, 1.0, 10.0, 100.0]),
    seed=st.integers(0, 1000),
)
def test_the_least_used_weighting_matches_the_oracle(batch: int, slots: int, sharpness: float, seed: int) -> None:
    usage = numpy.random.default_rng(seed).uniform(0, 5, (batch, slots))
    found = soft_least_used(torch.from_numpy(usage), sharpness).numpy()
    for row, weights in zip(usage, found, strict=True):
        numpy.testing.assert_allclose(weights, [oracles.soft_least_used(row, sharpness)], atol=1e-10)


def test_the_least_used_weighting_by_hand() -> None:
    # 1 / 2 against 1 / 6, as 3 to 1; and three times as sharp, 27 to 1.
    usage = torch.tensor([[math.log(6), math.log(2)]], dtype=torch.float64)
    assert soft_least_used(usage, 1.0)[0, 0].tolist() == pytest.approx([0.25, 0.75])
    assert soft_least_used(usage, 3.0)[0, 0].tolist() == pytest.approx([1 / 28, 27 / 28])


@given(usage=st.lists(st.integers(0, 50), min_size=1, max_size=6, unique=True))
def test_a_large_sharpness_picks_exactly_the_slot_that_lrua_picks(usage: list[int]) -> None:
    used = torch.tensor([usage]) / 10
    assert torch.equal(soft_least_used(used, 1e4), least_used_slots(used, 1))


def test_slots_used_alike_share_the_weighting() -> None:
    # LRUA would pick the first of them.
    assert soft_least_used(torch.tensor([[2.0, 1.0, 1.0]]), 1e4).tolist() == [[[0, 0.5, 0.5]]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_at_first_nothing_was_read_and_later_slots_count_as_used_more(dtype: torch.dtype) -> None:
    state = LRUSoft(read_heads=3).initial_state(torch.zeros(2, 4, 1, dtype=dtype))
    assert state.read_weights.tolist() == [[[0.0] * 4] * 3] * 2
    assert state.usage.tolist() == [[0.0, 0.25, 0.5, 0.75]] * 2
    assert state.read_weights.dtype == state.usage.dtype == dtype


def by_hand(gate: float, word: list[float], key: list[float], strength: float = 1.0) -> dict[str, Tensor]:
    """Return controls of one sequence and one head."""
    values = {"gate": [gate], "add": word, "key": key, "strength": [strength]}
    return {name: torch.tensor([[value]], dtype=torch.float64) for name, value in values.items()}


def test_a_write_to_the_least_used_slots_by_hand() -> None:
    # Slot 0 has three quarters of the weighting, and so loses three quarters of its word.
    scheme = LRUSoft(read_heads=1, sharpness=2.0, usage_decay=0.5)
    memory = torch.tensor([[[4.0, 8.0], [4.0, 8.0]]], dtype=torch.float64)
    usage = torch.tensor([[1.0, 1.0 + math.log(3) / 2]], dtype=torch.float64)
    state = scheme.initial_state(memory)._replace(usage=usage)
    write, written, read, after = one_step(scheme, by_hand(0.0, [0.0, 40.0], [0.0, 0.0]), memory, state)
    assert write.weights[0, 0].tolist() == pytest.approx([0.75, 0.25])
    assert written[0].flatten().tolist() == pytest.approx([1, 2 + 30, 3, 6 + 10])
    # A key of zero reads all slots alike.
    assert read[0, 0].tolist() == [0.5, 0.5]
    assert after.usage[0].tolist() == pytest.approx([0.5 + 0.75 + 0.5, usage[0, 1].item() / 2 + 0.25 + 0.5])


def test_a_gate_of_1_writes_exactly_where_the_last_read_was_and_still_erases() -> None:
    scheme = LRUSoft(read_heads=1, sharpness=1e4)
    memory = torch.tensor([[[1.0], [2.0], [3.0]]], dtype=torch.float64)
    state = scheme.initial_state(memory)._replace(
        read_weights=torch.tensor([[[0.0, 0.0, 1.0]]], dtype=torch.float64),
        usage=torch.tensor([[2.0, 1.0, 3.0]], dtype=torch.float64),
    )
    write, written, _, _ = one_step(scheme, by_hand(1.0, [10.0], [1.0]), memory, state)
    assert write.weights.tolist() == [[[0, 0, 1]]]
    assert written.flatten().tolist() == [1, 0, 13]


def test_all_heads_share_one_least_used_weighting() -> None:
    scheme = LRUSoft(read_heads=3, sharpness=2.0)
    memory = torch.zeros(1, 2, 2, dtype=torch.float64)
    usage = torch.tensor([[0.0, math.log(3) / 2]], dtype=torch.float64)
    state = scheme.initial_state(memory)._replace(usage=usage)
    controls = {name: value.expand(1, 3, -1) for name, value in by_hand(0.0, [1.0, 2.0], [0.0, 0.0]).items()}
    write, written, _, _ = one_step(scheme, controls, memory, state)
    numpy.testing.assert_allclose(write.weights[0].numpy(), [[0.75, 0.25]] * 3)
    numpy.testing.assert_allclose(written[0].numpy(), [[2.25, 4.5], [0.75, 1.5]])


@pytest.mark.parametrize("slots", [2, 4, 128])
def test_from_the_first_step_on_slots_differ_from_each_other(slots: int) -> None:
    # In a constant memory, and with the default sharpness: a factor of exp(-100 / slots) from slot to slot.
    scheme = LRUSoft(read_heads=1)
    memory = torch.full((1, slots, 2), 1e-6, dtype=torch.float64)
    state = scheme.initial_state(memory)
    write, written, read, _ = one_step(scheme, by_hand(0.0, [0.5, -1.0], [0.5, -1.0], 9.0), memory, state)
    ratio = math.exp(-100 / slots)
    first = (1 - ratio) / (1 - ratio**slots)
    assert write.weights[0, 0].tolist() == pytest.approx([first * ratio**slot for slot in range(slots)])
    # The next slots receive far less than the first.
    assert written[0, 0].tolist() == pytest.approx([0.5 * first, -first], abs=1e-5)
    assert (written[0, 0].abs() > 2 * written[0, 1].abs()).all()
    assert read[0, 0].argmax() == 0


def test_an_unused_slot_is_written_before_any_used_one_again() -> None:
    scheme = LRUSoft(read_heads=1)
    memory = torch.full((1, 4, 4), 1e-6, dtype=torch.float64)
    state = scheme.initial_state(memory)
    written = []
    for step in range(4):
        word = torch.eye(4)[step].tolist()
        write, memory, read, state = one_step(scheme, by_hand(0.0, word, word, 50.0), memory, state)
        written.append(int(write.weights.argmax()))
        assert write.weights.max() > 0.99
        assert read[0, 0, written[-1]] > 0.99
    assert written == [0, 1, 2, 3]
    numpy.testing.assert_allclose(memory[0].numpy(), numpy.eye(4), atol=1e-5)


def test_controls_keep_to_their_ranges_and_the_strength_to_its_scale() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0], dtype=torch.float64)
    controls = LRUSoft(read_heads=3, key_strength=4.0).controls(7, 4)
    tanh = [math.tanh(value) for value in emitted.tolist()]
    expected = {
        "key": tanh,
        "strength": [1 + 4 * math.log1p(math.exp(value)) for value in emitted.tolist()],
        "gate": [1 / (1 + math.exp(-value)) for value in emitted.tolist()],
        "add": tanh,
    }
    assert set(controls) == set(expected)
    for name, values in expected.items():
        assert controls[name].range(emitted).tolist() == pytest.approx(values, abs=1e-12), name
        assert controls[name].heads == 3


@pytest.mark.parametrize("start", ["alike", "paired"])
@pytest.mark.parametrize("heads", [1, 2, 5])
def test_heads_start_in_pairs_only_if_selected_and_nothing_else_is_changed(heads: int, start: Any) -> None:
    weights, biases, started_weights, started_biases = initialised_maps(LRUSoft(read_heads=heads, start=start))
    paired = heads // 2 * 2 if start == "paired" else 0
    assert changed(weights, started_weights) == {("key", head) for head in range(0, paired, 2)}
    assert changed(biases, started_biases) == {("gate", head) for head in range(paired)}
    for head in range(0, paired, 2):
        assert torch.equal(started_weights["key"][head], weights["add"][head + 1])
        assert torch.sigmoid(started_biases["gate"][head]).item() > 0.85
        assert torch.sigmoid(started_biases["gate"][head + 1]).item() < 0.15


def test_heads_start_in_pairs_by_default() -> None:
    assert LRUSoft() == LRUSoft(start="paired")


@pytest.mark.parametrize(
    "scheme",
    [*(LRUSoft(2, 2.0, 3.0, 0.9, similarity=kind) for kind in KINDS), LRUSoft(1, 2.0, 20.0), LRUSoft(5, 2.0, 1.0)],
    ids=str,
)
def test_derivatives_of_two_steps_match_finite_differences(scheme: LRUSoft) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = initial_memory("random", 1, 4, 2, generator)
    read = torch.randn(1, scheme.read_heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(memory)._replace(read_weights=read, usage=usage)
    assert_derivatives_match(scheme, memory, state, through=["read_weights", "usage"], steps=2)


def test_gradients_flow_into_usage_and_through_it_from_step_to_step() -> None:
    scheme = LRUSoft(read_heads=1, sharpness=3.0)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, torch.empty(1, 4, 2), generator)
    controls["gate"] = torch.zeros_like(controls["gate"])
    memory = torch.randn(1, 4, 2, generator=generator, dtype=torch.float64)
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    first = scheme.initial_state(memory)

    def second_write(usage: Tensor, key: Tensor) -> Tensor:
        """Return the write weights of a second step, which with gates of 0 depends on the first through usage alone."""
        *_, state = one_step(scheme, {**controls, "key": key}, memory, first._replace(usage=usage))
        write, _ = scheme.write(controls, memory, state)
        return write.weights

    key = controls["key"].clone().requires_grad_()
    assert torch.autograd.gradcheck(second_write, (usage, key))
    for gradient in torch.autograd.grad(second_write(usage, key)[0, 0, 0], (usage, key)):
        assert (gradient.abs() > 1e-3).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "scheme",
    [
        *(
            LRUSoft(heads, sharpness=sharp, similarity=kind)
            for heads, sharp in [(1, 1e6), (2, 100.0)]
            for kind in KINDS
        ),
        LRUSoft(6),
    ],
    ids=str,
)
def test_zero_memory_and_controls_at_their_limits_leave_values_and_gradients_finite(
    scheme: LRUSoft, dtype: torch.dtype
) -> None:
    # 0: keys of zero. -200: gates of 0. 200, 500: gates of 1, strengths in the thousands.
    for emitted in (0.0, -200.0, 200.0, 500.0):
        for slots in (1, 4):
            state = scheme.initial_state(torch.zeros(2, slots, 1, dtype=dtype))
            state = state._replace(usage=state.usage.requires_grad_())
            found = assert_finite(scheme, emitted, slots, dtype, state)
            assert found == {"memory", "usage", *scheme.controls(3, 4)}
