"""Settings: what is refused, what is kept, and how two of them differ."""

import json
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data import DATASETS, InputError
from episodes import TASKS
from mann.addressing import LRUA, NTM, SCHEMES
from mann.settings.schema import PRESETS, Config, checked, config_from_json, config_json, differing, preset, read_config


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_within_their_own_ranges(dataset: str, name: str) -> None:
    config = preset(dataset, name)
    assert checked(config) == config
    assert isinstance(config, Config) and config.dataset == dataset
    for setting, value in PRESETS[name].items():
        assert getattr(config, setting) == value


@pytest.mark.parametrize("name", [*DATASETS, *TASKS])
def test_units_are_of_tanh_where_classes_are_learned_and_rectified_in_the_tasks(name: str) -> None:
    assert preset(name).activation == ("relu" if name in TASKS else "tanh")


@pytest.mark.parametrize("name", [*DATASETS, *TASKS])
def test_heads_of_an_ntm_recognise_where_classes_are_learned(name: str) -> None:
    scheme = preset(name, "default", "ntm").scheme
    assert (scheme.start == "recognise") == (name in DATASETS)
    assert scheme.read_heads > 1 or name in TASKS


def test_unknown_preset_and_task_are_refused() -> None:
    with pytest.raises(InputError, match=r"no preset for strokes is named 'fast': use one of default, paper, demo"):
        preset("strokes", "fast")
    with pytest.raises(InputError, match=r"no task is named 'mnist': use one of omniglot, strokes, folder"):
        preset("mnist", "default")


@given(
    learning_rate=st.floats(min_value=1e-300, max_value=1e300),
    seed=st.integers(0, 2**32 - 1),
    usage_decay=st.floats(0, 1),
    root=st.none() | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")).map(Path),
)
def test_settings_come_back_from_json_unchanged(
    learning_rate: float, seed: int, usage_decay: float, root: Path | None
) -> None:
    config = replace(
        Config("folder"), learning_rate=learning_rate, seed=seed, root=root, scheme=LRUA(usage_decay=usage_decay)
    )
    assert config_from_json(config_json(config), "here") == config
    assert checked(config) == config


def test_json_holds_every_setting_even_the_defaults() -> None:
    content = json.loads(config_json(Config("strokes")))
    assert set(content) == {entry.name for entry in fields(Config)}
    assert set(content["scheme"]) == {entry.name for entry in fields(LRUA)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 7}, "size: .*greater than or equal to 8, found 7"),
        ({"size": 106}, "size: .*less than or equal to 105"),
        ({"classes": 1}, "classes: .*greater than or equal to 2, found 1"),
        ({"most_classes": 4}, "most_classes: 4, expected at least the 5 to begin with"),
        ({"class_every": 0}, "class_every: "),
        ({"length": 0}, "length: "),
        ({"memory": "persistent", "addressing": "none", "scheme": None}, "memory: there is none to be persistent"),
        ({"presentations": 0}, "presentations: "),
        ({"counting": "never"}, "counting: .*'exact' or 'random'"),
        ({"jitter_rotation": -1.0}, "jitter_rotation: "),
        ({"jitter_rotation": 181.0}, "jitter_rotation: "),
        ({"jitter_translation": 0.6}, "jitter_translation: "),
        ({"image_scale": 0.0}, "image_scale: "),
        ({"encoder": "dense"}, "no encoder is named 'dense': use one of none, conv"),
        ({"encoder_width": 0}, "encoder_width: .*greater than or equal to 1, found 0"),
        ({"label_scale": -1.0}, "label_scale: "),
        ({"hidden_size": 0}, "hidden_size: "),
        ({"slots": 0}, "slots: "),
        ({"word_size": 0}, "word_size: "),
        ({"learning_rate": 0.0}, "learning_rate: .*greater than 0"),
        ({"learning_rate": math.nan}, "learning_rate: .*finite number, found nan"),
        ({"clip": math.inf}, "clip: .*finite number, found inf"),
        ({"warm_up": -1}, "warm_up: "),
        ({"batch": 0}, "batch: "),
        ({"episodes": 0}, "episodes: .*found 0"),
        ({"seed": -1}, "seed: "),
        ({"seed": 2**32}, "seed: "),
        ({"optimizer": "sgd"}, "optimizer: "),
        ({"schedule": "linear"}, "schedule: "),
        ({"scheme": LRUA(read_heads=0)}, r"scheme\.read_heads: .*found 0"),
        ({"scheme": LRUA(key_strength=-0.5)}, r"scheme\.key_strength: .*found -0\.5"),
        ({"scheme": LRUA(key_strength=math.inf)}, r"scheme\.key_strength: .*finite"),
        ({"scheme": LRUA(usage_decay=3.0)}, r"scheme\.usage_decay: .*less than or equal to 1, found 3\.0"),
        ({"scheme": LRUA(usage_decay=-0.1)}, r"scheme\.usage_decay: "),
        ({"scheme": LRUA(zeroed="none")}, r"scheme\.zeroed: "),  # pyright: ignore[reportArgumentType]
        ({"dataset": "mnist"}, "no dataset is named 'mnist': use one of omniglot, strokes, folder"),
        ({"labels": "numbers"}, "no labels is named 'numbers': use one of one-hot, strings"),
        ({"controller": "rnn"}, "no controller is named 'rnn': use one of lstm, gru, feedforward"),
        ({"addressing": "tape"}, "no addressing is named 'tape': use one of .*lrua.*, none"),
    ],
)
def test_out_of_range_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^the settings: {message}"):
        checked(replace(Config("strokes"), **change))


@pytest.mark.parametrize("usage_decay", [0.0, 1.0])
def test_ends_of_the_ranges_are_allowed(usage_decay: float) -> None:
    config = replace(Config("strokes"), seed=2**32 - 1, warm_up=0, scheme=LRUA(1, 0.0, usage_decay=usage_decay))
    assert checked(config) == config


@pytest.mark.parametrize("addressing", [*SCHEMES, "none", "prototypes"])
def test_each_scheme_comes_with_its_own_options(addressing: str) -> None:
    config = preset("strokes", "default", addressing)
    assert config.addressing == addressing
    assert type(config.scheme) is SCHEMES.get(addressing, type(None))
    assert checked(config) == config
    # The one that is the default keeps the default's options.
    assert (config == preset("strokes", "default")) == (addressing == "lrua")
    assert (config.initial_memory == "constant") == (addressing != "content")


def test_options_of_another_scheme_are_refused() -> None:
    with pytest.raises(InputError, match=r"the settings: scheme\.write_heads: "):
        checked(replace(Config("strokes"), addressing="lrua", scheme=NTM()))
    with pytest.raises(InputError, match=r"no addressing is named 'tape': use one of .*lrua.*, none"):
        preset("strokes", "default", "tape")


def test_settings_with_different_schemes_differ_in_the_scheme_alone() -> None:
    one, other = preset("strokes", "default", "ntm"), preset("strokes", "default", "location")
    assert differing(one, other) == ["addressing is ntm, not location", "scheme.read_heads is 2, not 1"]
    assert differing(one, preset("strokes", "default", "dnc")) == ["addressing is ntm, not dnc"]


def changed(where: str, value: Any) -> str:
    """Return the JSON of the defaults with one value changed or added, such as scheme.read_heads."""
    whole = json.loads(config_json(Config("strokes")))
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
        ("scheme.nope", 1),
        ("classes", "5"),
        ("classes", 5.5),
        ("classes", True),
        ("rotations", 1),
        ("rotations", "False"),
        ("learning_rate", "0.1"),
        ("learning_rate", None),
        ("root", 3),
        ("scheme", None),
        ("scheme.read_heads", "4"),
        ("scheme.read_heads", True),
        ("scheme.read_heads", 4.0),
        ("scheme.usage_decay", "0.9"),
        ("scheme.usage_decay", 3),
    ],
)
def test_edited_config_json_is_refused(tmp_path: Path, where: str, value: Any) -> None:
    path = tmp_path / "config.json"
    path.write_text(changed(where, value))
    with pytest.raises(InputError, match=rf"{path}: {where}: "):
        read_config(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"seed": 1}'])
def test_file_that_is_no_config_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: "):
        read_config(path)


def test_missing_config_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"is {tmp_path} the folder of a run?"):
        read_config(tmp_path / "config.json")


def test_differing_names_each_setting_once_and_looks_inside_schemes() -> None:
    one = replace(Config("strokes"), seed=1, scheme=LRUA(usage_decay=0.5), root=Path("here"))
    other = replace(Config("strokes"), seed=2, scheme=LRUA(usage_decay=0.25), root=Path("there"))
    assert differing(one, other) == ["scheme.usage_decay is 0.5, not 0.25", "seed is 1, not 2"]
    assert differing(one, replace(one, root=None)) == []


@pytest.mark.parametrize(("episodes", "batch", "steps"), [(1, 16, 1), (16, 16, 1), (17, 16, 2), (100, 1, 100)])
def test_episodes_are_rounded_up_to_whole_steps(episodes: int, batch: int, steps: int) -> None:
    assert replace(Config("strokes"), episodes=episodes, batch=batch).steps == steps
