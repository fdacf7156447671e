"""Values of settings for hypothesis: valid ones of every field, and settings of every kind."""

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from data import DATASETS, InputError
from episodes import TASKS
from mann.addressing import SCHEMES
from mann.settings import MODELS, AnyConfig, Memory, by_option, changed, preset, presets_of

NAMES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=9)
PRESETS = [(task, name) for task in (*DATASETS, *TASKS) for name in presets_of(task)]


def memory_of(config: AnyConfig) -> Memory:
    """Return the memory network of settings."""
    assert isinstance(config.model, Memory)
    return config.model


def annotations(kind: type) -> dict[str, Any]:
    """Return the annotations of a class of settings, with the names of their types resolved."""
    return get_type_hints(kind)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Return values of the type of a field; many are in its range."""
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if annotation in _VALUES:
        return _VALUES[annotation]
    return st.one_of([values_of(part) for part in get_args(annotation)])


_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(-1, 12) | st.integers(0, 2**33),
    float: st.sampled_from([0.0, 0.05, 0.5, 1.0, 45.0]) | st.floats(-1, 1e300),
    str: NAMES,
    Path: NAMES.map(Path),
    type(None): st.none(),
}


def annotation_of(config: AnyConfig, option: str) -> Any:
    """Return the type of an option."""
    part: Any = config
    if option.startswith("sizes."):
        part = config.sizes  # pyright: ignore[reportAttributeAccessIssue]
    elif option.startswith("scheme."):
        part = memory_of(config).scheme
    elif option not in {entry.name for entry in fields(config)}:
        part = config.model
    return annotations(type(part))[option.rpartition(".")[2]]


def with_options(config: AnyConfig, options: dict[str, Any]) -> AnyConfig:
    """Return the settings with those options that, one after the other, are valid."""
    for name, value in options.items():
        try:
            config = changed(config, {name: value})
        except InputError:
            continue
    return config


@st.composite
def settings_of_any_kind(draw: Any) -> AnyConfig:
    """Draw a preset, a model, a scheme, and the values of some options."""
    of_images = draw(st.booleans())
    config = preset(*draw(st.sampled_from([pair for pair in PRESETS if (pair[0] in DATASETS) == of_images])))
    model = draw(st.sampled_from([*MODELS] if of_images else ["memory", "recurrent"]))
    needed = {"encoder": "conv", "counting": "exact"} if model == "maml" else {}
    config = changed(config, {"model": model, **needed})
    if model == "memory":
        config = changed(config, {"addressing": draw(st.sampled_from([*SCHEMES]))})
    names = [name for name in by_option(config) if name not in ("model", "addressing", "dataset")]
    some = draw(st.lists(st.sampled_from(names), unique=True, max_size=12))
    return with_options(config, {name: draw(values_of(annotation_of(config, name))) for name in some})
