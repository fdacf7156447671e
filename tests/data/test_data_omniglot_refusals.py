"""Omniglot: incomplete, damaged and hostile archives and folders are refused."""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from data import InputError, load_omniglot, omniglot
from tests.data.small_omniglot import BACKGROUND, png, small_omniglot, write_archives, write_folders

pytestmark = pytest.mark.usefixtures("small_numbers")

IMAGE = f"{BACKGROUND}/Alpha/character01/0000_02.png"


@pytest.mark.parametrize(
    "path",
    [
        "../images_background/Alpha/character01/0001_01.png",
        "/images_background/Alpha/character01/0001_01.png",
        f"{BACKGROUND}/../character01/0001_01.png",
        f"{BACKGROUND}/Alpha/character01/../0001_01.png",
        f"{BACKGROUND}/Alpha\\x/character01/0001_01.png",
        f"{BACKGROUND}/Alpha/character01/0001_01.exe",
        f"{BACKGROUND}/Alpha/character1/0001_01.png",
        f"{BACKGROUND}/character01/0001_01.png",
        "images_evaluation/Alpha/character01/0001_01.png",
        "readme.txt",
    ],
)
def test_foreign_file_in_an_archive_is_refused(tmp_path: Path, path: str) -> None:
    halves = small_omniglot()
    halves[BACKGROUND][path] = png()
    write_archives(tmp_path / "root", halves)
    with pytest.raises(InputError, match="expected only files such as") as refusal:
        load_omniglot(tmp_path / "root", size=5)
    assert repr(path) in str(refusal.value)


def test_one_missing_image_is_named(tmp_path: Path) -> None:
    halves = small_omniglot()
    del halves[BACKGROUND][f"{BACKGROUND}/Alpha/character02/0001_02.png"]
    write_archives(tmp_path, halves)
    with pytest.raises(InputError, match="1 images of Alpha/character02, expected 2"):
        load_omniglot(tmp_path, size=5)


@pytest.mark.parametrize("extra", [-1, 1])
def test_wrong_number_of_characters_is_refused(tmp_path: Path, extra: int) -> None:
    halves = small_omniglot()
    for path in list(halves[BACKGROUND]):
        if "character02" in path:
            content = halves[BACKGROUND].pop(path)
            if extra == 1:
                halves[BACKGROUND][path] = content
                halves[BACKGROUND][path.replace("character02", "character03")] = content
    write_archives(tmp_path, halves)
    with pytest.raises(InputError, match=f"holds {2 + extra} characters, expected 2"):
        load_omniglot(tmp_path, size=5)


def test_character_in_both_halves_is_refused(tmp_path: Path) -> None:
    halves = small_omniglot()
    halves["images_evaluation"] = {
        path.replace("Beta", "Alpha"): content for path, content in halves["images_evaluation"].items()
    }
    write_archives(tmp_path, halves)
    with pytest.raises(InputError, match="Alpha/character01, which another half holds too"):
        load_omniglot(tmp_path, size=5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(side=104), "104x104 pixels, expected 105x105"),
        (b"", "no readable PNG"),
        (b"not an image", "no readable PNG"),
        (png()[:60], "no readable PNG"),
        (b"GIF89a" + png(), "no readable PNG"),
        (png() + bytes(64 * 1024), "bytes, an image at most 65536"),
    ],
)
@pytest.mark.parametrize("write", [write_archives, write_folders])
def test_bad_image_is_refused_by_name(
    tmp_path: Path,
    content: bytes,
    message: str,
    write: Callable[[Path, dict[str, dict[str, bytes]]], None],
) -> None:
    halves = small_omniglot()
    halves[BACKGROUND][IMAGE] = content
    write(tmp_path / "root", halves)
    with pytest.raises(InputError, match=message) as refusal:
        load_omniglot(tmp_path / "root", size=5)
    assert IMAGE in str(refusal.value)


def giant_png() -> bytes:
    """Return a PNG that says it has 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_image_that_would_unpack_to_a_giant_is_refused(tmp_path: Path) -> None:
    halves = small_omniglot()
    halves[BACKGROUND][IMAGE] = giant_png()
    write_archives(tmp_path, halves)
    with pytest.raises(InputError, match=f"{IMAGE} is no readable PNG .*decompression bomb"):
        load_omniglot(tmp_path, size=5)


def rewritten(root: Path, change: Callable[[zipfile.ZipInfo], None]) -> None:
    """Write the archives, one file's entry changed."""
    halves = small_omniglot()
    write_archives(root, halves)
    with zipfile.ZipFile(root / f"{BACKGROUND}.zip", "w") as archive:
        for path, content in halves[BACKGROUND].items():
            entry = zipfile.ZipInfo(path)
            if path == IMAGE:
                change(entry)
            archive.writestr(entry, content if not stat.S_ISLNK(entry.external_attr >> 16) else b"/etc/hostname")


def test_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    rewritten(tmp_path, lambda entry: setattr(entry, "external_attr", (stat.S_IFLNK | 0o777) << 16))
    with pytest.raises(InputError, match=f"{IMAGE} is no readable PNG"):
        load_omniglot(tmp_path, size=5)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archive_compressed_by_another_method_is_refused(tmp_path: Path, packing: int) -> None:
    rewritten(tmp_path, lambda entry: setattr(entry, "compress_type", packing))
    with pytest.raises(InputError, match="compressed by another method"):
        load_omniglot(tmp_path, size=5)


def test_file_without_a_name_in_an_archive_is_refused(tmp_path: Path) -> None:
    rewritten(tmp_path, lambda entry: setattr(entry, "filename", ""))
    with pytest.raises(InputError, match="holds ''; expected only files such as"):
        load_omniglot(tmp_path, size=5)


def test_archive_far_too_large_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archives(tmp_path, small_omniglot())
    monkeypatch.setattr(omniglot, "LARGEST_ARCHIVE", 100)
    monkeypatch.setattr(omniglot, "source_digest", None)
    with pytest.raises(InputError, match=r"images_background.zip has \d+ bytes, expected at most 100: get it again"):
        load_omniglot(tmp_path, size=5)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipe_among_the_images_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, small_omniglot())
    (tmp_path / IMAGE).unlink()
    os.mkfifo(tmp_path / IMAGE)  # reading it would never end
    with pytest.raises(InputError, match=f"{IMAGE} is no file"):
        load_omniglot(tmp_path, size=5)


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_archive_cut_off_is_refused(tmp_path: Path, kept: float) -> None:
    write_archives(tmp_path, small_omniglot())
    archive = tmp_path / "images_evaluation.zip"
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(InputError, match=r"images_evaluation\.zip cannot be read"):
        load_omniglot(tmp_path, size=5)


def test_changed_byte_in_an_archive_is_noticed(tmp_path: Path) -> None:
    halves = small_omniglot()
    write_archives(tmp_path, halves)
    archive = tmp_path / f"{BACKGROUND}.zip"
    content = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as opened:
        member = opened.infolist()[1]
    data_start = member.header_offset + 30 + len(member.filename)
    content[data_start + member.compress_size // 2] ^= 255
    archive.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        load_omniglot(tmp_path, size=5)
