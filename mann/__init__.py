"""Memory-augmented neural networks: addressing schemes, training, evaluation, comparison.

A layer imports the layers below it (`make lint` checks that):

cli:        the commands train, evaluate, report, demo, reproduce, benchmark
page:       the page on which one draws characters
benchmark:  comparisons of schemes, speed and samplers
reporting:  tables, pictures, the HTML report, the page of the papers' tables
papers:     published figures, recipes of our rows, stored results
estimator:  OneShotClassifier for scikit-learn, and pretrained weights
problems:   classification of images, few-shot classification (MAML), algorithmic tasks
evaluation: accuracy by instance, N-way K-shot accuracy, costs of tasks, intervals
training:   the loop, optimisation, process groups, TensorBoard
runs:       the run folder, checkpoints, metrics, environment
fast:       the compiled path through time; optional
models:     controllers, the memory network, encoders, baselines
settings:   settings as typed data, presets, reading and writing
addressing: one file for each addressing scheme; reading and writing a memory matrix
support:    atomic files, seeds, process memory

Episodes come from the package `episodes`, images from the package `data`.
"""

from typing import TYPE_CHECKING

import mann.support.openmp  # noqa: F401  before torch

# isort: split
from mann.addressing import (
    DNC,
    LRUA,
    MLSTM,
    NTM,
    NTMLRU,
    SCHEMES,
    Append,
    Content,
    Delta,
    GatedSlots,
    Location,
    LRUSoft,
    Scheme,
    Sparse,
)
from mann.models.controllers import CONTROLLERS, FeedForwardController, GRUController, LSTMController, controller_kind
from mann.models.initial_state import InitialState
from mann.models.network import Access, MemoryNetwork, NetworkState
from mann.settings.registration import load_scheme, register_scheme

if TYPE_CHECKING:
    from mann.estimator.one_shot import OneShotClassifier

__all__ = [
    "Access",
    "Append",
    "CONTROLLERS",
    "Content",
    "DNC",
    "Delta",
    "FeedForwardController",
    "GRUController",
    "GatedSlots",
    "InitialState",
    "LRUA",
    "LRUSoft",
    "LSTMController",
    "Location",
    "MLSTM",
    "MemoryNetwork",
    "NTM",
    "NTMLRU",
    "NetworkState",
    "OneShotClassifier",
    "SCHEMES",
    "Scheme",
    "Sparse",
    "controller_kind",
    "load_scheme",
    "register_scheme",
]


def __getattr__(name: str) -> object:
    """Import OneShotClassifier when it is first asked for: scikit-learn takes nearly as long to import as torch."""
    if name != "OneShotClassifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mann.estimator.one_shot import OneShotClassifier

    return OneShotClassifier
