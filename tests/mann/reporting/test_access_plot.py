"""The picture of memory in a task's sequence has the planted values, and no others."""

from collections.abc import Sequence

import numpy
import pytest
import torch
from matplotlib.text import Annotation

from mann.reporting.access_plot import plot_access
from mann.reporting.style import VERMILION
from tests.mann.planted_access import Age, Usage, planted, random, task_episode, weightings
from tests.mann.reporting.panels import hex_of, panel, ticks, titles, values_by_head, values_of


def test_weightings_of_slots_in_use_are_plotted_head_below_head() -> None:
    writes = weightings(5, 2, 9, (0, 0, 7, 0.9), (1, 0, 2, 0.06), (3, 1, 7, 0.5), (4, 1, 4, 0.04))
    reads = weightings(5, 1, 9, (2, 0, 5, 1.0), (2, 0, 8, 0.049))
    figure = plot_access(task_episode(5, 2), torch.zeros(5, 1, 2), planted(writes, reads))
    slots = [2, 5, 7]  # the rest is not above 0.05 at any step
    written, read = panel(figure, "write weightings"), panel(figure, "read weightings")
    assert values_by_head(written) == pytest.approx(writes[:, :, slots].permute(1, 2, 0).numpy())
    assert values_by_head(read) == pytest.approx(reads[:, :, slots].permute(1, 2, 0).numpy())
    assert ticks(written) == ["2", "5", "7"] * 2
    assert ticks(read) == ["2", "5", "7"]
    assert "3 of 9" in figure.get_suptitle()
    first, second = (image.get_extent() for image in written.images)
    assert first[3] < first[2] < second[3] < second[2]  # heads do not overlap
    assert written.get_ylim() == (second[2], first[3])
    named = [(text.get_text(), text.xy[1]) for text in written.texts if isinstance(text, Annotation)]
    assert named == [(f"head {head}", (edges[2] + edges[3]) / 2) for head, edges in enumerate((first, second))]
    assert not read.texts  # there is only one head
    # A slot's label is beside its row.
    rows = [edges[3] + 0.5 + row for edges in (first, second) for row in range(3)]
    assert written.get_yticks().tolist() == pytest.approx(rows)
    assert {(image.norm.vmin, image.norm.vmax) for image in (*written.images, *read.images)} == {(0, 1)}


def test_features_have_colours_for_both_signs() -> None:
    keys = weightings(5, 2, 4, (0, 0, 1, -0.9), (3, 1, 3, 0.3))
    queries = weightings(5, 2, 4, (2, 0, 0, -0.04))
    figure = plot_access(task_episode(5, 2), torch.zeros(5, 1, 2), planted(keys, queries), "features")
    for title, values, largest in (("keys of the writes", keys, 0.9), ("queries of the reads", queries, 1e-6)):
        axes = panel(figure, title)
        assert values_by_head(axes) == pytest.approx(values[:, :, [1, 3]].permute(1, 2, 0).numpy())
        for image in axes.images:
            assert (image.norm.vmin, image.norm.vmax) == pytest.approx((-largest, largest))
    assert "2 of 4" in figure.get_suptitle()  # by magnitude


def test_vectors_are_plotted_head_below_head() -> None:
    writes, reads = weightings(4, 2, 3, (0, 0, 0, 1.0)), weightings(4, 3, 3)
    erase = random(4, 1, 2, 5)
    access = planted(writes, reads, controls={"erase": erase, "key": random(4, 1, 3, 5)}, word_size=5)
    episode = task_episode(4, 1)
    figure = plot_access(episode, torch.zeros(4, 1, 2), access)
    assert values_by_head(panel(figure, "inputs"))[0] == pytest.approx(episode.inputs[:, 0].T.numpy())
    assert values_by_head(panel(figure, "add vectors")) == pytest.approx(
        access.write.add[:, 0].permute(1, 2, 0).numpy()
    )
    assert values_by_head(panel(figure, "erase vectors")) == pytest.approx(erase[:, 0].permute(1, 2, 0).numpy())
    by_head = access.reads[:, 0].reshape(4, 3, 5)
    assert values_by_head(panel(figure, "read vectors")) == pytest.approx(by_head.permute(1, 2, 0).numpy())
    for title in ("add vectors", "read vectors"):
        numbers, norm = values_by_head(panel(figure, title)), panel(figure, title).images[0].norm
        assert (norm.vmin, norm.vmax) == (-abs(numbers).max(), abs(numbers).max())  # white is 0


def test_negative_inputs_have_colours_of_their_own() -> None:
    episode = task_episode(4, 1)
    access = planted(weightings(4, 1, 2, (0, 0, 0, 1.0)), weightings(4, 1, 2))
    plain = panel(plot_access(episode, torch.zeros(4, 1, 2), access), "inputs").images[0]
    episode.inputs[1, 0, 1] = -2
    signed = panel(plot_access(episode, torch.zeros(4, 1, 2), access), "inputs").images[0]
    assert (plain.norm.vmin, plain.norm.vmax) == (0, 1)
    assert (signed.norm.vmin, signed.norm.vmax) == (-2, 2)
    assert plain.get_cmap() != signed.get_cmap()


def test_usage_is_plotted_if_the_scheme_counts_it() -> None:
    writes, reads = weightings(4, 1, 6, (0, 0, 4, 1.0)), weightings(4, 1, 6, (2, 0, 1, 1.0))
    counted = 3 * random(4, 1, 6)
    outputs, episode = torch.zeros(4, 1, 2), task_episode(4, 1)
    for state, title in ((Usage(counted), "usage of the slots"), (Age(counted), "age of the slots")):
        figure = plot_access(episode, outputs, planted(writes, reads, state))
        axes = panel(figure, title)
        assert values_by_head(axes)[0] == pytest.approx(counted[:, 0, [1, 4]].T.numpy())
        assert ticks(axes) == ["1", "4"]
        assert "erase vectors" not in titles(figure)
    without = titles(plot_access(episode, outputs, planted(writes, reads)))
    assert not {"usage of the slots", "age of the slots"} & set(without)


def test_wrong_bits_are_marked_at_steps_with_targets() -> None:
    episode = task_episode(6, 3)
    episode.targets[4, 0, 1] = 1
    outputs = torch.full((6, 1, 2), -2.0)
    outputs[0] = 5.0  # no target at this step
    outputs[5, 0, 0] = 0.5
    access = planted(weightings(6, 1, 2, (0, 0, 0, 1.0)), weightings(6, 1, 2))
    figure = plot_access(episode, outputs, access)
    targets, answered = panel(figure, "targets"), panel(figure, "outputs")
    assert "2 of 6 bits wrong" in answered.get_title(loc="left")
    (crosses,) = answered.collections
    assert sorted(numpy.asarray(crosses.get_offsets()).tolist()) == [[5, 1], [6, 0]]
    assert hex_of(numpy.asarray(crosses.get_edgecolor())[0]) == VERMILION
    for axes, expected in ((targets, episode.targets), (answered, outputs.sigmoid())):
        values = values_by_head(axes)[0]
        assert values[:, 3:] == pytest.approx(expected[3:, 0].T.numpy())
        assert numpy.isnan(values[:, :3]).all()


def test_no_bit_is_marked_if_all_are_right() -> None:
    access = planted(weightings(3, 1, 2, (0, 0, 0, 1.0)), weightings(3, 1, 2))
    answered = panel(plot_access(task_episode(3, 1), torch.full((3, 1, 2), -1.0), access), "outputs")
    assert not answered.collections
    assert "0 of 2 bits wrong" in answered.get_title(loc="left")


@pytest.mark.parametrize(("time", "steps"), [(1, [1]), (3, [1, 2, 3]), (21, [5, 10, 16, 21])])
def test_content_is_plotted_at_four_steps_in_the_same_colours(time: int, steps: Sequence[int]) -> None:
    access = planted(weightings(time, 1, 5, (0, 0, 3, 1.0)), weightings(time, 1, 5, (time - 1, 0, 1, 0.5)))
    figure = plot_access(task_episode(time, 1), torch.zeros(time, 1, 2), access)
    assert [title for title in titles(figure) if "memory after" in title] == [
        f"memory after step {step} of {time}" for step in steps
    ]
    largest = abs(access.memory[[step - 1 for step in steps]][:, 0, [1, 3]]).max().item()
    for step in steps:
        (image,) = panel(figure, f"memory after step {step} of").images
        assert values_of(image) == pytest.approx(access.memory[step - 1, 0, [1, 3]].numpy())
        assert (image.norm.vmin, image.norm.vmax) == pytest.approx((-largest, largest))


def test_time_is_the_same_in_all_panels() -> None:
    controls = {"erase": random(7, 1, 1, 3)}
    access = planted(weightings(7, 1, 5, (0, 0, 3, 1.0)), weightings(7, 2, 5), Usage(random(7, 1, 5)), controls)
    figure = plot_access(task_episode(7, 2), torch.zeros(7, 1, 2), access)
    over_time = [name for name in titles(figure) if not name.startswith("memory after")]
    assert len(over_time) == 9
    assert sum(axes.get_label() == "<colorbar>" for axes in figure.axes) == 9 + 1  # one for all of the content
    for title in over_time:
        assert panel(figure, title).get_xlim() == (0.5, 7.5)
        assert panel(figure, title).images[0].get_extent()[:2] == [0.5, 7.5]
    figure.draw_without_rendering()
    for titles_of_column in (
        ("inputs", "add vectors", "erase vectors", "write weightings"),
        ("targets", "outputs", "read vectors", "usage", "read weightings"),
    ):
        boxes = [panel(figure, title).get_position() for title in titles_of_column]
        assert numpy.ptp([box.x0 for box in boxes]) == pytest.approx(0, abs=1e-6)
        assert numpy.ptp([box.x1 for box in boxes]) == pytest.approx(0, abs=1e-6)
        assert [box.y0 for box in boxes] == sorted((box.y0 for box in boxes), reverse=True)


@pytest.mark.parametrize(
    ("time", "slots", "sharp"), [(40, 60, [True, True]), (3000, 2, [False, True]), (3, 900, [False, False])]
)
def test_cells_have_sharp_edges_unless_some_would_be_lost(time: int, slots: int, sharp: Sequence[bool]) -> None:
    access = planted(torch.ones(time, 1, slots), torch.ones(time, 1, slots))
    figure = plot_access(task_episode(time, 1), torch.zeros(time, 1, 2), access)
    images = [panel(figure, title).images[0] for title in ("write weightings", f"memory after step {time} of")]
    assert [image.get_interpolation() == "nearest" for image in images] == sharp


def test_without_weights_above_the_threshold_the_largest_is_plotted() -> None:
    access = planted(weightings(3, 1, 4, (0, 0, 1, 0.02)), weightings(3, 1, 4, (1, 0, 2, 0.03)))
    figure = plot_access(task_episode(3, 1), torch.zeros(3, 1, 2), access)
    assert ticks(panel(figure, "write weightings")) == ["2"]
    assert "no slot had a weight above 0.05" in figure.get_suptitle()
