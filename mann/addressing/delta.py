"""The delta rule: fast weights that are corrected instead of added to (Schlag et al. 2021, arXiv 2102.11174).

    decay       M~ = a M_{t-1}                                        (gated delta rule, arXiv 2412.06464)
    correction  M  = M~ + sum_heads b k (v - k^T M~)^T                the delta rule
                M  = M~ + sum_heads b k v^T                           additive: linear attention, not normalised
    read        r  = M^T q                                            after the write

Keys k and queries q are feature vectors with a number for each slot. After one head has written v at a key of length 1
with b = 1, the read at that key gives v; reads at keys orthogonal to it are unchanged. With a key that selects one
slot, this is the NTM's erase (e = b) and add (a = b v). With soft weightings they differ: the NTM erases w(i) b of each
slot by itself, the delta rule subtracts what a read at k would give. Values are in (-1, 1), as in the NTM here.

The papers differ, and a field decides:

- `rule`: correct what is read at the key ("delta"), or add to it ("additive").
- `keys`: of length 1 ("sphere", arXiv 2406.06484) or distributions over the slots ("simplex", 2102.11174).
- `decay`: M is kept ("none"), or multiplied by a number in (0, 1), emitted for each memory ("number", 2412.06464) or
  for each of its slots ("slots", Kimi delta attention). It is a sigmoid here, and starts at 0.998, so that sequences of
  50 steps are kept.
- `largest_rate`: b is in (0, 1), or in (0, 2), where I - b k k^T can have negative eigenvalues (2411.12537).
- `memories`: heads write to the same memory, each correction computed from the memory before the step ("shared", as in
  the NTM), or each head has a block of the slots of its own ("own", as in the papers). Corrections of heads that share
  a memory add up: together their rates are at most 2, beyond which the memory could grow without bound.
- `follow`: a share of each key is the last query (see `mann.addressing.keys`); such a key is shorter than 1.
- `normalise`: what a head reads is divided by its root mean square ("rms", as in the later papers), or not ("none").
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, NamedTuple

import torch
from annotated_types import Gt, Le
from torch import Tensor
from torch.nn import functional

from data.checking import AtLeastOne
from mann.addressing.keys import (
    bound_key,
    follow_at_first,
    in_own_slots,
    on_simplex,
    on_sphere,
    over_own_slots,
    slots_of_each,
    with_normalised_reads,
)
from mann.addressing.scheme import Control, Controls, Scheme, WeightsAre, Write

RATE_BIAS: Final = 1.0
"""Initial bias of the rate: b starts at 0.73 of its largest value."""

DECAY_BIAS: Final = 6.0
"""Initial bias of the decay: sigmoid(6) = 0.998 is left after a step."""


class DeltaState(NamedTuple):
    """The query of the last step.

    Attributes:
        query: [batch, heads, slots].
    """

    query: Tensor


def positive(emitted: Tensor) -> Tensor:
    """elu(emitted) + 1, above 0."""
    return functional.elu(emitted) + 1


def correction(keys: Tensor, values: Tensor, memory: Tensor) -> Tensor:
    """Return v - k^T M, the error of the read at each key, [batch, heads, word_size]; keys: [batch, heads, slots].

    >>> correction(torch.tensor([[[0.0, 1.0]]]), torch.tensor([[[5.0, 6.0]]]), torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[2., 2.]]])
    """
    return values - keys @ memory


@dataclass(frozen=True)
class Delta(Scheme[DeltaState]):
    """The delta rule; see the module's docstring for each field.

    >>> Delta(read_heads=2).weights_are, Delta(keys="simplex").weights_are
    ('features', 'weightings')
    """

    read_heads: AtLeastOne = 2
    """Heads; each reads and writes."""
    rule: Literal["delta", "additive"] = "delta"
    """Correct what is read at the key, or add to it."""
    keys: Literal["sphere", "simplex"] = "sphere"
    """Keys and queries of length 1 at most, or distributions over the slots."""
    decay: Literal["none", "number", "slots"] = "number"
    """Keep the memory, or let it decay by one number, or by a number for each slot."""
    largest_rate: Annotated[float, Gt(0), Le(2)] = 1.0
    """Largest rate b of a write; of heads that share a memory 2 divided by their number, if that is less."""
    memories: Literal["shared", "own"] = "shared"
    """Heads share the memory, or each has a block of its slots."""
    follow: bool = True
    """Bind values to the last query: a share of the key that the controller emits."""
    normalise: Literal["none", "rms"] = "none"
    """Divide what a head reads by its root mean square."""
    name: Literal["delta"] = field(default="delta", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    @property
    def weights_are(self) -> WeightsAre:
        """Weightings on the simplex, as long as what is read is not scaled."""
        return "weightings" if self.keys == "simplex" and self.normalise == "none" else "features"

    @property
    def _blocks(self) -> int:
        """Memories that the slots are shared out to."""
        return self.read_heads if self.memories == "own" else 1

    @property
    def _rate(self) -> float:
        """Largest rate of each head."""
        return self.largest_rate if self.memories == "own" else min(self.largest_rate, 2 / self.read_heads)

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Keys and queries before their normalisation, values in (-1, 1), rates in (0, `largest_rate`)."""
        size = slots_of_each(slots, self._blocks)
        features = positive if self.keys == "simplex" else functional.silu
        controls = {
            "key": Control(self.read_heads, size, features),
            "query": Control(self.read_heads, size, features),
            "value": Control(self.read_heads, word_size, torch.tanh),
            "rate": Control(self.read_heads, 1, lambda emitted: self._rate * torch.sigmoid(emitted)),
        }
        if self.decay != "none":
            controls["decay"] = Control(self._blocks, 1 if self.decay == "number" else size, torch.sigmoid)
        if self.follow:
            controls["follow"] = Control(self.read_heads, 1, torch.sigmoid)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Start with heads that write, at the last query, to a memory that keeps."""
        biases["rate"].fill_(RATE_BIAS)
        if "decay" in biases:
            biases["decay"].fill_(DECAY_BIAS)
        follow_at_first(biases)

    def initial_state(self, memory: Tensor) -> DeltaState:
        """Return a query of zeros."""
        batch, slots, _ = memory.shape
        return DeltaState(memory.new_zeros(batch, self.read_heads, slots))

    def write(self, controls: Controls, memory: Tensor, state: DeltaState) -> tuple[Write, DeltaState]:
        """Let the memory decay, and correct what is read at the keys."""
        slots = memory.shape[1]
        keys = self._features(controls["key"], slots)
        if self.follow:
            keys = bound_key(keys, controls["follow"], state.query)
        keep = self._keep(controls, memory)
        values = controls["value"]
        # The decay is applied to the sum over slots here, as it is to the memory in the write: k^T (a M) = (a k)^T M.
        lacking = values if self.rule == "additive" else correction(keys * keep.mT, values, memory)
        query = self._features(controls["query"], slots)
        return Write(keys, keep, controls["rate"] * lacking), DeltaState(query)

    def read(self, controls: Controls, memory: Tensor, state: DeltaState, write: Write) -> tuple[Tensor, DeltaState]:
        """Read at the queries."""
        query = state.query
        return query if self.normalise == "none" else with_normalised_reads(query, memory), state

    def _features(self, emitted: Tensor, slots: int) -> Tensor:
        """Return keys or queries [batch, heads, slots], normalised."""
        placed = in_own_slots(emitted, slots) if self.memories == "own" else emitted
        return on_simplex(placed) if self.keys == "simplex" else on_sphere(placed)

    def _keep(self, controls: Controls, memory: Tensor) -> Tensor:
        """Return the share of each slot that the decay leaves, [batch, slots, 1]."""
        if self.decay == "none":
            return torch.ones_like(memory[..., :1])
        return over_own_slots(controls["decay"], memory.shape[1])
