"""A picture of the binding of classes to memory slots in one sequence of a classification.

Steps count from 1 in the picture, slots and heads from 0.
"""

from typing import Final, NamedTuple

import numpy
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from episodes import Episode
from mann.addressing import WeightsAre
from mann.evaluation.memory_use import (
    BOUND,
    AnsweredSequence,
    SlotAccess,
    answered_sequence,
    by_first_write,
    only_sequence,
    slot_access,
)
from mann.models.network import Access
from mann.reporting.style import GREEN, GREY, VERMILION
from mann.reporting.style import colour as class_colour

MOST_IMAGES = 60
"""Images are drawn in sequences of up to this many steps; in longer ones they would be too small to recognise."""

# Inches: of the margins beside the steps, and of the height of an image.
_MARGINS = 2.6
_IMAGE_HEIGHT = 0.28
# Opacity of the colour of a row.
_TINT = 0.14


class _Mark(NamedTuple):
    """The mark of a kind of weights.

    Attributes:
        name: The kind of weights.
        marker: Matplotlib's name of the shape.
        scale: The side of the mark at a weight of 1, as a fraction of the side of a cell.
        filled: Whether the mark is filled; otherwise it is an outline.
        meaning: The text of the legend.
    """

    name: str
    marker: str
    scale: float
    filled: bool
    meaning: str


_IMAGE_WRITE = _Mark(
    name="image write",
    marker="s",
    scale=1.0,
    filled=False,
    meaning="write to a slot not in use one step\nbefore, or erased: class of this step",
)
_LABEL_WRITE = _Mark(
    name="label write",
    marker="D",
    scale=0.7,  # a square on its corner that fits into the cell
    filled=False,
    meaning="write to a slot in use one step before:\nclass of that step (adds its label)",
)
_READ = _Mark(name="read", marker="o", scale=0.62, filled=True, meaning="read: class\nof this step")

_MEANINGS_BY_STEP: Final = {
    _IMAGE_WRITE.name: "write of the first step,\nat which no label arrives",
    _LABEL_WRITE.name: "write of a step: class of the step\nbefore, whose label arrives",
    _READ.name: "read of what a step wrote:\nclass of this step",
}
"""Meanings of the marks where each row is the write of a step."""


def plot_binding(episode: Episode, logits: Tensor, access: Access, weights_are: WeightsAre = "weightings") -> Figure:
    """Plot which slot was bound to which class in one sequence, and the slots that were read at each step.

    Every row is a slot, in the order of their first write. Where the memory works, a row has one colour: the writes to
    the slot, and the images at which it is read, belong to one class. Marks are drawn for weights above `BOUND`, summed
    over heads; their area is proportional to the weight.

    A write stores either the image of its own step (a square in the colour of that class) or the label of the image
    before (a diamond in the colour of the class before); `slot_access` explains how the two are told apart. From the
    write of an image on, the row is tinted in the colour of its class.

    Where the scheme's weights are features, every row is the write of one step instead, in the colour of the class
    whose label arrived at that step; where the memory works, the images that read it are of that class.

    Args:
        episode: A batch of one sequence.
        logits: [time, 1, characters, symbols].
        access: [time, 1, ...], as `MemoryNetwork.trace` returns it for the sequence.
        weights_are: What the scheme's weights are.

    Returns:
        The figure.

    Raises:
        ValueError: there is more than one sequence.
    """
    sequence = answered_sequence(episode, logits)
    seen = slot_access(access, sequence.classes, weights_are)
    by_step = weights_are == "features"
    slots = by_first_write(seen)
    time, total = seen.writes.shape
    # Inches of a step and of a slot: as large as a page allows, but not too small to be seen.
    width = max(11.0, time * min(max(14 / time, 0.09), 0.24) + _MARGINS)
    step_width, slot_height = (width - _MARGINS) / time, min(max(9 / max(1, len(slots)), 0.11), 0.24)
    heights = [
        _IMAGE_HEIGHT,
        4 * max(0.22, 0.085 * max(map(len, sequence.names))),
        max(6, len(slots)) * slot_height,
    ]
    if time > MOST_IMAGES:
        del heights[0]
    figure = Figure(figsize=(width, sum(heights) + 1.9), layout="constrained")
    *above, strip, main = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes in above:
        _draw_images(only_sequence(episode.images), step_width, axes)
    _draw_answers(sequence, step_width, strip)
    side = 72 * 0.9 * min(step_width, slot_height)
    _draw_slot_access(seen, slots, sequence.classes, side, main)
    main.set_yticks(range(len(slots)), (slots + by_step).tolist(), fontsize=7)
    main.set_ylabel("step that wrote" if by_step else "slot, by first write", fontsize=8)
    _add_legends(sequence, side, by_step, figure)
    places = "what each step wrote" if by_step else f"slots: {len(slots)} of {total} slots had a weight above {BOUND}"
    figure.suptitle(
        f"Binding of classes to {places}, {sequence.correct.sum()} of {time} answers are correct",
        fontsize=11,
    )
    return figure


def _draw_images(images: numpy.ndarray, step_width: float, axes: Axes) -> None:
    """Draw the images, [time, height, width] in [0, 1]; step_width: inches."""
    # At most as wide as high, with a small gap between neighbours.
    half = 0.46 * min(1.0, _IMAGE_HEIGHT / step_width)
    for step, image in enumerate(images, 1):
        axes.imshow(image, cmap="Greys", vmin=0, vmax=1, aspect="auto", extent=(step - half, step + half, 0, 1))
    axes.set_yticks([0.5], ["image"], fontsize=8)
    _remove_frame(axes)


def _draw_answers(sequence: AnsweredSequence, step_width: float, axes: Axes) -> None:
    """Draw a table of presentations, labels and answers with a column for each step; step_width: inches."""
    time = len(sequence.classes)
    colours = numpy.ones((4, time, 3))
    colours[1] = [to_rgb(class_colour(number)) for number in sequence.classes]
    colours[2] = [to_rgb("white" if number < 0 else class_colour(number)) for number in sequence.answered]
    axes.imshow(colours, aspect="auto", extent=(0.5, time + 0.5, 3.5, -0.5))
    labels = [sequence.names[number] for number in sequence.classes]
    for row, texts in enumerate(([str(number) for number in sequence.presentations], labels, sequence.answers)):
        for step, text in enumerate(texts):
            _draw_cell_text(colours[row, step], text, (step + 1, row), step_width, axes)
    size = (72 * 0.5 * min(step_width, 0.2)) ** 2
    for name, marker, colour, where in (
        ("correct", "$\u2713$", GREEN, sequence.correct),
        ("wrong", "x", VERMILION, ~sequence.correct),
    ):
        steps = numpy.flatnonzero(where) + 1
        axes.scatter(steps, numpy.full(len(steps), 3), marker=marker, color=colour, s=size, label=name)
    axes.set_yticks(range(4), ["presentation", "label", "answer", "correct"], fontsize=8)
    _remove_frame(axes)


def _draw_cell_text(
    colour: numpy.ndarray, text: str, place: tuple[float, float], step_width: float, axes: Axes
) -> None:
    """Write text on a cell of a colour; texts of more than two characters are rotated."""
    rotated = len(text) > 2
    axes.text(
        *place,
        text,
        ha="center",
        va="center",
        # A digit is about 0.65 of the font size wide, and a line is somewhat higher than the font size.
        fontsize=min(8.0, 72 * step_width / (1.2 if rotated else 0.75 * max(2, len(text)))),
        rotation=90 if rotated else 0,
        # Luminance, with the weights of ITU-R BT.601.
        color="white" if colour @ (0.3, 0.59, 0.11) < 0.6 else "black",
    )


def _remove_frame(axes: Axes) -> None:
    """Remove the frame, and the labels of the steps, which the panel below has."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)


def _draw_slot_access(
    access: SlotAccess, slots: numpy.ndarray, classes: numpy.ndarray, side: float, axes: Axes
) -> None:
    """Mark the writes and reads of some slots, one row for each slot.

    Args:
        access: The writes and reads.
        slots: The slots to draw, from top to bottom.
        classes: int [time], the classes of the images.
        side: The side of a mark of weight 1, in points.
        axes: Where to draw.
    """
    time = len(classes)
    for row, slot in enumerate(slots):
        _tint_row(access.image_writes[:, slot], access.label_writes[:, slot], access.classes[:, slot], row, axes)
    own_classes = numpy.broadcast_to(classes[:, None], access.reads.shape)
    for mark, where, weights, mark_classes in (
        (_IMAGE_WRITE, access.image_writes, access.writes, access.classes),
        (_LABEL_WRITE, access.label_writes, access.writes, access.classes),
        (_READ, access.reads > BOUND, access.reads, own_classes),
    ):
        steps, rows = numpy.nonzero(where[:, slots])
        colours = [class_colour(number) for number in mark_classes[steps, slots[rows]]]
        axes.scatter(
            steps + 1,
            rows,
            s=weights[steps, slots[rows]] * (mark.scale * side) ** 2,
            marker=mark.marker,
            facecolors=colours if mark.filled else "none",
            edgecolors="none" if mark.filled else colours,
            linewidths=1.2,
            label=mark.name,
        )
    axes.set_xlim(0.5, time + 0.5)
    axes.set_ylim(max(len(slots), 1) - 0.5, -0.5)
    axes.set_xlabel("step")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=20, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _tint_row(
    image_writes: numpy.ndarray, label_writes: numpy.ndarray, classes: numpy.ndarray, row: int, axes: Axes
) -> None:
    """Tint the row of a slot from its first write on; each write of an image changes the colour. All [time]."""
    written = image_writes | label_writes
    if not written.any():
        return
    starts = numpy.union1d(written.argmax(), numpy.flatnonzero(image_writes))
    ends = numpy.append(starts[1:], len(image_writes))
    colours = [class_colour(number) for number in classes[starts]]
    axes.barh(row, ends - starts, 0.86, left=starts + 0.5, color=colours, alpha=_TINT, zorder=0)


def _add_legends(sequence: AnsweredSequence, side: float, by_step: bool, figure: Figure) -> None:
    """Add the legends of colours and marks; side: the side of a mark of weight 1, in points."""
    classes = [Patch(color=class_colour(number), label=name) for number, name in enumerate(sequence.names)]
    figure.legend(
        handles=classes,
        title="label of\nthe class",
        loc="outside right upper",
        ncols=-(-len(classes) // 20),
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
    marks = [
        Line2D(
            [],
            [],
            linestyle="none",
            marker=mark.marker,
            markersize=mark.scale * side,
            color=GREY,
            markerfacecolor=GREY if mark.filled else "none",
            label=_MEANINGS_BY_STEP[mark.name] if by_step else mark.meaning,
        )
        for mark in (_IMAGE_WRITE, _LABEL_WRITE, _READ)
    ]
    weights = "product of query and key, the mean over heads" if by_step else "weights summed over heads"
    tint = Patch(color=GREY, alpha=_TINT, label="class of the last\nimage written")
    figure.legend(
        handles=[*marks, tint],
        title=f"marks: {weights}, area in proportion; marks of this legend: weight 1",
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
