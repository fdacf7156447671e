"""Settings as mann 0.1.0 wrote them (format 1).

The options of the model were stored beside all others, and `addressing` named the model or the scheme of a memory.
"""

from collections.abc import Mapping
from typing import Any, Final

from data import InputError
from mann.settings.options import FORMER_ADDRESSING, MODELS, own_fields

_OF_MODELS: Final = {entry.name for kind in MODELS.values() for entry in own_fields(kind)}


def upgraded(content: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return settings of format 1 as format 2 has them; their values are checked when they are read.

    Raises:
        InputError: they are not of format 1.
    """
    rest = dict(content)
    try:
        addressing = rest.pop("addressing")
        scheme = rest.pop("scheme")
        kind = FORMER_ADDRESSING.get(addressing, "memory")
        values = {name: rest.pop(name) for name in list(rest) if name in _OF_MODELS}
        model = {name: values[name] for name in values if name in {entry.name for entry in own_fields(MODELS[kind])}}
        if kind == "memory":
            model["scheme"] = {**scheme, "name": addressing}
        if "task" in rest:
            rest["sizes"] = {**rest["sizes"], "name": rest.pop("task")}
        return {**rest, "model": {"kind": kind, **model}}
    except (KeyError, TypeError) as error:
        raise InputError(f"{source}: {error} is missing or is no setting of mann 0.1.0") from error
