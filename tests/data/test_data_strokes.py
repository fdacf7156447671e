"""The built-in characters: reproducible, legible, inside the picture, and as hard as Omniglot."""

import hashlib

import numpy as np
import pytest

from data import strokes
from data.classes import ImageClasses
from data.errors import InputError
from data.splits import Split, read_split
from data.strokes import Drawers, Stroke

# Mean pixels, 0 to 255, of the first 6 classes and of the first 6 drawings of the first class.
CLASS_INK = [20.316, 25.423, 10.882, 14.534, 13.131, 16.061]
DRAWING_INK = [20.045, 21.1, 19.428, 21.0, 19.845, 21.01]
SPLIT_DIGEST = "d87770c3cc989e049e61859e5a115a2753bd232cee18f1c70b8074e4a31b8fc9"


@pytest.fixture
def classes(characters: ImageClasses) -> ImageClasses:
    """All classes at 20 x 20."""
    return characters


def line(*points: tuple[float, float]) -> np.ndarray:
    """One picture with one curve along the points: [1, 1, point, 2]."""
    return np.array([[points]], dtype=float)


def one_shot_accuracy(images: np.ndarray, ways: int, episodes: int) -> float:
    """How often the nearest of `ways` drawings, pixel by pixel, is of the query's class."""
    rng = np.random.default_rng(0)
    flat = images.reshape(*images.shape[:2], -1).astype(np.float32)
    correct = 0
    for _ in range(episodes):
        chosen = rng.choice(len(flat), ways, replace=False)
        query, support = rng.choice(flat.shape[1], 2, replace=False)
        distance = ((flat[chosen, support] - flat[chosen[0], query]) ** 2).sum(-1)
        correct += int(distance.argmin() == 0)
    return correct / episodes


def test_planted_line_inks_its_rows_and_nothing_else():
    # A pen of 5 covers the centres of rows 50 to 54 around y = 52.5.
    picture = strokes.render(line((20.5, 52.5), (84.5, 52.5)), 105, np.array([5.0]))[0]
    assert (picture[50:55, 20:85] == 255).all()
    picture[50:55, 18:87] = 0
    assert not picture.any()


def test_smaller_picture_averages_areas():
    # At a fifth of the size, row 10 is exactly the five inked rows: fully inked, without a blur.
    curves = line((20.5, 52.5), (84.5, 52.5))
    picture = strokes.render(curves, 21, np.array([5.0]))[0].astype(int)
    assert (picture[10, 4:17] == 255).all()
    assert picture.sum() == picture[10].sum()
    # Whatever the size, the share of ink stays the same.
    full = strokes.render(curves, 105, np.array([5.0])).mean()
    assert strokes.render(curves, 20, np.array([5.0])).mean() == pytest.approx(full, abs=0.1)


def test_wider_pen_inks_more_and_each_picture_has_its_own():
    curves = np.repeat(line((20.5, 52.5), (84.5, 52.5)), 2, axis=0)
    narrow, wide = strokes.render(curves, 105, np.array([3.0, 7.0]))
    assert (narrow[:, 52] == 255).sum() == 3
    assert (wide[:, 52] == 255).sum() == 7


def test_what_leaves_the_canvas_does_not_come_back_elsewhere():
    picture = strokes.render(line((60.5, 52.5), (300, 52.5)), 105, np.array([5.0]))[0]
    assert (picture[50:55, 60:] == 255).all()
    picture[50:55, 58:] = 0
    assert not picture.any()


def test_trace_of_four_corners_is_a_square():
    square = np.array([(quarter * np.pi / 2, 30.0, 0.0) for quarter in range(4)])
    corners = strokes.trace(square)[:: len(strokes.trace(square)) // 4]
    expected = [(0, 0), (30, 0), (30, 30), (0, 30), (0, 0)]
    np.testing.assert_allclose(corners, expected, atol=1e-9)


def test_full_turn_comes_back_to_its_start():
    circle = strokes.trace(np.array([(0.3, 60.0, 2 * np.pi)]))
    np.testing.assert_allclose(circle[-1], circle[0], atol=1e-9)
    assert np.ptp(circle, 0).min() > 15  # a circle of length 60 is 19 wide


def test_curve_follows_its_control_points():
    weights = strokes.spline_weights()
    control = np.stack((np.arange(7.0), 3 - 2 * np.arange(7.0)), -1)
    straight = weights @ control
    np.testing.assert_allclose(straight[[0, -1]], control[[0, -1]], atol=1e-12)
    np.testing.assert_allclose(straight[:, 1], 3 - 2 * straight[:, 0], atol=1e-12)


def test_attached_strokes_stay_attached_in_a_steady_hand():
    # Without unsteadiness only slant, turn, scale and shift vary, and these keep what is joined.
    first = Stroke(np.array([(0.0, 40.0, 0.0)]), -1, 0.0, 0.5, np.zeros(2))
    second = Stroke(np.array([(1.5, 30.0, 0.5)]), 0, 1.0, 0.0, np.zeros(2))
    habits = strokes.random_drawers(np.random.default_rng(0), 8)
    steady = Drawers(*habits[:4], unsteadiness=np.zeros(8), pen_width=habits.pen_width)
    unsteady = steady._replace(unsteadiness=np.ones(8))
    gaps = []
    for drawers in (steady, unsteady):
        curves = strokes.perform((first, second), drawers, np.random.default_rng(1))
        gaps.append(np.linalg.norm(curves[:, 0, -1] - curves[:, 1, 0], axis=-1))
    np.testing.assert_allclose(gaps[0], 0, atol=1e-9)
    assert 0.5 < gaps[1].mean() < 5


def test_unsteadiness_moves_the_drawing():
    program = strokes.motor_program(strokes.stream(1, 0))
    habits = strokes.random_drawers(np.random.default_rng(0), 40)
    alike = Drawers(*(np.repeat(habit[:1], 40, 0) for habit in habits))
    spread = []
    for factor in (0.2, 1.0, 2.0):
        drawers = alike._replace(unsteadiness=np.full(40, factor))
        curves = strokes.perform(program, drawers, np.random.default_rng(1))
        centred = curves - curves.mean((1, 2), keepdims=True)
        spread.append(centred.std(0).mean())
    assert spread[0] < spread[1] < spread[2]


def test_drawn_again_is_the_same(classes: ImageClasses):
    assert np.array_equal(strokes.draw(4, 20), classes.images[:4].numpy())


def test_drawings_are_those_of_this_version():
    # Stored from VERSION 1; the tolerance leaves room for other roundings, not for other drawings.
    ink = strokes.draw(6, 20).mean((2, 3))
    np.testing.assert_allclose(ink.mean(1), CLASS_INK, atol=0.05)
    np.testing.assert_allclose(ink[0, :6], DRAWING_INK, atol=0.3)


def test_a_class_does_not_depend_on_how_many_are_drawn():
    assert np.array_equal(strokes.draw(6, 20)[:2], strokes.draw(2, 20))


def test_no_picture_is_empty_or_drawn_twice(classes: ImageClasses):
    images = classes.images.numpy()
    ink = images.mean((2, 3)) / 255
    assert ink.min() > 0.01
    assert ink.max() < 0.35
    assert len(np.unique(images.reshape(-1, 400), axis=0)) == strokes.CLASSES * strokes.DRAWERS


def test_ink_stays_inside_the_picture():
    images = strokes.draw(30, 105)
    frame = np.ones((105, 105), bool)
    frame[1:-1, 1:-1] = False
    assert not images[..., frame].any()
    assert images.max((0, 1))[20:85, 20:85].all()  # and is not all in the middle either


def test_ink_is_as_dense_as_in_omniglot(classes: ImageClasses):
    # Omniglot at 20 x 20: mean 0.080, standard deviation of the pixels 0.220, 0.84 of them 0.
    ink = classes.images.numpy() / 255
    assert 0.07 < ink.mean() < 0.09
    assert 0.20 < ink.std() < 0.24
    assert 0.80 < (ink == 0).mean() < 0.88


def test_raw_pixels_tell_classes_apart_as_badly_as_in_omniglot(classes: ImageClasses):
    # Omniglot, measured in the same way: 0.46. Chance: 0.20; drawings all alike: 1.00.
    assert 0.42 < one_shot_accuracy(classes.images.numpy(), ways=5, episodes=5000) < 0.52


def test_names_and_counts(classes: ImageClasses):
    assert classes.names[0] == "stroke0000"
    assert classes.names[-1] == "stroke1199"
    assert len(classes.names) == 1200
    assert (classes.counts == 20).all()


def test_second_load_reads_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setenv("MANN_CACHE", str(tmp_path))
    monkeypatch.setattr(strokes, "CLASSES", 3)
    first = strokes.load_strokes(8)
    monkeypatch.setattr(strokes, "draw", lambda classes, size: pytest.fail("drawn again"))
    assert (strokes.load_strokes(8).images == first.images).all()


@pytest.mark.parametrize("size", [7, 106])
def test_size_out_of_range_is_refused(size: int):
    with pytest.raises(InputError, match=f"8 to 105, not {size}"):
        strokes.load_strokes(size)


def test_split_covers_the_classes_once(classes: ImageClasses):
    split = read_split("strokes")
    assert [len(part) for part in split] == [1000, 100, 100]
    names = [name for part in split for name in part]
    assert sorted(names) == sorted(classes.names)  # so that no name is there twice


def test_split_is_the_committed_one():
    assert digest(read_split("strokes")) == SPLIT_DIGEST


def digest(split: Split) -> str:
    """SHA-256 of the three lists of names."""
    return hashlib.sha256("\n\n".join("\n".join(part) for part in split).encode()).hexdigest()
