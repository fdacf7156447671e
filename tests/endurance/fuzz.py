"""Files with any content: each is read, or refused with an `InputError`.

`TARGETS` are the parsers of this project, with valid files to start from. The tests pass them a few damaged ones; the
command passes them to atheris, which makes a million and is guided by the code that they reach.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import numpy
import safetensors.torch
import torch
from PIL import Image

from data import ImageClasses, InputError, load_omniglot, omniglot
from data.cache import PACKING, packed
from data.splits import split_from_json
from episodes import TASKS
from mann.benchmark.cells import result_from_json
from mann.benchmark.schemes import GoalResult
from mann.estimator.one_shot import OneShotClassifier
from mann.models.building import build_model
from mann.reporting.evaluation_file import evaluation_from_json
from mann.runs import Checkpoint, Run, read_checkpoint
from mann.runs.metrics import metrics_from_lines
from mann.settings import config_from_json, config_json, preset
from tests.endurance import OnProgress


class Target(NamedTuple):
    """A parser.

    Attributes:
        parse: Reads the content of a file; may raise nothing but `InputError`.
        valid: Returns contents that it accepts.
        share: How many of a hundred inputs it receives.
    """

    parse: Callable[[bytes], object]
    valid: Callable[[], list[bytes]]
    share: int


def _file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    """Return a parser of contents, given one of files; `name` is the path of the file in a folder of its own."""

    def parse(content: bytes) -> object:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            return read(path)

    return parse


def _configs() -> list[bytes]:
    """Return settings of data sets and tasks."""
    return [config_json(preset(name)).encode() for name in ("strokes", *TASKS)]


def _splits() -> list[bytes]:
    """Return a split."""
    return [b'{"train": ["a", "b"], "validation": ["c"], "test": ["d"], "description": "mine"}']


def _metrics() -> list[bytes]:
    """Return lines of a classification and of a task, the last one torn."""
    start = b'{"step": 1, "episodes": 16, "seconds": 0.5, "learning_rate": 0.001, "loss": 0.69, '
    return [
        start
        + b'"accuracy": {"1": 0.2, "2": null}, "validation": {"1": 0.25}}\n{"step": 2, "episodes": 32, "seconds": 1}\n',
        start + b'"bits_per_sequence": 3.5, "skipped": 1, "validation": {"bit_error_rate": 1e-3}}\n{"step": 2,',
    ]


def _results() -> list[bytes]:
    """Return the result of a cell of a comparison."""
    return [
        b'{"folder": "copy-ntm-0", "settings": {"task": "copy"}, "parameters": 10, "peak_memory_mib": 1.5, '
        b'"episodes_to_goal": null, "success": true, "score": 0.5, "milliseconds_a_step": null, "seconds": 2.5, '
        b'"environment": {"threads": 1}}'
    ]


def _evaluations() -> list[bytes]:
    """Return evaluations of a classification and of a task."""
    history = b'"training": {"seed": 0}, "environment": {"threads": 1}}'
    interval = b'"low": 0.25, "high": 0.5, "observations": 10'
    return [
        b'{"task": "classification", "dataset": "strokes", "split": "test", "episodes": 2, "classes": 5, '
        b'"labels": "one-hot", "instances": [{"instance": 1, "accuracy": 0.5, ' + interval + b"}], " + history,
        b'{"task": "regression", "sequences": 2, "results": [{"setting": {}, "nats_per_sequence": 2, '
        b'"squared_error": 0.5, "intervals": {"nats_per_sequence": [1, 2.5], "squared_error": [0, 1]}, '
        b'"references": {"posterior": {"cost": -1, "above": 0.5, "interval": [0.25, 1]}}}], ' + history,
    ]


def _read_evaluation(content: bytes) -> object:
    """Read the evaluation of a task, or of a classification where the content contains that word."""
    name = "strokes" if b'"classification"' in content else "regression"
    return evaluation_from_json(content, "evaluation.json", preset(name))


_HALF = "images_background"


def _image() -> bytes:
    """Return an image of a character: a PNG."""
    file = BytesIO()
    Image.fromarray(numpy.arange(105 * 105).reshape(105, 105) % 2 == 0).save(file, "PNG")
    return file.getvalue()


def _archives() -> list[bytes]:
    """Return archives of two images of a character, stored and compressed."""
    contents = []
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for number in (1, 2):
                archive.writestr(f"{_HALF}/A/character01/0001_0{number}.png", _image())
        contents.append(file.getvalue())
    return contents


def _read_omniglot(root: Path, samples: int) -> object:
    """Read an Omniglot of one character."""
    with mock.patch.multiple(omniglot, HALVES={_HALF: 1}, SAMPLES=samples):
        return load_omniglot(root, cache=root / "cache")


def _unpack(path: Path) -> ImageClasses:
    """Return the classes of a packed file; raises `InputError` where they would be packed again."""

    def build() -> ImageClasses:
        raise InputError("the packed file is damaged")

    return packed("key", build, path.parent)


_PACKED = f"key-packing{PACKING}.safetensors"


def _packed_files() -> list[bytes]:
    """Return a file of the cache."""
    classes = ImageClasses(torch.full((2, 1, 2, 2), 7, dtype=torch.uint8), torch.tensor([1, 1]), ("a", "b"))
    with tempfile.TemporaryDirectory() as folder:
        packed("key", lambda: classes, Path(folder))
        return [(Path(folder) / _PACKED).read_bytes()]


def _checkpoints() -> list[bytes]:
    """Return the file that is stored beside the weights of a checkpoint."""
    training = {"optimizer": {"state": {0: torch.ones(2)}}, "sums": {"steps": 3}, "seconds": 1.5}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        run.start(preset("copy"), None, {})
        run.save(Checkpoint(1, preset("copy"), {"weight": torch.ones(2)}, training))
        return [path.read_bytes() for path in run.checkpoints.glob("*/training.pt")]


def _read_checkpoint(path: Path) -> object:
    """Read a checkpoint with this file beside its weights."""
    safetensors.torch.save_file({"weight": torch.ones(2)}, path.with_name("weights.safetensors"))
    return read_checkpoint(path.parent)


def _classifiers() -> list[bytes]:
    """Return a saved classifier of a few weights."""
    config = preset("strokes", size=8, classes=2, hidden_size=2, slots=3, word_size=2)
    split = split_from_json(_splits()[0], "split.json")
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder))
        run.start(config, split, {})
        run.save(Checkpoint(1, config, build_model(config).state_dict(), {}))
        path = Path(folder) / "classifier.safetensors"
        OneShotClassifier(folder).fit(numpy.eye(8)[None], ["one"]).save(path)
        return [path.read_bytes()]


_CHARACTER = f"{_HALF}/A/character01/0001_01.png"

TARGETS: Final[Mapping[str, Target]] = {
    "config": Target(lambda content: config_from_json(content, "config.json"), _configs, 25),
    "split": Target(lambda content: split_from_json(content, "split.json"), _splits, 10),
    "metrics": Target(lambda content: metrics_from_lines(content, "metrics.jsonl"), _metrics, 25),
    "result": Target(lambda content: result_from_json(content, "cell.json", GoalResult), _results, 10),
    "evaluation": Target(_read_evaluation, _evaluations, 10),
    "archive": Target(_file(lambda path: _read_omniglot(path.parent, 2), f"{_HALF}.zip"), _archives, 10),
    "image": Target(_file(lambda path: _read_omniglot(path.parents[3], 1), _CHARACTER), lambda: [_image()], 4),
    "packed": Target(_file(_unpack, _PACKED), _packed_files, 4),
    "checkpoint": Target(_file(_read_checkpoint, "training.pt"), _checkpoints, 1),
    "classifier": Target(_file(OneShotClassifier.load, "classifier.safetensors"), _classifiers, 1),
}
"""The parsers by name."""


def parse(name: str, content: bytes) -> None:
    """Pass a content to a parser; any exception but the declared `InputError` is raised."""
    with suppress(InputError):
        TARGETS[name].parse(content)


# Modules are instrumented while they are imported, so atheris is imported first.
_DRIVER = """
import sys, warnings
import atheris
import numpy, torch, PIL.Image, safetensors.torch, sklearn.base, tyro
with atheris.instrument_imports(include=["data", "episodes", "mann", "zipfile"]):
    from tests.endurance.fuzz import parse
warnings.simplefilter("error")
name = sys.argv.pop(1)
atheris.Setup(sys.argv, lambda content: parse(name, content))
atheris.Fuzz()
"""


def endure_fuzzing(count: int, folder: Path, progress: OnProgress) -> dict[str, Any]:
    """Pass the parsers `count` contents in all; returns how many each received, and its undeclared exceptions.

    Args:
        count: At least 100.
        folder: Where the contents are stored meanwhile.
        progress: Receives the number of contents so far.

    Raises:
        InputError: atheris is not installed.
    """
    if importlib.util.find_spec("atheris") is None:
        raise InputError("this needs the package atheris: pip install 'mann[fuzz]'")
    found, done = {}, 0
    for name, target in TARGETS.items():
        runs = count * target.share // 100
        found[name] = _fuzz(name, target, runs, folder / name)
        done += runs
        progress(done)
    return {"inputs": sum(result["inputs"] for result in found.values()), "parsers": found}


def _fuzz(name: str, target: Target, count: int, folder: Path) -> dict[str, Any]:
    """Let atheris work on one parser in a process of its own."""
    folder.mkdir(parents=True)
    for number, content in enumerate(target.valid()):
        (folder / f"valid{number}").write_bytes(content)
    limits = [f"-runs={count}", "-seed=1", "-max_len=65536", "-timeout=60", "-rss_limit_mb=4096"]
    ended = subprocess.run(
        [sys.executable, "-c", _DRIVER, name, *limits, f"-artifact_prefix={folder}/", str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    counted = re.search(r"Done (\d+) runs in (\d+) second", ended.stderr)
    covered = re.findall(r" cov: (\d+) ", ended.stderr)
    printed = ended.stdout.splitlines() + ended.stderr.splitlines()
    crash = "" if ended.returncode == 0 and counted else "\n".join(printed[-60:])
    return {
        "inputs": int(counted[1]) if counted else 0,
        "seconds": int(counted[2]) if counted else 0,
        "places_reached": int(covered[-1]) if covered else 0,
        "kept": len(list(folder.iterdir())),
        "crash": crash,
    }
