"""How fast episodes are drawn: `scripts/benchmark.py episodes`.

Our sampler beside learn2learn's, on the same images, with as many classes and drawings in an episode, with and without
random rotation and translation. Ours draws the order of the drawings and their numbers of presentation besides; labels
are permuted by both.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms import RandomAffine

from data import ImageClasses, Split
from episodes import ClassificationEpisodes
from mann.benchmark.implementations import ONE_SHOT, Contestant, LeftOutError, Workload, entered
from mann.benchmark.measuring import interleaved, quartiles, ratio
from mann.benchmark.writing import flat, shown, write_benchmark
from mann.problems.classification import training_episodes
from mann.reporting.style import BLUE, one_plot
from mann.settings.schema import Config

SAMPLERS = ("ours", "learn2learn")
AUGMENTATIONS = ("none", "jitter")


class Drawings(Dataset[tuple[Tensor, int]]):
    """The drawings of classes, one after the other, each with its class, as other libraries want them.

    Args:
        images: The classes.
        transform: What is done to a drawing, float [1, height, width] in [0, 1].
    """

    def __init__(self, images: ImageClasses, transform: Callable[[Tensor], Tensor] | None = None):
        self._images = images.images
        self._transform = transform
        self.places = [(row, drawing) for row, count in enumerate(images.counts.tolist()) for drawing in range(count)]

    def __len__(self) -> int:
        """Drawings of all classes."""
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return a drawing and the number of its class."""
        row, drawing = self.places[index]
        image = self._images[row, drawing][None].float() / 255
        return (image if self._transform is None else self._transform(image)), row


def learn2learn_tasks(source: ClassificationEpisodes) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return what draws a task of learn2learn like an episode of a source: images [drawing, 1, ...] and labels.

    Raises:
        LeftOutError: learn2learn is not installed.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # of code that is not ours
            data = import_module("learn2learn.data")
            transforms = import_module("learn2learn.data.transforms")
    except ImportError as error:
        raise LeftOutError("learn2learn is not installed: requirements-learn2learn.txt says how") from error
    move = None
    if source.jitter is not None:
        shift = source.jitter.translation
        degrees = float(torch.tensor(source.jitter.rotation).rad2deg())
        move = RandomAffine(degrees, (shift, shift))
    drawings = Drawings(source.images, move)
    # Given, because it would load every drawing to find its class.
    dataset = data.MetaDataset(drawings, indices_to_labels={i: row for i, (row, _) in enumerate(drawings.places)})
    steps = [
        transforms.FusedNWaysKShots(dataset, n=source.classes, k=source.presentations),
        transforms.LoadData(dataset),
        transforms.RemapLabels(dataset, shuffle=True),
    ]
    return data.TaskDataset(dataset, task_transforms=steps, num_tasks=-1).sample


def measure(
    config: Config, classes: ImageClasses, split: Split, rounds: int, workload: Workload = ONE_SHOT
) -> tuple[dict[str, Any], list[str]]:
    """Measure both samplers, and a step of a workload beside them.

    Args:
        config: What an episode is; its rotation and translation are the augmentation.
        classes: The images, on the CPU.
        split: Whose training classes are drawn from.
        rounds: How often each is timed.
        workload: What a step of training is.

    Returns:
        What was measured, and a line for each that is left out.
    """
    plain = replace(config, jitter_rotation=0.0, jitter_translation=0.0)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    missing = []
    for augmentation, settings in zip(AUGMENTATIONS, (plain, config), strict=True):
        source = training_episodes(settings, classes, split)
        calls["ours", augmentation] = _each_step(source)
        try:
            calls["learn2learn", augmentation] = _several(learn2learn_tasks(source), config.batch)
        except LeftOutError as error:
            missing.append(f"learn2learn is left out ({augmentation}): {error}")
    kind, trained = _trained(workload, missing)
    named = {f"{sampler}, {augmentation}": call for (sampler, augmentation), call in calls.items()}
    times = interleaved({**named, "step": trained.step}, rounds, torch.device("cpu"))
    rows = []
    for sampler, augmentation in sorted(calls, key=lambda key: (AUGMENTATIONS.index(key[1]), SAMPLERS.index(key[0]))):
        seconds, peer = times[f"{sampler}, {augmentation}"], times.get(f"learn2learn, {augmentation}")
        spread = quartiles([1000 * second for second in seconds])
        rows.append(
            {
                "augmentation": augmentation,
                "sampler": sampler,
                "milliseconds": spread,
                "episodes_a_second": 1000 * config.batch / spread["median"],
                "ratio": ratio(peer, seconds) if peer else None,
            }
        )
    found = {
        "episode": f"{config.dataset}: {config.classes} classes, {config.presentations} drawings of each, "
        f"{config.size} x {config.size} pixels, {config.batch} episodes at a time",
        "rows": rows,
        "step": {
            "of": f"{kind}: {workload.described()}",
            "milliseconds": quartiles([1000 * second for second in times["step"]]),
            "share_of_sampling": ratio(times["ours, jitter"], times["step"]),
        },
    }
    return found, missing


def _each_step(source: ClassificationEpisodes) -> Callable[[], object]:
    """Return what draws the episodes of one step after the other."""
    steps = itertools.count()
    return lambda: source(next(steps))


def _several(sample: Callable[[], object], count: int) -> Callable[[], object]:
    """Return what draws so many tasks."""
    return lambda: [sample() for _ in range(count)]


def _trained(workload: Workload, missing: list[str]) -> tuple[str, Contestant]:
    """Return the network as trainings run it, or the reference, which is slower, where that cannot be."""
    cpu = torch.device("cpu")
    try:
        return "fast", entered("fast", workload, cpu)
    except LeftOutError as error:
        missing.append(f"a step is that of the reference: {error}")
        return "reference", entered("reference", workload, cpu)


def markdown(found: Mapping[str, Any]) -> str:
    """Return what was measured as a table."""
    step = found["step"]
    lines = [
        f"### {found['episode']}",
        "",
        "| augmentation | sampler | ms, median (quartiles) | episodes/s | times learn2learn (95% interval) |",
        "|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        lines.append(
            f"| {row['augmentation']} | {row['sampler']} | {shown(row['milliseconds'], '{:.2f}')} "
            f"| {row['episodes_a_second']:,.0f} | {shown(row['ratio'], '{:.1f}')} |"
        )
    lines += [
        "",
        f"A step of {step['of']} {shown(step['milliseconds'], '{:.2f}')} ms. Our sampler, with augmentation, takes "
        f"{shown(step['share_of_sampling'], '{:.1%}')} of that besides.",
        "",
    ]
    return "\n".join(lines)


def plot(found: Mapping[str, Any]) -> Figure:
    """Return a figure of episodes a second."""
    figure, axes = one_plot()
    names = [f"{row['sampler']}, augmentation: {row['augmentation']}" for row in found["rows"]]
    axes.barh(names, [row["episodes_a_second"] for row in found["rows"]], color=BLUE)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("episodes a second")
    axes.set_title(found["episode"], fontsize=10, loc="left")
    return figure


def write_episodes(
    folder: Path, found: Mapping[str, Any], missing: list[str], environment: Mapping[str, Any]
) -> list[Path]:
    """Write episodes.json, .csv, .md and .png into a folder; returns their paths."""
    content = {"environment": dict(environment), "left_out": missing, **found}
    lines = [flat(row) for row in found["rows"]]
    return write_benchmark(folder, "episodes", content, lines, markdown(found), {"episodes": plot(found)})
