"""The use of memory in one sequence, with planted weights."""

import numpy
import pytest
import torch

from mann.evaluation.memory_use import (
    answered_sequence,
    by_first_write,
    matches,
    only_sequence,
    slot_access,
    usage_of,
)
from tests.mann.planted_access import (
    Age,
    Usage,
    answers,
    class_episode,
    one_sequence,
    planted,
    random,
    weightings,
)


def test_classes_are_numbered_in_the_order_of_their_labels() -> None:
    sequence = answered_sequence(one_sequence(3, 1, 3, 0), answers(1, 4, 3, 0))
    assert sequence.names == ["0", "1", "3"]
    assert sequence.classes.tolist() == [2, 1, 2, 0]
    assert sequence.presentations.tolist() == [1, 1, 2, 1]
    assert sequence.answers == ["1", "4", "3", "0"]
    assert sequence.answered.tolist() == [1, -1, 2, 0]  # no class of the sequence has the label 4
    assert sequence.correct.tolist() == [False, False, True, True]


def test_labels_of_several_characters_are_strings() -> None:
    episode = class_episode([[0], [2]], characters=3)
    logits = torch.nn.functional.one_hot(torch.tensor([[2, 2, 2], [0, 0, 1]]), 5).float()[:, None]
    sequence = answered_sequence(episode, logits)
    assert (sequence.names, sequence.answers) == (["aaa", "ccc"], ["ccc", "aab"])
    assert sequence.answered.tolist() == [1, -1]


def test_a_write_to_a_slot_in_use_adds_the_label_of_the_step_before() -> None:
    writes = weightings(
        *(5, 2, 3),
        *((0, 0, 1, 0.6), (0, 1, 1, 0.3)),  # stores the first image; weights of heads are added
        *((1, 0, 1, 0.5), (1, 1, 2, 0.7)),  # adds its label, and stores the second image
        (3, 0, 2, 0.5),  # slot 2 was not in use at the step before
        (4, 0, 0, 0.5),  # slot 0 was read at the step before
    )
    reads = weightings(5, 1, 3, (3, 0, 0, 0.4), (4, 0, 0, 0.05))
    seen = slot_access(planted(writes, reads), numpy.array([5, 6, 7, 8, 9]))
    assert seen.writes == pytest.approx(writes.sum(1).numpy()) and seen.reads == pytest.approx(reads.sum(1).numpy())
    assert numpy.argwhere(seen.image_writes).tolist() == [[0, 1], [1, 2], [3, 2]]
    assert numpy.argwhere(seen.label_writes).tolist() == [[1, 1], [4, 0]]
    assert [seen.classes[step, slot] for step, slot in ((0, 1), (1, 1), (1, 2), (3, 2), (4, 0))] == [5, 5, 6, 8, 8]


@pytest.mark.parametrize(("keep", "adds_label"), [(0.4, False), (0.6, True)])
def test_a_write_that_erases_most_of_a_slot_stores_its_own_image(keep: float, adds_label: bool) -> None:
    access = planted(weightings(2, 1, 2, (0, 0, 0, 1.0), (1, 0, 0, 1.0)), weightings(2, 1, 2))
    access.write.keep[1, 0, 0] = keep
    seen = slot_access(access, numpy.array([3, 4]))
    assert (seen.label_writes[1, 0], seen.image_writes[1, 0]) == (adds_label, not adds_label)
    assert seen.classes[1, 0] == (3 if adds_label else 4)


def features() -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and queries of two heads over three steps."""
    keys = torch.tensor([[[1.0, 0.0], [0.0, 0.5]], [[0.0, -1.0], [1.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    queries = torch.tensor([[[0.5, 9.0], [9.0, 1.0]], [[2.0, 3.0], [0.0, 1.0]], [[0.0, 0.0], [0.25, 0.0]]])
    return keys, queries


# The keys of both heads together are (1, 0.5), (1, 0) and 0, the queries (9.5, 10), (2, 4) and (0.25, 0).
MATCHES = [[7.25, 0, 0], [2, 1, 0], [0.125, 0.125, 0]]


def test_features_match_by_their_products_over_all_heads_that_write_and_not_with_later_steps() -> None:
    assert matches(planted(*features())).tolist() == MATCHES


def test_matches_are_less_by_what_has_decayed_in_between() -> None:
    access = planted(*features())
    access.write.keep[1, 0, 0] = 0.5  # before the second write, of the first slot
    access.write.keep[2] = 0.25
    # The first key is (0.5, 0.5) at step 2 and a quarter of that at step 3, where the second is (0.25, 0).
    assert matches(access).tolist() == [[7.25, 0, 0], [1.5, 1, 0], [0.015625, 0.03125, 0]]


def test_heads_with_slots_of_their_own_do_not_match_each_other() -> None:
    keys, queries = torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)
    keys[0, 0, :2], keys[0, 1, 2:], queries[0, 0, :2], queries[0, 1, 2:] = 1.0, 2.0, 3.0, 4.0
    assert matches(planted(keys, queries)).tolist() == [[(2 * 3 + 2 * 8) / 2]]


def test_where_weights_are_features_each_step_writes_the_label_that_arrives_to_a_place_of_its_own() -> None:
    seen = slot_access(planted(*features()), numpy.array([5, 6, 5]), "features")
    assert seen.reads.tolist() == MATCHES
    assert seen.writes.tolist() == numpy.eye(3).tolist()
    assert numpy.argwhere(seen.image_writes).tolist() == [[0, 0]]
    assert numpy.argwhere(seen.label_writes).tolist() == [[1, 1], [2, 2]]
    assert [seen.classes[step, step] for step in range(3)] == [5, 5, 6]
    assert by_first_write(seen).tolist() == [0, 1, 2]


def test_slots_are_ordered_by_first_write_then_by_first_read() -> None:
    writes = weightings(5, 1, 9, (3, 0, 1, 0.5), (1, 0, 7, 0.5), (4, 0, 7, 0.9), (2, 0, 4, 0.2), (0, 0, 3, 0.099))
    reads = weightings(5, 1, 9, (0, 0, 4, 0.9), (4, 0, 0, 0.9), (2, 0, 8, 0.9), (0, 0, 1, 0.05))
    seen = slot_access(planted(writes, reads), numpy.zeros(5, int))
    assert by_first_write(seen).tolist() == [7, 4, 1, 8, 0]


def test_usage_counts_are_returned_where_the_scheme_has_them() -> None:
    counts = random(4, 1, 6)
    weights = weightings(4, 1, 6)
    for state, title in ((Usage(counts), "usage of the slots"), (Age(counts), "age of the slots: steps since ")):
        usage = usage_of(planted(weights, weights, state))
        assert usage is not None and usage.title.startswith(title)
        assert usage.values == pytest.approx(counts[:, 0].numpy())
    assert usage_of(planted(weights, weights)) is None


def test_a_batch_of_several_sequences_is_refused() -> None:
    assert only_sequence(torch.tensor([[True], [False]])).tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="expected a batch of one sequence, got 2"):
        answered_sequence(class_episode([[0, 0], [1, 1]]), torch.zeros(2, 2, 1, 3))
