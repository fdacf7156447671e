"""The commands of rows: the options of settings, which the commands read back as the same settings."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from episodes import TASKS
from mann.addressing import SCHEMES
from mann.cli.command_line import parse
from mann.cli.evaluate import Options as EvaluationOptions
from mann.cli.train import settings_of
from mann.cli.training_options import parse_training
from mann.evaluation.measurement import Measurement
from mann.papers.commands import evaluation_arguments, place_arguments, training_arguments
from mann.papers.recipes import PAPERS
from mann.papers.row_runs import small
from mann.runs import Run
from mann.settings import AnyConfig, Config, by_option, changed, preset, presets_of
from mann.settings.schema import default_scheme

DATASETS = ("omniglot", "strokes", "folder")


def read_back(arguments: list[str]) -> AnyConfig:
    """Return the settings that the training command reads from its arguments."""
    return settings_of(parse_training(arguments), Run(None))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", PAPERS.rows)
def test_the_training_of_a_row_is_read_back(name: str) -> None:
    for config in (PAPERS.rows[name].training, *(small(PAPERS).rows[name].training for _ in [0] if name in SMALL)):
        assert read_back(training_arguments(config)) == config


SMALL = small(PAPERS).rows


@pytest.mark.parametrize("task", [*DATASETS, *TASKS])
def test_every_preset_and_scheme_is_read_back(task: str) -> None:
    for name in presets_of(task):
        config = preset(task, name)
        assert read_back(training_arguments(config)) == config
    for name in SCHEMES:
        config = preset(task, addressing=name)
        assert read_back(training_arguments(config)) == config
    assert training_arguments(preset(task)) == [task]


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**32 - 1),
    "batch": st.integers(1, 1000),
    "episodes": st.integers(1, 10**9),
    "learning_rate": st.floats(1e-9, 10, allow_nan=False),
    "clip_to_median": st.none() | st.floats(1e-3, 1e3),
    "optimizer": st.sampled_from(["adam", "rmsprop"]),
    "precision": st.sampled_from(["float32", "tf32", "bfloat16"]),
}
OF_IMAGES: dict[str, st.SearchStrategy[Any]] = {
    "classes": st.integers(2, 30),
    "labels": st.sampled_from(["one-hot", "strings"]),
    "rotations": st.booleans(),
    "most_classes": st.none() | st.integers(30, 40),
    "split": st.none() | st.sampled_from(["omniglot-1200-423", "a split.json"]),
    "root": st.none() | st.sampled_from(["images", "my images/all"]),
    "length": st.none() | st.integers(1, 100),
}
OF_MEMORY: dict[str, st.SearchStrategy[Any]] = {
    "hidden_size": st.integers(1, 500),
    "controller": st.sampled_from(["lstm", "gru", "feedforward"]),
    "slots": st.integers(1, 500),
    "clip_emitted": st.none() | st.floats(1e-3, 1e3),
    "read_first": st.booleans(),
    "initial_memory": st.sampled_from(["constant", "random", "learned"]),
}
OF_SCHEMES: dict[str, st.SearchStrategy[Any]] = {
    "scheme.read_heads": st.integers(1, 8),
    "scheme.similarity": st.sampled_from(["cosine", "dot", "euclidean"]),
    "scheme.usage_decay": st.floats(0, 1),
    "scheme.write_heads": st.integers(1, 8),
    "scheme.shift_range": st.integers(0, 3),
    "scheme.key_strength": st.floats(0, 100),
}


@st.composite
def drawn_settings(draw: st.DrawFn) -> AnyConfig:
    """Draw settings of any task, model and scheme."""
    task = draw(st.sampled_from([*DATASETS, *TASKS]))
    model = draw(st.sampled_from(["memory", "recurrent", *(["prototypes"] if task in DATASETS else [])]))
    known = {**VALUES, **(OF_IMAGES if task in DATASETS else {})}
    options: dict[str, Any] = {"model": model}
    if model == "memory":
        scheme = draw(st.sampled_from(list(SCHEMES)))
        options["addressing"] = scheme
        own = {f"scheme.{name}" for name in vars(default_scheme(scheme, task in DATASETS))}
        known |= OF_MEMORY | {name: values for name, values in OF_SCHEMES.items() if name in own}
        if scheme == "lrua":
            known["scheme.write_heads"] = st.sampled_from(["each", "one"])
    elif model == "recurrent":
        known |= {name: OF_MEMORY[name] for name in ("hidden_size", "controller")}
    else:
        known.pop("labels")
    chosen = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=6))
    return changed(preset(task), {**options, **{name: draw(known[name]) for name in chosen}})


@settings(deadline=None, max_examples=30)
@given(drawn_settings())
def test_any_settings_are_read_back(config: AnyConfig) -> None:
    found = read_back(training_arguments(config))
    expected = {name: str(value) for name, value in by_option(config).items()}
    assert {name: str(value) for name, value in by_option(found).items()} == expected
    if isinstance(config, Config) and config.root is not None:
        assert str(found.root) == config.root  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "measurement",
    [row.evaluation for row in PAPERS.rows.values()]
    + [Measurement(classes=50, alphabets="one", memory="persistent", part="validation", episodes=7)]
    + [Measurement(ways=(5, 20), shots=(1, 5), queries=2, nearest=True)],
    ids=str,
)
def test_a_measurement_is_read_back(measurement: Measurement) -> None:
    assert parse(EvaluationOptions, ["RUN", *evaluation_arguments(measurement)]).measurement == measurement


def test_places_are_left_out_where_there_are_none() -> None:
    assert place_arguments(root=None) == []
    assert place_arguments(run="a folder", root="images") == ["--run", "a folder", "--root", "images"]  # pyright: ignore[reportArgumentType]
