"""NTM addressing: planted weightings, words and shifts, with the results computed by hand."""

import math

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mann.addressing import NTM, Location, Scheme
from mann.addressing import memory as memories
from mann.addressing.ntm import NTMState, address, erase_and_add, first_slot, location_address, sharpen, shift
from tests.mann.addressing.stepping import one_step


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_all_heads_start_at_the_first_slot(slots: int, dtype: torch.dtype) -> None:
    memory = torch.zeros(2, slots, 4, dtype=dtype)
    weights = first_slot(memory, 3)
    assert weights.tolist() == [[[1.0] + [0.0] * (slots - 1)] * 3] * 2
    assert weights.dtype == dtype
    for scheme in (NTM(3, 2), Location(3, 2)):
        state = scheme.initial_state(memory)
        assert torch.equal(state.read_weights, weights)
        assert torch.equal(state.write_weights, weights[:, :2])


def one_hot(slot: int, slots: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return a weighting [1, 1, slots] of one slot."""
    return torch.eye(slots, dtype=dtype)[slot].view(1, 1, slots)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("slot", range(5))
def test_a_shift_moves_a_head_by_exactly_its_offset_around_the_end_too(
    slot: int, offset: int, dtype: torch.dtype
) -> None:
    shifts = one_hot(offset + 2, 5, dtype)
    assert torch.equal(shift(one_hot(slot, 5, dtype), shifts), one_hot((slot + offset) % 5, 5, dtype))
    # A shift that is only likely is made certain by sharpening.
    likely = 0.1 + 0.5 * shifts
    controls = {"read_shift": likely, "read_sharpening": torch.full((1, 1, 1), 500.0, dtype=dtype)}
    moved = location_address(controls, "read", one_hot(slot, 5, dtype))
    assert torch.equal(moved, one_hot((slot + offset) % 5, 5, dtype))


def test_a_shift_by_hand() -> None:
    weights = torch.tensor([[[0.5, 0.25, 0.25, 0.0]]])
    # One backward, stay, one forward.
    shifts = torch.tensor([[[0.5, 0.25, 0.25]]])
    backward, forward = [0.25, 0.25, 0.0, 0.5], [0.0, 0.5, 0.25, 0.25]
    moved = zip(backward, weights[0, 0].tolist(), forward, strict=True)
    expected = [0.5 * b + 0.25 * w + 0.25 * f for b, w, f in moved]
    assert shift(weights, shifts)[0, 0].tolist() == expected


def test_more_offsets_than_slots_go_around_by_hand() -> None:
    # Of two slots, the offsets -2, 0 and 2 stay, -1 and 1 change over.
    weights = torch.tensor([[[1.0, 0.0]]])
    shifts = torch.tensor([[[0.0625, 0.125, 0.0625, 0.25, 0.5]]])
    assert shift(weights, shifts)[0, 0].tolist() == [0.625, 0.375]
    assert shift(torch.ones(1, 1, 1), shifts)[0, 0].tolist() == [1.0]


def pointing(gate: float, previous: Tensor, memory: Tensor, key: list[float], strength: float) -> Tensor:
    """Address without shift or sharpening."""
    controls = {
        "read_key": torch.tensor([[key]], dtype=memory.dtype),
        "read_strength": torch.full((1, 1, 1), strength, dtype=memory.dtype),
        "read_gate": torch.full((1, 1, 1), gate, dtype=memory.dtype),
        "read_shift": torch.tensor([[[0.0, 1.0, 0.0]]], dtype=memory.dtype),
        "read_sharpening": torch.ones(1, 1, 1, dtype=memory.dtype),
    }
    return address(controls, "read", memory, previous, "cosine")[0, 0]


def test_gate_1_is_content_only_and_gate_0_is_the_previous_weighting_only() -> None:
    memory = torch.eye(3, dtype=torch.float64)[None]
    previous = torch.tensor([[[0.5, 0.25, 0.25]]], dtype=torch.float64)
    # Cosines 0, 1 and 0: the slot that equals the key is exp(log 2) = 2 times as likely as each other.
    inputs = (previous, memory, [0.0, 3.0, 0.0], math.log(2))
    assert pointing(1.0, *inputs).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=1e-7)
    assert pointing(0.0, *inputs).tolist() == [0.5, 0.25, 0.25]
    assert pointing(0.25, *inputs).tolist() == pytest.approx([0.4375, 0.3125, 0.25], abs=1e-7)


@given(seed=st.integers(0, 1000), slots=st.integers(1, 6))
def test_sharpening_1_leaves_weights(seed: int, slots: int) -> None:
    weights = torch.from_numpy(numpy.random.default_rng(seed).dirichlet(numpy.ones(slots), (2, 2)))
    power = torch.ones(2, 2, 1, dtype=torch.float64)
    numpy.testing.assert_allclose(sharpen(weights, power).numpy(), weights.numpy(), atol=1e-15)


def test_sharpening_by_hand() -> None:
    weights = torch.tensor([[[0.5, 0.25, 0.25, 0.0]]], dtype=torch.float64)
    squared = sharpen(weights, torch.full((1, 1, 1), 2.0, dtype=torch.float64))
    # 4 : 1 : 1 : 0
    assert squared[0, 0].tolist() == pytest.approx([4 / 6, 1 / 6, 1 / 6, 0], abs=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sharpening_of_500_does_not_underflow(dtype: torch.dtype) -> None:
    power = torch.full((1, 1, 1), 500.0, dtype=dtype)
    # (1 / 1000) ** 500 is far below the smallest number.
    assert sharpen(torch.full((1, 1, 1000), 1e-3, dtype=dtype), power)[0, 0].tolist() == pytest.approx([1e-3] * 1000)
    close = sharpen(torch.tensor([[[0.002, 0.001996, 0.0]]], dtype=dtype), power)[0, 0].tolist()
    ratio = math.exp(500 * math.log(0.998))
    assert close == pytest.approx([1 / (1 + ratio), ratio / (1 + ratio), 0.0], rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 500.0])
@pytest.mark.parametrize("row", [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5], [1e-30, 0.0, 1e-38], [0.0]])
def test_weights_of_zero_are_sharpened_to_zero_with_finite_gradients(
    row: list[float], power: float, dtype: torch.dtype
) -> None:
    weights = torch.tensor([[row]], dtype=dtype, requires_grad=True)
    powers = torch.full((1, 1, 1), power, dtype=dtype, requires_grad=True)
    found = sharpen(weights, powers)
    assert torch.isfinite(found).all() and (found[weights == 0] == 0).all()
    if max(row) > 1e-6:
        assert found.sum().item() == pytest.approx(1)
    found[0, 0, 0].backward()
    for leaf in (weights, powers):
        assert leaf.grad is not None and torch.isfinite(leaf.grad).all()


def test_several_heads_multiply_their_erases_and_add_their_words() -> None:
    weights = torch.tensor([[[0.5, 0.0], [0.5, 1.0]]])
    controls = {
        "erase": torch.tensor([[[1.0, 0.0], [0.5, 0.25]]]),
        "add": torch.tensor([[[10.0, 20.0], [100.0, 200.0]]]),
    }
    written = memories.write(torch.full((1, 2, 2), 8.0), *erase_and_add(controls, weights))
    first = [8 * (1 - 0.5) * (1 - 0.25) + 5 + 50, 8 * (1 - 0.125) + 10 + 100]
    assert written[0].tolist() == [first, [8 * 0.5 + 100, 8 * 0.75 + 200]]


@pytest.mark.parametrize("scheme", [NTM(), Location()], ids=str)
def test_a_full_erase_and_write_replaces_the_word_and_is_read_back(scheme: Scheme) -> None:
    memory = torch.arange(8.0).view(1, 4, 2)
    # Both heads stay where they were put, whatever the key.
    kinds = ("write", "read")
    controls = {f"{kind}_key": torch.ones(1, 1, 2) for kind in kinds}
    controls |= {f"{kind}_strength": torch.ones(1, 1, 1) for kind in kinds}
    controls |= {f"{kind}_gate": torch.zeros(1, 1, 1) for kind in kinds}
    controls |= {f"{kind}_shift": torch.tensor([[[0.0, 1.0, 0.0]]]) for kind in kinds}
    controls |= {f"{kind}_sharpening": torch.ones(1, 1, 1) for kind in kinds}
    controls |= {"erase": torch.ones(1, 1, 2), "add": torch.tensor([[[-1.0, 0.5]]])}
    place = one_hot(2, 4, torch.float32)
    _, written, read, _ = one_step(scheme, controls, memory, NTMState(place, place))
    assert written[0].tolist() == [[0, 1], [2, 3], [-1, 0.5], [6, 7]]
    assert memories.read(written, read).tolist() == [[[-1, 0.5]]]


def test_heads_that_move_on_write_a_sequence_and_read_it_back_in_order() -> None:
    # The copy task, by hand: three words to the slots 1, 2 and 0, from a head that starts at slot 0.
    scheme = Location()
    memory = torch.zeros(1, 3, 1)
    state = scheme.initial_state(memory)
    on, stay = torch.tensor([[[0.0, 0.0, 1.0]]]), torch.tensor([[[0.0, 1.0, 0.0]]])
    sharpening = {"write_sharpening": torch.ones(1, 1, 1), "read_sharpening": torch.ones(1, 1, 1)}
    full, none = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
    for word in (0.25, 0.5, 0.75):
        controls = {**sharpening, "write_shift": on, "read_shift": stay, "erase": full, "add": word * full}
        _, memory, _, state = one_step(scheme, controls, memory, state)
    assert memory.flatten().tolist() == [0.75, 0.25, 0.5]
    reads = []
    for _ in range(3):
        controls = {**sharpening, "write_shift": stay, "read_shift": on, "erase": none, "add": none}
        _, memory, read, state = one_step(scheme, controls, memory, state)
        reads.append(memories.read(memory, read).item())
    assert reads == [0.25, 0.5, 0.75]


def test_controls_keep_to_their_ranges() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0], dtype=torch.float64)
    controls = NTM(read_heads=2, write_heads=3, shift_range=2).controls(7, 4)
    tanh = [math.tanh(value) for value in emitted.tolist()]
    sigmoid = [1 / (1 + math.exp(-value)) for value in emitted.tolist()]
    softplus = [math.log1p(math.exp(value)) for value in emitted.tolist()]
    softmax = [math.exp(value - 200) / (1 + math.exp(-199) + math.exp(-200)) for value in emitted.tolist()]
    expected = {"erase": sigmoid, "add": tanh}
    for kind in ("read", "write"):
        expected |= {f"{kind}_key": tanh, f"{kind}_strength": softplus, f"{kind}_gate": sigmoid}
        expected |= {f"{kind}_shift": softmax, f"{kind}_sharpening": [1 + value for value in softplus]}
    assert set(controls) == set(expected)
    for name, values in expected.items():
        assert controls[name].range(emitted).tolist() == pytest.approx(values, abs=1e-12), name
        assert controls[name].heads == (2 if name.startswith("read") else 3)
