"""A pretrained network that learns names of drawings."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from data import ImageClasses, InputError, Split
from mann import OneShotClassifier
from mann.page.learner import MOST_DRAWINGS, Learner
from mann.page.pen import Strokes
from mann.problems.classification import train
from mann.runs import Run
from mann.settings import Config, Recurrent
from mann.training import LoggingInterval

Drawings = list[list[tuple[numpy.ndarray, Strokes | None]]]


def test_answers_agree_with_the_classifier(learner: Learner, drawings: Drawings) -> None:
    """The classifier's probabilities leave out the probability of a new name."""
    snapshot, classifier = learner.blank(), OneShotClassifier()
    names = ["ba", "ca", "aa", "ea", "da"]
    for number in (0, 1, 0, 2, 3, 4, 1, 2):
        image = drawings[number][len(snapshot.drawings)][0]
        snapshot = learner.present(snapshot, image, None)
        assert snapshot.pending is not None
        answer = snapshot.pending.answer
        assert sum(answer.probabilities) + answer.new == pytest.approx(1)
        if snapshot.names:
            expected = dict(zip(classifier.classes_, classifier.predict_proba(image[None])[0], strict=True))
            known = numpy.array(answer.probabilities) / (1 - answer.new)
            assert known == pytest.approx([expected[name] for name in snapshot.names], abs=1e-9)
        snapshot = learner.name(snapshot, names[number])
        classifier.partial_fit(image[None], [names[number]])
    assert snapshot.names == tuple(names)


def test_new_characters_are_recognised_as_new_and_known_ones_by_name(learner: Learner, drawings: Drawings) -> None:
    snapshot, answers = learner.blank(), []
    for time in range(2):
        for number, character in enumerate(drawings):
            snapshot = learner.present(snapshot, character[time][0], None)
            assert snapshot.pending is not None
            answers.append(snapshot.pending.answer.best)
            snapshot = learner.name(snapshot, str(number))
    assert answers[:5].count(None) >= 4
    assert sum(best == number for number, best in enumerate(answers[5:])) >= 4


def test_more_drawings_than_a_session_has_are_refused(learner: Learner, drawings: Drawings) -> None:
    image = drawings[0][0][0]
    snapshot = learner.name(learner.present(learner.blank(), image, None), "a")
    crowded = snapshot._replace(drawings=snapshot.drawings * MOST_DRAWINGS)
    with pytest.raises(InputError, match=f"at most {MOST_DRAWINGS} drawings: start again"):
        learner.present(crowded, image, None)


@pytest.mark.usefixtures("short_validation")
def test_a_network_without_memory_is_refused(
    tmp_path: Path, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    run, config = Run(tmp_path / "plain"), replace(tiny_config, model=Recurrent())
    run.start(config, tiny_split, {})
    train(config, tiny_classes, tiny_split, run, LoggingInterval(log=3, validate=6))
    with pytest.raises(InputError, match="plain is a network without memory"):
        Learner.load(run.folder)
