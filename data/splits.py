"""Splits of the classes of a data set into training, validation and test classes.

A split is a committed list of class names. It depends on no shuffle, no random state and no order of directories, so
that no test class is ever trained on.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data.errors import InputError
from data.parsing import parse_json

_FOLDER = Path(__file__).with_name("splits")


class Split(NamedTuple):
    """Names of classes; no class is in two parts, and no part is empty.

    >>> Split(train=("a", "b"), validation=("c",), test=("d",)).test
    ('d',)
    >>> split = read_split("omniglot-1200-423")
    >>> len(split.train), len(split.validation), len(split.test)
    (1100, 100, 423)
    """

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_names() -> tuple[str, ...]:
    """Return the names of the built-in splits, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def read_split(name_or_path: str | Path) -> Split:
    """Read a built-in split by name, or a split in a JSON file by path.

    The file holds {"train": [...], "validation": [...], "test": [...]}, lists of class names, and may hold a
    "description". An argument that ends in .json is a path.

    Raises:
        InputError: There is no such split, or the file does not hold one.
    """
    path = Path(name_or_path)
    if path.suffix != ".json":
        if str(name_or_path) not in split_names():
            raise InputError(
                f"no split is named {str(name_or_path)!r}: use {', '.join(split_names())} or the path of a .json file"
            )
        path = _FOLDER / f"{name_or_path}.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"split {path} cannot be read: {error.strerror}") from error
    return split_from_json(content, str(path))


def split_from_json(text: str | bytes, source: str) -> Split:
    """Read a split from the text of a JSON file; `source` names the file in errors.

    Raises:
        InputError: The text is not JSON, has wrong keys or types, an empty part, or a name twice.
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise InputError(f"split {source} is no JSON file: {error}") from error
    if not isinstance(content, dict) or set(content) - {"description"} != set(Split._fields):
        found = ", ".join(sorted(content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(
            f"split {source} holds {found or 'nothing'}; "
            f"expected an object with {', '.join(Split._fields)} (and perhaps description)"
        )
    part_of: dict[str, str] = {}
    for part in Split._fields:
        names = content[part]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"split {source}: {part} must be a list of class names")
        if not names:
            raise InputError(f"split {source}: {part} is empty; every part needs a class")
        for name in names:
            if name in part_of:
                raise InputError(
                    f"split {source}: class {name!r} is in {part_of[name]} and again in {part}; list every class once"
                )
            part_of[name] = part
    return Split(*(tuple(content[part]) for part in Split._fields))


def hashed_split(names: Sequence[str]) -> Split:
    """Split any classes into about 70% training, 10% validation and 20% test.

    The classes are ranked by the SHA-256 of their names; the first 20% are test classes, the next 10% validation
    classes. The parts do not depend on the order of `names`, and one class more or less moves at most two of the
    others: one across each of the two cuts.

    Args:
        names: At least 3 class names, all different; every part gets at least one.

    Raises:
        InputError: There are fewer than 3.
    """
    if len(names) < 3:
        raise InputError(
            f"{len(names)} classes cannot be split into training, validation and test classes: at least 3 are needed"
        )
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    # Rounded in integers, so that one more class moves a cut by at most one.
    test_end = max(1, (2 * len(ranked) + 5) // 10)
    validation_end = max(test_end + 1, (3 * len(ranked) + 5) // 10)
    return Split(
        train=tuple(ranked[validation_end:]),
        validation=tuple(ranked[test_end:validation_end]),
        test=tuple(ranked[:test_end]),
    )
