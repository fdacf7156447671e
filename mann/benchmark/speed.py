"""The speed of the network beside its alternatives, on the workloads.

All implementations of a workload run in one process, in turn and on the same inputs. Their memory is measured in a
process of its own for each.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from matplotlib.figure import Figure

from data import InputError
from mann.addressing import SCHEMES
from mann.benchmark.implementations import IMPLEMENTATIONS, OURS, Implementation, LeftOutError, build_implementation
from mann.benchmark.measuring import interleaved, memory_mib, quartiles, ratio
from mann.benchmark.schemes import with_heads
from mann.benchmark.workloads import ONE_SHOT, WORKLOADS, Workload, quick
from mann.benchmark.writing import flat, spread_text, write_benchmark
from mann.reporting.style import BLUE, GREY, clean_axes, colour, plot_grid

MODES: Final = ("step", "forward")
"""step: forward pass, backward pass and update; forward: without gradients, with the same sizes.

In this order, because the compiled path runs forward alone with the code compiled for a step, and without that code it
takes the plain path."""
STEPS: Final = (25, 50, 100, 200, 400)
BATCHES: Final = (1, 4, 16, 64, 256)
SLOTS: Final = (128, 512, 1024, 2048, 8192, 32768, 65536)
GROWING: Final = ("lrua", "ntm", "sparse", "dnc")
"""The schemes whose time is measured against the number of slots."""


class Case(NamedTuple):
    """A workload and the implementations to compare on it.

    Attributes:
        name: The name of the workload; on a curve against slots, of the scheme.
        workload: The workload.
        implementations: The names of the implementations.
        curve: For a point of a growth curve, the size that grows ("steps", "batch" or "slots") and its value.
    """

    name: str
    workload: Workload
    implementations: Sequence[str]
    curve: tuple[str, int] | None = None

    def __str__(self) -> str:
        """Return a title, such as "dnc at 8,192 slots"."""
        return f"{self.name} at {self.curve[1]:,} {self.curve[0]}" if self.curve else self.name


def cases(workloads: Sequence[str], implementations: Sequence[str], growth: bool, small: bool) -> list[Case]:
    """Return the cases of a comparison.

    Args:
        workloads: Names of workloads.
        implementations: Names of implementations.
        growth: Whether to add the growth curves against steps, batch and slots.
        small: Whether to make every case tiny, with two points of each curve.

    Raises:
        InputError: there is no such workload or implementation.
    """
    for kind, names, known in (
        ("workload", workloads, WORKLOADS),
        ("implementation", implementations, IMPLEMENTATIONS),
    ):
        for name in names:
            if name not in known:
                raise InputError(f"no {kind} is named {name!r}: use all, or some of {', '.join(known)}")
    size = quick if small else replace
    found = [Case(name, size(WORKLOADS[name]), implementations) for name in workloads]
    return found + _growth_cases(size(ONE_SHOT), implementations, 2 if small else None) if growth else found


def _growth_cases(base: Workload, implementations: Sequence[str], points: int | None) -> list[Case]:
    """Return the cases of the growth curves, with a number of points each (None: all)."""
    found = [Case("w1", replace(base, time=time), implementations, ("steps", time)) for time in STEPS[:points]]
    found += [Case("w1", replace(base, batch=batch), implementations, ("batch", batch)) for batch in BATCHES[:points]]
    ours = [name for name in implementations if name in OURS]
    for scheme in GROWING:
        # One head of each kind: the curves compare how the time grows, not which scheme is fastest.
        one = replace(base, batch=1, scheme=with_heads(SCHEMES[scheme](), 1))
        found += [Case(scheme, replace(one, slots=slots), ours, ("slots", slots)) for slots in SLOTS[:points]]
    return found


def run(case: Case, rounds: int, device: torch.device, memory: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """Measure the implementations of a case.

    Args:
        case: The case.
        rounds: Number of times that each call is timed.
        device: The device to run on.
        memory: Whether to measure the memory too, except for points of growth curves.

    Returns:
        A row for each implementation and mode, and a line for each implementation that was left out.
    """
    built: dict[str, Implementation] = {}
    peaks: dict[str, Mapping[str, float]] = {}
    missing = []
    for name in case.implementations:
        try:
            built[name] = build_implementation(name, case.workload, device)
            if memory and case.curve is None:
                peaks[name] = peak_memory(name, case.workload, device)
        except LeftOutError as error:
            built.pop(name, None)
            missing.append(f"{name} is left out of {case}: {error}")
    rows = []
    for mode in MODES if case.curve is None else MODES[:1]:
        times = interleaved({name: getattr(one, mode) for name, one in built.items()}, rounds, device)
        for name, seconds in times.items():
            relative = ratio(times["reference"], seconds) if "reference" in times else None
            rows.append(_row(case, name, mode, seconds, relative, peaks.get(name, {}).get(mode)))
    return rows, missing


def _row(
    case: Case,
    name: str,
    mode: str,
    seconds: Sequence[float],
    relative: Mapping[str, float] | None,
    peak: float | None,
) -> dict[str, Any]:
    """Return the row of an implementation in a mode: its times, its speed relative to the reference, its memory."""
    spread = quartiles([1000 * second for second in seconds])
    return {
        "workload": case.name,
        "about": case.workload.described(),
        "curve": case.curve[0] if case.curve else None,
        "at": case.curve[1] if case.curve else None,
        "implementation": name,
        "mode": mode,
        "milliseconds": spread,
        "steps_a_second": 1000 / spread["median"],
        "episodes_a_second": 1000 * case.workload.batch / spread["median"],
        "ratio": relative,
        "peak_memory_mib": peak,
    }


def peak_memory(name: str, workload: Workload, device: torch.device) -> Mapping[str, float]:
    """Return the peak memory of an implementation in each mode, in MiB, in addition to weights, optimiser and inputs.

    It is measured in a new process: memory that this one has freed and kept would not count.

    Raises:
        LeftOutError: the process was killed.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        try:
            return process.submit(_peak_memory_here, name, workload, device, torch.get_num_threads()).result()
        except BrokenProcessPool as error:
            raise LeftOutError("the system killed its process, which may have used too much memory") from error


def _peak_memory_here(name: str, workload: Workload, device: torch.device, threads: int) -> Mapping[str, float]:
    """Return the peak memory of an implementation in each mode, measured in this process; see `peak_memory`."""
    torch.set_num_threads(threads)
    implementation = build_implementation(name, workload, device)
    found = {}
    for mode in MODES:
        call = getattr(implementation, mode)
        call()
        call()
        found[mode] = memory_mib(call, device)
    return found


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as tables, one for each workload and one for each growth curve."""
    lines = []
    for name in dict.fromkeys(row["workload"] for row in rows if row["curve"] is None):
        own = [row for row in rows if row["curve"] is None and row["workload"] == name]
        lines += [f"### {name}", "", own[0]["about"], "", _HEADER, _RULE]
        for row in own:
            memory = row["peak_memory_mib"]
            lines.append(
                f"| {row['implementation']} | {row['mode']} | {spread_text(row['milliseconds'], '{:.2f}')} "
                f"| {row['steps_a_second']:,.1f} | {row['episodes_a_second']:,.0f} "
                f"| {spread_text(row['ratio'], '{:.2f}')} | {'-' if memory is None else f'{memory:,.1f}'} |"
            )
        lines.append("")
    for curve in dict.fromkeys(row["curve"] for row in rows if row["curve"]):
        lines += [*_growth_table([row for row in rows if row["curve"] == curve], curve), ""]
    return "\n".join(lines)


_HEADER: Final = (
    "| | | ms, median (quartiles) | steps/s | episodes/s | speed relative to the reference (95% interval) | peak MiB |"
)
_RULE: Final = "|---|---|---|---|---|---|---|"


def _growth_table(rows: Sequence[Mapping[str, Any]], curve: str) -> list[str]:
    """Return the lines of the table of a growth curve: a column for each size."""
    sizes = sorted({row["at"] for row in rows})
    lines = [f"### Milliseconds per step against {curve}", ""]
    lines += ["| | | " + " | ".join(f"{size:,}" for size in sizes) + " |", "|---" * (2 + len(sizes)) + "|"]
    for name, implementation in _series(rows):
        times = {row["at"]: row["milliseconds"]["median"] for row in _points(rows, name, implementation)}
        cells = [f"{times[size]:.2f}" if size in times else "-" for size in sizes]
        lines.append(f"| {name} | {implementation} | " + " | ".join(cells) + " |")
    return lines


def _series(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Return the workloads with their implementations that a growth curve has, in order."""
    return list(dict.fromkeys((row["workload"], row["implementation"]) for row in rows))


def _points(rows: Sequence[Mapping[str, Any]], name: str, implementation: str) -> list[Mapping[str, Any]]:
    """Return the rows of an implementation of a workload."""
    return [row for row in rows if (row["workload"], row["implementation"]) == (name, implementation)]


def plot(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of the time of each implementation, a row of plots for each workload."""
    own = [row for row in rows if row["curve"] is None]
    names = list(dict.fromkeys(row["workload"] for row in own))
    figure = Figure(figsize=(10, 0.6 + 1.9 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(MODES), squeeze=False)
    for plots, name in zip(grid, names, strict=True):
        for axes, mode in zip(plots, MODES, strict=True):
            clean_axes(axes)
            plotted = [row for row in own if (row["workload"], row["mode"]) == (name, mode)]
            for place, row in enumerate(plotted):
                spread = row["milliseconds"]
                mark = GREY if row["implementation"] == "floor" else BLUE
                axes.plot([spread["low"], spread["high"]], [place, place], color=mark, linewidth=2)
                axes.plot(spread["median"], place, "o", color=mark)
            axes.set_yticks(range(len(plotted)), [row["implementation"] for row in plotted])
            axes.set_ylim(len(plotted) - 0.5, -0.5)
            axes.set_xlim(left=0)
            axes.set_title(f"{name}, {mode}", fontsize=10, loc="left")
            axes.set_xlabel("ms")
    return figure


def plot_growth(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Return a figure of the growth of the time of a step, a plot for each curve."""
    growing = [row for row in rows if row["curve"] is not None]
    curves = list(dict.fromkeys(row["curve"] for row in growing))
    figure, plots = plot_grid(len(curves))
    for axes, curve in zip(plots, curves, strict=True):
        own = [row for row in growing if row["curve"] == curve]
        for number, key in enumerate(_series(own)):
            points = _points(own, *key)
            times = [row["milliseconds"]["median"] for row in points]
            axes.plot([row["at"] for row in points], times, "o-", color=colour(number), label=", ".join(key))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(curve)
        axes.set_ylabel("ms per step")
        axes.legend(fontsize=8)
    return figure


def write_speed(
    folder: Path, rows: Sequence[Mapping[str, Any]], missing: Sequence[str], environment: Mapping[str, Any]
) -> list[Path]:
    """Write speed.json, .csv, .md and .png, and speed-growth.png for curves, into a folder; returns their paths."""
    figures = {"speed": plot(rows)}
    if any(row["curve"] for row in rows):
        figures["speed-growth"] = plot_growth(rows)
    content = {"environment": dict(environment), "left_out": list(missing), "rows": list(rows)}
    return write_benchmark(folder, "speed", content, [flat(row) for row in rows], markdown(rows), figures)
