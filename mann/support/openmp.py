"""How threads wait for each other; set before torch is loaded, whose OpenMP reads it once.

By default a thread of GNU's OpenMP turns in a loop while it waits for another one, for as long as it takes. That is
quick on an idle machine, and takes the core away from the thread that is waited for on a busy one (docs/log.md has the
figures).
"""

import os
from typing import Final

TURNS: Final = 10_000
"""Turns after which a waiting thread lets others run; the log compares it with other limits."""


def wait_briefly() -> None:
    """Limit the turns of waiting threads, unless the environment says how they wait."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", str(TURNS))


wait_briefly()
