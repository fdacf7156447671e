"""Problems to train: a model, its episodes, its loss and its validation.

opening:          from settings to a problem
classification:   label-offset classification of images
meta_learning:    N-way K-shot classification of images, for MAML
algorithmic_task: the algorithmic tasks
compiling:        when a network is compiled
"""

from mann.problems.classification import Classification, train
from mann.problems.opening import open_problem

__all__ = ["Classification", "open_problem", "train"]
