"""Dataclasses that check themselves, made in Python, by `replace` and read from JSON."""

import copy
import pickle
from dataclasses import dataclass, field, replace
from timeit import timeit
from typing import Any, Literal

import numpy
import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from data import Checked, InputError
from data.checking import AtLeastOne, Positive
from mann.addressing import SCHEMES


@dataclass(frozen=True)
class Range(Checked):
    low: int = 0
    high: int = 10

    def check(self) -> None:
        if self.low > self.high:
            raise InputError(f"`low` is {self.low}: use `high` ({self.high}) or less")


@dataclass(frozen=True)
class Grid(Checked):
    rows: AtLeastOne = 1
    scale: Positive = 1.0
    kind: Literal["square", "hexagonal"] = "square"
    limit: Positive | None = None
    range: Range = field(default_factory=Range)
    pair: tuple[int, ...] = ()
    name: Literal["grid"] = field(default="grid", repr=False, kw_only=True)


def refused(kind: type, /, **fields: Any) -> str:
    """Return the message with which the fields are refused, from Python and by `replace` alike."""
    with pytest.raises(InputError) as direct:
        kind(**fields)
    with pytest.raises(InputError) as replaced:
        replace(kind(), **fields)
    assert str(direct.value) == str(replaced.value)
    return str(direct.value)


def test_a_valid_dataclass_keeps_its_values() -> None:
    grid = Grid(rows=3, scale=2, kind="hexagonal", limit=0.5, pair=(1, 2))
    assert (grid.rows, grid.scale, grid.kind, grid.limit, grid.pair) == (3, 2, "hexagonal", 0.5, (1, 2))
    assert isinstance(grid.scale, int)  # accepted as a float, not changed


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": 0}, "`rows` of grid: Input should be greater than or equal to 1, found 0"),
        ({"rows": 2.5}, "`rows` of grid: Input should be a valid integer, found 2.5"),
        ({"rows": 2.0}, "`rows` of grid: Input should be a valid integer, found 2.0"),
        ({"rows": True}, "`rows` of grid: Input should be a valid integer, found True"),
        ({"rows": "2"}, "`rows` of grid: Input should be a valid integer, found '2'"),
        ({"rows": None}, "`rows` of grid: Input should be a valid integer, found None"),
        ({"scale": float("nan")}, "`scale` of grid: Input should be a finite number, found nan"),
        ({"scale": float("inf")}, "`scale` of grid: Input should be a finite number, found inf"),
        ({"scale": 0.0}, "`scale` of grid: Input should be greater than 0, found 0.0"),
        ({"limit": -1.0}, "`limit` of grid: Input should be greater than 0, found -1.0"),
        ({"kind": "cubic"}, "`kind` of grid: Input should be 'square' or 'hexagonal', found 'cubic'"),
        ({"pair": (1, "b")}, "`pair.1` of grid: Input should be a valid integer, found 'b'"),
        ({"name": "other"}, "`name` of grid: Input should be 'grid', found 'other'"),
    ],
)
def test_a_field_is_refused_with_its_name_its_value_and_what_is_accepted(fields: dict[str, Any], message: str) -> None:
    assert refused(Grid, **fields) == message


@pytest.mark.parametrize("value", [torch.zeros(40, 40), numpy.zeros((40, 40)), "a\nb" * 500])
def test_any_value_is_refused_in_one_short_line(value: Any) -> None:
    message = refused(Grid, rows=value)
    assert message.startswith("`rows` of grid: ")
    assert "\n" not in message and len(message) < 140


def test_the_first_wrong_field_is_named() -> None:
    assert "`rows`" in refused(Grid, rows=0, scale=-1.0)
    assert "`range` of grid: " in refused(Grid, range="all")


def test_fields_are_checked_together_after_each_by_itself() -> None:
    assert refused(Range, low=11) == "`low` is 11: use `high` (10) or less"
    assert refused(Range, low="b") == "`low` of Range: Input should be a valid integer, found 'b'"
    assert Range(low=10).low == 10


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{"rows": 0}', ("rows",), "Input should be greater than or equal to 1"),
        ('{"rows": "2"}', ("rows",), "Input should be a valid integer"),
        ('{"scale": NaN}', ("scale",), "Input should be a finite number"),
        ('{"columns": 2}', ("columns",), "Unexpected keyword argument"),
        ('{"range": {"low": 11}}', ("range",), "Value error, `low` is 11: use `high` (10) or less"),
    ],
)
def test_a_problem_in_json_is_a_validation_error(text: str, place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        TypeAdapter(Grid).validate_json(text)
    (error,) = refusal.value.errors()
    assert (error["loc"], error["msg"]) == (place, message)


def test_json_that_fits_is_read() -> None:
    read = TypeAdapter(Grid).validate_json('{"rows": 2, "scale": 3, "range": {"low": 4}, "pair": [5], "name": "grid"}')
    assert read == Grid(rows=2, scale=3.0, range=Range(low=4), pair=(5,))


def test_copies_are_not_refused() -> None:
    grid = Grid(rows=3)
    assert pickle.loads(pickle.dumps(grid)) == copy.deepcopy(grid) == replace(grid) == grid


@pytest.mark.parametrize(
    ("name", "field", "value", "expected"),
    [
        ("lrua", "write_vector", "foo", "'key' or 'add'"),
        ("lrua", "read_heads", 0, "greater than or equal to 1"),
        ("lrua", "read_heads", 2.5, "a valid integer"),
        ("lrua", "key_strength", float("nan"), "a finite number"),
        ("lrua", "usage_decay", 1.5, "less than or equal to 1"),
        ("ntm", "similarity", "cosinus", "'cosine', 'dot' or 'euclidean'"),
        ("ntm", "start", "tapes", "'recall' or 'recognise'"),
        ("location", "shift_range", -1, "greater than or equal to 0"),
        ("ntm-lru", "key_strength", -0.5, "greater than or equal to 0"),
        ("lru-soft", "sharpness", 0.0, "greater than 0"),
        ("sparse", "nearest", 0, "greater than or equal to 1"),
        ("dnc", "read_heads", "2", "a valid integer"),
        ("content", "write_heads", None, "a valid integer"),
    ],
)
def test_schemes_check_their_options(name: str, field: str, value: Any, expected: str) -> None:
    message = refused(SCHEMES[name], **{field: value})
    assert message.startswith(f"`{field}` of {name}: Input should be ")
    assert expected in message and message.endswith(f", found {value!r}")


def test_making_a_copy_with_a_change_is_cheap() -> None:
    """Under 50 microseconds for the scheme with most fields, at the best of several tries."""
    scheme: Any = SCHEMES["lrua"]()
    replace(scheme)
    assert min(timeit(lambda: replace(scheme, read_heads=3), number=200) for _ in range(20)) / 200 < 50e-6
