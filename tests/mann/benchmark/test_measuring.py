"""Times, ratios and memory of calls."""

import itertools
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
import torch

from mann.benchmark import measuring
from mann.benchmark.measuring import interleaved, memory_mib, quartiles, ratio

CPU = torch.device("cpu")


def test_calls_alternate_and_the_warm_up_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: float(next(clock)))
    called: list[str] = []
    names = "abc"
    seconds = interleaved({name: lambda name=name: called.append(name) for name in names}, 7, CPU)
    rounds = [called[at : at + 3] for at in range(0, len(called), 3)]
    assert len(rounds) == 7 + measuring.WARM_UP
    assert all(sorted(one) == list(names) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # a call does not always follow the same other call
    assert all(times == [1.0] * 7 for times in seconds.values())


def test_spreads_are_quartiles_and_ratios_are_of_the_same_round() -> None:
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == {"median": 3, "low": 2, "high": 4}
    # Load that slows down a whole round does not change the ratio.
    slow = [2.0, 200.0, 20.0, 2.0, 2.0, 2.0]
    assert ratio(slow, [value / 2 for value in slow]) == {"median": 2, "low": 2, "high": 2}
    # With six values, the 95% interval of the median is the whole range: 1 - 2 / 2**6 = 97%.
    wide = ratio([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * measuring.FEWEST_ROUNDS)
    assert wide == {"median": 3.5, "low": 1, "high": 6}


def allocate(mib: int) -> None:
    """Allocate and free twice: the peak is the size of one allocation."""
    for _ in range(2):
        torch.ones(mib * 2**18)


def peaks() -> tuple[float, float]:
    """Return the measured peaks of a call that allocates 64 MiB, and of one that allocates nothing."""
    allocate(64)
    return memory_mib(lambda: allocate(64), CPU), memory_mib(lambda: None, CPU)


def test_memory_is_the_peak_of_a_call() -> None:
    # In a new process, as in the comparison: here, memory freed by other tests could be used again.
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        call, nothing = process.submit(peaks).result()
    assert 60 < call < 100
    assert nothing < 20
