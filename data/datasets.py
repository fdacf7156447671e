"""The data sets by name: their loaders and their splits."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from data.classes import ImageClasses
from data.errors import InputError
from data.folder import load_folder
from data.omniglot import load_omniglot
from data.splits import Split, hashed_split, read_split
from data.strokes import load_strokes


class DataSet(NamedTuple):
    """The loader and the splits of one data set.

    Attributes:
        load: Function of (root, size) that returns all classes.
        splits: Names of the splits made for it, the default first; if there are none, the classes are split by
            `hashed_split`.
    """

    load: Callable[[Path | None, int], ImageClasses]
    splits: tuple[str, ...]


def _load_strokes(root: Path | None, size: int) -> ImageClasses:
    """Draw the built-in characters, which need no folder."""
    if root is not None:
        raise InputError(f"strokes are drawn, not read from {root}: leave `root` out")
    return load_strokes(size)


def _load_folder(root: Path | None, size: int) -> ImageClasses:
    """Load a folder, which is required."""
    if root is None:
        raise InputError("no folder given: name the one that holds a folder per class with `root`")
    return load_folder(root, size)


DATASETS: Final[Mapping[str, DataSet]] = {
    "omniglot": DataSet(load_omniglot, ("omniglot-1200-423", "omniglot-background")),
    "strokes": DataSet(_load_strokes, ("strokes",)),
    "folder": DataSet(_load_folder, ()),
}
"""The data sets by name."""


def load(dataset: str, root: Path | None, size: int, split: str | Split | None) -> tuple[ImageClasses, Split]:
    """Load all classes of a data set and the split to use.

    >>> classes, split = load("strokes", root=None, size=20, split=None)
    >>> classes.images.shape
    torch.Size([1200, 20, 20, 20])
    >>> len(split.train), len(split.validation), len(split.test)
    (1000, 100, 100)
    >>> test_classes = classes.select(split.test)

    Args:
        dataset: One of `DATASETS`.
        root: Folder of its files; see the loader of the data set.
        size: Side of the images in pixels.
        split: A split, or its name or path (see `read_split`); None: the default of the data set.

    Returns:
        All classes, and the split, whose names are all among them.

    Raises:
        InputError: The data set is unknown, its loader or `read_split` raises this error, or the split names a class
            that the data set does not have.
    """
    if dataset not in DATASETS:
        raise InputError(f"no data set is named {dataset!r}: use one of {', '.join(DATASETS)}")
    splits = DATASETS[dataset].splits
    chosen = split if split is not None else next(iter(splits), None)
    parts = read_split(chosen) if isinstance(chosen, str) else chosen
    classes = DATASETS[dataset].load(root, size)
    if parts is None:
        return classes, hashed_split(classes.names)
    known = set(classes.names)
    unknown = [name for part in parts for name in part if name not in known]
    if unknown:
        name = chosen if isinstance(chosen, str) else "of the run"
        raise InputError(
            f"split {name} names {len(unknown)} classes that {dataset} does not have, such as "
            f"{unknown[0]!r}: use a split made for it" + (f", such as {', '.join(splits)}" if splits else "")
        )
    return classes, parts
