"""A graph that is called for one time after another, and what it is given and returns at each.

    Called    any function, called from Python
    Native    compiled code for a CPU, called from C++ (scan.cpp), by all threads, each its lanes

A lane is a part of a batch, which has nothing to do with the others: each is run on its own. What is noted, at each
time or at some, is a `Record`: of tensors, so that autograd can keep it and free it.
"""

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from episodes.native import library

Tensors = tuple[Tensor, ...]


class Record(NamedTuple):
    """Places for tensors, `columns` in a row; what is in `tensors` only the graph knows that made it."""

    tensors: list[Any]
    columns: int


class Same(NamedTuple):
    """The same tensor at each time."""

    tensor: Tensor


class Row(NamedTuple):
    """The row of a tensor [time, ...] at each time."""

    whole: Tensor


class Noted(NamedTuple):
    """What is in a record at each time, in row time + `shift`; last: it is not there afterwards."""

    record: Record
    column: int
    shift: int = 0
    last: bool = False


class Carried(NamedTuple):
    """What came out the time before, or what was there at the start."""

    slot: int


Source = Same | Row | Noted | Carried
"""Where an input of a graph comes from."""


class Sink(NamedTuple):
    """Where an output of a graph goes to: into its row of a tensor [time, ...], to a record, to the next time."""

    row: Tensor | None = None
    noted: Noted | None = None
    slot: int | None = None


class Lane(NamedTuple):
    """What a graph is given, what becomes of what it returns, and what is carried at the start."""

    sources: list[Source]
    sinks: list[Sink]
    carried: Tensors


class Graph(Protocol):
    """What can be called for one time after another. Tensors are contiguous, and have no gradients."""

    def record(self, rows: int, columns: int) -> Record:
        """Return an empty one."""
        ...

    def put(self, record: Record, row: int, tensors: Sequence[Tensor]) -> None:
        """Fill a row."""
        ...

    def scan(self, times: range, lanes: Sequence[Lane]) -> list[Tensors]:
        """Call for each of some times; return what each lane carries at the end."""
        ...


class Called:
    """Any function, called from Python.

    Args:
        function: Takes a list, which it may empty, and returns as many tensors as the graph has outputs.
    """

    def __init__(self, function: Callable[[list[Tensor]], Sequence[Tensor]]):
        self._function = function

    def record(self, rows: int, columns: int) -> Record:
        """See `Graph`."""
        return Record([None] * (rows * columns), columns)

    def put(self, record: Record, row: int, tensors: Sequence[Tensor]) -> None:
        """See `Graph`."""
        record.tensors[row * record.columns : (row + 1) * record.columns] = tensors

    def scan(self, times: range, lanes: Sequence[Lane]) -> list[Tensors]:
        """See `Graph`."""
        return [self._lane(times, lane) for lane in lanes]

    def _lane(self, times: range, lane: Lane) -> Tensors:
        carried = list(lane.carried)
        for time in times:
            found = self._function([_given(source, time, carried) for source in lane.sources])
            for sink, tensor in zip(lane.sinks, found, strict=True):
                if sink.row is not None:
                    sink.row[time] = tensor
                if sink.noted is not None:
                    record, column, shift, _ = sink.noted
                    record.tensors[(time + shift) * record.columns + column] = tensor
                if sink.slot is not None:
                    carried[sink.slot] = tensor
        return tuple(carried)


def _given(source: Source, time: int, carried: list[Tensor]) -> Tensor:
    """Return an input at a time."""
    match source:
        case Same(tensor):
            return tensor
        case Row(whole):
            return whole[time]
        case Noted(record, column, shift, last):
            place = (time + shift) * record.columns + column
            tensor = record.tensors[place]
            if last:
                record.tensors[place] = None
            return tensor
        case Carried(slot):
            return carried[slot]


class _Source(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int64), ("tensors", ctypes.c_void_p), ("step", ctypes.c_int64))


class _Sink(ctypes.Structure):
    _fields_ = (
        ("row", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("noted", ctypes.c_void_p),
        ("step", ctypes.c_int64),
        ("carried", ctypes.c_void_p),
    )


class _Lane(ctypes.Structure):
    _fields_ = (("sources", ctypes.c_void_p), ("sinks", ctypes.c_void_p))


_aoti: Any = torch._C._aoti  # pyright: ignore[reportAttributeAccessIssue]
_address = ctypes.addressof
_NOTED, _TAKEN, _ROW, _CARRIED = range(4)
_HANDLE = ctypes.sizeof(ctypes.c_void_p)
_ENTRY = "_Z19inductor_entry_implPP16AtenTensorOpaqueS1_"
"""What Inductor calls its code: void inductor_entry_impl(AtenTensorHandle* inputs, AtenTensorHandle* outputs)."""

_capsule = ctypes.pythonapi.PyCapsule_New
_capsule.restype, _capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


@cache
def _library() -> ctypes.CDLL:
    """Return what scan.cpp is compiled to."""
    found = library(Path(__file__).with_name("scan.cpp"))
    whole, place = ctypes.c_int64, ctypes.c_void_p
    found.scan.restype = whole
    found.scan.argtypes = (place, whole, whole, whole, place, whole, whole, whole, place, whole)
    found.release.restype, found.release.argtypes = None, (place, whole)
    return found


def _handles(tensors: Sequence[Tensor], empty: int = 0) -> Any:
    """Return an array of the handles of tensors, and empty places after them; freed with it."""
    # One more: an array of none has no address.
    places = (ctypes.c_void_p * (len(tensors) + empty + 1))()
    capsules = _aoti.unsafe_alloc_void_ptrs_from_tensors(list(tensors))
    places[: len(tensors)] = [_pointer(capsule, None) for capsule in capsules]
    weakref.finalize(places, _library().release, _address(places), len(places)).atexit = False
    return places


def _taken(places: Any, count: int) -> Tensors:
    """Take so many tensors out of an array of handles."""
    capsules = [_capsule(handle, None, None) for handle in places[:count]]
    places[:count] = [None] * count
    return tuple(_aoti.alloc_tensors_by_stealing_from_void_ptrs(capsules))


class Native:
    """Code that Inductor compiled for a CPU, called from C++.

    Args:
        compiled: What Inductor returned.
    """

    def __init__(self, compiled: Any):
        module = compiled.current_callable.__globals__["inductor_entry"].__self__
        self._entry = ctypes.cast(getattr(ctypes.CDLL(module.__file__), _ENTRY), ctypes.c_void_p).value

    def record(self, rows: int, columns: int) -> Record:
        """See `Graph`."""
        # A tensor of the handles: whoever keeps it keeps what they stand for.
        return Record([torch.frombuffer(_handles((), rows * columns), dtype=torch.int64)], columns)

    def put(self, record: Record, row: int, tensors: Sequence[Tensor]) -> None:
        """See `Graph`."""
        given = _handles(tensors)
        places = (ctypes.c_void_p * len(tensors)).from_address(_place(Noted(record, 0, row)))
        # What was there goes the way of the array.
        places[:], given[: len(tensors)] = given[: len(tensors)], places[:]

    def scan(self, times: range, lanes: Sequence[Lane]) -> list[Tensors]:
        """See `Graph`."""
        carried = [_handles(lane.carried) for lane in lanes]
        shown = [_handles([one[0] for one in lane.sources if isinstance(one, Same | Row)]) for lane in lanes]
        sources = [_sources(*of_lane) for of_lane in zip(lanes, carried, shown, strict=True)]
        sinks = [_sinks(*of_lane) for of_lane in zip(lanes, carried, strict=True)]
        both = [(_address(one), _address(other)) for one, other in zip(sources, sinks, strict=True)]
        table = (_Lane * len(lanes))(*both)
        message = ctypes.create_string_buffer(500)
        sizes = (len(lanes), len(sources[0]), len(sinks[0]))
        span = (times.start, times.stop, times.step)
        if _library().scan(self._entry, *span, _address(table), *sizes, _address(message), len(message)):
            raise RuntimeError(message.value.decode(errors="replace"))
        return [_taken(places, len(lane.carried)) for places, lane in zip(carried, lanes, strict=True)]


def _place(noted: Noted) -> int:
    """Return where the handle of time 0 is."""
    record, column, shift, _ = noted
    return record.tensors[0].data_ptr() + (shift * record.columns + column) * _HANDLE


def _sources(lane: Lane, carried: Any, shown: Any) -> Any:
    """Return an array of where inputs come from; shown: the handles of what is the same, and of rows."""
    places = count(_address(shown), _HANDLE)

    def entry(source: Source) -> tuple[int, int, int]:
        match source:
            case Same():
                return _NOTED, next(places), 0
            case Row():
                return _ROW, next(places), 0
            case Noted(record):
                return _TAKEN if source.last else _NOTED, _place(source), record.columns
            case Carried(slot):
                return _CARRIED, _address(carried) + slot * _HANDLE, 0

    return (_Source * len(lane.sources))(*map(entry, lane.sources))


def _sinks(lane: Lane, carried: Any) -> Any:
    """Return an array of where outputs go to."""

    def entry(sink: Sink) -> tuple[int | None, ...]:
        row, noted, slot = sink
        return (
            *((None, 0, 0) if row is None else (row.data_ptr(), row[0].nbytes, row.stride(0) * row.element_size())),
            *((None, 0) if noted is None else (_place(noted), noted.record.columns)),
            None if slot is None else _address(carried) + slot * _HANDLE,
        )

    return (_Sink * len(lane.sinks))(*map(entry, lane.sinks))
