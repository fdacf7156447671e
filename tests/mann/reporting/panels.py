"""Reading panels of figures, for tests."""

import re
from typing import Any, NamedTuple

import numpy
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage


def panel(figure: Figure, title: str) -> Axes:
    """Return the panel whose title starts with a text."""
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(title)]
    return found


def titles(figure: Figure) -> list[str]:
    """Return the titles of all panels, without details after a colon, comma or parenthesis."""
    names = [axes.get_title(loc="left") for axes in figure.axes]
    return [re.split(r"[:,(]", name)[0].strip() for name in names if name]


def values_of(image: AxesImage) -> numpy.ndarray:
    """Return the values of an image, NaN where it is masked."""
    return numpy.ma.filled(numpy.ma.asarray(image.get_array(), dtype=float), numpy.nan)


def values_by_head(axes: Axes) -> numpy.ndarray:
    """Return the values of a panel, [heads, rows, time]."""
    return numpy.stack([values_of(image) for image in axes.images])


def ticks(axes: Axes) -> list[str]:
    """Return the labels of the rows."""
    return [label.get_text() for label in axes.get_yticklabels()]


def hex_of(colour: Any) -> str:
    """Return a colour as #RRGGBB."""
    return to_hex(colour).upper()


def main_panel(figure: Figure) -> Axes:
    """Return the panel of slots, or of steps that wrote, over time."""
    (found,) = [axes for axes in figure.axes if axes.get_ylabel().startswith(("slot", "step that wrote"))]
    return found


def strip(figure: Figure, row: str) -> Axes:
    """Return the panel that has a row of this name."""
    (found,) = [axes for axes in figure.axes if row in ticks(axes)]
    return found


class Marked(NamedTuple):
    """A mark: the step from 1, the row from 0, its size and its colour."""

    step: int
    row: int
    size: float
    colour: str


def marks(figure: Figure, name: str) -> list[Marked]:
    """Return the marks of a kind, "image write", "label write" or "read", in the order of steps and rows."""
    (found,) = [kind for kind in main_panel(figure).collections if kind.get_label() == name]
    assert isinstance(found, PathCollection)
    colours = found.get_facecolor() if name == "read" else found.get_edgecolor()
    # Outlines have no face colour, and filled marks no edge colour.
    assert len(found.get_edgecolor() if name == "read" else found.get_facecolor()) == 0
    places = [(round(step), round(row)) for step, row in numpy.asarray(found.get_offsets())]
    return sorted(
        Marked(*place, float(size), hex_of(colour))
        for place, size, colour in zip(places, found.get_sizes(), colours, strict=True)
    )
