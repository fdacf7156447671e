"""Reading `evaluation.json` back: a file that people edit is checked before anything is drawn from it."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, MinLen
from pydantic import BaseModel, ConfigDict, create_model

from data import InputError
from mann.evaluation.answers import answers_of
from mann.evaluation.task_costs import settings_of
from mann.runs.run import Run, what_is_wrong
from mann.settings.schema import AnyConfig, TaskConfig

_Count = Annotated[int, Ge(1)]
_Share = Annotated[float, Interval(ge=0, le=1)]
_Ends = tuple[float, float]


class _Known(BaseModel):
    """Every key is there and known, every value of its type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Evaluation(_Known):
    """What evaluations of all kinds have: what was learned, how the training went, and where it was measured."""

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
    alphabets: Literal["all", "one"] = "all"  # older ones do not say it
    memory: Literal["wiped", "persistent"] = "wiped"
    labels: str
    instances: Annotated[list[_Instance], MinLen(1)]
    counts: _Counts | None = None  # likewise


class _Reference(_Known):
    cost: float
    above: float
    interval: _Ends


@cache
def _of_task(task: str) -> type[BaseModel]:
    """Return what `mann.evaluation.task_costs.evaluate_task` finds for a task."""
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
    """Return the content of the evaluation.json of a run with these settings; `source` says in errors where it was.

    Raises:
        InputError: an evaluation writes something else.
    """
    kind = _of_task(config.task) if isinstance(config, TaskConfig) else _Classification
    learned = config.task if isinstance(config, TaskConfig) else "classification"
    try:
        found = kind.model_validate_json(text).model_dump()
        if found["task"] != learned:
            raise ValueError(f"it is of {found['task']}, the run of {learned}")
        if "results" in found and [result["setting"] for result in found["results"]] != settings_of(learned):
            raise ValueError("its sizes are not those of an evaluation")
    except ValueError as error:
        raise InputError(f"{source} is damaged ({what_is_wrong(error)}): evaluate the run again") from error
    return found


def read_evaluation(run: Run, config: AnyConfig) -> dict[str, Any] | None:
    """Return what the last evaluation of a run found; None: there was none.

    Raises:
        InputError: the file is damaged.
    """
    path = run.folder / "evaluation.json"
    return evaluation_from_json(path.read_bytes(), str(path), config) if path.exists() else None
