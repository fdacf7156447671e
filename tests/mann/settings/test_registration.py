"""Schemes from outside the package: known by name, kept in settings, refused in one line where they do not fit."""

import copy
import pickle
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import torch
from torch import Tensor

from data import InputError
from mann import LSTMController, MemoryNetwork, load_scheme, register_scheme
from mann.addressing import LRUA, SCHEMES, Content
from mann.settings import Config, Memory, by_option, changed, config_from_json, config_json, is_reference, preset
from tests.mann.settings.alternatives import memory_of

FILE = '''
from __future__ import annotations
from dataclasses import dataclass, field
from typing import Literal
from mann.addressing import Content

@dataclass(frozen=True)
class Sharp(Content):
    """Content addressing."""
    sharpness: float = 2.0
    """How sharp."""
    name: Literal["sharp"] = field(default="sharp", repr=False, kw_only=True)

class NoScheme:
    pass
'''


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Forget what a test registers."""
    before = dict(SCHEMES)
    yield
    SCHEMES.clear()
    SCHEMES.update(before)


@pytest.fixture
def reference(tmp_path: Path) -> str:
    """Return the reference of a scheme in a file."""
    (tmp_path / "my schemes.py").write_text(FILE)
    return f"{tmp_path}/my schemes.py:Sharp"


def test_a_reference_is_a_file_and_a_class() -> None:
    assert is_reference("a.py:B") and is_reference("/x y/a.py:B") and is_reference("~/a.py:B_2")
    assert not any(map(is_reference, ("lrua", "a.py", "a.py:", ":B", "a:B", "a.py:B.C", "a.py:B(1)")))


def test_a_loaded_scheme_is_an_option_like_any_other(reference: str) -> None:
    kind: Any = load_scheme(reference)
    assert load_scheme(reference) is kind is SCHEMES["sharp"]
    for addressing in (reference, "sharp"):
        config = preset("copy", addressing=addressing, **{"scheme.sharpness": 3.0, "slots": 5})
        assert memory_of(config).scheme == kind(sharpness=3.0)
    assert by_option(config)["addressing"] == "sharp"
    assert config_from_json(config_json(config), "config.json") == config
    with pytest.raises(InputError, match="`scheme.sharpness` of sharp: .* found 'much'"):
        changed(config, {"scheme.sharpness": "much"})
    with pytest.raises(InputError, match="`scheme.dull`|scheme.dull"):
        changed(config, {"scheme.dull": 1})


def test_a_scheme_of_a_file_may_be_used_in_settings_made_in_python(reference: str) -> None:
    kind: Any = load_scheme(reference)
    config = Config("strokes", model=Memory(scheme=kind(read_heads=3)))
    assert config_from_json(config_json(config), "config.json") == config
    damaged = config_json(config).replace('"sharpness": 2.0', '"sharpness": "2"')
    with pytest.raises(InputError, match="sharpness"):
        config_from_json(damaged, "config.json")


def test_settings_of_a_scheme_that_is_not_loaded_are_refused(reference: str) -> None:
    text = config_json(preset("copy", addressing=reference))
    del SCHEMES["sharp"]
    with pytest.raises(InputError, match=r"no addressing scheme is named 'sharp': .* FILE.py:CLASS") as caught:
        config_from_json(text, "config.json")
    assert "\n" not in str(caught.value)


def test_a_scheme_of_a_file_is_copied_and_pickled_with_its_network(reference: str) -> None:
    kind: Any = load_scheme(reference)
    scheme = kind(sharpness=4.0)
    assert copy.deepcopy(scheme) == replace(scheme) == scheme
    network = MemoryNetwork(3, 2, scheme, LSTMController, hidden_size=4, slots=4, word_size=3)
    inputs = torch.randn(3, 2, 3)
    for other in (copy.deepcopy(network), pickle.loads(cloudpickle.dumps(network))):
        assert torch.equal(other(inputs)[0], network(inputs)[0])


@dataclass(frozen=True)
class Plain(Content):
    """A scheme that is defined here."""

    name: Any = field(default="plain-content", repr=False, kw_only=True)


def test_a_class_is_registered_once_and_under_a_name_of_its_own() -> None:
    assert register_scheme(Plain) is Plain is register_scheme(Plain)
    assert memory_of(preset("copy", addressing="plain-content")).scheme == Plain()

    @dataclass(frozen=True)
    class Other(Content):
        name: Any = field(default="plain-content", repr=False, kw_only=True)

    for taken in (Other, type("Content", (Content,), {})):
        with pytest.raises(InputError, match="is that of another scheme|no frozen dataclass"):
            register_scheme(taken)
    assert SCHEMES["plain-content"] is Plain


def own(name: object = "own", **members: Any) -> type[Any]:
    """Return a scheme's class with some members of its own."""
    annotations = {"name": Any, **members.pop("annotations", {})}
    values = {"__annotations__": annotations, "__module__": __name__, "name": field(default=name, kw_only=True)}
    return dataclass(frozen=True)(type("Own", (Content,), {**values, **members}))


def _abstract() -> type[Any]:
    return own(write=Content.__mro__[1].write)


def _without_default() -> type[Any]:
    return own(annotations={"size": int}, size=field(kw_only=True))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (lambda: LRUA(), "does not derive"),
        (lambda: "lrua", "does not derive"),
        (lambda: Tensor, "does not derive"),
        (lambda: type("Bare", (Content,), {}), "no frozen dataclass"),
        (_abstract, "lacks the methods write"),
        (_without_default, "without a default: size"),
        (lambda: own("Two Words"), "'Two Words': use small letters"),
        (lambda: own(3), "the name of Own is 3"),
        (lambda: own("lrua"), "lrua, is that of another scheme, mann.addressing.lrua.LRUA"),
    ],
)
def test_a_class_that_is_no_scheme_is_refused_in_one_line(kind: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        register_scheme(kind())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (None, "X", "is not there"),
        ("x = 1", "X", "has no class X; its schemes: none"),
        (FILE, "Sharpp", "has no class Sharpp; its schemes: Sharp"),
        (FILE, "NoScheme", "NoScheme does not derive from mann.addressing.Scheme"),
        (FILE, "Literal", "has no class Literal"),
        ("def f(:\n", "X", "cannot be run: SyntaxError"),
        ("import nothing_of_this_name", "X", "cannot be run: ModuleNotFoundError"),
        ("raise ValueError('first\\nsecond')", "X", "cannot be run: ValueError: first"),
    ],
)
def test_a_file_that_holds_no_scheme_is_refused_in_one_line(
    tmp_path: Path, text: str | None, name: str, said: str
) -> None:
    if text is not None:
        (tmp_path / "own.py").write_text(textwrap.dedent(text))
    with pytest.raises(InputError, match=said) as caught:
        load_scheme(f"{tmp_path}/own.py:{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "lrua", "own.py", "own.py:", "own.txt:A"])
def test_a_text_that_names_no_class_in_a_file_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="names no class in a file: use FILE.py:CLASS"):
        load_scheme(text)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "own.py").write_text(FILE.replace('"sharp"', f'"sharp-{number}"'))
    kinds = [load_scheme(f"{tmp_path}/{number}/own.py:Sharp") for number in (1, 2)]
    assert [kind.name for kind in kinds] == ["sharp-1", "sharp-2"]
