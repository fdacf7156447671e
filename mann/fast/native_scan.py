"""A scan of compiled code for a CPU, in C++ (native_scan.cpp), where all threads take shards.

At the sizes of these networks a step takes tens of microseconds. Python would need as long again to call it, and its
lock would let only one thread call at a time.

Ownership. C++ knows a tensor by a handle: a pointer that owns one reference to the tensor. Handles are in arrays that
Python allocates, and a null pointer is a place without a tensor. An array owns the handles that are in it at the time
it is freed (`_handles`), whoever put them there. An error in a graph leaks nothing: the graph frees the inputs that it
took over, and all other handles are in arrays.
"""

import ctypes
import weakref
from collections.abc import Sequence
from functools import cache, cached_property
from itertools import count
from pathlib import Path

import torch
from torch import Tensor

from episodes.native import library, prepare
from mann.fast.scan import Carry, Constant, Input, Output, PerStep, Saved, Shard, TensorTable
from mann.fast.torch_internals import handles_of_tensors, tensors_of_handles
from mann.models.unrolling import Tensors


class _Input(ctypes.Structure):
    """`Input` in native_scan.cpp."""

    _fields_ = (("kind", ctypes.c_int64), ("tensors", ctypes.c_void_p), ("step", ctypes.c_int64))


class _Output(ctypes.Structure):
    """`Output` in native_scan.cpp."""

    _fields_ = (
        ("stacked", ctypes.c_void_p),
        ("bytes", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("saved", ctypes.c_void_p),
        ("step", ctypes.c_int64),
        ("carry", ctypes.c_void_p),
    )


class _Shard(ctypes.Structure):
    """`Shard` in native_scan.cpp."""

    _fields_ = (("inputs", ctypes.c_void_p), ("outputs", ctypes.c_void_p))


HEADER = "torch/csrc/inductor/cpp_wrapper/cpu.h"
"""What all that Inductor writes includes first."""
SOURCES = (Path(__file__).with_name("native_scan.cpp"),)

_address = ctypes.addressof
_Handles = ctypes.Array[ctypes.c_void_p]
_SAVED, _FREED, _PER_STEP, _CARRY = range(4)  # the order of `Kind` in native_scan.cpp
_HANDLE = ctypes.sizeof(ctypes.c_void_p)
_ENTRY = "_Z19inductor_entry_implPP16AtenTensorOpaqueS1_"
"""The name of Inductor's code: void inductor_entry_impl(AtenTensorHandle* inputs, AtenTensorHandle* outputs)."""

# torch hands handles to Python in capsules, which are nothing but a pointer here: they own no reference.
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype, _new_capsule.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)


@cache
def native_library() -> ctypes.CDLL:
    """Return the compiled native_scan.cpp.

    It is loaded as a `CDLL`, not as a `PyDLL`: ctypes releases Python's lock while a function of it runs.
    """
    loaded = library(*SOURCES)
    integer, pointer = ctypes.c_int64, ctypes.c_void_p
    loaded.scan.restype = integer
    loaded.scan.argtypes = (
        *(pointer, integer, integer, integer),
        *(pointer, integer, integer, integer),
        *(pointer, integer),
    )
    loaded.release.restype, loaded.release.argtypes = None, (pointer, integer)
    return loaded


def _handles(tensors: Sequence[Tensor], empty: int = 0) -> _Handles:
    """Return an array of new handles of tensors, followed by empty places; it frees its handles when it is freed."""
    # One place more than needed: an array of length 0 has no address.
    array = (ctypes.c_void_p * (len(tensors) + empty + 1))()
    capsules = handles_of_tensors(list(tensors))
    array[: len(tensors)] = [_pointer(capsule, None) for capsule in capsules]
    # Not when Python exits: the system frees all, and by then torch may be gone already.
    weakref.finalize(array, native_library().release, _address(array), len(array)).atexit = False
    return array


def _take_tensors(array: _Handles, number: int) -> Tensors:
    """Move the first tensors out of an array of handles."""
    capsules = [_new_capsule(handle, None, None) for handle in array[:number]]
    # Emptied before torch takes the references over: a handle in the array would be freed a second time.
    array[:number] = [None] * number
    return tuple(tensors_of_handles(capsules))


class NativeScan:
    """Calls code that Inductor compiled for a CPU, from C++.

    It is compiled in the background, while the next graph is traced.

    Args:
        text: What Inductor wrote with `cpp_wrapper`.
    """

    def __init__(self, text: str):
        self._library = prepare(text, HEADER)

    @cached_property
    def _entry(self) -> int | None:
        """The address of the compiled function; waits for the compiler."""
        return ctypes.cast(getattr(self._library.result(), _ENTRY), ctypes.c_void_p).value

    def new_table(self, rows: int, columns: int) -> TensorTable:
        """See `Scan`."""
        # A tensor whose memory is the array of handles: as long as autograd keeps it, it keeps the tensors in it, and
        # when autograd frees it, the array frees its handles.
        return TensorTable([torch.frombuffer(_handles((), rows * columns), dtype=torch.int64)], columns)

    def fill_row(self, table: TensorTable, row: int, tensors: Sequence[Tensor]) -> None:
        """See `Scan`."""
        new = _handles(tensors)
        places = (ctypes.c_void_p * len(tensors)).from_address(_address_of_saved(Saved(table, 0, row)))
        # Swapped: the handles that were in the row are freed with the array `new`.
        places[:], new[: len(tensors)] = new[: len(tensors)], places[:]

    def scan(self, times: range, shards: Sequence[Shard]) -> list[Tensors]:
        """See `Scan`."""
        # These arrays have to stay referenced until the call returns: the structures hold nothing but addresses.
        carries = [_handles(shard.carry) for shard in shards]
        wholes = [_handles([one[0] for one in shard.inputs if isinstance(one, Constant | PerStep)]) for shard in shards]
        inputs = [_inputs(*arguments) for arguments in zip(shards, carries, wholes, strict=True)]
        outputs = [_outputs(*arguments) for arguments in zip(shards, carries, strict=True)]
        pairs = [(_address(one), _address(other)) for one, other in zip(inputs, outputs, strict=True)]
        structures = (_Shard * len(shards))(*pairs)
        message = ctypes.create_string_buffer(500)
        sizes = (len(shards), len(inputs[0]), len(outputs[0]))
        span = (times.start, times.stop, times.step)
        if native_library().scan(self._entry, *span, _address(structures), *sizes, _address(message), len(message)):
            raise RuntimeError(message.value.decode(errors="replace"))
        return [_take_tensors(array, len(shard.carry)) for array, shard in zip(carries, shards, strict=True)]


def _address_of_saved(saved: Saved) -> int:
    """Return the address of the handle at time 0, which is before the table's start if `shift` is negative."""
    table = saved.table
    return table.tensors[0].data_ptr() + (saved.shift * table.columns + saved.column) * _HANDLE


def _inputs(shard: Shard, carry: _Handles, wholes: _Handles) -> ctypes.Array[_Input]:
    """Return an array of `_Input`; carry, wholes: the handles of the carry, and of constants and per-step inputs."""
    handles = count(_address(wholes), _HANDLE)

    def structure(place: Input) -> tuple[int, int, int]:
        match place:
            case Constant():
                return _SAVED, next(handles), 0  # as if saved in the same place at each time
            case PerStep():
                return _PER_STEP, next(handles), 0
            case Saved(table):
                return _FREED if place.free else _SAVED, _address_of_saved(place), table.columns
            case Carry(slot):
                return _CARRY, _address(carry) + slot * _HANDLE, 0

    return (_Input * len(shard.inputs))(*map(structure, shard.inputs))


def _outputs(shard: Shard, carry: _Handles) -> ctypes.Array[_Output]:
    """Return an array of `_Output`; carry: its handles."""

    def structure(place: Output) -> tuple[int | None, ...]:
        stacked, saved, slot = place
        return (
            *((None, 0, 0) if stacked is None else _rows(stacked)),
            *((None, 0) if saved is None else (_address_of_saved(saved), saved.table.columns)),
            None if slot is None else _address(carry) + slot * _HANDLE,
        )

    return (_Output * len(shard.outputs))(*map(structure, shard.outputs))


def _rows(stacked: Tensor) -> tuple[int, int, int]:
    """Return where row 0 is, how many bytes a row has, and how many bytes are from one row to the next.

    A row has to be contiguous, as one shard of [time, batch, ...] is, but rows need not follow each other directly.
    """
    return stacked.data_ptr(), stacked[0].nbytes, stacked.stride(0) * stacked.element_size()
