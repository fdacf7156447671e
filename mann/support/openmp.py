"""How threads wait for each other; set before torch is loaded, whose OpenMP reads it once.

By default a thread of GNU's OpenMP spins while it waits for another one. That is quick on an idle machine; on a busy
one it keeps the core from the thread that it waits for (docs/log.md has the figures).
"""

import os
from typing import Final

SPIN_COUNT: Final = 10_000
"""Iterations after which a waiting thread sleeps; the log compares it with other limits."""


def wait_briefly() -> None:
    """Limit how long waiting threads spin, unless the environment says how they wait."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPIN_COUNT))


wait_briefly()
