"""The pictures of memory of real networks: every addressing scheme, extreme sizes, other precisions."""

from typing import Any, cast

import pytest
import torch

from episodes import TaskEpisode
from mann.addressing import LRUA, NTM, SCHEMES
from mann.reporting.access_plot import plot_access
from mann.reporting.binding_plot import plot_binding
from mann.support.trees import leaves_of, map_leaves
from tests.mann.planted_access import (
    answers,
    class_episode,
    one_sequence,
    planted,
    random,
    small_network,
    task_episode,
    weightings,
)
from tests.mann.reporting.panels import main_panel, marks, panel, ticks, titles, values_by_head


def test_batches_and_outputs_of_other_shapes_are_refused() -> None:
    network, inputs = small_network(NTM()), torch.zeros(3, 2, 4)
    outputs, _, access = network.trace(inputs)
    two = TaskEpisode(inputs, torch.zeros_like(outputs), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="expected a batch of one sequence, got 2"):
        plot_access(two, outputs, access)
    with pytest.raises(ValueError, match="expected a batch of one sequence, got 2"):
        plot_binding(class_episode([[0, 0], [1, 1]]), torch.zeros(2, 2, 1, 3), access)
    with pytest.raises(ValueError, match="are not logits of bits"):
        plot_access(two._replace(targets=torch.zeros(3, 2, 1)), outputs, access)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("name", list(SCHEMES))
def test_every_scheme_has_pictures_and_its_tensors_are_not_changed(name: str, heads: int) -> None:
    scheme = cast("Any", SCHEMES[name])(read_heads=heads)
    # One step, slot and element, or several.
    time, slots, word_size = (1, 1, 1) if heads == 1 else (6, 7, 4)
    network = small_network(scheme, slots=slots, word_size=word_size)
    inputs = random(time, 1, 4)
    outputs, _, access = network.trace(inputs)
    task = TaskEpisode(inputs, random(time, 1, 3).round(), torch.ones(time, 1, dtype=torch.bool))
    classes, logits = one_sequence(*(step % 3 for step in range(time))), outputs.unflatten(-1, (1, 3))
    everything = (task, outputs, access, classes, logits)
    before = [leaf.clone() for leaf in leaves_of(everything)]
    figure = plot_access(task, outputs, access)
    assert values_by_head(panel(figure, "read weightings")).shape[::2] == (heads, time)
    assert ("erase vectors" in titles(figure)) == ("erase" in access.controls)
    counts_use = {"usage", "age"} & set(access.addressing._fields)
    assert bool({"usage of the slots", "age of the slots"} & set(titles(figure))) == bool(counts_use)
    assert len(marks(plot_binding(classes, logits, access), "read")) > 0
    for kept, leaf in zip(before, leaves_of(everything), strict=True):
        assert torch.equal(kept, leaf)


@pytest.mark.parametrize(("time", "classes", "slots", "word_size"), [(1, 1, 1, 1), (250, 25, 128, 40)])
def test_the_smallest_and_large_pictures_fit_on_a_page(time: int, classes: int, slots: int, word_size: int) -> None:
    network = small_network(LRUA(), slots=slots, word_size=word_size)
    outputs, _, access = network.trace(random(time, 1, 4))
    episode = one_sequence(*(step % classes for step in range(time)))
    for figure in (
        plot_access(task_episode(time, 1, bits=3), outputs, access),
        plot_binding(episode, torch.zeros(time, 1, 1, classes), access),
    ):
        assert max(figure.get_size_inches()) < 26
        figure.draw_without_rendering()  # warns of panels without room


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_in_other_precisions_have_pictures(dtype: torch.dtype) -> None:
    access = planted(weightings(3, 1, 2, (0, 0, 1, 1.0)), weightings(3, 1, 2))
    access = map_leaves(lambda leaf: leaf.to(dtype).requires_grad_(), access)
    outputs = torch.zeros(3, 1, 2, dtype=dtype, requires_grad=True)
    assert ticks(panel(plot_access(task_episode(3, 1), outputs, access), "write weightings")) == ["1"]
    logits = answers(0, 1, 0).to(dtype).requires_grad_()
    assert ticks(main_panel(plot_binding(one_sequence(0, 1, 0), logits, access))) == ["1"]
