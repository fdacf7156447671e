"""Packed images on disk, so that the second start reads one file instead of thousands.

A packed file is a copy that can be built again at any time: it is verified when it is read, rebuilt when anything about
it is wrong, and never the reason for a failure.
"""

import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from data.classes import ImageClasses
from data.errors import InputError
from data.parsing import parse_json

# Part of every file name: raise it when the preparation of images changes, so that older files are no longer found.
PACKING: Final = 1


def cache_folder() -> Path:
    """Return the folder for downloads and packed images: $MANN_CACHE, or the user's cache."""
    return Path(os.environ.get("MANN_CACHE") or platformdirs.user_cache_dir("mann"))


def packed(key: str, build: Callable[[], ImageClasses], folder: Path | None = None) -> ImageClasses:
    """Return the classes packed under `key`; build and pack them if there are none.

    Args:
        key: Identifies the content completely (data set, size, digest of the source); part of a file name.
        build: Returns the classes, on the CPU. If it raises an error, the error is passed on and no file is written.
        folder: Folder of the packed files; None: `cache_folder()`.

    Several processes may call this at once: each writes a file of its own and renames it into place, so that a reader
    finds a whole file or none. If the folder cannot be written to, there is a warning, and the classes are built again
    at the next start.
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

    The digest of a file is that of its content. The digest of a folder, which may hold tens of thousands of files, is
    that of the sorted relative paths, sizes and modification times of the files below it.

    Raises:
        InputError: A source cannot be read.
    """
    digest = hashlib.sha256()
    for source in sources:
        try:
            digest.update(_folder_digest(source) if source.is_dir() else _file_digest(source))
        except OSError as error:
            raise InputError(
                f"{error.filename or source} cannot be read ({error.strerror}): check that it exists and is readable"
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
    """Return the classes packed in `path`, or None if there is no such file or it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            # Cloned: the tensors are mapped from the file and would change if it did.
            images, counts = file.get_tensor("images").clone(), file.get_tensor("counts").clone()
        classes = ImageClasses(images, counts, tuple(parse_json(metadata["names"])))
        # The file format detects a truncated file; only a checksum detects a changed byte.
        return classes if metadata["checksum"] == _checksum(classes) else None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None


def _write(path: Path, classes: ImageClasses) -> None:
    """Write the classes to a temporary file, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, and so on the same file system, as the rename has to be atomic.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".packing-") as folder:
        complete = Path(folder) / path.name
        save_file(
            {"images": classes.images.contiguous(), "counts": classes.counts},
            complete,
            metadata={"names": json.dumps(classes.names), "checksum": _checksum(classes)},
        )
        os.replace(complete, path)
