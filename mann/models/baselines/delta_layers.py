"""A stack of delta-rule layers without a controller (DeltaNet, Yang et al. 2024, arXiv 2406.06484).

    q, k = L2norm(silu(conv(W x))),  v = silu(conv(W x)),  b = sigmoid(w x)
    u_t  = b_t (v_t - M_{t-1}^T k_t)
    M_t  = M_{t-1} + k_t u_t^T,      o_t = M_t^T q_t
    y_t  = W (RMSNorm(o_t) silu(W x_t))           the output gate, of the gated delta rule (2412.06464)

Each head has a memory M of its own. A convolution over the last four steps stands before q, k and v: it brings together
an image and the label that follows it. Pre-norm residual blocks, see `residual`.

The corrections u of several steps depend on each other by b_t k_t . k_s, s < t: a triangular system, which is solved
at once instead of step by step, without a loop over time.
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mann.addressing.keys import on_sphere
from mann.models.baselines.residual import Mixer, by_head, joined

KERNEL: Final = 4
"""Steps of the convolution."""

CHUNK: Final = 64
"""Steps that are solved at once: a longer sequence is a sequence of chunks."""


class DeltaLayerState(NamedTuple):
    """The state of a layer.

    Attributes:
        memory: M of each head, [batch, heads, size, size].
        recent: The last inputs of the convolution, [batch, 3 width, KERNEL - 1].
    """

    memory: Tensor
    recent: Tensor


def delta_chunk(queries: Tensor, keys: Tensor, values: Tensor, rates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is read at each step, [..., time, size], and the memory after the last.

    queries, keys, values: [..., time, size]; rates: [..., time, 1]; memory: [..., size, size].
    """
    # (I + tril(diag(b) K K^T, -1)) U = diag(b) (V - K M)
    lower = (rates * (keys @ keys.mT)).tril(-1)
    lacking = rates * (values - keys @ memory)
    corrections = torch.linalg.solve_triangular(lower, lacking, upper=False, unitriangular=True)
    reads = queries @ memory + (queries @ keys.mT).tril() @ corrections
    return reads, memory + keys.mT @ corrections


class DeltaLayer(Mixer):
    """The delta rule over time, in each head.

    Args:
        width: Numbers at each step.
        heads: Heads, each with a memory of [width / heads, width / heads].
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.projection = nn.Linear(width, 3 * width, bias=False)
        self.convolution = nn.Conv1d(3 * width, 3 * width, KERNEL, groups=3 * width, bias=False)
        self.rate = nn.Linear(width, heads)
        self.gate = nn.Linear(width, width, bias=False)
        self.norm = nn.RMSNorm(width // heads)
        self.output = nn.Linear(width, width, bias=False)

    def initial_state(self, batch: int, like: Tensor) -> DeltaLayerState:
        """Return zeros."""
        channels = self.convolution.in_channels
        memory = like.new_zeros(batch, self.heads, self.size, self.size)
        return DeltaLayerState(memory, like.new_zeros(batch, channels, KERNEL - 1))

    def forward(self, inputs: Tensor, state: DeltaLayerState) -> tuple[Tensor, DeltaLayerState]:
        """[time, batch, width] -> the same, and the state after the last step."""
        padded = torch.cat([state.recent, self.projection(inputs).permute(1, 2, 0)], -1)
        mixed = functional.silu(self.convolution(padded)).permute(2, 0, 1)
        queries, keys, values = (by_head(part, self.heads) for part in mixed.chunk(3, -1))
        queries, keys = on_sphere(queries), on_sphere(keys)
        rates = by_head(self.rate(inputs).sigmoid(), self.heads)
        digits = torch.promote_types(state.memory.dtype, torch.float32)
        memory, reads = state.memory.to(digits), []
        chunks = (part.to(digits).split(CHUNK, 2) for part in (queries, keys, values, rates))
        # Memories need more digits than autocast would leave them, and so does the triangular system.
        with torch.autocast(inputs.device.type, enabled=False):
            for query, key, value, rate in zip(*chunks, strict=True):
                read, memory = delta_chunk(query, key, value, rate, memory)
                reads.append(read)
        outputs = joined(self.norm(torch.cat(reads, 2))) * functional.silu(self.gate(inputs))
        return self.output(outputs), DeltaLayerState(memory, padded[..., -(KERNEL - 1) :])
