"""The speed of episode samplers: ours beside learn2learn's.

Both draw episodes from the same images, with the same numbers of classes and of images, with and without random
rotation and translation. Ours also draws the order of the images and returns how often each class has been presented;
both permute labels.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from warnings import catch_warnings, simplefilter

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.data import Dataset

from data import ImageClasses, Split
from episodes import ClassificationEpisodes
from mann.benchmark.implementations import Implementation, LeftOutError, build_implementation
from mann.benchmark.measuring import interleaved, quartiles, ratio
from mann.benchmark.workloads import ONE_SHOT, Workload
from mann.benchmark.writing import flat, spread_text, write_benchmark
from mann.problems.classification import training_episodes
from mann.reporting.style import BLUE, one_plot
from mann.settings import Config

SAMPLERS: Final = ("ours", "learn2learn")
AUGMENTATIONS: Final = ("none", "jitter")
_CPU: Final = torch.device("cpu")


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """All images of some classes one by one, each with the number of its class: a torch data set for learn2learn.

    Attributes:
        places: The class and the number within it, of each image.

    Args:
        images: The classes.
        transform: Applied to each image, float [1, height, width] in [0, 1].
    """

    def __init__(self, images: ImageClasses, transform: Callable[[Tensor], Tensor] | None = None):
        self._images = images.images
        self._transform = transform
        self.places = [(row, number) for row, count in enumerate(images.counts.tolist()) for number in range(count)]

    def __len__(self) -> int:
        """Return the number of images of all classes."""
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Return an image, float [1, height, width], and the number of its class."""
        row, number = self.places[index]
        image = self._images[row, number][None].float() / 255
        return (image if self._transform is None else self._transform(image)), row


def learn2learn_sampler(source: ClassificationEpisodes) -> Callable[[], tuple[Tensor, Tensor]]:
    """Return a function that draws a learn2learn task with the sizes of an episode.

    A task is images [classes * presentations, 1, height, width] and their labels [classes * presentations].

    Raises:
        LeftOutError: learn2learn is not installed.
    """
    try:
        with catch_warnings():
            simplefilter("ignore")  # of the package
            data = import_module("learn2learn.data")
            transforms = import_module("learn2learn.data.transforms")
    except ImportError as error:
        raise LeftOutError("learn2learn is not installed: requirements-learn2learn.txt describes how") from error
    move = None
    if source.jitter is not None:
        from torchvision.transforms import RandomAffine  # here, since it takes seconds to import

        shift = source.jitter.translation
        degrees = float(torch.tensor(source.jitter.rotation).rad2deg())
        move = RandomAffine(degrees, (shift, shift))
    images = ImageDataset(source.images, move)
    # Without the labels, learn2learn would load and transform every image to find its class.
    dataset = data.MetaDataset(images, indices_to_labels={i: row for i, (row, _) in enumerate(images.places)})
    steps = [
        transforms.FusedNWaysKShots(dataset, n=source.classes, k=source.presentations),
        transforms.LoadData(dataset),
        transforms.RemapLabels(dataset, shuffle=True),
    ]
    return data.Taskset(dataset, task_transforms=steps, num_tasks=-1).sample


def measure(
    config: Config, classes: ImageClasses, split: Split, rounds: int, workload: Workload = ONE_SHOT
) -> tuple[dict[str, Any], list[str]]:
    """Measure both samplers, and a training step of a workload in the same rounds.

    Args:
        config: The settings of the episodes; their rotation and translation are the augmentation "jitter".
        classes: All classes, on the CPU.
        split: The split; episodes are of its training classes.
        rounds: Number of times that each call is timed.
        workload: The sizes of the training step.

    Returns:
        The measurements, and a line for each sampler or implementation that was left out.
    """
    calls, missing = _sampling(config, classes, split)
    name, training = _training(workload, missing)
    by_name = {", ".join(key): call for key, call in calls.items()}
    times = interleaved({**by_name, "step": training.step}, rounds, _CPU)
    rows = []
    for sampler, augmentation in sorted(calls, key=lambda key: (AUGMENTATIONS.index(key[1]), SAMPLERS.index(key[0]))):
        seconds, other = times[f"{sampler}, {augmentation}"], times.get(f"learn2learn, {augmentation}")
        spread = quartiles([1000 * second for second in seconds])
        rows.append(
            {
                "augmentation": augmentation,
                "sampler": sampler,
                "milliseconds": spread,
                "episodes_a_second": 1000 * config.batch / spread["median"],
                "ratio": ratio(other, seconds) if other else None,
            }
        )
    found = {
        "episode": f"{config.dataset}: {config.classes} classes, {config.presentations} images of each, "
        f"{config.size} x {config.size} pixels, {config.batch} episodes at a time",
        "rows": rows,
        "step": {
            "of": f"{name}: {workload.described()}",
            "milliseconds": quartiles([1000 * second for second in times["step"]]),
            "share_of_sampling": ratio(times["ours, jitter"], times["step"]),
        },
    }
    return found, missing


def _sampling(
    config: Config, classes: ImageClasses, split: Split
) -> tuple[dict[tuple[str, str], Callable[[], object]], list[str]]:
    """Return calls that draw the episodes of a training step, by sampler and augmentation, and lines for the others."""
    without = replace(config, jitter_rotation=0.0, jitter_translation=0.0, jitter_scale=0.0, jitter_shear=0.0)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    missing = []
    for augmentation, settings in zip(AUGMENTATIONS, (without, config), strict=True):
        source = training_episodes(settings, classes, split)
        calls["ours", augmentation] = _each_step(source)
        try:
            calls["learn2learn", augmentation] = _several(learn2learn_sampler(source), config.batch)
        except LeftOutError as error:
            missing.append(f"learn2learn is left out ({augmentation}): {error}")
    return calls, missing


def _each_step(source: ClassificationEpisodes) -> Callable[[], object]:
    """Return a function that draws the episodes of the next step, from step 0 on."""
    steps = itertools.count()
    return lambda: source(next(steps))


def _several(sample: Callable[[], object], count: int) -> Callable[[], object]:
    """Return a function that calls `sample` a number of times."""
    return lambda: [sample() for _ in range(count)]


def _training(workload: Workload, missing: list[str]) -> tuple[str, Implementation]:
    """Return the implementation that trainings use, fast, or the slower reference if it is left out, with its name."""
    try:
        return "fast", build_implementation("fast", workload, _CPU)
    except LeftOutError as error:
        missing.append(f"the training step is that of the reference: {error}")
        return "reference", build_implementation("reference", workload, _CPU)


def markdown(found: Mapping[str, Any]) -> str:
    """Return the measurements as a table."""
    step = found["step"]
    lines = [
        f"### {found['episode']}",
        "",
        "| augmentation | sampler | ms, median (quartiles) | episodes/s "
        "| speed relative to learn2learn (95% interval) |",
        "|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        lines.append(
            f"| {row['augmentation']} | {row['sampler']} | {spread_text(row['milliseconds'], '{:.2f}')} "
            f"| {row['episodes_a_second']:,.0f} | {spread_text(row['ratio'], '{:.1f}')} |"
        )
    lines += [
        "",
        f"A training step takes {spread_text(step['milliseconds'], '{:.2f}')} ms ({step['of'].removesuffix('.')}). "
        f"Sampling its episodes with our sampler and jitter takes {spread_text(step['share_of_sampling'], '{:.1%}')} "
        "of that in addition.",
        "",
    ]
    return "\n".join(lines)


def plot(found: Mapping[str, Any]) -> Figure:
    """Return a figure of the episodes per second of each sampler."""
    figure, axes = one_plot()
    names = [f"{row['sampler']}, augmentation: {row['augmentation']}" for row in found["rows"]]
    axes.barh(names, [row["episodes_a_second"] for row in found["rows"]], color=BLUE)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("episodes per second")
    axes.set_title(found["episode"], fontsize=10, loc="left")
    return figure


def write_episodes(
    folder: Path, found: Mapping[str, Any], missing: list[str], environment: Mapping[str, Any]
) -> list[Path]:
    """Write episodes.json, .csv, .md and .png into a folder; returns their paths."""
    content = {"environment": dict(environment), "left_out": missing, **found}
    lines = [flat(row) for row in found["rows"]]
    return write_benchmark(folder, "episodes", content, lines, markdown(found), {"episodes": plot(found)})
