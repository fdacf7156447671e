"""Errors of libraries as one line."""

from pydantic import ValidationError


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its name where it has no message."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def first_problem(error: ValueError) -> str:
    """Return the first problem with the content of a file, and its place there, in one line."""
    if not isinstance(error, ValidationError):
        return first_line(error)
    first = error.errors()[0]
    return ": ".join((*map(str, first["loc"][:1]), first["msg"]))
