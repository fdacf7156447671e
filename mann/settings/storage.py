"""Reading and writing settings: the `config.json` of a run.

Format 2 nests the options of the model, the scheme and the task. Format 1, of mann 0.1.0, had them side by side; it is
still read (`mann.settings.format_one`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from data import InputError, parse_json
from mann.settings.format_one import upgraded
from mann.settings.schema import AnyConfig, Config, TaskConfig

FORMAT: Final = 2

_CLASSIFICATION: Final = TypeAdapter(Config)
_TASK: Final = TypeAdapter(TaskConfig)


def config_json(config: AnyConfig) -> str:
    """Return the text of `config.json`."""
    return json.dumps(plain(config), indent=2) + "\n"


def plain(config: AnyConfig) -> dict[str, Any]:
    """Return settings as `config.json` has them: numbers, texts and nested objects."""
    return json.loads(json.dumps({"format": FORMAT, **asdict(config)}, default=str))


def read_config(path: Path) -> AnyConfig:
    """Read the `config.json` of a run.

    Raises:
        InputError: there is none, or it is not as `config_json` writes it.
    """
    try:
        return config_from_json(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): is {path.parent} the folder of a run?") from error


def config_from_json(text: str | bytes, source: str) -> AnyConfig:
    """Read the text of a `config.json`; `source` names the file in errors.

    Raises:
        InputError: names the first value that is wrong, the value found and the values expected.

    >>> config_from_json(config_json(Config("strokes")), "config.json") == Config("strokes")
    True
    """
    try:
        content = parse_json(text)
    except ValueError as error:
        raise InputError(f"{source}: content: Invalid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{source}: content: Input should be an object, found {str(content)[:60]}")
    return config_from_plain(content, source)


def config_from_plain(content: dict[str, Any], source: str) -> AnyConfig:
    """Read settings as `plain` returns them; see `config_from_json`."""
    known = content.get("format", 1)
    if known not in (1, FORMAT):
        raise InputError(f"{source}: format {known} is of a later version of mann, this one reads 1 and {FORMAT}")
    if known == 1:
        content = upgraded(content, source)
    else:
        content = {name: value for name, value in content.items() if name != "format"}
    try:
        return (_TASK if "sizes" in content else _CLASSIFICATION).validate_json(json.dumps(content))
    except ValidationError as error:
        raise InputError(f"{source}: {_first(error, content)}") from error


def _first(error: ValidationError, content: Mapping[str, Any]) -> str:
    """Return the first of pydantic's errors as one line."""
    first = error.errors()[0]
    if first["type"] == "value_error":  # of a dataclass that checked itself: the message names the field
        return first["msg"].removeprefix("Value error, ")
    where = ".".join(_keys(first["loc"], content)) or "content"
    if first["type"] == "union_tag_invalid" and first["loc"][-1] == "scheme":
        name = first.get("ctx", {}).get("tag")
        return (
            f"{where}: no addressing scheme is named {name!r}: if it is one of your own, load its file with "
            "`addressing` FILE.py:CLASS"
        )
    found = " ".join(str(first.get("input")).split())[:60]
    return f"{where}: {first['msg']}, found {found}"


def _keys(location: Sequence[int | str], content: object) -> Iterator[str]:
    """Yield the keys of a place in `content`: pydantic's locations name the member of a union as well."""
    for place, part in enumerate(location, 1):
        if place == len(location) or (isinstance(content, dict) and part in content):
            yield " ".join(str(part).split())
            content = content.get(part) if isinstance(content, dict) else None
