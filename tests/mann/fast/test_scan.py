"""A graph called for one time after another: from C++ it is what it is from Python, in any number of lanes."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from mann.fast.compiled_step import CompiledStep, Compiler, inductor, interpreted
from mann.fast.products import turned
from mann.fast.scan import Called, Carried, Graph, Lane, Native, Noted, Record, Row, Same, Sink
from mann.fast.through_time import _lanes

pytestmark = pytest.mark.usefixtures("cxx_compiler")


def step(weights: Any, now: Any, state: Any) -> Any:
    """A recurrent step that returns one tensor twice, and carries a choice of columns that no gradient flows to."""
    hidden, chosen = state
    after = torch.addmm(now[0], hidden, weights[0].T).tanh().gather(1, chosen)
    return after, (hidden,), (after, (chosen + 1) % 3)


# The same in every run: gradients of up to 20 are rounded more coarsely where weights are large.
RANDOM = torch.Generator().manual_seed(0)
WEIGHT, ROWS = torch.randn(3, 3, generator=RANDOM), torch.randn(4, 2, 3, generator=RANDOM)
START = (torch.randn(2, 3, generator=RANDOM), torch.tensor([[0, 1, 2], [2, 0, 0]]))


def compiled(compiler: Compiler) -> CompiledStep:
    """Return the step."""
    return CompiledStep(step, (WEIGHT,), (ROWS[0],), START, compiler=compiler)


@pytest.fixture(scope="module")
def steps() -> tuple[CompiledStep, CompiledStep]:
    """The step as it is called from Python, and from C++."""
    return compiled(interpreted), compiled(inductor)


def there(found: CompiledStep, batch: int, times: range, state: Any = START) -> tuple[Tensor, Any, Any]:
    """Run forward in `batch` / 2 lanes of the same rows; returns features, both records of each lane, and states."""
    features = torch.full((4, batch, 3), torch.nan)
    parts = found.parts(batch)
    records = [
        (found.there.record(len(times), found.kept), found.places(len(times), found.chained(state))) for _ in parts
    ]
    lanes = [
        found.way_there((turned(WEIGHT),), (ROWS,), state, features[:, part], (), *noted, first=times.start)
        for part, noted in zip(parts, records, strict=True)
    ]
    return features, records, found.there.scan(times, lanes)


def test_each_is_what_it_says(steps: tuple[CompiledStep, CompiledStep]) -> None:
    assert isinstance(steps[0].there, Called) and isinstance(steps[1].there, Native)
    assert isinstance(steps[1].back, Native)


@pytest.mark.parametrize("lanes", [1, 2, 5])
def test_from_cpp_comes_what_comes_from_python(lanes: int, steps: tuple[CompiledStep, CompiledStep]) -> None:
    (expected, _, after), (features, _, found) = (there(one, 2 * lanes, range(4)) for one in steps)
    torch.testing.assert_close(features, expected)
    assert len(found) == lanes
    for one, other in zip(found, after, strict=True):
        torch.testing.assert_close(one[0], other[0])
        assert torch.equal(one[1], other[1])


def test_times_that_are_not_meant_are_left_alone(steps: tuple[CompiledStep, CompiledStep]) -> None:
    for one in steps:
        features, _, _ = there(one, 2, range(1, 3))
        assert features.isnan().all((1, 2)).tolist() == [True, False, False, True]
        assert there(one, 2, range(2, 2))[0].isnan().all()


def gradients(found: CompiledStep, lanes: int) -> tuple[Tensor, list[tuple[Tensor, ...]]]:
    """Run there in two spans and back; return the gradients of the preactivations and of the first state."""
    batch = 2 * lanes
    records, state = [], START
    for times in (range(3), range(3, 4)):
        _, kept, after = there(found, batch, times, state)
        records.append(kept)
        state = after[0]
    above, below = torch.arange(24.0).reshape(4, 2, 3), torch.full((4, batch, 3), torch.nan)
    states: Any = [(torch.ones(2, 3), START[1])] * lanes
    for times, kept in ((range(3, 4), records[1]), (range(3), records[0])):
        ways = [
            found.way_back((WEIGHT,), *noted, above, after, (below[:, part],), times.start)
            for noted, after, part in zip(kept, states, found.parts(batch), strict=True)
        ]
        states = found.back.scan(times[::-1], ways)
    return below, states


@pytest.mark.parametrize("lanes", [1, 3])
def test_back_from_cpp_comes_what_comes_from_python(lanes: int, steps: tuple[CompiledStep, CompiledStep]) -> None:
    (expected, first), (found, other) = (gradients(one, lanes) for one in steps)
    assert expected.abs().sum() > 0
    torch.testing.assert_close(found, expected)
    for one, two in zip(first, other, strict=True):
        torch.testing.assert_close(two[0], one[0])
        # Whole numbers have no gradient: what came in goes out.
        assert torch.equal(two[1], START[1])


def memories(weights: Any, now: Any, state: Any) -> Any:
    """A step whose gradient needs its state before it and after it."""
    rows = now[0]
    after = torch.baddbmm(
        state * rows[..., None], torch.stack([rows, rows.sin()], 2), torch.stack([rows, rows.cos()], 1)
    )
    return after.square().sum(-1), (), after


def empty(record: Record) -> list[bool]:
    """Return whether each place of a record is."""
    if isinstance(record.tensors[0], Tensor) and record.tensors[0].dtype == torch.int64:
        return [not handle for handle in record.tensors[0][:-1].tolist()]  # one more than there are
    return [tensor is None for tensor in record.tensors]


@pytest.mark.parametrize("compiler", [interpreted, inductor])
@pytest.mark.parametrize(("function", "first"), [(step, [True]), (memories, [False])])
def test_what_nobody_asks_for_again_goes_as_the_way_back_comes_by(
    function: Any, first: list[bool], compiler: Compiler
) -> None:
    weights, state = ((WEIGHT,), START) if function is step else ((), (torch.ones(2, 3, 3),))
    found = CompiledStep(function, weights, (ROWS[0],), state if function is step else state[0], compiler=compiler)
    kept, chain = found.there.record(4, found.kept), found.places(4, found.chained(state))
    there = found.way_there(tuple(map(turned, weights)), (ROWS,), state, torch.empty(4, 2, 3), (), kept, chain)
    (after,) = found.there.scan(range(4), [there])
    above, gradients = torch.arange(24.0).reshape(4, 2, 3), []
    for last in (False, False, True):
        assert not any(empty(kept) + empty(chain))
        gradients.append(torch.full((4, 2, 3), torch.nan))
        back = found.way_back(weights, kept, chain, above, after, (gradients[-1],), last=last)
        found.back.scan(range(3, -1, -1), [back])
    assert torch.equal(gradients[0], gradients[1]) and torch.equal(gradients[0], gradients[2])
    # Some of what is kept may be for making the chain again alone.
    assert sum(empty(kept)) >= 4 and empty(chain) == [*first, *[True] * 3, not first[0]]
    if compiler is inductor:
        with pytest.raises(RuntimeError, match="not kept any more"):
            found.back.scan(range(3, -1, -1), [back])


def uses(tensor: Any) -> int:
    """Return how many hold a tensor."""
    return tensor._use_count()


@pytest.fixture
def held() -> Iterator[Tensor]:
    """A tensor that nothing may hold at the end."""
    tensor = torch.ones(2, 3)
    before = uses(tensor)
    yield tensor
    gc.collect()
    assert uses(tensor) == before


def test_a_record_holds_what_is_put_there_and_lets_go_of_it(
    held: Tensor, steps: tuple[CompiledStep, CompiledStep]
) -> None:
    graph, before = steps[1].there, uses(held)
    record = graph.record(3, 2)
    graph.put(record, 1, [held, held])
    assert uses(held) == before + 2
    graph.put(record, 1, [torch.zeros(1), held])
    assert uses(held) == before + 1
    del record
    gc.collect()
    assert uses(held) == before


def test_what_is_given_is_not_held_afterwards(held: Tensor, steps: tuple[CompiledStep, CompiledStep]) -> None:
    there(steps[1], 4, range(4), (held, START[1]))


def test_an_error_of_the_code_is_raised_and_nothing_is_held(
    held: Tensor, steps: tuple[CompiledStep, CompiledStep]
) -> None:
    for batch in (2, 4):
        with pytest.raises(RuntimeError, match="index out of bounds"):
            there(steps[1], batch, range(4), (held, START[1] + 5))


def test_a_gradient_that_nothing_flows_from_makes_way_for_the_one_before(held: Tensor) -> None:
    def ordered(weights: Any, now: Any, state: Any) -> Any:
        after = (now[0] + state[0] * state[1]).tanh()
        return after, (), (after, state[1].detach() + 1)

    found = CompiledStep(ordered, (), (ROWS[0],), (torch.zeros(2, 3), torch.ones(2, 3)), compiler=inductor)
    state = (torch.full((2, 3), 0.5), torch.ones(2, 3))
    kept, chain = found.there.record(4, found.kept), found.places(4, found.chained(state))
    way = found.way_there((), (ROWS,), state, torch.empty(4, 2, 3), (), kept, chain)
    found.there.scan(range(4), [way])
    way = found.way_back((), kept, chain, torch.ones(4, 2, 3), (torch.zeros(2, 3), held), (torch.empty(4, 2, 3),))
    ((_, order),) = found.back.scan(range(4)[::-1], [way])
    assert not torch.equal(order, held)


def called(graph: Graph) -> list[Tensor]:
    """Call a graph that adds one to its first input and doubles its second, with each kind of source and of sink."""
    record = graph.record(3, 1)
    for row in range(3):
        graph.put(record, row, [torch.full((1,), float(row))])
    whole, noted, out = torch.arange(10.0, 12.0)[:, None], graph.record(3, 2), torch.zeros(2, 1)
    sources = [Noted(record, 0, 1), Row(whole)]
    sinks = [Sink(row=out, noted=Noted(noted, 1, 1)), Sink(noted=Noted(noted, 0, 1), slot=0)]
    (carried,) = graph.scan(range(2), [Lane(list(sources), sinks, (torch.zeros(1),))])
    again = torch.zeros(2, 1)
    lane = Lane([Noted(noted, 0, 1), Carried(0)], [Sink(row=again), Sink(slot=0)], carried)
    (last,) = graph.scan(range(1, -1, -1), [lane])
    same = torch.zeros(2, 1)
    graph.scan(range(2), [Lane([Same(last[0]), Noted(noted, 1, 1)], [Sink(), Sink(row=same)], ())])
    return [out, again, same, *last]


def test_sources_and_sinks_are_those_of_their_times() -> None:
    def both(weights: Any, now: Any, state: Any) -> Any:
        return now[0] + 1, (), (state * 2,)

    found = []
    for compiler in (interpreted, inductor):
        graph = CompiledStep(both, (), (torch.zeros(1),), torch.zeros(1), compiler=compiler).there
        found.append(called(graph))
    for results in found:
        assert [result.flatten().tolist() for result in results] == [[2, 3], [21, 23], [4, 6], [88]]


@pytest.mark.parametrize(
    ("batch", "threads", "lanes"),
    [
        *[(16, 1, 1), (16, 2, 2), (16, 3, 2), (15, 4, 3), (7, 4, 1), (1, 8, 1), (4, 16, 4)],
        *[(32, 1, 1), (48, 1, 2), (64, 2, 2), (256, 2, 8), (96, 3, 3), (100, 2, 4), (62, 1, 2), (74, 1, 1), (74, 2, 2)],
    ],
)
def test_a_batch_is_cut_into_equal_lanes_as_many_for_each_thread(batch: int, threads: int, lanes: int) -> None:
    torch.set_num_threads(threads)
    assert _lanes(batch, torch.device("cpu")) == lanes
    assert _lanes(batch, torch.device("cuda")) == 1
