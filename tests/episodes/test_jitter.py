"""Jitter: planted dots land where geometry says, and only within the bounds."""

import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from episodes import jitter
from episodes.jitter import (
    Jitter,
    Transform,
    fastest_transform,
    transform_in_cpp,
    transform_in_torch,
    transformed,
)
from episodes.randomness import generator_of

CPU = torch.device("cpu")


def dot(row: int, column: int, side: int = 11) -> Tensor:
    """Return one image with one bright pixel, float64."""
    image = torch.zeros(1, side, side, dtype=torch.float64)
    image[0, row, column] = 1
    return image


def random_images(count: int, side: int) -> Tensor:
    """Return images in [0, 1], float64."""
    return torch.rand(count, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def random_bytes(count: int, side: int) -> Tensor:
    """Return images of all intensities, uint8."""
    return torch.randint(256, (count, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def jittered(jitter: Jitter, images: Tensor, seed: int = 0) -> numpy.ndarray:
    """Transform each of the images at random; returns float64."""
    return jitter(images, torch.arange(len(images)), generator_of(seed, 0, CPU)).double().numpy()


def all_transformed(
    images: Tensor,
    angle: float = 0.0,
    across: float = 0.0,
    down: float = 0.0,
    deformation: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> numpy.ndarray:
    """Transform all images by the same amounts, in radians, pixels and fractions."""
    half = images.shape[-1] / 2
    amounts = torch.tensor([[angle, across / half, down / half, *deformation]], dtype=images.dtype)
    amounts = amounts.expand(len(images), -1)
    return transformed(images, amounts[:, 0], amounts[:, 1:3], amounts[:, 3:]).numpy()


def centre_of_ink(image: numpy.ndarray) -> tuple[float, float]:
    """Return column and row, from the middle of the image, y pointing down."""
    rows, columns = numpy.indices(image.shape)
    middle = (image.shape[0] - 1) / 2
    ink = image.sum()
    return float((image * columns).sum() / ink - middle), float((image * rows).sum() / ink - middle)


def test_a_dot_translated_by_whole_pixels_lands_there() -> None:
    result = all_transformed(dot(4, 3), across=2, down=-3)
    numpy.testing.assert_allclose(result, dot(1, 5).numpy(), atol=1e-12)


def test_a_dot_translated_by_part_of_a_pixel_is_shared_among_its_neighbours() -> None:
    result = all_transformed(dot(5, 5), across=0.25)[0]
    assert result[5, 5] == pytest.approx(0.75)
    assert result[5, 6] == pytest.approx(0.25)
    assert result.sum() == pytest.approx(1)


@pytest.mark.parametrize("side", [4, 5])
@pytest.mark.parametrize("quarters", [-1, 1, 2])
def test_quarter_turns_are_counter_clockwise(side: int, quarters: int) -> None:
    images = random_images(2, side)
    expected = numpy.rot90(images.numpy(), quarters, axes=(1, 2))
    numpy.testing.assert_allclose(all_transformed(images, angle=quarters * math.pi / 2), expected, atol=1e-12)


@pytest.mark.parametrize("angle", [0.2, -0.7])
def test_a_dot_is_rotated_about_the_centre_first_and_then_translated(angle: float) -> None:
    # Right of the middle by 6; counter-clockwise, with y pointing down, is (cos, -sin).
    image = torch.zeros(1, 41, 41, dtype=torch.float64)
    image[0, 19:22, 25:28] = 1
    column, row = centre_of_ink(all_transformed(image, angle, across=4, down=2)[0])
    assert column == pytest.approx(6 * math.cos(angle) + 4, abs=0.05)
    assert row == pytest.approx(-6 * math.sin(angle) + 2, abs=0.05)


@pytest.mark.parametrize(
    ("deformation", "place"),
    [((0.5, 0.0, 0.0), (9, 4)), ((0.0, 0.5, 0.0), (6, 6)), ((0.0, 0.0, 0.5), (4, 4)), ((0.5, 0.25, -0.5), (12, 5))],
)
def test_a_dot_is_slanted_then_stretched_about_the_centre(
    deformation: tuple[float, float, float], place: tuple[float, float]
) -> None:
    # From (6, 4) right of and below the middle: to the left by 4 times the slant, then 6 and 4 times 1 + the stretch.
    image = torch.zeros(1, 41, 41, dtype=torch.float64)
    image[0, 23:26, 25:28] = 1
    column, row = centre_of_ink(all_transformed(image, deformation=deformation)[0])
    assert (column, row) == pytest.approx(place, abs=0.05)


def test_a_deformed_image_is_rotated_about_the_centre_and_then_translated() -> None:
    image = torch.zeros(1, 41, 41, dtype=torch.float64)
    image[0, 19:22, 25:28] = 1
    # 6 right of the middle becomes 9, a quarter turn counter-clockwise above it, then 3 to the right.
    column, row = centre_of_ink(all_transformed(image, math.pi / 2, 3.0, 0.0, (0.5, 0.0, 0.0))[0])
    assert (column, row) == pytest.approx((3, -9), abs=0.05)


@pytest.mark.parametrize("axis", [0, 1])
def test_scales_fill_their_bounds_on_each_axis_and_do_not_exceed_them(axis: int) -> None:
    images = torch.zeros(400, 41, 41, dtype=torch.uint8)
    rows, columns = [(slice(19, 22), slice(30, 33)), (slice(30, 33), slice(19, 22))][axis]
    images[:, rows, columns] = 255
    lengths = numpy.array([centre_of_ink(image)[axis] / 11 for image in jittered(Jitter(0.0, 0.0, 0.25), images)])
    assert abs(lengths - 1).max() <= 0.26
    assert lengths.min() < 0.77 and lengths.max() > 1.23
    assert abs(lengths.mean() - 1) < 4 * 0.5 / math.sqrt(12 * 400) + 0.01


def test_slants_fill_their_bounds_to_both_sides_and_do_not_exceed_them() -> None:
    images = torch.zeros(400, 41, 41, dtype=torch.uint8)
    images[:, 30:33, 19:22] = 255
    centres = numpy.array([centre_of_ink(image) for image in jittered(Jitter(0.0, 0.0, 0.0, 0.3), images)])
    slants = centres[:, 0] / 11
    numpy.testing.assert_allclose(centres[:, 1], 11, atol=0.05)
    assert abs(slants).max() <= 0.31 and slants.min() < -0.28 and slants.max() > 0.28


def test_without_scale_and_shear_the_random_numbers_are_those_of_before() -> None:
    images = random_bytes(3, 8)
    drawn = torch.empty(3, 3).uniform_(-1, 1, generator=generator_of(7, 0, CPU))
    expected = transform_in_torch(
        images, torch.arange(3), drawn[:, 0] * math.pi / 16, drawn[:, 1:] * 20 / 105, torch.zeros(3, 3)
    )
    numpy.testing.assert_allclose(jittered(Jitter(), images, 7), expected.numpy(), atol=3e-5)


def test_pixels_from_outside_the_image_are_blank() -> None:
    result = all_transformed(torch.ones(1, 6, 6, dtype=torch.float64), across=2)[0]
    numpy.testing.assert_allclose(result[:, :2], 0, atol=1e-12)
    numpy.testing.assert_allclose(result[:, 2:], 1)


def test_each_image_is_transformed_by_its_own_amounts() -> None:
    images = torch.cat([dot(5, 5), dot(5, 5)])
    translations = torch.tensor([[2.0, 0.0], [0.0, -1.0]], dtype=torch.float64) * 2 / 11
    result = transformed(images, torch.zeros(2).double(), translations, torch.zeros(2, 3).double())
    numpy.testing.assert_allclose(result.numpy(), torch.cat([dot(5, 7), dot(4, 5)]).numpy(), atol=1e-12)


@settings(deadline=None)
@given(side=st.integers(1, 6), count=st.integers(1, 3), seed=st.integers(0, 100))
def test_no_jitter_changes_nothing(side: int, count: int, seed: int) -> None:
    images = random_bytes(count, side)
    result = jittered(Jitter(0.0, 0.0), images, seed)
    numpy.testing.assert_allclose(result, images.numpy() / 255, atol=1e-5)
    images = random_images(count, side)
    numpy.testing.assert_allclose(all_transformed(images), images.numpy(), atol=1e-12)


@settings(deadline=None)
@given(side=st.integers(1, 9), rotation=st.floats(0, math.pi), translation=st.floats(0, 0.5), seed=st.integers(0, 100))
def test_jittered_images_stay_between_0_and_1(side: int, rotation: float, translation: float, seed: int) -> None:
    images = (random_images(4, side) > 0.3).to(torch.uint8) * 255
    result = jittered(Jitter(rotation, translation), images, seed)
    assert result.shape == images.shape
    assert result.min() >= 0 and result.max() <= 1 + 1e-5


def test_translations_fill_their_bounds_in_both_directions_and_do_not_exceed_them() -> None:
    # 4 of 40 pixels; a blob in the middle stays whole, so that its centre tells the translation.
    images = torch.zeros(400, 40, 40, dtype=torch.uint8)
    images[:, 19:21, 19:21] = 255
    result = jittered(Jitter(0.0, 0.1), images)
    centres = numpy.array([centre_of_ink(image) for image in result])
    assert numpy.abs(centres).max() <= 4 + 1e-3
    for axis in centres.T:
        assert axis.min() < -3.9 and axis.max() > 3.9
        # Uniform: mean 0, standard deviation 8 / sqrt(12).
        assert abs(axis.mean()) < 4 * 8 / math.sqrt(12 * 400)
        assert axis.std() == pytest.approx(8 / math.sqrt(12), rel=0.1)
    assert abs(numpy.corrcoef(centres.T)[0, 1]) < 4 / math.sqrt(400)


def test_rotations_fill_their_bounds_in_both_senses_and_do_not_exceed_them() -> None:
    images = torch.zeros(400, 41, 41, dtype=torch.uint8)
    images[:, 19:22, 32:35] = 255
    result = jittered(Jitter(0.4, 0.0), images)
    angles = numpy.array([math.atan2(-row, column) for column, row in map(centre_of_ink, result)])
    assert numpy.abs(angles).max() <= 0.4 + 0.005
    assert angles.min() < -0.38 and angles.max() > 0.38
    assert abs(angles.mean()) < 4 * 0.8 / math.sqrt(12 * 400)


def test_the_defaults_are_the_papers_bounds() -> None:
    assert Jitter() == Jitter(math.pi / 16, 10 / 105)


def test_jitter_is_a_function_of_the_generator_alone() -> None:
    images = random_bytes(3, 8)
    one, same, other = (jittered(Jitter(), images, seed) for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()


@pytest.mark.parametrize("transform", [transform_in_cpp, transform_in_torch])
@settings(deadline=None)
@given(data=st.data())
def test_selected_bytes_are_transformed_as_floats_are(
    cxx_compiler: None, transform: Transform, data: st.DataObject
) -> None:
    count, height, width = (data.draw(st.integers(1, most)) for most in (5, 7, 19))
    torch.manual_seed(data.draw(st.integers(0, 100)))
    images = torch.randint(256, (3, height, width), dtype=torch.uint8)
    indices = torch.randint(3, (count,))
    # Far enough for an image to leave the frame.
    amounts = 4 * torch.randn(count), torch.randn(count, 3)[:, 1:], torch.rand(count, 3) - 0.5
    expected = transformed(images[indices].double() / 255, *(part.double() for part in amounts))
    result = transform(images, indices, *amounts)
    assert result.dtype == torch.float32
    numpy.testing.assert_allclose(result.numpy(), expected.numpy(), atol=3e-5)


def test_three_threads_give_the_result_of_one_and_leave_the_images_unchanged(cxx_compiler: None) -> None:
    images, indices = random_bytes(50, 20), torch.randint(50, (800,))
    before, amounts = images.clone(), (torch.randn(800), torch.randn(800, 2) / 10, torch.randn(800, 3) / 10)
    expected = transform_in_cpp(images, indices, *amounts)
    torch.set_num_threads(3)
    assert torch.equal(transform_in_cpp(images, indices, *amounts), expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("has", [True, False])
def test_without_a_compiler_images_are_transformed_in_torch(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jitter, "has_compiler", lambda: has)
    fastest_transform.cache_clear()
    assert fastest_transform(CPU) is (transform_in_cpp if has else transform_in_torch)
    fastest_transform.cache_clear()
