"""A graph called for one time after another: from C++ with the same results as from Python, in any number of shards."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from mann.fast.compiled_step import CompiledStep, Compiler, inductor, interpreted
from mann.fast.native_scan import NativeScan
from mann.fast.products import transposed_storage
from mann.fast.scan import Carry, Constant, Output, PerStep, PythonScan, Saved, Scan, Shard, TensorTable

pytestmark = pytest.mark.usefixtures("cxx_compiler")


def step(weights: Any, preactivations: Any, state: Any) -> Any:
    """A recurrent step that returns a tensor twice, and whose state has a choice of columns without a gradient."""
    hidden, chosen = state
    after = torch.addmm(preactivations[0], hidden, weights[0].T).tanh().gather(1, chosen)
    return after, (hidden,), (after, (chosen + 1) % 3)


# The same in every run: gradients of up to 20 are rounded more coarsely where weights are large.
RANDOM = torch.Generator().manual_seed(0)
WEIGHT, ROWS = torch.randn(3, 3, generator=RANDOM), torch.randn(4, 2, 3, generator=RANDOM)
START = (torch.randn(2, 3, generator=RANDOM), torch.tensor([[0, 1, 2], [2, 0, 0]]))


@pytest.fixture(scope="module")
def steps() -> tuple[CompiledStep, CompiledStep]:
    """The step as it is called from Python, and from C++."""
    interpreted_step, compiled_step = (
        CompiledStep(step, (WEIGHT,), (ROWS[0],), START, compiler=compiler) for compiler in (interpreted, inductor)
    )
    return interpreted_step, compiled_step


def forward(compiled: CompiledStep, batch: int, times: range, state: Any = START) -> tuple[Tensor, Any, Any]:
    """Run forward in `batch` / 2 shards of the same rows; returns features, both tables of each shard, and states."""
    features = torch.full((4, batch, 3), torch.nan)
    parts = compiled.shards(batch)
    tables = [
        (
            compiled.forward.new_table(len(times), compiled.saved),
            compiled.state_table(len(times), compiled.recomputable_leaves(state)),
        )
        for _ in parts
    ]
    weights = (transposed_storage(WEIGHT),)
    shards = [
        compiled.forward_shard(weights, (ROWS,), state, features[:, part], (), *of_shard, first=times.start)
        for part, of_shard in zip(parts, tables, strict=True)
    ]
    return features, tables, compiled.forward.scan(times, shards)


def test_inductors_code_for_a_cpu_is_called_from_cpp(steps: tuple[CompiledStep, CompiledStep]) -> None:
    assert isinstance(steps[0].forward, PythonScan) and isinstance(steps[1].forward, NativeScan)
    assert isinstance(steps[1].backward, NativeScan)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_forward_from_cpp_equals_forward_from_python(shards: int, steps: tuple[CompiledStep, CompiledStep]) -> None:
    (expected, _, after), (features, _, found) = (forward(one, 2 * shards, range(4)) for one in steps)
    torch.testing.assert_close(features, expected)
    assert len(found) == shards
    for one, other in zip(found, after, strict=True):
        torch.testing.assert_close(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_other_times_are_left_alone(steps: tuple[CompiledStep, CompiledStep]) -> None:
    for one in steps:
        features, _, _ = forward(one, 2, range(1, 3))
        assert features.isnan().all((1, 2)).tolist() == [True, False, False, True]
        assert forward(one, 2, range(2, 2))[0].isnan().all()


def gradients(compiled: CompiledStep, shards: int) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Run forward in two segments, and backward; return the gradients of the preactivations and of the first state."""
    batch = 2 * shards
    segments, tables, state = (range(3), range(3, 4)), [], START
    for times in segments:
        _, of_segment, after = forward(compiled, batch, times, state)
        tables.append(of_segment)
        state = after[0]
    features, preactivations = torch.arange(24.0).reshape(4, 2, 3), torch.full((4, batch, 3), torch.nan)
    states: Any = [(torch.ones(2, 3), START[1])] * shards
    for times, of_segment in reversed(list(zip(segments, tables, strict=True))):
        runs = [
            compiled.backward_shard((WEIGHT,), *of_shard, features, after, (preactivations[:, part],), times.start)
            for of_shard, after, part in zip(of_segment, states, compiled.shards(batch), strict=True)
        ]
        states = compiled.backward.scan(times[::-1], runs)
    return preactivations, states


@pytest.mark.parametrize("shards", [1, 3])
def test_backward_from_cpp_equals_backward_from_python(shards: int, steps: tuple[CompiledStep, CompiledStep]) -> None:
    (expected, first), (found, other) = (gradients(one, shards) for one in steps)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(found, expected)
    for one, two in zip(first, other, strict=True):
        torch.testing.assert_close(two[0], one[0])
        # Whole numbers have no gradient, and stay as they are.
        assert torch.equal(two[1], START[1])


def memories(weights: Any, preactivations: Any, state: Any) -> Any:
    """A step whose gradient needs its state before it and after it."""
    rows = preactivations[0]
    after = torch.baddbmm(
        state * rows[..., None], torch.stack([rows, rows.sin()], 2), torch.stack([rows, rows.cos()], 1)
    )
    return after.square().sum(-1), (), after


def empty(table: TensorTable) -> list[bool]:
    """Return whether each place of a table is empty."""
    if isinstance(table.tensors[0], Tensor) and table.tensors[0].dtype == torch.int64:
        return [not handle for handle in table.tensors[0][:-1].tolist()]  # one more than there are
    return [tensor is None for tensor in table.tensors]


@pytest.mark.parametrize("compiler", [interpreted, inductor])
@pytest.mark.parametrize(("function", "first"), [(step, [True]), (memories, [False])])
def test_the_last_backward_pass_frees_tensors_as_it_reads_them(
    function: Any, first: list[bool], compiler: Compiler, steps: tuple[CompiledStep, CompiledStep]
) -> None:
    if function is step:
        weights, state, compiled = (WEIGHT,), START, steps[compiler is inductor]
    else:
        weights, state = (), (torch.ones(2, 3, 3),)
        compiled = CompiledStep(function, weights, (ROWS[0],), state[0], compiler=compiler)
    saved = compiled.forward.new_table(4, compiled.saved)
    states = compiled.state_table(4, compiled.recomputable_leaves(state))
    stored = tuple(map(transposed_storage, weights))
    shard = compiled.forward_shard(stored, (ROWS,), state, torch.empty(4, 2, 3), (), saved, states)
    (after,) = compiled.forward.scan(range(4), [shard])
    features, found = torch.arange(24.0).reshape(4, 2, 3), []
    for last in (False, False, True):
        assert not any(empty(saved) + empty(states))
        found.append(torch.full((4, 2, 3), torch.nan))
        shard = compiled.backward_shard(weights, saved, states, features, after, (found[-1],), free=last)
        compiled.backward.scan(range(3, -1, -1), [shard])
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    # Some saved tensors may be for recomputing states alone.
    assert sum(empty(saved)) >= 4 and empty(states) == [*first, *[True] * 3, not first[0]]
    if compiler is inductor:
        with pytest.raises(RuntimeError, match="has been freed already"):
            compiled.backward.scan(range(3, -1, -1), [shard])


def uses(tensor: Any) -> int:
    """Return how many references to a tensor there are."""
    return tensor._use_count()


@pytest.fixture
def held() -> Iterator[Tensor]:
    """A tensor that nothing may refer to at the end."""
    tensor = torch.ones(2, 3)
    before = uses(tensor)
    yield tensor
    gc.collect()
    assert uses(tensor) == before


def test_a_table_owns_its_tensors_until_they_are_replaced(
    held: Tensor, steps: tuple[CompiledStep, CompiledStep]
) -> None:
    scan, before = steps[1].forward, uses(held)
    table = scan.new_table(3, 2)
    scan.fill_row(table, 1, [held, held])
    assert uses(held) == before + 2
    scan.fill_row(table, 1, [torch.zeros(1), held])
    assert uses(held) == before + 1
    del table
    gc.collect()
    assert uses(held) == before


def test_inputs_are_not_held_afterwards(held: Tensor, steps: tuple[CompiledStep, CompiledStep]) -> None:
    forward(steps[1], 4, range(4), (held, START[1]))


def test_an_error_of_the_code_is_raised_and_nothing_is_held(
    held: Tensor, steps: tuple[CompiledStep, CompiledStep]
) -> None:
    for batch in (2, 4):
        with pytest.raises(RuntimeError, match="index out of bounds"):
            forward(steps[1], batch, range(4), (held, START[1] + 5))


def test_a_carry_that_the_graph_does_not_read_is_freed_when_it_is_replaced(held: Tensor) -> None:
    def ordered(weights: Any, preactivations: Any, state: Any) -> Any:
        after = (preactivations[0] + state[0] * state[1]).tanh()
        return after, (), (after, state[1].detach() + 1)

    start = (torch.zeros(2, 3), torch.ones(2, 3))
    compiled = CompiledStep(ordered, (), (ROWS[0],), start, compiler=inductor)
    state = (torch.full((2, 3), 0.5), torch.ones(2, 3))
    saved = compiled.forward.new_table(4, compiled.saved)
    states = compiled.state_table(4, compiled.recomputable_leaves(state))
    shard = compiled.forward_shard((), (ROWS,), state, torch.empty(4, 2, 3), (), saved, states)
    compiled.forward.scan(range(4), [shard])
    features, after = torch.ones(4, 2, 3), (torch.zeros(2, 3), held)
    shard = compiled.backward_shard((), saved, states, features, after, (torch.empty(4, 2, 3),))
    ((_, order),) = compiled.backward.scan(range(4)[::-1], [shard])
    assert not torch.equal(order, held)


def call_with_each_kind(scan: Scan) -> list[Tensor]:
    """Call a graph that adds one to its first input and doubles its second, with each kind of input and of output."""
    table = scan.new_table(3, 1)
    for row in range(3):
        scan.fill_row(table, row, [torch.full((1,), float(row))])
    whole, saved, out = torch.arange(10.0, 12.0)[:, None], scan.new_table(3, 2), torch.zeros(2, 1)
    outputs = [Output(stacked=out, saved=Saved(saved, 1, 1)), Output(saved=Saved(saved, 0, 1), carry=0)]
    (carry,) = scan.scan(range(2), [Shard([Saved(table, 0, 1), PerStep(whole)], outputs, (torch.zeros(1),))])
    backward = torch.zeros(2, 1)
    shard = Shard([Saved(saved, 0, 1), Carry(0)], [Output(stacked=backward), Output(carry=0)], carry)
    (last,) = scan.scan(range(1, -1, -1), [shard])
    constant = torch.zeros(2, 1)
    scan.scan(range(2), [Shard([Constant(last[0]), Saved(saved, 1, 1)], [Output(), Output(stacked=constant)], ())])
    return [out, backward, constant, *last]


def test_inputs_and_outputs_are_those_of_their_times() -> None:
    def both(weights: Any, preactivations: Any, state: Any) -> Any:
        return preactivations[0] + 1, (), state * 2

    for compiler in (interpreted, inductor):
        scan = CompiledStep(both, (), (torch.zeros(1),), torch.zeros(1), compiler=compiler).forward
        results = call_with_each_kind(scan)
        assert [result.flatten().tolist() for result in results] == [[2, 3], [21, 23], [4, 6], [88]]
