"""Ways of addressing memory, one file each.

lrua: least recently used access (Santoro et al. 2016)

interface:  what a scheme is
similarity: how alike a key and a slot are
"""

from collections.abc import Mapping
from types import MappingProxyType

from mann.addressing.interface import Control, Controls, Scheme, Write
from mann.addressing.lrua import LRUA

SCHEMES: Mapping[str, type] = MappingProxyType({"lrua": LRUA})
"""All schemes by name; command line choices and the contract tests come from here."""

__all__ = ["LRUA", "SCHEMES", "Control", "Controls", "Scheme", "Write"]
