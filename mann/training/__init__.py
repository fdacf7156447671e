"""Training on episodes: one loop with explicit state, so that it can stop and continue anywhere.

problem:      the interface between a problem and the loop
loop:         the loop: steps, lines of metrics, validation, checkpoints
step:         one update of the weights
step_time:    whether steps suddenly take much longer
state:        what changes from step to step, and so belongs in a checkpoint
optimisation: optimiser, learning rate, clipping of gradients
distributed:  a process group that trains one model, started by torchrun
tensorboard:  the TensorBoard log
"""

from mann.training.distributed import LostError, ProcessGroup, joined
from mann.training.loop import LoggingInterval, OnMetrics, fit
from mann.training.problem import Counts, Problem
from mann.training.step import NotFiniteError

__all__ = [
    "Counts",
    "LoggingInterval",
    "LostError",
    "NotFiniteError",
    "OnMetrics",
    "Problem",
    "ProcessGroup",
    "fit",
    "joined",
]
