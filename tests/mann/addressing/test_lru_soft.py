"""Least recently used access that gradients flow through: by loops, by hand, against LRUA, and the edges."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann.addressing import LRUSoft
from mann.addressing import memory as memories
from mann.addressing.lru_soft import soft_least_used
from mann.addressing.lrua import least_used_slots
from mann.addressing.similarity import EPSILON, Similarity
from tests.mann.addressing.stepping import one_step, random_controls

KINDS: list[Similarity] = ["cosine", "dot", "euclidean"]
VARIANTS = [
    LRUSoft(heads, strength, sharpness, decay, similarity=kind)
    for heads, strength, sharpness, decay in [(1, 8.0, 1.0, 0.99), (3, 2.0, 100.0, 0.9), (7, 0.0, 5.0, 1.0)]
    for kind in KINDS
]


def slow_step(
    scheme: LRUSoft,
    controls: dict[str, numpy.ndarray],
    memory: numpy.ndarray,
    read_before: numpy.ndarray,
    usage_before: numpy.ndarray,
) -> dict[str, numpy.ndarray]:
    """Write to and read from the memory of one sequence, one number at a time.

    controls: [heads, size]; memory: [slots, word_size]; read_before: [heads, slots]; usage_before: [slots].
    """
    slots, heads = len(memory), scheme.read_heads
    # From the smallest usage on, or large ones would underflow.
    unused = [math.exp(-scheme.sharpness * (usage_before[slot] - min(usage_before))) for slot in range(slots)]
    least = [value / sum(unused) for value in unused]
    written_weights = numpy.zeros((heads, slots))
    written = memory.copy()
    for slot in range(slots):
        written[slot] *= 1 - least[slot]
    for head, slot in numpy.ndindex(heads, slots):
        gate = controls["gate"][head, 0]
        written_weights[head, slot] = gate * read_before[head, slot] + (1 - gate) * least[slot]
        for number in range(memory.shape[1]):
            written[slot, number] += written_weights[head, slot] * controls["add"][head, number]
    read = numpy.zeros((heads, slots))
    for head in range(heads):
        key, powers = controls["key"][head], []
        for word in written:
            if scheme.similarity == "cosine":
                alike = key @ word / math.sqrt((key @ key + EPSILON) * (word @ word + EPSILON))
            elif scheme.similarity == "dot":
                alike = key @ word
            else:
                alike = -math.sqrt((key - word) @ (key - word) + EPSILON)
            powers.append(math.exp(controls["strength"][head, 0] * alike))
        read[head] = [power / sum(powers) for power in powers]
    usage = [
        scheme.usage_decay * usage_before[slot]
        + sum(read[head, slot] + written_weights[head, slot] for head in range(heads))
        for slot in range(slots)
    ]
    return {"weights": written_weights, "memory": written, "read": read, "usage": numpy.array(usage)}


@pytest.mark.parametrize(("slots", "start"), [(1, "constant"), (2, "random"), (5, "constant"), (5, "random")])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_are_those_of_loops(scheme: LRUSoft, slots: int, start: str) -> None:
    generator = torch.Generator().manual_seed(slots)
    batch, word_size = 2, 3
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=torch.float64)
    if start == "random":
        memory = torch.randn(batch, slots, word_size, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(batch, slots, memory)
    nothing = numpy.zeros((scheme.read_heads, slots))
    ramp = numpy.array([slot / slots for slot in range(slots)])
    expected = [{"memory": memory[b].numpy(), "read": nothing, "usage": ramp} for b in range(batch)]
    for _ in range(4):
        controls = random_controls(scheme, batch, word_size, generator)
        write, memory, read, state = one_step(scheme, controls, memory, state)
        found = {"weights": write.weights, "memory": memory, "read": read, "usage": state.usage}
        for sequence, before in enumerate(expected):
            emitted = {name: control[sequence].numpy() for name, control in controls.items()}
            after = slow_step(scheme, emitted, *(before[name] for name in ("memory", "read", "usage")))
            expected[sequence] = after
            for name, value in found.items():
                numpy.testing.assert_allclose(value[sequence].numpy(), after[name], atol=1e-10, err_msg=name)
        assert torch.equal(state.read_weights, read)


def test_the_reference_of_this_test_tells_all_variants_apart() -> None:
    # A variant that changed nothing would be tested by nothing.
    results = set()
    for scheme in VARIANTS:
        generator = torch.Generator().manual_seed(0)
        memory = torch.randn(9, 2, generator=generator, dtype=torch.float64).numpy()
        read = torch.rand(7, 9, generator=generator, dtype=torch.float64).softmax(-1).numpy()
        usage = torch.rand(9, generator=generator, dtype=torch.float64).numpy()
        controls = {name: part[0].numpy() for name, part in random_controls(scheme, 1, 2, generator).items()}
        result = slow_step(scheme, controls, memory, read[: scheme.read_heads], usage)
        results.add(tuple(numpy.concatenate([value.ravel() for value in result.values()]).round(9)))
    assert len(results) == len(VARIANTS)


@settings(deadline=None)
@given(
    batch=st.integers(1, 3),
    slots=st.integers(1, 6),
    sharpness=st.sampled_from([0.5, 1.0, 10.0, 100.0]),
    seed=st.integers(0, 1000),
)
def test_the_least_used_weighting_is_that_of_loops(batch: int, slots: int, sharpness: float, seed: int) -> None:
    usage = numpy.random.default_rng(seed).uniform(0, 5, (batch, slots))
    found = soft_least_used(torch.from_numpy(usage), sharpness).numpy()
    for row, weights in zip(usage, found, strict=True):
        powers = [math.exp(-sharpness * value) for value in row]
        numpy.testing.assert_allclose(weights, [[power / sum(powers) for power in powers]], atol=1e-10)


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
    state = LRUSoft(read_heads=3).initial_state(2, 4, torch.zeros(1, dtype=dtype))
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
    state = scheme.initial_state(1, 2, memory)._replace(usage=usage)
    write, written, read, after = one_step(scheme, by_hand(0.0, [0.0, 40.0], [0.0, 0.0]), memory, state)
    assert write.weights[0, 0].tolist() == pytest.approx([0.75, 0.25])
    assert written[0].flatten().tolist() == pytest.approx([1, 2 + 30, 3, 6 + 10])
    # A key of zero reads all slots alike.
    assert read[0, 0].tolist() == [0.5, 0.5]
    assert after.usage[0].tolist() == pytest.approx([0.5 + 0.75 + 0.5, usage[0, 1].item() / 2 + 0.25 + 0.5])


def test_a_gate_of_1_writes_exactly_where_the_last_read_was_and_still_erases() -> None:
    scheme = LRUSoft(read_heads=1, sharpness=1e4)
    memory = torch.tensor([[[1.0], [2.0], [3.0]]], dtype=torch.float64)
    state = scheme.initial_state(1, 3, memory)._replace(
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
    state = scheme.initial_state(1, 2, memory)._replace(usage=usage)
    controls = {name: value.expand(1, 3, -1) for name, value in by_hand(0.0, [1.0, 2.0], [0.0, 0.0]).items()}
    write, written, _, _ = one_step(scheme, controls, memory, state)
    numpy.testing.assert_allclose(write.weights[0].numpy(), [[0.75, 0.25]] * 3)
    numpy.testing.assert_allclose(written[0].numpy(), [[2.25, 4.5], [0.75, 1.5]])


@pytest.mark.parametrize("slots", [2, 4, 128])
def test_from_the_first_step_on_slots_differ_from_each_other(slots: int) -> None:
    # In a constant memory, and with the sharpness it has if not told: exp(-100 / slots) as much from slot to slot.
    scheme = LRUSoft(read_heads=1)
    memory = torch.full((1, slots, 2), 1e-6, dtype=torch.float64)
    state = scheme.initial_state(1, slots, memory)
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
    state = scheme.initial_state(1, 4, memory)
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
    controls = LRUSoft(read_heads=3, key_strength=4.0).controls(7)
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
def test_heads_start_in_pairs_only_if_told_and_nothing_else_is_changed(heads: int, start: Any) -> None:
    scheme = LRUSoft(read_heads=heads, start=start)
    controls = scheme.controls(4)
    weights = {name: torch.randn(control.heads, control.size, 6) for name, control in controls.items()}
    biases = {name: torch.randn(control.heads, control.size) for name, control in controls.items()}
    started = {name: value.clone() for name, value in weights.items()}, {k: v.clone() for k, v in biases.items()}
    scheme.initialise(*started)
    expected = {name: value.clone() for name, value in weights.items()}
    paired = heads // 2 * 2 if start == "paired" else 0
    for head in range(0, paired, 2):
        expected["key"][head] = weights["add"][head + 1]
        assert torch.sigmoid(started[1]["gate"][head]).item() > 0.85
        assert torch.sigmoid(started[1]["gate"][head + 1]).item() < 0.15
    for name in controls:
        assert torch.equal(started[0][name], expected[name])
        untouched = paired if name == "gate" else 0
        assert torch.equal(started[1][name][untouched:], biases[name][untouched:])


def test_heads_start_in_pairs_if_not_told() -> None:
    assert LRUSoft() == LRUSoft(start="paired")


@pytest.mark.parametrize(
    "scheme",
    [*(LRUSoft(2, 2.0, 3.0, 0.9, similarity=kind) for kind in KINDS), LRUSoft(1, 2.0, 20.0), LRUSoft(5, 2.0, 1.0)],
    ids=str,
)
def test_derivatives_of_two_steps_agree_with_finite_differences(scheme: LRUSoft) -> None:
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, 1, 2, generator)
    memory = torch.randn(1, 4, 2, generator=generator, dtype=torch.float64)
    read = torch.randn(1, scheme.read_heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64)
    inputs = [tensor.requires_grad_() for tensor in (memory, read, usage, *controls.values())]

    def steps(memory: Tensor, read: Tensor, usage: Tensor, *emitted: Tensor) -> tuple[Tensor, ...]:
        by_name = dict(zip(controls, emitted, strict=True))
        state = scheme.initial_state(1, 4, memory)._replace(read_weights=read, usage=usage)
        # The first step reaches the second through the state too.
        _, memory, _, state = one_step(scheme, by_name, memory, state)
        write, memory, read, state = one_step(scheme, by_name, memory, state)
        return write.weights, memory, read, state.usage

    assert torch.autograd.gradcheck(steps, inputs)


def test_gradients_flow_into_usage_and_through_it_from_step_to_step() -> None:
    scheme = LRUSoft(read_heads=1, sharpness=3.0)
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, 1, 2, generator)
    controls["gate"] = torch.zeros_like(controls["gate"])
    memory = torch.randn(1, 4, 2, generator=generator, dtype=torch.float64)
    usage = torch.rand(1, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    first = scheme.initial_state(1, 4, memory)

    def second_write(usage: Tensor, key: Tensor) -> Tensor:
        """Where a second step writes; with gates of 0 only usage tells it of the first."""
        *_, state = one_step(scheme, {**controls, "key": key}, memory, first._replace(usage=usage))
        write, _ = scheme.write(controls, memory, state)
        return write.weights

    key = controls["key"].clone().requires_grad_()
    assert torch.autograd.gradcheck(second_write, (usage, key))
    for gradient in torch.autograd.grad(second_write(usage, key)[0, 0, 0], (usage, key)):
        assert (gradient.abs() > 1e-3).all()


def assert_all_finite(scheme: LRUSoft, emitted: float, slots: int, dtype: torch.dtype) -> None:
    """Run three steps of the same controls from a memory of zeros, and back."""
    leaves = {
        name: torch.full((2, control.heads, control.size), emitted, dtype=dtype, requires_grad=True)
        for name, control in scheme.controls(3).items()
    }
    memory = torch.zeros(2, slots, 3, dtype=dtype, requires_grad=True)
    usage = scheme.initial_state(2, slots, memory).usage.requires_grad_()
    state, now, read = scheme.initial_state(2, slots, memory)._replace(usage=usage), memory, torch.zeros(0)
    for _ in range(3):
        controls = {name: control.range(leaves[name]) for name, control in scheme.controls(3).items()}
        write, now, read, state = one_step(scheme, controls, now, state)
        for value in (write.weights, now, read, state.usage):
            assert torch.isfinite(value).all()
    (now.sum() + memories.read(now, read).square().sum() + read[..., 0].sum() + state.usage[:, 0].sum()).backward()
    for leaf in (memory, usage, *leaves.values()):
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all()


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
            assert_all_finite(scheme, emitted, slots, dtype)
