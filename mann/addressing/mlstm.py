"""The matrix memory of the mLSTM (Beck et al. 2024, xLSTM, arXiv 2405.04517), with stabilised exponential gates.

    stabiliser   m = max(log sigmoid(f~) + m_{t-1}, i~)
    gates        f = exp(log sigmoid(f~) + m_{t-1} - m),   i = exp(i~ - m)
    write        C = f C_{t-1} + i (k / sqrt N) v^T
    normaliser   n = f n_{t-1} + i k / sqrt N
    read         h = C^T q / (max(|n . q|, exp(-m)) + 1e-6),   divided by its root mean square

Each head has a matrix C of its own, here a block of the slots; N is the number of its slots. Keys and queries have a
number for each slot, of any sign and size. The output gate is left to the controller. The paper normalises what a head
reads with LayerNorm; here it is divided by its root mean square (`normalise`), and the divisor above cancels, but for
small reads. A share of each key is the last query (`follow`, see `mann.addressing.keys`). The read is meant to be after
the write: with `read_first` the matrix is that before the write, and normaliser and stabiliser are those after it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from data.checking import AtLeastOne
from mann.addressing.keys import (
    bound_key,
    follow_at_first,
    in_own_slots,
    over_own_slots,
    slots_of_each,
    with_normalised_reads,
)
from mann.addressing.scheme import Control, Controls, Scheme, WeightsAre, Write, identity

SMALLEST: Final = 1e-6
"""Added to the divisor of a read."""

LARGEST: Final = 30.0
"""Bound on -m in the divisor, so that exp(-m) stays finite; a read divided by exp(30) is 0 in effect."""

FORGET_BIASES: Final = (3.0, 6.0)
"""Initial biases of the forget gates, evenly from the first head to the last: sigmoid(3) = 0.95, sigmoid(6) = 0.998."""

INPUT_SPREAD: Final = 0.1
"""Standard deviation of the initial biases of the input gates."""


class MLSTMState(NamedTuple):
    """The last query, and the normaliser and the stabiliser of each head.

    Attributes:
        query: [batch, heads, slots].
        normaliser: n, [batch, heads, slots].
        stabiliser: m, [batch, heads, 1].
    """

    query: Tensor
    normaliser: Tensor
    stabiliser: Tensor


def stabilised(forget: Tensor, take_in: Tensor, stabiliser: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return f and i, both in [0, 1], and the new m, from f~ and i~, emitted, and the last m.

    >>> forget, take_in, stabiliser = stabilised(torch.tensor(100.0), torch.tensor(3.0), torch.tensor(0.0))
    >>> forget.item(), take_in.item(), stabiliser.item()  # exp(-3), exp(3 - 3), max(0, 3)
    (0.049787066876888275, 1.0, 3.0)
    """
    kept = functional.logsigmoid(forget) + stabiliser
    largest = torch.maximum(kept, take_in)
    return torch.exp(kept - largest), torch.exp(take_in - largest), largest


def normalised_query(query: Tensor, normaliser: Tensor, stabiliser: Tensor) -> Tensor:
    """Return q / (max(|n . q|, exp(-m)) + 1e-6) for each head, [batch, heads, slots]; stabiliser: [batch, heads, 1]."""
    size = (normaliser * query).sum(-1, keepdim=True).abs()
    # Limited, as the exponential of a large number would be infinite, and its gradient NaN.
    return query / (torch.maximum(size, torch.exp(-stabiliser.clamp(min=-LARGEST))) + SMALLEST)


@dataclass(frozen=True)
class MLSTM(Scheme[MLSTMState]):
    """The matrix memory of the mLSTM; see the module's docstring.

    >>> MLSTM(read_heads=4).controls(word_size=20, slots=64)["key"].size
    16
    """

    read_heads: AtLeastOne = 2
    """Heads; each has a block of the slots, which it reads and writes."""
    follow: bool = True
    """Bind values to the last query: a share of the key that the controller emits."""
    normalise: Literal["none", "rms"] = "rms"
    """Divide what a head reads by its root mean square."""
    name: Literal["mlstm"] = field(default="mlstm", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    @property
    def weights_are(self) -> WeightsAre:
        """Keys and queries."""
        return "features"

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """Keys, queries, values and gates, of any size: the gates before their exponentials."""
        size = slots_of_each(slots, self.read_heads)
        controls = {
            "key": Control(self.read_heads, size, identity),
            "query": Control(self.read_heads, size, identity),
            "value": Control(self.read_heads, word_size, identity),
            "forget": Control(self.read_heads, 1, identity),
            "input": Control(self.read_heads, 1, identity),
        }
        if self.follow:
            controls["follow"] = Control(self.read_heads, 1, torch.sigmoid)
        return controls

    def initialise(self, weights: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
        """Start with gates that do not depend on the input, as the paper's code has them."""
        for gate in ("forget", "input"):
            weights[gate].zero_()
        biases["forget"].copy_(torch.linspace(*FORGET_BIASES, self.read_heads).unsqueeze(-1))
        biases["input"].normal_(0, INPUT_SPREAD)
        follow_at_first(biases)

    def initial_state(self, memory: Tensor) -> MLSTMState:
        """Return zeros."""
        batch, slots, _ = memory.shape
        zeros = memory.new_zeros(batch, self.read_heads, slots)
        return MLSTMState(zeros, zeros, memory.new_zeros(batch, self.read_heads, 1))

    def write(self, controls: Controls, memory: Tensor, state: MLSTMState) -> tuple[Write, MLSTMState]:
        """Forget, and write each value at its key."""
        slots = memory.shape[1]
        keys = in_own_slots(controls["key"], slots)
        if self.follow:
            keys = bound_key(keys, controls["follow"], state.query)
        forget, take_in, stabiliser = stabilised(controls["forget"], controls["input"], state.stabiliser)
        weights = take_in * keys / math.sqrt(controls["key"].shape[-1])
        after = MLSTMState(in_own_slots(controls["query"], slots), forget * state.normaliser + weights, stabiliser)
        return Write(weights, over_own_slots(forget, slots), controls["value"]), after

    def read(self, controls: Controls, memory: Tensor, state: MLSTMState, write: Write) -> tuple[Tensor, MLSTMState]:
        """Read at the queries."""
        query = normalised_query(state.query, state.normaliser, state.stabiliser)
        return with_normalised_reads(query, memory) if self.normalise == "rms" else query, state
