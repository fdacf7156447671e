"""Calling a graph of one step for one time after another: where its inputs come from and where its outputs are written.

    Constant, PerStep, Saved, Carry    where an input comes from
    Output                             where an output is written
    Shard                              all inputs and outputs of a part of a batch
    Scan                               the protocol: a graph that can be called for a range of times
    PythonScan                         a scan of any function, in Python
    NativeScan (mann.fast.native_scan) a scan of compiled code for a CPU, in C++

The sequences of a batch do not depend on each other, so that each shard of a batch is run on its own. Tensors that one
scan saves at each time and another one reads, as the backward pass does, are in a `TensorTable`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from mann.models.unrolling import Tensors


class TensorTable(NamedTuple):
    """Tensors by row (a time) and column.

    Attributes:
        tensors: The tensors row by row, or one tensor that stands for them all: only the kind of scan that made a
            table can read it. Either way autograd can save the elements of this list, and free them.
        columns: How many tensors are in a row.
    """

    tensors: list[Any]
    columns: int


class Constant(NamedTuple):
    """The same tensor at each time."""

    tensor: Tensor


class PerStep(NamedTuple):
    """Row t of a tensor [time, ...] at time t."""

    stacked: Tensor


class Saved(NamedTuple):
    """A column of a table: the tensor in row t + `shift` at time t.

    Attributes:
        free: The table lets go of each tensor when it is read.
    """

    table: TensorTable
    column: int
    shift: int = 0
    free: bool = False


class Carry(NamedTuple):
    """The output that the previous call wrote to this slot of the carry; at the first call, the shard's own."""

    slot: int


Input = Constant | PerStep | Saved | Carry
"""Where an input of a graph comes from."""


class Output(NamedTuple):
    """Where an output of a graph is written, in as many ways as are given; it is dropped if none is.

    Attributes:
        stacked: Copied to row t of this tensor [time, ...] at time t.
        saved: Put into a table.
        carry: Handed to the next call, in this slot of the carry.
    """

    stacked: Tensor | None = None
    saved: Saved | None = None
    carry: int | None = None


class Shard(NamedTuple):
    """A part of a batch: the inputs and outputs of the graph, and the carry before the first call."""

    inputs: list[Input]
    outputs: list[Output]
    carry: Tensors


class Scan(Protocol):
    """A graph that can be called for one time after another. Tensors are contiguous, and have no gradients."""

    def new_table(self, rows: int, columns: int) -> TensorTable:
        """Return an empty table."""
        ...

    def fill_row(self, table: TensorTable, row: int, tensors: Sequence[Tensor]) -> None:
        """Put tensors into a row of a table."""
        ...

    def scan(self, times: range, shards: Sequence[Shard]) -> list[Tensors]:
        """Call the graph for each of some times, in their order; return the carry of each shard after the last."""
        ...


class PythonScan:
    """Calls a function from Python: the reference of `NativeScan`, and the scan for GPUs.

    Args:
        function: Takes a list, which it may empty, and returns as many tensors as the graph has outputs.
    """

    def __init__(self, function: Callable[[list[Tensor]], Sequence[Tensor]]):
        self._function = function

    def new_table(self, rows: int, columns: int) -> TensorTable:
        """See `Scan`."""
        return TensorTable([None] * (rows * columns), columns)

    def fill_row(self, table: TensorTable, row: int, tensors: Sequence[Tensor]) -> None:
        """See `Scan`."""
        table.tensors[row * table.columns : (row + 1) * table.columns] = tensors

    def scan(self, times: range, shards: Sequence[Shard]) -> list[Tensors]:
        """See `Scan`."""
        return [self._scan_shard(times, shard) for shard in shards]

    def _scan_shard(self, times: range, shard: Shard) -> Tensors:
        carry = list(shard.carry)
        for time in times:
            # All inputs are read before any output is written: an output may replace the carry that an input was.
            results = self._function([_read(place, time, carry) for place in shard.inputs])
            for place, tensor in zip(shard.outputs, results, strict=True):
                _write(place, time, carry, tensor)
        return tuple(carry)


def _read(place: Input, time: int, carry: list[Tensor]) -> Tensor:
    """Return an input at a time."""
    match place:
        case Constant(tensor):
            return tensor
        case PerStep(stacked):
            return stacked[time]
        case Saved(table):
            position = _position(place, time)
            tensor = table.tensors[position]
            if place.free:
                table.tensors[position] = None
            return tensor
        case Carry(slot):
            return carry[slot]


def _write(place: Output, time: int, carry: list[Tensor], tensor: Tensor) -> None:
    """Write an output at a time."""
    if place.stacked is not None:
        place.stacked[time] = tensor
    if place.saved is not None:
        place.saved.table.tensors[_position(place.saved, time)] = tensor
    if place.carry is not None:
        carry[place.carry] = tensor


def _position(saved: Saved, time: int) -> int:
    """Return where in the list of a table's tensors a saved one is."""
    return (time + saved.shift) * saved.table.columns + saved.column
