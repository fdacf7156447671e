"""Time and memory of calls, measured side by side."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import torch

from mann.support.process_memory import forget_peak_memory, give_back_freed_memory, peak_memory_mib, resident_mib

FEWEST_ROUNDS: Final = 6
"""With fewer values, order statistics give no 95% interval of a median."""
WARM_UP: Final = 2
"""Rounds that are not counted: the first compiles code and takes memory from the system."""

Spread = dict[str, float]
"""A median and its range: "median", "low" and "high"."""


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its queue; a CPU has none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds that each call took in each round.

    A round makes each call once, in random order. Other load on the machine therefore affects all calls alike, and
    the times of one round can be compared with each other.

    Args:
        calls: The calls by name.
        rounds: Number of rounds that are counted, after `WARM_UP` rounds that are not.
        device: The device that the calls run on.
    """
    order = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-WARM_UP, rounds):
        for name in order.sample(list(calls), len(calls)):
            synchronize(device)
            start = time.perf_counter()
            calls[name]()
            synchronize(device)
            if number >= 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def quartiles(values: Sequence[float]) -> Spread:
    """Return the median, with the quartiles as low and high.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
    {'median': 3.0, 'low': 2.0, 'high': 4.0}
    """
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Return the median of the ratios of values of the same round, with the 95% interval of that median.

    The interval is that of order statistics, which assumes nothing about the distribution of the ratios; it needs
    `FEWEST_ROUNDS` values.
    """
    from scipy.stats import quantile_test  # here, since it takes a second to import

    ratios = [one / other for one, other in zip(numerators, denominators, strict=True)]
    interval = quantile_test(ratios, p=0.5).confidence_interval(0.95)
    return {"median": statistics.median(ratios), "low": float(interval.low), "high": float(interval.high)}


def memory_mib(call: Callable[[], object], device: torch.device) -> float:
    """Return by how much the memory in use grows at most during a call, in MiB.

    On a CPU this is the resident set size, on a GPU the memory that torch has allocated. Make the call before, so that
    memory that it takes only once is not counted.
    """
    gc.collect()
    synchronize(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        synchronize(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    give_back_freed_memory()
    before = resident_mib()
    forget_peak_memory()
    call()
    return max(0.0, peak_memory_mib() - before)
