"""Command lines as typed options, with one call of tyro, which also explains them on --help.

A mistake becomes an `InputError` of one line. tyro reports mistakes as data through `tyro._errors`, a private module;
in a version without it, tyro prints its own message and exits with status 2.
"""

import ast
import difflib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Final, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from data import InputError

try:
    from tyro import _errors as reported
except ImportError:
    reported = None

Options = TypeVar("Options")

_REGISTRY: Final = ConstructorRegistry()


@_REGISTRY.primitive_rule
def _none(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[None] | None:
    """Return how None is written: none, as the help texts have it; tyro alone accepts only None."""
    if kind.type is not type(None):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="none",
        instance_from_str=_read_none,
        is_instance=lambda value: value is None,
        str_from_instance=lambda _: ["none"],
    )


def _read_none(words: list[str]) -> None:
    if words[0].lower() != "none":
        raise ValueError(f"{words[0]!r} is not none")


def parse(
    options: Callable[..., Options] | Any,
    arguments: Sequence[str],
    known: Sequence[str] | None = None,
    subcommands: Mapping[str, Sequence[str]] | None = None,
    **settings: Any,
) -> Options:
    """Read typed options from a command line.

    Args:
        options: A dataclass, or any type that tyro accepts.
        arguments: The command line, without the command.
        known: The names of the options, to suggest one where another word is given; None: the fields of `options`.
        subcommands: The names of the subcommands, by the noun for them, such as "task": one of them has to come first.
        settings: Further arguments of `tyro.cli`, such as prog and description.

    Raises:
        InputError: the arguments do not fit.
    """
    known = _field_names(options) if known is None else known
    with _refusals(lambda mistake: _no_subcommand(arguments, subcommands or {}) or _message(mistake, known)):
        return tyro.cli(options, args=list(arguments), registry=_REGISTRY, **settings)


def field_docs(kind: type[Any]) -> dict[str, str]:
    """Return the docstring of each field of a dataclass, on one line.

    >>> from mann.settings import Recurrent
    >>> field_docs(Recurrent)["layers"]
    'Layers.'
    """
    return {name: doc for base in reversed(kind.__mro__) if is_dataclass(base) for name, doc in _own_docs(base).items()}


@cache
def _own_docs(kind: type[Any]) -> Mapping[str, str]:
    """Return the docstrings of the fields that a class itself declares: Python keeps them in the source alone."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    return {
        field.target.id: " ".join(doc.value.value.split())
        for field, doc in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
        and isinstance(doc.value, ast.Constant)
        and isinstance(doc.value.value, str)
    }


def _field_names(options: object) -> list[str]:
    """Return the names of the fields of a dataclass, or of all members of a union of dataclasses."""
    kinds = getattr(options, "__args__", (options,))
    kinds = [getattr(kind, "__origin__", kind) for kind in kinds]
    return list(dict.fromkeys(entry.name for kind in kinds if is_dataclass(kind) for entry in fields(kind)))


@contextmanager
def _refusals(message_of: Callable[[Any], str | None]) -> Iterator[None]:
    """Turn the mistakes that tyro finds within the block into an `InputError`, if there is a message for them."""

    def refuse(mistake: Any) -> None:
        if (message := message_of(mistake)) is not None:
            raise InputError(message)

    with nullcontext() if reported is None else reported.on_parse_error(refuse):
        yield


def _no_subcommand(arguments: Sequence[str], subcommands: Mapping[str, Sequence[str]]) -> str | None:
    """Return the refusal of a command line that does not start with a subcommand; None if it does."""
    first = arguments[0] if arguments else "--"
    for noun, names in subcommands.items():
        if first not in names:
            named = "" if first.startswith("-") else f" {first!r}"
            return f"no {noun} is named{named}: use one of {', '.join(names)}"
    return None


def _message(mistake: Any, known: Sequence[str]) -> str | None:
    """Return a mistake as one line; None for kinds that are not known here, which tyro prints itself."""
    kind = type(mistake).__name__
    argument = getattr(mistake, "argument", None)
    option = argument.display_name() if argument is not None else ""
    if kind == "UnrecognizedArgs":
        return _unknown(mistake.tokens, known)
    if kind == "InvalidChoice":
        return f"{option}: {mistake.value!r} is not one of {', '.join(mistake.choices)}"
    if kind == "InstantiationFailure":
        return _misfit(option, argument, mistake.message) if argument is not None else mistake.message
    if kind == "BadValue":
        return f"{option}: a value is missing"
    if kind == "MissingArgs":
        missing = ", ".join(one.arg.display_name().upper() for one in mistake.missing_arguments)
        return f"{missing} is missing; --help explains it"
    return None


def _misfit(option: str, argument: object, message: str) -> str:
    """Return the refusal of a value of the wrong type; `message` quotes it."""
    _, quote, rest = message.partition("'")
    expected = getattr(getattr(argument, "lowered", None), "metavar", None)
    if not quote or expected is None:
        return f"{option}: {message.splitlines()[0]}"
    return f"{option}: expected {expected}, found {rest.partition(quote)[0]!r}"


def _unknown(tokens: Sequence[str], known: Sequence[str]) -> str:
    """Return the refusal of words that are no options, with the options that may have been meant."""
    option = next((token for token in tokens if token.startswith("--")), "")
    name = option.removeprefix("--").partition("=")[0]
    close = difflib.get_close_matches(name, [entry.replace("_", "-") for entry in known], n=2)
    advice = f"did you mean {' or '.join(f'--{entry}' for entry in close)}?" if close else "--help lists all options"
    return f"unrecognized options: {' '.join(tokens)}; {advice}"
