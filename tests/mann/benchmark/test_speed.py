"""The comparison of speed: who takes part, what is done alike, and what table, files and pictures say."""

import itertools
import json
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from data import InputError
from mann.benchmark import implementations as contestants
from mann.benchmark import measuring, speed
from mann.benchmark.implementations import CONTESTANTS, WORKLOADS, Floor, LeftOutError, Workload, entered, quick
from mann.benchmark.measuring import interleaved, memory_mib, quartiles, ratio
from mann.benchmark.speed import BATCHES, SLOTS, STEPS, Race, races, run
from mann.models.network import MemoryNetwork
from mann.models.unrolling import Plain, plain

CPU = torch.device("cpu")
TINY = quick(WORKLOADS["w1"])


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fast way be a plain one of another name: compiling takes longer than these tests."""
    monkeypatch.setattr(contestants, "fast", Plain)


def test_calls_take_turns_and_the_first_rounds_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: float(next(clock)))
    called: list[str] = []
    names = "abc"
    seconds = interleaved({name: lambda name=name: called.append(name) for name in names}, 7, CPU)
    rounds = [called[at : at + 3] for at in range(0, len(called), 3)]
    assert len(rounds) == 7 + measuring.WARM_UP
    assert all(sorted(one) == list(names) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1  # not always after the same one
    assert all(times == [1.0] * 7 for times in seconds.values())


def test_spreads_and_ratios_are_those_of_the_numbers() -> None:
    assert quartiles([5.0, 1.0, 2.0, 4.0, 3.0]) == {"median": 3, "low": 2, "high": 4}
    # Round by round: what slows down a whole round does not show.
    slow = [2.0, 200.0, 20.0, 2.0, 2.0, 2.0]
    assert ratio(slow, [value / 2 for value in slow]) == {"median": 2, "low": 2, "high": 2}
    wide = ratio([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0] * 6)
    # Of six, all of them are needed for an interval of 95%.
    assert wide == {"median": 3.5, "low": 1, "high": 6}


def take(mib: int) -> None:
    """Hold so much memory twice, one after the other: it is the largest that counts, not their sum."""
    for _ in range(2):
        torch.ones(mib * 2**18)


def held_by_a_call_and_by_none() -> tuple[float, float]:
    """Return what a call that holds 64 MiB is said to take, and what nothing takes."""
    take(64)
    return memory_mib(lambda: take(64), CPU), memory_mib(lambda: None, CPU)


def test_memory_is_what_a_call_takes_at_most() -> None:
    # In a process of its own, as the comparison does: what other tests left free may not hold as much in one piece.
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        call, nothing = apart.submit(held_by_a_call_and_by_none).result()
    assert 60 < call < 100
    assert nothing < 20


def products(workload: Workload) -> list[tuple[int, ...]]:
    """Return the sizes of what the floor multiplies at each step and once, forward, as counts of multiplications."""
    floor = Floor(workload, CPU)
    each = [product.args for product in floor._forward_each]  # pyright: ignore[reportAttributeAccessIssue]
    return [(*left.shape, right.shape[-1]) for left, right in each]


def test_the_floor_multiplies_what_the_network_multiplies() -> None:
    workload = WORKLOADS["w1"]
    # recurrent, interface (4 keys and gates), writing, comparing and reading with 4 heads
    assert products(workload) == [(16, 360, 800), (16, 200, 164), (16, 128, 4, 40), (16, 4, 40, 128), (16, 4, 128, 40)]
    copy = WORKLOADS["w2-32"]
    # one read and one write head, both of which compare
    assert products(copy)[2:] == [(32, 128, 1, 20), (32, 2, 20, 128), (32, 1, 128, 20)]
    floor = Floor(TINY, CPU)
    for _ in range(40):
        floor.step()
    memory = floor._forward_each[2].func.__self__  # pyright: ignore
    assert torch.isfinite(memory).all() and memory.abs().max() < 1e3


@pytest.mark.parametrize("name", ["reference", "fast", "lstm"])
def test_a_step_trains_and_a_forward_call_does_not(name: str) -> None:
    before = torch.get_rng_state()
    contestant: Any = entered(name, TINY, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    first = contestant.forward()
    assert torch.equal(contestant.forward(), first) and not first.requires_grad
    contestant.step()
    assert not torch.equal(contestant.forward(), first)
    assert torch.equal(entered(name, TINY, CPU).forward(), first)  # pyright: ignore


def test_reference_and_fast_are_one_network() -> None:
    one, other = (entered(name, TINY, CPU) for name in ("reference", "fast"))
    assert torch.equal(one.forward(), other.forward())  # pyright: ignore
    network: Any = one
    assert isinstance(network._network, MemoryNetwork) and network._network.unroll is plain


def test_without_a_compiler_the_fast_way_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "fast", lambda: plain)
    with pytest.raises(LeftOutError, match="no compiler"):
        entered("fast", TINY, CPU)


class FakeDNC(nn.Module):
    """Takes what the package takes; its outputs are as wide as its inputs."""

    def __init__(self, input_size: int, hidden_size: int, **sizes: Any):
        super().__init__()
        self.sizes = sizes
        self.layer = nn.Linear(input_size, input_size)

    def forward(self, inputs: torch.Tensor, reset_experience: bool) -> tuple[torch.Tensor, None]:
        assert reset_experience
        return self.layer(inputs), None


def test_the_peer_has_the_sizes_of_the_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dnc", types.SimpleNamespace(DNC=FakeDNC))
    peer: Any = entered("dnc", TINY, CPU)
    sizes = peer._network._network.sizes
    assert (sizes["nr_cells"], sizes["cell_size"], sizes["read_heads"], sizes["gpu_id"]) == (8, 4, 4, -1)
    peer.step()
    monkeypatch.setitem(sys.modules, "dnc", None)
    with pytest.raises(LeftOutError, match="pip install dnc"):
        entered("dnc", TINY, CPU)


def test_what_does_not_fit_is_left_out() -> None:
    large = next(race.workload for race in races([], ["fast"], True, False) if race.curve == ("slots", SLOTS[-1]))
    with pytest.raises(LeftOutError, match="GiB"):
        entered("dnc", large, CPU)


def test_curves_grow_in_one_thing_alone() -> None:
    found = races(["w1"], list(CONTESTANTS), growth=True, small=False)
    assert [race.curve for race in found if race.name == "w1"] == [
        None,
        *(("steps", size) for size in STEPS),
        *(("batch", size) for size in BATCHES),
    ]
    for race in found[1:]:
        what, size = race.curve or ("", 0)
        field = {"steps": "time"}.get(what, what)
        assert getattr(race.workload, field) == size
        like = next(other for other in found if other.name == race.name and other.curve and other.curve[0] == what)
        assert replace(race.workload, **{field: 1}) == replace(like.workload, **{field: 1})
    assert {race.name for race in found if race.curve and race.curve[0] == "slots"} == {"lrua", "ntm", "sparse", "dnc"}
    with pytest.raises(InputError, match="no workload is named 'w9': use all, or some of w1"):
        races(["w9"], ["fast"], False, False)


def test_a_race_is_measured_and_who_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dnc", None)
    monkeypatch.setattr(speed, "_held_apart", lambda *_: {"forward": 1.5, "step": 2.5})
    rows, missing = run(Race("w1", TINY, list(CONTESTANTS)), 6, CPU, memory=True)
    assert [(row["mode"], row["contestant"]) for row in rows] == [
        (mode, name) for mode in ("step", "forward") for name in ("reference", "fast", "lstm", "floor")
    ]
    assert missing == ["dnc is left out of w1: the package is not installed: pip install dnc"]
    for row in rows:
        assert row["episodes_a_second"] == pytest.approx(2000 / row["milliseconds"]["median"])
        assert row["peak_memory_mib"] == {"forward": 1.5, "step": 2.5}[row["mode"]]
        if row["contestant"] == "reference":
            assert row["ratio"] == {"median": 1, "low": 1, "high": 1}
    point, _ = run(Race("w1", TINY, ["lstm"], ("steps", 10)), 6, CPU, memory=True)
    assert [(row["mode"], row["at"], row["ratio"], row["peak_memory_mib"]) for row in point] == [
        ("step", 10, None, None)
    ]


def row(contestant: str, median: float, mode: str = "step", **more: Any) -> dict[str, Any]:
    """Return what a race comes to."""
    return {
        "workload": "w1",
        "about": "one-shot",
        "curve": None,
        "at": None,
        "contestant": contestant,
        "mode": mode,
        "milliseconds": {"median": median, "low": median - 1, "high": median + 1},
        "steps_a_second": 1000 / median,
        "episodes_a_second": 16000 / median,
        "ratio": {"median": 40 / median, "low": 0.5, "high": 9.0},
        "peak_memory_mib": 12.34,
        **more,
    }


ROWS = [
    row("reference", 40.0),
    row("fast", 20.0, peak_memory_mib=None, ratio=None),
    row("fast", 10.0, "forward"),
    row("fast", 8.0, curve="slots", at=128, workload="ntm"),
    row("fast", 16.0, curve="slots", at=65536, workload="ntm"),
    row("fast", 9.0, curve="slots", at=128, workload="dnc"),
]


def test_tables_say_it_for_people() -> None:
    text = speed.markdown(ROWS)
    assert "### w1\n\none-shot\n" in text
    assert "| reference | step | 40.00 (39.00-41.00) | 25.0 | 400 | 1.00 (0.50-9.00) | 12.3 |" in text
    assert "| fast | step | 20.00 (19.00-21.00) | 50.0 | 800 | - | - |" in text
    assert "| | | 128 | 65,536 |\n|---|---|---|---|\n| ntm | fast | 8.00 | 16.00 |\n| dnc | fast | 9.00 | - |" in text


def test_everything_is_written(tmp_path: Path) -> None:
    paths = speed.write_speed(tmp_path, ROWS, ["dnc is left out"], {"commit": "abc"})
    assert [path.name for path in paths] == [
        *("speed.json", "speed.csv", "speed.md", "speed.png", "speed-growth.png"),
    ]
    content = json.loads(paths[0].read_text())
    assert (content["rows"], content["left_out"], content["environment"]) == (
        ROWS,
        ["dnc is left out"],
        {"commit": "abc"},
    )
    lines = paths[1].read_text().splitlines()
    assert lines[0].startswith("workload,about,curve,at,contestant,mode,milliseconds_median,milliseconds_low")
    assert lines[2] == "w1,one-shot,,,fast,step,20.0,19.0,21.0,50.0,800.0,,,,"
    assert all(path.stat().st_size > 1000 for path in paths[3:])
    assert len(speed.write_speed(tmp_path, ROWS[:3], [], {})) == 4


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    held = speed._held_apart("lstm", TINY, CPU)
    assert set(held) == {"forward", "step"} and all(0 <= mib < 200 for mib in held.values())
