"""Neural Turing Machine, Graves, Wayne, Danihelka 2014 (arXiv 1410.5401), section 3.3: content and location.

    content        w^c(i) = softmax_i( beta K[k, M(i)] )
    interpolation  w^g = g w^c + (1 - g) w_{t-1}
    shift          w~(i) = sum_j w^g(j) s(i - j mod N)
    sharpening     w(i) = w~(i)^gamma / sum_j w~(j)^gamma
    erase, add     M(i) = M_{t-1}(i) prod_heads (1 - w(i) e) + sum_heads w(i) a

Each head has controls of its own. Write heads address the memory of the step before, read heads the memory that they
read. The paper leaves open, and here:

- keys and add vectors are in (-1, 1), strengths beta > 0 and sharpening gamma > 1 by softplus;
- all heads start at the first slot. Weightings that start at zero, or alike everywhere, stay alike everywhere in a
  constant memory, whatever the controls say. (A network can learn where to start instead.)
- controls start near the middle of their ranges, so that heads are blurred and half led by content. With `start="tape"`
  they are those of a tape machine, sharp and led by place. Write heads go on by a slot a step and begin every word with
  a mark; read heads stay at the first slot, which is never written and holds a sign of its own, the mark's opposite,
  and would rather go on than back. Which way a tape runs is the same to the task: heads that are not told choose for
  themselves, read heads the one and write heads the other, and turn round late. So the write heads hardly heed the
  controller as to where they go. Sign and mark tell a controller without memory what it reads, however empty its input
  is. The gate of these heads is nearly closed, and what they would find by content is the left end: wherever it opens,
  they are taken back to the start. The first of several read heads goes along with the write heads: what was written a
  step before is read at once, which hands on what was seen and done. With `start="search"` the others find by content.
  With `start="recall"` they look at the slot after what they find: at what came next. With `start="recognise"` they do
  so too, and their keys are at first what is written, so that what is like the input of this step is found at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any, Literal, NamedTuple

import torch
from annotated_types import Ge
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from mann.addressing import memory as memories
from mann.addressing.scheme import AtLeastOne, Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity, content_weights

SMALLEST = 1e-12
"""Weightings without a larger weight are not brought back to a sum of 1."""

TAPE_READ_GATE, TAPE_WRITE_GATE, TAPE_SHARPENING = -5.0, -12.0, 2.0
"""What the heads of a tape start with, before the ranges: gates nearly closed, gamma = 3.1. The write heads' are
closed more nearly: where nothing depends on it (when an answer is read), a gate wanders open, and the write head then
spoils what a longer answer still needs."""

TAPE_FORWARD, TAPE_STAY, TAPE_BACK, TAPE_MARK = 4.0, 1.0, -6.0, 2.0
"""What its shifts start with, and the first number of what is written, before the ranges."""

TAPE_LEFT_END = -2.0
"""The first number of its first slot, and of the key of a read head that stays there, before its range."""

TAPE_REWIND = 8.0
"""The strength of that key: an open gate takes the head back to the left end."""

TAPE_REWIND_WEIGHTS = 0.1
"""What the controller's weights for that key and strength are multiplied by at first, or what is found would depend on
it."""

TAPE_HEED = 0.02
"""What the write heads heed of the controller as to where they go. As long as a read head knows no way but to stay at
the left end, that is where it wants the words, and calls them back."""

SEARCH_GATE, SEARCH_STRENGTH, SEARCH_SHIFT = 3.0, 2.0, 2.0
"""What heads that find by content start with, before the ranges: g = 0.95, beta = 2.1, and surely so far from it."""

RECOGNISE_STRENGTH = 6.0
"""The strength they start with where their keys are what is written, and are worth heeding from the first."""


class State(NamedTuple):
    """The last weightings: read_weights, write_weights [batch, heads, slots]."""

    read_weights: Tensor
    write_weights: Tensor


def interpolate(gate: Tensor, content: Tensor, previous: Tensor) -> Tensor:
    """w^g = g w^c + (1 - g) w_{t-1}, equation 7. gate: [batch, heads, 1]; the others [batch, heads, slots]."""
    return previous + gate * (content - previous)


def shift(weights: Tensor, shifts: Tensor) -> Tensor:
    """w~(i) = sum_j w(j) s(i - j mod N), equation 8.

    weights: [batch, heads, slots]; shifts: [batch, heads, 2 S + 1], a distribution over the offsets -S, ..., S. More
    offsets than slots go around.
    """
    return _Shift.apply(weights, shifts)


def _moved(weights: Tensor, farthest: int) -> list[Tensor]:
    """Return the weights moved by each of the offsets -farthest, ..., farthest, as views of one copy."""
    slots = weights.shape[-1]
    rounds = -(-farthest // slots)
    around = torch.cat([weights] * (2 * rounds + 1), -1)
    return [around.narrow(-1, rounds * slots - offset, slots) for offset in range(-farthest, farthest + 1)]


class _Shift(Function):
    """`shift`, whose gradient is a shift the other way.

    What autograd would derive takes a number at a time, as its indices go around.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(weights: Tensor, shifts: Tensor) -> Tensor:
        shares = shifts.unsqueeze(-1).unbind(2)
        parts = map(torch.mul, shares, _moved(weights, len(shares) // 2))
        return reduce(torch.add, parts)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,), (weights, shifts) = gradients, ctx.saved_tensors
        moved = _moved(weights, shifts.shape[-1] // 2)
        return shift(gradient, shifts.flip(-1)), torch.stack([(gradient * one).sum(-1) for one in moved], -1)


def sharpen(weights: Tensor, power: Tensor) -> Tensor:
    """w(i) = w~(i)^gamma / sum_j w~(j)^gamma, equation 9; weights that are all zero stay so.

    weights: [batch, heads, slots] >= 0; power: [batch, heads, 1] >= 1.
    """
    # Sharpening does not depend on the scale. With the largest weight at 1 the sum is at least 1 whatever the power.
    largest = weights.amax(-1, keepdim=True).detach()
    enough = largest > SMALLEST
    powers = (weights / largest.where(enough, 1)).pow(power)
    return powers / powers.sum(-1, keepdim=True).where(enough, 1)


def first_slot(batch: int, heads: int, slots: int, like: Tensor) -> Tensor:
    """Weightings [batch, heads, slots] that are all at the first slot."""
    return functional.one_hot(like.new_zeros(batch, heads, dtype=torch.int64), slots).to(like.dtype)


def content_controls(kind: str, heads: int, word_size: int) -> dict[str, Control]:
    """What content addressing takes of the heads of a kind ("read" or "write")."""
    return {
        f"{kind}_key": Control(heads, word_size, torch.tanh),
        f"{kind}_strength": Control(heads, 1, functional.softplus),
    }


def location_controls(kind: str, heads: int, shift_range: int) -> dict[str, Control]:
    """What shift and sharpening take."""
    return {
        f"{kind}_shift": Control(heads, 2 * shift_range + 1, lambda emitted: torch.softmax(emitted, -1)),
        f"{kind}_sharpening": Control(heads, 1, lambda emitted: 1 + functional.softplus(emitted)),
    }


def head_controls(kind: str, heads: int, word_size: int, shift_range: int) -> dict[str, Control]:
    """What full addressing takes."""
    return {
        **content_controls(kind, heads, word_size),
        f"{kind}_gate": Control(heads, 1, torch.sigmoid),
        **location_controls(kind, heads, shift_range),
    }


def writing_controls(heads: int, word_size: int) -> dict[str, Control]:
    """Erase in (0, 1) and add in (-1, 1)."""
    return {"erase": Control(heads, word_size, torch.sigmoid), "add": Control(heads, word_size, torch.tanh)}


def content_address(controls: Controls, kind: str, memory: Tensor, similarity: Similarity) -> Tensor:
    """By content alone. Returns [batch, heads, slots]."""
    return content_weights(controls[f"{kind}_key"], controls[f"{kind}_strength"], memory, similarity)


def location_address(controls: Controls, kind: str, weights: Tensor) -> Tensor:
    """Shift and sharpen. Returns [batch, heads, slots]."""
    return sharpen(shift(weights, controls[f"{kind}_shift"]), controls[f"{kind}_sharpening"])


def address(controls: Controls, kind: str, memory: Tensor, previous: Tensor, similarity: Similarity) -> Tensor:
    """The whole of figure 2: content, interpolation, shift, sharpening. Returns [batch, heads, slots]."""
    content = content_address(controls, kind, memory, similarity)
    return location_address(controls, kind, interpolate(controls[f"{kind}_gate"], content, previous))


def erase_and_add(controls: Controls, weights: Tensor) -> Write:
    """What heads at `weights` write, equations 3 and 4."""
    return Write(weights, memories.kept(weights, controls["erase"]), controls["add"])


@dataclass(frozen=True)
class NTM(Scheme):
    """Content and location; see the module's docstring."""

    read_heads: AtLeastOne = 1
    """Read heads."""
    write_heads: AtLeastOne = 1
    """Write heads."""
    shift_range: Annotated[int, Ge(0)] = 1
    """Farthest shift in a step (S)."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""
    start: Literal["alike", "tape", "search", "recall", "recognise"] = "alike"
    """Heads start blurred (alike); as those of a tape machine, sharp, writing a slot further at each step, the first of
    several read heads along with them (tape); or so that the other read heads find by content on such a tape (search),
    find what came next (recall), or find what came after the like of what is written now (recognise)."""

    @property
    def left_end(self) -> float:
        """The sign at the left end of a tape."""
        return 0.0 if self.start == "alike" else TAPE_LEFT_END

    def controls(self, word_size: int) -> dict[str, Control]:
        """Key, strength, gate, shift and sharpening for each head; erase and add for each write head."""
        controls = {
            **head_controls("write", self.write_heads, word_size, self.shift_range),
            **writing_controls(self.write_heads, word_size),
            **head_controls("read", self.read_heads, word_size, self.shift_range),
        }
        if self.start == "tape":
            for name in ("write_gate", "write_shift", "write_sharpening"):
                controls[name] = controls[name]._replace(heed=TAPE_HEED)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Let heads start as `start` says; without a shift, none moves on."""
        if self.start == "alike":
            return
        here, along = self.shift_range, 1 if self.read_heads > 1 else 0
        forward = slice(here + 1, here + 2)
        biases["write_gate"].fill_(TAPE_WRITE_GATE)
        biases["read_gate"].fill_(TAPE_READ_GATE)
        for kind in ("write", "read"):
            biases[f"{kind}_sharpening"].fill_(TAPE_SHARPENING)
            biases[f"{kind}_shift"][:, :here] = TAPE_BACK
        biases["write_shift"][:, forward] = TAPE_FORWARD
        biases["read_shift"][:along, forward] = TAPE_FORWARD
        biases["add"][:, 0] = TAPE_MARK
        if self.start == "tape":
            biases["read_shift"][along:, here] = TAPE_STAY
            biases["read_key"][along:, 0] = TAPE_LEFT_END
            biases["read_strength"][along:] = TAPE_REWIND
            for control in ("read_key", "read_strength"):
                weights[control][along:] *= TAPE_REWIND_WEIGHTS
        else:
            biases["read_shift"][along:, here if self.start == "search" else forward] = SEARCH_SHIFT
            biases["read_gate"][along:] = SEARCH_GATE
            if self.start == "recognise":
                biases["read_strength"][along:] = RECOGNISE_STRENGTH
                weights["read_key"][along:] = weights["add"].sum(0)  # all write heads are at the same slot
            else:
                biases["read_strength"][along:] = SEARCH_STRENGTH

    def initial_state(self, batch: int, slots: int, like: Tensor) -> State:
        """All heads at the first slot."""
        return State(first_slot(batch, self.read_heads, slots, like), first_slot(batch, self.write_heads, slots, like))

    def write(self, controls: Controls, memory: Tensor, state: State) -> tuple[Write, State]:
        """Write where the write heads point."""
        weights = address(controls, "write", memory, state.write_weights, self.similarity)
        return erase_and_add(controls, weights), state._replace(write_weights=weights)

    def read(self, controls: Controls, memory: Tensor, state: State, write: Write) -> tuple[Tensor, State]:
        """Read where the read heads point."""
        weights = address(controls, "read", memory, state.read_weights, self.similarity)
        return weights, state._replace(read_weights=weights)
