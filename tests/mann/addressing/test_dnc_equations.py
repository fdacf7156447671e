"""Differentiable Neural Computer: every equation and whole steps against the oracle, invariants, gradients, limits."""

from itertools import product

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data import InputError
from mann.addressing.dnc import (
    DNC,
    DNCState,
    allocation,
    next_links,
    next_precedence,
    next_usage,
    retention,
)
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

SIMILARITIES = ["cosine", "dot", "euclidean"]


def scheme_of(read_heads: int, similarity: str = "cosine") -> DNC:
    """Return the scheme; hypothesis and pytest hand over plain strings."""
    return DNC(read_heads, similarity)  # pyright: ignore[reportArgumentType]


def random(generator: numpy.random.Generator, *shape: int) -> torch.Tensor:
    """Return float64 numbers from 0 to 1."""
    return torch.from_numpy(generator.random(shape))


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("heads", [1, 3])
def test_steps_match_the_oracle(heads: int, similarity: str, slots: int) -> None:
    assert_steps_match_the_oracle(scheme_of(heads, similarity), slots, "random")


IMPROVED = [DNC(2, masking=m, deallocation=d, sharpness=s) for m, d, s in product((False, True), repeat=3)]


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("scheme", IMPROVED[1:], ids=str)
def test_steps_with_the_improvements_match_the_oracle(scheme: DNC, slots: int) -> None:
    assert_steps_match_the_oracle(scheme, slots, "random")


def test_masks_apply_to_cosines_alone() -> None:
    with pytest.raises(InputError, match="`masking` needs `similarity=cosine`, not `similarity=dot`"):
        DNC(similarity="dot", masking=True)


def test_the_oracle_tells_all_variants_apart() -> None:
    variants = [scheme_of(heads, similarity) for heads in (1, 3) for similarity in SIMILARITIES] + IMPROVED
    assert len(oracle_results(variants, slots=6)) == len(variants)


SIZES = {"batch": st.integers(1, 3), "slots": st.integers(1, 5), "seed": st.integers(0, 1000)}


@settings(deadline=None)
@given(**SIZES, heads=st.integers(1, 4))
def test_retention_matches_the_oracle(batch: int, slots: int, seed: int, heads: int) -> None:
    generator = numpy.random.default_rng(seed)
    gates, weights = random(generator, batch, heads, 1), random(generator, batch, heads, slots)
    found = retention(gates, weights)
    for b in range(batch):
        expected = oracles.retention(gates[b, :, 0].numpy(), weights[b].numpy())
        numpy.testing.assert_allclose(found[b].numpy(), expected, atol=1e-10)


@settings(deadline=None)
@given(**SIZES)
def test_usage_links_and_precedence_match_the_oracle(batch: int, slots: int, seed: int) -> None:
    generator = numpy.random.default_rng(seed)
    usage, retained, precedence = (random(generator, batch, slots) for _ in range(3))
    weights = random(generator, batch, slots) / slots
    links = random(generator, batch, slots, slots)  # with a diagonal that has to go
    used, linked = next_usage(usage, weights, retained), next_links(links, precedence, weights)
    last = next_precedence(precedence, weights)
    for b in range(batch):
        u, r, p, w = (part[b].numpy() for part in (usage, retained, precedence, weights))
        numpy.testing.assert_allclose(used[b].numpy(), oracles.dnc_usage(u, w, r), atol=1e-10)
        numpy.testing.assert_allclose(linked[b].numpy(), oracles.links(links[b].numpy(), p, w), atol=1e-10)
        numpy.testing.assert_allclose(last[b].numpy(), oracles.precedence(p, w), atol=1e-10)


USAGES = st.sampled_from([0.0, 1e-7, 1e-5, 0.25, 0.5, 1.0]) | st.floats(0, 1, allow_subnormal=False)


@settings(deadline=None)
@given(slots=st.integers(1, 6), data=st.data())
def test_allocation_matches_the_oracle_with_ties_to_the_lower_index(slots: int, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(USAGES, min_size=slots, max_size=slots), min_size=1, max_size=3))
    found = allocation(torch.tensor(rows, dtype=torch.float64))
    for row, usage in zip(found, rows, strict=True):
        numpy.testing.assert_allclose(row.numpy(), oracles.allocation(numpy.array(usage)), atol=1e-10)
        assert (row >= 0).all()
        assert row.sum() <= 1 + 1e-15


@settings(deadline=None)
@given(slots=st.integers(1, 5), seed=st.integers(0, 1000), data=st.data())
def test_links_have_no_diagonal_and_rows_and_columns_that_share_out_at_most_1(
    slots: int, seed: int, data: st.DataObject
) -> None:
    generator = numpy.random.default_rng(seed)
    links, precedence = torch.zeros(1, slots, slots, dtype=torch.float64), torch.zeros(1, slots, dtype=torch.float64)
    for full in data.draw(st.lists(st.booleans(), min_size=1, max_size=8)):
        if full:
            weights = torch.eye(slots, dtype=torch.float64)[generator.integers(slots)]
        else:
            weights = torch.from_numpy(generator.dirichlet([0.3] * slots) * generator.random())
        links, precedence = next_links(links, precedence, weights[None]), next_precedence(precedence, weights[None])
        assert not links.diagonal(dim1=1, dim2=2).any()
        assert (links >= -1e-12).all()
        assert (links.sum(1) <= 1 + 1e-12).all() and (links.sum(2) <= 1 + 1e-12).all()
        assert (precedence >= 0).all() and precedence.sum() <= 1 + 1e-12


@settings(deadline=None)
@given(heads=st.integers(1, 3), slots=st.integers(1, 5), seed=st.integers(0, 1000))
def test_weightings_and_usages_stay_in_their_ranges_with_gates_open_and_shut(heads: int, slots: int, seed: int) -> None:
    scheme, generator = DNC(heads), torch.Generator().manual_seed(seed)
    memory = torch.full((2, slots, 3), 1e-6, dtype=torch.float64)
    state = scheme.initial_state(memory)
    for _ in range(8):
        controls = random_controls(scheme, memory, generator)
        for name in ("free_gate", "allocation_gate", "write_gate"):
            controls[name] = controls[name].round()
        choice = torch.randint(3, (2, heads), generator=generator)
        controls["read_modes"] = torch.nn.functional.one_hot(choice, 3).double()
        _, memory, _, state = one_step(scheme, controls, memory, state)
        slack = 1e-12
        for part in state:
            assert (part >= -slack).all() and (part <= 1 + slack).all()
        for part in (state.read_weights, state.write_weights, state.links, state.links.mT, state.precedence):
            assert (part.sum(-1) <= 1 + slack).all()
        assert not state.links.diagonal(dim1=1, dim2=2).any()


def test_derivatives_of_the_equations_match_finite_differences() -> None:
    generator = numpy.random.default_rng(0)
    usage, weights, retained, precedence, gates, reads, links = (
        random(generator, *shape).requires_grad_()
        for shape in ((2, 4), (2, 4), (2, 4), (2, 4), (2, 3, 1), (2, 3, 4), (2, 4, 4))
    )
    assert torch.autograd.gradcheck(retention, (gates, reads))
    assert torch.autograd.gradcheck(next_usage, (usage, weights, retained))
    assert torch.autograd.gradcheck(next_links, (links, precedence, weights))
    assert torch.autograd.gradcheck(next_precedence, (precedence, weights))


def test_derivatives_of_the_allocation_match_finite_differences() -> None:
    # Away from ties and from SMALLEST, where the free list changes.
    usage = torch.tensor([[0.6, 0.1, 0.9, 0.35], [0.2, 0.95, 0.05, 0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(allocation, (usage,))


@pytest.mark.parametrize(
    "scheme", [*(scheme_of(heads, kind) for heads in (1, 2) for kind in SIMILARITIES), IMPROVED[-1]], ids=str
)
def test_derivatives_of_a_step_match_finite_differences(scheme: DNC) -> None:
    torch_generator, generator = torch.Generator().manual_seed(0), numpy.random.default_rng(0)
    memory = initial_memory("random", 1, 3, 2, torch_generator)
    state = DNCState(
        random(generator, 1, scheme.read_heads, 3).softmax(-1),
        random(generator, 1, 1, 3) / 3,
        torch.tensor([[0.7, 0.2, 0.45]], dtype=torch.float64),
        random(generator, 1, 3, 3) / 3,
        random(generator, 1, 3) / 3,
    )
    # There is no derivative where usages tie, as the free list changes there: check that none are close.
    seed = 1
    controls = random_controls(scheme, memory, torch.Generator().manual_seed(seed))
    usage = scheme.write(controls, memory, state)[1].usage[0].sort().values
    assert usage[0] > 0.01 and usage.diff().min() > 0.01
    assert_derivatives_match(scheme, memory, state, DNCState._fields, seed=seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_allocation_of_usages_of_exactly_0_and_1_has_finite_gradients(dtype: torch.dtype) -> None:
    for rows in (
        [[0.0]],
        [[1.0]],
        [[0.0] * 4],
        [[1.0] * 4],
        [[0.0, 1.0, 0.0, 1.0, 0.5]],
        [[0.0] * 300],
        [[1e-6] * 300],
    ):
        usage = torch.tensor(rows, dtype=dtype, requires_grad=True)
        found = allocation(usage)
        assert torch.isfinite(found).all() and (found >= 0).all() and (found <= 1).all()
        found.square().sum().backward()
        assert usage.grad is not None and torch.isfinite(usage.grad).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("gate", [None, 0.0, 1.0])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize(
    "scheme", [DNC(1), DNC(2), scheme_of(1, "dot"), scheme_of(1, "euclidean"), IMPROVED[-1]], ids=str
)
def test_zero_memory_and_zero_keys_leave_values_and_gradients_finite(
    scheme: DNC, slots: int, gate: float | None, dtype: torch.dtype
) -> None:
    # Gates of 0 and 1 make usages of exactly 0 and exactly 1.
    gates = () if gate is None else ("write_gate", "allocation_gate", "free_gate")
    found = assert_finite(scheme, 0.0, slots, dtype, gates=(gates, gate or 0.0))
    assert {"memory", "read_key", "write_gate"} <= found
