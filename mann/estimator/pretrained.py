"""Weights that come with the package, each with its card (weights/NAME/card.md), and weights of runs."""

from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file

from data import InputError
from mann.models.building import build_classifier
from mann.models.classifier import Classifier
from mann.runs import Run
from mann.runs.loading import load_classifier
from mann.settings import Config, read_config

WEIGHTS: Final = Path(__file__).parent / "weights"
_CPU: Final = torch.device("cpu")


def pretrained_names() -> list[str]:
    """Return the names of the weights that come with the package.

    >>> pretrained_names()
    ['omniglot-5']
    """
    return sorted(path.parent.name for path in WEIGHTS.glob("*/weights.safetensors"))


def load_pretrained(model: str | Path) -> tuple[Config, Classifier]:
    """Return settings and classifier of pretrained weights, or of a run.

    Args:
        model: A name of `pretrained_names`, or the folder of a run on images.

    Raises:
        InputError: there are no such weights and no such run, or they are damaged.
    """
    if str(model) in pretrained_names():
        folder = WEIGHTS / str(model)
        config = read_config(folder / "config.json")
        assert isinstance(config, Config)
        classifier = build_classifier(config)
        classifier.load_state_dict(load_file(folder / "weights.safetensors"))
        return config, classifier
    if not Run(Path(model)).exists():
        raise unknown(model)
    return load_classifier(Run(Path(model)), _CPU)


def unknown(model: str | Path) -> InputError:
    """Return the refusal of a name that is neither that of pretrained weights nor the folder of a run."""
    return InputError(
        f"no pretrained model is named {str(model)!r}, nor is it the folder of a run: use "
        f"{' or '.join(pretrained_names())}, or train a model first"
    )
