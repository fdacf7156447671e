"""How fast the network is: `scripts/benchmark.py speed`.

Contestants run beside each other, in one process and in turn, on the same inputs; their memory is measured in a process
for each. `mann.benchmark.implementations` says who they are.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure

from data import InputError
from mann.addressing import SCHEMES
from mann.benchmark.implementations import (
    CONTESTANTS,
    ONE_SHOT,
    OURS,
    WORKLOADS,
    Contestant,
    LeftOutError,
    Workload,
    entered,
    quick,
)
from mann.benchmark.measuring import interleaved, memory_mib, quartiles, ratio
from mann.benchmark.schemes import with_heads
from mann.benchmark.writing import flat, shown, write_benchmark
from mann.reporting.style import BLUE, GREY, colour, plain, plots_below

MODES = ("step", "forward")
"""step: forward, backward and update; forward: without gradients, of the same sizes.

In this order: the fast way runs forward alone as it was compiled for a step, and otherwise the plain way."""
STEPS = (25, 50, 100, 200, 400)
BATCHES = (1, 4, 16, 64, 256)
SLOTS = (128, 512, 1024, 2048, 8192, 32768, 65536)
GROWING = ("lrua", "ntm", "sparse", "dnc")
"""Schemes whose growth with slots is measured."""


class Race(NamedTuple):
    """Contestants on a workload.

    Attributes:
        workload: The workload, and its name.
        names: Of the contestants.
        curve: What grows, where this is a point of a curve, and the size at this point.
    """

    name: str
    workload: Workload
    names: Sequence[str]
    curve: tuple[str, int] | None = None

    def __str__(self) -> str:
        """What is raced on."""
        return f"{self.name} at {self.curve[1]:,} {self.curve[0]}" if self.curve else self.name


def races(workloads: Sequence[str], names: Sequence[str], growth: bool, small: bool) -> list[Race]:
    """Return what is to be measured.

    Args:
        workloads: Names of workloads.
        names: Of contestants.
        growth: Whether to measure how time grows with steps, batch and slots too.
        small: Whether to make everything small.

    Raises:
        InputError: there is no such workload or contestant.
    """
    for kind, said, known in (("workload", workloads, WORKLOADS), ("contestant", names, CONTESTANTS)):
        for name in said:
            if name not in known:
                raise InputError(f"no {kind} is named {name!r}: use all, or some of {', '.join(known)}")

    def size(workload: Workload) -> Workload:
        return quick(workload) if small else workload

    found = [Race(name, size(WORKLOADS[name]), names) for name in workloads]
    if growth:
        points, base = slice(2) if small else slice(None), size(ONE_SHOT)
        found += [Race("w1", replace(base, time=time), names, ("steps", time)) for time in STEPS[points]]
        found += [Race("w1", replace(base, batch=batch), names, ("batch", batch)) for batch in BATCHES[points]]
        for scheme in GROWING:
            # A head of each kind: how time grows is in question, not which scheme is the fastest.
            one = replace(base, batch=1, scheme=with_heads(SCHEMES[scheme](), 1))
            ours = [name for name in names if name in OURS]
            found += [Race(scheme, replace(one, slots=slots), ours, ("slots", slots)) for slots in SLOTS[points]]
    return found


def run(race: Race, rounds: int, device: torch.device, memory: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure contestants on a workload.

    Args:
        race: What to measure.
        rounds: How often each call is timed.
        device: Where.
        memory: Whether to measure the memory too, each contestant in a process of its own; not for points of a curve.

    Returns:
        A row for each contestant and mode, and a line for each that is left out.
    """
    workload = race.workload
    contestants: dict[str, Contestant] = {}
    held: dict[str, Mapping[str, float]] = {}
    missing = []
    for name in race.names:
        try:
            contestants[name] = entered(name, workload, device)
            if memory and race.curve is None:
                held[name] = _held_apart(name, workload, device)
        except LeftOutError as error:
            contestants.pop(name, None)
            missing.append(f"{name} is left out of {race}: {error}")
    rows = []
    for mode in MODES if race.curve is None else MODES[:1]:
        times = interleaved({name: getattr(one, mode) for name, one in contestants.items()}, rounds, device)
        for name, seconds in times.items():
            spread = quartiles([1000 * second for second in seconds])
            rows.append(
                {
                    "workload": race.name,
                    "about": workload.described(),
                    "curve": race.curve[0] if race.curve else None,
                    "at": race.curve[1] if race.curve else None,
                    "contestant": name,
                    "mode": mode,
                    "milliseconds": spread,
                    "steps_a_second": 1000 / spread["median"],
                    "episodes_a_second": 1000 * workload.batch / spread["median"],
                    "ratio": ratio(times["reference"], seconds) if "reference" in times else None,
                    "peak_memory_mib": held.get(name, {}).get(mode),
                }
            )
    return rows, missing


def _held_apart(name: str, workload: Workload, device: torch.device) -> Mapping[str, float]:
    """Return `_held` as another process finds it, in which nothing else was measured before.

    Raises:
        LeftOutError: the process did not live to tell.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        try:
            return apart.submit(_held, name, workload, device, torch.get_num_threads()).result()
        except BrokenProcessPool as error:
            raise LeftOutError("the system ended its process, which may have taken too much memory") from error


def _held(name: str, workload: Workload, device: torch.device, threads: int) -> Mapping[str, float]:
    """Return by how much memory grows at most in each mode, in MiB, beside weights, optimiser and inputs."""
    torch.set_num_threads(threads)
    contestant = entered(name, workload, device)
    found = {}
    for mode in MODES:
        call = getattr(contestant, mode)
        call()
        call()
        found[mode] = memory_mib(call, device)
    return found


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as tables, one for each workload and one for each curve."""
    said = []
    for name in dict.fromkeys(row["workload"] for row in rows if row["curve"] is None):
        own = [row for row in rows if row["curve"] is None and row["workload"] == name]
        said += [f"### {name}", "", own[0]["about"], "", _HEADER, _RULE]
        for row in own:
            memory = row["peak_memory_mib"]
            said.append(
                f"| {row['contestant']} | {row['mode']} | {shown(row['milliseconds'], '{:.2f}')} "
                f"| {row['steps_a_second']:,.1f} | {row['episodes_a_second']:,.0f} "
                f"| {shown(row['ratio'], '{:.2f}')} | {'-' if memory is None else f'{memory:,.1f}'} |"
            )
        said.append("")
    for curve in dict.fromkeys(row["curve"] for row in rows if row["curve"]):
        own = [row for row in rows if row["curve"] == curve]
        sizes = sorted({row["at"] for row in own})
        said += [f"### Milliseconds of a step against {curve}", ""]
        said += ["| | | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---" * (2 + len(sizes)) + "|"]
        for key in dict.fromkeys((row["workload"], row["contestant"]) for row in own):
            of = {row["at"]: row for row in own if (row["workload"], row["contestant"]) == key}
            cells = [f"{of[size]['milliseconds']['median']:.2f}" if size in of else "-" for size in sizes]
            said.append(f"| {key[0]} | {key[1]} | " + " | ".join(cells) + " |")
        said.append("")
    return "\n".join(said)


_HEADER = (
    "| | | ms, median (quartiles) | steps/s | episodes/s | times as fast as the reference (95% interval) | peak MiB |"
)
_RULE = "|---|---|---|---|---|---|---|"


def plot(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of the time of each contestant, a row of plots for each workload."""
    own = [row for row in rows if row["curve"] is None]
    names = list(dict.fromkeys(row["workload"] for row in own))
    figure = Figure(figsize=(10, 0.6 + 1.9 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(MODES), squeeze=False)
    for plots, name in zip(grid, names, strict=True):
        for axes, mode in zip(plots, MODES, strict=True):
            plain(axes)
            shown_here = [row for row in own if (row["workload"], row["mode"]) == (name, mode)]
            for place, row in enumerate(shown_here):
                spread = row["milliseconds"]
                mark = GREY if row["contestant"] == "floor" else BLUE
                axes.plot([spread["low"], spread["high"]], [place, place], color=mark, linewidth=2)
                axes.plot(spread["median"], place, "o", color=mark)
            contestants = [row["contestant"] for row in shown_here]
            axes.set_yticks(range(len(contestants)), contestants)
            axes.set_ylim(len(contestants) - 0.5, -0.5)
            axes.set_xlim(left=0)
            axes.set_title(f"{name}, {mode}", fontsize=10, loc="left")
            axes.set_xlabel("ms")
    return figure


def plot_growth(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of how the time of a step grows, a plot for each curve."""
    own = [row for row in rows if row["curve"] is not None]
    curves = list(dict.fromkeys(row["curve"] for row in own))
    figure, plots = plots_below(len(curves))
    for axes, curve in zip(plots, curves, strict=True):
        of = [row for row in own if row["curve"] == curve]
        for number, key in enumerate(dict.fromkeys((row["workload"], row["contestant"]) for row in of)):
            points = [row for row in of if (row["workload"], row["contestant"]) == key]
            times = [row["milliseconds"]["median"] for row in points]
            axes.plot([row["at"] for row in points], times, "o-", color=colour(number), label=", ".join(key))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(curve)
        axes.set_ylabel("ms a step")
        axes.legend(fontsize=8)
    return figure


def write_speed(
    folder: Path, rows: Sequence[Mapping[str, Any]], missing: Sequence[str], environment: Mapping[str, Any]
) -> list[Path]:
    """Write speed.json, .csv, .md and .png into a folder, and the picture of the curves; returns their paths."""
    figures = {"speed": plot(rows)}
    if any(row["curve"] for row in rows):
        figures["speed-growth"] = plot_growth(rows)
    content = {"environment": dict(environment), "left_out": list(missing), "rows": list(rows)}
    return write_benchmark(folder, "speed", content, [flat(row) for row in rows], markdown(rows), figures)
