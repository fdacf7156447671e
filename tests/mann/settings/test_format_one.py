"""Settings as mann 0.1.0 wrote them: the files in format_one/ are its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from data import InputError
from episodes import Copy, NGrams
from mann.addressing import DNC, LRUA, Content
from mann.settings import (
    AnyConfig,
    Config,
    Maml,
    Memory,
    Nearest,
    Prototypes,
    Recurrent,
    TaskConfig,
    config_from_json,
    config_json,
    differences,
)
from tests.mann.settings.old_format import as_format_one

FILES = Path(__file__).parent / "format_one"
LRUA_OF_IMAGES: dict[str, Any] = {"key_strength": 8.0, "write_vector": "add", "least_used": "own", "zeroed": "all"}
TASK_MEMORY: dict[str, Any] = {"controller": "feedforward", "hidden_size": 100, "activation": "relu", "word_size": 20}

EXPECTED: dict[str, AnyConfig] = {
    "memory": Config(
        "strokes",
        classes=7,
        most_classes=9,
        root=Path("images"),
        seed=3,
        model=Memory(scheme=LRUA(read_heads=2, usage_decay=0.5, start="paired", **LRUA_OF_IMAGES)),
    ),
    "none": Config("omniglot", model=Recurrent(hidden_size=50, layers=2, controller="gru")),
    "prototypes": Config("omniglot", model=Prototypes(), encoder="conv", encoder_rate=1.0),
    "nearest": Config("folder", model=Nearest(), encoder="autoencoder", encoder_rate=1.0),
    "maml": Config("omniglot", model=Maml(), encoder="conv", encoder_rate=1.0),
    "content": Config("strokes", model=Memory(initial_memory="learned", scheme=Content())),
    "dnc-copy": TaskConfig(
        sizes=Copy(bits=8, shortest=1, longest=20),
        seed=2,
        learning_rate=2e-3,
        epsilon=1e-6,
        model=Memory(**TASK_MEMORY, slots=256, initial_biases=0.5, clip_emitted=20.0, scheme=DNC(read_heads=2)),
    ),
    "lstm-ngrams": TaskConfig(
        sizes=NGrams(context=5, length=200), batch=8, episodes=48_000, model=Recurrent(hidden_size=256)
    ),
}


def text(name: str) -> str:
    """Return a config.json of mann 0.1.0."""
    return (FILES / f"{name}.json").read_text(encoding="utf-8")


def test_every_file_is_read() -> None:
    assert {path.stem for path in FILES.iterdir()} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_settings_of_format_one_are_read(name: str) -> None:
    config = config_from_json(text(name), "config.json")
    assert config == EXPECTED[name]
    assert differences(config, EXPECTED[name]) == []
    again = config_from_json(config_json(config), "config.json")
    assert again == config and json.loads(config_json(config))["format"] == 2


@pytest.mark.parametrize("name", ["memory", "content", "dnc-copy"])
def test_settings_of_a_memory_can_be_written_in_format_one(name: str) -> None:
    """`as_format_one`, with which other tests plant old runs, writes what mann 0.1.0 wrote."""
    assert json.loads(as_format_one(EXPECTED[name])) == json.loads(text(name))


def planted(name: str, **values: Any) -> str:
    """Return a config.json of mann 0.1.0 with other values; None: without them."""
    content = json.loads(text(name)) | values
    return json.dumps({key: value for key, value in content.items() if value is not None or key not in values})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("memory", {"addressing": None}, "here: 'addressing' is missing or is no setting of mann 0.1.0"),
        ("memory", {"scheme": None}, "here: 'scheme' is missing or is no setting of mann 0.1.0"),
        ("memory", {"addressing": "tape"}, "here: model.scheme: "),
        ("memory", {"addressing": ["lrua"]}, "here: "),
        ("memory", {"scheme": 3}, "here: "),
        ("memory", {"scheme": {"read_heads": 0}}, "here: model.scheme.read_heads: "),
        ("memory", {"scheme": {"shift_range": 1}}, "here: model.scheme.shift_range: "),
        ("memory", {"slots": "5"}, "here: model.slots: "),
        ("memory", {"nope": 5}, "here: nope: "),
        ("memory", {"model": {"kind": "recurrent"}, "addressing": None}, "here: 'addressing' is missing"),
        ("none", {"controller": "rnn"}, "here: model.controller: "),
        ("dnc-copy", {"task": "sort"}, "here: sizes: "),
        ("dnc-copy", {"sizes": {"bats": 1}}, "here: sizes.bats: "),
        ("dnc-copy", {"sizes": None}, "here: 'sizes' is missing"),
        ("dnc-copy", {"sizes": 3}, "here: "),
        ("prototypes", {"labels": "strings"}, "here: `model=prototypes` needs `labels=one-hot`"),
    ],
)
def test_an_edited_config_of_format_one_is_refused(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        config_from_json(planted(name, **values), "here")
    assert str(refusal.value).startswith(message) and "\n" not in str(refusal.value)
