"""Reading `evaluation.json`. People may have edited the file, so it is validated before it is plotted."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, MinLen
from pydantic import BaseModel, ConfigDict, create_model

from data import InputError
from mann.evaluation.answers import answers_of
from mann.evaluation.task_costs import settings_of
from mann.runs import Run
from mann.settings import AnyConfig, TaskConfig
from mann.support.messages import first_problem

_Count = Annotated[int, Ge(1)]
_Share = Annotated[float, Interval(ge=0, le=1)]
_Ends = tuple[float, float]


class _Known(BaseModel):
    """A model that requires every key, refuses unknown keys and converts no types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Evaluation(_Known):
    """The keys of every evaluation: the task, the training and the environment."""

    task: str
    training: dict[str, Any]
    environment: dict[str, Any]


class _Instance(_Known):
    instance: _Count
    accuracy: _Share
    low: _Share
    high: _Share
    observations: _Count


class _Counts(_Known):
    of: str
    right: list[str]
    shown: list[str]


class _Classification(_Evaluation):
    """See `mann.evaluation.instances.evaluate`."""

    dataset: str
    split: str
    episodes: _Count
    classes: _Count
    alphabets: Literal["all", "one"] = "all"  # absent from older files
    memory: Literal["wiped", "persistent"] = "wiped"
    labels: str
    instances: Annotated[list[_Instance], MinLen(1)]
    counts: _Counts | None = None  # absent from older files


class _Reference(_Known):
    cost: float
    above: float
    interval: _Ends


@cache
def _of_task(task: str) -> type[BaseModel]:
    """Return the model of the evaluation of a task; see `mann.evaluation.task_costs.evaluate_task`."""
    figures: dict[str, Any] = dict.fromkeys(answers_of(task).figures, (float, ...))
    ends: dict[str, Any] = dict.fromkeys(figures, (_Ends, ...))
    result: dict[str, Any] = {
        **figures,
        "setting": (dict[str, _Count], ...),
        "intervals": (create_model("Intervals", __base__=_Known, **ends), ...),
        "parts": (Mapping[str, create_model("Part", __base__=_Known, **figures)], {}),
        "references": (Mapping[str, _Reference], {}),
    }
    results = Sequence[create_model("Result", __base__=_Known, **result)]
    return create_model("Evaluation", __base__=_Evaluation, sequences=(_Count, ...), results=(results, ...))


def evaluation_from_json(text: str | bytes, source: str, config: AnyConfig) -> dict[str, Any]:
    """Return the content of the evaluation.json of a run.

    Args:
        text: The content of the file.
        source: The name of the file, for error messages.
        config: The settings of the run.

    Raises:
        InputError: the content is not that of an evaluation of such a run.
    """
    is_task = isinstance(config, TaskConfig)
    kind = _of_task(config.task) if is_task else _Classification
    task = config.task if is_task else "classification"
    try:
        found = kind.model_validate_json(text).model_dump()
        if found["task"] != task:
            raise ValueError(f"task: is {found['task']}, and the run's is {task}")
        if is_task and [result["setting"] for result in found["results"]] != settings_of(task, config.sizes):
            raise ValueError("results: the sizes are not those of an evaluation")
    except ValueError as error:
        raise InputError(f"{source} is damaged ({first_problem(error)}): evaluate the run again") from error
    return found


def read_evaluation(run: Run, config: AnyConfig) -> dict[str, Any] | None:
    """Return the results of the last evaluation of a run; None if the run was not evaluated.

    Raises:
        InputError: the file is damaged.
    """
    path = run.folder / "evaluation.json"
    return evaluation_from_json(path.read_bytes(), str(path), config) if path.exists() else None
