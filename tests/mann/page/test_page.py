"""The session behind the page, and what its server lets in."""

import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch.utils import _pytree as pytree

from data import ImageClasses, InputError, Split
from data.strokes import CANVAS, drawn_curves, render
from mann import OneShotClassifier
from mann.page.deck import StrokesDeck, dealt
from mann.page.pen import EXTENT, PEN, Strokes, image_of
from mann.page.session import MOST_DRAWINGS, Learner, Moment, Session
from mann.problems.classification import train
from mann.runs.run import Run
from mann.settings.schema import Config
from mann.training.loop import Pace
from tests.mann.page.serving import Served, served


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner.of("omniglot-5")


@pytest.fixture(scope="module")
def drawings() -> list[list[tuple[numpy.ndarray, Strokes | None]]]:
    """Return the drawings of five of the built-in characters."""
    deck = StrokesDeck(20)
    return [deck.drawings(character) for character in range(5)]


@pytest.fixture
def session(learner: Learner) -> Session:
    return Session(learner, {"strokes": lambda: StrokesDeck(20)})


def same(one: Moment, other: Moment) -> bool:
    """Tell whether two moments are the same to the last bit."""
    (leaves, structure), (others, other_structure) = pytree.tree_flatten(one), pytree.tree_flatten(other)
    return structure == other_structure and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else numpy.array_equal(a, b)
        for a, b in zip(leaves, others, strict=True)
    )


# --- drawings


def test_a_drawing_is_put_in_the_middle_and_to_size_with_the_pen_as_wide_as_ever() -> None:
    """A line drawn anywhere and at any size, beside what `render` draws in the middle of the canvas."""
    start, end = CANVAS / 2 - EXTENT / 2, CANVAS / 2 + EXTENT / 2
    curve = numpy.array([[[[start, CANVAS / 2], [end, CANVAS / 2]]]])
    expected = render(curve, 20, numpy.array([PEN]))[0].astype(int)
    for left, width, y in ((0.0, 1.0, 0.1), (0.7, 0.25, 0.9)):
        line = [(left, y), (left + width / 3, y), (left + width, y)]
        assert abs(image_of([line], 20) - expected).max() <= 12  # where the dots of the pen lie differs a little


def test_strokes_are_not_joined_and_a_dot_stays_a_dot() -> None:
    image = image_of([[(0.2, 0.2), (0.2, 0.8)], [(0.8, 0.2), (0.8, 0.8)]], 20)
    assert (image[:, 9:11] == 0).all() and image[10].max() > 100
    dot = image_of([[(0.1, 0.9)]], 105)
    assert numpy.argwhere(dot).mean(0) == pytest.approx([52, 52], abs=0.6)
    assert numpy.sqrt((dot > 0).sum() / numpy.pi) == pytest.approx(PEN / 2, rel=0.15)


def test_drawings_of_the_page_are_told_apart_as_well_as_those_of_the_data_set(learner: Learner) -> None:
    """Also where they are drawn small, in a corner of the page."""

    def accuracy(images: list[numpy.ndarray]) -> float:
        right = []
        for first in range(0, len(images), 5):
            hand = numpy.stack(images[first : first + 5])  # [character, drawing, side, side]
            classifier = OneShotClassifier().fit(hand[:, 0], range(5))
            right.append(classifier.score(hand[:, 1:6].reshape(-1, 20, 20), numpy.arange(5).repeat(5)))
        return float(numpy.mean(right))

    curves = [drawn_curves(index)[:6] for index in range(60)]
    ways = [(drawn / CANVAS * 0.3 + 0.02).tolist() for drawn in curves]
    own = accuracy([render(drawn, 20, numpy.full(6, PEN)) for drawn in curves])
    assert accuracy([numpy.stack([image_of(way, 20) for way in drawing]) for drawing in ways]) > own - 0.03


# --- the session


def test_answers_are_those_of_the_classifier(
    learner: Learner, drawings: list[list[tuple[numpy.ndarray, Strokes | None]]]
) -> None:
    """With the probability of something new set aside, which the classifier does not say."""
    moment, classifier = learner.blank(), OneShotClassifier()
    names = ["ba", "ca", "aa", "ea", "da"]
    for number in (0, 1, 0, 2, 3, 4, 1, 2):
        image = drawings[number][len(moment.drawings)][0]
        moment = learner.look(moment, image, None)
        assert moment.pending is not None
        answer = moment.pending.answer
        assert sum(answer.probabilities) + answer.new == pytest.approx(1)
        if moment.names:
            expected = dict(zip(classifier.classes_, classifier.predict_proba(image[None])[0], strict=True))
            known = numpy.array(answer.probabilities) / (1 - answer.new)
            assert known == pytest.approx([expected[name] for name in moment.names], abs=1e-9)
        moment = learner.call(moment, names[number])
        classifier.partial_fit(image[None], [names[number]])
    assert moment.names == tuple(names)


def test_it_says_what_is_new_and_knows_it_the_second_time(
    learner: Learner, drawings: list[list[tuple[numpy.ndarray, Strokes | None]]]
) -> None:
    moment, said = learner.blank(), []
    for time in range(2):
        for number, of in enumerate(drawings):
            moment = learner.look(moment, of[time][0], None)
            assert moment.pending is not None
            said.append(moment.pending.answer.best)
            moment = learner.call(moment, str(number))
    assert said[:5].count(None) >= 4
    assert sum(best == number for number, best in enumerate(said[5:])) >= 4


def test_looking_and_looking_again_change_nothing_but_the_answer(session: Session) -> None:
    line: Strokes = [[(0.2, 0.2), (0.8, 0.5)]]
    session.look(line)
    session.call("a")
    before = session.now
    session.look([*line, [(0.5, 0.1), (0.5, 0.9)]])
    first = session.now
    session.look(line)
    session.look([*line, [(0.5, 0.1), (0.5, 0.9)]])
    assert same(session.now, first) and not same(session.now, before)
    assert session.now.state is before.state  # the memory itself
    session.look([])
    assert same(session.now, before)


def test_undo_returns_exactly_to_where_things_stood(session: Session) -> None:
    moments, views = [], []
    for number in range(4):
        session.deal("strokes")
        moments.append(session.now)
        views.append(session.view())
        session.call(str(number % 2))
    session.forget()
    assert session.view()["names"] == () and not session.now.drawings
    session.undo()
    for moment, view in zip(reversed(moments), reversed(views), strict=True):
        session.undo()
        assert same(session.now, moment)
        assert session.view() == view
    with pytest.raises(InputError, match="there is nothing to undo"):
        session.undo()


def test_what_memory_did_is_told_from_the_networks_own_weights(session: Session) -> None:
    for _ in range(6):
        session.deal("strokes")
        assert session.now.pending is not None
        session.call(session.now.pending.truth or "")
    session.deal("strokes")
    shown = session.now.pending
    assert shown is not None
    memory = session.view()["memory"]
    reads = shown.access.read_weights[0, 0].sum(0)
    assert [read["slot"] for read in memory["reads"]] == [
        slot for slot in reads.argsort(descending=True).tolist() if reads[slot] > 0.1
    ]
    assert [read["weight"] for read in memory["reads"]] == pytest.approx(
        [float(reads[read["slot"]]) for read in memory["reads"]], abs=1e-4
    )
    assert memory["writes"] == (shown.access.write.weights[0, 0].sum(0) > 0.1).nonzero()[:, 0].tolist()
    usage = {row["slot"]: row["usage"] for row in memory["rows"]}
    assert usage == pytest.approx({slot: float(shown.access.addressing.usage[0, 0, slot]) for slot in usage}, abs=1e-4)
    # The first drawing is written to a slot, and its name is added to that slot one step later.
    first = memory["rows"][0]
    assert [(write["step"], write["of"]) for write in first["writes"][:2]] == [(0, 0), (1, 0)]
    assert first["held"][0] == {"since": 0, "of": 0}


def test_a_hand_shows_every_character_once_in_each_round() -> None:
    cards = dealt(StrokesDeck(20), 5, numpy.random.default_rng(3))
    rounds = [[next(cards) for _ in range(5)] for _ in range(4)]
    assert [card.character for card in rounds[0]] == list(range(5))
    assert all(sorted(card.character for card in round) == list(range(5)) for round in rounds)
    images = {card.image.tobytes() for round in rounds for card in round}
    assert len(images) == 20


def test_a_character_that_was_dealt_keeps_the_name_that_it_was_given(session: Session) -> None:
    truths = []
    for name in ("ka", None, None, None, None, *[None] * 5):
        session.deal("strokes")
        assert session.now.pending is not None and session.now.pending.truth is not None
        truths.append(session.now.pending.truth)
        session.call(name or truths[-1])
    assert truths[:5] == ["A", "A", "B", "C", "D"]
    assert sorted(truths[5:]) == ["A", "B", "C", "D", "ka"]


def test_forgetting_deals_other_characters(session: Session) -> None:
    session.deal("strokes")
    first = session.now.pending
    session.call("A")
    session.forget()
    session.deal("strokes")
    assert first is not None and session.now.pending is not None
    assert session.now.pending.origin != first.origin


def test_cards_are_not_mixed_with_drawings_of_ones_own(session: Session) -> None:
    session.look([[(0.1, 0.1), (0.9, 0.9)]])
    session.call("mine")
    session.deal("strokes")
    assert not session.now.drawings and session.now.pending is not None and session.now.pending.truth == "A"
    session.undo()
    assert session.now.names == ("mine",)
    with pytest.raises(InputError, match="there are no characters named 'cards' here: use strokes"):
        session.deal("cards")


def test_what_cannot_be_done_is_refused_and_changes_nothing(session: Session) -> None:
    with pytest.raises(InputError, match="there is no drawing to name: draw something first"):
        session.call("a")
    for name in "abcde":
        session.deal("strokes")
        session.call(name)
    session.look([[(0.1, 0.1), (0.9, 0.9)]])
    before = session.now
    with pytest.raises(InputError, match="f would be name 6, and this network can tell 5 apart: use one of those"):
        session.call("f")
    assert session.now is before
    crowded = before._replace(drawings=before.drawings[:1] * MOST_DRAWINGS)
    with pytest.raises(InputError, match=f"{MOST_DRAWINGS} drawings are the most: start again"):
        session.learner.look(crowded, before.drawings[0].image, None)


@pytest.mark.usefixtures("short_validation")
def test_a_network_without_memory_is_refused(
    tmp_path: Path, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    run, config = Run(tmp_path / "plain"), replace(tiny_config, addressing="none", scheme=None)
    run.start(config, tiny_split, {})
    train(config, tiny_classes, tiny_split, run, Pace(log=3, validate=6))
    with pytest.raises(InputError, match="plain is a network without memory"):
        Learner.of(run.folder)


# --- the server


@pytest.fixture(scope="module")
def site() -> Iterator[Served]:
    with served() as found:
        yield found


STROKES = {"strokes": [[[0.2, 0.2], [0.8, 0.5]]]}


def test_the_page_and_its_files_say_that_nothing_is_loaded_from_elsewhere(site: Served) -> None:
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
        connection = http.client.HTTPConnection(site.host, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 200 and str(answer.getheader("content-type")).startswith(kind)
        assert str(answer.getheader("content-security-policy")).startswith("default-src 'self'")
    assert site.ask("/session")[2]["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Host": "127.0.0.1"},
        {"Host": "localhost.example.org"},
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
    ],
    ids=str,
)
def test_what_the_page_has_not_asked_is_refused(site: Served, headers: dict[str, str]) -> None:
    before = site.session.now
    for body in (None, STROKES):
        status, content, _ = site.ask("/session" if body is None else "/look", body, **headers)
        assert status == 403 and content["error"].endswith("is not this page's own")
    assert site.session.now is before


def test_it_is_served_to_this_machine_alone(site: Served) -> None:
    port = int(site.host.split(":")[1])
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in {*others, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):
            pass
    assert site.ask("/session", Origin=f"http://{site.host}")[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/look", b"{", 422, "Invalid JSON"),
        ("/look", {}, 422, "strokes: Field required"),
        ("/look", {**STROKES, "more": 1}, 422, "more: Extra inputs are not permitted"),
        ("/look", {"strokes": [[[0.2]]]}, 422, "strokes.0.0"),
        ("/look", {"strokes": [[]]}, 422, "strokes.0"),
        ("/look", {"strokes": [[[0.2, 1.5]]]}, 422, "strokes.0.0.1: Input should be less than or equal to 1"),
        ("/look", b'{"strokes": [[[NaN, 0.5]]]}', 422, "strokes.0.0.0|Invalid JSON"),
        ("/look", {"strokes": [[[0.5, 0.5]] * 500_000]}, 413, "a request may have 65536 bytes"),
        ("/call", {"name": "  "}, 422, "name: String should have at least 1 character"),
        ("/call", {"name": "x" * 30}, 422, "name: String should have at most 24"),
        ("/call", {"name": "a"}, 409, "there is no drawing to name"),
        ("/undo", {}, 409, "there is nothing to undo"),
        ("/deal", {"source": "elsewhere"}, 409, "there are no characters named 'elsewhere'"),
        ("/elsewhere", {}, 404, "Not Found"),
        ("/session", {}, 405, "Method Not Allowed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_request_that_makes_no_sense_is_told_so_and_changes_nothing(
    site: Served, path: str, body: Any, status: int, message: str
) -> None:
    before = site.session.now
    found, content, headers = site.ask(path, body)
    assert found == status
    assert any(part in content["error"] for part in message.split("|"))
    assert headers["content-type"] == "application/json"
    assert site.session.now is before
    assert site.ask("/session")[0] == 200


def test_a_request_has_to_be_json(site: Served) -> None:
    """A form of another page can be sent without asking; JSON cannot."""
    body = json.dumps(STROKES).encode()
    status, content, _ = site.ask("/look", body, **{"Content-Type": "text/plain"})
    assert (status, content["error"]) == (415, "a request has to be application/json")


def test_a_failure_of_the_program_is_told_as_such(site: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(site.session, "look", broken)
    status, content, _ = site.ask("/look", STROKES)
    assert (status, content["error"]) == (500, "the program failed (RuntimeError)")
    monkeypatch.undo()
    assert site.ask("/session")[0] == 200
