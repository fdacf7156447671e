"""Lines of metrics, a JSON object each, as `metrics.jsonl` holds them."""

from typing import Annotated, Any

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, StringConstraints

from data import InputError, parse_json
from mann.support.messages import first_problem

Figures = dict[Annotated[str, StringConstraints(min_length=1)], float | None]


class MetricsLine(BaseModel):
    """The keys that every line of metrics has; all others hold figures, or groups of figures."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, float | None | Figures]  # pyright: ignore[reportIncompatibleVariableOverride]
    step: Annotated[int, Ge(1)]
    episodes: Annotated[int, Ge(1)]
    seconds: Annotated[float, Ge(0)]


def metrics_from_lines(content: bytes, source: str) -> list[dict[str, Any]]:
    """Return lines of metrics; a last line that was cut off while being written is left out.

    Args:
        content: The content of `metrics.jsonl`.
        source: The file, for errors.

    Raises:
        InputError: another line is damaged.
    """
    *lines, _ = content.split(b"\n")  # the last part is empty or a torn line: a whole line ends with a newline
    metrics = []
    for number, line in enumerate(lines, 1):
        try:
            step = MetricsLine.model_validate_json(line).step
            if metrics and step <= metrics[-1]["step"]:
                raise ValueError(f"step {step} comes after step {metrics[-1]['step']}")
            metrics.append(parse_json(line))
        except ValueError as error:
            raise InputError(
                f"{source} is damaged (line {number}: {first_problem(error)}): repair or delete it"
            ) from error
    return metrics
