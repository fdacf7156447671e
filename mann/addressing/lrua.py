"""Least recently used access (LRUA), Santoro et al. 2016 (arXiv 1605.06065), section 3.2.

    read weights     w^r_t(i) = softmax_i K(k_t, M_t(i))
    usage            w^u_t = gamma w^u_{t-1} + w^r_t + w^w_t
    least used       w^lu_t(i) = 1 if w^u_t(i) <= m(w^u_t, n) else 0,  m(w, n) the n-th smallest of w
    write weights    w^w_t = sigma(alpha) w^r_{t-1} + (1 - sigma(alpha)) w^lu_{t-1}
    erase            before the write the least used slot is set to zero
    write            M_t(i) = M_{t-1}(i) + w^w_t(i) k_t

The paper leaves open, and a field decides (the default is the paper's reading):

- `key_strength`: the paper's softmax has no strength. `b > 0` multiplies the similarity by 1 + b softplus(emitted).
- `write_vector`: the paper writes the read key ("key"); "add" emits a separate vector.
- `write_heads`: one for each read head ("each"), or "one", which writes at the mean of the last read weightings (the
  first head's key, if keys are written).
- `least_used`: all heads share the n-hot weighting ("shared"), or head j has the j-th least used slot ("own").
- `zeroed`: one slot is set to zero before the write ("one"), or all n least used ("all").
- `usage_decay`: gamma.
- `start`: the paper does not say how heads are initialised. "alike": all at random. "paired": the first head of a pair
  starts with the key of the word that the second one writes, and writes where it last read; the second starts by
  writing to the least used slot. So an image is written to a fresh slot, is found there at once, and its label is
  added to it a step later.

The read takes place before or after the write, as the network has it (`MemoryNetwork.read_first`). Ties in usage (all
slots, at the first step) go to the slot of lower index, so that exactly n slots are least used: with the paper's `<=`
every slot of a constant memory would receive the same words and none could ever differ from another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from data.checking import AtLeastOne
from mann.addressing.ranking import lowest
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity, content_weights

PAIRED_GATE: Final = 2.0
"""Initial biases of the gates of paired heads: sigma(2) = 0.88 and sigma(-2) = 0.12."""


class LRUAState(NamedTuple):
    """The last reads, and the usage of each slot.

    Attributes:
        read_weights: [batch, read heads, slots].
        usage: [batch, slots], >= 0.
    """

    read_weights: Tensor
    usage: Tensor


def least_used_slots(usage: Tensor, count: int) -> Tensor:
    """w^lu: the `count` least used slots, the least used first, ties to the lower index.

    usage: [batch, slots]; returns one-hot rows [batch, count, slots] of usage's dtype.

    >>> least_used_slots(torch.tensor([[3.0, 1.0, 2.0]]), 2)
    tensor([[[0., 1., 0.],
             [0., 0., 1.]]])
    """
    # Not one_hot, which checks the range of the indices at every step (on a GPU, by waiting for it). Indices of 32 bits
    # are as wide as the float32 numbers that they become, and are compared in whole vector registers.
    slots = torch.arange(usage.shape[-1], dtype=torch.int32, device=usage.device)
    return (lowest(usage, count).to(torch.int32).unsqueeze(-1) == slots).to(usage.dtype)


def write_weights(gate: Tensor, previous_read: Tensor, least_used: Tensor) -> Tensor:
    """w^w_t = sigma(alpha) w^r_{t-1} + (1 - sigma(alpha)) w^lu_{t-1}.

    gate: [batch, heads, 1], sigma(alpha) itself; the others broadcast to [batch, heads, slots].
    """
    return least_used + gate * (previous_read - least_used)


def next_usage(usage: Tensor, decay: float, read_weights: Tensor, write_weights: Tensor) -> Tensor:
    """w^u_t = gamma w^u_{t-1} + w^r_t + w^w_t, summed over heads. Returns [batch, slots]."""
    return decay * usage + read_weights.sum(1) + write_weights.sum(1)


def strength_range(scale: float) -> Callable[[Tensor], Tensor]:
    """Return the range of key strengths, 1 + scale softplus(emitted)."""
    return lambda emitted: 1 + scale * functional.softplus(emitted)


def slot_for_each_head(ranked: Tensor, heads: int) -> Tensor:
    """Return the j-th of the ranked slots for head j; with fewer slots than heads, slots are given out again in turn.

    ranked: [batch, count, slots]; returns [batch, heads, slots].
    """
    return ranked[:, [head % ranked.shape[1] for head in range(heads)]]


def initialise_pairs(gates: Tensor, keys: Tensor, adds: Tensor | None) -> None:
    """Initialise heads in pairs, in place: the first looks for the word that the second writes, and adds to it.

    Args:
        gates: Biases of the write gates, [heads, 1]; the last of an odd number of heads is left unchanged.
        keys: Weights of the read keys, [heads, word_size, hidden_size].
        adds: Weights of the add vectors, likewise; None where heads write their keys, which are then left unchanged.
    """
    last = len(gates) // 2 * 2
    gates[0:last:2] = PAIRED_GATE
    gates[1:last:2] = -PAIRED_GATE
    if adds is not None:
        keys[0:last:2] = adds[1:last:2]


@dataclass(frozen=True)
class LRUA(Scheme[LRUAState]):
    """Least recently used access; see the module's docstring for each field.

    >>> scheme = LRUA(read_heads=2, usage_decay=0.95)
    >>> scheme.name, scheme.writers
    ('lrua', 2)
    >>> LRUA(write_vector="value")
    Traceback (most recent call last):
        ...
    data.errors.InputError: `write_vector` of lrua: Input should be 'key' or 'add', found 'value'
    """

    read_heads: AtLeastOne = 4
    """Read heads (the paper: 4)."""
    key_strength: Annotated[float, Ge(0)] = 0.0
    """0: no key strength (the paper). b > 0: similarity times 1 + b softplus(emitted)."""
    write_vector: Literal["key", "add"] = "key"
    """Write the read key (the paper) or a separate vector."""
    write_heads: Literal["each", "one"] = "each"
    """A write head for each read head, or a single one."""
    least_used: Literal["shared", "own"] = "shared"
    """Heads share the n least used slots, or head j has the j-th least used."""
    zeroed: Literal["one", "all"] = "one"
    """Set the least used slot to zero before the write, or all n of them."""
    usage_decay: Annotated[float, Ge(0), Le(1)] = 0.99
    """gamma: the share of the usage that is left after a step."""
    start: Literal["alike", "paired"] = "alike"
    """Initial heads: all at random, or in pairs: one writes the image, the other finds it and adds its label."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine (the paper), dot (product), or euclidean (the negative distance)."""
    name: Literal["lrua"] = field(default="lrua", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    @property
    def writers(self) -> int:
        """Number of write heads."""
        return self.read_heads if self.write_heads == "each" else 1

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Keys and vectors in (-1, 1), gate in (0, 1), strength >= 1."""
        controls = {
            "key": Control(self.read_heads, word_size, torch.tanh),
            "gate": Control(self.writers, 1, torch.sigmoid),
        }
        if self.key_strength > 0:
            controls["strength"] = Control(self.read_heads, 1, strength_range(self.key_strength))
        if self.write_vector == "add":
            controls["add"] = Control(self.writers, word_size, torch.tanh)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Initialise heads in pairs if `start` selects it; a head without a partner is left unchanged."""
        if self.start == "paired":
            initialise_pairs(biases["gate"], weights["key"], weights.get("add"))

    def initial_state(self, memory: Tensor) -> LRUAState:
        """Return zeros: nothing read, nothing used."""
        batch, slots, _ = memory.shape
        return LRUAState(memory.new_zeros(batch, self.read_heads, slots), memory.new_zeros(batch, slots))

    def write(self, controls: Controls, memory: Tensor, state: LRUAState) -> tuple[Write, LRUAState]:
        """Write where the last read was, or to the least used slots."""
        slots = memory.shape[1]
        # Which slots are least used is a choice, not a quantity: no gradient flows into it.
        ranked = least_used_slots(state.usage, min(self.read_heads, slots))
        shared = ranked.sum(1, keepdim=True)
        least = shared if self.least_used == "shared" else slot_for_each_head(ranked, self.writers)
        previous = state.read_weights
        if self.write_heads == "one":
            previous = previous.mean(1, keepdim=True)
        weights = write_weights(controls["gate"], previous, least)
        keep = 1 - (ranked[:, :1] if self.zeroed == "one" else shared).mT
        vectors = controls["add"] if self.write_vector == "add" else controls["key"]
        return Write(weights, keep, vectors[:, : self.writers]), state

    def read(self, controls: Controls, memory: Tensor, state: LRUAState, write: Write) -> tuple[Tensor, LRUAState]:
        """Read by content alone; reads and writes count as usage."""
        weights = content_weights(controls["key"], controls.get("strength", 1.0), memory, self.similarity)
        usage = next_usage(state.usage, self.usage_decay, weights, write.weights)
        # Without gradient: `write` only ranks the usages, and the gradient's graph would grow with the sequence.
        return weights, LRUAState(weights, usage.detach())
