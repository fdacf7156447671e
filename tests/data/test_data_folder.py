"""Folders of images: how they are read and converted to ink, and which are refused."""

import struct
import zlib
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from data import InputError, load_folder


def save(path: Path, pixels: list[list[int]] | numpy.ndarray, mode: str = "L") -> None:
    """Write grey pixels as an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.asarray(pixels, dtype=numpy.uint8)).convert(mode).save(path)


def loaded(tmp_path: Path, size: int = 4) -> numpy.ndarray:
    """Return the first image of class "a" below tmp_path/root; class "b" is added."""
    save(tmp_path / "root" / "b" / "any.png", [[0]])
    return load_folder(tmp_path / "root", size).images[0, 0].numpy()


def white_with_black_dot(value: int = 0, background: int = 255) -> numpy.ndarray:
    """Return a 4x4 image with one dot in row 1, column 2."""
    pixels = numpy.full((4, 4), background, dtype=numpy.uint8)
    pixels[1, 2] = value
    return pixels


DOT = 255 - white_with_black_dot()


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "gif", "PNG"])
@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_ink_is_bright_in_every_lossless_format(tmp_path: Path, suffix: str, mode: str) -> None:
    save(tmp_path / "root" / "a" / f"dot.{suffix}", white_with_black_dot(), mode)
    assert numpy.array_equal(loaded(tmp_path), DOT)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "webp"])
def test_ink_is_bright_in_every_lossy_format(tmp_path: Path, suffix: str) -> None:
    large_pixels = numpy.kron(white_with_black_dot(), numpy.ones((16, 16), dtype=numpy.uint8))
    save(tmp_path / "root" / "a" / f"dot.{suffix}", large_pixels)
    assert numpy.abs(loaded(tmp_path).astype(int) - DOT).max() < 8


def test_bright_ink_on_a_dark_background_stays(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "dot.png", DOT)
    assert numpy.array_equal(loaded(tmp_path), DOT)


def test_background_is_the_median_of_the_border(tmp_path: Path) -> None:
    # Mostly ink inside, and one side of the border too: the background is still the bright one.
    pixels = numpy.full((6, 6), 250)
    pixels[1:5, :5] = 10
    save(tmp_path / "root" / "a" / "block.png", pixels)
    expected = numpy.full((6, 6), 5)
    expected[1:5, :5] = 245
    assert numpy.array_equal(loaded(tmp_path, 6), expected)


def test_oblong_image_is_padded_with_its_background(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "wide.png", [[240, 240, 40, 240], [240, 240, 240, 240]])
    expected = numpy.full((4, 4), 15)
    expected[1, 2] = 215
    assert numpy.array_equal(loaded(tmp_path), expected)


def test_tall_image_is_padded_left_and_right(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "tall.png", [[0], [0], [200], [0]])
    expected = numpy.zeros((4, 4))
    expected[2, 1] = 200
    assert numpy.array_equal(loaded(tmp_path), expected)


def test_scaling_down_averages_areas(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "dot.png", white_with_black_dot())
    assert loaded(tmp_path, 2).tolist() == [[0, 64], [0, 0]]  # 255 / 4


def test_transparent_parts_are_white_paper(tmp_path: Path) -> None:
    pixels = numpy.zeros((4, 4, 4), dtype=numpy.uint8)  # black everywhere
    pixels[1, 2, 3] = 255  # and opaque in one place
    (tmp_path / "root" / "a").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "root" / "a" / "dot.png")
    assert numpy.array_equal(loaded(tmp_path), DOT)


def test_sixteen_bits_are_scaled_not_cut_off(tmp_path: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    pixels = white_with_black_dot(value=100).astype(numpy.uint16) * 257
    Image.fromarray(pixels).save(tmp_path / "root" / "a" / "dot.png")
    assert loaded(tmp_path)[1, 2] == 155


def test_camera_orientation_is_followed(tmp_path: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(white_with_black_dot()).save(tmp_path / "root" / "a" / "dot.png", exif=exif)
    assert numpy.array_equal(loaded(tmp_path), numpy.rot90(DOT, -1))


def test_classes_and_images_are_sorted_and_ragged(tmp_path: Path) -> None:
    for name, values in {"zebra": [1], "ant": [2, 3, 4], "Bee": [5, 6]}.items():
        for position, value in reversed(list(enumerate(values))):
            save(tmp_path / name / f"{position}.png", [[value]])
    classes = load_folder(tmp_path, 1)
    assert classes.names == ("Bee", "ant", "zebra")
    assert classes.counts.tolist() == [2, 3, 1]
    assert classes.images[:, :, 0, 0].tolist() == [[5, 6, 0], [2, 3, 4], [1, 0, 0]]


def test_hidden_files_and_files_beside_the_classes_are_ignored(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", [[1]])
    save(tmp_path / "b" / "1.png", [[2]])
    save(tmp_path / ".hidden" / "1.png", [[3]])
    (tmp_path / "a" / ".DS_Store").write_bytes(b"junk")
    (tmp_path / "readme.txt").write_text("mine")
    assert load_folder(tmp_path, 1).images.flatten().tolist() == [1, 2]


def test_second_start_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "root" / "a" / "dot.png", white_with_black_dot())
    first = loaded(tmp_path)
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image is read"))
    second = load_folder(tmp_path / "root", 4)
    assert torch.equal(second.images[0, 0], torch.from_numpy(first))


def test_added_image_is_noticed(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "1.png", [[1]])
    loaded(tmp_path, 1)
    save(tmp_path / "root" / "a" / "2.png", [[2]])
    assert load_folder(tmp_path / "root", 1).counts.tolist() == [2, 1]


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"GIF89a\1"])
def test_unreadable_image_is_named(tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "root" / "a" / "1.png", [[1]])
    (tmp_path / "root" / "a" / "2.png").write_bytes(content)
    with pytest.raises(InputError, match=r"2\.png cannot be read as an image"):
        loaded(tmp_path)


def test_image_cut_off_is_named(tmp_path: Path) -> None:
    path = tmp_path / "root" / "a" / "1.jpg"
    save(path, numpy.arange(10000).reshape(100, 100) % 251)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"1\.jpg cannot be read as an image"):
        loaded(tmp_path)


@pytest.mark.parametrize(("width", "height"), [(8193, 1), (1, 8193), (10_000, 10_000), (60_000, 60_000)])
def test_giant_image_is_refused_before_it_is_unpacked(tmp_path: Path, width: int, height: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "giant.png").write_bytes(png)
    with pytest.raises(InputError, match=r"giant\.png has .* pixels: scale it down"):
        loaded(tmp_path)


def test_foreign_file_in_a_class_is_named(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "1.png", [[1]])
    (tmp_path / "root" / "a" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt is no image file.*\.png"):
        loaded(tmp_path)


def test_folder_in_a_class_is_named(tmp_path: Path) -> None:
    save(tmp_path / "root" / "a" / "inner.png" / "1.png", [[1]])
    with pytest.raises(InputError, match=r"inner\.png is no image file"):
        loaded(tmp_path)


def test_empty_class_is_named(tmp_path: Path) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    with pytest.raises(InputError, match="class folder .*a holds no image"):
        loaded(tmp_path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "only" / "1.png", [[1]])
    with pytest.raises(InputError, match="holds 1 class folders, expected at least 2"):
        load_folder(tmp_path, 4)


def test_absent_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent is not a folder"):
        load_folder(tmp_path / "absent", 4)


def test_size_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="image size 0"):
        load_folder(tmp_path, 0)
