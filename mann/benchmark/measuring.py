"""Measuring calls side by side: their time, taken in turn, and the memory that they take."""

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from scipy.stats import quantile_test

from mann.support.process_memory import forget_peak_memory, give_back_freed_memory, peak_memory_mib, resident_mib

FEWEST_ROUNDS = 6
"""With fewer no interval of a median holds with 95%."""
WARM_UP = 2
"""Rounds that do not count: in the first, code is compiled and memory taken from the system."""

Spread = dict[str, float]
"""median, low and high."""


def settle(device: torch.device) -> None:
    """Wait until the device has done what it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def interleaved(calls: Mapping[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Return the seconds of each call in every round; in a round each is called once, in random order.

    So whatever else the machine does meets all of them alike, and the n-th figures belong together.
    """
    chance = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-WARM_UP, rounds):
        for name in chance.sample(list(calls), len(calls)):
            settle(device)
            began = time.perf_counter()
            calls[name]()
            settle(device)
            if number >= 0:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def quartiles(values: Sequence[float]) -> Spread:
    """Return the median, and the quartiles as low and high."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "low": low, "high": high}


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """Return the median over rounds of over / under, and the ends of the 95% interval of that median.

    The interval is that of order statistics, which takes nothing for granted about how ratios are spread.
    """
    ratios = [one / other for one, other in zip(over, under, strict=True)]
    interval = quantile_test(ratios, p=0.5).confidence_interval(0.95)
    return {"median": statistics.median(ratios), "low": float(interval.low), "high": float(interval.high)}


def memory_mib(call: Callable[[], object], device: torch.device) -> float:
    """Return by how much the memory held grows at most during a call, in MiB; it has to be warmed up."""
    gc.collect()
    settle(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        call()
        settle(device)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    give_back_freed_memory()
    before = resident_mib()
    forget_peak_memory()
    call()
    return max(0.0, peak_memory_mib() - before)
