"""ImageClasses: construction, selection, rotation and alphabets."""

import numpy
import pytest
import torch

from data import ImageClasses, InputError


def random_classes(classes: int = 3, samples: int = 2, side: int = 5) -> ImageClasses:
    """Return classes of random images, so that any two images differ."""
    images = torch.randint(
        256,
        (classes, samples, side, side),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(0),
    )
    names = tuple(f"class{index}" for index in range(classes))
    return ImageClasses(images, torch.full((classes,), samples), names)


def test_select_keeps_the_order_given() -> None:
    classes = random_classes()
    chosen = classes.select(["class2", "class0"])
    assert chosen.names == ("class2", "class0")
    assert torch.equal(chosen.images, classes.images[[2, 0]])


def test_select_takes_the_counts_along() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    classes = ImageClasses(images, torch.tensor([3, 1]), ("many", "few"))
    assert classes.select(["few", "many"]).counts.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["class0", "other"], "no class is named 'other'.*class0"),
        (["class1", "class1"], "'class1' is named more than once"),
    ],
)
def test_select_refuses_unknown_and_repeated_names(names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        random_classes().select(names)


def test_rotations_are_quarter_turns_counter_clockwise() -> None:
    classes = random_classes()
    rotated = classes.with_rotations()
    for quarter, suffix in enumerate(("", "/rot090", "/rot180", "/rot270")):
        for index, name in enumerate(classes.names):
            row = quarter * 3 + index
            assert rotated.names[row] == name + suffix
            for sample in range(2):
                expected = numpy.rot90(classes.images[index, sample].numpy(), quarter)
                assert numpy.array_equal(rotated.images[row, sample].numpy(), expected)


def test_a_stroke_up_rotated_by_90_degrees_points_left() -> None:
    images = torch.zeros(1, 1, 3, 3, dtype=torch.uint8)
    images[0, 0, 0, 1] = 255  # above the middle
    rotated = ImageClasses(images, torch.tensor([1]), ("up",)).with_rotations()
    assert rotated.images[1, 0].nonzero().tolist() == [[1, 0]]  # left of the middle


def test_rotations_keep_the_counts_of_each_class() -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    classes = ImageClasses(images, torch.tensor([3, 1]), ("many", "few"))
    assert classes.with_rotations().counts.tolist() == [3, 1] * 4


def test_classes_of_an_alphabet_share_a_number_and_rotated_ones_have_their_own() -> None:
    names = ("Latin/a", "Greek/a", "Latin/b")
    classes = ImageClasses(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([1, 1, 1]), names)
    assert classes.alphabets.tolist() == [0, 1, 0]
    rotated = classes.with_rotations()
    of = dict(zip(rotated.names, rotated.alphabets.tolist(), strict=True))
    assert len(set(of.values())) == 8
    for rotation in ("", "/rot090", "/rot180", "/rot270"):
        assert of[f"Latin/a{rotation}"] == of[f"Latin/b{rotation}"] != of[f"Greek/a{rotation}"]


def test_classes_without_an_alphabet_are_refused_rotated_or_not() -> None:
    classes = ImageClasses(torch.zeros(1, 1, 4, 4, dtype=torch.uint8), torch.tensor([1]), ("stroke0001",))
    for some in (classes, classes.with_rotations().select(["stroke0001/rot090"])):
        with pytest.raises(InputError, match="class 'stroke0001.*' is of no alphabet"):
            _ = some.alphabets


def test_rotations_need_square_images() -> None:
    images = torch.zeros(1, 1, 3, 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match="not 3x4"):
        ImageClasses(images, torch.tensor([1]), ("wide",)).with_rotations()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device: a GPU")
def test_to_moves_images_and_counts() -> None:
    classes = random_classes()
    moved = classes.to("cuda")
    assert (moved.images.device.type, moved.counts.device.type) == ("cuda", "cuda")
    assert torch.equal(moved.images.cpu(), classes.images)
    assert torch.equal(moved.select(["class1"]).images.cpu(), classes.images[[1]])


IMAGES = torch.ones(2, 3, 4, 4, dtype=torch.uint8)
FULL = torch.tensor([3, 3])


@pytest.mark.parametrize(
    ("images", "counts", "names", "message"),
    [
        (IMAGES.float(), FULL, ("a", "b"), "images must be uint8"),
        (IMAGES[0], FULL, ("a", "b"), r"\[3, 4, 4\]"),
        (IMAGES, FULL.float(), ("a", "b"), "counts must be int64"),
        (IMAGES, torch.tensor([3]), ("a", "b"), r"counts must be int64 \[2\]"),
        (IMAGES, FULL.to("meta"), ("a", "b"), "on one device"),
        (IMAGES, torch.tensor([3, 4]), ("a", "b"), "between 1 and 3"),
        (IMAGES, torch.tensor([0, 3]), ("a", "b"), "between 1 and 3"),
        (IMAGES, torch.tensor([3, 2]), ("a", "b"), "must be zero"),
        (IMAGES, FULL, ("a",), "2 classes need"),
        (IMAGES, FULL, ("a", "a"), "1 different among 2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    images: torch.Tensor, counts: torch.Tensor, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ImageClasses(images, counts, names)
