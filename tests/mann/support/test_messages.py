"""Errors of libraries as one line."""

import pytest
from pydantic import BaseModel, ValidationError

from mann.support.messages import first_line, first_problem


class Point(BaseModel):
    """A point."""

    x: int
    y: int


def test_the_first_line_of_an_error_is_its_message_or_its_name() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"


def test_the_first_problem_of_a_file_names_its_place() -> None:
    with pytest.raises(ValidationError) as refusal:
        Point.model_validate({"x": "far", "y": "high"})
    assert first_problem(refusal.value).startswith("x: Input should be a valid integer")
    assert "\n" not in first_problem(refusal.value)
    assert first_problem(ValueError("damaged\nat the end")) == "damaged"
