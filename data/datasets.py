"""The data sets by name: how each is loaded and which splits go with it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from data.classes import ImageClasses
from data.errors import InputError
from data.folder import load_folder
from data.omniglot import load_omniglot
from data.splits import Split, hashed_split, read_split
from data.strokes import load_strokes


class DataSet(NamedTuple):
    """How one data set is loaded and split.

    Attributes:
        load: Takes (root, size) and returns all classes.
        splits: Names of the splits made for it, the default first; none means that its classes
            are split by `hashed_split`.
    """

    load: Callable[[Path | None, int], ImageClasses]
    splits: tuple[str, ...]


def _load_strokes(root: Path | None, size: int) -> ImageClasses:
    """Draw the built-in characters; they come from no folder."""
    if root is not None:
        raise InputError(f"strokes are drawn, not read from {root}: leave --root out")
    return load_strokes(size)


def _load_folder(root: Path | None, size: int) -> ImageClasses:
    """Load a folder of one's own, which has to be named."""
    if root is None:
        raise InputError("no folder given: name the one that holds a folder per class with --root")
    return load_folder(root, size)


DATASETS: Mapping[str, DataSet] = MappingProxyType(
    {
        "omniglot": DataSet(load_omniglot, ("omniglot-1200-423", "omniglot-background")),
        "strokes": DataSet(_load_strokes, ("strokes",)),
        "folder": DataSet(_load_folder, ()),
    }
)


def load(dataset: str, root: Path | None, size: int, split: str | None) -> tuple[ImageClasses, Split]:
    """Load all classes of a data set and the split to use.

    Args:
        dataset: One of `DATASETS`.
        root: Where its files are; see the loader of the data set.
        size: Side of the images in pixels.
        split: Name or path of a split (see `read_split`); None for the data set's own.

    Returns:
        All classes, and the split, whose names are all among them.

    Raises:
        InputError: an unknown data set, anything its loader or `read_split` refuses, or a split
            with a class that the data set does not have.
    """
    if dataset not in DATASETS:
        raise InputError(f"no data set is named {dataset!r}: use one of {', '.join(DATASETS)}")
    own_splits = DATASETS[dataset].splits
    chosen = split if split is not None else next(iter(own_splits), None)
    parts = read_split(chosen) if chosen is not None else None
    classes = DATASETS[dataset].load(root, size)
    if parts is None:
        return classes, hashed_split(classes.names)
    known = set(classes.names)
    absent = [name for part in parts for name in part if name not in known]
    if absent:
        raise InputError(
            f"split {chosen} names {len(absent)} classes that {dataset} does not have, such as "
            f"{absent[0]!r}: use a split made for it" + (f", such as {', '.join(own_splits)}" if own_splits else "")
        )
    return classes, parts
