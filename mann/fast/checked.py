"""The compiled unrolling where it works, and the plain one with a warning where it does not.

What is not public in torch may be renamed, a compiler may be missing, a user's scheme may do what cannot be compiled.
Nothing of this may end a training. So everything of this package but this module and `equality` is imported here,
when a network first needs it, and whatever goes wrong until a compiled step has been compared with the plain one leads
to the plain way.

MANN_FAST=0 in the environment turns compiling off; MANN_FAST=1 makes what goes wrong an error.
"""

import math
import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from data.errors import InputError
from episodes.native import compiled_folder, precompile, prepare, text_of
from mann.fast import products
from mann.fast.equality import require_equal
from mann.models.unrolling import State, Step, Tensors, Unrolling, affine, plain

if TYPE_CHECKING:
    from mann.fast.compiled_unrolling import CompiledUnrolling

VARIABLE: Final = "MANN_FAST"


def fast() -> Unrolling:
    """Return an unrolling that compiles steps where that works; `plain` with MANN_FAST=0.

    Raises:
        InputError: The variable is neither 0 nor 1.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", "0", "1"):
        raise InputError(f"{VARIABLE}={wanted} means nothing: 0 turns compiling off, 1 makes its failures errors")
    return plain if wanted == "0" else CheckedUnrolling(required=wanted == "1")


class CheckedUnrolling:
    """An unrolling that is compiled, until something goes wrong with compiling.

    Args:
        required: What goes wrong is an error.
        make: Makes the compiled unrolling.
    """

    def __init__(self, required: bool = False, make: "Callable[[], CompiledUnrolling] | None" = None):
        self._required, self._make = required, make or _compiled_unrolling
        self._failed = False
        self._unrolling: CompiledUnrolling | None = None

    def affine(self, bias: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
        """Return bias + inputs weight^T; see `mann.models.unrolling.affine`."""
        compiled = self._compiled()
        return affine(bias, inputs, weight) if compiled is None else compiled.affine(bias, inputs, weight)

    def __call__(
        self, step: Step[State], weights: Tensors, preactivations: Tensors, state: State
    ) -> tuple[Tensor, State]:
        """See `mann.models.unrolling.Unrolling`."""
        compiled = self._compiled()
        if compiled is not None:
            try:
                run = compiled.bind(step, weights, preactivations, state)
            except Exception as error:  # of torch's compilers, of g++, of a scheme: there is no common class
                self._give_up(error)
            else:
                return run()
        return plain(step, weights, preactivations, state)

    def _compiled(self) -> "CompiledUnrolling | None":
        """Return the compiled unrolling; None where there is none."""
        if self._unrolling is None and not self._failed:
            try:
                self._unrolling = self._make()
            except Exception as error:  # a name of torch that is gone, a compiler that is missing or fails
                self._give_up(error)
        return self._unrolling

    def _give_up(self, error: Exception) -> None:
        """Run the plain way from now on, and say why."""
        if self._required:
            raise error
        self._failed, self._unrolling = True, None
        cause = str(error).strip().partition("\n")[0] or "it has no message"
        kind = "" if type(error).__module__.startswith(("mann", "episodes")) else f"{type(error).__name__}: "
        warnings.warn(
            f"steps run uncompiled, at about a third of the speed: {kind}{cause} "
            f"({VARIABLE}=0 turns compiling off, {VARIABLE}=1 shows the whole error)",
            stacklevel=4,
        )


def _compiled_unrolling() -> "CompiledUnrolling":
    """Compile what is written in C++, and import what compiles steps."""
    # Inductor finds its folder there. Set once, and for good: changing it while threads run commands is not safe.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
    prepare(text_of(*products.SOURCES))  # meanwhile the imports below take some seconds
    from mann.fast import native_scan

    prepare(text_of(*native_scan.SOURCES))
    precompile(native_scan.HEADER)
    from mann.fast.compiled_unrolling import CompiledUnrolling

    # Large enough for the loops, and no multiple of what they take at a time.
    bias, inputs, weight = (
        torch.arange(float(math.prod(size))).cos().view(size) for size in ((255,), (29, 301), (255, 301))
    )
    require_equal(lambda x: [products.affine_all_steps(*x)], lambda x: [affine(*x)], [bias, inputs, weight])
    return CompiledUnrolling()
