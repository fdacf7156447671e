"""Files with any content: each is read, or refused with an `InputError`.

`TARGETS` are the parsers that are ours, with whole files to start from. The tests feed them a few damaged ones; the
command hands them to atheris, which makes a million and follows what they reach in the code.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import numpy
import torch
from PIL import Image

from data import ImageClasses, InputError, cache, omniglot
from data.splits import split_from_json
from episodes import TASKS
from mann.benchmark.cells import result_from_json
from mann.estimator.one_shot import OneShotClassifier
from mann.models.classifier import build_classifier
from mann.reporting.evaluation_file import evaluation_from_json
from mann.runs import run as runs
from mann.runs.run import Checkpoint, Run, metrics_from_lines, read_checkpoint
from mann.settings.schema import Config, config_from_json, config_json, preset


class Target(NamedTuple):
    """A parser.

    Attributes:
        parse: Reads the content of a file; may raise nothing but `InputError`.
        whole: Contents that it reads.
        share: How many of a hundred inputs it gets.
    """

    parse: Callable[[bytes], object]
    whole: Callable[[], list[bytes]]
    share: int


def _file(read: Callable[[Path], object], name: str) -> Callable[[bytes], object]:
    """Return a parser of contents from one that wants a file of that name."""

    def parse(content: bytes) -> object:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / name
            path.write_bytes(content)
            return read(path)

    return parse


def _written(write: Callable[[Path], object]) -> bytes:
    """Return the content of the file that something writes."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "file"
        write(path)
        return path.read_bytes()


def _configs() -> list[bytes]:
    """Return settings of data sets and tasks."""
    return [config_json(preset(name)).encode() for name in ("strokes", *TASKS)]


def _splits() -> list[bytes]:
    """Return a split."""
    return [b'{"train": ["a", "b"], "validation": ["c"], "test": ["d"], "description": "mine"}']


def _metrics() -> list[bytes]:
    """Return lines of a classification and of a task."""
    start = b'{"step": 1, "episodes": 16, "seconds": 0.5, "learning_rate": 0.001, "loss": 0.69, '
    return [
        start
        + b'"accuracy": {"1": 0.2, "2": null}, "validation": {"1": 0.25}}\n{"step": 2, "episodes": 32, "seconds": 1}\n',
        start + b'"bits_per_sequence": 3.5, "skipped": 1, "validation": {"bit_error_rate": 1e-3}}\n{"step": 2,',
    ]


def _results() -> list[bytes]:
    """Return the result of a cell."""
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
    """Read an evaluation as that of a task, unless it says that it is of a classification."""
    name = "strokes" if b'"classification"' in content else "regression"
    return evaluation_from_json(content, "evaluation.json", preset(name))


_HALF = "images_background"


def _drawing() -> bytes:
    """Return a drawing: a PNG."""
    file = BytesIO()
    Image.fromarray(numpy.arange(105 * 105).reshape(105, 105) % 2 == 0).save(file, "PNG")
    return file.getvalue()


def _archives() -> list[bytes]:
    """Return archives of two drawings of a character, packed and not."""
    contents = []
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        file = BytesIO()
        with zipfile.ZipFile(file, "w", packing) as archive:
            for number in (1, 2):
                archive.writestr(f"{_HALF}/A/character01/0001_0{number}.png", _drawing())
        contents.append(file.getvalue())
    return contents


def _read_archive(path: Path) -> object:
    """Read an archive that has to hold two drawings of a character."""
    with mock.patch.multiple(omniglot, HALVES={_HALF: 1}, DRAWINGS=2):
        return list(omniglot._read_half(_HALF, path, 20))


def _packed() -> list[bytes]:
    """Return a file of the cache."""
    classes = ImageClasses(torch.full((2, 1, 2, 2), 7, dtype=torch.uint8), torch.tensor([1, 1]), ("a", "b"))
    return [_written(lambda path: cache._write(path, classes))]


def _checkpoints() -> list[bytes]:
    """Return the file beside the weights of a checkpoint."""
    weights = {"weight": torch.ones(2)}
    training = {"optimizer": {"state": {0: torch.ones(2)}}, "sums": {"steps": 3}, "seconds": 1.5}

    def write(path: Path) -> None:
        folder = runs._store(Checkpoint(1, preset("copy"), weights, training), path.parent)
        (folder / "training.pt").rename(path)

    return [_written(write)]


def _read_checkpoint(path: Path) -> object:
    """Read a checkpoint with this file beside its weights."""
    Path(path.with_name("weights.safetensors")).write_bytes(runs.safetensors({"weight": torch.ones(2)}))
    return read_checkpoint(path.parent)


def _classifiers() -> list[bytes]:
    """Return a saved classifier of a few weights."""
    config = replace(Config("strokes"), size=8, classes=2, hidden_size=2, slots=3, word_size=2)
    with tempfile.TemporaryDirectory() as place:
        run = Run(Path(place))
        run.start(config, None, {})
        run.save(Checkpoint(1, config, build_classifier(config).state_dict(), {}))
        classifier = OneShotClassifier(place).fit(numpy.eye(8)[None], ["one"])
    return [_written(classifier.save)]


TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        "config": Target(lambda content: config_from_json(content, "config.json"), _configs, 25),
        "split": Target(lambda content: split_from_json(content, "split.json"), _splits, 10),
        "metrics": Target(lambda content: metrics_from_lines(content, "metrics.jsonl"), _metrics, 25),
        "result": Target(lambda content: result_from_json(content, "cell.json"), _results, 10),
        "evaluation": Target(_read_evaluation, _evaluations, 10),
        "archive": Target(_file(_read_archive, f"{_HALF}.zip"), _archives, 10),
        "drawing": Target(lambda content: omniglot._decoded(content, "drawing", 20), lambda: [_drawing()], 4),
        "packed": Target(_file(cache._read, "packed.safetensors"), _packed, 4),
        "checkpoint": Target(_file(_read_checkpoint, "training.pt"), _checkpoints, 1),
        "classifier": Target(_file(OneShotClassifier.load, "classifier.safetensors"), _classifiers, 1),
    }
)
"""The parsers by name."""


def parse(name: str, content: bytes) -> None:
    """Let a parser read a content; what it has not declared to raise comes through."""
    with suppress(InputError):
        TARGETS[name].parse(content)


# The code is instrumented while it is imported, so atheris comes first.
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


def endure_fuzzing(count: int, folder: Path, report: Callable[[int], None]) -> dict[str, Any]:
    """Give the parsers `count` contents in all; returns how many each had, and what it raised undeclared.

    Args:
        count: At least 100.
        folder: Where contents are kept while they are worked with.
        report: Called with the contents done.

    Raises:
        InputError: atheris is not installed.
    """
    if importlib.util.find_spec("atheris") is None:
        raise InputError("this needs the package atheris: pip install 'mann[fuzz]'")
    found, done = {}, 0
    for name, target in TARGETS.items():
        runs = count * target.share // 100
        found[name] = _fuzzed(name, target, runs, folder / name)
        done += runs
        report(done)
    return {"inputs": sum(result["inputs"] for result in found.values()), "parsers": found}


def _fuzzed(name: str, target: Target, count: int, folder: Path) -> dict[str, Any]:
    """Let atheris work on one parser in a process of its own."""
    folder.mkdir(parents=True)
    for place, content in enumerate(target.whole()):
        (folder / f"whole{place}").write_bytes(content)
    limits = [f"-runs={count}", "-seed=1", "-max_len=65536", "-timeout=60", "-rss_limit_mb=4096"]
    ended = subprocess.run(
        [sys.executable, "-c", _DRIVER, name, *limits, f"-artifact_prefix={folder}/", str(folder)],
        capture_output=True,
        text=True,
        errors="replace",
    )
    counted = re.search(r"Done (\d+) runs in (\d+) second", ended.stderr)
    covered = re.findall(r" cov: (\d+) ", ended.stderr)
    said = ended.stdout.splitlines() + ended.stderr.splitlines()
    crash = "" if ended.returncode == 0 and counted else "\n".join(said[-60:])
    return {
        "inputs": int(counted[1]) if counted else 0,
        "seconds": int(counted[2]) if counted else 0,
        "places_reached": int(covered[-1]) if covered else 0,
        "kept": len(list(folder.iterdir())),
        "crash": crash,
    }
