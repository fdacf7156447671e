"""Frozen dataclasses that check their fields, made in Python as well as read from a file.

    @dataclass(frozen=True)
    class Grid(Checked):
        rows: AtLeastOne = 1

`Grid(rows=0)` raises an `InputError` that names the field, the value and the accepted values; pydantic reports the same
problem in a file as one of its validation errors.
"""

from collections.abc import Callable
from dataclasses import Field, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, get_type_hints

from annotated_types import Ge, Gt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from data.errors import InputError

AtLeastOne = Annotated[int, Ge(1)]
Positive = Annotated[float, Gt(0)]

_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Checked:
    """Base of frozen dataclasses whose fields are checked against their annotations.

    The checks are strict: no text where a number is expected, no fraction where an integer is, no NaN, no infinity. An
    integer is accepted as a float. Fields keep the values that they were given. Errors call the class by its attribute
    `name` if it has one.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Grid(Checked):
    ...     rows: AtLeastOne = 1
    >>> Grid(rows=0)
    Traceback (most recent call last):
        ...
    data.errors.InputError: `rows` of Grid: Input should be greater than or equal to 1, found 0

    Raises:
        InputError: A field has the wrong type or is out of range, or `check` refuses the values.
    """

    # For pydantic when it reads the dataclass from JSON: the same strictness, and no unknown keys.
    __pydantic_config__: ClassVar[ConfigDict] = _STRICT
    # For type checkers: every subclass is a dataclass, and may be given to the functions of `dataclasses`.
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __post_init__(self) -> None:
        """Check each field, then the fields together."""
        for name, validate in _validators(type(self)):
            try:
                validate(getattr(self, name))
            except ValidationError as error:
                raise InputError(_message(type(self), name, error)) from error
        self.check()

    def check(self) -> None:
        """Check fields that depend on each other; all fields have been checked by themselves.

        Raises:
            InputError: The values do not fit together.
        """


@cache
def _validators(kind: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return the name and the validating function of each field; building them takes milliseconds, using them 1 us."""
    annotations = get_type_hints(kind, include_extras=True)
    return tuple((entry.name, _validator(annotations[entry.name])) for entry in fields(kind))


def _validator(annotation: Any) -> Callable[[Any], Any]:
    """Return a function that raises pydantic's `ValidationError` for a value that does not fit the annotation."""
    # pydantic refuses a second configuration for a dataclass, which has its own.
    config = None if isinstance(annotation, type) and is_dataclass(annotation) else _STRICT
    adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=config)
    return adapter.validator.validate_python


def _message(kind: type, field: str, error: ValidationError) -> str:
    """Return the first of pydantic's errors as one line that names the field, the class and the value found."""
    first = error.errors(include_url=False)[0]
    where = ".".join([field, *map(str, first["loc"])])
    # One short line, whatever the value is.
    if first["type"] == "union_tag_invalid":  # the tag says what was found; the list of those expected is long
        context = first.get("ctx", {})
        expected = str(context.get("expected_tags")).replace("'", "")
        return f"`{where}` of {_label(kind)}: {context.get('tag')!r} is none of {expected}"
    found = " ".join(repr(first["input"]).split())[:60]
    return f"`{where}` of {_label(kind)}: {first['msg']}, found {found}"


def _label(kind: type) -> str:
    """Return how errors call a class: by its attribute `name`, if it has one."""
    label = getattr(kind, "name", None)
    return label if isinstance(label, str) else kind.__name__
