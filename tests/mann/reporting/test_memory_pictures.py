"""Pictures of memory show what was planted there, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from torch import Tensor
from torch.utils import _pytree as pytree

from episodes import Episode, TaskEpisode
from mann.addressing import LRUA, NTM, SCHEMES, Scheme, Write
from mann.models.controllers import controller_kind
from mann.models.network import Access, MemoryNetwork
from mann.reporting.access_plot import plot_access, plot_binding
from mann.reporting.pictures import write_picture
from mann.reporting.style import BLUE, COLOURS, GREEN, VERMILION


class Usage(NamedTuple):
    """The state of a scheme that counts use."""

    usage: Tensor


class Age(NamedTuple):
    """The state of a scheme that counts the time without use."""

    age: Tensor


def random(*shape: int) -> Tensor:
    """Return numbers in [0, 1), the same for the same shape."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(len(shape)))


def planted(
    writes: Tensor, reads: Tensor, addressing: Any = (), controls: dict[str, Tensor] | None = None, word_size: int = 3
) -> Access:
    """Return what a network might have done; writes, reads: weights [time, heads, slots]."""
    time, heads, slots = writes.shape
    return Access(
        controls=controls or {},
        write=Write(writes[:, None], torch.ones(time, 1, slots, 1), random(time, 1, heads, word_size) - 0.5),
        read_weights=reads[:, None],
        memory=random(time, 1, slots, word_size) - 0.5,
        addressing=addressing,
        reads=random(time, 1, reads.shape[1] * word_size) - 0.5,
    )


def weightings(time: int, heads: int, slots: int, *entries: tuple[int, int, int, float]) -> Tensor:
    """Return weights [time, heads, slots] that are 0 but for (step from 0, head, slot, weight)."""
    weights = torch.zeros(time, heads, slots)
    for step, head, slot, weight in entries:
        weights[step, head, slot] = weight
    return weights


def task_episode(time: int, asked: int, bits: int = 2) -> TaskEpisode:
    """Return an episode whose last steps ask for bits, all of them 0."""
    mask = torch.arange(time)[:, None] >= time - asked
    return TaskEpisode(random(time, 1, bits + 1).round(), torch.zeros(time, 1, bits), mask)


def panel(figure: Figure, title: str) -> Axes:
    """Return the panel whose title starts so."""
    (found,) = [axes for axes in figure.axes if axes.get_title(loc="left").startswith(title)]
    return found


def titles(figure: Figure) -> list[str]:
    """Return the first words of all panels' titles."""
    names = [axes.get_title(loc="left") for axes in figure.axes]
    return [name.split(":")[0] for name in names if name]


def values_of(image: AxesImage) -> numpy.ndarray:
    """Return the numbers of an image, NaN where it is masked."""
    return numpy.ma.filled(numpy.ma.asarray(image.get_array(), dtype=float), numpy.nan)


def hex_of(colour: Any) -> str:
    """Return a colour as the style names it."""
    return to_hex(colour).upper()


def drawn(axes: Axes) -> numpy.ndarray:
    """Return the images of a panel, one for each head."""
    return numpy.stack([values_of(image) for image in axes.images])


def ticks(axes: Axes) -> list[str]:
    """Return what the rows are called."""
    return [label.get_text() for label in axes.get_yticklabels()]


def test_weightings_of_slots_in_use_stand_head_below_head() -> None:
    writes = weightings(5, 2, 9, (0, 0, 7, 0.9), (1, 0, 2, 0.06), (3, 1, 7, 0.5), (4, 1, 4, 0.04))
    reads = weightings(5, 1, 9, (2, 0, 5, 1.0), (2, 0, 8, 0.049))
    figure = plot_access(task_episode(5, 2), torch.zeros(5, 1, 2), planted(writes, reads))
    slots = [2, 5, 7]  # the rest is not above 0.05 at any step
    written, read = panel(figure, "write weightings"), panel(figure, "read weightings")
    assert drawn(written) == pytest.approx(writes[:, :, slots].permute(1, 2, 0).numpy())
    assert drawn(read) == pytest.approx(reads[:, :, slots].permute(1, 2, 0).numpy())
    assert ticks(written) == ["2", "5", "7"] * 2
    assert ticks(read) == ["2", "5", "7"]
    assert "3 of 9" in figure.get_suptitle()
    first, second = (image.get_extent() for image in written.images)
    assert first[3] < first[2] < second[3] < second[2]  # no head hides another
    assert written.get_ylim() == (second[2], first[3])
    named = [(text.get_text(), text.xy[1]) for text in written.texts if isinstance(text, Annotation)]
    assert named == [(f"head {head}", (edges[2] + edges[3]) / 2) for head, edges in enumerate((first, second))]
    assert not read.texts  # there is only one
    # A slot is named where it is drawn.
    rows = [edges[3] + 0.5 + row for edges in (first, second) for row in range(3)]
    assert written.get_yticks().tolist() == pytest.approx(rows)
    assert {(image.norm.vmin, image.norm.vmax) for image in (*written.images, *read.images)} == {(0, 1)}


def test_vectors_stand_head_below_head() -> None:
    writes, reads = weightings(4, 2, 3, (0, 0, 0, 1.0)), weightings(4, 3, 3)
    erase = random(4, 1, 2, 5)
    access = planted(writes, reads, controls={"erase": erase, "key": random(4, 1, 3, 5)}, word_size=5)
    episode = task_episode(4, 1)
    figure = plot_access(episode, torch.zeros(4, 1, 2), access)
    assert drawn(panel(figure, "inputs"))[0] == pytest.approx(episode.inputs[:, 0].T.numpy())
    assert drawn(panel(figure, "add vectors")) == pytest.approx(access.write.add[:, 0].permute(1, 2, 0).numpy())
    assert drawn(panel(figure, "erase vectors")) == pytest.approx(erase[:, 0].permute(1, 2, 0).numpy())
    by_head = access.reads[:, 0].reshape(4, 3, 5)
    assert drawn(panel(figure, "read vectors")) == pytest.approx(by_head.permute(1, 2, 0).numpy())
    for title in ("add vectors", "read vectors"):
        numbers, norm = drawn(panel(figure, title)), panel(figure, title).images[0].norm
        assert (norm.vmin, norm.vmax) == (-abs(numbers).max(), abs(numbers).max())  # white is 0


def test_negative_inputs_are_told_from_positive_ones() -> None:
    episode = task_episode(4, 1)
    access = planted(weightings(4, 1, 2, (0, 0, 0, 1.0)), weightings(4, 1, 2))
    plain = panel(plot_access(episode, torch.zeros(4, 1, 2), access), "inputs").images[0]
    episode.inputs[1, 0, 1] = -2
    signed = panel(plot_access(episode, torch.zeros(4, 1, 2), access), "inputs").images[0]
    assert (plain.norm.vmin, plain.norm.vmax) == (0, 1)
    assert (signed.norm.vmin, signed.norm.vmax) == (-2, 2)
    assert plain.get_cmap() != signed.get_cmap()


def test_use_of_slots_is_shown_where_the_scheme_counts_it() -> None:
    writes, reads = weightings(4, 1, 6, (0, 0, 4, 1.0)), weightings(4, 1, 6, (2, 0, 1, 1.0))
    counted = 3 * random(4, 1, 6)
    outputs, episode = torch.zeros(4, 1, 2), task_episode(4, 1)
    for state, title in ((Usage(counted), "usage of the slots"), (Age(counted), "age of the slots")):
        figure = plot_access(episode, outputs, planted(writes, reads, state))
        axes = panel(figure, title)
        assert drawn(axes)[0] == pytest.approx(counted[:, 0, [1, 4]].T.numpy())
        assert ticks(axes) == ["1", "4"]
        assert "erase vectors" not in titles(figure)
    without = titles(plot_access(episode, outputs, planted(writes, reads)))
    assert not {"usage of the slots", "age of the slots"} & set(without)


def test_wrong_bits_are_marked_where_they_are_asked_for() -> None:
    episode = task_episode(6, 3)
    episode.targets[4, 0, 1] = 1
    outputs = torch.full((6, 1, 2), -2.0)
    outputs[0] = 5.0  # nothing is asked there
    outputs[5, 0, 0] = 0.5
    access = planted(weightings(6, 1, 2, (0, 0, 0, 1.0)), weightings(6, 1, 2))
    figure = plot_access(episode, outputs, access)
    asked, answered = panel(figure, "answers asked for"), panel(figure, "the network's answers")
    assert "2 of 6 bits wrong" in answered.get_title(loc="left")
    (crosses,) = answered.collections
    assert sorted(numpy.asarray(crosses.get_offsets()).tolist()) == [[5, 1], [6, 0]]
    assert hex_of(numpy.asarray(crosses.get_edgecolor())[0]) == VERMILION
    for axes, expected in ((asked, episode.targets), (answered, outputs.sigmoid())):
        shown = drawn(axes)[0]
        assert shown[:, 3:] == pytest.approx(expected[3:, 0].T.numpy())
        assert numpy.isnan(shown[:, :3]).all()


def test_no_bit_is_marked_when_all_are_right() -> None:
    access = planted(weightings(3, 1, 2, (0, 0, 0, 1.0)), weightings(3, 1, 2))
    answered = panel(plot_access(task_episode(3, 1), torch.full((3, 1, 2), -1.0), access), "the network's answers")
    assert not answered.collections
    assert "0 of 2 bits wrong" in answered.get_title(loc="left")


@pytest.mark.parametrize(("time", "moments"), [(1, [1]), (3, [1, 2, 3]), (21, [5, 10, 16, 21])])
def test_content_is_shown_at_four_moments_in_the_same_colours(time: int, moments: Sequence[int]) -> None:
    access = planted(weightings(time, 1, 5, (0, 0, 3, 1.0)), weightings(time, 1, 5, (time - 1, 0, 1, 0.5)))
    figure = plot_access(task_episode(time, 1), torch.zeros(time, 1, 2), access)
    assert [title for title in titles(figure) if "memory after" in title] == [
        f"memory after step {moment} of {time}" for moment in moments
    ]
    largest = abs(access.memory[[moment - 1 for moment in moments]][:, 0, [1, 3]]).max().item()
    for moment in moments:
        (image,) = panel(figure, f"memory after step {moment} of").images
        assert values_of(image) == pytest.approx(access.memory[moment - 1, 0, [1, 3]].numpy())
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
        ("answers asked for", "the network's answers", "read vectors", "usage", "read weightings"),
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


def test_without_a_weight_to_speak_of_the_largest_is_shown() -> None:
    access = planted(weightings(3, 1, 4, (0, 0, 1, 0.02)), weightings(3, 1, 4, (1, 0, 2, 0.03)))
    figure = plot_access(task_episode(3, 1), torch.zeros(3, 1, 2), access)
    assert ticks(panel(figure, "write weightings")) == ["2"]
    assert "no slot had a weight above 0.05" in figure.get_suptitle()


def test_pictures_of_several_sequences_or_of_other_answers_are_refused() -> None:
    network, inputs = small_network(NTM()), torch.zeros(3, 2, 4)
    outputs, _, access = network.trace(inputs)
    two = TaskEpisode(inputs, torch.zeros_like(outputs), torch.ones(3, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="one sequence, and here are 2"):
        plot_access(two, outputs, access)
    with pytest.raises(ValueError, match="one sequence, and here are 2"):
        plot_binding(class_episode([[0, 0], [1, 1]]), torch.zeros(2, 2, 1, 3), access)
    with pytest.raises(ValueError, match="no logits for bits"):
        plot_access(two._replace(targets=torch.zeros(3, 2, 1)), outputs, access)


def class_episode(labels: Sequence[Sequence[int]], characters: int = 1) -> Episode:
    """Return drawings of 4 x 4 pixels with these labels; labels: by step, the sequences', each of equal characters."""
    targets = torch.tensor(labels)[..., None].expand(-1, -1, characters)
    time, batch, _ = targets.shape
    seen = [[sum(row[b] == now[b] for row in labels[: t + 1]) for b in range(batch)] for t, now in enumerate(labels)]
    return Episode(
        images=random(time, batch, 4, 4),
        previous=torch.zeros(time, batch, 5 * characters),
        targets=targets,
        presentation=torch.tensor(seen),
        classes=targets[..., 0] + 40,
    )


def one_sequence(*labels: int) -> Episode:
    """Return a sequence of these labels."""
    return class_episode([[label] for label in labels])


def answers(*labels: int, symbols: int = 5) -> Tensor:
    """Return logits [time, 1, 1, symbols] of these answers."""
    return torch.nn.functional.one_hot(torch.tensor(labels), symbols).float()[:, None, None]


def main_panel(figure: Figure) -> Axes:
    """Return the panel of slots over time."""
    (found,) = [axes for axes in figure.axes if axes.get_ylabel().startswith("slot")]
    return found


def strip(figure: Figure, row: str) -> Axes:
    """Return the panel above it that has a row of this name."""
    (found,) = [axes for axes in figure.axes if row in ticks(axes)]
    return found


class Marked(NamedTuple):
    """A mark: the step from 1, the row from 0, its size and its colour."""

    step: int
    row: int
    size: float
    colour: str


def marks(figure: Figure, name: str) -> list[Marked]:
    """Return the marks of a kind, "new", "again" or "read", in the order of steps and rows."""
    (found,) = [kind for kind in main_panel(figure).collections if kind.get_label() == name]
    assert isinstance(found, PathCollection)
    colours = found.get_facecolor() if name == "read" else found.get_edgecolor()
    # Hollow ones have no face, and filled ones no edge.
    assert len(found.get_edgecolor() if name == "read" else found.get_facecolor()) == 0
    places = [(round(step), round(row)) for step, row in numpy.asarray(found.get_offsets())]
    return sorted(
        Marked(*place, float(size), hex_of(colour))
        for place, size, colour in zip(places, found.get_sizes(), colours, strict=True)
    )


def placed(found: Sequence[Marked]) -> list[tuple[int, int, str]]:
    """Return steps, rows and colours."""
    return [(mark.step, mark.row, mark.colour) for mark in found]


def test_a_label_is_bound_to_the_slot_of_its_drawing() -> None:
    writes = weightings(
        *(4, 2, 6),
        *((0, 1, 5, 1.0), (1, 1, 2, 1.0)),  # drawings of classes 1 and 0 go to fresh slots
        *((1, 0, 5, 0.8), (2, 0, 2, 0.6), (3, 0, 5, 0.7)),  # their labels follow a step later
    )
    # The second step looks into the slot of the other class as well.
    reads = weightings(4, 2, 6, (0, 0, 5, 0.9), (1, 0, 2, 0.9), (1, 0, 5, 0.2), (2, 0, 5, 0.5))
    figure = plot_binding(one_sequence(1, 0, 1, 0), answers(0, 0, 1, 0), planted(writes, reads))
    one, zero = COLOURS[1], COLOURS[0]
    assert ticks(main_panel(figure)) == ["5", "2"]
    assert placed(marks(figure, "new")) == [(1, 0, one), (2, 1, zero)]
    assert placed(marks(figure, "again")) == [(2, 0, one), (3, 1, zero), (4, 0, one)]
    assert placed(marks(figure, "read")) == [(1, 0, one), (2, 0, zero), (2, 1, zero), (3, 0, one)]
    assert "2 of 6 slots" in figure.get_suptitle()


def test_a_write_after_a_wipe_is_for_its_own_drawing() -> None:
    writes = weightings(3, 1, 2, (0, 0, 0, 1.0), (1, 0, 0, 1.0), (2, 0, 0, 1.0))
    access = planted(writes, weightings(3, 1, 2))
    access.write.keep[1, 0, 0] = 0.4
    access.write.keep[2, 0, 0] = 0.6
    figure = plot_binding(one_sequence(0, 1, 2), answers(0, 0, 0), access)
    assert placed(marks(figure, "new")) == [(1, 0, COLOURS[0]), (2, 0, COLOURS[1])]
    assert placed(marks(figure, "again")) == [(3, 0, COLOURS[1])]


def test_the_area_of_marks_is_in_proportion_to_the_weights_as_the_legend_says() -> None:
    writes = weightings(4, 2, 3, (0, 0, 0, 0.3), (0, 1, 0, 0.3), (2, 0, 1, 1.0), (3, 0, 1, 0.25))
    reads = weightings(4, 2, 3, (1, 0, 2, 0.5), (3, 1, 2, 0.125))
    figure = plot_binding(one_sequence(0, 1, 0, 1), answers(0, 0, 0, 0), planted(writes, reads))
    in_legend = [
        float(handle.get_markersize()) ** 2
        for legend in figure.legends
        for handle in legend.legend_handles
        if isinstance(handle, Line2D)
    ]
    expected = {"new": [0.6, 1.0], "again": [0.25], "read": [0.5, 0.125]}
    for (name, weights), of_one in zip(expected.items(), in_legend, strict=True):
        assert [mark.size for mark in marks(figure, name)] == pytest.approx([weight * of_one for weight in weights])


def test_small_weights_are_left_out_unless_heads_add_up() -> None:
    writes = weightings(2, 2, 8, (0, 0, 1, 0.099), (0, 0, 2, 0.06), (0, 1, 2, 0.06))
    reads = weightings(2, 2, 8, (0, 1, 3, 0.09), (1, 0, 4, 0.07), (1, 1, 4, 0.07), (1, 0, 2, 0.099))
    figure = plot_binding(one_sequence(0, 1), answers(0, 1), planted(writes, reads))
    assert ticks(main_panel(figure)) == ["2", "4"]
    assert placed(marks(figure, "new")) == [(1, 0, COLOURS[0])]
    assert placed(marks(figure, "read")) == [(2, 1, COLOURS[1])]


def test_slots_are_in_the_order_of_their_first_write() -> None:
    writes = weightings(5, 1, 9, (3, 0, 1, 0.5), (1, 0, 7, 0.5), (4, 0, 7, 0.9), (2, 0, 4, 0.2))
    reads = weightings(5, 1, 9, (0, 0, 4, 0.9), (4, 0, 0, 0.9), (2, 0, 8, 0.9), (0, 0, 1, 0.05))
    figure = plot_binding(one_sequence(0, 0, 0, 0, 0), answers(0, 0, 0, 0, 0), planted(writes, reads))
    assert ticks(main_panel(figure)) == ["7", "4", "1", "8", "0"]  # the last two were only read
    bottom, top = main_panel(figure).get_ylim()
    assert (top, bottom) == (-0.5, 4.5)


def test_a_row_is_tinted_in_the_colour_of_the_last_drawing_written_there() -> None:
    writes = weightings(6, 1, 3, (1, 0, 2, 1.0), (2, 0, 2, 1.0), (4, 0, 2, 1.0))
    reads = weightings(6, 1, 3, (0, 0, 1, 1.0))
    figure = plot_binding(one_sequence(0, 1, 2, 0, 2, 0), answers(*[0] * 6), planted(writes, reads))
    tints = [patch for patch in main_panel(figure).patches if isinstance(patch, Rectangle)]
    assert [(tint.get_x(), tint.get_width(), hex_of(tint.get_facecolor())) for tint in tints] == [
        (1.5, 3, COLOURS[1]),  # the write at the third step adds the label
        (4.5, 2, COLOURS[2]),
    ]
    assert {tint.get_y() + tint.get_height() / 2 for tint in tints} == {0.0}


def test_what_was_shown_and_answered_stands_above() -> None:
    episode = one_sequence(3, 1, 3)
    access = planted(weightings(3, 1, 2, (0, 0, 0, 1.0)), weightings(3, 1, 2))
    figure = plot_binding(episode, answers(1, 4, 3), access)
    above = strip(figure, "label")
    rows = {row: ticks(above).index(row) for row in ("shown for the nth time", "label", "answer", "right or wrong")}
    texts = {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in above.texts}
    for row, expected in (("shown for the nth time", "112"), ("label", "313"), ("answer", "143")):
        assert [texts[step, rows[row]] for step in (1, 2, 3)] == list(expected)
    colours = numpy.asarray(above.images[0].get_array())
    one, three = COLOURS[0], COLOURS[1]
    assert [hex_of(colour) for colour in colours[rows["label"]]] == [three, one, three]
    # No class of the sequence has the label 4.
    assert [hex_of(colour) for colour in colours[rows["answer"]]] == [one, "#FFFFFF", three]
    judged = {kind.get_label(): kind for kind in above.collections}
    for name, steps, colour in (("right", [3], GREEN), ("wrong", [1, 2], VERMILION)):
        places = numpy.asarray(judged[name].get_offsets()).tolist()
        assert places == [[step, rows["right or wrong"]] for step in steps]
        assert hex_of(numpy.asarray(judged[name].get_facecolor())[0]) == colour
    assert "1 of 3 answers were right" in figure.get_suptitle()


def test_drawings_are_shown_while_they_can_be_recognised() -> None:
    for time in (3, 60, 61):
        episode = one_sequence(*(step % 2 for step in range(time)))
        access = planted(weightings(time, 1, 2, (0, 0, 0, 1.0)), weightings(time, 1, 2))
        figure = plot_binding(episode, answers(*[0] * time), access)
        assert any("drawing" in ticks(axes) for axes in figure.axes) == (time <= 60)
        if time <= 60:
            shown = strip(figure, "drawing").images
            assert [sum(image.get_extent()[:2]) / 2 for image in shown] == pytest.approx(range(1, time + 1))
            for image, expected in zip(shown, episode.images[:, 0], strict=True):
                assert values_of(image) == pytest.approx(expected.numpy())


def test_strings_are_written_in_letters() -> None:
    episode = class_episode([[0], [2], [0]], characters=5)
    episode = episode._replace(targets=episode.targets + torch.tensor([0, 1, 0, 2, 0]))
    logits = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0, 2, 0], [2, 3, 2, 4, 1], [4] * 5]), 5).float()[:, None]
    access = planted(weightings(3, 1, 2, (0, 0, 0, 1.0)), weightings(3, 1, 2))
    figure = plot_binding(episode, logits, access)
    above = strip(figure, "label")
    by_row = [[text.get_text() for text in above.texts if round(text.get_position()[1]) == row] for row in (1, 2)]
    assert by_row == [["abaca", "cdcec", "abaca"], ["abaca", "cdceb", "eeeee"]]
    assert "1 of 3 answers were right" in figure.get_suptitle()


def test_the_legend_names_every_class_and_colours_begin_anew_after_the_last() -> None:
    labels = [9, 0, 8, 1, 7, 2, 6, 3, 5, 4]
    access = planted(weightings(10, 1, 2, (0, 0, 0, 1.0)), weightings(10, 1, 2))
    figure = plot_binding(one_sequence(*labels), answers(*labels, symbols=10), access)
    named = {
        text.get_text(): hex_of(handle.get_facecolor())
        for legend in figure.legends
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if isinstance(handle, Rectangle) and text.get_text().isdigit()
    }
    assert named == {str(label): COLOURS[label % 8] for label in range(10)}
    assert named["0"] == BLUE == named["8"]


def test_memory_that_was_never_used_makes_an_empty_picture(tmp_path: Path) -> None:
    figure = plot_binding(one_sequence(0, 1), answers(0, 1), planted(weightings(2, 1, 3), weightings(2, 1, 3)))
    assert not ticks(main_panel(figure))
    assert not any(marks(figure, name) for name in ("new", "again", "read"))
    write_picture(figure, tmp_path / "empty.png")


def small_network(
    scheme: Scheme, inputs: int = 4, outputs: int = 3, slots: int = 5, word_size: int = 4
) -> MemoryNetwork:
    """Return a network with random weights, large enough that it does something."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = MemoryNetwork(inputs, outputs, scheme, controller_kind("lstm", 1), 4, slots, word_size)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(3)
    return network


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("name", list(SCHEMES))
def test_every_scheme_has_pictures_that_change_nothing(name: str, heads: int) -> None:
    scheme = cast("Any", SCHEMES[name])(read_heads=heads)
    # One of everything, or more.
    time, slots, word_size = (1, 1, 1) if heads == 1 else (6, 7, 4)
    network = small_network(scheme, slots=slots, word_size=word_size)
    inputs = random(time, 1, 4)
    outputs, _, access = network.trace(inputs)
    task = TaskEpisode(inputs, random(time, 1, 3).round(), torch.ones(time, 1, dtype=torch.bool))
    classes, logits = one_sequence(*(step % 3 for step in range(time))), outputs.unflatten(-1, (1, 3))
    everything = (task, outputs, access, classes, logits)
    before = [leaf.clone() for leaf in pytree.tree_leaves(everything)]
    figure = plot_access(task, outputs, access)
    assert drawn(panel(figure, "read weightings")).shape[::2] == (heads, time)
    assert ("erase vectors" in titles(figure)) == ("erase" in access.controls)
    counts_use = {"usage", "age"} & set(access.addressing._fields)
    assert bool({"usage of the slots", "age of the slots"} & set(titles(figure))) == bool(counts_use)
    assert len(marks(plot_binding(classes, logits, access), "read")) > 0
    for kept, leaf in zip(before, pytree.tree_leaves(everything), strict=True):
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
        figure.draw_without_rendering()  # nothing that has no room left


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_in_other_precisions_have_pictures(dtype: torch.dtype) -> None:
    access = planted(weightings(3, 1, 2, (0, 0, 1, 1.0)), weightings(3, 1, 2))
    access = pytree.tree_map(lambda leaf: leaf.to(dtype).requires_grad_(), access)
    outputs = torch.zeros(3, 1, 2, dtype=dtype, requires_grad=True)
    assert ticks(panel(plot_access(task_episode(3, 1), outputs, access), "write weightings")) == ["1"]
    logits = answers(0, 1, 0).to(dtype).requires_grad_()
    assert ticks(main_panel(plot_binding(one_sequence(0, 1, 0), logits, access))) == ["1"]
