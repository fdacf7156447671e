"""Settings by the names of their options: reading, changing, comparing."""

import ast
import inspect
from collections import defaultdict
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings

from data import DATASETS, InputError
from episodes import TASKS, Copy
from mann.addressing import DNC, LRUA, NTM, SCHEMES
from mann.settings import (
    MODELS,
    AnyConfig,
    Config,
    Memory,
    Nearest,
    Prototypes,
    Recurrent,
    TaskConfig,
    by_option,
    changed,
    differences,
    preset,
)
from mann.settings.options import options_of_model, own_fields
from tests.mann.settings.alternatives import memory_of, settings_of_any_kind


def test_every_field_is_an_option_under_its_own_name() -> None:
    config = Config("strokes", model=Memory(scheme=NTM(read_heads=3)), seed=4)
    options = by_option(config)
    assert (options["model"], options["addressing"], options["scheme.read_heads"]) == ("memory", "ntm", 3)
    assert (options["seed"], options["slots"], options["dataset"]) == (4, 64, "strokes")
    names = [name for part in (Config, Memory) for name in (entry.name for entry in own_fields(part))]
    schemes = [f"scheme.{entry.name}" for entry in own_fields(NTM)]
    assert sorted(options) == sorted({*names, *schemes, "addressing"} - {"scheme"})
    task = by_option(TaskConfig(sizes=Copy(longest=7), model=Recurrent()))
    assert (task["sizes.longest"], task["model"]) == (7, "recurrent")
    assert not any(name.startswith("scheme") or name in ("addressing", "slots", "sizes") for name in task)


def test_options_do_not_collide() -> None:
    """An option has one place: the settings or the model; those that models share mean the same."""
    of_models: dict[str, set[Any]] = defaultdict(set)
    for model in MODELS.values():
        hints = get_type_hints(model, include_extras=True)
        for entry in own_fields(model):
            of_models[entry.name].add((str(hints[entry.name]), entry.default if entry.name != "scheme" else ""))
    assert all(len(meanings) == 1 for meanings in of_models.values())
    for kind in (Config, TaskConfig):
        own = {entry.name for entry in own_fields(kind)}
        assert not own & set(of_models)
        assert "addressing" not in own | set(of_models)
        assert not any("." in name for name in own | set(of_models))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(settings_of_any_kind())
def test_settings_follow_from_the_options_in_which_they_differ_from_the_default(config: AnyConfig) -> None:
    default = preset(config.task_name)
    other = {
        name: value
        for name, value in by_option(config).items()
        if name in ("model", "addressing") or value != options_of_model(default, _kind(config)).get(name, _ABSENT)
    }
    assert changed(default, other) == config
    assert changed(default, by_option(config)) == config
    assert changed(config, {}) == config
    assert differences(config, config) == []


_ABSENT = object()


def _kind(config: AnyConfig) -> dict[str, Any]:
    """Return the options that name the model and the scheme."""
    options = by_option(config)
    return {name: options[name] for name in ("model", "addressing") if name in options}


def test_options_of_models_and_schemes_are_changed_by_name() -> None:
    config = changed(Config("strokes"), {"hidden_size": 8, "scheme.usage_decay": 0.5, "classes": 7})
    assert config == Config("strokes", classes=7, model=Memory(hidden_size=8, scheme=_default(usage_decay=0.5)))
    task = changed(TaskConfig(sizes=Copy()), {"sizes.longest": 5, "addressing": "dnc", "scheme.read_heads": 4})
    assert task.sizes == Copy(longest=5) and memory_of(task).scheme == DNC(read_heads=4)
    assert changed(task, {"sizes": Copy(bits=2), "sizes.longest": 9}).sizes == Copy(bits=2, longest=9)
    assert changed(task, {"scheme": LRUA(), "scheme.read_heads": 1}).model == replace(memory_of(task), scheme=LRUA(1))


def _default(**options: Any) -> LRUA:
    """Return the default scheme with other options."""
    defaults = {"key_strength": 8.0, "write_vector": "add", "least_used": "own", "zeroed": "all", "start": "paired"}
    return LRUA(read_heads=2, **{**defaults, **options})


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("addressing", SCHEMES)
def test_a_scheme_comes_with_its_own_options(dataset: str, addressing: str) -> None:
    config = preset(dataset, addressing=addressing)
    assert type(memory_of(config).scheme) is SCHEMES[addressing]
    # The default keeps its options.
    assert (config == preset(dataset)) == (addressing == "delta")
    assert (memory_of(config).initial_memory == "constant") == (addressing != "content")
    assert changed(config, {"addressing": addressing}) == config


def test_an_explicit_option_wins_over_one_that_comes_with_a_scheme_or_a_model() -> None:
    assert by_option(preset("strokes", addressing="content", initial_memory="random"))["initial_memory"] == "random"
    assert by_option(preset("strokes", model="prototypes", encoder_rate=0.3))["encoder_rate"] == 0.3


def test_models_share_the_options_that_they_have_in_common() -> None:
    config = changed(Config("strokes"), {"hidden_size": 9, "controller": "gru", "layers": 2, "slots": 5})
    without = changed(config, {"model": "recurrent"})
    assert without.model == Recurrent(hidden_size=9, controller="gru", layers=2)
    with_memory = changed(without, {"model": "memory"})
    assert with_memory.model == Memory(hidden_size=9, controller="gru", layers=2)
    task = changed(preset("copy", "lstm"), {"model": "memory"})
    assert task.model == changed(TaskConfig(sizes=Copy()), {"hidden_size": 256}).model
    assert changed(config, {"model": Nearest()}).model == Nearest()


@pytest.mark.parametrize("name", ["none", "prototypes", "nearest", "maml"])
def test_former_values_of_addressing_name_a_model(name: str) -> None:
    extra = {"encoder": "conv"} if name == "maml" else {}
    model = "recurrent" if name == "none" else name
    assert preset("strokes", addressing=name, **extra) == preset("strokes", model=model, **extra)


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (Config("strokes"), {"scheme.write_heads": 2, "addressing": "dnc"}, "`scheme.write_heads` is an option of ntm"),
        (Config("strokes"), {"scheme.nearest": 2}, "`scheme.nearest` is an option of sparse, not of lrua"),
        (Config("strokes"), {"scheme.speed": 2}, "strokes has no option named 'scheme.speed'"),
        (
            Config("strokes", model=Recurrent()),
            {"slots": 2},
            "`slots` is an option of `model=memory`, not of `model=rec",
        ),
        (
            Config("strokes", model=Prototypes()),
            {"hidden_size": 2},
            "`hidden_size` is an option of `model=memory`, not",
        ),
        (
            Config("strokes", model=Recurrent()),
            {"scheme.read_heads": 2},
            "`scheme.read_heads` is an option of `model=mem",
        ),
        (Config("strokes"), {"addressing": "tape"}, "no addressing scheme is named 'tape': use one of ntm, content,"),
        (Config("strokes"), {"model": "lstm"}, "no model of strokes is named 'lstm': use one of memory, recurrent, t"),
        (
            Config("strokes"),
            {"model": "recurrent", "addressing": "dnc"},
            "`addressing=dnc` is for `model=memory`, not for `model=recurrent`",
        ),
        (Config("strokes"), {"sizes.longest": 3}, "strokes has no option named 'sizes.longest'"),
        (Config("strokes"), {"kind": "memory"}, "strokes has no option named 'kind'"),
        (TaskConfig(sizes=Copy()), {"classes": 3}, "copy has no option named 'classes'"),
        (TaskConfig(sizes=Copy()), {"sizes.items": 3}, "copy has no option named 'sizes.items'"),
        (TaskConfig(sizes=Copy()), {"sizes.name": "ngrams"}, "copy has no option named 'sizes.name'"),
        (
            TaskConfig(sizes=Copy()),
            {"model": "prototypes"},
            "no model of copy is named 'prototypes': use one of memory, recurrent, transformer",
        ),
        (TaskConfig(sizes=Copy()), {"addressing": "nearest"}, "no model of copy is named 'nearest': use one of memory"),
    ],
)
def test_options_that_settings_do_not_have_are_refused(config: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        changed(config, options)
    assert str(refusal.value).startswith(message) and "\n" not in str(refusal.value)


def test_changed_options_are_checked() -> None:
    with pytest.raises(InputError, match=r"^`scheme.usage_decay` of lrua: .* found 7"):
        changed(Config("strokes"), {"scheme.usage_decay": 7})
    with pytest.raises(InputError, match="^`sizes.shortest` is 5 and `sizes.longest` only 3: lower"):
        changed(TaskConfig(sizes=Copy()), {"sizes.shortest": 5, "sizes.longest": 3})
    with pytest.raises(InputError, match="^`memory=persistent` needs `model=memory`"):
        changed(Config("strokes", memory="persistent"), {"model": "recurrent"})


def test_differences_name_each_option_once_and_look_into_schemes() -> None:
    one = Config("strokes", seed=1, root=Path("here"), model=Memory(scheme=LRUA(usage_decay=0.5)))
    other = Config("strokes", seed=2, root=Path("there"), model=Memory(scheme=LRUA(usage_decay=0.25)))
    assert differences(one, other) == ["`scheme.usage_decay` is 0.5, not 0.25", "`seed` is 1, not 2"]
    assert differences(one, changed(one, {"root": None, "on_nonfinite": "skip"})) == []


def test_settings_with_different_schemes_differ_in_the_scheme_and_in_the_options_that_both_have() -> None:
    one, other = preset("strokes", addressing="ntm"), preset("strokes", addressing="location")
    assert differences(one, other) == ["`addressing` is ntm, not location", "`scheme.read_heads` is 2, not 1"]
    assert differences(one, preset("strokes", addressing="dnc")) == ["`addressing` is ntm, not dnc"]
    assert differences(one, preset("strokes", model="recurrent")) == ["`model` is memory, not recurrent"]


def test_settings_of_different_tasks_differ_in_the_task() -> None:
    copy = preset("copy")
    assert differences(copy, changed(copy, {"hidden_size": 9})) == ["`hidden_size` is 100, not 9"]
    assert differences(copy, changed(copy, {"sizes.bits": 9})) == ["`sizes.bits` is 8, not 9"]
    assert differences(copy, preset("ngrams")) == ["the task is copy, not ngrams"]
    assert differences(copy, Config("strokes")) == ["the task is copy, not strokes"]


@pytest.mark.parametrize("task", [*DATASETS, *TASKS])
def test_options_of_another_model_are_its_own_defaults_before_other_changes(task: str) -> None:
    config = preset(task)
    found = options_of_model(config, {"model": "recurrent"})
    assert found == by_option(changed(config, {"model": "recurrent"}))
    assert options_of_model(config, {"addressing": "sparse"})["scheme.nearest"] == 4
    assert options_of_model(config, {}) == by_option(config)


def test_every_option_is_documented() -> None:
    for kind in (Config, TaskConfig, *MODELS.values(), *SCHEMES.values(), *TASKS.values()):
        (body,) = (node.body for node in ast.parse(inspect.getsource(kind)).body if isinstance(node, ast.ClassDef))
        own = {entry.name for entry in fields(kind)} & set(kind.__dict__.get("__annotations__", {}))
        names = {
            node.target.id
            for node, after in zip(body, body[1:], strict=False)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        }
        assert names == {name for name in kind.__dataclass_fields__ if name in own}  # pyright: ignore[reportAttributeAccessIssue]
