"""A trained memory as a scikit-learn classifier."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks
from sklearn.utils.validation import validate_data

from data import ImageClasses, InputError, Split, read_images, read_split
from episodes.labels import encode
from mann import OneShotClassifier
from mann.estimator import load_pretrained, pretrained_names
from mann.estimator.one_shot import own_names
from mann.evaluation.held_out import TEST, held_out_episodes
from mann.problems import open_problem
from mann.problems.classification import train
from mann.runs import Run
from mann.settings import Config, changed
from mann.training import LoggingInterval, fit


@pytest.fixture(scope="module")
def drawings(characters: ImageClasses) -> numpy.ndarray:
    """Return five classes of the built-in characters: uint8 [class, drawing, side, side]."""
    return characters.images[:5].numpy()


def flat(drawings: numpy.ndarray) -> numpy.ndarray:
    """Return [class * drawing, side, side]."""
    return drawings.reshape(-1, *drawings.shape[2:])


NAMES = numpy.array(["ba", "ca", "aa", "ea", "da"])


def test_one_example_of_each_class_is_enough(drawings: numpy.ndarray) -> None:
    classifier = OneShotClassifier.from_pretrained("omniglot-5").fit(drawings[:, 0], NAMES)
    assert classifier.score(flat(drawings[:, 1:]), NAMES.repeat(drawings.shape[1] - 1)) > 0.6
    assert classifier.classes_.tolist() == sorted(NAMES)


def test_probabilities_are_those_of_the_network_over_the_known_classes(drawings: numpy.ndarray) -> None:
    """Against the network run over the whole sequence at once."""
    classifier = OneShotClassifier().fit(drawings[:3, 0], NAMES[:3])
    _, network = load_pretrained("omniglot-5")
    codes = own_names(classifier.config_, 0)[:, 0]
    images = torch.from_numpy(drawings[[0, 1, 2, 1], [0, 0, 0, 1]]).float()[:, None] / 255
    previous = torch.cat([torch.zeros(1, 5), encode(codes[:3, None], 5)])[:, None]
    with torch.no_grad():
        logits, _ = network(images, previous)
    order = [NAMES.tolist().index(name) for name in classifier.classes_]
    expected = logits[-1, 0, 0, codes[order]].double().softmax(-1)
    assert classifier.predict_proba(drawings[1:2, 1])[0] == pytest.approx(expected.tolist(), abs=1e-6)


def test_it_is_as_accurate_as_the_evaluation_says(omniglot: ImageClasses) -> None:
    """At the 2nd and 3rd time that a test character is shown, in the sequences of the evaluation."""
    config, _ = load_pretrained("omniglot-5")
    test = omniglot.select(read_split("omniglot-1200-423").test)
    episode = held_out_episodes(config, test, TEST).source(0)
    right = {2: 0, 3: 0}
    sequences = 20
    for sequence in range(sequences):
        classifier, left = OneShotClassifier(), 5
        parts = (episode.images, episode.classes, episode.presentation)
        steps = zip(*(part[:, sequence] for part in parts), strict=True)
        for image, name, presentation in steps:
            if int(presentation) in right:
                right[int(presentation)] += int(classifier.predict(image[None].numpy())[0]) == int(name)
            classifier.partial_fit(image[None].numpy(), [int(name)])
            left -= int(presentation) == 3
            if not left:
                break
    # Of 100 answers each; the evaluation of 2000 sequences says 92.0% and 95.6%.
    for presentation, accuracy in ((2, 0.920), (3, 0.956)):
        deviation = (accuracy * (1 - accuracy) / (5 * sequences)) ** 0.5
        assert abs(right[presentation] / (5 * sequences) - accuracy) < 3 * deviation


def test_examples_may_come_one_by_one(drawings: numpy.ndarray) -> None:
    together = OneShotClassifier().fit(drawings[:, 0], NAMES)
    alone = OneShotClassifier()
    for image, name in zip(drawings[:, 0], NAMES, strict=True):
        alone.partial_fit(image[None], [name])
    assert alone.classes_.tolist() == together.classes_.tolist()
    new = flat(drawings[:, 1:4])
    assert alone.predict_proba(new) == pytest.approx(together.predict_proba(new), abs=1e-5)


def test_predictions_change_nothing_and_do_not_depend_on_their_company(drawings: numpy.ndarray) -> None:
    classifier = OneShotClassifier().fit(drawings[:, 0], NAMES)
    new = flat(drawings[:, 1:4])
    before = classifier.predict_proba(new)
    for place in (3, 0):
        assert classifier.predict_proba(new[place : place + 1]) == pytest.approx(before[place : place + 1], abs=1e-5)
    assert numpy.array_equal(classifier.predict_proba(new), before)
    assert before.sum(1) == pytest.approx(1)


def test_fitting_again_forgets(drawings: numpy.ndarray) -> None:
    classifier = OneShotClassifier().fit(drawings[:2, 0], ["x", "y"]).fit(drawings[:, 0], NAMES)
    alone = OneShotClassifier().fit(drawings[:, 0], NAMES)
    assert numpy.array_equal(classifier.predict_proba(drawings[:, 1]), alone.predict_proba(drawings[:, 1]))
    assert not hasattr(clone(classifier), "classes_")
    fresh: Any = clone(classifier)
    assert fresh.get_params() == {"model": "omniglot-5", "random_state": 0}


@pytest.mark.parametrize("labels", [[3, 1, 2], [2.0, 1.0, 3.0], [True, False, True], ["b", "a", "c"]], ids=str)
def test_labels_are_of_any_type(drawings: numpy.ndarray, labels: list[Any], tmp_path: Path) -> None:
    classifier = OneShotClassifier().fit(drawings[:3, 0], labels)
    found = classifier.predict(drawings[:3, 0])
    assert found.dtype == numpy.asarray(labels).dtype
    classifier.save(tmp_path / "saved")
    again = OneShotClassifier.load(tmp_path / "saved").predict(drawings[:3, 0])
    assert again.tolist() == found.tolist() and again.dtype == found.dtype


@pytest.mark.parametrize(
    "options", [{"model": "transformer"}, {"model": "delta-layers"}, {"addressing": "append"}], ids=str
)
def test_runs_of_other_models_learn_step_by_step_and_go_on_after_they_are_saved(
    drawings: numpy.ndarray, tmp_path: Path, options: dict[str, str]
) -> None:
    config = changed(Config("strokes", episodes=16, batch=4, presentations=2), options)
    run = Run(tmp_path / "run")
    fit(open_problem(config, run, torch.device("cpu")), config, run)
    together = OneShotClassifier(tmp_path / "run").fit(drawings[:, 0], NAMES)
    alone = OneShotClassifier(tmp_path / "run")
    for number, (image, name) in enumerate(zip(drawings[:, 0], NAMES, strict=True)):
        alone.partial_fit(image[None], [name])
        if number == 2:
            alone.save(tmp_path / "saved")
            alone = OneShotClassifier.load(tmp_path / "saved")
    expected = together.predict_proba(drawings[:, 1])
    numpy.testing.assert_allclose(alone.predict_proba(drawings[:, 1]), expected, atol=1e-9)
    one_by_one = numpy.concatenate([together.predict_proba(image[None]) for image in drawings[:, 1]])
    numpy.testing.assert_allclose(one_by_one, expected, atol=1e-9)


def test_what_is_saved_goes_on_where_it_was(drawings: numpy.ndarray, tmp_path: Path) -> None:
    classifier = OneShotClassifier(random_state=3).partial_fit(drawings[:3, 0], NAMES[:3], classes=NAMES)
    classifier.save(tmp_path / "saved")
    again = OneShotClassifier.load(tmp_path / "saved")
    assert again.get_params() == classifier.get_params()
    for one in (classifier, again):
        one.partial_fit(drawings[3:, 0], NAMES[3:])
    assert numpy.array_equal(again.predict_proba(drawings[:, 1]), classifier.predict_proba(drawings[:, 1]))
    with pytest.raises(InputError, match="label 'fa' is not among the classes of the first call"):
        again.partial_fit(drawings[:1, 0], ["fa"])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (numpy.zeros((1, 10, 10)), ["a"], "images are 10 x 10 pixels, the network was trained on 20 x 20: use data.re"),
        (numpy.zeros((1, 100)), ["a"], "images have 100 pixels, the network was trained on 20 x 20|X has 100 feat"),
        (numpy.full((1, 400), 7.0), ["a"], r"pixels are from 7 to 7: scale them to 0 \(background\) to 1 \(ink\)"),
        (numpy.zeros((2, 400)), ["a"], "2 images, but 1 labels: give a label for each image"),
        (numpy.zeros((6, 400)), list("abcdef"), "6 classes, but the network can tell 5 apart: use another model"),
        (numpy.full((1, 400), numpy.nan), ["a"], "contains NaN"),
    ],
)
def test_what_cannot_be_learned_is_refused_and_changes_nothing(
    drawings: numpy.ndarray, images: numpy.ndarray, labels: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        OneShotClassifier().fit(images, labels)
    classifier = OneShotClassifier().fit(drawings[:2, 0], ["a", "b"])
    before = classifier.predict_proba(drawings[:, 1])
    with pytest.raises(ValueError, match=message):
        classifier.partial_fit(images, labels)
    assert numpy.array_equal(classifier.predict_proba(drawings[:, 1]), before)


def test_nothing_is_predicted_before_anything_was_learned(drawings: numpy.ndarray) -> None:
    with pytest.raises(NotFittedError):
        OneShotClassifier().predict(drawings[:, 0])


def test_models_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="no pretrained model is named 'omniglot-6', .*: use omniglot-5, or train a model first"
    ):
        OneShotClassifier.from_pretrained("omniglot-6")
    (tmp_path / "junk").write_bytes(b"junk" * 100)
    for name in ("junk", "absent"):
        with pytest.raises(InputError, match=f"{name} is no saved classifier"):
            OneShotClassifier.load(tmp_path / name)


@pytest.mark.usefixtures("short_validation")
def test_a_run_of_ones_own_is_a_model_too(
    tiny_run: Run, tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split
) -> None:
    train(tiny_config, tiny_classes, tiny_split, tiny_run, LoggingInterval(log=3, validate=6))
    classifier = OneShotClassifier(tiny_run.folder).fit(tiny_classes.images[:2, 0].numpy(), ["a", "b"])
    assert set(classifier.predict(tiny_classes.images[:2, 1].numpy())) <= {"a", "b"}


@pytest.mark.parametrize("name", pretrained_names())
def test_pretrained_weights_have_a_card_and_were_trained_without_the_test_classes(name: str) -> None:
    config, _ = load_pretrained(name)
    card = Path(__file__).resolve().parents[3] / "mann" / "estimator" / "weights" / name / "card.md"
    text = card.read_text()
    for words in ("scripts/train.py", "seed", "test characters", "%", "Limits"):
        assert words in text
    assert config.root is None


def test_images_are_read_as_the_network_wants_them(drawings: numpy.ndarray, tmp_path: Path) -> None:
    from PIL import Image

    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, drawing in zip(paths, drawings[:3, 0], strict=True):
        # Dark on bright, and larger.
        Image.fromarray(255 - drawing).resize((60, 60), Image.Resampling.NEAREST).save(path)
    assert numpy.abs(read_images(paths).astype(int) - drawings[:3, 0]).max() <= 1
    with pytest.raises(InputError, match="no image is named"):
        read_images([])


class OfVectors(OneShotClassifier):
    """The classifier with vectors of any length, drawn as the first pixels of an image, for scikit-learn's checks."""

    def _images(self, images: Any, config: Config, reset: bool) -> torch.Tensor:
        """Return images [n, side, side]."""
        rows: Any = validate_data(self, images, reset=reset)
        pixels = torch.zeros(len(rows), config.size**2, dtype=torch.float64)
        pixels[:, : rows.shape[1]] = torch.from_numpy(rows.astype(numpy.float64)).sigmoid()
        return pixels.unflatten(1, (config.size, config.size))


DO_NOT_APPLY = {"check_classifiers_train": "asks for accuracy on points, which are not images"}


@parametrize_with_checks([OfVectors()], expected_failed_checks=lambda _: DO_NOT_APPLY)
def test_scikit_learns_own_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
