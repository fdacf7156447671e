"""Colours, axes and number formats that tables and pictures share."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from mann.evaluation.intervals import Estimate

# Okabe and Ito's palette, which readers with any colour vision can tell apart.
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, "#000000", "#F0E442")
GREY = "#666666"


def colour(number: int) -> str:
    """Return the colour of a number from 0 on; the eight colours repeat."""
    return COLOURS[number % len(COLOURS)]


def colours(count: int) -> list[str]:
    """Return the first `count` colours."""
    return [colour(number) for number in range(count)]


def one_plot() -> tuple[Figure, Axes]:
    """Return a figure with room for a legend, and its axes."""
    # Not with pyplot, which keeps every figure in a global list and may require a display.
    figure = Figure(figsize=(8.5, 4.8), layout="constrained")
    return figure, clean_axes(figure.add_subplot())


def plot_grid(rows: int, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure with a grid of plots, and their axes row by row."""
    figure = Figure(figsize=(8.5 if columns == 1 else 7 * columns, 0.4 + 4.2 * rows), layout="constrained")
    return figure, [clean_axes(axes) for axes in figure.subplots(rows, columns, squeeze=False).flat]


def clean_axes(axes: Axes) -> Axes:
    """Add a faint grid to axes, remove their upper and right edges, and return them."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def draw_estimates(axes: Axes, at: Sequence[float], estimates: Sequence[Estimate], **how: Any) -> None:
    """Draw estimates with their intervals at places of the horizontal axis.

    Args:
        axes: Where to draw.
        at: The places.
        estimates: As many estimates.
        **how: Further arguments of matplotlib's `errorbar`.
    """
    axes.errorbar(
        at,
        [estimate.value for estimate in estimates],
        yerr=(
            [estimate.value - estimate.low for estimate in estimates],
            [estimate.high - estimate.value for estimate in estimates],
        ),
        **how,
    )


def set_accuracy_axis(axes: Axes) -> None:
    """Format the vertical axis for accuracies from 0 to 100%."""
    axes.set_ylabel("accuracy")
    axes.set_ylim(-0.02, 1.02)  # room for the points at 0 and at 100%
    axes.yaxis.set_major_formatter(PercentFormatter(1))


def set_episode_axis(axes: Axes, unit: str = "episodes") -> None:
    """Format the horizontal axis for the number of episodes trained on."""
    axes.set_xlabel(f"{unit} trained on")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlim(left=0)


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with one decimal; an empty text for None."""
    return "" if fraction is None else f"{100 * fraction:.1f}"
