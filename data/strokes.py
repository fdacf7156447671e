"""The built-in data set: 1200 characters, drawn by 20 drawers each, without any download.

A character is a motor program as in Lake, Salakhutdinov and Tenenbaum, "Human-level concept learning through
probabilistic program induction", Science 350 (2015): a few strokes, each a sequence of pieces (their sub-strokes), each
stroke attached to an earlier one or free. A drawing is a noisy performance of it. Unlike theirs, the distributions are
set by hand and not learned from drawings.

    motor_program   the type: the strokes, and how they are joined
    perform         the tokens: the trajectory of the pen when each drawer draws the character
    render          the images

Lengths are in pixels of Omniglot's 105 x 105 canvas, x to the right and y downwards; angles are in radians. Arrays are
float64 unless stated otherwise.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from data.cache import packed
from data.classes import ImageClasses
from data.errors import InputError

CLASSES: Final = 1200
"""Number of characters."""
DRAWERS: Final = 20
"""Number of drawers, each of whom draws every character once."""
CANVAS: Final = 105
"""Side of the canvas, and of the largest images, in pixels."""
SMALLEST: Final = 8
"""Side of the smallest images in pixels."""
VERSION: Final = 1
"""Part of every seed and of the cache key: raise it whenever a drawing changes."""

_MARGIN = 4.0  # least distance of the pen's centre from the edge of the canvas
_STEPS = 6  # a piece is a smooth curve along _STEPS + 1 control points,
_POINTS = 13  # drawn as a polyline of _POINTS points
_CANDIDATES = 40  # random strokes, of which the one most like writing is kept

Array = NDArray[np.float64]


class Script(NamedTuple):
    """The style of one character, which its strokes share."""

    roundness: float  # probability that a piece is curved
    obliqueness: float  # probability that a piece starts neither horizontally nor vertically
    extent: Array  # [2]: approximate width and height of the character


class Stroke(NamedTuple):
    """One pen-down movement of a motor program, and the point where it touches an earlier one."""

    pieces: Array  # [piece, 3]: heading at its start, length, total change of heading
    parent: int  # index of the stroke that it touches; -1: none, it is placed on the canvas
    place: float  # the touched point of the parent, as a fraction of its length
    anchor: float  # the touching point of this stroke, as a fraction of its length
    offset: Array  # [2], from the touched point (or the centre of the canvas) to the anchor


class Drawers(NamedTuple):
    """The habits of the drawers, the same in all characters: each field [drawer], or [drawer, 2] for x, y."""

    slant: Array
    rotation: Array
    scale: Array
    shift: Array
    unsteadiness: Array  # factor on the noise of the movement, around 1
    pen_width: Array


def stream(purpose: int, index: int) -> np.random.Generator:
    """Return the random generator of one purpose and index, independent of all others."""
    return np.random.default_rng([VERSION, purpose, index])


def random_drawers(rng: np.random.Generator, count: int = DRAWERS) -> Drawers:
    """Return the habits of `count` drawers."""
    return Drawers(
        slant=rng.normal(0, 0.06, count),
        rotation=rng.normal(0, 0.04, count),
        scale=np.exp(rng.normal(0, 0.06, (count, 2))),
        shift=rng.normal(0, 2.5, (count, 2)),
        unsteadiness=np.exp(rng.normal(0, 0.2, count)),
        pen_width=rng.normal(5.0, 0.1, count),  # Omniglot's is 5
    )


def trace(pieces: Array) -> Array:
    """Return the control points [..., point, 2] of strokes [..., piece, 3] that start at (0, 0)."""
    heading, length, turn = np.moveaxis(pieces[..., None], -2, 0)
    # The heading changes at a constant rate, as on a circle; each step takes the heading of its middle.
    headings = heading + turn * (np.arange(_STEPS) + 0.5) / _STEPS
    steps = np.stack((np.cos(headings), np.sin(headings)), -1) * length[..., None] / _STEPS
    path = steps.reshape(*steps.shape[:-3], -1, 2).cumsum(-2)
    return np.concatenate((np.zeros_like(path[..., :1, :]), path), -2)


def point_at(path: Array, fraction: float) -> Array:
    """Return the control point [..., 2] at a fraction (0 to 1) of the path [..., point, 2]."""
    return path[..., round(fraction * (path.shape[-2] - 1)), :]


def propose_strokes(rng: np.random.Generator, pieces: int, script: Script) -> Array:
    """Return random strokes [candidate, piece, 3] of the given number of pieces."""
    shape = (_CANDIDATES, pieces)
    curved = rng.random(shape) < script.roundness
    # A quarter, a half or three quarters of a circle, or a loop.
    bend = rng.choice([1.6, 3.1, 4.2, 5.6], shape, p=[0.35, 0.42, 0.15, 0.08])
    bend = (bend + rng.normal(0, 0.25, shape)) * rng.choice([-1, 1], shape)
    turn = np.where(curved, bend, rng.normal(0, 0.06, shape))
    slanted = rng.random(shape) < script.obliqueness
    heading = rng.integers(4, size=shape) * np.pi / 2 + rng.normal(0, 0.07, shape)
    heading += slanted * rng.uniform(0.5, 1.1, shape)
    smooth = curved & (rng.random(shape) < 0.6)  # no corner before this piece
    for piece in range(1, pieces):
        continued = heading[:, piece - 1] + turn[:, piece - 1]
        heading[:, piece] = np.where(smooth[:, piece], continued, heading[:, piece])
    # Pieces of a long stroke are shorter, curved ones longer: a curve covers less distance than its length.
    typical = script.extent.mean() * np.exp(-0.2 - 0.15 * pieces) * (1 + 0.2 * abs(turn))
    return np.stack((heading, typical * np.exp(rng.normal(0, 0.4, shape)), turn), -1)


def distances(these: Array, those: Array) -> Array:
    """Return the distances [..., a, b] between the points [..., a, 2] and [..., b, 2]."""
    # By coordinate, without an array [..., a, b, 2].
    across = these[..., :, None, 0] - those[..., None, :, 0]
    down = these[..., :, None, 1] - those[..., None, :, 1]
    return np.sqrt(across**2 + down**2)


def awkwardness(paths: Array, earlier: Array, extent: Array) -> Array:
    """Return a penalty for each path [candidate, point, 2]: how unlike writing it would be as the next stroke.

    Writing stays within its extent [2], seldom crowds its own ink (the points `earlier` [point, 2] and the path
    itself), and often ends on it, which makes closed shapes.
    """
    outside = np.maximum(abs(paths - CANVAS / 2) - extent / 2, 0).sum(-1).mean(-1)
    order = np.arange(paths.shape[1])
    # Points that follow each other are close on any path; only other points can crowd it.
    neighbours = abs(order[:, None] - order) < 4
    own, others = distances(paths, paths), distances(paths, earlier)
    gaps = np.concatenate((np.where(neighbours, np.inf, own), others), -1).min(-1)
    crowded = np.maximum(13 - gaps[:, 1:-1], 0).mean(-1)
    return outside + 4 * crowded + 0.15 * np.minimum(gaps[:, -1], 20)


def motor_program(rng: np.random.Generator) -> tuple[Stroke, ...]:
    """Return a random character: one to six strokes, centred on the canvas."""
    strokes = int(rng.choice(6, p=[0.30, 0.33, 0.20, 0.10, 0.05, 0.02])) + 1
    extent = np.clip(rng.normal((58, 63), 13), 34, 88)
    script = Script(rng.beta(0.8, 0.8), rng.beta(0.5, 2.0), extent)
    program: list[Stroke] = []
    paths: list[Array] = []
    for index in range(strokes):
        # The number of pieces grows with the size: a small character has no room for many.
        candidates = propose_strokes(rng, 1 + rng.poisson(extent.mean() / 17 / strokes), script)
        parent, place, anchor, touched = -1, 0.0, 0.5, np.full(2, CANVAS / 2)
        if index > 0 and rng.random() < 0.75:
            parent = int(rng.integers(index))
            place = float(rng.choice([0.0, 1.0, rng.random()], p=[0.2, 0.25, 0.55]))
            anchor = float(rng.choice([0.0, 0.5], p=[0.75, 0.25]))  # 0.5: it crosses its parent
            touched = point_at(paths[parent], place)
        offsets = rng.uniform(-0.4, 0.4, (_CANDIDATES, 2)) * extent * (parent < 0)
        # Move each candidate so that its anchor is at the touched point, or near the centre of the canvas.
        traced = trace(candidates)
        traced += (touched + offsets - point_at(traced, anchor))[:, None]
        earlier = np.concatenate(paths) if paths else np.full((1, 2), np.inf)
        best = awkwardness(traced, earlier, extent).argmin()
        program.append(Stroke(candidates[best], parent, place, anchor, offsets[best]))
        paths.append(traced[best])
    return fit(program, np.concatenate(paths), extent)


def fit(program: list[Stroke], ink: Array, extent: Array) -> tuple[Stroke, ...]:
    """Scale a program to its extent [2] and centre it; `ink` [point, 2] are its control points."""
    size = np.ptp(ink, 0)
    scale = (extent / np.maximum(size, 1)).min().clip(0.5, 2)
    off_centre = ink.min(0) + size / 2 - CANVAS / 2
    # Attached strokes follow their parents: only the free ones have to be moved.
    return tuple(
        stroke._replace(
            pieces=stroke.pieces * (1, scale, 1),
            offset=scale * (stroke.offset - off_centre * (stroke.parent < 0)),
        )
        for stroke in program
    )


def spline_weights() -> Array:
    """Return the weights [_POINTS, _STEPS + 1] of a piece's control points in its curve.

    The curve is a uniform cubic B-spline, as in Lake et al.; unlike theirs it begins and ends at its outer control
    points, so that pieces join.
    """
    distance = abs(np.linspace(0, _STEPS, _POINTS)[:, None] - np.arange(-1, _STEPS + 2))
    # The cubic B-spline at distance d from its centre is (2 - d)^3 / 6 - 4 (1 - d)^3 / 6, without the terms where a
    # parenthesis is negative.
    basis = np.maximum(2 - distance, 0) ** 3 / 6 - np.maximum(1 - distance, 0) ** 3 * (4 / 6)
    # One more control point beyond each end, 2 p_0 - p_1: p_0 is the midpoint of its neighbours and so on the curve.
    extended = np.eye(_STEPS + 3, _STEPS + 1, -1)
    extended[0, :2] = extended[-1, :-3:-1] = 2, -1
    return basis @ extended


def perform(program: tuple[Stroke, ...], drawers: Drawers, rng: np.random.Generator) -> Array:
    """Draw a character once by each drawer; return curves [drawer, piece, _POINTS, 2].

    A stroke is placed relative to its parent as just drawn, noise included, so that joined strokes stay nearly joined.
    """
    count, unsteadiness = len(drawers.slant), drawers.unsteadiness[:, None, None]
    paths: list[Array] = []
    curves: list[Array] = []
    weights = spline_weights()
    for stroke in program:
        pieces = np.repeat(stroke.pieces[None], count, 0)
        noise = rng.normal(0, (0.13, 0.15, 0.14), pieces.shape) * unsteadiness
        pieces[..., 0] += noise[..., 0] + rng.normal(0, 0.05, (count, 1))
        pieces[..., 1:] *= np.exp(noise[..., 1:])
        path = trace(pieces)
        path += rng.normal(0, 0.6, path.shape) * unsteadiness
        middle = np.full((count, 2), CANVAS / 2)
        touched = point_at(paths[stroke.parent], stroke.place) if stroke.parent >= 0 else middle
        error = rng.normal(0, 1.5, (count, 2)) * unsteadiness[:, 0]
        path += (touched + stroke.offset + error - point_at(path, stroke.anchor))[:, None]
        # The control points of each piece; the last one of a piece is the first one of the next.
        control = np.arange(len(stroke.pieces))[:, None] * _STEPS + np.arange(_STEPS + 1)
        paths.append(path)
        curves.append(weights @ path[:, control])
    return keep_inside(warp(np.concatenate(curves, 1), drawers, rng))


def warp(curves: Array, drawers: Drawers, rng: np.random.Generator) -> Array:
    """Slant, scale, rotate and translate drawings [drawer, piece, point, 2], by habit and by chance."""
    count = len(curves)
    angle = drawers.rotation + rng.normal(0, 0.05, count)
    slant = drawers.slant + rng.normal(0, 0.06, count)
    by_chance = rng.normal(0, 0.06, (count, 1)) + rng.normal(0, 0.06, (count, 2))
    scale = drawers.scale * np.exp(by_chance)
    x, y = np.moveaxis((curves - CANVAS / 2) * scale[:, None, None], -1, 0)
    cosine, sine, slant = (a[:, None, None] for a in (np.cos(angle), np.sin(angle), slant))
    x = x + slant * y
    rotated = np.stack((cosine * x - sine * y, sine * x + cosine * y), -1)
    shift = drawers.shift + rng.normal(0, 4.0, (count, 2))
    return rotated + CANVAS / 2 + shift[:, None, None]


def keep_inside(curves: Array) -> Array:
    """Shrink and translate the drawings [drawer, piece, point, 2] that leave the canvas, so that they fit."""
    low, high = curves.min((1, 2), keepdims=True), curves.max((1, 2), keepdims=True)
    room = CANVAS - 2 * _MARGIN
    scale = np.minimum(room / np.maximum(high - low, 1), 1).min(-1, keepdims=True)
    middle, half = (low + high) / 2, scale * (high - low) / 2
    return middle.clip(_MARGIN + half, CANVAS - _MARGIN - half) + scale * (curves - middle)


def dots_along(curves: Array, spacing: float) -> tuple[NDArray[np.int64], Array]:
    """Return (image [dot], position [dot, 2]) of dots along curves [image, curve, point, 2]."""
    steps = np.diff(curves, axis=2, append=curves[:, :, -1:])  # a last step of length 0: a dot at the end
    counts = np.maximum(np.ceil(np.linalg.norm(steps, axis=-1) / spacing), 1).astype(np.int64)
    counts = counts.reshape(-1)
    step = np.repeat(np.arange(len(counts)), counts)
    fraction = (np.arange(len(step)) - (counts.cumsum() - counts)[step]) / counts[step]
    position = curves.reshape(-1, 2)[step] + fraction[:, None] * steps.reshape(-1, 2)[step]
    return step // (curves.shape[1] * curves.shape[2]), position


def render(curves: Array, size: int, pen_width: Array) -> NDArray[np.uint8]:
    """Return images uint8 [image, size, size], ink 255 on 0, drawn with a round pen.

    As in Omniglot, a pixel of the canvas is inked or not; a smaller image averages over areas.

    Args:
        curves: [image, curve, point, 2], polylines; parts outside the canvas are not drawn.
        size: Side of the images in pixels, 1 to CANVAS.
        pen_width: [image], the diameter of the pen.
    """
    image, dots = dots_along(curves, 0.4 * float(pen_width.min()))  # close enough for a solid line
    radius = pen_width[image, None] / 2
    # Only the pixels of a square window around each dot can be under the pen.
    first = np.ceil(dots - radius - 0.5)
    edge = int(pen_width.max()) + 1
    window = np.arange(edge)
    squares = (first[..., None] + window + 0.5 - dots[..., None]) ** 2
    inked = squares[:, 1, :, None] + squares[:, 0, None, :] <= radius[..., None] ** 2
    side = CANVAS + 2 * edge  # a frame around the canvas takes the windows that leave it
    corner = (first.astype(np.int64) + edge).clip(0, side - edge)
    pixel = (image * side + corner[:, 1]) * side + corner[:, 0]  # flat index of each window's corner
    canvas = np.zeros((len(curves), side, side), np.float32)
    canvas.reshape(-1)[(pixel[:, None, None] + window[:, None] * side + window)[inked]] = 255
    # The overlap of each row of the canvas with each row of the image, in rows of the image; the same for columns.
    borders = np.arange(CANVAS + 1) * (size / CANVAS) - np.arange(size)[:, None]
    shares = np.diff(borders.clip(0, 1), axis=1).astype(np.float32)
    return np.rint(shares @ canvas[:, edge:-edge, edge:-edge] @ shares.T).astype(np.uint8)


def drawn_curves(index: int) -> Array:
    """Return the trajectories of the pen in all drawings of a character: curves [drawer, piece, _POINTS, 2]."""
    return perform(motor_program(stream(1, index)), random_drawers(stream(0, 0)), stream(2, index))


def draw(classes: int, size: int) -> NDArray[np.uint8]:
    """Return images of the first characters: uint8 [class, DRAWERS, size, size].

    Each character has random generators of its own, so that it does not depend on how many are drawn.
    """
    pen_width = random_drawers(stream(0, 0)).pen_width
    images = np.empty((classes, DRAWERS, size, size), np.uint8)
    for index in range(classes):
        images[index] = render(drawn_curves(index), size, pen_width)
    return images


def load_strokes(size: int = 20) -> ImageClasses:
    """Return the classes "stroke0000" to "stroke1199" with 20 drawings each, always the same.

    Sample i of every class is by drawer i. Rounding may differ between machines, which changes single pixels. Drawing
    takes some seconds; the result is stored in the cache.

    Args:
        size: Side of the images in pixels, 8 to 105.

    Raises:
        InputError: The size is out of range.
    """
    if not SMALLEST <= size <= CANVAS:
        raise InputError(f"strokes can be drawn at sizes {SMALLEST} to {CANVAS}, not {size}")
    return packed(f"strokes-{VERSION}-{size}", lambda: _build(size))


def _build(size: int) -> ImageClasses:
    """Draw all classes."""
    names = tuple(f"stroke{index:04d}" for index in range(CLASSES))
    return ImageClasses(torch.from_numpy(draw(CLASSES, size)), torch.full((CLASSES,), DRAWERS), names)
