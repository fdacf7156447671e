"""Stored results: reading them, checking that their recipe made them, and means over seeds.

A result is the file that an evaluation wrote into the run's folder, stored as ROW/seed-SEED.json.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from data import InputError, parse_json
from mann.evaluation.figures import differences
from mann.evaluation.intervals import Estimate, estimate_of, over_seeds
from mann.papers.recipes import Recipes, Row, Table
from mann.papers.row_runs import run_folder, run_settings
from mann.settings import by_option
from mann.settings.storage import config_from_plain


class Result(NamedTuple):
    """The stored result of a seed of a row.

    Attributes:
        figures: By instance, or by the number of shots.
        minutes: Minutes of training; None where nothing was trained.
        commits: Commits of the code that trained and of that which evaluated.
        evaluation: All that was stored.
    """

    figures: Mapping[int, Estimate]
    minutes: float | None
    commits: tuple[str | None, ...]
    evaluation: Mapping[str, Any]


Results = Mapping[str, Mapping[int, Result]]
"""By row and seed; a row without a result has an empty mapping."""

Place = TypeVar("Place")
"""Where a figure was measured."""


def result_path(folder: Path, row: str, seed: int) -> Path:
    """Return the path of the result of a row and a seed."""
    return folder / row / f"seed-{seed}.json"


def read_results(folder: Path, recipes: Recipes) -> Results:
    """Return all stored results.

    Raises:
        InputError: one is damaged, or was not made as its recipe says.
    """
    return {
        name: {
            seed: result_from_json(path.read_bytes(), str(path), recipes, name, seed)
            for seed, path in sorted(_stored(folder / name))
        }
        for name in recipes.rows
    }


def _stored(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield seed and path of the results in the folder of a row."""
    for path in folder.glob("seed-*.json"):
        seed = path.stem.removeprefix("seed-")
        if seed.isascii() and seed.isdecimal():
            yield int(seed), path


def result_from_json(text: bytes, source: str, recipes: Recipes, name: str, seed: int) -> Result:
    """Read a stored result.

    Args:
        text: The content of the file.
        source: The file, for errors.
        recipes: The recipes.
        name: The row.
        seed: The seed.

    Raises:
        InputError: it is damaged, or of another table, recipe or seed.
    """
    row = recipes.rows[name]
    table = recipes.tables[row.table]
    try:
        content = parse_json(text)
        training, environment = content["training"], content["environment"]
        commits, minutes = [environment["commit"]], None
        claims = {key: (content[key], expected) for key, expected in table.content.items()}
        claims |= _claims_of_evaluation(content, row)
        if training is not None:
            claims["seed"] = training["seed"], seed
            trained = _claims_of_training(training["settings"], recipes, name, seed)
            # With a prefix: the training and the evaluation have options of the same names.
            claims |= {f"training.{option}": claim for option, claim in trained.items()}
            commits.insert(0, training["environment"]["commit"])
            minutes = training["seconds"] / 60
        figures = _figures(content, table)
        differences(content, content)  # refuses damaged counts now rather than later
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{source} is damaged ({error!r}): delete it, and reproduce the row again") from error
    for key, (found, expected) in claims.items():
        if found != expected:
            raise InputError(
                f"{source}: its {key} is {found!r}, but the recipe says {expected!r}: "
                "delete it, and reproduce the row again"
            )
    return Result(figures, minutes, tuple(dict.fromkeys(commits)), content)


Claims = dict[str, tuple[Any, Any]]
"""By name, the value found and the value that the recipe has."""


def _claims_of_evaluation(content: Mapping[str, Any], row: Row) -> Claims:
    """Return the keys of a result that its measurement determines."""
    measurement = row.evaluation
    claims: Claims = {
        "episodes": (content["episodes"], measurement.episodes),
        "split": (content["split"], measurement.part),
        "alphabets": (content.get("alphabets", "all"), measurement.alphabets or row.training.alphabets),
    }
    if measurement.few_shot:
        claims["queries"] = content["queries"], measurement.queries
    else:
        claims["classes"] = content["classes"], measurement.classes or row.training.classes
        claims["memory"] = content.get("memory", "wiped"), measurement.memory or row.training.memory
    if measurement.nearest:
        claims["training"] = content["training"], None
    return claims


def _claims_of_training(settings: dict[str, Any], recipes: Recipes, name: str, seed: int) -> Claims:
    """Return the options of a training, those of its run and those of the recipe; folders count by their names."""
    found = by_option(config_from_plain(settings, "its settings"))
    expected = by_option(run_settings(recipes, name, seed, Path(), None))
    claims: Claims = {option: (found.get(option), expected[option]) for option in expected}
    claims |= {option: (found[option], None) for option in found if option not in expected}
    source = recipes.rows[name].encoder_of
    encoder = run_folder(recipes, source, seed, Path()).name if source else None
    claims["encoder_from"] = found["encoder_from"] and Path(found["encoder_from"]).name, encoder
    del claims["root"]  # the place of the images makes no difference
    return claims


def _figures(content: Mapping[str, Any], table: Table) -> dict[int, Estimate]:
    """Return the figures of a result, by instance or by the number of shots."""
    if table.ways is None:
        found = {entry["instance"]: entry for entry in content["instances"]}
    else:
        found = {entry["shots"]: entry for entry in content["results"] if entry["ways"] == table.ways}
    estimates = {at: estimate_of(entry) for at, entry in found.items()}
    for at, (value, low, high) in estimates.items():
        if not 0 <= low <= value <= high <= 1:
            raise ValueError(f"{low}, {value} and {high} are no share and its interval, at {at}")
    return estimates


def mean_figures(results: Mapping[int, Result]) -> dict[int, Estimate]:
    """Return means over seeds with their intervals, where every seed has a figure."""
    means = _means([result.figures for result in results.values()])
    return {at: Estimate(value, max(0.0, low), min(1.0, high)) for at, (value, low, high) in means.items()}


def mean_differences(results: Mapping[int, Result], others: Mapping[int, Result]) -> dict[str, Estimate]:
    """Return the difference in accuracy between two rows, over the seeds that both have, on the same episodes.

    The names of the places are those of `differences`; there are none where the episodes were not the same.
    """
    gained = [differences(results[seed].evaluation, others[seed].evaluation) for seed in results if seed in others]
    return _means([{one.at: Estimate(one.value, one.low, one.high) for one in figures} for figures in gained])


def _means(seeds: Sequence[Mapping[Place, Estimate]]) -> dict[Place, Estimate]:
    """Return means over seeds, where every seed has a figure."""
    if not seeds:
        return {}
    return {at: over_seeds([figures[at] for figures in seeds]) for at in seeds[0] if all(at in one for one in seeds)}
