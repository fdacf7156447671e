"""config.json: settings are read as they were written, and anything else is refused by name."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data import InputError
from episodes import TASKS
from mann.addressing import LRUA
from mann.settings import AnyConfig, Config, Memory, config_from_json, config_json, preset, read_config
from tests.mann.settings.alternatives import PRESETS, settings_of_any_kind


@pytest.mark.parametrize(("task", "name"), PRESETS, ids=["-".join(pair) for pair in PRESETS])
def test_presets_are_read_as_they_were_written(task: str, name: str) -> None:
    config = preset(task, name)
    assert config_from_json(config_json(config), "config.json") == config


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(settings_of_any_kind())
def test_settings_are_read_as_they_were_written(config: AnyConfig) -> None:
    text = config_json(config)
    assert config_from_json(text, "config.json") == config
    assert config_json(config_from_json(text.encode(), "config.json")) == text


@given(st.floats(min_value=1e-300, max_value=1e300), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_numbers_are_read_to_the_last_bit(learning_rate: float, seed: int, usage_decay: float) -> None:
    model = Memory(scheme=LRUA(usage_decay=usage_decay))
    config = Config("folder", learning_rate=learning_rate, seed=seed, model=model, root=Path("é ü/☃"))
    assert config_from_json(config_json(config), "config.json") == config


def test_json_holds_every_setting_even_the_defaults() -> None:
    content = json.loads(config_json(Config("strokes")))
    assert content["format"] == 2
    assert set(content) == {"format", *(entry.name for entry in fields(Config))}
    assert set(content["model"]) == {entry.name for entry in fields(Memory)}
    assert set(content["model"]["scheme"]) == {entry.name for entry in fields(LRUA)}
    assert (content["model"]["kind"], content["model"]["scheme"]["name"]) == ("memory", "lrua")


def edited(config: AnyConfig, where: str, value: Any) -> str:
    """Return the JSON of settings with one value changed or added, such as model.scheme.read_heads."""
    whole = json.loads(config_json(config))
    *outer, name = where.split(".")
    part = whole
    for key in outer:
        part = part[key]
    part[name] = value
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("nope", 1),
        ("model.nope", 1),
        ("model.scheme.nope", 1),
        ("model.kind", "brain"),
        ("model.kind", "recurrent"),
        ("model.scheme.name", "tape"),
        ("model.scheme.name", "dnc"),
        ("model.scheme.name", None),
        ("slots", 5),
        ("classes", "5"),
        ("classes", 5.5),
        ("classes", True),
        ("classes", 1),
        ("rotations", 1),
        ("rotations", "False"),
        ("learning_rate", "0.1"),
        ("learning_rate", None),
        ("labels", "numbers"),
        ("dataset", "mnist"),
        ("root", 3),
        ("model", None),
        ("model", "memory"),
        ("model.scheme", None),
        ("model.slots", 0),
        ("model.scheme.read_heads", "4"),
        ("model.scheme.read_heads", True),
        ("model.scheme.read_heads", 4.0),
        ("model.scheme.usage_decay", "0.9"),
        ("model.scheme.usage_decay", 3),
        ("labels", "two\nlines"),
    ],
)
def test_an_edited_config_json_is_refused(tmp_path: Path, where: str, value: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(edited(Config("strokes"), where, value))
    with pytest.raises(InputError) as refusal:
        read_config(path)
    message = str(refusal.value)
    assert "\n" not in message
    if where == "model.kind" and value == "recurrent":
        assert message.startswith(f"{path}: model.initial_biases: Unexpected")  # an option of the memory alone
    elif where == "model.scheme.name" and value == "dnc":
        assert message.startswith(f"{path}: model.scheme.key_strength: Unexpected")
    else:  # the place of a wrong kind of model or scheme is the part as a whole
        assert message.startswith(f"{path}: {where.removesuffix('.kind').removesuffix('.name')}: ")


def test_values_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^here: `most_classes` is 4: use at least the 5 of `classes`$"):
        config_from_json(edited(Config("strokes"), "most_classes", 4), "here")
    with pytest.raises(InputError, match="^here: `shortest` is 99 and `longest` only 20: lower "):
        config_from_json(edited(preset("copy"), "sizes.shortest", 99), "here")


@pytest.mark.parametrize("task", TASKS)
def test_an_edited_size_of_a_task_is_refused(task: str) -> None:
    config = preset(task)
    with pytest.raises(InputError, match=r"^here: sizes\.bats: Unexpected"):
        config_from_json(edited(config, "sizes.bats", 3), "here")
    with pytest.raises(InputError, match=r"^here: sizes: .*'sort'"):
        config_from_json(edited(config, "sizes.name", "sort"), "here")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b'{"seed": 1}', b'{"format": 2}'])
def test_a_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as refusal:
        read_config(path)
    assert str(refusal.value).startswith(f"{path}: ") and "\n" not in str(refusal.value)


@pytest.mark.parametrize("known", [3, 0, "2", None, [], {}, 2.5])
def test_another_format_is_refused_in_one_line(known: Any) -> None:
    with pytest.raises(InputError) as refusal:
        config_from_json(edited(Config("strokes"), "format", known), "runs/a/config.json")
    message = str(refusal.value)
    assert message.startswith("runs/a/config.json: format ") and "this one reads 1 and 2" in message
    assert "\n" not in message


def test_a_missing_config_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"is {tmp_path} the folder of a run?"):
        read_config(tmp_path / "config.json")
