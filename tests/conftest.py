"""What tests of all packages share: a cache of their own, and the real Omniglot where it is."""

import os
from pathlib import Path

import pytest
import torch

from data import ImageClasses, load_omniglot

# One thread, here and in the commands that tests start: tiny products gain nothing from a second one, and lose minutes
# to it where the cores are busy.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's cache folder."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MANN_CACHE", str(folder))
    return folder


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
def omniglot_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache folder that the tests with the real Omniglot share, for speed."""
    return tmp_path_factory.mktemp("omniglot-cache")


@pytest.fixture(scope="session")
def omniglot(omniglot_root: Path, omniglot_cache: Path) -> ImageClasses:
    """Return the real Omniglot at 20x20, read once per test session."""
    return load_omniglot(omniglot_root, cache=omniglot_cache)
