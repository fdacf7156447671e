"""Settings check themselves when they are made: every field by itself, and fields that depend on each other."""

import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import torch

from data import DATASETS, InputError
from episodes import LABELS, TASKS, Copy
from mann.addressing import LRUA, NTM, SCHEMES
from mann.models import controllers, encoders
from mann.settings import (
    MODELS,
    Config,
    Maml,
    Memory,
    Nearest,
    Prototypes,
    Recurrent,
    TaskConfig,
    preset,
)
from mann.settings.schema import ControllerName

SMALLEST: dict[type, Any] = {Config: Config("strokes"), TaskConfig: TaskConfig(sizes=Copy())}
"""Settings that cannot be made without an argument."""
CLASSES: list[type] = [Config, TaskConfig, *MODELS.values(), *SCHEMES.values(), *TASKS.values()]
FIELDS = [(kind, entry.name) for kind in CLASSES for entry in fields(kind)]


def made(kind: type, /, **values: Any) -> Any:
    """Return settings with some values."""
    return replace(SMALLEST[kind], **values) if kind in SMALLEST else kind(**values)


def plain_types(annotation: Any) -> set[Any]:
    """Return the types that an annotation allows."""
    if get_origin(annotation) is Literal:
        return {Literal}
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return set().union(*(plain_types(part) for part in get_args(annotation)))
    return {annotation}


def choices(kind: type, name: str) -> tuple[Any, ...]:
    """Return the choices of a field."""
    return get_args(get_type_hints(kind)[name])


WRONG: dict[Any, list[Any]] = {
    bool: [1, "True", None],
    int: ["5", 5.5, True, math.nan],
    float: ["0.5", True, math.nan, math.inf, -math.inf],
    str: [3, b"name"],
    Path: [3, True],
    Literal: ["unheard-of", 3, True],
}
"""By type, values that are not of it."""


def refused(kind: type, name: str, value: Any) -> str:
    """Return the message with which a value is refused; it has to be one line and to name the field."""
    with pytest.raises(InputError) as refusal:
        made(kind, **{name: value})
    message = str(refusal.value)
    assert re.match(rf"`{name}[`.]", message), message
    assert "\n" not in message and len(message) < 300
    return message


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in FIELDS])
def test_every_field_refuses_values_of_a_wrong_type(kind: type, name: str) -> None:
    types = plain_types(get_type_hints(kind)[name])
    wrong = [value for one in types for value in WRONG.get(one, [])] or [3, "text", None]
    # A field that allows several types refuses what none of them allows.
    wrong = [value for value in wrong if not (value is None and type(None) in types)]
    assert wrong
    for value in wrong:
        found = "nan" if value != value else repr(value)
        assert found in refused(kind, name, value)


CHOICES = [(kind, name) for kind, name in FIELDS if get_origin(get_type_hints(kind)[name]) is Literal]
NEEDED: dict[Any, dict[str, Any]] = {"persistent": {"model": Memory()}, "autoencoder": {"model": Nearest()}}
"""By choice, other settings that it needs."""


@pytest.mark.parametrize(("kind", "name"), CHOICES, ids=[f"{kind.__name__}.{name}" for kind, name in CHOICES])
def test_an_unknown_choice_is_refused_with_the_choices_and_each_of_these_is_allowed(kind: type, name: str) -> None:
    message = refused(kind, name, "unheard-of")
    for choice in choices(kind, name):
        assert repr(choice) in message
        assert getattr(made(kind, **{name: choice}, **NEEDED.get(choice, {})), name) == choice


@pytest.mark.parametrize(
    ("kind", "name", "outside", "expected"),
    [
        *((Config, "size", value, expected) for value, expected in ((7, "greater than or equal to 8"), (106, "105"))),
        (Config, "classes", 1, "greater than or equal to 2"),
        (Config, "most_classes", 1, "greater than or equal to 2"),
        (Config, "class_every", 0, "greater than or equal to 1"),
        (Config, "length", 0, "greater than or equal to 1"),
        (Config, "presentations", 0, "greater than or equal to 1"),
        (Config, "jitter_rotation", -1.0, "greater than or equal to 0"),
        (Config, "jitter_rotation", 181.0, "less than or equal to 180"),
        (Config, "jitter_translation", -0.1, "greater than or equal to 0"),
        (Config, "jitter_translation", 0.6, "less than or equal to 0.5"),
        (Config, "image_scale", 0.0, "greater than 0"),
        (Config, "label_scale", -1.0, "greater than 0"),
        (Config, "encoder_width", 0, "greater than or equal to 1"),
        (Config, "encoder_rate", 0.0, "greater than 0"),
        *(
            (settings, name, value, expected)
            for settings in (Config, TaskConfig)
            for name, value, expected in (
                ("learning_rate", 0.0, "greater than 0"),
                ("epsilon", 0.0, "greater than 0"),
                ("clip", 0.0, "greater than 0"),
                ("clip_to_median", 0.0, "greater than 0"),
                ("warm_up", -1, "greater than or equal to 0"),
                ("batch", 0, "greater than or equal to 1"),
                ("episodes", 0, "greater than or equal to 1"),
                ("seed", -1, "greater than or equal to 0"),
                ("seed", 2**32, f"less than {2**32}"),
            )
        ),
        *((model, name, 0, "to 1") for model in (Memory, Recurrent) for name in ("layers", "hidden_size")),
        (Memory, "slots", 0, "greater than or equal to 1"),
        (Memory, "word_size", 0, "greater than or equal to 1"),
        (Memory, "initial_biases", -0.5, "greater than or equal to 0"),
        (Memory, "clip_emitted", 0.0, "greater than 0"),
        (LRUA, "read_heads", 0, "greater than or equal to 1"),
        (LRUA, "key_strength", -0.5, "greater than or equal to 0"),
        (LRUA, "usage_decay", 3.0, "less than or equal to 1"),
        (LRUA, "usage_decay", -0.1, "greater than or equal to 0"),
        (NTM, "shift_range", -1, "greater than or equal to 0"),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_range(kind: type, name: str, outside: Any, expected: str) -> None:
    message = refused(kind, name, outside)
    assert expected in message and message.endswith(f"found {outside!r}")


@pytest.mark.parametrize("usage_decay", [0, 0.0, 1.0])
def test_the_ends_of_the_ranges_are_allowed(usage_decay: float) -> None:
    scheme = LRUA(1, 0.0, usage_decay=usage_decay)
    config = Config("strokes", seed=2**32 - 1, warm_up=0, size=8, model=Memory(slots=1, scheme=scheme))
    assert config.model.scheme == scheme  # pyright: ignore[reportAttributeAccessIssue]
    assert Config("strokes", size=105, jitter_rotation=180, jitter_translation=0.5).jitter_rotation == 180


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"memory": "persistent", "model": Recurrent()}, "`memory=persistent` needs `model=memory`, not `model=recur"),
        ({"memory": "persistent", "model": Nearest()}, "`memory=persistent` needs `model=memory`, not `model=nearest`"),
        ({"most_classes": 4}, "`most_classes` is 4: use at least the 5 of `classes`"),
        ({"model": Prototypes(), "labels": "strings"}, "`model=prototypes` needs `labels=one-hot`, not `labels=strin"),
        ({"model": Maml()}, "`model=maml` needs `encoder=conv`, not `encoder=none`"),
        (
            {"model": Maml(), "encoder": "conv", "labels": "strings"},
            "`model=maml` needs `labels=one-hot`, not `labels=strings`",
        ),
        (
            {"model": Maml(), "encoder": "conv", "counting": "random"},
            "`model=maml` needs `counting=exact`, not `counting=random`",
        ),
        (
            {"model": Maml(), "encoder": "conv", "presentations": 5},
            "`model=maml` needs `presentations` of 6 or more: 5 shots and a query",
        ),
        ({"encoder": "conv", "model": Nearest()}, "`model=nearest` needs `encoder=autoencoder`, not `encoder=conv`"),
        ({"encoder": "autoencoder"}, "`encoder=autoencoder` is for `model=nearest`, not for `model=memory`"),
        ({"encoder": "autoencoder", "model": Prototypes()}, "`encoder=autoencoder` is for `model=nearest`"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        Config("strokes", **values)
    assert str(refusal.value).startswith(message) and "\n" not in str(refusal.value)


def test_settings_that_fit_together_are_accepted() -> None:
    assert Config("strokes", memory="persistent").memory == "persistent"
    assert Config("strokes", most_classes=5).most_labelled == 5
    assert Config("strokes", model=Maml(), encoder="conv", presentations=6).presentations == 6
    assert Config("strokes", model=Nearest(), encoder="autoencoder").encoder == "autoencoder"
    assert Config("strokes", model=Nearest(), labels="strings").labels == "strings"


@pytest.mark.parametrize("model", [Prototypes(), Nearest(), Maml()])
def test_models_of_images_are_refused_for_the_algorithmic_tasks(model: Any) -> None:
    said = f"{model.kind!r} is none of memory, recurrent, transformer, delta-layers"
    assert refused(TaskConfig, "model", model).endswith(said)


@pytest.mark.parametrize("kind", [Config, TaskConfig])
def test_a_part_is_of_its_kind(kind: type) -> None:
    for value in ("memory", {"kind": "memory"}, NTM(), Memory):
        refused(kind, "model", value)
    refused(TaskConfig, "sizes", NTM())
    refused(Memory, "scheme", Copy())


@pytest.mark.parametrize(("episodes", "batch", "steps"), [(1, 16, 1), (16, 16, 1), (17, 16, 2), (100, 1, 100)])
def test_episodes_are_rounded_up_to_whole_steps(episodes: int, batch: int, steps: int) -> None:
    assert Config("strokes", episodes=episodes, batch=batch).steps == steps


def test_choices_are_those_of_the_registries() -> None:
    assert set(get_args(ControllerName)) == set(controllers.CONTROLLERS)
    assert set(choices(Memory, "controller")) == set(choices(Recurrent, "controller")) == set(controllers.CONTROLLERS)
    assert set(choices(Config, "dataset")) == set(DATASETS)
    assert set(choices(Config, "labels")) == set(LABELS)
    assert set(choices(Config, "encoder")) == set(encoders.ENCODERS)
    for name in choices(Memory, "activation"):
        assert controllers.FeedForwardController(2, 1, 2, activation=name).activation is getattr(torch, name)
    for known in (MODELS, SCHEMES, TASKS):
        for name, kind in known.items():
            discriminator = "kind" if known is MODELS else "name"
            assert choices(kind, discriminator) == (name,) and getattr(kind, discriminator) == name


@pytest.mark.parametrize("name", [*DATASETS, *TASKS])
def test_task_name_is_the_data_set_or_the_task(name: str) -> None:
    assert preset(name).task_name == name
