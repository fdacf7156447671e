"""NTM addressing: every equation and whole steps against the oracle, with and without content and location."""

from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mann.addressing import NTM, Content, Location, Scheme
from mann.addressing.ntm import NTMState, address, interpolate, location_address, sharpen, shift
from mann.addressing.similarity import Similarity
from tests.mann.addressing import oracles
from tests.mann.addressing.stepping import (
    assert_derivatives_match,
    assert_finite,
    assert_steps_match_the_oracle,
    initial_memory,
    oracle_results,
)

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


VARIANTS: list[Scheme] = [
    *(NTM(heads, writers, reach, kind) for heads, writers in [(1, 1), (2, 3)] for reach in range(3) for kind in KINDS),
    *(Location(heads, writers, reach) for heads, writers in [(1, 1), (3, 2)] for reach in range(3)),
    *(Content(heads, writers, kind) for heads, writers in [(1, 1), (3, 2)] for kind in KINDS),
]


@pytest.mark.parametrize(("slots", "start"), [(1, "constant"), (2, "random"), (5, "constant"), (5, "random")])
@pytest.mark.parametrize("scheme", VARIANTS, ids=str)
def test_steps_match_the_oracle(scheme: Scheme, slots: int, start: str) -> None:
    assert_steps_match_the_oracle(scheme, slots, start)


def test_the_oracle_tells_all_variants_apart() -> None:
    assert len(oracle_results(VARIANTS, slots=6)) == len(VARIANTS)


SIZES = {name: st.integers(1, 3) for name in ("batch", "heads")} | {"slots": st.integers(1, 6)}


@settings(deadline=None)
@given(**SIZES, seed=st.integers(0, 1000))
def test_interpolation_matches_the_oracle(batch: int, heads: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    gate = positive(generator, batch, heads, 1)
    content, previous = (distributions(generator, batch, heads, slots) for _ in range(2))
    expected = by_rows(lambda g, new, old: oracles.interpolate(float(g[0]), new, old), *(gate, content, previous))
    numpy.testing.assert_allclose(interpolate(gate, content, previous).numpy(), expected, atol=1e-10)


@settings(deadline=None)
@given(**SIZES, reach=st.integers(0, 4), seed=st.integers(0, 1000))
def test_shift_is_the_circular_convolution_of_the_oracle_for_any_reach(
    batch: int, heads: int, slots: int, reach: int, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    weights = distributions(generator, batch, heads, slots)
    shifts = distributions(generator, batch, heads, 2 * reach + 1)
    found = shift(weights, shifts)
    numpy.testing.assert_allclose(found.numpy(), by_rows(oracles.shift, weights, shifts), atol=1e-10)
    numpy.testing.assert_allclose(found.sum(-1).numpy(), numpy.ones((batch, heads)), atol=1e-10)


@settings(deadline=None)
@given(**SIZES, total=st.sampled_from([1e-6, 1.0, 4.0]), seed=st.integers(0, 1000))
def test_sharpening_matches_the_oracle_whatever_the_weights_sum_to(
    batch: int, heads: int, slots: int, total: float, seed: int
) -> None:
    generator = numpy.random.default_rng(seed)
    weights = total * distributions(generator, batch, heads, slots)
    power = 1 + 9 * positive(generator, batch, heads, 1)
    expected = by_rows(lambda row, p: oracles.sharpen(row, float(p[0])), weights, power)
    numpy.testing.assert_allclose(sharpen(weights, power).numpy(), expected, atol=1e-10)


@settings(deadline=None)
@given(**SIZES, reach=st.integers(0, 3), word_size=st.integers(1, 4), kind=st.sampled_from(KINDS), seed=st.integers(0))
def test_addresses_match_the_oracle(
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
    # Controls of the other kind, which must not be used.
    controls |= {name.replace("read", "write"): torch.full_like(value, 0.5) for name, value in controls.items()}
    full = address(controls, "read", memory, previous, kind).numpy()
    moved = location_address(controls, "read", previous).numpy()
    for sequence in range(batch):
        emitted = {name: value[sequence].numpy() for name, value in controls.items()}
        inputs = ("read", emitted, memory[sequence].numpy(), previous[sequence].numpy())
        numpy.testing.assert_allclose(full[sequence], oracles.ntm_address(NTM(similarity=kind), *inputs), atol=1e-10)
        numpy.testing.assert_allclose(moved[sequence], oracles.ntm_address(Location(), *inputs), atol=1e-10)


def test_derivatives_of_each_function_match_finite_differences() -> None:
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
def test_derivatives_of_two_steps_match_finite_differences(scheme: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    memory = initial_memory("random", 1, 4, 2, generator)
    if isinstance(scheme, Content):
        assert_derivatives_match(scheme, memory, scheme.initial_state(memory), through=[], steps=2)
        return
    read, write = (
        torch.randn(1, heads, 4, generator=generator, dtype=torch.float64).softmax(-1)
        for heads in (scheme.read_heads, scheme.write_heads)
    )
    assert_derivatives_match(scheme, memory, NTMState(read, write), NTMState._fields, steps=2)


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
            state: Any = scheme.initial_state(torch.zeros(2, slots, 1, dtype=dtype))
            if zero_rows:
                state = type(state)(*(torch.zeros_like(part, requires_grad=True) for part in state))
            assert {"memory", "erase"} <= assert_finite(scheme, emitted, slots, dtype, state)
