"""Presets: whole settings by name."""

from typing import Any

import pytest

from data import DATASETS, InputError
from episodes import TASKS
from mann.addressing import LRUA, NTM, SCHEMES
from mann.models.building import build_model
from mann.settings import MODELS, Config, Memory, TaskConfig, by_option, default_scheme, preset, presets_of
from mann.settings.presets import PRESETS, TASK_PRESETS, with_preset
from tests.mann.settings.alternatives import PRESETS as ALL
from tests.mann.settings.alternatives import memory_of

REQUIRED: dict[str, dict[str, Any]] = {"maml": {"encoder": "conv", "counting": "exact"}}
"""Options without which a model is refused."""


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_changes_its_options_and_no_others(dataset: str, name: str) -> None:
    config, default = preset(dataset, name), by_option(Config(dataset))  # pyright: ignore[reportArgumentType]
    found = by_option(config)
    named = dict(PRESETS[name])
    scheme = named.pop("scheme", None) or ("addressing" in named and default_scheme(named["addressing"], True))
    assert {option: found[option] for option in named} == named
    for option, value in found.items():
        if option not in named and not (scheme and option.startswith("scheme.")):
            assert value == default[option]
    if scheme:
        assert memory_of(config).scheme == scheme


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_a_default_and_its_presets_are_of_the_task(task: str) -> None:
    names = list(presets_of(task))
    assert names[0] == "default" and set(names) <= set(TASK_PRESETS)
    for name in names:
        config = preset(task, name)
        assert isinstance(config, TaskConfig)
        assert config.sizes == TASKS[task]()
        assert with_preset(config, name, {}) == config


def test_unknown_presets_and_tasks_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"no preset of strokes is named 'fast': use one of default, lrua, paper, demo$"
    ):
        preset("strokes", "fast")
    with pytest.raises(InputError, match="no preset of copy is named 'paper': use one of default, lstm, paper-f"):
        preset("copy", "paper")
    with pytest.raises(InputError, match=r"no task is named 'mnist': use one of omniglot, strokes, folder, copy"):
        preset("mnist")
    with pytest.raises(InputError, match="strokes has no option named 'hidden'"):
        preset("strokes", hidden=3)


def test_options_of_a_preset_can_be_changed_again() -> None:
    config = preset("strokes", "paper", **{"slots": 16, "scheme.read_heads": 2, "classes": 15})
    assert isinstance(config, Config) and isinstance(config.model, Memory)
    assert (config.classes, config.model.slots, memory_of(config).scheme) == (15, 16, LRUA(read_heads=2))
    assert config.optimizer == "rmsprop"


@pytest.mark.parametrize("name", [*DATASETS, *TASKS])
def test_activations_are_tanh_for_images_and_rectified_for_the_tasks(name: str) -> None:
    assert by_option(preset(name))["activation"] == ("relu" if name in TASKS else "tanh")


@pytest.mark.parametrize("name", [*DATASETS, *TASKS])
def test_heads_of_an_ntm_start_by_recognising_for_images(name: str) -> None:
    scheme = memory_of(preset(name, addressing="ntm")).scheme
    assert isinstance(scheme, NTM)
    assert (scheme.start == "recognise") == (name in DATASETS)
    assert scheme.read_heads > 1 or name in TASKS


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_has_its_own_defaults_except_two(name: str, images: bool) -> None:
    scheme = default_scheme(name, images)
    assert type(scheme) is SCHEMES[name]
    assert (scheme == SCHEMES[name]()) == (not (name == "lrua" or (name == "ntm" and images)))


@pytest.mark.parametrize(("task", "name"), ALL, ids=["-".join(pair) for pair in ALL])
def test_every_preset_builds_every_model_and_every_scheme(task: str, name: str) -> None:
    small = {"hidden_size": 3, "layers": 2, "seed": 5}
    for model in MODELS if task in DATASETS else ("memory", "recurrent"):
        if model == "maml":
            continue  # needs learn2learn; see the tests of MAML
        if model == "memory":
            alternatives = [{"addressing": scheme, **small, "slots": 5, "word_size": 3} for scheme in SCHEMES]
        else:
            alternatives = [{"model": model, **(small if model == "recurrent" else {})}]
        for options in alternatives:
            config = preset(task, name, **REQUIRED.get(model, {}), **options)
            network = build_model(config)
            assert config.model.kind == model
            if model == "memory":
                assert memory_of(config).scheme.name == options["addressing"]
                assert getattr(network, "network", network).scheme == memory_of(config).scheme
                assert getattr(network, "network", network).slots == 5
            elif model == "recurrent":
                assert any(weight.shape[0] % 3 == 0 for weight in network.parameters())
