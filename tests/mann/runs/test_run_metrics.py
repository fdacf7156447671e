"""Lines of metrics: appended, cut back to a checkpoint, and refused where they are damaged."""

import json
from typing import Any

import pytest

from data import InputError
from mann.runs import Run


def line(step: int) -> dict[str, Any]:
    """Return a line of metrics without figures."""
    return {"step": step, "episodes": 16 * step, "seconds": 0.5 * step}


def test_metrics_are_appended_line_by_line(tiny_run: Run) -> None:
    lines = [
        line(1) | {"loss": 0.1 + 0.2},
        line(2) | {"loss": 1e-300, "accuracy": {"1": None}, "validation": {"1": 0.3}},
    ]
    for one in lines:
        tiny_run.log(one)
    assert tiny_run.metrics() == lines
    assert tiny_run.metrics_path.read_text() == "".join(json.dumps(one) + "\n" for one in lines)


@pytest.mark.parametrize("torn", ['{"step": 3', '{"step": 3}', "{", "\0\0\0"])
def test_a_torn_last_line_is_dropped(tiny_run: Run, torn: str) -> None:
    for step in (1, 2):
        tiny_run.log(line(step))
    whole = tiny_run.metrics_path.read_text()
    tiny_run.metrics_path.write_text(whole + torn)
    assert tiny_run.metrics() == [line(1), line(2)]
    tiny_run.keep_metrics_until(2)
    assert tiny_run.metrics_path.read_text() == whole


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (b'{"step": 2', "EOF while parsing"),
        (b"", "Invalid JSON"),
        (b"7", "Input should be"),
        (b"[]", "Input should be"),
        (b'"step"', "Input should be"),
        (b"\xff", "Invalid JSON"),
        (b"[" * 100_000, "recursion limit"),
        ({"loss": 1.0}, "step: Field required"),
        ({"step": 2, "episodes": 3}, "seconds: Field required"),
        (line(2) | {"step": "2"}, "step: "),
        (line(2) | {"step": 2.0}, "step: "),
        (line(2) | {"seconds": -1}, "seconds: "),
        (line(2) | {"loss": "small"}, "loss: "),
        (line(2) | {"accuracy": [0.5]}, "accuracy: "),
        (line(2) | {"accuracy": {"1": "0.5"}}, "accuracy: "),
        (line(1), "step 1 comes after step 1"),
    ],
)
def test_damaged_metrics_are_refused_by_line(tiny_run: Run, damaged: Any, message: str) -> None:
    content = damaged if isinstance(damaged, bytes) else json.dumps(damaged).encode()
    tiny_run.metrics_path.write_bytes(json.dumps(line(1)).encode() + b"\n" + content + b"\n")
    with pytest.raises(InputError, match=rf"metrics.jsonl is damaged \(line 2: .*{message}.*\): repair or delete it"):
        tiny_run.keep_metrics_until(2)


def test_metrics_after_the_checkpoint_are_dropped(tiny_run: Run) -> None:
    tiny_run.keep_metrics_until(0)
    assert tiny_run.metrics() == []
    for step in (10, 20, 30):
        tiny_run.log(line(step))
    tiny_run.keep_metrics_until(20)
    assert tiny_run.metrics() == [line(10), line(20)]
