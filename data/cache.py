"""Packed images on disk, so that the second start reads one file instead of thousands.

A packed file is a copy that can be built again at any time: it is checked when it is read, built
again when anything about it is wrong, and never the reason for a failure.
"""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data.classes import ImageClasses
from data.errors import InputError
from data.parsing import parse_json

# Part of every file name: raise it when the way images are prepared changes, so that files packed
# the old way are no longer found.
PACKING = 1


def cache_folder() -> Path:
    """Return the folder for downloads and packed images: $MANN_CACHE, or the user's cache."""
    return Path(os.environ.get("MANN_CACHE") or platformdirs.user_cache_dir("mann"))


def packed(key: str, build: Callable[[], ImageClasses], folder: Path | None = None) -> ImageClasses:
    """Return the classes packed under `key`; build and pack them where they are not there yet.

    Args:
        key: Names the content completely (data set, size, digest of the source); part of a file
            name.
        build: Makes the classes, on the CPU; what it raises is passed on and nothing is kept.
        folder: Where packed files are; `cache_folder()` when None.

    Several processes may do this at once: each writes a file of its own and renames it into
    place, so that a reader sees a whole file or none. A folder that cannot be written to costs a
    warning and the time of building.
    """
    folder = cache_folder() if folder is None else folder
    path = folder / f"{key}-packing{PACKING}.safetensors"
    found = _read(path)
    if found is not None:
        return found
    classes = build()
    try:
        _write(path, classes)
    except (OSError, SafetensorError) as error:
        warnings.warn(f"packed images are not kept in {folder}: {error}", stacklevel=2)
    return classes


def source_digest(*sources: Path) -> str:
    """Return a digest (64 hexadecimal digits) that changes when a source changes.

    A file counts by its content; a folder, which may hold tens of thousands of files, by the
    sorted relative paths, sizes and modification times of the files below it.

    Raises:
        InputError: a source cannot be read.
    """
    digest = hashlib.sha256()
    for source in sources:
        try:
            digest.update(_folder_digest(source) if source.is_dir() else _file_digest(source))
        except OSError as error:
            raise InputError(
                f"{error.filename or source} cannot be read ({error.strerror}): check that it is there and may be read"
            ) from error
    return digest.hexdigest()


def _file_digest(path: Path) -> bytes:
    """Return the SHA-256 of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _folder_digest(folder: Path) -> bytes:
    """Return the SHA-256 of the sorted (relative path, size, modification time) below a folder."""
    entries = []
    for parent, _, files in os.walk(folder):
        for file in files:
            path = os.path.join(parent, file)
            status = os.stat(path)
            entries.append((os.path.relpath(path, folder), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(sorted(entries)).encode()).digest()


def _checksum(classes: ImageClasses) -> str:
    """Return the SHA-256 of images, counts and names."""
    digest = hashlib.sha256(json.dumps(classes.names).encode())
    digest.update(classes.counts.numpy().tobytes())
    digest.update(classes.images.contiguous().numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> ImageClasses | None:
    """Return the classes packed in `path`, or None where there is no such file or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            # Cloned: the tensors of the file are mapped, and would change with it.
            images, counts = file.get_tensor("images").clone(), file.get_tensor("counts").clone()
        classes = ImageClasses(images, counts, tuple(parse_json(metadata["names"])))
        return classes if metadata["checksum"] == _checksum(classes) else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _write(path: Path, classes: ImageClasses) -> None:
    """Write the classes to `path` by way of a temporary file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".packing-") as workplace:
        complete = Path(workplace) / path.name
        save_file(
            {"images": classes.images.contiguous(), "counts": classes.counts},
            complete,
            metadata={"names": json.dumps(classes.names), "checksum": _checksum(classes)},
        )
        os.replace(complete, path)
