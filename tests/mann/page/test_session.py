"""The actions of a session, and the data that the page displays of it."""

from dataclasses import replace

import numpy
import pytest
import torch

from data import InputError
from episodes.labels import encode
from mann.estimator.one_shot import log_probabilities
from mann.models.building import build_classifier
from mann.models.network import Access
from mann.page.deck import StrokesDeck, deal_cards
from mann.page.learner import Learner, PresentedDrawing, Snapshot
from mann.page.pen import Strokes
from mann.page.session import Session, default_name
from mann.page.session_view import session_view
from mann.settings import changed
from mann.support.trees import flatten


def equal(one: Snapshot, other: Snapshot) -> bool:
    """Return whether two snapshots are equal to the last bit."""
    (leaves, structure), (others, other_structure) = flatten(one), flatten(other)
    return structure == other_structure and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else numpy.array_equal(a, b)
        for a, b in zip(leaves, others, strict=True)
    )


def access_of(drawing: PresentedDrawing) -> Access:
    """Return the access to the memory at a drawing."""
    assert drawing.access is not None
    return drawing.access


def pending(session: Session) -> PresentedDrawing:
    """Return the pending drawing."""
    assert session.now.pending is not None
    return session.now.pending


def test_presenting_a_drawing_repeatedly_changes_nothing_but_the_answer(session: Session) -> None:
    line: Strokes = [[(0.2, 0.2), (0.8, 0.5)]]
    session.present(line)
    session.name("a")
    before = session.now
    session.present([*line, [(0.5, 0.1), (0.5, 0.9)]])
    first = session.now
    session.present(line)
    session.present([*line, [(0.5, 0.1), (0.5, 0.9)]])
    assert equal(session.now, first) and not equal(session.now, before)
    assert session.now.state is before.state  # memory is written when the drawing is named
    session.present([])
    assert equal(session.now, before)


def test_undo_returns_exactly_to_earlier_snapshots(session: Session) -> None:
    snapshots, views = [], []
    for number in range(4):
        session.deal("strokes")
        snapshots.append(session.now)
        views.append(session_view(session))
        session.name(str(number % 2))
    session.forget()
    assert session_view(session)["names"] == () and not session.now.drawings
    session.undo()
    for snapshot, view in zip(reversed(snapshots), reversed(views), strict=True):
        session.undo()
        assert equal(session.now, snapshot)
        assert session_view(session) == view
    with pytest.raises(InputError, match="there is nothing to undo"):
        session.undo()


def test_the_view_of_the_memory_has_the_weights_of_the_network(session: Session) -> None:
    for _ in range(6):
        session.deal("strokes")
        session.name(pending(session).truth or "")
    session.deal("strokes")
    access = access_of(pending(session))
    memory = session_view(session)["memory"]
    reads = access.read_weights[0, 0].sum(0)
    assert [read["slot"] for read in memory["reads"]] == [
        slot for slot in reads.argsort(descending=True).tolist() if reads[slot] > 0.1
    ]
    assert [read["weight"] for read in memory["reads"]] == pytest.approx(
        [float(reads[read["slot"]]) for read in memory["reads"]], abs=1e-4
    )
    assert memory["writes"] == (access.write.weights[0, 0].sum(0) > 0.1).nonzero()[:, 0].tolist()
    usage = {row["slot"]: row["usage"] for row in memory["rows"]}
    assert usage == pytest.approx({slot: float(access.addressing.usage[0, 0, slot]) for slot in usage}, abs=1e-4)
    # The first drawing is written to a slot, and its name is added to that slot one step later.
    first = memory["rows"][0]
    assert [(write["step"], write["drawing"]) for write in first["writes"][:2]] == [(0, 0), (1, 0)]
    assert first["held"][0] == {"since": 0, "drawing": 0}


def test_the_view_of_an_unused_memory_is_empty(session: Session) -> None:
    view = session_view(session)
    assert (view["slots"], view["classes"], view["undo"]) == (64, 5, False)
    assert view["memory"] == {"place": "slot", "rows": [], "reads": [], "writes": []}


def test_where_weights_are_features_the_view_of_the_memory_has_the_steps_that_wrote(learner: Learner) -> None:
    config = changed(learner.config, {"addressing": "delta"})
    session = Session(replace(learner, network=build_classifier(config).double()), {"strokes": lambda: StrokesDeck(20)})
    for _ in range(3):
        session.deal("strokes")
        session.name(pending(session).truth or "")
    memory = session_view(session)["memory"]
    assert (memory["place"], memory["usage"], memory["writes"]) == ("step", None, [2])
    assert [row["slot"] for row in memory["rows"]] == [0, 1, 2]
    # Each step writes the name of the drawing before.
    assert [[(write["step"], write["drawing"]) for write in row["writes"]] for row in memory["rows"]] == [
        [(0, 0)],
        [(1, 0)],
        [(2, 1)],
    ]
    accesses = [access_of(drawing) for drawing in session.now.drawings]
    keys = [access.write.weights[0, 0].sum(0) for access in accesses]
    kept = [access.write.keep[0, 0, :, 0] for access in accesses]
    decayed = torch.stack([keys[0] * kept[1] * kept[2], keys[1] * kept[2], keys[2]])
    expected = decayed @ accesses[-1].read_weights[0, 0].mean(0)
    assert {read["slot"]: read["weight"] for read in memory["reads"]} == pytest.approx(
        {step: match for step, match in enumerate(expected.tolist()) if match > 0.1}, abs=1e-4
    )


@pytest.mark.parametrize("model", ["transformer", "delta-layers"])
def test_a_network_of_layers_answers_step_by_step_as_it_does_the_whole_and_has_no_memory_to_show(
    learner: Learner, model: str
) -> None:
    config = changed(learner.config, {"model": model})
    learner = replace(learner, config=config, network=build_classifier(config).double())
    session = Session(learner, {"strokes": lambda: StrokesDeck(20)})
    for _ in range(4):
        session.deal("strokes")
        session.name(pending(session).truth or "")
    view = session_view(session)
    assert view["slots"] is None
    assert view["memory"] == {"place": None, "rows": [], "reads": [], "writes": []}
    now = session.now
    images = torch.stack([torch.from_numpy(drawing.image).double() / 255 for drawing in now.drawings])
    names = encode(learner.labels[list(now.named)], learner.network.symbols).double()
    with torch.no_grad():
        logits, _ = learner.network(images[:, None], torch.cat([torch.zeros_like(names[:1]), names[:-1]])[:, None])
    scores = log_probabilities(logits[-1], learner.labels[: len(set(now.named[:-1]))])[0].exp()
    last = now.drawings[-1].answer
    found = [probability * (1 - last.new) / sum(last.probabilities) for probability in last.probabilities]
    numpy.testing.assert_allclose(found, (scores / scores.sum() * (1 - last.new)).tolist(), atol=1e-9)


def test_a_hand_has_every_character_once_in_each_round() -> None:
    cards = deal_cards(StrokesDeck(20), 5, numpy.random.default_rng(3))
    rounds = [[next(cards) for _ in range(5)] for _ in range(4)]
    assert [card.character for card in rounds[0]] == list(range(5))
    assert all(sorted(card.character for card in cards_of_round) == list(range(5)) for cards_of_round in rounds)
    images = {card.image.tobytes() for cards_of_round in rounds for card in cards_of_round}
    assert len(images) == 20


def test_a_character_that_was_dealt_keeps_its_name(session: Session) -> None:
    truths = []
    for name in ("ka", None, None, None, None, *[None] * 5):
        session.deal("strokes")
        truths.append(pending(session).truth or "")
        session.name(name or truths[-1])
    assert truths[:5] == ["A", "A", "B", "C", "D"]
    assert sorted(truths[5:]) == ["A", "B", "C", "D", "ka"]


def test_default_names_go_on_after_the_alphabet() -> None:
    assert [default_name(number) for number in (0, 25, 26, 51, 52)] == ["A", "Z", "A1", "Z1", "A2"]


def test_after_forgetting_other_characters_are_dealt(session: Session) -> None:
    session.deal("strokes")
    first = pending(session)
    session.name("A")
    session.forget()
    session.deal("strokes")
    assert pending(session).origin != first.origin


def test_cards_are_not_mixed_with_own_drawings(session: Session) -> None:
    session.present([[(0.1, 0.1), (0.9, 0.9)]])
    session.name("mine")
    session.deal("strokes")
    assert not session.now.drawings and pending(session).truth == "A"
    session.undo()
    assert session.now.names == ("mine",)
    with pytest.raises(InputError, match="there are no characters named 'cards' here: use strokes"):
        session.deal("cards")


def test_impossible_actions_are_refused_and_change_nothing(session: Session) -> None:
    with pytest.raises(InputError, match="there is no drawing to name: draw something first"):
        session.name("a")
    for name in "abcde":
        session.deal("strokes")
        session.name(name)
    session.present([[(0.1, 0.1), (0.9, 0.9)]])
    before = session.now
    with pytest.raises(InputError, match="f would be name 6, and this network can tell 5 apart: use one of the names"):
        session.name("f")
    assert session.now is before
