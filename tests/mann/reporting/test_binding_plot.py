"""The picture of the binding of classes to slots has the planted marks, and no others."""

from collections.abc import Sequence
from pathlib import Path

import numpy
import pytest
import torch
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from mann.reporting.binding_plot import plot_binding
from mann.reporting.pictures import write_picture
from mann.reporting.style import BLUE, COLOURS, GREEN, VERMILION
from tests.mann.planted_access import answers, class_episode, one_sequence, planted, weightings
from tests.mann.reporting.panels import Marked, hex_of, main_panel, marks, strip, ticks, values_of


def without_sizes(found: Sequence[Marked]) -> list[tuple[int, int, str]]:
    """Return the steps, rows and colours of marks."""
    return [(mark.step, mark.row, mark.colour) for mark in found]


def test_a_label_is_bound_to_the_slot_of_its_image() -> None:
    writes = weightings(
        *(4, 2, 6),
        *((0, 1, 5, 1.0), (1, 1, 2, 1.0)),  # images of classes 1 and 0 are written to unused slots
        *((1, 0, 5, 0.8), (2, 0, 2, 0.6), (3, 0, 5, 0.7)),  # their labels follow a step later
    )
    # The second step reads the slot of the other class as well.
    reads = weightings(4, 2, 6, (0, 0, 5, 0.9), (1, 0, 2, 0.9), (1, 0, 5, 0.2), (2, 0, 5, 0.5))
    figure = plot_binding(one_sequence(1, 0, 1, 0), answers(0, 0, 1, 0), planted(writes, reads))
    one, zero = COLOURS[1], COLOURS[0]
    assert ticks(main_panel(figure)) == ["5", "2"]
    assert without_sizes(marks(figure, "image write")) == [(1, 0, one), (2, 1, zero)]
    assert without_sizes(marks(figure, "label write")) == [(2, 0, one), (3, 1, zero), (4, 0, one)]
    assert without_sizes(marks(figure, "read")) == [(1, 0, one), (2, 0, zero), (2, 1, zero), (3, 0, one)]
    assert "2 of 6 slots" in figure.get_suptitle()


def test_where_weights_are_features_a_row_is_what_one_step_wrote() -> None:
    keys = weightings(3, 1, 4, (0, 0, 0, 1.0), (1, 0, 1, 1.0), (2, 0, 2, 1.0))
    queries = weightings(3, 1, 4, (0, 0, 3, 1.0), (1, 0, 3, 1.0), (2, 0, 1, 0.5), (2, 0, 0, -0.9))
    figure = plot_binding(one_sequence(1, 0, 1), answers(1, 0, 1), planted(keys, queries), "features")
    one, zero = COLOURS[1], COLOURS[0]
    assert ticks(main_panel(figure)) == ["1", "2", "3"]
    assert without_sizes(marks(figure, "image write")) == [(1, 0, one)]
    # The second step has the label of the first image, which is read by the third, of the same class.
    assert without_sizes(marks(figure, "label write")) == [(2, 1, one), (3, 2, zero)]
    assert without_sizes(marks(figure, "read")) == [(3, 1, one)]
    assert "what each step wrote" in figure.get_suptitle() and "slot" not in figure.get_suptitle()


def test_a_write_that_erases_stores_its_own_image() -> None:
    writes = weightings(3, 1, 2, (0, 0, 0, 1.0), (1, 0, 0, 1.0), (2, 0, 0, 1.0))
    access = planted(writes, weightings(3, 1, 2))
    access.write.keep[1, 0, 0] = 0.4
    access.write.keep[2, 0, 0] = 0.6
    figure = plot_binding(one_sequence(0, 1, 2), answers(0, 0, 0), access)
    assert without_sizes(marks(figure, "image write")) == [(1, 0, COLOURS[0]), (2, 0, COLOURS[1])]
    assert without_sizes(marks(figure, "label write")) == [(3, 0, COLOURS[1])]


def test_the_area_of_marks_is_proportional_to_the_weights_as_in_the_legend() -> None:
    writes = weightings(4, 2, 3, (0, 0, 0, 0.3), (0, 1, 0, 0.3), (2, 0, 1, 1.0), (3, 0, 1, 0.25))
    reads = weightings(4, 2, 3, (1, 0, 2, 0.5), (3, 1, 2, 0.125))
    figure = plot_binding(one_sequence(0, 1, 0, 1), answers(0, 0, 0, 0), planted(writes, reads))
    in_legend = [
        float(handle.get_markersize()) ** 2
        for legend in figure.legends
        for handle in legend.legend_handles
        if isinstance(handle, Line2D)
    ]
    expected = {"image write": [0.6, 1.0], "label write": [0.25], "read": [0.5, 0.125]}
    for (name, weights), of_one in zip(expected.items(), in_legend, strict=True):
        assert [mark.size for mark in marks(figure, name)] == pytest.approx([weight * of_one for weight in weights])


def test_small_weights_are_left_out_unless_heads_add_up() -> None:
    writes = weightings(2, 2, 8, (0, 0, 1, 0.099), (0, 0, 2, 0.06), (0, 1, 2, 0.06))
    reads = weightings(2, 2, 8, (0, 1, 3, 0.09), (1, 0, 4, 0.07), (1, 1, 4, 0.07), (1, 0, 2, 0.099))
    figure = plot_binding(one_sequence(0, 1), answers(0, 1), planted(writes, reads))
    assert ticks(main_panel(figure)) == ["2", "4"]
    assert without_sizes(marks(figure, "image write")) == [(1, 0, COLOURS[0])]
    assert without_sizes(marks(figure, "read")) == [(2, 1, COLOURS[1])]


def test_slots_are_in_the_order_of_their_first_write() -> None:
    writes = weightings(5, 1, 9, (3, 0, 1, 0.5), (1, 0, 7, 0.5), (4, 0, 7, 0.9), (2, 0, 4, 0.2))
    reads = weightings(5, 1, 9, (0, 0, 4, 0.9), (4, 0, 0, 0.9), (2, 0, 8, 0.9), (0, 0, 1, 0.05))
    figure = plot_binding(one_sequence(0, 0, 0, 0, 0), answers(0, 0, 0, 0, 0), planted(writes, reads))
    assert ticks(main_panel(figure)) == ["7", "4", "1", "8", "0"]  # the last two were only read
    bottom, top = main_panel(figure).get_ylim()
    assert (top, bottom) == (-0.5, 4.5)


def test_a_row_has_the_colour_of_the_last_image_written_to_it() -> None:
    writes = weightings(6, 1, 3, (1, 0, 2, 1.0), (2, 0, 2, 1.0), (4, 0, 2, 1.0))
    reads = weightings(6, 1, 3, (0, 0, 1, 1.0))
    figure = plot_binding(one_sequence(0, 1, 2, 0, 2, 0), answers(*[0] * 6), planted(writes, reads))
    tints = [patch for patch in main_panel(figure).patches if isinstance(patch, Rectangle)]
    assert [(tint.get_x(), tint.get_width(), hex_of(tint.get_facecolor())) for tint in tints] == [
        (1.5, 3, COLOURS[1]),  # the write at the third step adds the label
        (4.5, 2, COLOURS[2]),
    ]
    assert {tint.get_y() + tint.get_height() / 2 for tint in tints} == {0.0}


def test_labels_and_answers_are_plotted_above_the_slots() -> None:
    episode = one_sequence(3, 1, 3)
    access = planted(weightings(3, 1, 2, (0, 0, 0, 1.0)), weightings(3, 1, 2))
    figure = plot_binding(episode, answers(1, 4, 3), access)
    above = strip(figure, "label")
    rows = {row: ticks(above).index(row) for row in ("presentation", "label", "answer", "correct")}
    texts = {(round(text.get_position()[0]), round(text.get_position()[1])): text.get_text() for text in above.texts}
    for row, expected in (("presentation", "112"), ("label", "313"), ("answer", "143")):
        assert [texts[step, rows[row]] for step in (1, 2, 3)] == list(expected)
    colours = numpy.asarray(above.images[0].get_array())
    one, three = COLOURS[0], COLOURS[1]
    assert [hex_of(colour) for colour in colours[rows["label"]]] == [three, one, three]
    # No class of the sequence has the label 4.
    assert [hex_of(colour) for colour in colours[rows["answer"]]] == [one, "#FFFFFF", three]
    judged = {kind.get_label(): kind for kind in above.collections}
    for name, steps, colour in (("correct", [3], GREEN), ("wrong", [1, 2], VERMILION)):
        places = numpy.asarray(judged[name].get_offsets()).tolist()
        assert places == [[step, rows["correct"]] for step in steps]
        assert hex_of(numpy.asarray(judged[name].get_facecolor())[0]) == colour
    assert "1 of 3 answers are correct" in figure.get_suptitle()


def test_images_are_plotted_while_they_can_be_recognised() -> None:
    for time in (3, 60, 61):
        episode = one_sequence(*(step % 2 for step in range(time)))
        access = planted(weightings(time, 1, 2, (0, 0, 0, 1.0)), weightings(time, 1, 2))
        figure = plot_binding(episode, answers(*[0] * time), access)
        assert any("image" in ticks(axes) for axes in figure.axes) == (time <= 60)
        if time <= 60:
            images = strip(figure, "image").images
            assert [sum(image.get_extent()[:2]) / 2 for image in images] == pytest.approx(range(1, time + 1))
            for image, expected in zip(images, episode.images[:, 0], strict=True):
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
    assert "1 of 3 answers are correct" in figure.get_suptitle()


def test_the_legend_has_every_class_and_colours_repeat() -> None:
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


def test_memory_without_use_makes_an_empty_picture(tmp_path: Path) -> None:
    figure = plot_binding(one_sequence(0, 1), answers(0, 1), planted(weightings(2, 1, 3), weightings(2, 1, 3)))
    assert not ticks(main_panel(figure))
    assert not any(marks(figure, name) for name in ("image write", "label write", "read"))
    write_picture(figure, tmp_path / "empty.png")


def test_the_legends_fit_into_the_smallest_figure() -> None:
    figure = plot_binding(one_sequence(0, 1), answers(0, 1), planted(weightings(2, 1, 3), weightings(2, 1, 3)))
    figure.draw_without_rendering()
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height
