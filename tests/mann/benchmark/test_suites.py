"""The suites: their cells, how a training ends, and how a trained model is tested."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from data import InputError
from episodes import ReverseString, TaskEpisodes
from mann.addressing import SCHEMES
from mann.benchmark import cells as running
from mann.benchmark import suite_cells
from mann.benchmark.cells import run_cell
from mann.benchmark.suite_cells import (
    ROOM,
    VALIDATIONS_RIGHT,
    SuiteCell,
    accuracy,
    cells,
    learned,
    state_after,
    with_room,
)
from mann.benchmark.suites import BASELINES, FULL, QUICK, SUITES, name_of
from mann.evaluation.task_costs import largest_trained, sizes_at
from mann.models.building import build_network
from mann.runs import Run, load_run
from mann.settings import Memory, TaskConfig, default_scheme

EVERYONE = (*SCHEMES, *BASELINES)


def quick(folder: Path, suite: str = "chomsky", names: Any = ("ntm",), budget: float = 1.0) -> list[SuiteCell]:
    """Return tiny cells of a suite."""
    return cells(folder, [suite], names, 1, QUICK, budget)


def test_every_model_is_trained_on_every_task_with_the_same_settings(tmp_path: Path) -> None:
    found = cells(tmp_path, list(SUITES), EVERYONE, 2, FULL, 1.0)
    tasks = sum(len(suite.tasks) for suite in SUITES.values())
    assert len(found) == len({cell.folder for cell in found}) == 2 * tasks * len(EVERYONE)
    assert {name_of(cell.config) for cell in found} == set(EVERYONE)
    for cell in found:
        first = next(
            one for one in found if (one.config.sizes, one.config.seed) == (cell.config.sizes, cell.config.seed)
        )
        assert replace(cell.config, model=first.config.model) == first.config
        if isinstance(cell.config.model, Memory) and isinstance(first.config.model, Memory):
            assert replace(cell.config.model, scheme=first.config.model.scheme) == first.config.model
            assert cell.config.model.scheme.read_heads == 2


def test_pairs_are_recalled_from_a_memory_of_64_by_64(tmp_path: Path) -> None:
    for cell in cells(tmp_path, ["recall"], list(SCHEMES), 1, FULL, 1.0):
        assert isinstance(cell.config.model, Memory)
        assert (cell.config.model.slots, cell.config.model.word_size, cell.room) == (64, 64, ())


def test_every_task_is_tested_at_the_largest_size_of_the_training_and_far_beyond(tmp_path: Path) -> None:
    for cell in cells(tmp_path, list(SUITES), ["lstm"], 1, FULL, 1.0):
        ((axis, trained),) = largest_trained(cell.config.task, cell.config.sizes).items()
        sizes = [setting[axis] for setting in cell.settings]
        assert sizes == list(SUITES[cell.suite].sizes) == sorted(sizes)
        assert trained in sizes and sizes[-1] >= 4 * trained


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["mad"], ["ntm"], 1, 1.0), "no suite is named 'mad': use all, or some of chomsky, recall"),
        ((["copy"], ["tape"], 1, 1.0), "no scheme is named 'tape': use all, or some of ntm, .*lstm, transformer"),
        ((["copy"], ["ntm"], 0, 1.0), "`seeds` is 0: at least 1 is needed"),
        ((["copy"], ["ntm"], 1, 0.0), "`budget` is 0.0: use minutes above 0"),
        ((["copy"], ["ntm"], 1, float("nan")), "`budget` is nan: use minutes above 0"),
    ],
)
def test_mistakes_are_refused(tmp_path: Path, arguments: Any, message: str) -> None:
    suites, names, seeds, budget = arguments
    with pytest.raises(InputError, match=message):
        cells(tmp_path, suites, names, seeds, QUICK, budget)


def validation(step: int, share: float, seconds: float = 1.0) -> dict[str, Any]:
    """Return a line of metrics with a validation."""
    return {"step": step, "seconds": seconds, "validation": {"token_accuracy": share}}


def test_a_task_is_learned_after_some_validations_without_mistakes(tmp_path: Path) -> None:
    right = [validation(step, 1.0) for step in range(1, VALIDATIONS_RIGHT + 1)]
    assert learned([validation(0, 0.5), *right, {"step": 99, "seconds": 1.0}])
    assert not learned(right[1:])
    assert not learned([*right, validation(9, 0.99)])
    assert learned([{"step": 1, "validation": {"bit_error_rate": 0.0005}}] * VALIDATIONS_RIGHT)
    assert not learned([{"step": 1, "validation": {"bit_error_rate": 0.005}}] * VALIDATIONS_RIGHT)
    (cell, *_) = quick(tmp_path, budget=2.0)
    assert not cell.ended([]) and cell.ended(right) and not cell.ended(right[1:])
    assert cell.ended([validation(1, 0.5, seconds=120.0)]) and not cell.ended([validation(1, 0.5, seconds=119.0)])


def test_the_budget_ends_a_training_and_what_it_learned_so_far_is_tested(tmp_path: Path) -> None:
    (cell,) = [one for one in quick(tmp_path, names=["lstm"], budget=1e-9) if one.column == "parity"]
    result = run_cell(cell, 1)
    steps = result["episodes"] // cell.config.batch
    assert steps == Run(cell.folder).steps_done() < cell.config.steps
    assert result == json.loads(cell.result.read_text()) == run_cell(cell, 1)
    assert (result["suite"], result["column"], result["learned"]) == ("chomsky", "parity", False)
    assert [one["setting"] for one in result["results"]] == [{"length": 4}, {"length": 8}]
    assert all(0 <= one["low"] <= one["accuracy"] <= one["high"] <= 1 for one in result["results"])


def test_a_training_that_had_ended_before_a_kill_is_tested_and_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cell,) = [one for one in quick(tmp_path, names=["lstm"], budget=1e-9) if one.column == "parity"]
    tested: list[dict[str, torch.Tensor]] = []
    measure_at = suite_cells.measure_at

    def recorded(setting: Any, network: nn.Module, *rest: Any) -> Any:
        tested.append({name: value.clone() for name, value in network.state_dict().items()})
        return measure_at(setting, network, *rest)

    monkeypatch.setattr(suite_cells, "measure_at", recorded)
    whole = run_cell(cell, 1)
    cell.result.unlink()
    monkeypatch.setattr(running, "fit", None)
    again = run_cell(cell, 1)
    assert again["results"] == whole["results"] and again["episodes"] == whole["episodes"]
    trained = load_run(Run(cell.folder), torch.device("cpu")).model.state_dict()
    assert len(tested) == 4
    for weights in tested:
        assert all(torch.equal(weights[name], value) for name, value in trained.items())


@pytest.mark.parametrize("name", EVERYONE)
def test_a_cell_of_every_model_is_trained_and_tested(tmp_path: Path, name: str) -> None:
    (cell,) = [one for one in quick(tmp_path, names=[name]) if one.column == "reverse-string"]
    result = run_cell(cell, 1)
    assert result["episodes"] == 10 * cell.config.batch and result["state_numbers"] > 0
    assert result["parameters"] > 0 and (result["test_slots"] is None) == (name in BASELINES)


def test_accuracy_is_the_share_of_right_tokens_or_bits() -> None:
    tokens = {"token_accuracy": 0.75, "intervals": {"token_accuracy": (0.7, 0.8)}}
    assert accuracy(tokens, "parity") == {"accuracy": 0.75, "low": 0.7, "high": 0.8}
    bits = {"bit_error_rate": 0.25, "intervals": {"bit_error_rate": (0.125, 0.5)}}
    assert accuracy(bits, "copy") == {"accuracy": 0.75, "low": 0.5, "high": 0.875}


def network_of(name: str, slots: int) -> tuple[TaskConfig, nn.Module]:
    """Return the settings of a small network with a scheme, and the network with other weights than it had at first."""
    memory = Memory(hidden_size=8, slots=slots, word_size=4, scheme=default_scheme(name, images=False))
    config = TaskConfig(sizes=ReverseString(), model=memory, episodes=64)
    return config, build_network(config.model, config.seed + 1, config.sizes.input_size, config.sizes.output_size)


def sequence(length: int, batch: int = 1) -> torch.Tensor:
    """Return the inputs of sequences of a length."""
    return TaskEpisodes(sizes_at(ReverseString(), {"length": length}), batch)(0).inputs


@pytest.mark.parametrize("name", SCHEMES)
def test_a_memory_with_room_has_the_same_weights_and_more_slots(name: str) -> None:
    config, network = network_of(name, 6)
    larger, slots = with_room(network, config, (9,), sequence(3))
    if slots == 6:
        # Its keys or its initial memory have a number for each slot.
        assert larger is network and name in ("content", "delta", "gated-slots", "mlstm")
        return
    assert slots == 9 and name not in ("delta", "mlstm")
    for ours, theirs in zip(network.parameters(), larger.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert state_after(larger, sequence(3)) > state_after(network, sequence(3))


def test_a_state_that_would_be_too_large_has_less_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The links of a DNC grow with the square of its slots."""
    config, network = network_of("dnc", 6)
    monkeypatch.setattr(suite_cells, "MOST_NUMBERS", 1000)
    assert with_room(network, config, (40, 20), sequence(2))[1] == 20
    assert with_room(network, config, (400, 40), sequence(2)) == (network, 6)
    config, network = network_of("lrua", 6)
    assert with_room(network, config, (40, 20), sequence(2))[1] == 40


def test_a_dnc_is_tested_with_a_slot_for_each_step_of_a_string_and_its_answer() -> None:
    config, network = network_of("dnc", 128)
    assert with_room(network, config, ROOM, sequence(2))[1] == 1024 >= 2 * SUITES["chomsky"].sizes[-1]


def test_a_large_state_is_tested_with_fewer_sequences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cell,) = [one for one in quick(tmp_path, names=["dnc"]) if one.column == "reverse-string"]
    (other,) = [one for one in quick(tmp_path / "other", names=["dnc"]) if one.column == "reverse-string"]
    few = run_cell(cell, 1)
    assert few["sequences"] == cell.test
    monkeypatch.setattr(suite_cells, "MOST_IN_BATCH", 3 * few["state_numbers"])
    assert run_cell(other, 1)["sequences"] == 3 * 2


def test_attention_over_all_steps_answers_the_same_with_more_room() -> None:
    config, network = network_of("append", 12)
    larger, _ = with_room(network, config, (40,), sequence(5))
    inputs = sequence(5, batch=3)
    torch.testing.assert_close(network(inputs)[0], larger(inputs)[0])


def test_the_cache_of_a_transformer_is_counted_after_its_steps() -> None:
    network = build_network(BASELINES["transformer"], 0, 5, 2)
    assert state_after(network, torch.zeros(7, 1, 5)) - state_after(network, torch.zeros(6, 1, 5)) == 2 * 2 * 128
    assert state_after(build_network(BASELINES["lstm"], 0, 5, 2), torch.zeros(7, 1, 5)) == 2 * 256
