"""Pictures of what memory did in one sequence: where it was written and read, what it held, what was bound to what.

Both take what `MemoryNetwork.trace` returned for a batch of one sequence. Steps count from 1, slots and heads from 0.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Colormap, Normalize, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from episodes import Episode, TaskEpisode
from mann.models.network import Access
from mann.reporting.pictures import DPI
from mann.reporting.style import GREEN, GREY, VERMILION
from mann.reporting.style import colour as class_colour

IN_USE = 0.05
"""`plot_access` shows a slot if a head gave it a larger weight at any step."""
BOUND = 0.1
"""`plot_binding` marks a larger weight, summed over heads."""
MOST_DRAWINGS = 60
"""Drawings of so many steps are still large enough to be recognised."""

_SIGNED, _AMOUNT, _SHARE = colormaps["RdBu_r"], colormaps["viridis"], colormaps["Greys"]
_ANSWER = _SHARE.with_extremes(bad="#DCE6F1")
_TITLE = 0.42
"""Inches that a panel's title takes."""
_MARGINS = 2.6
"""Inches beside the steps of `plot_binding`."""
_DRAWING = 0.28
"""Inches of a drawing."""
_PANEL_WIDTH = 6.0
"""Inches that a panel over time has, about."""
_LABEL = 0.13
"""Inches between labels of rows that do not touch each other."""
_GAP = 0.06
"""Inches between heads."""
_USAGE = {"usage": "usage of the slots", "age": "age of the slots: steps since they were last in use"}
"""By name in a scheme's state, what it knows about the use of slots."""


class _Panel(NamedTuple):
    """What one panel shows over time.

    Attributes:
        title: What is seen.
        heads: [heads, rows, time], drawn one below the other; masked where there is nothing to show.
        colours: The colours of numbers.
        norm: Which numbers have the first and the last colour.
        rows: What the rows of a head are called; empty: nothing.
        crosses: (row, step from 0) of what is marked with a cross.
    """

    title: str
    heads: numpy.ndarray
    colours: Colormap
    norm: Normalize
    rows: Sequence[int] = ()
    crosses: Sequence[Sequence[int]] = ()

    @property
    def height(self) -> float:
        """Inches in which its rows can be told apart, as far as a page allows."""
        heads, rows, _ = self.heads.shape
        return min(max((_LABEL if self.rows else 0.075) * heads * rows, 0.6), 1.0 + 0.7 * heads)


# Panels of the left and of the right column, which share the rows of the section.
_Section = tuple[Sequence[_Panel], Sequence[_Panel]]


def plot_access(episode: TaskEpisode, outputs: Tensor, access: Access) -> Figure:
    """Return what the heads did in one sequence of a task, as figure 6 of Graves et al. 2014 (arXiv 1410.5401) does.

    Time runs to the right, but in the last row, which shows what the memory held at four moments. Slots to which no
    head ever gave a weight above `IN_USE` are left out (if that is all of them, the one with the largest is shown).

    Args:
        episode: Of a task that asks for bits, batch 1.
        outputs: [time, 1, output_size], the network's logits.
        access: What `MemoryNetwork.trace` returned for the episode's inputs, [time, 1, ...].

    Raises:
        ValueError: there is more than one sequence, or not a logit for each bit.
    """
    if outputs.shape != episode.targets.shape:
        raise ValueError(f"outputs {list(outputs.shape)} are no logits for bits {list(episode.targets.shape)}")
    slots, which = _slots_in_use(access)
    sections: list[_Section] = [
        ([_inputs(episode)], _answers(episode, outputs)),
        (_written(access), [_read(access), *_usage(access, slots)]),
        (
            [_weightings("write weightings: where each head wrote", access.write.weights, slots)],
            [_weightings("read weightings: where each head read", access.read_weights, slots)],
        ),
    ]
    heights = [height for section in sections for height in _row_heights(section)]
    content = _content_height(len(slots)) + 2 * _TITLE
    figure = Figure(figsize=(14, sum(heights) + content + _TITLE), layout="constrained")
    upper, lower = figure.add_gridspec(2, 1, height_ratios=(sum(heights), content))
    _draw_sections(sections, heights, figure.add_subfigure(upper))
    _draw_content(_only(access.memory)[:, slots], slots, figure.add_subfigure(lower))
    figure.suptitle(f"What memory did in one sequence ({which})", fontsize=11)
    return figure


def plot_binding(episode: Episode, logits: Tensor, access: Access) -> Figure:
    """Return which slot was bound to which class in one sequence, and where memory was read at each step.

    Every row is a slot, in the order of their first write. Where memory works, a row has one colour: what is written
    there, and the drawings that read it, belong to one class. Marks are for weights above `BOUND`, summed over heads,
    their area in proportion.

    The label of a drawing is an input of the step after it, so a write may be for the drawing of its own step or for
    that of the step before. Which of the two can only be guessed from where it goes. A write to a slot that was in use
    the step before (written or read), and of which less than half is wiped now, is taken to add the label: a diamond
    in the colour of the step before. Any other is taken to be for the drawing: a square in the colour of its own step;
    from there on, the row is tinted in that colour.

    Args:
        episode: Batch 1.
        logits: [time, 1, characters, symbols].
        access: What `MemoryNetwork.trace` returned for the sequence, [time, 1, ...].

    Raises:
        ValueError: there is more than one sequence.
    """
    shown = labelled(episode, logits)
    seen = traffic(access, shown.classes)
    slots = by_first_write(seen)
    time, total = seen.writes.shape
    # Inches for a step and for a slot: as large as a page allows, but no smaller than can be seen.
    width = max(11.0, time * min(max(14 / time, 0.09), 0.24) + _MARGINS)
    wide, high = (width - _MARGINS) / time, min(max(9 / max(1, len(slots)), 0.11), 0.24)
    heights = [_DRAWING, 4 * max(0.22, 0.085 * max(map(len, shown.names))), max(6, len(slots)) * high]
    if time > MOST_DRAWINGS:
        del heights[0]
    figure = Figure(figsize=(width, sum(heights) + 1.9), layout="constrained")
    *above, strip, main = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    for axes in above:
        _draw_drawings(_only(episode.images), wide, axes)
    _draw_answers(shown, wide, strip)
    side = 72 * 0.9 * min(wide, high)
    _draw_traffic(seen, slots, shown.classes, side, main)
    _add_legends(shown, side, figure)
    figure.suptitle(
        f"Which slot was bound to which class: {len(slots)} of {total} slots had a weight above {BOUND}, "
        f"{shown.right.sum()} of {time} answers were right",
        fontsize=11,
    )
    return figure


def _only(tensor: Tensor) -> numpy.ndarray:
    """Return the only sequence of a batch as float64 [time, ...].

    Raises:
        ValueError: there are others.
    """
    if tensor.shape[1] != 1:
        raise ValueError(f"a picture shows one sequence, and here are {tensor.shape[1]}")
    return tensor[:, 0].double().numpy(force=True)


class Usage(NamedTuple):
    """What a scheme knows about the use of slots: what it counts, and [time, slots]."""

    title: str
    values: numpy.ndarray


def usage_of(access: Access) -> Usage | None:
    """Return what the scheme knows about the use of slots in one sequence; None if it does not keep count."""
    for name, title in _USAGE.items():
        if hasattr(access.addressing, name):
            return Usage(title, _only(getattr(access.addressing, name)))
    return None


def _slots_in_use(access: Access) -> tuple[numpy.ndarray, str]:
    """Return the numbers of the slots to show, [slots], and which they are in words."""
    both = (access.write.weights, access.read_weights)
    largest = numpy.maximum(*(_only(weights).max((0, 1)) for weights in both))
    used = numpy.flatnonzero(largest > IN_USE)
    if not len(used):
        return largest.argmax(keepdims=True), f"no slot had a weight above {IN_USE}: the one with the largest is shown"
    return used, f"slots shown: {len(used)} of {len(largest)}, those with a weight above {IN_USE} at some step"


def _inputs(episode: TaskEpisode) -> _Panel:
    """Return the panel of what the network saw."""
    inputs = _only(episode.inputs).T[None]
    title = "inputs: what the network saw"
    if inputs.min() < 0:
        return _Panel(title, inputs, _SIGNED, _centred(inputs))
    return _Panel(title, inputs, _SHARE, Normalize(0, max(1, inputs.max())))


def _answers(episode: TaskEpisode, outputs: Tensor) -> list[_Panel]:
    """Return the panels of the bits asked for, and of the network's."""
    targets, logits, probabilities = (_only(values).T for values in (episode.targets, outputs, outputs.sigmoid()))
    asked = numpy.broadcast_to(_only(episode.mask) > 0, targets.shape)
    wrong = asked & ((logits > 0) != (targets > 0.5))
    counted = f"{wrong.sum()} of {asked.sum()} bits wrong" + (" (crosses)" if wrong.any() else "")
    bits = Normalize(0, 1)
    return [
        _Panel("answers asked for (blue: nothing asked)", numpy.ma.masked_array(targets, ~asked)[None], _ANSWER, bits),
        _Panel(
            f"the network's answers: {counted}",
            numpy.ma.masked_array(probabilities, ~asked)[None],
            _ANSWER,
            bits,
            crosses=numpy.argwhere(wrong).tolist(),
        ),
    ]


def _written(access: Access) -> list[_Panel]:
    """Return the panels of what was written and, where the controller says so, of what was erased."""
    add = _by_head(access.write.add)
    panels = [_Panel("add vectors: what each head wrote", add, _SIGNED, _centred(add))]
    if "erase" in access.controls:
        erase = _by_head(access.controls["erase"])
        panels.append(_Panel("erase vectors: what each head wiped out", erase, _SHARE, Normalize(0, 1)))
    return panels


def _read(access: Access) -> _Panel:
    """Return the panel of what was read."""
    reads = _by_head(access.reads.unflatten(-1, (access.read_weights.shape[2], -1)))
    return _Panel("read vectors: what each head read", reads, _SIGNED, _centred(reads))


def _usage(access: Access, slots: numpy.ndarray) -> list[_Panel]:
    """Return the panel of what the scheme knows about the use of slots; none if it does not keep count."""
    usage = usage_of(access)
    if usage is None:
        return []
    values = usage.values[:, slots].T[None]
    return [_Panel(usage.title, values, _AMOUNT, Normalize(0, max(1, values.max())), slots.tolist())]


def _weightings(title: str, weights: Tensor, slots: numpy.ndarray) -> _Panel:
    """Return a panel of weightings [time, 1, heads, slots]."""
    return _Panel(title, _by_head(weights)[:, slots], _SHARE, Normalize(0, 1), slots.tolist())


def _by_head(vectors: Tensor) -> numpy.ndarray:
    """Turn [time, 1, heads, size] into [heads, size, time]."""
    return _only(vectors).transpose(1, 2, 0)


def _centred(values: numpy.ndarray) -> Normalize:
    """Return a norm with 0 in the middle."""
    # Without any number but 0 there would be nothing to divide by.
    return CenteredNorm(halfrange=max(float(abs(values).max()), 1e-6))


def _spans(panels: int, rows: int) -> list[slice]:
    """Share out `rows` rows among as many panels or fewer."""
    return [slice(panel * rows // panels, (panel + 1) * rows // panels) for panel in range(panels)]


def _row_heights(section: _Section) -> list[float]:
    """Return how high each row of a section is with its title, in inches."""
    rows = max(map(len, section))
    heights = [0.0] * rows
    for column in section:
        for panel, span in zip(column, _spans(len(column), rows), strict=True):
            share = (panel.height + _TITLE) / (span.stop - span.start)
            heights[span] = [max(height, share) for height in heights[span]]
    return heights


def _draw_sections(sections: Sequence[_Section], heights: Sequence[float], figure: SubFigure) -> None:
    """Draw the panels over time, all with the same horizontal axis."""
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    first, shared = 0, None
    for section in sections:
        rows = max(map(len, section))
        for side, column in enumerate(section):
            for panel, span in zip(column, _spans(len(column), rows), strict=True):
                start, stop = first + span.start, first + span.stop
                axes = figure.add_subplot(grid[start:stop, side], sharex=shared)
                shared = shared or axes
                _draw_panel(panel, axes, figure, sum(heights[start:stop]) - _TITLE)
                if stop == len(heights):
                    axes.set_xlabel("step")
                else:
                    axes.tick_params(labelbottom=False)
        first += rows


def _draw_panel(panel: _Panel, axes: Axes, figure: SubFigure, height: float) -> None:
    """Draw one panel, `height` inches high, with a bar that says what its colours mean."""
    heads, rows, time = panel.heads.shape
    # Counted in rows; a line without a gap of its own would hide what is drawn there.
    gap = _GAP * heads * rows / height
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
    every = -(-rows * heads // round(height / _LABEL))
    # None so close to the end that it would touch the first of the next head.
    named = range(0, max(1, rows - every // 2), every) if panel.rows else ()
    axes.set_yticks(
        [top + 0.5 + row for top in tops for row in named], [str(panel.rows[row]) for _ in tops for row in named]
    )
    if panel.rows:
        axes.set_ylabel("slot", fontsize=7)
    if heads > 1:
        for head, top in enumerate(tops):
            _name_head(head, top + rows / 2, axes)
    if panel.crosses:
        places, steps = zip(*panel.crosses, strict=True)
        # Points of a mark that fits into a cell.
        side = min(max(0.7 * 72 * cell, 1.5), 5.0)
        axes.scatter(numpy.add(steps, 1), places, marker="x", color=VERMILION, s=side**2, linewidths=side / 3)
    _add_bar(images[0], [axes], figure)


def _interpolation(cell: float) -> str | None:
    """Return how to draw numbers on cells of so many inches."""
    # Sharp edges where cells are seen; of smaller ones a mean is taken, or some would be lost.
    return "nearest" if cell * DPI >= 1 else None


def _name_head(head: int, place: float, axes: Axes) -> None:
    """Write the number of a head beside its rows."""
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
    """Return inches for the content of so many slots."""
    return min(max(0.1 * slots, 1.2), 3.2)


def _draw_content(memory: numpy.ndarray, slots: numpy.ndarray, figure: SubFigure) -> None:
    """Draw what some slots held after a quarter, a half, three quarters and all of the steps.

    memory: [time, slots, word_size], those of the slots named.
    """
    time = len(memory)
    # Sequences of fewer than four steps have fewer moments.
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
        axes.set_xlabel("number in the slot", fontsize=7)
        axes.set_yticks(range(0, len(slots), every), slots[::every].tolist())
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6))
        axes.tick_params(labelsize=7)
    panels[0].set_ylabel("slot", fontsize=7)
    _add_bar(images[0], panels, figure)


def _add_bar(image: AxesImage, panels: Sequence[Axes], figure: SubFigure) -> None:
    """Say beside panels what their colours mean."""
    bar = figure.colorbar(image, ax=panels, pad=0.01, fraction=0.03, aspect=12 * len(panels), ticks=MaxNLocator(4))
    bar.ax.tick_params(labelsize=7)


class Labelled(NamedTuple):
    """What was shown and answered in a sequence. Classes are numbered in the order of their labels.

    Attributes:
        names: The labels of the classes.
        classes: int [time], the class shown.
        presentations: int [time], how often it had been shown, this time included.
        answers: [time], the label answered.
        answered: int [time], the class that has it; -1: none of the sequence.
    """

    names: list[str]
    classes: numpy.ndarray
    presentations: numpy.ndarray
    answers: list[str]
    answered: numpy.ndarray

    @property
    def right(self) -> numpy.ndarray:
        """Bool [time]."""
        return self.answered == self.classes


def labelled(episode: Episode, logits: Tensor) -> Labelled:
    """Return what was shown and answered."""
    labels, answers = (
        [tuple(label) for label in _only(characters).astype(int).tolist()]
        for characters in (episode.targets, logits.argmax(-1))
    )
    number = {label: place for place, label in enumerate(sorted(set(labels)))}
    return Labelled(
        names=[_name(label) for label in number],
        classes=numpy.array([number[label] for label in labels]),
        presentations=_only(episode.presentation).astype(int),
        answers=[_name(answer) for answer in answers],
        answered=numpy.array([number.get(answer, -1) for answer in answers]),
    )


def _name(label: Sequence[int]) -> str:
    """Return a label as people write it: a number, or a string of the letters from a on."""
    return str(label[0]) if len(label) == 1 else "".join(chr(ord("a") + character) for character in label)


class Traffic(NamedTuple):
    """What happened to the slots of a sequence; all [time, slots].

    Attributes:
        writes, reads: Weights, summed over heads.
        new, again: Where a write above `BOUND` is taken for that of a drawing, and for that of the label after it.
        classes: int, the class of the drawing that a write is for.
    """

    writes: numpy.ndarray
    reads: numpy.ndarray
    new: numpy.ndarray
    again: numpy.ndarray
    classes: numpy.ndarray


def traffic(access: Access, classes: numpy.ndarray) -> Traffic:
    """Return what happened to the slots; classes: int [time]."""
    writes, reads = (_only(weights).sum(1) for weights in (access.write.weights, access.read_weights))
    in_use, wiped = (writes > BOUND) | (reads > BOUND), _only(access.write.keep).mean(-1) < 0.5
    in_use_before = numpy.concatenate([numpy.zeros_like(in_use[:1]), in_use[:-1]])
    again = (writes > BOUND) & in_use_before & ~wiped
    # At the first step nothing is written again.
    previous = numpy.concatenate([classes[:1], classes[:-1]])
    return Traffic(
        writes, reads, (writes > BOUND) & ~again, again, numpy.where(again, previous[:, None], classes[:, None])
    )


def by_first_write(traffic: Traffic) -> numpy.ndarray:
    """Return the slots with a weight above `BOUND`, by their first write, and after them those that were only read."""
    time = len(traffic.writes)
    above = [weights > BOUND for weights in (traffic.writes, traffic.reads)]
    first_write, first_read = (numpy.where(marked.any(0), marked.argmax(0), time) for marked in above)
    order = numpy.lexsort((first_read, first_write))
    return order[numpy.minimum(first_write, first_read)[order] < time]


class _Mark(NamedTuple):
    """How weights are marked.

    Attributes:
        name: Of the kind of weights.
        marker: As matplotlib calls it.
        share: Its side, as a share of a cell's, at a weight of 1.
        filled: Or hollow.
        meaning: For people.
    """

    name: str
    marker: str
    share: float
    filled: bool
    meaning: str


_NEW = _Mark(
    "new", "s", 1.0, False, "written to a slot not in use the step before, or wiped now:\ncolour of this step's drawing"
)
_AGAIN = _Mark(
    "again",
    "D",
    0.7,  # so that it fits into the cell, standing on its corner
    False,
    "written to a slot in use the step before:\ncolour of that step's drawing, whose label arrives now",
)
_READ = _Mark("read", "o", 0.62, True, "read:\ncolour of this step's drawing")
_TINT = 0.14


def _draw_drawings(images: numpy.ndarray, wide: float, axes: Axes) -> None:
    """Draw what was shown: [time, height, width] in [0, 1], a step `wide` inches wide."""
    # Not wider than high, however few there are, and a little apart from each other.
    half = 0.46 * min(1.0, _DRAWING / wide)
    for step, image in enumerate(images, 1):
        axes.imshow(image, cmap="Greys", vmin=0, vmax=1, aspect="auto", extent=(step - half, step + half, 0, 1))
    axes.set_yticks([0.5], ["drawing"], fontsize=8)
    _strip_bare(axes)


def _draw_answers(shown: Labelled, wide: float, axes: Axes) -> None:
    """Write for each step, `wide` inches wide, what was shown, and what was answered."""
    time = len(shown.classes)
    colours = numpy.ones((4, time, 3))
    colours[1] = [to_rgb(class_colour(number)) for number in shown.classes]
    colours[2] = [to_rgb("white" if number < 0 else class_colour(number)) for number in shown.answered]
    axes.imshow(colours, aspect="auto", extent=(0.5, time + 0.5, 3.5, -0.5))
    labels = [shown.names[number] for number in shown.classes]
    for row, texts in enumerate(([str(number) for number in shown.presentations], labels, shown.answers)):
        for step, text in enumerate(texts):
            _write_on(colours[row, step], text, (step + 1, row), wide, axes)
    size = (72 * 0.5 * min(wide, 0.2)) ** 2
    for name, marker, colour, where in (
        ("right", "$\u2713$", GREEN, shown.right),
        ("wrong", "x", VERMILION, ~shown.right),
    ):
        steps = numpy.flatnonzero(where) + 1
        axes.scatter(steps, numpy.full(len(steps), 3), marker=marker, color=colour, s=size, label=name)
    axes.set_yticks(range(4), ["shown for the nth time", "label", "answer", "right or wrong"], fontsize=8)
    _strip_bare(axes)


def _write_on(colour: numpy.ndarray, text: str, place: tuple[float, float], wide: float, axes: Axes) -> None:
    """Write on a cell of a colour, `wide` inches wide; long texts run upwards."""
    upwards = len(text) > 2
    axes.text(
        *place,
        text,
        ha="center",
        va="center",
        # A digit is about 0.65 of its size wide, and a line somewhat higher than its size.
        fontsize=min(8.0, 72 * wide / (1.2 if upwards else 0.75 * max(2, len(text)))),
        rotation=90 if upwards else 0,
        color="white" if colour @ (0.3, 0.59, 0.11) < 0.6 else "black",
    )


def _strip_bare(axes: Axes) -> None:
    """Take away the frame, and the steps, which the panel below names."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False)


def _draw_traffic(traffic: Traffic, slots: numpy.ndarray, classes: numpy.ndarray, side: float, axes: Axes) -> None:
    """Mark writes and reads of some slots, one below the other.

    classes: int [time], of the drawings shown; side: points of the mark of a weight of 1.
    """
    time = len(classes)
    for row, slot in enumerate(slots):
        _tint(traffic.new[:, slot], traffic.again[:, slot], traffic.classes[:, slot], row, axes)
    shown = numpy.broadcast_to(classes[:, None], traffic.reads.shape)
    for mark, where, weights, whose in (
        (_NEW, traffic.new, traffic.writes, traffic.classes),
        (_AGAIN, traffic.again, traffic.writes, traffic.classes),
        (_READ, traffic.reads > BOUND, traffic.reads, shown),
    ):
        steps, rows = numpy.nonzero(where[:, slots])
        colours = [class_colour(number) for number in whose[steps, slots[rows]]]
        axes.scatter(
            steps + 1,
            rows,
            s=weights[steps, slots[rows]] * (mark.share * side) ** 2,
            marker=mark.marker,
            facecolors=colours if mark.filled else "none",
            edgecolors="none" if mark.filled else colours,
            linewidths=1.2,
            label=mark.name,
        )
    axes.set_xlim(0.5, time + 0.5)
    axes.set_ylim(max(len(slots), 1) - 0.5, -0.5)
    axes.set_yticks(range(len(slots)), slots.tolist(), fontsize=7)
    axes.set_xlabel("step")
    axes.set_ylabel("slot, by first write", fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=20, steps=[1, 2, 5, 10]))
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)


def _tint(new: numpy.ndarray, again: numpy.ndarray, classes: numpy.ndarray, row: int, axes: Axes) -> None:
    """Tint the row of a slot from its first write on, anew at each write for a drawing; all [time]."""
    written = new | again
    if not written.any():
        return
    starts = numpy.union1d(written.argmax(), numpy.flatnonzero(new))
    ends = numpy.append(starts[1:], len(new))
    colours = [class_colour(number) for number in classes[starts]]
    axes.barh(row, ends - starts, 0.86, left=starts + 0.5, color=colours, alpha=_TINT, zorder=0)


def _add_legends(shown: Labelled, side: float, figure: Figure) -> None:
    """Say what marks and colours mean; side: points of the mark of a weight of 1."""
    classes = [Patch(color=class_colour(number), label=name) for number, name in enumerate(shown.names)]
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
            markersize=mark.share * side,
            color=GREY,
            markerfacecolor=GREY if mark.filled else "none",
            label=mark.meaning,
        )
        for mark in (_NEW, _AGAIN, _READ)
    ]
    tint = Patch(color=GREY, alpha=_TINT, label="class of the drawing\nwritten there last")
    figure.legend(
        handles=[*marks, tint],
        title="marks of weights summed over heads, their area in proportion; here: a weight of 1",
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        title_fontsize=8,
    )
