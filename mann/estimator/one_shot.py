"""A trained memory as a scikit-learn classifier: it learns new classes from single examples, without training.

Examples are presented to the network in order, each with the label of the one before, as in training. They are stored
in the memory, which is the fitted state. The weights never change, and predictions leave the memory unchanged.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Self, cast

import numpy
import torch
from annotated_types import Ge, Lt
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d, validate_data
from torch import Tensor

from data import InputError
from episodes.labels import encode
from mann.estimator.pretrained import load_pretrained, pretrained_names, unknown
from mann.models.building import build_classifier
from mann.models.classifier import Classifier, episode_labels
from mann.runs import Run
from mann.settings import Config, config_from_json
from mann.settings.storage import plain
from mann.support.files import whole
from mann.support.messages import first_line
from mann.support.trees import leaves_of, map_leaves, structure_of, unflatten


class _Saved(BaseModel):
    """The content of a saved classifier beside its tensors."""

    model_config = ConfigDict(strict=True, extra="forbid")
    model: str
    random_state: Annotated[int, Ge(0), Lt(2**63)]
    labels: list[str] | list[bool] | list[int] | list[float]
    fixed: bool
    config: dict[str, Any]


def own_names(config: Config, seed: int) -> Tensor:
    """Return the network's own labels for classes in order of appearance, int64 [classes, characters]."""
    return episode_labels(config).draw(1, config.most_labelled, torch.Generator().manual_seed(seed))[0]


def log_probabilities(logits: Tensor, names: Tensor) -> Tensor:
    """Return the log-probabilities of labels, float64 [n, labels].

    logits: [n, characters, symbols]; names: int64 [labels, characters].
    """
    # A label's probability is the product of those of its characters.
    characters = torch.arange(names.shape[1])
    return logits.double().log_softmax(-1)[:, characters, names].sum(-1)


class OneShotClassifier(ClassifierMixin, BaseEstimator):
    """Classify images from one or a few examples of each class.

    Images are arrays [n, side, side] or [n, side * side], ink bright on a dark background: uint8 from 0 to 255, or
    numbers from 0 to 1. `data.read_images` makes them from files. Labels are numbers, strings, or anything that numpy
    can sort.

    >>> from data import load_strokes
    >>> first, second = load_strokes().images[:2, :2].numpy().swapaxes(0, 1)  # two examples of two characters
    >>> classifier = OneShotClassifier().fit(first, ["ka", "ga"])
    >>> classifier.predict(second).tolist()
    ['ka', 'ga']

    Attributes:
        classes_: The labels known so far, sorted.
        n_features_in_: Pixels of an image.
        labels_: The labels known so far, in order of appearance.
        state_: The network's state after the examples: the memory and the state of the controller.

    Args:
        model: Name of pretrained weights, or the folder of a run on images.
        random_state: Seed of the network's own labels for the classes; any seed is as good as another.
    """

    n_features_in_: int

    def __init__(self, model: str | Path = "omniglot-5", random_state: int = 0):
        self.model = model
        self.random_state = random_state

    @classmethod
    def from_pretrained(cls, name: str) -> Self:
        """Return a classifier with pretrained weights and a blank memory; they are loaded by `fit`.

        Raises:
            InputError: there are no weights of that name.
        """
        if name not in pretrained_names() and not Run(Path(name)).exists():
            raise unknown(name)
        return cls(model=name)

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Forget everything, then learn from examples; see `partial_fit`."""
        for name in [name for name in vars(self) if name.endswith("_")]:
            delattr(self, name)
        return self.partial_fit(X, y)

    def partial_fit(self, X: ArrayLike, y: ArrayLike, classes: ArrayLike | None = None) -> Self:  # noqa: N803
        """Learn from more examples, presented in order.

        Args:
            X: The images, at least one.
            y: Their labels.
            classes: All labels there will ever be, in the first call; None: labels are added as they come.

        Raises:
            InputError: images unlike those of the training in size or range, labels that do not match them, more
                classes than the network can tell apart, or a label that is not among `classes`. The fitted state is
                unchanged then.
        """
        first = not hasattr(self, "state_")
        config, network = self._loaded() if first else (self.config_, self.network_)
        images = self._images(X, config, reset=first)
        labels = column_or_1d(y, warn=True)
        check_array(labels, ensure_2d=False, dtype=cast(Any, None))  # refuses labels that are not finite
        check_classification_targets(labels)
        if len(labels) != len(images):
            raise InputError(f"{len(images)} images, but {len(labels)} labels: give a label for each image")
        known = [] if first else self.labels_
        extended = _extended(known, labels, classes, config.most_labelled, fixed=not first and self.fixed_)
        codes = own_names(config, self.random_state)[[extended.index(label) for label in labels.tolist()]]
        encoded = encode(codes, episode_labels(config).symbols).double()
        previous = torch.zeros_like(encoded[:1]) if first else self.previous_
        with torch.no_grad():
            _, state = network(
                images[:, None], torch.cat([previous, encoded[:-1]])[:, None], None if first else self.state_
            )
        self.config_, self.network_, self.labels_ = config, network, extended
        self.fixed_ = classes is not None if first else self.fixed_
        self.state_, self.previous_ = state, encoded[-1:]
        self.classes_ = numpy.unique(numpy.asarray(extended))
        return self

    def predict_proba(self, X: ArrayLike) -> numpy.ndarray:  # noqa: N803
        """Return the probability of each of `classes_` for each image, float64 [n, classes], rows summing to 1.

        Raises:
            InputError: images unlike those of the training in size or range.
            NotFittedError: there are no examples yet.
        """
        check_is_fitted(self, "state_")
        images = self._images(X, self.config_, reset=False)
        count = len(images)
        state = map_leaves(lambda leaf: leaf.expand(count, *leaf.shape[1:]), self.state_)
        with torch.no_grad():
            logits, _ = self.network_(images[None], self.previous_.expand(1, count, -1), state)
        order = [self.labels_.index(label) for label in self.classes_.tolist()]
        return log_probabilities(logits[0], own_names(self.config_, self.random_state)[order]).softmax(-1).numpy()

    def predict(self, X: ArrayLike) -> numpy.ndarray:  # noqa: N803
        """Return the most probable label of each image, [n]; see `predict_proba` for the errors."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(1)]

    def save(self, path: str | Path) -> None:
        """Write the weights and the fitted state to one safetensors file.

        Raises:
            InputError: a label is neither a number nor a string.
            OSError: the file cannot be written.
        """
        check_is_fitted(self, "state_")
        leaves = leaves_of(self.state_)
        # The weights were float32 before `_loaded` converted them: nothing is lost.
        tensors = {f"network.{name}": value.float() for name, value in self.network_.state_dict().items()}
        tensors |= {f"state.{place}": leaf.contiguous() for place, leaf in enumerate(leaves)}
        saved = {
            "model": str(self.model),
            "random_state": self.random_state,
            "labels": self.labels_,
            "fixed": self.fixed_,
            "config": plain(self.config_),
        }
        try:
            text = json.dumps(saved)
        except TypeError as error:
            raise InputError(f"labels that are neither numbers nor strings cannot be saved ({error})") from error
        with whole(Path(path)) as temporary:
            save_file({**tensors, "previous": self.previous_}, temporary, {"mann": text})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            InputError: there is no such file, or it is not what `save` wrote.
        """
        try:
            with safe_open(path, "pt") as file:
                saved = _Saved.model_validate_json(file.metadata()["mann"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            config = cast(Config, config_from_json(json.dumps(saved.config), str(path)))
            weights = {
                name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")
            }
            with torch.device("meta"):  # without storage: damaged settings may describe a network of any size
                planned = build_classifier(config)
                # A memory network or a stack of layers: both say what their state is.
                template = cast(Any, planned.network).initial_state(1, tensors["previous"].to("meta"))
            if {name: value.shape for name, value in planned.state_dict().items()} != {
                name: value.shape for name, value in weights.items()
            }:
                raise ValueError("weights that are not of such a network")
            if not 1 <= len(set(saved.labels)) == len(saved.labels) <= config.most_labelled:
                raise ValueError(f"{len(saved.labels)} labels, expected 1 to {config.most_labelled} different ones")
            found = cls(saved.model, saved.random_state)
            found.config_, found.network_ = config, _in_double(config, weights)
            found.labels_, found.fixed_ = saved.labels, saved.fixed
            found.state_ = unflatten(
                structure_of(template),
                [tensors[f"state.{place}"] for place in range(len(leaves_of(template)))],
            )
            found.previous_ = tensors["previous"]
            found.classes_ = numpy.unique(numpy.asarray(found.labels_))
            found.n_features_in_ = config.size**2
            found.predict_proba(numpy.zeros((1, config.size, config.size)))  # refuses a state that does not fit
        except Exception as error:  # other content makes the readers raise almost anything
            raise InputError(f"{path} is no saved classifier ({first_line(error)})") from error
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Return the pickled state: weights instead of the network, which holds functions."""
        held = cast(dict[str, Any], super().__getstate__())
        return {**held, "network_": self.network_.state_dict()} if "network_" in held else held

    def __setstate__(self, held: dict[str, Any]) -> None:
        """Restore the pickled state."""
        if "network_" in held:
            held = {**held, "network_": _in_double(held["config_"], held["network_"])}
        super().__setstate__(held)

    def _loaded(self) -> tuple[Config, Classifier]:
        """Return settings and network of the model."""
        config, network = load_pretrained(self.model)
        # In double precision the probabilities of an image do not depend on the other images of a call.
        return config, network.double()

    def _images(self, images: ArrayLike, config: Config, reset: bool) -> Tensor:
        """Return images as inputs of the network, float64 [n, side, side]; refuse other sizes and ranges."""
        side = config.size
        rows: Any = images if issparse(images) else numpy.asarray(images)
        if rows.ndim == 3:
            if rows.shape[1:] != (side, side):
                raise InputError(f"images are {rows.shape[1]} x {rows.shape[2]} pixels, {_wanted(side)}")
            rows = rows.reshape(len(rows), -1)
        rows = cast(Any, validate_data(self, rows, reset=reset))
        if rows.shape[1] != side * side:
            raise InputError(f"images have {rows.shape[1]} pixels, {_wanted(side)}")
        pixels = torch.from_numpy(rows.astype(numpy.float64)).unflatten(1, (side, side))
        if rows.dtype == numpy.uint8:
            return pixels / 255
        if pixels.min() < 0 or pixels.max() > 1:
            raise InputError(
                f"pixels are from {pixels.min():g} to {pixels.max():g}: scale them to 0 (background) to 1 (ink)"
            )
        return pixels


def _in_double(config: Config, weights: dict[str, Tensor]) -> Classifier:
    """Return a network with these weights, in double precision."""
    network = build_classifier(config).double()
    network.load_state_dict(weights)
    return network


def _wanted(side: int) -> str:
    """Return the size that images must have, for errors."""
    return f"the network was trained on {side} x {side}: use data.read_images(paths, {side})"


def _extended(known: list[Any], labels: numpy.ndarray, classes: ArrayLike | None, most: int, fixed: bool) -> list[Any]:
    """Return all labels known after these, in order of appearance.

    Raises:
        InputError: there are more than `most`, or one is not among the classes of the first call.
    """
    given = [] if classes is None else numpy.asarray(classes).tolist()
    extended = list(dict.fromkeys([*known, *given, *labels.tolist()]))
    if fixed and len(extended) > len(known):
        raise InputError(f"label {extended[len(known)]!r} is not among the classes of the first call: {known}")
    if given and not known and len(extended) > len(given):
        raise InputError(f"label {extended[len(given)]!r} is not among classes {given}")
    if len(extended) > most:
        raise InputError(f"{len(extended)} classes, but the network can tell {most} apart: use another model")
    return extended
