"""Differentiable Neural Computer, Graves et al. 2016 (Nature 538), Methods: allocation, temporal links, read modes.

    retention    psi(i) = prod_r (1 - f_r w^r_{t-1,r}(i))
    usage        u = (u_{t-1} + w^w_{t-1} - u_{t-1} w^w_{t-1}) psi
    allocation   a(phi_j) = (1 - u(phi_j)) prod_{i < j} u(phi_i),   phi: the slots, the least used first
    write        w^w = g^w (g^a a + (1 - g^a) c^w),   c^w: by content, in the memory before the write
    links        L(i, j) = (1 - w^w(i) - w^w(j)) L_{t-1}(i, j) + w^w(i) p_{t-1}(j),   L(i, i) = 0
    precedence   p = (1 - sum_i w^w(i)) p_{t-1} + w^w
    read         w^r = pi_1 L^T w^r_{t-1} + pi_2 c^r + pi_3 L w^r_{t-1}   (backward, content, forward)
    erase, add   M = M_{t-1} (1 - w^w e^T) + w^w a^T

Three improvements by Csordas and Schmidhuber 2019 (arXiv 1904.10278), each a field, off by default:

    masking        keys are compared with the part of a word that a mask m in (0.1, 1) selects: K[k m, M(i) m]
    deallocation   what is freed is erased too: M = M_{t-1} psi (1 - w^w e^T) + w^w a^T
    sharpness      forward and backward weights d are sharpened: d(i) <- ((d(i) + eps) / max_j (d(j) + eps))^s, divided
                   by their sum, s >= 1

One write head, as in the paper. The order of the slots (phi) is a choice, and no gradient flows into it; ties go to the
slot of lower index. Keys and add vectors are in (-1, 1), which the paper leaves open.
"""

from dataclasses import dataclass, field
from functools import reduce
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from data import InputError
from data.checking import AtLeastOne
from mann.addressing.ntm import content_address, content_controls, erase_and_add, writing_controls
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.similarity import EPSILON, Similarity, inverse_length

SMALLEST: Final = 1e-6
"""Usages in [0, 1] are mapped to [SMALLEST, 1] in the allocation, so that its gradient is finite."""


SMALLEST_MASK: Final = 0.1
"""Smallest number of a mask, which is applied to keys and words alike."""

SMALLEST_LINK: Final = 1e-6
"""Added to forward and backward weights before they are sharpened: without a link they become equal for all slots."""


class DNCState(NamedTuple):
    """The state of addressing between two steps.

    Attributes:
        read_weights: [batch, read heads, slots].
        write_weights: [batch, 1, slots].
        usage: [batch, slots] in [0, 1].
        links: [batch, slots, slots]; row i, column j: the degree to which slot i was written right after slot j.
        precedence: [batch, slots], the degree to which a slot was the last one written.
    """

    read_weights: Tensor
    write_weights: Tensor
    usage: Tensor
    links: Tensor
    precedence: Tensor


def retention(free_gates: Tensor, read_weights: Tensor) -> Tensor:
    """psi(i) = prod_r (1 - f_r w^r(i)); free_gates: [batch, heads, 1]; returns [batch, slots]."""
    return reduce(torch.mul, (1 - free_gates * read_weights).unbind(1))


def next_usage(usage: Tensor, write_weights: Tensor, retained: Tensor) -> Tensor:
    """Return u = (u_{t-1} + w^w_{t-1} - u_{t-1} w^w_{t-1}) psi; all [batch, slots]."""
    # In this form rounding never gives more than 1, and a full write gives exactly 1.
    return (usage + write_weights * (1 - usage)) * retained


def allocation(usage: Tensor) -> Tensor:
    """a(phi_j) = (1 - u(phi_j)) prod_{i < j} u(phi_i); usage: [batch, slots] in [0, 1]; returns the same shape."""
    order = torch.sort(usage.detach(), dim=-1, stable=True).indices
    ordered = SMALLEST + (1 - SMALLEST) * usage.gather(-1, order)
    # The product is the exponential of a sum of logarithms: the gradient of torch.cumprod is slow, as it has to handle
    # factors of zero, which SMALLEST excludes here. Subtracting the own logarithm makes the product exclusive (i < j).
    logarithms = ordered.log()
    products = (logarithms.cumsum(-1) - logarithms).exp()
    # Sorting the order gives its inverse permutation, from the free list to the slots.
    return ((1 - ordered) * products).gather(-1, torch.sort(order, dim=-1).indices)


def next_links(links: Tensor, precedence: Tensor, write_weights: Tensor) -> Tensor:
    """L(i, j) = (1 - w(i) - w(j)) L(i, j) + w(i) p(j), the diagonal 0; precedence, write_weights: [batch, slots]."""
    rows, columns = write_weights.unsqueeze(2), write_weights.unsqueeze(1)
    updated = (1 - rows - columns) * links + rows * precedence.unsqueeze(1)
    slots = links.shape[-1]
    return updated * (1 - torch.eye(slots, dtype=links.dtype, device=links.device))


def next_precedence(precedence: Tensor, write_weights: Tensor) -> Tensor:
    """Return p = (1 - sum_i w(i)) p_{t-1} + w; both [batch, slots]."""
    return (1 - write_weights.sum(-1, keepdim=True)) * precedence + write_weights


def mask_range(emitted: Tensor) -> Tensor:
    """Return masks in (0.1, 1)."""
    return SMALLEST_MASK + (1 - SMALLEST_MASK) * torch.sigmoid(emitted)


def masked_cosine(keys: Tensor, masks: Tensor, memory: Tensor) -> Tensor:
    """Return the cosine of k m and M(i) m, [batch, heads, slots]; keys and masks: [batch, heads, word_size].

    >>> keys, masks = torch.tensor([[[1.0, 5.0]]]), torch.tensor([[[1.0, 0.0]]])
    >>> masked_cosine(keys, masks, torch.tensor([[[2.0, -9.0], [-2.0, 5.0]]]))
    tensor([[[ 1., -1.]]])
    """
    shares = masks.square()
    lengths = torch.rsqrt(shares @ memory.square().mT + EPSILON)
    # The mask is applied to the key twice instead of to each word once: no masked copy of the memory for each head.
    return (keys * shares) @ memory.mT * lengths * inverse_length(keys * masks)


def sharpened(weights: Tensor, sharpness: Tensor) -> Tensor:
    """Return ((d + eps) / max(d + eps))^s, divided by the sum over slots; sharpness: [batch, heads, 1], >= 1.

    >>> sharpened(torch.tensor([[[0.6, 0.2]]]), torch.tensor([[[2.0]]])).round(decimals=4)
    tensor([[[0.9000, 0.1000]]])
    """
    # The power, divided by the sum, is a softmax of logarithms.
    return torch.softmax(sharpness * (weights + SMALLEST_LINK).log(), -1)


@dataclass(frozen=True)
class DNC(Scheme[DNCState]):
    """The addressing of the Differentiable Neural Computer; see the module's docstring.

    >>> DNC(read_heads=4).initial_state(torch.zeros(2, 16, 6)).links.shape
    torch.Size([2, 16, 16])
    """

    read_heads: AtLeastOne = 2
    """Read heads."""
    similarity: Similarity = "cosine"
    """How keys and slots are compared: cosine (the paper), dot (product), or euclidean (the negative distance)."""
    masking: bool = False
    """Compare keys with the part of a word that a mask selects; with the cosine alone."""
    deallocation: bool = False
    """Erase what is freed."""
    sharpness: bool = False
    """Sharpen forward and backward weights."""
    name: Literal["dnc"] = field(default="dnc", repr=False, kw_only=True)
    """The scheme's name in settings and on the command line."""

    def controls(self, word_size: int, slots: int) -> dict[str, Control]:
        """The paper's interface vector, with strengths of at least 1."""
        strengths = {
            f"{kind}_strength": Control(heads, 1, lambda emitted: 1 + functional.softplus(emitted))
            for kind, heads in (("write", 1), ("read", self.read_heads))
        }
        options = {}
        if self.masking:
            options["write_mask"] = Control(1, word_size, mask_range)
            options["read_mask"] = Control(self.read_heads, word_size, mask_range)
        if self.sharpness:
            options["link_sharpness"] = Control(self.read_heads, 2, lambda emitted: 1 + functional.softplus(emitted))
        return {
            **content_controls("write", 1, word_size),
            **writing_controls(1, word_size),
            **content_controls("read", self.read_heads, word_size),
            **strengths,
            **options,
            "free_gate": Control(self.read_heads, 1, torch.sigmoid),
            "allocation_gate": Control(1, 1, torch.sigmoid),
            "write_gate": Control(1, 1, torch.sigmoid),
            "read_modes": Control(self.read_heads, 3, lambda emitted: torch.softmax(emitted, -1)),
        }

    def check(self) -> None:
        """Check that masks have a similarity that they apply to."""
        if self.masking and self.similarity != "cosine":
            raise InputError(f"`masking` needs `similarity=cosine`, not `similarity={self.similarity}`")

    def initial_state(self, memory: Tensor) -> DNCState:
        """Return zeros: nothing read, nothing written."""
        batch, slots, _ = memory.shape
        return DNCState(
            memory.new_zeros(batch, self.read_heads, slots),
            memory.new_zeros(batch, 1, slots),
            memory.new_zeros(batch, slots),
            memory.new_zeros(batch, slots, slots),
            memory.new_zeros(batch, slots),
        )

    def write(self, controls: Controls, memory: Tensor, state: DNCState) -> tuple[Write, DNCState]:
        """Write to free slots or by content."""
        retained = retention(controls["free_gate"], state.read_weights)
        usage = next_usage(state.usage, state.write_weights.squeeze(1), retained)
        content = self._content(controls, "write", memory)
        allocated = allocation(usage).unsqueeze(1)
        mixed = content + controls["allocation_gate"] * (allocated - content)
        weights = controls["write_gate"] * mixed
        links = next_links(state.links, state.precedence, weights.squeeze(1))
        precedence = next_precedence(state.precedence, weights.squeeze(1))
        write = erase_and_add(controls, weights)
        if self.deallocation:
            write = write._replace(keep=write.keep * retained.unsqueeze(-1))
        return write, DNCState(state.read_weights, weights, usage, links, precedence)

    def read(self, controls: Controls, memory: Tensor, state: DNCState, write: Write) -> tuple[Tensor, DNCState]:
        """Read backward or forward in the order of the writes, or by content."""
        # Rows of weights times L are L^T w^r: from each slot to the one written before it.
        backward = state.read_weights @ state.links
        forward = state.read_weights @ state.links.mT
        if self.sharpness:
            backward = sharpened(backward, controls["link_sharpness"][..., :1])
            forward = sharpened(forward, controls["link_sharpness"][..., 1:])
        content = self._content(controls, "read", memory)
        modes = controls["read_modes"]
        weights = modes[..., 0:1] * backward + modes[..., 1:2] * content + modes[..., 2:3] * forward
        return weights, state._replace(read_weights=weights)

    def _content(self, controls: Controls, kind: str, memory: Tensor) -> Tensor:
        """Return weights by content of the heads of a kind ("read" or "write")."""
        if not self.masking:
            return content_address(controls, kind, memory, self.similarity)
        scores = masked_cosine(controls[f"{kind}_key"], controls[f"{kind}_mask"], memory)
        return torch.softmax(controls[f"{kind}_strength"] * scores, -1)
