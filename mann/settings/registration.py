"""Addressing schemes from outside the package, known by their names like the built-in ones.

    register_scheme(Hopfield)                a class, such as one of a notebook
    load_scheme("hopfield.py:Hopfield")      a class in a file

Afterwards settings, the command line and the comparisons accept the name. A run keeps the name alone: whoever reads the
run loads the file first. So nobody's run folder can make another's Python run code.
"""

import copyreg
import importlib.util
import inspect
import re
import sys
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from data import InputError
from mann.addressing import SCHEMES, Scheme

_REFERENCE: Final = re.compile(r"(?P<file>.+\.py):(?P<name>\w+)")
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

Kind = TypeVar("Kind", bound=type[Scheme])


def is_reference(text: str) -> bool:
    """Return whether a text names a class in a file.

    >>> is_reference("memories/hopfield.py:Hopfield"), is_reference("lrua")
    (True, False)
    """
    return _REFERENCE.fullmatch(text) is not None


def register_scheme(kind: Kind) -> Kind:
    """Make a scheme known by its `name`; returns the class, so that it may stand above a class as a decorator.

    The class is a frozen dataclass that derives from `Scheme`, with a default for each field, and with the field
    `name: Literal["my-name"] = field(default="my-name", repr=False, kw_only=True)`. docs/own-memory.md has an example.

    Raises:
        InputError: It is not, or another class has the name.
    """
    found = getattr(kind, "__name__", repr(kind))
    if not (isinstance(kind, type) and issubclass(kind, Scheme)):
        raise InputError(f"{found} does not derive from mann.addressing.Scheme")
    if not is_dataclass(kind) or "__dataclass_params__" not in vars(kind) or not kind.__dataclass_params__.frozen:  # pyright: ignore[reportAttributeAccessIssue]
        raise InputError(f"{found} is no frozen dataclass: put @dataclass(frozen=True) above the class")
    if missing := sorted(kind.__abstractmethods__):
        raise InputError(f"{found} lacks the methods {', '.join(missing)}")
    if without := [entry.name for entry in fields(kind) if entry.default is entry.default_factory is MISSING]:
        raise InputError(f"{found} has fields without a default: {', '.join(without)}")
    name: Any = kind.name
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise InputError(f"the name of {found} is {name!r}: use small letters, digits and hyphens")
    other = SCHEMES.get(name)
    if other is not None and _place(other) != _place(kind):
        raise InputError(f"the name of {found}, {name}, is that of another scheme, {_place(other)}: use another one")
    SCHEMES[name] = kind
    return kind


def load_scheme(reference: str) -> type[Scheme]:
    """Run a file, and register a class in it as a scheme.

    Args:
        reference: FILE.py:CLASS, the file relative to the current folder.

    Raises:
        InputError: There is no such file or class, the file cannot be run, or the class is no scheme.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise InputError(f"{reference!r} names no class in a file: use FILE.py:CLASS, such as hopfield.py:Hopfield")
    file, name = Path(match["file"]).expanduser(), match["name"]
    if not file.is_file():
        raise InputError(f"{file} is not there: {reference} names a scheme by its file and class")
    module = _module(file.resolve())
    kind = getattr(module, name, None)
    if not isinstance(kind, type):
        classes = [found for found, value in vars(module).items() if _is_own_scheme(value, module)]
        raise InputError(f"{file} has no class {name}; its schemes: {', '.join(classes) or 'none'}")
    register_scheme(kind)
    # Other processes, such as those of a comparison, load the file when they receive a scheme of it.
    copyreg.pickle(kind, lambda scheme: (_loaded, (reference, _values(scheme))))  # pyright: ignore[reportArgumentType]
    return kind


def _values(scheme: Scheme) -> dict[str, Any]:
    """Return the fields of a scheme by name."""
    return {entry.name: getattr(scheme, entry.name) for entry in fields(scheme)}


def _loaded(reference: str, values: dict[str, Any]) -> Scheme:
    """Return a scheme of a file; see `load_scheme`."""
    return load_scheme(reference)(**values)


@cache
def _module(file: Path) -> ModuleType:
    """Return the module of a file, which is run once in a process.

    Raises:
        InputError: It cannot be run.
    """
    # By its whole path: files of one name may stand in several folders.
    name = "mann_own_" + re.sub(r"\W", "_", str(file.with_suffix("")))
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up annotations there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        said = str(error).strip().partition("\n")[0]
        raise InputError(f"{file} cannot be run: {type(error).__name__}: {said}") from error
    return module


def _is_own_scheme(value: object, module: ModuleType) -> bool:
    """Return whether a value of a module is a scheme that the module itself defines."""
    return inspect.isclass(value) and issubclass(value, Scheme) and value.__module__ == module.__name__


def _place(kind: type) -> str:
    """Return where a class is defined."""
    return f"{kind.__module__}.{kind.__qualname__}"
