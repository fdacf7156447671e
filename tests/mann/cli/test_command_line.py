"""Command lines as typed options: values, and the refusal of each kind of mistake."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from data import InputError
from mann.cli import command_line
from mann.cli.command_line import field_docs, parse


@dataclass(frozen=True, kw_only=True)
class Base:
    """Options that another class extends."""

    number_of_rows: int = 1
    """Rows,
    counted from one."""


@dataclass(frozen=True, kw_only=True)
class Options(Base):
    """All options."""

    folder: tyro.conf.Positional[Path]
    """A folder."""
    limit: float | None = 2.5
    """A limit (none: no limit)."""
    kind: Literal["square", "round"] | None = None
    """The kind."""
    sizes: tuple[int, ...] = ()
    """Sizes."""
    whole: bool = False
    """All of it."""

    def __post_init__(self) -> None:
        """Check the rows."""
        if self.number_of_rows < 1:
            raise InputError("`number_of_rows` is too small: use `whole`")


def options(**changes: object) -> Options:
    """Return options with the folder "here"."""
    return Options(**{"folder": Path("here"), **changes})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("here", options()),
        ("here --number-of-rows 3 --whole", options(number_of_rows=3, whole=True)),
        ("here --limit none", options(limit=None)),
        ("here --limit None", options(limit=None)),
        ("here --limit 0.5", options(limit=0.5)),
        ("here --kind round", options(kind="round")),
        ("here --kind none", options(kind=None)),
        ("here --sizes 1 2 3", options(sizes=(1, 2, 3))),
        ("here --sizes", options(sizes=())),
        ("here --no-whole", options()),
    ],
)
def test_options_are_read(line: str, expected: Options) -> None:
    assert parse(Options, line.split(), prog="tool") == expected


MISTAKES = [
    ("", "FOLDER is missing; --help explains it"),
    ("here --rows 3", "unrecognized options: --rows 3; --help lists all options"),
    ("here --number-of-row 3", "unrecognized options: --number-of-row 3; did you mean --number-of-rows?"),
    ("here --limits=3", "unrecognized options: --limits=3; did you mean --limit?"),
    ("here there", "unrecognized options: there; --help lists all options"),
    ("here --limit", "--limit: a value is missing"),
    ("here --limit high", "--limit: expected none|FLOAT, found 'high'"),
    ("here --number-of-rows 1.5", "--number-of-rows: expected INT, found '1.5'"),
    ("here --kind flat", "--kind: expected none|{square,round}, found 'flat'"),
    ("here --sizes 1 b", "--sizes: expected [INT [INT ...]], found '1'"),
    ("here --number-of-rows 0", "`number_of_rows` is too small: use `whole`"),
]


@pytest.mark.parametrize(("line", "message"), MISTAKES)
def test_a_mistake_is_refused_in_one_line(line: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(Options, line.split(), prog="tool")
    assert str(refusal.value) == message


@pytest.mark.parametrize("line", [line for line, _ in MISTAKES])
def test_without_tyros_private_module_tyro_reports_the_mistake_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    monkeypatch.setattr(command_line, "reported", None)
    with pytest.raises(SystemExit) as ended:
        parse(Options, line.split(), prog="tool")
    assert ended.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert parse(Options, ["here"], prog="tool") == options()


def test_a_mistake_of_a_kind_that_is_not_known_is_left_to_tyro(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "_message", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        parse(Options, ["here", "--limit", "high"], prog="tool")
    assert ended.value.code == 2


def test_a_subcommand_is_required_first() -> None:
    either = Annotated[Base, tyro.conf.subcommand("one")] | Annotated[Options, tyro.conf.subcommand("two")]
    names = {"animal": ["one", "two"]}
    assert parse(either, ["one"], subcommands=names) == Base()
    for arguments, named in (([], ""), (["--option"], ""), (["three"], " 'three'")):
        with pytest.raises(InputError, match=f"^no animal is named{named}: use one of one, two$"):
            parse(either, arguments, subcommands=names)


def test_docstrings_of_fields_are_found_with_those_of_the_base() -> None:
    assert list(field_docs(Options)) == ["number_of_rows", "folder", "limit", "kind", "sizes", "whole"]
    assert field_docs(Options)["number_of_rows"] == "Rows, counted from one."
