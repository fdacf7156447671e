"""A picture of memory in one sequence of a task: writes, reads and content over time.

After figure 6 of Graves et al. 2014 (arXiv 1410.5401). Steps count from 1 in the picture, slots and heads from 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from episodes import TaskEpisode
from mann.addressing import WeightsAre
from mann.evaluation.memory_use import only_sequence, usage_of
from mann.models.network import Access
from mann.reporting.pictures import DPI
from mann.reporting.style import GREY, VERMILION

IN_USE = 0.05
"""`plot_access` includes a slot if a head gave it a larger weight at any step."""

# Colour maps of signed values, of usage counts, and of fractions; grey-blue where a step has no target.
_SIGNED, _AMOUNT, _FRACTION = colormaps["RdBu_r"], colormaps["viridis"], colormaps["Greys"]
_OUTPUT = _FRACTION.with_extremes(bad="#DCE6F1")
# Inches: of a panel's title, of the width of a panel over time (approximately), between the labels of rows, and
# between heads.
_TITLE_HEIGHT = 0.42
_PANEL_WIDTH = 6.0
_LABEL_DISTANCE = 0.13
_HEAD_GAP = 0.06


class _Panel(NamedTuple):
    """The content of one panel over time.

    Attributes:
        title: The title.
        heads: [heads, rows, time], one block of rows for each head, from top to bottom; masked cells stay empty.
        colours: The colour map.
        norm: The values of the first and the last colour.
        rows: The labels of the rows of a head; empty for none.
        crosses: (row, step from 0) of the cells to mark with a cross.
    """

    title: str
    heads: numpy.ndarray
    colours: Colormap
    norm: Normalize
    rows: Sequence[int] = ()
    crosses: Sequence[Sequence[int]] = ()

    @property
    def height(self) -> float:
        """Inches in which the rows can be told apart, within the limits of a page."""
        heads, rows, _ = self.heads.shape
        return min(max((_LABEL_DISTANCE if self.rows else 0.075) * heads * rows, 0.6), 1.0 + 0.7 * heads)


# The panels of the left and of the right column, which share the rows of the section.
_Section = tuple[Sequence[_Panel], Sequence[_Panel]]


def plot_access(
    episode: TaskEpisode, outputs: Tensor, access: Access, weights_are: WeightsAre = "weightings"
) -> Figure:
    """Plot writes, reads and the content of memory in one sequence of a task.

    Time runs to the right, except in the last row, which holds the content of memory at four steps. Slots to which no
    head gave a weight above `IN_USE` are left out; if that is true of all slots, the one with the largest weight is
    kept.

    Args:
        episode: A batch of one sequence of a task with targets of bits.
        outputs: [time, 1, output_size], the network's logits.
        access: [time, 1, ...], as `MemoryNetwork.trace` returns it for the inputs of the episode.
        weights_are: What the scheme's weights are: features have signs, and so have their colours.

    Returns:
        The figure, up to 14 inches wide.

    Raises:
        ValueError: there is more than one sequence, or not one logit for each bit.
    """
    if outputs.shape != episode.targets.shape:
        raise ValueError(f"outputs {list(outputs.shape)} are not logits of bits {list(episode.targets.shape)}")
    slots, selection = _slots_in_use(access)
    sections: list[_Section] = [
        ([_input_panel(episode)], _output_panels(episode, outputs)),
        (_write_panels(access), [_read_panel(access), *_usage_panels(access, slots)]),
        (
            [_weights_panel("write", access.write.weights, slots, weights_are)],
            [_weights_panel("read", access.read_weights, slots, weights_are)],
        ),
    ]
    heights = [height for section in sections for height in _row_heights(section)]
    content = _content_height(len(slots)) + 2 * _TITLE_HEIGHT
    figure = Figure(figsize=(14, sum(heights) + content + _TITLE_HEIGHT), layout="constrained")
    upper, lower = figure.add_gridspec(2, 1, height_ratios=(sum(heights), content))
    _draw_sections(sections, heights, figure.add_subfigure(upper))
    _draw_content(only_sequence(access.memory)[:, slots], slots, figure.add_subfigure(lower))
    figure.suptitle(f"Memory in one sequence ({selection})", fontsize=11)
    return figure


def _slots_in_use(access: Access) -> tuple[numpy.ndarray, str]:
    """Return the slots to plot, int [slots in use], and a description of the selection."""
    both = (access.write.weights, access.read_weights)
    largest = numpy.maximum(*(abs(only_sequence(weights)).max((0, 1)) for weights in both))
    used = numpy.flatnonzero(largest > IN_USE)
    if not len(used):
        return largest.argmax(keepdims=True), f"no slot had a weight above {IN_USE}: only the one with the largest"
    return used, f"{len(used)} of {len(largest)} slots: those with a weight above {IN_USE} at some step"


def _input_panel(episode: TaskEpisode) -> _Panel:
    """Return the panel of the inputs."""
    inputs = only_sequence(episode.inputs).T[None]
    if inputs.min() < 0:
        return _Panel("inputs", inputs, _SIGNED, _centred(inputs))
    return _Panel("inputs", inputs, _FRACTION, Normalize(0, max(1, inputs.max())))


def _output_panels(episode: TaskEpisode, outputs: Tensor) -> list[_Panel]:
    """Return the panels of the targets and of the network's outputs."""
    targets, logits, probabilities = (
        only_sequence(values).T for values in (episode.targets, outputs, outputs.sigmoid())
    )
    counted = numpy.broadcast_to(only_sequence(episode.mask) > 0, targets.shape)
    wrong = counted & ((logits > 0) != (targets > 0.5))
    errors = f"{wrong.sum()} of {counted.sum()} bits wrong" + (" (crosses)" if wrong.any() else "")
    bits = Normalize(0, 1)
    return [
        _Panel("targets (blue: none)", numpy.ma.masked_array(targets, ~counted)[None], _OUTPUT, bits),
        _Panel(
            f"outputs: {errors}",
            numpy.ma.masked_array(probabilities, ~counted)[None],
            _OUTPUT,
            bits,
            crosses=numpy.argwhere(wrong).tolist(),
        ),
    ]


def _write_panels(access: Access) -> list[_Panel]:
    """Return the panels of the add vectors and, where the controller emits them, of the erase vectors."""
    add = _by_head(access.write.add)
    panels = [_Panel("add vectors, by head", add, _SIGNED, _centred(add))]
    if "erase" in access.controls:
        erase = _by_head(access.controls["erase"])
        panels.append(_Panel("erase vectors, by head", erase, _FRACTION, Normalize(0, 1)))
    return panels


def _read_panel(access: Access) -> _Panel:
    """Return the panel of the read vectors."""
    reads = _by_head(access.reads.unflatten(-1, (access.read_weights.shape[2], -1)))
    return _Panel("read vectors, by head", reads, _SIGNED, _centred(reads))


def _usage_panels(access: Access, slots: numpy.ndarray) -> list[_Panel]:
    """Return the panel of the scheme's usage counts; none if it has no such counts."""
    usage = usage_of(access)
    if usage is None:
        return []
    values = usage.values[:, slots].T[None]
    return [_Panel(usage.title, values, _AMOUNT, Normalize(0, max(1, values.max())), slots.tolist())]


def _weights_panel(kind: str, weights: Tensor, slots: numpy.ndarray, weights_are: WeightsAre) -> _Panel:
    """Return a panel of read or write weights [time, 1, heads, slots]."""
    values, rows = _by_head(weights)[:, slots], slots.tolist()
    if weights_are == "features":
        title = {"write": "keys of the writes", "read": "queries of the reads"}[kind]
        return _Panel(f"{title}, by head", values, _SIGNED, _centred(values), rows)
    return _Panel(f"{kind} weightings, by head", values, _FRACTION, Normalize(0, 1), rows)


def _by_head(vectors: Tensor) -> numpy.ndarray:
    """Return vectors [time, 1, heads, size] as [heads, size, time]."""
    return only_sequence(vectors).transpose(1, 2, 0)


def _centred(values: numpy.ndarray) -> Normalize:
    """Return a norm with 0 in the middle of the colour map."""
    # A range of 0, where all values are 0, would be a division by 0.
    return CenteredNorm(halfrange=max(float(abs(values).max()), 1e-6))


def _row_spans(panels: int, rows: int) -> list[slice]:
    """Divide `rows` rows among `panels` panels, at most as many as rows."""
    return [slice(panel * rows // panels, (panel + 1) * rows // panels) for panel in range(panels)]


def _row_heights(section: _Section) -> list[float]:
    """Return the height of each row of a section, titles included, in inches."""
    rows = max(map(len, section))
    heights = [0.0] * rows
    for column in section:
        for panel, span in zip(column, _row_spans(len(column), rows), strict=True):
            height = (panel.height + _TITLE_HEIGHT) / (span.stop - span.start)
            heights[span] = [max(other, height) for other in heights[span]]
    return heights


def _draw_sections(sections: Sequence[_Section], heights: Sequence[float], figure: SubFigure) -> None:
    """Draw the panels over time, which share their horizontal axis."""
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    first, shared = 0, None
    for section in sections:
        rows = max(map(len, section))
        for side, column in enumerate(section):
            for panel, span in zip(column, _row_spans(len(column), rows), strict=True):
                start, stop = first + span.start, first + span.stop
                axes = figure.add_subplot(grid[start:stop, side], sharex=shared)
                shared = shared or axes
                _draw_panel(panel, axes, figure, sum(heights[start:stop]) - _TITLE_HEIGHT)
                if stop == len(heights):
                    axes.set_xlabel("step")
                else:
                    axes.tick_params(labelbottom=False)
        first += rows


def _draw_panel(panel: _Panel, axes: Axes, figure: SubFigure, height: float) -> None:
    """Draw one panel, `height` inches high, with a colour bar."""
    heads, rows, time = panel.heads.shape
    # The gap between heads, in units of rows: without it, the separating line would cover cells.
    gap = _HEAD_GAP * heads * rows / height
    tops = [head * (rows + gap) - 0.5 for head in range(heads)]
    cell = min(_PANEL_WIDTH / time, height / (heads * rows))
    images = [
        axes.imshow(
            values,
            cmap=panel.colours,
            norm=panel.norm,
            aspect="auto",
            interpolation=_interpolation(cell),
            extent=(0.5, time + 0.5, top + rows, top),
        )
        for values, top in zip(panel.heads, tops, strict=True)
    ]
    for top in tops[1:]:
        axes.axhline(top - gap / 2, color="black", linewidth=0.8)
    axes.set_ylim(tops[-1] + rows, tops[0])
    axes.set_title(panel.title, fontsize=9, loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=7)
    every = -(-rows * heads // round(height / _LABEL_DISTANCE))
    # No label so close to the end that it would touch the first label of the next head.
    labelled = range(0, max(1, rows - every // 2), every) if panel.rows else ()
    axes.set_yticks(
        [top + 0.5 + row for top in tops for row in labelled], [str(panel.rows[row]) for _ in tops for row in labelled]
    )
    if panel.rows:
        axes.set_ylabel("slot", fontsize=7)
    if heads > 1:
        for head, top in enumerate(tops):
            _name_head(head, top + rows / 2, axes)
    if panel.crosses:
        places, steps = zip(*panel.crosses, strict=True)
        # In points: a mark that fits into a cell.
        side = min(max(0.7 * 72 * cell, 1.5), 5.0)
        axes.scatter(numpy.add(steps, 1), places, marker="x", color=VERMILION, s=side**2, linewidths=side / 3)
    _add_colour_bar(images[0], [axes], figure)


def _interpolation(cell: float) -> str | None:
    """Return matplotlib's interpolation for cells of a size in inches."""
    # Cells smaller than a pixel have to be averaged: "nearest" would drop some of them.
    return "nearest" if cell * DPI >= 1 else None


def _name_head(head: int, place: float, axes: Axes) -> None:
    """Label the rows of a head with its number."""
    axes.annotate(
        f"head {head}",
        (1, place),
        xycoords=axes.get_yaxis_transform(),
        xytext=(3, 0),
        textcoords="offset points",
        rotation=90,
        va="center",
        fontsize=7,
        color=GREY,
    )


def _content_height(slots: int) -> float:
    """Return the height of the panels of memory content, in inches."""
    return min(max(0.1 * slots, 1.2), 3.2)


def _draw_content(memory: numpy.ndarray, slots: numpy.ndarray, figure: SubFigure) -> None:
    """Draw the content of some slots after a quarter, a half, three quarters and all of the steps.

    Args:
        memory: [time, slots, word_size], the content of the slots to draw.
        slots: int [slots], their numbers.
        figure: The figure to draw into.
    """
    time = len(memory)
    # A set: sequences of fewer than four steps have fewer panels.
    moments = sorted({max(1, round(time * quarter / 4)) for quarter in (1, 2, 3, 4)})
    cell = min(3 / memory.shape[2], _content_height(len(slots)) / len(slots))
    norm = _centred(memory[[moment - 1 for moment in moments]])
    every = -(-len(slots) // 25)
    panels = figure.subplots(1, len(moments), squeeze=False, sharey=True)[0].tolist()
    images = [
        axes.imshow(memory[moment - 1], cmap=_SIGNED, norm=norm, aspect="auto", interpolation=_interpolation(cell))
        for moment, axes in zip(moments, panels, strict=True)
    ]
    for moment, axes in zip(moments, panels, strict=True):
        axes.set_title(f"memory after step {moment} of {time}", fontsize=9, loc="left")
        axes.set_xlabel("element of the word", fontsize=7)
        axes.set_yticks(range(0, len(slots), every), slots[::every].tolist())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6))
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("slot", fontsize=7)
    _add_colour_bar(images[0], panels, figure)


def _add_colour_bar(image: AxesImage, panels: Sequence[Axes], figure: SubFigure) -> None:
    """Add a colour bar beside panels."""
    bar = figure.colorbar(image, ax=panels, pad=0.01, fraction=0.03, aspect=12 * len(panels), ticks=MaxNLocator(4))
    bar.ax.tick_params(labelsize=7)
