"""Memory-augmented neural networks: memory, addressing, controllers; training and evaluation.

addressing:   one file for each way of addressing memory
memory:       reading and writing with given weightings
controllers:  what drives the memory
start:        what memory and heads begin with
network:      all of them together, used like torch.nn.LSTM
products:     multiplying, as torch does or faster
unrolling:    running a step through time, plainly or fast
compiling:    compiling a step and its gradient
baselines:    networks without memory
prototypes:   prototypical networks
nearest:      nearest neighbours
maml:         model-agnostic meta-learning, through learn2learn

config:       every setting, its default and the presets
building:     from settings to a network
encoders:     from an image to what a network sees of it
classifier:   from episodes to answers
training:     the training loop
classification: label-offset classification, as it is trained
evaluation:   accuracy by instance on held-out classes
few_shot:     N-way K-shot accuracy on them
meta_learning: N-way K-shot classification, as MAML is trained on it
tasks:        the algorithmic tasks, as they are trained
answers:      what their answers mean and cost
task_evaluation: what answers cost at the sizes of the training and beyond them
problems:     from settings to what is learned
benchmark:    comparing schemes of addressing, and speed
team:         processes that train together
runs:         the folder of a run
resident:     the memory that a process holds
statistics:   intervals
published:    the papers' figures
recipes:      how each row of their tables is made
reporting:    tables and pictures
page:         a page on which one draws
"""

from mann.addressing import DNC, LRUA, NTM, NTMLRU, SCHEMES, Content, Location, LRUSoft, Scheme, Sparse
from mann.estimator.one_shot import OneShotClassifier
from mann.models.controllers import CONTROLLERS, FeedForwardController, GRUController, LSTMController, controller_kind
from mann.models.initial_state import Start
from mann.models.network import Access, MemoryNetwork, NetworkState

__all__ = [
    "CONTROLLERS",
    "DNC",
    "LRUA",
    "NTM",
    "NTMLRU",
    "SCHEMES",
    "Access",
    "Content",
    "FeedForwardController",
    "GRUController",
    "LRUSoft",
    "LSTMController",
    "Location",
    "MemoryNetwork",
    "NetworkState",
    "OneShotClassifier",
    "Scheme",
    "Sparse",
    "Start",
    "controller_kind",
]
