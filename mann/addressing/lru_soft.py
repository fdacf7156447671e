"""Least recently used access with a softmax in place of the hard n-hot choice, so that gradients flow through it.

    least used       w^lu_t(i) = softmax_i( -lambda w^u_t(i) )
    write weights    w^w_t = sigma(alpha) w^r_{t-1} + (1 - sigma(alpha)) w^lu_{t-1}
    erase            M'(i) = (1 - w^lu_{t-1}(i)) M_{t-1}(i)
    usage            w^u_t = gamma w^u_{t-1} + w^r_t + w^w_t

The second and the fourth equation are those of LRUA (Santoro et al. 2016, section 3.2; `lrua`), here with the gradient
of the usage. All heads share one least used weighting. Slot i starts with a usage of i / N: from equal usages all slots
would be written equally, and none could ever differ from another.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from data.checking import AtLeastOne
from mann.addressing.lrua import LRUAState, initialise_pairs, next_usage, strength_range, write_weights
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import Similarity, content_weights


def soft_least_used(usage: Tensor, sharpness: float) -> Tensor:
    """w^lu(i) = softmax_i(-lambda w^u(i)); usage: [batch, slots]; returns [batch, 1, slots]."""
    return torch.softmax(-sharpness * usage, -1).unsqueeze(1)


@dataclass(frozen=True)
class LRUSoft(Scheme[LRUAState]):
    """Least recently used access, differentiable; see the module's docstring.

    >>> LRUSoft().initial_state(torch.zeros(1, 4, 6)).usage
    tensor([[0.0000, 0.2500, 0.5000, 0.7500]])
    """

    read_heads: AtLeastOne = 2
    """Heads; each reads and writes."""
    key_strength: Annotated[float, Ge(0)] = 8.0
    """Similarities are multiplied by 1 + key_strength softplus(emitted)."""
    sharpness: Annotated[float, Gt(0)] = 100.0
    """lambda: sharpness of the choice of the least used slot; the larger, the closer to that of LRUA."""
    usage_decay: Annotated[float, Ge(0), Le(1)] = 0.99
    """gamma: the share of the usage that is left after a step."""
    start: Literal["alike", "paired"] = "paired"
    """Initial heads: all at random, or in pairs: one writes, the other finds it and adds to it."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine, dot (product), or euclidean (the negative distance)."""
    name: Literal["lru-soft"] = field(default="lru-soft", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Keys and vectors in (-1, 1), gates in (0, 1), strengths >= 1."""
        return {
            "key": Control(self.read_heads, word_size, torch.tanh),
            "strength": Control(self.read_heads, 1, strength_range(self.key_strength)),
            "gate": Control(self.read_heads, 1, torch.sigmoid),
            "add": Control(self.read_heads, word_size, torch.tanh),
        }

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Initialise heads in pairs if `start` selects it."""
        if self.start == "paired":
            initialise_pairs(biases["gate"], weights["key"], weights["add"])

    def initial_state(self, memory: Tensor) -> LRUAState:
        """Return zero reads, and the usage i / N for slot i."""
        batch, slots, _ = memory.shape
        ramp = torch.arange(slots, dtype=memory.dtype, device=memory.device) / slots
        return LRUAState(memory.new_zeros(batch, self.read_heads, slots), ramp.expand(batch, slots).clone())

    def write(self, controls: Controls, memory: Tensor, state: LRUAState) -> tuple[Write, LRUAState]:
        """Write where the last read was, or to the least used slot."""
        least = soft_least_used(state.usage, self.sharpness)
        return Write(write_weights(controls["gate"], state.read_weights, least), 1 - least.mT, controls["add"]), state

    def read(self, controls: Controls, memory: Tensor, state: LRUAState, write: Write) -> tuple[Tensor, LRUAState]:
        """Read by content alone; reads and writes count as usage."""
        weights = content_weights(controls["key"], controls["strength"], memory, self.similarity)
        return weights, LRUAState(weights, next_usage(state.usage, self.usage_decay, weights, write.weights))
