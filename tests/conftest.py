"""Fixtures of all tests: one thread, a cache folder for each test, the real Omniglot, a compiler, a browser."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data import ImageClasses, load_omniglot, load_strokes
from episodes.native import has_compiler

# One thread, here and in the commands that tests start: tiny products gain nothing from a second one, and on busy cores
# it costs minutes.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
# Compiled code is shared by all tests and kept for the next time.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(tempfile.gettempdir(), f"mann-tests-{os.getuid()}")))

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes `auto` is: one more than cores, as they wait for commands and compilers."""
    return min((os.cpu_count() or 1) + 1, 4)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the folders whose files take longest first, so that no process is left alone with one at the end."""
    items.sort(key=lambda item: {"scripts", "fast"}.isdisjoint(item.path.relative_to(REPOSITORY).parts))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip the tests marked `learn2learn` where it is not installed; `make test-learn2learn` installs it."""
    if item.get_closest_marker("learn2learn"):
        pytest.importorskip("learn2learn", reason="needs learn2learn: make test-learn2learn")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Use one thread, whatever the test before used: with another number, sums are rounded in another order."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MANN_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def cxx_compiler() -> None:
    """Skip the test where there is no C++ compiler."""
    if not has_compiler():
        pytest.skip("needs a C++ compiler, such as g++ or clang++")


@pytest.fixture(scope="session")
def omniglot_root() -> Path:
    """Return a folder with the real Omniglot; skip the test where there is none."""
    places = [REPOSITORY.parent / "shared" / "omniglot"]
    if "MANN_OMNIGLOT" in os.environ:
        places.insert(0, Path(os.environ["MANN_OMNIGLOT"]))
    for place in places:
        if place.is_dir():
            return place
    pytest.skip("needs the real Omniglot: name a folder with its two archives in MANN_OMNIGLOT")


@pytest.fixture(scope="session")
def data_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder that tests share, in all processes: to draw all characters or pack Omniglot takes seconds.

    What is stored in it is the same for everybody, and stays unchanged.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # its folder is one of several in that of the session
        folder = folder.parent
    (folder / "data-cache").mkdir(exist_ok=True)
    return folder / "data-cache"


@pytest.fixture(scope="session")
def omniglot(omniglot_root: Path, data_cache: Path) -> ImageClasses:
    """Return the real Omniglot at 20x20, read once per test session."""
    return load_omniglot(omniglot_root, cache=data_cache)


@pytest.fixture(scope="session")
def characters(data_cache: Path) -> ImageClasses:
    """Return all of the built-in characters at 20x20, drawn once for all processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MANN_CACHE", str(data_cache))
        return load_strokes(20)


# Chromium sends no requests of its own, so that every request that a test sees was made by the page.
CHROMIUM_OPTIONS = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Return a Chromium driven by Playwright; skip the test where one of them is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs Chromium, such as Debian's package chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=[f"--{name}" for name in CHROMIUM_OPTIONS])
        yield started
        started.close()
