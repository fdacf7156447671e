"""NTM addressing: every equation by loops, whole steps with and without content and location, and cases by hand."""

import math
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann.addressing import NTM, Content, Location, Scheme
from mann.addressing import memory as memories
from mann.addressing.ntm import (
    State,
    address,
    erase_and_add,
    first_slot,
    interpolate,
    location_address,
    sharpen,
    shift,
)
from mann.addressing.similarity import EPSILON, Similarity
from mann.models.initial_state import Start

KINDS: list[Similarity] = ["cosine", "dot", "euclidean"]


def positive(generator: numpy.random.Generator, *shape: int) -> Tensor:
    """Return float64 numbers from 0 to 1."""
    return torch.from_numpy(generator.random(shape))


def distributions(generator: numpy.random.Generator, *shape: int) -> Tensor:
    """Return float64 rows that sum to 1."""
    return torch.from_numpy(generator.dirichlet(numpy.ones(shape[-1]), shape[:-1]))


def by_rows(function: Any, *tensors: Tensor) -> numpy.ndarray:
    """Apply a function of one head's rows to each head of each sequence."""
    batch, heads = tensors[0].shape[:2]
    arrays = [tensor.detach().numpy() for tensor in tensors]
    return numpy.array([[function(*(array[b, h] for array in arrays)) for h in range(heads)] for b in range(batch)])


def slow_similarity(key: numpy.ndarray, word: numpy.ndarray, kind: str) -> float:
    """K[k, M(i)] of one pair."""
    product = sum(k * m for k, m in zip(key, word, strict=True))
    if kind == "dot":
        return product
    if kind == "euclidean":
        return -math.sqrt(sum((k - m) ** 2 for k, m in zip(key, word, strict=True)) + EPSILON)
    return product / math.sqrt((sum(k * k for k in key) + EPSILON) * (sum(m * m for m in word) + EPSILON))


def slow_content(key: numpy.ndarray, strength: float, memory: numpy.ndarray, kind: str) -> list[float]:
    """Equation 5 for one head."""
    powers = [math.exp(strength * slow_similarity(key, word, kind)) for word in memory]
    return [power / sum(powers) for power in powers]


def slow_shift(weights: Any, shifts: Any) -> list[float]:
    """Equation 8 for one head: the shift s(d) of a distance d is that of all offsets that equal d around the circle."""
    slots, farthest = len(weights), len(shifts) // 2

    def probability(distance: int) -> float:
        return sum(shifts[place] for place in range(len(shifts)) if (place - farthest) % slots == distance % slots)

    return [sum(weights[j] * probability(i - j) for j in range(slots)) for i in range(slots)]


def slow_sharpen(weights: Any, power: float) -> list[float]:
    """Equation 9 for one head."""
    powers = [math.pow(weight, power) for weight in weights]
    return [value / sum(powers) for value in powers]


def slow_weights(
    scheme: Scheme, kind: str, controls: dict[str, numpy.ndarray], memory: numpy.ndarray, previous: numpy.ndarray
) -> numpy.ndarray:
    """Figure 2 for all heads of a kind, as far as the scheme goes; previous: [heads, slots]."""
    result = []
    for head, before in enumerate(previous):
        weights = list(before)
        if isinstance(scheme, NTM | Content):
            key, strength = controls[f"{kind}_key"][head], controls[f"{kind}_strength"][head, 0]
            weights = slow_content(key, strength, memory, scheme.similarity)
        if isinstance(scheme, NTM):
            gate = controls[f"{kind}_gate"][head, 0]
            weights = [gate * new + (1 - gate) * old for new, old in zip(weights, before, strict=True)]
        if isinstance(scheme, NTM | Location):
            weights = slow_shift(weights, controls[f"{kind}_shift"][head])
            weights = slow_sharpen(weights, controls[f"{kind}_sharpening"][head, 0])
        result.append(weights)
    return numpy.array(result)


def slow_step(
    scheme: Scheme,
    controls: dict[str, numpy.ndarray],
    memory: numpy.ndarray,
    read_before: numpy.ndarray,
    write_before: numpy.ndarray,
    read_first: bool = False,
) -> dict[str, numpy.ndarray]:
    """Write to and read from the memory of one sequence as the paper says, one number at a time.

    controls: [heads, size]; memory: [slots, word_size]; read_before, write_before: [heads, slots].
    """
    written_weights = slow_weights(scheme, "write", controls, memory, write_before)
    written = memory.copy()
    for slot, number in numpy.ndindex(*memory.shape):
        for head, weights in enumerate(written_weights):
            written[slot, number] *= 1 - weights[slot] * controls["erase"][head, number]
        for head, weights in enumerate(written_weights):
            written[slot, number] += weights[slot] * controls["add"][head, number]
    read = slow_weights(scheme, "read", controls, memory if read_first else written, read_before)
    return {"write": written_weights, "memory": written, "read": read}


def random_controls(scheme: Scheme, batch: int, word_size: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Return float64 controls in their ranges, from normal numbers."""
    return {
        name: control.range(torch.randn(batch, control.heads, control.size, generator=generator, dtype=torch.float64))
        for name, control in scheme.controls(word_size).items()
    }


def one_step(
    scheme: Scheme, controls: dict[str, Tensor], memory: Tensor, state: Any, read_first: bool = False
) -> tuple[Tensor, Tensor, Tensor, Any]:
    """Write and read; returns the write weights, the memory, the read weights and the state."""
    write, state = scheme.write(controls, memory, state)
    written = memories.write(memory, *write)
    read, state = scheme.read(controls, memory if read_first else written, state, write)
    return write.weights, written, read, state


VARIANTS: list[Scheme] = [
    *(NTM(heads, writers, reach, kind) for heads, writers in [(1, 1), (2, 3)] for reach in range(3) for kind in KINDS),
    *(Location(heads, writers, reach) for heads, writers in [(1, 1), (3, 2)] for reach in range(3)),
    *(Content(heads, writers, kind) for heads, writers in [(1, 1), (3, 2)] for kind in KINDS),
]


@pytest.mark.parametrize(("slots", "start"), [(1, "constant"), (2, "random"), (5, "constant"), (5, "random")])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_are_those_of_loops(scheme: Scheme, slots: int, start: str) -> None:
    generator = torch.Generator().manual_seed(slots)
    batch, word_size = 2, 3
    memory = torch.full((batch, slots, word_size), 1e-6, dtype=torch.float64)
    if start == "random":
        memory = torch.randn(batch, slots, word_size, generator=generator, dtype=torch.float64)
    state = scheme.initial_state(batch, slots, memory)
    controls = scheme.controls(word_size)
    first = numpy.eye(1, slots)
    expected = [
        {
            "memory": memory[sequence].numpy(),
            "read": first.repeat(scheme.read_heads, 0),
            "write": first.repeat(controls["erase"].heads, 0),
        }
        for sequence in range(batch)
    ]
    for step in range(4):
        controls = random_controls(scheme, batch, word_size, generator)
        read_first = step % 2 == 1
        weights, memory, read, state = one_step(scheme, controls, memory, state, read_first)
        for sequence, before in enumerate(expected):
            after = slow_step(
                scheme,
                {name: control[sequence].numpy() for name, control in controls.items()},
                *(before[name] for name in ("memory", "read", "write")),
                read_first=read_first,
            )
            expected[sequence] = after
            for name, value in {"write": weights, "memory": memory, "read": read}.items():
                numpy.testing.assert_allclose(value[sequence].numpy(), after[name], atol=1e-10, err_msg=name)
        if not isinstance(scheme, Content):
            assert torch.equal(state.read_weights, read) and torch.equal(state.write_weights, weights)


def test_the_reference_of_this_test_tells_all_variants_apart() -> None:
    # A variant that changed nothing would be tested by nothing.
    generator = torch.Generator().manual_seed(0)
    memory = torch.randn(6, 2, generator=generator, dtype=torch.float64).numpy()
    read, write = (torch.rand(3, 6, generator=generator, dtype=torch.float64).softmax(-1).numpy() for _ in range(2))
    controls = {name: part[0].numpy() for name, part in random_controls(NTM(3, 3, 2), 1, 2, generator).items()}
    results = set()
    for scheme in VARIANTS:
        emitted = {
            name: controls[name][: control.heads, : control.size] for name, control in scheme.controls(2).items()
        }
        writers = len(emitted["erase"])
        result = slow_step(scheme, emitted, memory, read[: scheme.read_heads], write[:writers])
        results.add(tuple(numpy.concatenate([value.ravel() for value in result.values()]).round(9)))
    assert len(results) == len(VARIANTS)


SIZES = {name: st.integers(1, 3) for name in ("batch", "heads")} | {"slots": st.integers(1, 6)}


@settings(deadline=None)
@given(**SIZES, seed=st.integers(0, 1000))
def test_interpolation_is_that_of_loops(batch: int, heads: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    gate = positive(generator, batch, heads, 1)
    content, previous = (distributions(generator, batch, heads, slots) for _ in range(2))
    expected = by_rows(
        lambda g, new, old: [float(g[0]) * n + (1 - float(g[0])) * o for n, o in zip(new, old, strict=True)],
        *(gate, content, previous),
    )
    numpy.testing.assert_allclose(interpolate(gate, content, previous).numpy(), expected, atol=1e-10)


@settings(deadline=None)
@given(**SIZES, reach=st.integers(0, 4), seed=st.integers(0, 1000))
def test_shift_is_the_circular_convolution_of_loops_for_any_reach(
    batch: int, heads: int, slots: int, reach: int, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    weights = distributions(generator, batch, heads, slots)
    shifts = distributions(generator, batch, heads, 2 * reach + 1)
    found = shift(weights, shifts)
    numpy.testing.assert_allclose(found.numpy(), by_rows(slow_shift, weights, shifts), atol=1e-10)
    numpy.testing.assert_allclose(found.sum(-1).numpy(), numpy.ones((batch, heads)), atol=1e-10)


@settings(deadline=None)
@given(**SIZES, total=st.sampled_from([1e-6, 1.0, 4.0]), seed=st.integers(0, 1000))
def test_sharpening_is_that_of_loops_whatever_the_weights_sum_to(
    batch: int, heads: int, slots: int, total: float, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    weights = total * distributions(generator, batch, heads, slots)
    power = 1 + 9 * positive(generator, batch, heads, 1)
    expected = by_rows(lambda row, p: slow_sharpen(row, float(p[0])), weights, power)
    numpy.testing.assert_allclose(sharpen(weights, power).numpy(), expected, atol=1e-10)


@settings(deadline=None)
@given(**SIZES, reach=st.integers(0, 3), word_size=st.integers(1, 4), kind=st.sampled_from(KINDS), seed=st.integers(0))
def test_addresses_are_those_of_loops(
    batch: int, heads: int, slots: int, reach: int, word_size: int, kind: Similarity, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    memory = torch.from_numpy(generator.standard_normal((batch, slots, word_size)))
    previous = distributions(generator, batch, heads, slots)
    controls = {
        "read_key": torch.from_numpy(generator.standard_normal((batch, heads, word_size))),
        "read_strength": 10 * positive(generator, batch, heads, 1),
        "read_gate": positive(generator, batch, heads, 1),
        "read_shift": distributions(generator, batch, heads, 2 * reach + 1),
        "read_sharpening": 1 + 4 * positive(generator, batch, heads, 1),
    }
    # Of the other kind, and in the way.
    controls |= {name.replace("read", "write"): torch.full_like(value, 0.5) for name, value in controls.items()}
    full = address(controls, "read", memory, previous, kind).numpy()
    moved = location_address(controls, "read", previous).numpy()
    for sequence in range(batch):
        emitted = {name: value[sequence].numpy() for name, value in controls.items()}
        inputs = ("read", emitted, memory[sequence].numpy(), previous[sequence].numpy())
        numpy.testing.assert_allclose(full[sequence], slow_weights(NTM(similarity=kind), *inputs), atol=1e-10)
        numpy.testing.assert_allclose(moved[sequence], slow_weights(Location(), *inputs), atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("slots", [1, 2, 5])
def test_all_heads_start_at_the_first_slot(slots: int, dtype: torch.dtype) -> None:
    like = torch.zeros(0, dtype=dtype)
    weights = first_slot(2, 3, slots, like)
    assert weights.tolist() == [[[1.0] + [0.0] * (slots - 1)] * 3] * 2
    assert weights.dtype == dtype
    for scheme in (NTM(3, 2), Location(3, 2)):
        state = scheme.initial_state(2, slots, like)
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
    # One back, stay, one on.
    shifts = torch.tensor([[[0.5, 0.25, 0.25]]])
    back, on = [0.25, 0.25, 0.0, 0.5], [0.0, 0.5, 0.25, 0.25]
    expected = [0.5 * b + 0.25 * w + 0.25 * o for b, w, o in zip(back, weights[0, 0].tolist(), on, strict=True)]
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
    weights = distributions(numpy.random.default_rng(seed), 2, 2, slots)
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
    _, written, read, _ = one_step(scheme, controls, memory, State(place, place))
    assert written[0].tolist() == [[0, 1], [2, 3], [-1, 0.5], [6, 7]]
    assert memories.read(written, read).tolist() == [[[-1, 0.5]]]


def test_heads_that_move_on_write_a_sequence_and_read_it_back_in_order() -> None:
    # The copy task, by hand: three words to the slots 1, 2 and 0, from a head that starts at slot 0.
    scheme = Location()
    memory = torch.zeros(1, 3, 1)
    state = scheme.initial_state(1, 3, memory)
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


def started(scheme: NTM, word_size: int = 4) -> dict[str, torch.Tensor]:
    """The controls [1, heads, size] of a controller that says nothing, with the scheme's start."""
    controls = scheme.controls(word_size)
    biases = {name: torch.zeros(control.heads, control.size) for name, control in controls.items()}
    weights = {name: torch.zeros(control.heads, control.size, 3) for name, control in controls.items()}
    scheme.initialise(weights, biases)
    return {name: control.range(biases[name])[None] for name, control in controls.items()}


@pytest.mark.parametrize("reach", [1, 2])
def test_a_tape_starts_with_write_heads_that_move_on_and_stay_sharp(reach: int) -> None:
    scheme = NTM(read_heads=1, write_heads=2, shift_range=reach, start="tape")
    controls, memory = started(scheme), torch.full((1, 40, 4), 1e-6)
    state = scheme.initial_state(1, 40, memory)
    for step in range(1, 6):
        written, state = scheme.write(controls, memory, state)
        assert written.weights.argmax(-1).tolist() == [[step, step]]
        assert written.weights.max() > (0.95 if reach == 1 else 0.8)
    # The read head stays where nothing was written, and would rather go on than back.
    start = scheme.initial_state(1, 40, memory)
    read, _ = scheme.read(controls, memory, start, scheme.write(controls, memory, start)[0])
    assert read[0, 0, 0] > 0.9 and read[0, 0, 1] > 10 * read[0, 0, -1]
    assert controls["write_gate"].max() < 1e-5 and controls["read_gate"].max() < 0.01
    assert controls["read_sharpening"].min() > 3
    # Every word begins with a mark, and says nothing else yet.
    assert (controls["add"][..., 0] > 0.9).all() and (controls["add"][..., 1:] == 0).all()


def test_the_first_of_several_read_heads_goes_along_with_the_tape_and_others_stay() -> None:
    scheme = NTM(read_heads=3, start="tape")
    controls, memory = started(scheme), torch.full((1, 40, 4), 1e-6)
    state = scheme.initial_state(1, 40, memory)
    for step in range(1, 6):
        written, state = scheme.write(controls, memory, state)
        read, state = scheme.read(controls, memory, state, written)
        assert read.argmax(-1).tolist() == [[step, 0, 0]]


@pytest.mark.parametrize("read_heads", [1, 3])
def test_a_read_head_of_a_tape_is_taken_back_to_the_left_end_when_its_gate_opens(read_heads: int) -> None:
    scheme = NTM(read_heads=read_heads, start="tape")
    controls = started(scheme)
    memory, addressing, _ = Start(scheme, 40, 4)(1, 5, torch.empty(0))
    memory[0, 1:9] = controls["add"][0, 0]
    state = addressing._replace(read_weights=addressing.read_weights.roll(8, -1))
    write, _ = scheme.write(controls, memory, state)
    staying, _ = scheme.read(controls, memory, state, write)
    back, _ = scheme.read({**controls, "read_gate": torch.ones_like(controls["read_gate"])}, memory, state, write)
    stays = slice(read_heads > 1, None)
    assert set(staying.argmax(-1)[0, stays].tolist()) == {8}
    assert set(back.argmax(-1)[0, stays].tolist()) == {0} and back[0, stays, 0].min() > 0.9


def test_the_way_back_hardly_depends_on_what_the_controller_says_at_first() -> None:
    scheme, generator = NTM(read_heads=2, start="tape"), torch.Generator().manual_seed(0)
    controls = scheme.controls(10)
    weights = {
        name: torch.randn(control.heads, control.size, 50, generator=generator) / 10
        for name, control in controls.items()
    }
    biases = {name: torch.zeros(control.heads, control.size) for name, control in controls.items()}
    scheme.initialise(weights, biases)
    for hidden in torch.rand(20, 50, generator=generator):
        said = {name: of.range(of.heed * (weights[name] @ hidden) + biases[name]) for name, of in controls.items()}
        assert -said["read_key"][1, 0] > 2 * said["read_key"][1, 1:].norm()
        assert said["read_strength"][1, 0] > 7
        # The head that goes along, and what is written, are led by the controller.
        assert said["read_key"][0].norm() > 0.6 and said["add"][0, 1:].norm() > 0.6


@pytest.mark.parametrize("start", ["search", "recall", "recognise"])
def test_a_single_read_head_finds(start: Any) -> None:
    assert started(NTM(start=start))["read_gate"].item() > 0.9


@pytest.mark.parametrize(("start", "after"), [("search", 0), ("recall", 1), ("recognise", 1)])
def test_a_read_head_starts_beside_the_write_head_and_others_find_by_content(start: Any, after: int) -> None:
    scheme = NTM(read_heads=3, start=start)
    controls, memory = started(scheme), torch.full((1, 12, 4), 1e-6)
    # What the other two look for lies in the slots 7 and 3.
    controls["read_key"] = torch.tensor([[[0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]]])
    memory[0, 7, 0] = memory[0, 3, 2] = 1.0
    state = scheme.initial_state(1, 12, memory)
    for step in range(1, 6):
        written, state = scheme.write(controls, memory, state)
        read, state = scheme.read(controls, memory, state, written)
        assert written.weights.argmax(-1).tolist() == [[step]]
        assert read.argmax(-1).tolist() == [[step, 7 + after, 3 + after]]
        assert torch.allclose(read[:, 0], written.weights[:, 0], atol=0.02)
    assert started(NTM(read_heads=1, start=start)).keys() == controls.keys()


@pytest.mark.parametrize(("read_heads", "write_heads"), [(1, 1), (3, 1), (2, 3)])
@pytest.mark.parametrize("read_first", [False, True])
def test_heads_that_recognise_find_what_came_after_the_like_of_what_is_written(
    read_heads: int, write_heads: int, read_first: bool
) -> None:
    # With keys and words that a controller makes before any training; the last input is the third again.
    scheme, generator = NTM(read_heads, write_heads, start="recognise"), torch.Generator().manual_seed(0)
    controls = scheme.controls(40)
    weights = {
        name: torch.randn(control.heads, control.size, 50, generator=generator) / 5
        for name, control in controls.items()
    }
    scheme.initialise(weights, {name: torch.zeros(control.heads, control.size) for name, control in controls.items()})
    memory, state, _ = Start(scheme, 12, 40)(1, 12, torch.empty(0))
    unlike = torch.randn(6, 50, generator=generator).sign()
    read = state.read_weights
    for hidden in (*unlike, unlike[2]):
        words = {name: torch.tanh(weights[name] @ hidden)[None] for name in ("add", "read_key")}
        _, memory, read, state = one_step(scheme, {**started(scheme, 40), **words}, memory, state, read_first)
    # The third word is in slot 3, and what came next in slot 4. What is written now, in slot 7, is like itself, too,
    # unless the memory is read before.
    after, itself = read[0, read_heads > 1 :, [4, 8]].unbind(-1)
    assert after.min() > (0.8 if read_first else 0.4) and (after + itself).min() > 0.8
    assert itself.max() < 0.01 if read_first else itself.min() > 0.4


def test_without_the_tape_and_without_a_shift_write_heads_stay() -> None:
    for scheme in (NTM(), NTM(shift_range=0, start="tape"), NTM(shift_range=0, start="recall")):
        controls, memory = started(scheme), torch.full((1, 5, 4), 1e-6)
        written, _ = scheme.write(controls, memory, scheme.initial_state(1, 5, memory))
        assert written.weights.argmax(-1).tolist() == [[0]]
    assert started(NTM())["write_gate"].item() == 0.5


def test_controls_keep_to_their_ranges() -> None:
    emitted = torch.tensor([-200.0, -1.0, 0.0, 1.0, 200.0], dtype=torch.float64)
    controls = NTM(read_heads=2, write_heads=3, shift_range=2).controls(7)
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


def test_derivatives_of_each_function_agree_with_finite_differences() -> None:
    generator = numpy.random.default_rng(0)
    gate = positive(generator, 2, 2, 1).requires_grad_()
    content, previous = (distributions(generator, 2, 2, 4).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(interpolate, (gate, content, previous))
    for offsets in (1, 3, 7):
        shifts = distributions(generator, 2, 2, offsets).requires_grad_()
        assert torch.autograd.gradcheck(shift, (previous, shifts))
    power = (1 + 4 * positive(generator, 2, 2, 1)).requires_grad_()
    assert torch.autograd.gradcheck(sharpen, (previous, power))
    # The largest weight twice, and weights that do not sum to 1.
    tied = torch.tensor([[[0.9, 0.9, 0.3]]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sharpen, (tied, torch.full((1, 1, 1), 2.5, dtype=torch.float64)))
    assert torch.autograd.gradcheck(sharpen, ((3 * previous).detach().requires_grad_(), power))


@pytest.mark.parametrize(
    "scheme",
    [
        *(NTM(2, 1, 1, kind) for kind in KINDS),
        NTM(1, 2, 2),
        NTM(1, 1, 0),
        Location(2, 2, 1),
        *(Content(1, 2, kind) for kind in KINDS),
    ],
    ids=str,
)
def test_derivatives_of_two_steps_agree_with_finite_differences(scheme: Scheme) -> None:
    generator = torch.Generator().manual_seed(0)
    controls = random_controls(scheme, 1, 2, generator)
    writers = controls["erase"].shape[1]
    memory = torch.randn(1, 4, 2, generator=generator, dtype=torch.float64)
    read, write = (
        torch.randn(1, heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
        for heads in (scheme.read_heads, writers)
    )
    inputs = [tensor.requires_grad_() for tensor in (memory, read, write, *controls.values())]

    def steps(memory: Tensor, read: Tensor, write: Tensor, *emitted: Tensor) -> tuple[Tensor, ...]:
        by_name = dict(zip(controls, emitted, strict=True))
        state = scheme.initial_state(1, 4, memory) if isinstance(scheme, Content) else State(read, write)
        # The first step reaches the second through the state too.
        _, memory, _, state = one_step(scheme, by_name, memory, state)
        weights, memory, read, _ = one_step(scheme, by_name, memory, state)
        return weights, memory, read, memories.read(memory, read)

    assert torch.autograd.gradcheck(steps, inputs)


def assert_all_finite(scheme: Scheme, emitted: float, slots: int, dtype: torch.dtype, zero_rows: bool) -> None:
    """Run three steps of the same controls from a memory of zeros, and back."""
    leaves = {
        name: torch.full((2, control.heads, control.size), emitted, dtype=dtype, requires_grad=True)
        for name, control in scheme.controls(3).items()
    }
    memory = torch.zeros(2, slots, 3, dtype=dtype, requires_grad=True)
    state: Any = scheme.initial_state(2, slots, memory)
    if zero_rows:
        state = type(state)(*(torch.zeros_like(part, requires_grad=True) for part in state))
    started, now, read = state, memory, torch.zeros(0)
    for _ in range(3):
        controls = {name: control.range(leaves[name]) for name, control in scheme.controls(3).items()}
        weights, now, read, state = one_step(scheme, controls, now, state)
        for value in (weights, now, read):
            assert torch.isfinite(value).all()
    (now.sum() + memories.read(now, read).square().sum() + read[..., 0].sum()).backward()
    for leaf in (memory, *leaves.values(), *(part for part in started if part.requires_grad)):
        assert leaf.grad is None or torch.isfinite(leaf.grad).all()
    assert memory.grad is not None and leaves["erase"].grad is not None


@pytest.mark.parametrize("zero_rows", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "scheme",
    [
        *(NTM(heads, heads, reach, kind) for heads, reach in [(1, 0), (2, 1)] for kind in KINDS),
        *(Location(1, 1, 1), Location(2, 2, 2)),
        *(Content(1, 1), Content(2, 2, "dot"), Content(1, 2, "euclidean")),
    ],
    ids=str,
)
def test_zero_memory_and_controls_at_their_limits_leave_values_and_gradients_finite(
    scheme: Scheme, dtype: torch.dtype, zero_rows: bool
) -> None:
    # 0: keys of zero. -200: gates and strengths of 0, a sharpening of 1. 200, 500: gates of 1, sharpenings of 201, 501.
    for emitted in (0.0, -200.0, 200.0, 500.0):
        for slots in (1, 4):
            assert_all_finite(scheme, emitted, slots, dtype, zero_rows)
