"""Ways of addressing memory, one file each.

ntm:       content, interpolation, shift and sharpening (Graves et al. 2014)
content:   the NTM without location
location:  the NTM without content
lrua:      least recently used access (Santoro et al. 2016)
ntm_lru:   reads of the NTM, least recently used writes
lru_soft:  least recently used access that gradients flow through
dnc:       allocation, temporal links, read modes (Graves et al. 2016)
sparse:    reads over the nearest slots, writes to the least recently accessed (Rae et al. 2016)

interface:  what a scheme is
similarity: how alike a key and a slot are
"""

from collections.abc import Mapping
from types import MappingProxyType

from mann.addressing.content import Content
from mann.addressing.dnc import DNC
from mann.addressing.location import Location
from mann.addressing.lru_soft import LRUSoft
from mann.addressing.lrua import LRUA
from mann.addressing.ntm import NTM
from mann.addressing.ntm_lru import NTMLRU
from mann.addressing.scheme import Control, Controls, Scheme, Write
from mann.addressing.sparse import Sparse

SCHEMES: Mapping[str, type[Scheme]] = MappingProxyType(
    {
        "ntm": NTM,
        "content": Content,
        "location": Location,
        "lrua": LRUA,
        "ntm-lru": NTMLRU,
        "lru-soft": LRUSoft,
        "dnc": DNC,
        "sparse": Sparse,
    }
)
"""All schemes by name; command line choices, the benchmark and the contract tests come from here."""

__all__ = [
    "DNC",
    "LRUA",
    "NTM",
    "NTMLRU",
    "SCHEMES",
    "Content",
    "Control",
    "Controls",
    "LRUSoft",
    "Location",
    "Scheme",
    "Sparse",
    "Write",
]
