"""The runs of the rows: which rows a name selects, the seeds, folders and settings of their runs, and tiny ones."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from data import InputError
from mann.papers.recipes import Recipes, Row
from mann.settings import AnyConfig, Config, Options, changed
from mann.settings.options import own_fields


def small(recipes: Recipes, dataset: str = "strokes") -> Recipes:
    """Return the same recipes for other images, with trainings of two steps, to see that everything runs.

    Tables of classes from one alphabet are left out: other images have no alphabets.
    """
    tables = {
        name: table._replace(content={**table.content, "dataset": dataset})
        for name, table in recipes.tables.items()
        if "alphabets" not in table.content
    }
    rows = {
        name: row._replace(
            training=_shrunk(replace(row.training, dataset=dataset)), evaluation=replace(row.evaluation, episodes=50)
        )
        for name, row in recipes.rows.items()
        if row.table in tables
    }
    return Recipes(tables, rows)


_TINY: Final[Options] = {
    **{"size": 8, "presentations": 8, "hidden_size": 8, "slots": 8, "word_size": 4, "encoder_width": 4},
    **{"batch": 2, "episodes": 4},
}


def _shrunk(config: Config) -> Config:
    """Return settings of a tiny training; a model has those of the options that it has at all."""
    names = {entry.name for part in (config, config.model) for entry in own_fields(part)}
    return changed(config, {name: value for name, value in _TINY.items() if name in names})


def chosen(recipes: Recipes, names: Sequence[str]) -> list[str]:
    """Return the rows that `names` selects: names of rows, names of tables, or "all"; in the order of the recipes.

    Raises:
        InputError: a name is none of these.
    """
    for name in names:
        if name != "all" and name not in (*recipes.rows, *recipes.tables):
            raise InputError(
                f"no row or table is named {name!r}: use all, {', '.join(recipes.tables)}, or a row of the list"
            )
    return [row for row, recipe in recipes.rows.items() if {"all", row, recipe.table} & set(names)]


def seeds_of(row: Row, asked: Sequence[int]) -> Sequence[int]:
    """Return the seeds to make of a row: those asked for, or its own."""
    return (asked or row.seeds) if row.seeds else (0,)


def run_folder(recipes: Recipes, name: str, seed: int, runs: Path) -> Path:
    """Return the folder of a row's run below `runs`: that of the first row with this training."""
    row = recipes.rows[name]
    same = (row.training, row.encoder_of)
    first = next(other for other, one in recipes.rows.items() if (one.training, one.encoder_of) == same)
    return runs / f"{first}-{seed}"


def run_settings(recipes: Recipes, name: str, seed: int, runs: Path, root: Path | None) -> AnyConfig:
    """Return the settings of a row's run: those of the row, with its seed and its folders."""
    row = recipes.rows[name]
    encoder_from = run_folder(recipes, row.encoder_of, seed, runs) if row.encoder_of else None
    return replace(row.training, seed=seed, root=root, encoder_from=encoder_from)
