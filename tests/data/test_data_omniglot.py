"""Omniglot: how images are read, downloaded and cached."""

import functools
import hashlib
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import Omniglot as TorchvisionOmniglot

from data import InputError, load_omniglot
from data.omniglot import is_downloaded
from tests.data.small_omniglot import assert_small_omniglot, png, small_omniglot, write_archives, write_folders

pytestmark = pytest.mark.usefixtures("small_numbers")


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
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image is read"))
    assert_small_omniglot(load_omniglot(tmp_path, size=5))
    with pytest.raises(pytest.fail.Exception, match="an image is read"):  # another size has to be read
        load_omniglot(tmp_path, size=7)


def test_changed_archive_is_read_anew(tmp_path: Path) -> None:
    halves = small_omniglot()
    write_archives(tmp_path, halves)
    load_omniglot(tmp_path, size=5)
    halves["images_evaluation"]["images_evaluation/Beta/character01/0002_01.png"] = png()
    write_archives(tmp_path, halves)
    assert load_omniglot(tmp_path, size=5).images[2, 0].sum() == 0


@pytest.mark.parametrize("write", [write_archives, write_folders])
def test_files_left_by_file_managers_are_ignored(
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


def test_absent_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent is not a folder.*images_background.zip"):
        load_omniglot(tmp_path / "absent")


def test_missing_half_is_named(tmp_path: Path) -> None:
    write_archives(tmp_path, small_omniglot())
    (tmp_path / "images_evaluation.zip").unlink()
    with pytest.raises(InputError, match=r"neither images_evaluation\.zip nor a folder"):
        load_omniglot(tmp_path)


@pytest.mark.parametrize("size", [0, -1, 106])
def test_size_outside_the_range_is_refused(tmp_path: Path, size: int) -> None:
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
    with pytest.raises(InputError, match="could not be downloaded.*`root`.*strokes") as refusal:
        load_omniglot(None)
    assert "\n" not in str(refusal.value)


def test_download_is_kept_and_done_once(server: Path, own_cache: Path) -> None:
    assert not is_downloaded()
    assert_small_omniglot(load_omniglot(None, size=5))
    assert is_downloaded()
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
