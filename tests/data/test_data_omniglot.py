"""Omniglot: the real one where it is, and small ones that are planted or broken."""

import functools
import hashlib
import os
import shutil
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import numpy
import pytest
from PIL import Image
from torchvision.datasets import Omniglot as TorchvisionOmniglot

from data import ImageClasses, InputError, load_omniglot, omniglot

HALVES = {"images_background": 2, "images_evaluation": 1}
DRAWINGS = 2
NAMES = ("Alpha/character01", "Alpha/character02", "Beta/character01")


def png(black: tuple[slice, slice] = (slice(0), slice(0)), side: int = 105) -> bytes:
    """Return a 1-bit PNG, white but for one black rectangle given as (rows, columns)."""
    pixels = numpy.full((side, side), True)
    pixels[black] = False
    file = BytesIO()
    Image.fromarray(pixels).convert("1").save(file, "PNG")
    return file.getvalue()


def small_omniglot() -> dict[str, dict[str, bytes]]:
    """Return, by half and path, three characters with two drawings each, all drawings different.

    Drawing d of the c-th character has ink in the block of 21 rows c and 21 columns d.
    """
    halves: dict[str, dict[str, bytes]] = {half: {} for half in HALVES}
    for index, name in enumerate(NAMES):
        half = "images_evaluation" if name.startswith("Beta") else "images_background"
        for drawing in range(DRAWINGS):
            block = slice(21 * index, 21 * index + 21), slice(21 * drawing, 21 * drawing + 21)
            path = f"{half}/{name}/{index:04}_{drawing + 1:02}.png"
            halves[half][path] = png(block)
    return halves


def write_archives(root: Path, halves: dict[str, dict[str, bytes]]) -> None:
    """Write one archive per half, the last file first."""
    root.mkdir(parents=True, exist_ok=True)
    for half, files in halves.items():
        with zipfile.ZipFile(root / f"{half}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in reversed(files.items()):
                archive.writestr(path, content)


def write_folders(root: Path, halves: dict[str, dict[str, bytes]]) -> None:
    """Write one folder per half."""
    for files in halves.values():
        for path, content in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)


@pytest.fixture(autouse=True)
def small_numbers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the small Omniglot, except where the real one is asked for."""
    if "omniglot" not in request.fixturenames and "omniglot_root" not in request.fixturenames:
        monkeypatch.setattr(omniglot, "HALVES", HALVES)
        monkeypatch.setattr(omniglot, "DRAWINGS", DRAWINGS)


def assert_small_omniglot(classes: ImageClasses) -> None:
    """Check every pixel of the small Omniglot at 5x5, where a block is one pixel."""
    assert classes.names == NAMES
    assert classes.counts.tolist() == [2, 2, 2]
    expected = numpy.zeros((3, 2, 5, 5), dtype=numpy.uint8)
    for index in range(3):
        for drawing in range(2):
            expected[index, drawing, index, drawing] = 255
    assert numpy.array_equal(classes.images.numpy(), expected)


@pytest.mark.parametrize("write", [write_archives, write_folders])
@pytest.mark.parametrize("below", ["", "omniglot-py"])
def test_ink_is_bright_upright_and_in_place(
    tmp_path: Path, write: Callable[[Path, dict[str, dict[str, bytes]]], None], below: str
) -> None:
    write(tmp_path / "root" / below, small_omniglot())
    assert_small_omniglot(load_omniglot(tmp_path / "root", size=5))


def test_scaling_down_averages_areas(tmp_path: Path) -> None:
    halves = small_omniglot()
    # 7 of the 21 rows of the top left block are inked: a third of 255.
    halves["images_background"]["images_background/Alpha/character01/0000_01.png"] = png((slice(7), slice(21)))
    write_archives(tmp_path, halves)
    image = load_omniglot(tmp_path, size=5).images[0, 0]
    assert image[0, 0] == 85
    assert image.sum() == 85


def test_second_start_reads_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archives(tmp_path, small_omniglot())
    load_omniglot(tmp_path, size=5)
    monkeypatch.setattr(omniglot, "_read_halves", None)
    assert_small_omniglot(load_omniglot(tmp_path, size=5))
    with pytest.raises(TypeError):  # another size has to be read
        load_omniglot(tmp_path, size=7)


def test_changed_archive_is_read_anew(tmp_path: Path) -> None:
    halves = small_omniglot()
    write_archives(tmp_path, halves)
    load_omniglot(tmp_path, size=5)
    halves["images_evaluation"]["images_evaluation/Beta/character01/0002_01.png"] = png()
    write_archives(tmp_path, halves)
    assert load_omniglot(tmp_path, size=5).images[2, 0].sum() == 0


@pytest.mark.parametrize("write", [write_archives, write_folders])
def test_what_file_managers_leave_is_ignored(
    tmp_path: Path, write: Callable[[Path, dict[str, dict[str, bytes]]], None]
) -> None:
    halves = small_omniglot()
    for junk in (
        "images_background/.DS_Store",
        "images_background/Alpha/character01/._0000_01.png",
        "images_background/__MACOSX/images_background/Alpha/character01/0000_09.png",
    ):
        halves["images_background"][junk] = b"junk"
    write(tmp_path / "root", halves)
    assert_small_omniglot(load_omniglot(tmp_path / "root", size=5))


BACKGROUND = "images_background"


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


def test_one_missing_drawing_is_named(tmp_path: Path) -> None:
    halves = small_omniglot()
    del halves[BACKGROUND][f"{BACKGROUND}/Alpha/character02/0001_02.png"]
    write_archives(tmp_path, halves)
    with pytest.raises(InputError, match="1 drawings of Alpha/character02, expected 2"):
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


DRAWING = f"{BACKGROUND}/Alpha/character01/0000_02.png"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(side=104), "104x104 pixels, expected 105x105"),
        (b"", "no readable PNG"),
        (b"not an image", "no readable PNG"),
        (png()[:60], "no readable PNG"),
        (b"GIF89a" + png(), "no readable PNG"),
        (png() + bytes(64 * 1024), "bytes, a drawing at most 65536"),
    ],
)
@pytest.mark.parametrize("write", [write_archives, write_folders])
def test_bad_drawing_is_refused_by_name(
    tmp_path: Path,
    content: bytes,
    message: str,
    write: Callable[[Path, dict[str, dict[str, bytes]]], None],
) -> None:
    halves = small_omniglot()
    halves[BACKGROUND][DRAWING] = content
    write(tmp_path / "root", halves)
    with pytest.raises(InputError, match=message) as refusal:
        load_omniglot(tmp_path / "root", size=5)
    assert DRAWING in str(refusal.value)


def giant_png() -> bytes:
    """Return a PNG that says it has 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_drawing_that_would_unpack_to_a_giant_is_refused(tmp_path: Path) -> None:
    halves = small_omniglot()
    halves[BACKGROUND][DRAWING] = giant_png()
    write_archives(tmp_path, halves)
    with pytest.raises(InputError, match=f"{DRAWING} is no readable PNG .*decompression bomb"):
        load_omniglot(tmp_path, size=5)


def rewritten(root: Path, change: Callable[[zipfile.ZipInfo], None]) -> None:
    """Write the archives, one file's entry changed."""
    halves = small_omniglot()
    write_archives(root, halves)
    with zipfile.ZipFile(root / f"{BACKGROUND}.zip", "w") as archive:
        for path, content in halves[BACKGROUND].items():
            entry = zipfile.ZipInfo(path)
            if path == DRAWING:
                change(entry)
            archive.writestr(entry, content if not stat.S_ISLNK(entry.external_attr >> 16) else b"/etc/hostname")


def test_link_in_an_archive_is_not_followed(tmp_path: Path) -> None:
    rewritten(tmp_path, lambda entry: setattr(entry, "external_attr", (stat.S_IFLNK | 0o777) << 16))
    with pytest.raises(InputError, match=f"{DRAWING} is no readable PNG"):
        load_omniglot(tmp_path, size=5)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_archive_packed_in_another_way_is_refused(tmp_path: Path, packing: int) -> None:
    rewritten(tmp_path, lambda entry: setattr(entry, "compress_type", packing))
    with pytest.raises(InputError, match="packed in another way"):
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
def test_pipe_among_the_drawings_is_refused(tmp_path: Path) -> None:
    write_folders(tmp_path, small_omniglot())
    (tmp_path / DRAWING).unlink()
    os.mkfifo(tmp_path / DRAWING)  # reading it would never end
    with pytest.raises(InputError, match=f"{DRAWING} is no file"):
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


def test_absent_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent is not a folder.*images_background.zip"):
        load_omniglot(tmp_path / "absent")


def test_missing_half_is_named(tmp_path: Path) -> None:
    write_archives(tmp_path, small_omniglot())
    (tmp_path / "images_evaluation.zip").unlink()
    with pytest.raises(InputError, match=r"neither images_evaluation\.zip nor a folder"):
        load_omniglot(tmp_path)


@pytest.mark.parametrize("size", [0, -1, 106])
def test_size_outside_the_drawing_is_refused(tmp_path: Path, size: int) -> None:
    write_archives(tmp_path, small_omniglot())
    with pytest.raises(InputError, match=r"1\.\.105"):
        load_omniglot(tmp_path, size=size)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let torchvision download the small Omniglot from this machine; return the folder served."""
    folder = tmp_path / "server"
    write_archives(folder, small_omniglot())
    handler = functools.partial(QuietHandler, directory=str(folder))
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        monkeypatch.setattr(TorchvisionOmniglot, "download_url_prefix", f"http://127.0.0.1:{http.server_port}")
        checksums = {path.stem: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.iterdir()}
        monkeypatch.setattr(TorchvisionOmniglot, "zips_md5", checksums)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield folder
        http.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without a line on standard error for each."""

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def test_no_network_names_the_alternatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TorchvisionOmniglot, "download_url_prefix", (tmp_path / "no").as_uri())
    with pytest.raises(InputError, match="could not be downloaded.*--root.*strokes") as refusal:
        load_omniglot(None)
    assert "\n" not in str(refusal.value)


def test_download_is_kept_and_done_once(server: Path, own_cache: Path) -> None:
    assert_small_omniglot(load_omniglot(None, size=5))
    names = sorted(path.name for path in (own_cache / "omniglot").iterdir())
    assert names == ["images_background.zip", "images_evaluation.zip"]
    shutil.rmtree(server)
    assert_small_omniglot(load_omniglot(None, size=5))


def test_download_with_a_wrong_checksum_is_not_kept(server: Path, own_cache: Path) -> None:
    with (server / "images_background.zip").open("ab") as archive:
        archive.write(b"changed")
    with pytest.raises(InputError, match="could not be downloaded.*corrupted"):
        load_omniglot(None, size=5)
    assert list((own_cache / "omniglot").iterdir()) == []


def test_images_extracted_into_the_cache_need_no_network(own_cache: Path) -> None:
    write_folders(own_cache / "omniglot" / "omniglot-py", small_omniglot())
    assert_small_omniglot(load_omniglot(None, size=5))


def test_real_omniglot_is_whole_and_right(omniglot: ImageClasses) -> None:
    assert len(omniglot.names) == 1623
    assert omniglot.names == tuple(sorted(omniglot.names))
    assert omniglot.counts.tolist() == [20] * 1623
    # Ink is the smaller part of every drawing, and none is empty.
    ink = omniglot.images.float().mean(dim=(2, 3)) / 255
    assert ink.min() > 0.001 and ink.max() < 0.4
    assert 0.07 < ink.mean() < 0.09


def test_real_drawing_agrees_with_its_file(omniglot_root: Path, omniglot: ImageClasses) -> None:
    if not (omniglot_root / "images_evaluation.zip").is_file():
        pytest.skip("needs the archives of Omniglot, not the extracted images")
    with (
        zipfile.ZipFile(omniglot_root / "images_evaluation.zip") as archive,
        archive.open("images_evaluation/Tibetan/character42/1597_07.png") as file,
    ):
        ink = 1.0 - numpy.asarray(Image.open(file).convert("1"), dtype=float)
    found = omniglot.images[omniglot.names.index("Tibetan/character42"), 6].numpy() / 255
    # 20 cuts of 5.25 pixels: each row and column belongs to the group its centre falls into.
    groups = numpy.ceil((numpy.arange(105) + 0.5) / 5.25).astype(int) - 1
    share = (groups == numpy.arange(20)[:, None]) / numpy.bincount(groups)[:, None]
    assert found.max() > 0.5
    assert numpy.abs(found - share @ ink @ share.T).max() < 1.01 / 255
