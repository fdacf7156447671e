"""The main figures of a stored evaluation, by name and place, and paired differences between two evaluations."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from mann.evaluation.answers import answers_of
from mann.evaluation.instances import from_columns
from mann.evaluation.intervals import paired_differences
from mann.evaluation.task_costs import Setting

INSTANCES: Final = (1, 2, 3, 4, 5, 10)
"""The instances in tables, as in Santoro et al. 2016."""


class ComparedFigure(NamedTuple):
    """One measured value of a run, with its 95% interval.

    Attributes:
        at: The instance, ways and shots, or sizes of the figure, as text.
        name: The measure, such as "accuracy".
        value, low, high: The value and the ends of its interval.
    """

    at: str
    name: str
    value: float
    low: float
    high: float


def figures_of(evaluation: Mapping[str, Any]) -> list[ComparedFigure]:
    """Return the main figures of a run: accuracies by instance or by ways and shots, or the main figure by size."""
    if evaluation["task"] == "classification":
        return [
            ComparedFigure(ordinal(result["instance"]), "accuracy", result["accuracy"], result["low"], result["high"])
            for result in evaluation["instances"]
            if result["instance"] in INSTANCES
        ]
    if evaluation["task"] == "few-shot":
        return [
            ComparedFigure(few_shot_name(result), "accuracy", result["accuracy"], result["low"], result["high"])
            for result in evaluation["results"]
        ]
    main = answers_of(evaluation["task"]).main
    return [
        ComparedFigure(setting_text(result["setting"]), main, result[main], *result["intervals"][main])
        for result in evaluation["results"]
    ]


def differences(evaluation: Mapping[str, Any], first: Mapping[str, Any]) -> list[ComparedFigure]:
    """Return the differences in accuracy between a run and the first run, by instance or by ways and shots.

    The intervals are paired, which requires that both runs were evaluated on the same episodes. The list is empty
    where they were not, and for tasks.
    """
    counts, others = evaluation.get("counts"), first.get("counts")
    if not counts or not others or counts["of"] != others["of"]:
        return []
    right, before, answers = (from_columns(columns) for columns in (counts["right"], others["right"], counts["shown"]))
    found = {column: figures for column, *figures in paired_differences(right, before, answers)}
    if evaluation["task"] == "few-shot":
        names = dict(enumerate(map(few_shot_name, evaluation["results"]), 1))
    else:
        names = {instance: ordinal(instance) for instance in INSTANCES}
    return [
        ComparedFigure(names[column], "difference", *figures) for column, figures in found.items() if column in names
    ]


def few_shot_name(result: Mapping[str, Any]) -> str:
    """Return the ways and shots of a result, such as "5-way, 1-shot"."""
    return f"{result['ways']}-way, {result['shots']}-shot"


def setting_text(setting: Setting) -> str:
    """Return the sizes of a setting as text."""
    return ", ".join(f"{name} {size}" for name, size in setting.items()) or "as in training"


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, ..., 11th, ..., 21st for a number >= 0."""
    suffixes = {1: "st", 2: "nd", 3: "rd"}
    suffix = "th" if number % 100 in (11, 12, 13) else suffixes.get(number % 10, "th")
    return f"{number}{suffix}"
