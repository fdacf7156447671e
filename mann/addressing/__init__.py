"""Addressing schemes, one file each: where a network writes to its memory and where it reads.

ntm:         content, interpolation, shift and sharpening; erase and add (Graves et al. 2014)
content:     the NTM without location
location:    the NTM without content
lrua:        least recently used access: usage, write weights (Santoro et al. 2016)
ntm_lru:     reads of the NTM, least recently used writes
lru_soft:    least recently used access that gradients flow through
dnc:         allocation, temporal links, read modes (Graves et al. 2016)
sparse:      reads over the nearest slots, writes to the least recently accessed (Rae et al. 2016)
delta:       what is read at a key is corrected: the delta rule (Schlag et al. 2021, Yang et al. 2024)
gated_slots: each slot forgets as much as it takes in (Zhang et al. 2024)
mlstm:       the matrix memory of the xLSTM (Beck et al. 2024)
append:      attention over the last steps

scheme:     the contract: `Scheme`, `Control`, `Write`
memory:     reading, erasing and adding with given weightings (NTM equations 2 to 4)
similarity: similarities of keys and slots, and content weights
keys:       keys and queries that are feature vectors: their normalisation, and binding to the last query
ranking:    the lowest numbers of a row, in order
tape:       initial weights of an NTM that works like a tape machine

A new scheme is one file, with a frozen dataclass derived from `Scheme`, and one line: its class in `SCHEMES` below (and
its import). Settings, the command line, the benchmark and the contract tests find it there by its `name`.
"""

from typing import Final

from mann.addressing.append import Append
from mann.addressing.content import Content
from mann.addressing.delta import Delta
from mann.addressing.dnc import DNC
from mann.addressing.gated_slots import GatedSlots
from mann.addressing.location import Location
from mann.addressing.lru_soft import LRUSoft
from mann.addressing.lrua import LRUA
from mann.addressing.mlstm import MLSTM
from mann.addressing.ntm import NTM
from mann.addressing.ntm_lru import NTMLRU
from mann.addressing.scheme import Control, Controls, Scheme, WeightsAre, Write
from mann.addressing.sparse import Sparse

SCHEMES: Final[dict[str, type[Scheme]]] = {
    scheme.name: scheme
    for scheme in (NTM, Content, Location, LRUA, NTMLRU, LRUSoft, DNC, Sparse, Delta, GatedSlots, MLSTM, Append)
}
"""All schemes by name; `mann.register_scheme` adds those from outside the package."""

__all__ = [
    "DNC",
    "LRUA",
    "MLSTM",
    "NTM",
    "NTMLRU",
    "SCHEMES",
    "Append",
    "Content",
    "Control",
    "Controls",
    "Delta",
    "GatedSlots",
    "LRUSoft",
    "Location",
    "Scheme",
    "Sparse",
    "WeightsAre",
    "Write",
]
