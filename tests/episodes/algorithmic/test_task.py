"""The properties that all algorithmic tasks share."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from data import InputError
from episodes import TASKS, Recall, Regression, StringTask, TaskEpisode, TaskEpisodes

SMALLEST: Mapping[str, Mapping[str, int]] = {
    "copy": {"bits": 1, "shortest": 1, "longest": 1},
    "repeat-copy": {"bits": 1, "shortest": 1, "longest": 1, "fewest": 1, "most": 1, "trained_most": 1},
    "associative-recall": {"bits": 1, "vectors": 1, "fewest": 2, "most": 2},
    "ngrams": {"context": 1, "length": 2},
    "priority-sort": {"bits": 1, "items": 1, "answers": 1},
    "regression": {"points": 1},
    **{name: {"shortest": 1, "longest": 1} for name, task in TASKS.items() if issubclass(task, StringTask)},
    **{
        name: {"fewest": 1, "most": 1, "keys": 1, "values": 2}
        for name, task in TASKS.items()
        if issubclass(task, Recall)
    },
    "state-tracking": {"shortest": 1, "longest": 1},
}


def source_of(
    name: str, batch: int = 16, seed: int = 0, device: str = "cpu", sizes: Mapping[str, int] | None = None
) -> TaskEpisodes:
    """Return episodes of a task of some sizes."""
    make: Any = TASKS[name]
    return TaskEpisodes(make(**(sizes or {})), batch, seed, torch.device(device))


every_task = pytest.mark.parametrize("name", TASKS)


def options(name: str) -> list[str]:
    """Names of a task's sizes, which are all of its fields but `name`, the last, and the group of state tracking."""
    *sizes, last = [entry.name for entry in fields(TASKS[name])]  # pyright: ignore[reportArgumentType]
    assert last == "name"
    return [size for size in sizes if size != "group"]


def same(one: TaskEpisode, other: TaskEpisode) -> bool:
    """Whether two episodes agree in every number."""
    return all(torch.equal(left, right) for left, right in zip(one, other, strict=True))


def check(source: TaskEpisodes, episode: TaskEpisode) -> None:
    """Check what holds for every episode of every task."""
    assert [value.dtype for value in episode] == [torch.float32, torch.float32, torch.bool]
    assert episode.mask.shape[1] == source.batch
    assert episode.inputs.shape == (*episode.mask.shape, source.task.input_size)
    numbers = isinstance(source.task, Regression)
    assert episode.targets.shape == (*episode.mask.shape, 1 if numbers else source.task.output_size)
    assert episode.inputs.isfinite().all()
    assert numbers or ((episode.targets == 0) | (episode.targets == 1)).all()
    assert not episode.targets[~episode.mask].any()
    if source.task.name == "stack-manipulation":
        return  # the answer to each sequence ends at the bottom of its stack: tests of its own
    # Answers are expected at the same steps of all sequences, up to the last step.
    assert (episode.mask == episode.mask[:, :1]).all()
    answers = int(episode.mask[:, 0].sum())
    assert answers > 0 and episode.mask[-answers:].all()


@every_task
def test_an_episode_is_a_pure_function_of_seed_and_step(name: str) -> None:
    source = source_of(name, seed=3)
    first = source(7)
    torch.manual_seed(5)
    torch.rand(3)
    source(2)
    assert same(source(7), first)
    assert same(source_of(name, seed=3)(7), first)


@every_task
def test_steps_seeds_and_the_sequences_of_a_batch_all_differ(name: str) -> None:
    # Sizes are fixed, so that not they, but the bits must differ.
    kind = TASKS[name]
    strings = {"shortest": 40} if issubclass(kind, StringTask) or name == "state-tracking" else {}
    fixed = {
        "copy": {"shortest": 9, "longest": 9},
        "repeat-copy": {"shortest": 9, "longest": 9, "fewest": 1, "most": 1},
        "associative-recall": {"fewest": 6},
    }.get(name, {"fewest": 64} if issubclass(kind, Recall) else strings)
    presented = [source_of(name, seed=seed, sizes=fixed)(step).inputs for seed in (0, 1, 2**40) for step in (0, 1, 2)]
    sequences = torch.cat(presented, dim=1).transpose(0, 1).flatten(1)
    assert len(sequences) == 9 * 16
    assert len(torch.unique(sequences, dim=0)) == len(sequences)


@every_task
def test_drawing_an_episode_leaves_the_global_random_state_alone(name: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    source_of(name)(0)
    assert torch.equal(torch.get_rng_state(), before)


@every_task
@pytest.mark.parametrize("batch", [1, 7])
def test_episodes_of_the_papers_sizes_are_whole(name: str, batch: int) -> None:
    source = source_of(name, batch)
    for step in range(30):
        check(source, source(step))


@every_task
@pytest.mark.parametrize("batch", [1, 3])
def test_episodes_of_the_smallest_sizes_are_whole(name: str, batch: int) -> None:
    source = source_of(name, batch, sizes=SMALLEST[name])
    for step in range(10):
        check(source, source(step))


@every_task
def test_an_episode_may_be_changed_without_changing_its_other_parts(name: str) -> None:
    source = source_of(name)
    expected = source(0)
    for part in range(3):
        changed = source(0)
        changed[part].logical_not_()
        for other in {0, 1, 2} - {part}:
            assert torch.equal(changed[other], expected[other])


@every_task
def test_sizes_below_the_smallest_are_refused_when_made_and_by_what_checks_settings(name: str) -> None:
    task, adapter = source_of(name).task, TypeAdapter(TASKS[name])
    for option in options(name):
        least = 2 if (name, option) in {("associative-recall", "fewest"), ("associative-recall", "most")} else 1
        with pytest.raises(InputError, match=rf"\b{least - 1}\b"):
            replace(task, **{option: least - 1})  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValidationError) as caught:
            adapter.validate_json(f'{{"{option}": {least - 1}}}')
        # By the range of the option itself, which says more than the refusal of the whole.
        assert caught.value.errors()[0]["loc"] == (option,)
    with pytest.raises(InputError, match="`batch` is 0: use 1 or more"):
        TaskEpisodes(task, batch=0)


@every_task
def test_values_of_the_wrong_type_are_refused_in_one_line(name: str) -> None:
    task = source_of(name).task
    for option in options(name):
        for wrong in (math.nan, math.inf, "3", None, True, [2] * 1000):
            with pytest.raises(InputError, match=rf"^`{option}` of {name}: [^\n]*$") as caught:
                replace(task, **{option: wrong})  # pyright: ignore[reportArgumentType]
            assert len(str(caught.value)) < 200
    if name != "regression":
        with pytest.raises(InputError, match="valid integer.*, found 2.5"):
            replace(task, **{options(name)[0]: 2.5})  # pyright: ignore[reportArgumentType]


@every_task
def test_a_task_has_the_name_by_which_it_is_found_and_no_other(name: str) -> None:
    make: Any = TASKS[name]
    assert make().name == make.name == name
    assert name not in repr(make())
    with pytest.raises(InputError, match="^`name` of"):
        make(name="other")


@every_task
def test_sizes_and_name_are_kept_in_json(name: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(TASKS[name])
    task = source_of(name, sizes=SMALLEST[name]).task
    assert adapter.validate_json(adapter.dump_json(task)) == task
    assert json.loads(adapter.dump_json(task))["name"] == name
    for wrong in ('{"bitz": 3}', '{"name": "other"}'):
        with pytest.raises(ValidationError, match="bitz|name"):
            adapter.validate_json(wrong)


@every_task
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_episodes_are_drawn_on_the_device(name: str) -> None:
    source = source_of(name, device="cuda")
    episode = source(3)
    assert {value.device.type for value in episode} == {"cuda"}
    assert same(source(3), episode)
    check(source, episode)
