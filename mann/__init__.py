"""Memory-augmented neural networks: memory, addressing, controllers; training and evaluation.

addressing:   one file for each way of addressing memory
memory:       reading and writing with given weightings
controllers:  what drives the memory
network:      the three together, used like torch.nn.LSTM
unrolling:    running a step through time, plainly or fast
baselines:    networks without memory

config:       every setting, its default and the presets
classifier:   from episodes to answers
training:     the training loop
evaluation:   accuracy by instance on held-out classes
runs:         the folder of a run
statistics:   intervals
published:    the papers' figures
reporting:    tables and pictures
"""

from mann.addressing import LRUA, SCHEMES
from mann.controllers import CONTROLLERS, FeedForwardController, LSTMController
from mann.network import MemoryNetwork, NetworkState

__all__ = [
    "CONTROLLERS",
    "LRUA",
    "SCHEMES",
    "FeedForwardController",
    "LSTMController",
    "MemoryNetwork",
    "NetworkState",
]
