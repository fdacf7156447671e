"""How long training steps take, and whether they suddenly take much longer."""

import statistics
from collections import deque
from typing import Final

WINDOW: Final = 20
"""Steps whose median counts as the time of a step."""
REMEMBERED: Final = 50
"""Windows that a time is compared with: sequences that become longer little by little are no surprise."""
SUDDENLY: Final = 10
"""How many times longer than before steps have to take."""


class StepTime:
    """The time of a training step, as it goes on.

    >>> step_time = StepTime()
    >>> [step_time.slower(0.01) for _ in range(40)][-1] is None
    True
    >>> [step_time.slower(0.4) for _ in range(20)][-1]
    40.0
    """

    def __init__(self) -> None:
        self._window: list[float] = []
        self._before: deque[float] = deque(maxlen=REMEMBERED)

    def slower(self, seconds: float) -> float | None:
        """Note the seconds of a step; return how many times longer steps take than they did, if that is much longer."""
        self._window.append(seconds)
        if len(self._window) < WINDOW:
            return None
        median = statistics.median(self._window)
        ratio = median / min(self._before, default=median)
        self._before.append(median)
        self._window = []
        return ratio if ratio >= SUDDENLY else None
