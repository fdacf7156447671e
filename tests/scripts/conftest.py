"""Running the commands: in this process, as a person would see them."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy
import pytest
from PIL import Image

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
TINY = (
    "--size 8 --rotations --classes 2 --labels one-hot --presentations 2 --counting exact --hidden-size 8 --slots 6 "
    "--word-size 4 --scheme.usage-decay 0.99 --batch 2 --episodes 16 --seed 0"
)
"""Options of a training of 8 steps."""


class Ended(NamedTuple):
    """How a command ended: its exit status, standard output and standard error."""

    status: int
    output: str
    errors: str


Command = Callable[..., Ended]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Return what imports a script by name."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


@pytest.fixture
def command(
    script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Command:
    """Return what runs a command, such as command("train", "strokes", "--episodes", 16)."""

    def run(name: str, *arguments: object) -> Ended:
        main, one_line_errors = script(name).main, script("commands").one_line_errors
        monkeypatch.delenv("FORCE_COLOR", raising=False)  # rich would take it for a terminal
        monkeypatch.setattr("sys.argv", [f"scripts/{name}.py", *map(str, arguments)])
        capsys.readouterr()
        try:
            with one_line_errors():
                status = main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code or 0
        assert isinstance(status, int)
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return run


@pytest.fixture
def refused(command: Command) -> Callable[..., str]:
    """Return what runs a command that has to fail in one line with status 2, and returns the line."""

    def run(*arguments: object) -> str:
        status, output, errors = command(*arguments)
        assert (status, output) == (2, "")
        assert errors.startswith("error: ")
        assert errors.count("\n") == 1 and errors.endswith("\n")
        assert "Traceback" not in errors
        return errors.removeprefix("error: ").strip()

    return run


@pytest.fixture(scope="session")
def of_noise(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int, int], Path]:
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
def letters(of_noise: Callable[[str, int, int], Path]) -> Path:
    """Return a folder of 30 classes of 4 images: 21 to train on, 3 to validate with, 6 to test on."""
    return of_noise("letter", 30, 4)


@pytest.fixture
def tiny(letters: Path) -> list[object]:
    """Return the arguments of a tiny training, but for --run."""
    return ["train", "folder", "--root", letters, *TINY.split()]
