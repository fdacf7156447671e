"""Settings by the names of their options: one flat list for the command line, presets, recipes and comparisons.

    by_option(config)                    {"slots": 64, "addressing": "lrua", "scheme.read_heads": 2, ...}
    changed(config, {"slots": 128})      the same settings with another number of slots

An option is a field of the settings or of their model; `model` and `addressing` name the model and its scheme, and the
scheme's and the task's own options are "scheme.NAME" and "sizes.NAME".
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, replace
from typing import Any, Final, TypeVar

from data import Checked, InputError
from mann.addressing import SCHEMES, Scheme
from mann.settings.registration import is_reference, load_scheme
from mann.settings.schema import (
    AnyConfig,
    AnyModel,
    Config,
    DeltaLayers,
    Maml,
    Memory,
    Nearest,
    Prototypes,
    Recurrent,
    TaskConfig,
    Transformer,
    default_scheme,
)

Options = Mapping[str, Any]
"""Values by the names of options."""
Values = dict[str, Any]
"""The same as a dict of its own, which functions here modify."""

MODELS: Final[Mapping[str, type[AnyModel]]] = {
    "memory": Memory,
    "recurrent": Recurrent,
    "transformer": Transformer,
    "delta-layers": DeltaLayers,
    "prototypes": Prototypes,
    "nearest": Nearest,
    "maml": Maml,
}
"""The models by name."""
SEQUENCE_MODELS: Final = ("memory", "recurrent", "transformer", "delta-layers")
"""The models of any sequence, and so of the algorithmic tasks."""

FORMER_ADDRESSING: Final = {"none": "recurrent", "prototypes": "prototypes", "nearest": "nearest", "maml": "maml"}
"""Values of `addressing` that named a model before the option `model` existed; stored commands with them still run."""

_DISCRIMINATORS: Final = ("kind", "name")
_CHANGEABLE: Final = ("root", "on_nonfinite")
"""Options that may change when a run continues: the folder of the data, and the reaction to a non-finite step."""

Kind = TypeVar("Kind", bound=Config | TaskConfig)
Part = TypeVar("Part", bound=Checked)


def own_fields(kind: Checked | type[Checked]) -> Iterator[Field[Any]]:
    """Yield the fields of settings, a model, a scheme or a task that are options: all but the discriminator."""
    for entry in fields(kind):
        if entry.name not in _DISCRIMINATORS:
            yield entry


def by_option(config: AnyConfig) -> Values:
    """Return the value of every option.

    >>> by_option(Config("strokes"))["scheme.read_heads"]
    2
    """
    found: Values = {}
    for entry in own_fields(config):
        value = getattr(config, entry.name)
        if entry.name == "model":
            found["model"] = value.kind
            found |= _of_part(value)
        elif entry.name == "sizes":
            found |= {f"sizes.{name}": size for name, size in _of_part(value).items()}
        else:
            found[entry.name] = value
    return found


def _of_part(part: Checked) -> Values:
    """Return the options of a model, a scheme or a task."""
    found: Values = {}
    for entry in own_fields(part):
        value = getattr(part, entry.name)
        if entry.name == "scheme":
            found["addressing"] = value.name
            found |= {f"scheme.{name}": option for name, option in _of_part(value).items()}
        else:
            found[entry.name] = value
    return found


def options_of_model(config: AnyConfig, named: Options) -> Values:
    """Return the value of every option with another model or scheme, before any other change.

    Models may need other options as well, so these values need not fit together.

    Args:
        config: Any settings.
        named: `model` or `addressing`, or both, or none.
    """
    rest = dict(named)
    model = _changed_model(config, rest)
    others = {name: value for name, value in by_option(config).items() if name not in _of_part(config.model)}
    return {**others, "model": model.kind, **_of_part(model), **rest}


def differences(one: AnyConfig, other: AnyConfig) -> list[str]:
    """Return which options differ and how, except those that may change when a run continues.

    >>> differences(Config("strokes", seed=1), Config("strokes"))
    ['`seed` is 1, not 0']
    """
    if one.task_name != other.task_name:
        return [f"the task is {one.task_name}, not {other.task_name}"]
    others = by_option(other)
    return [
        f"`{name}` is {value}, not {others[name]}"
        for name, value in by_option(one).items()
        # Options of different schemes or models cannot be compared; that these differ is in the list already.
        if name not in _CHANGEABLE and name in others and value != others[name]
    ]


def changed(config: Kind, options: Options) -> Kind:
    """Return the settings with other values of some options, all of them checked together.

    Another model or scheme comes with its defaults; models share the options that they have in common.

    Args:
        config: Any settings.
        options: New values. `model` is a name of `MODELS` or a model, `addressing` a name of `SCHEMES` or a class in a
            file (`load_scheme`), `scheme` a scheme, `sizes` a task.

    Raises:
        InputError: there is no such option, the model or the scheme does not have it, or the values do not fit.

    >>> changed(Config("strokes"), {"addressing": "dnc", "scheme.read_heads": 4}).model.scheme.read_heads
    4
    """
    rest = dict(options)
    if rest.get("addressing") in FORMER_ADDRESSING:
        rest["model"] = FORMER_ADDRESSING[rest.pop("addressing")]
    model = _changed_model(config, rest)
    own = {entry.name for entry in own_fields(config)} - {"model", "sizes"}
    values = {name: rest.pop(name) for name in list(rest) if name in own}
    if isinstance(config, TaskConfig):
        values["sizes"] = _changed_part(rest.pop("sizes", config.sizes), "sizes", rest)
    if rest:
        raise _unknown(next(iter(rest)), config, model)
    return replace(config, model=model, **values)


def _changed_model(config: AnyConfig, rest: Values) -> AnyModel:
    """Return the model with its options changed; takes these out of `rest`."""
    addressing = rest.pop("addressing", None)
    if isinstance(addressing, str) and is_reference(addressing):
        addressing = load_scheme(addressing).name
    model = rest.pop("model", config.model if addressing is None else "memory")
    if isinstance(model, str):
        model = _model_named(model, config, rest)
    if isinstance(model, Memory):
        scheme = rest.pop("scheme", model.scheme)
        if addressing not in (None, scheme.name):
            scheme = _scheme_named(addressing, config, rest)
        model = replace(model, scheme=_changed_part(scheme, "scheme", rest))
    elif addressing is not None:
        raise InputError(f"`addressing={addressing}` is for `model=memory`, not for `model={model.kind}`")
    names = [entry.name for entry in own_fields(model) if entry.name != "scheme"]
    return replace(model, **{name: rest.pop(name) for name in names if name in rest})


def _model_named(name: str, config: AnyConfig, rest: Values) -> AnyModel:
    """Return a model by its name, with the options that it shares with that of `config`."""
    if name == config.model.kind:
        return config.model
    known = tuple(MODELS) if isinstance(config, Config) else SEQUENCE_MODELS
    if name not in known:
        raise InputError(f"no model of {config.task_name} is named {name!r}: use one of {', '.join(known)}")
    if name not in SEQUENCE_MODELS:
        rest.setdefault("encoder_rate", 1.0)  # nothing else learns, so nothing else is too slow for the encoder
    model = _default_memory(config) if name == "memory" else MODELS[name]()
    shared = {entry.name for entry in own_fields(model)} & {entry.name for entry in own_fields(config.model)}
    return replace(model, **{option: getattr(config.model, option) for option in shared})


def _default_memory(config: AnyConfig) -> Memory:
    """Return the default memory network for the kind of settings."""
    return Config("strokes").model if isinstance(config, Config) else TaskConfig(sizes=config.sizes).model  # pyright: ignore[reportReturnType]


def _scheme_named(name: str, config: AnyConfig, rest: Values) -> Scheme:
    """Return a scheme by its name, with its defaults."""
    if name not in SCHEMES:
        raise InputError(
            f"no addressing scheme is named {name!r}: use one of {', '.join(SCHEMES)}, or FILE.py:CLASS for your own"
        )
    if name == "content":
        rest.setdefault("initial_memory", "learned")  # by content alone, slots with equal content stay equal
    return default_scheme(name, isinstance(config, Config))


def _changed_part(part: Part, prefix: str, rest: Values) -> Part:
    """Return a scheme or a task with the options "PREFIX.NAME" changed; takes these out of `rest`."""
    names = {f"{prefix}.{entry.name}": entry.name for entry in own_fields(part)}
    values = {name: rest.pop(option) for option, name in names.items() if option in rest}
    try:
        return replace(part, **values) if values else part
    except InputError as error:  # names the fields, which have another name among all options
        own = "|".join(names.values())
        raise InputError(re.sub(rf"`({own})\b", rf"`{prefix}.\1", str(error))) from error


def _unknown(name: str, config: AnyConfig, model: AnyModel) -> InputError:
    """Return the refusal of an option that these settings do not have."""

    def having(kinds: Mapping[str, type[Checked]], option: str) -> list[str]:
        return [kind for kind, of in kinds.items() if option in {entry.name for entry in own_fields(of)}]

    prefix, _, option = name.rpartition(".")
    if prefix == "scheme" and isinstance(model, Memory) and (schemes := having(SCHEMES, option)):
        return InputError(f"`{name}` is an option of {' and '.join(schemes)}, not of {model.scheme.name}")
    models = having(MODELS, name.partition(".")[0])
    if models and model.kind not in models:
        return InputError(f"`{name}` is an option of `model={models[0]}`, not of `model={model.kind}`")
    return InputError(f"{config.task_name} has no option named {name!r}")
