"""Fixtures for the tests of the commands: a way to run them, and tiny runs that tests share."""

from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from PIL import Image

from tests.scripts.running import TINY, Command, Refused, copied, run_command


@pytest.fixture
def command() -> Command:
    """Return what runs a command."""
    return run_command


@pytest.fixture
def refused() -> Refused:
    """Return what runs a command that has to fail in one line with status 2, and returns the line."""

    def run(*arguments: object) -> str:
        status, output, errors = run_command(*map(str, arguments))
        assert (status, output) == (2, "")
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1 and errors.endswith("\n")
        assert "Traceback" not in errors
        return errors.removeprefix("error: ").strip()

    return run


@pytest.fixture(scope="session")
def noise_images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Path]:
    """Return a function that makes a folder of so many classes of so many images of noise."""

    def make(name: str, classes: int, images: int) -> Path:
        root = tmp_path_factory.mktemp(name)
        rng = numpy.random.default_rng(0)
        for number in range(classes):
            (root / f"{name}{number:02d}").mkdir()
            for image in range(images):
                pixels = rng.integers(256, size=(8, 8), dtype=numpy.uint8)
                Image.fromarray(pixels).save(root / f"{name}{number:02d}" / f"{image}.png")
        return root

    return make


@pytest.fixture(scope="session")
def letters(noise_images: Callable[[str, int, int], Path]) -> Path:
    """Return a folder of 30 classes of 4 images: 21 to train on, 3 to validate with, 6 to test on."""
    return noise_images("letter", 30, 4)


@pytest.fixture
def tiny(letters: Path) -> list[object]:
    """Return the arguments of a tiny training, but for --run."""
    return ["train", "folder", "--root", letters, *TINY.split()]


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that trains with some arguments, once a session; the run it returns is not to be changed."""
    found: dict[tuple[str, ...], Path] = {}

    def train(*arguments: object) -> Path:
        words = tuple(map(str, arguments))
        if words not in found:
            folder = tmp_path_factory.mktemp("trained") / "run"
            ended = run_command("train", *words, "--run", folder)
            assert ended.status == 0, ended.errors
            found[words] = folder
        return found[words]

    return train


@pytest.fixture
def run(trained_once: Callable[..., Path], tiny: list[object], tmp_path: Path) -> Path:
    """Return the folder of a finished run of the tiny training, a copy for the test alone."""
    return copied(trained_once(*tiny[1:]), tmp_path / "run")
