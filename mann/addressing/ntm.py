"""Neural Turing Machine, Graves, Wayne, Danihelka 2014 (arXiv 1410.5401), section 3: content and location.

    content        w^c(i) = softmax_i( beta K[k, M(i)] )                          equation 5
    interpolation  w^g = g w^c + (1 - g) w_{t-1}                                  equation 7
    shift          w~(i) = sum_j w^g(j) s(i - j mod N)                            equation 8
    sharpening     w(i) = w~(i)^gamma / sum_j w~(j)^gamma                         equation 9
    erase, add     M(i) = M_{t-1}(i) prod_heads (1 - w(i) e) + sum_heads w(i) a   equations 3 and 4, in `memory`

Each head has controls of its own. Write heads address the memory of the step before, read heads the memory that they
read. The paper leaves open, and here:

- Keys and add vectors are in (-1, 1), strengths beta > 0 and sharpening gamma > 1, by softplus.
- All heads start at the first slot. Weightings that start at zero, or equal for all slots, stay equal for all slots of
  a constant memory, whatever the controls are. (A network can learn the initial weightings instead.)
- `start` selects the initial controls: random ones ("alike"), or those of a tape machine and its variants (`tape`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Annotated, Any, Final, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from data.checking import AtLeastOne
from mann.addressing.memory import retained
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity, content_weights
from mann.addressing.tape import START_MARKER, WRITE_GAIN, initialise_tape

SMALLEST: Final = 1e-12
"""Weightings without a larger weight are not normalised to a sum of 1."""


class NTMState(NamedTuple):
    """The last weightings.

    Attributes:
        read_weights: [batch, read heads, slots].
        write_weights: [batch, write heads, slots].
    """

    read_weights: Tensor
    write_weights: Tensor


def interpolate(gate: Tensor, content: Tensor, previous: Tensor) -> Tensor:
    """w^g = g w^c + (1 - g) w_{t-1}, equation 7. gate: [batch, heads, 1]; the others [batch, heads, slots]."""
    return previous + gate * (content - previous)


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """w~(i) = sum_j w(j) s(i - j mod N), equation 8.

    weights: [batch, heads, slots]; shifts: [batch, heads, 2 S + 1], a distribution over the offsets -S, ..., S. More
    offsets than slots wrap around.

    >>> shift(torch.tensor([[[1.0, 0.0, 0.0]]]), torch.tensor([[[0.25, 0.0, 0.75]]]))
    tensor([[[0.0000, 0.7500, 0.2500]]])
    """
    return _Shift.apply(weights, shifts)


def _shifted(weights: Tensor, largest: int) -> list[Tensor]:
    """Return the weights shifted by each of the offsets -largest, ..., largest, as views of one copy."""
    slots = weights.shape[-1]
    rounds = -(-largest // slots)
    # Repeated on both sides, a circular shift is a window: views cost nothing, where torch.roll copies each offset.
    repeated = torch.cat([weights] * (2 * rounds + 1), -1)
    return [repeated.narrow(-1, rounds * slots - offset, slots) for offset in range(-largest, largest + 1)]


class _Shift(Function):
    """`shift`, with a gradient that is a shift in the opposite direction.

    The gradient that autograd derives adds one number at a time, because its indices wrap around.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(weights: Tensor, shifts: Tensor) -> Tensor:
        shares = shifts.unsqueeze(-1).unbind(2)
        parts = map(torch.mul, shares, _shifted(weights, len(shares) // 2))
        return reduce(torch.add, parts)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (weights, shifts) = gradients, ctx.saved_tensors
        # d w~(i) / d w(j) = s(i - j): the transposed convolution, with the offsets in reverse order.
        shifted = _shifted(weights, shifts.shape[-1] // 2)
        return shift(gradient, shifts.flip(-1)), torch.stack([(gradient * one).sum(-1) for one in shifted], -1)


def sharpen(weights: Tensor, power: Tensor) -> Tensor:
    """w(i) = w~(i)^gamma / sum_j w~(j)^gamma, equation 9; weights that are all zero stay zero.

    weights: [batch, heads, slots] >= 0; power: [batch, heads, 1] >= 1.
    """
    # Powers of small weights underflow, and their sum with them. Equation 9 does not depend on the scale of the
    # weights, so they are divided by the largest, as a constant: the sum is then at least 1, whatever the power.
    largest = weights.amax(-1, keepdim=True).detach()
    enough = largest > SMALLEST
    powers = (weights / largest.where(enough, 1)).pow(power)
    return powers / powers.sum(-1, keepdim=True).where(enough, 1)


def first_slot(memory: Tensor, heads: int) -> Tensor:
    """Return weightings [batch, heads, slots] of the first slot of a memory [batch, slots, word_size]."""
    batch, slots, _ = memory.shape
    return functional.one_hot(memory.new_zeros(batch, heads, dtype=torch.int64), slots).to(memory.dtype)


def content_controls(kind: str, heads: int, word_size: int) -> dict[str, Control]:
    """Return the controls for content addressing by the heads of a kind ("read" or "write")."""
    return {
        f"{kind}_key": Control(heads, word_size, torch.tanh),
        f"{kind}_strength": Control(heads, 1, functional.softplus),
    }


def location_controls(kind: str, heads: int, shift_range: int) -> dict[str, Control]:
    """Return the controls for shift and sharpening."""
    return {
        f"{kind}_shift": Control(heads, 2 * shift_range + 1, lambda emitted: torch.softmax(emitted, -1)),
        f"{kind}_sharpening": Control(heads, 1, lambda emitted: 1 + functional.softplus(emitted)),
    }


def head_controls(kind: str, heads: int, word_size: int, shift_range: int) -> dict[str, Control]:
    """Return the controls for full addressing."""
    return {
        **content_controls(kind, heads, word_size),
        f"{kind}_gate": Control(heads, 1, torch.sigmoid),
        **location_controls(kind, heads, shift_range),
    }


def writing_controls(heads: int, word_size: int) -> dict[str, Control]:
    """Return the controls for the write: erase in (0, 1) and add in (-1, 1)."""
    return {"erase": Control(heads, word_size, torch.sigmoid), "add": Control(heads, word_size, torch.tanh)}


def content_address(controls: Controls, kind: str, memory: Tensor, similarity: Similarity) -> Tensor:
    """Address by content alone, equation 5. Returns [batch, heads, slots]."""
    return content_weights(controls[f"{kind}_key"], controls[f"{kind}_strength"], memory, similarity)


def location_address(controls: Controls, kind: str, weights: Tensor) -> Tensor:
    """Shift and sharpen, equations 8 and 9. Returns [batch, heads, slots]."""
    return sharpen(shift(weights, controls[f"{kind}_shift"]), controls[f"{kind}_sharpening"])


def address(controls: Controls, kind: str, memory: Tensor, previous: Tensor, similarity: Similarity) -> Tensor:
    """Figure 2: content, interpolation, shift and sharpening. Returns [batch, heads, slots]."""
    content = content_address(controls, kind, memory, similarity)
    return location_address(controls, kind, interpolate(controls[f"{kind}_gate"], content, previous))


def erase_and_add(controls: Controls, weights: Tensor) -> Write:
    """Return the write of heads at `weights` [batch, heads, slots], equations 3 and 4."""
    return Write(weights, retained(weights, controls["erase"]), controls["add"])


@dataclass(frozen=True)
class NTM(Scheme[NTMState]):
    """Content and location; see the module's docstring.

    >>> from mann import LSTMController, MemoryNetwork
    >>> network = MemoryNetwork(9, 8, NTM(read_heads=2), LSTMController, slots=16, word_size=6)
    >>> outputs, state = network(torch.zeros(5, 3, 9))
    >>> state.addressing.read_weights.shape
    torch.Size([3, 2, 16])
    """

    read_heads: AtLeastOne = 1
    """Read heads."""
    write_heads: AtLeastOne = 1
    """Write heads."""
    shift_range: Annotated[int, Ge(0)] = 1
    """Largest shift in a step (S)."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""
    start: Literal["alike", "tape", "search", "recall", "recognise"] = "alike"
    """Initial controls. alike: random. tape: write heads move on by a slot a step; of several read heads the first
    follows them, and the others stay at the first slot. search, recall, recognise: the others address by content; the
    slot after that; or so with the written words as keys."""
    name: Literal["ntm"] = field(default="ntm", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    @property
    def start_marker(self) -> float:
        """The marker in the first slot of a tape."""
        return 0.0 if self.start == "alike" else START_MARKER

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Key, strength, gate, shift and sharpening for each head; erase and add for each write head."""
        controls = {
            **head_controls("write", self.write_heads, word_size, self.shift_range),
            **writing_controls(self.write_heads, word_size),
            **head_controls("read", self.read_heads, word_size, self.shift_range),
        }
        if self.start == "tape":
            for name in ("write_gate", "write_shift", "write_sharpening"):
                controls[name] = controls[name]._replace(gain=WRITE_GAIN)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Set the initial controls that `start` selects."""
        if self.start != "alike":
            initialise_tape(self.start, self.shift_range, weights, biases)

    def initial_state(self, memory: Tensor) -> NTMState:
        """Return weightings of the first slot for all heads."""
        read, write = (first_slot(memory, heads) for heads in (self.read_heads, self.write_heads))
        return NTMState(read, write)

    def write(self, controls: Controls, memory: Tensor, state: NTMState) -> tuple[Write, NTMState]:
        """Address with the write heads, erase and add."""
        weights = address(controls, "write", memory, state.write_weights, self.similarity)
        return erase_and_add(controls, weights), state._replace(write_weights=weights)

    def read(self, controls: Controls, memory: Tensor, state: NTMState, write: Write) -> tuple[Tensor, NTMState]:
        """Address with the read heads."""
        weights = address(controls, "read", memory, state.read_weights, self.similarity)
        return weights, state._replace(read_weights=weights)
