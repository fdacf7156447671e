"""Sequences to learn from: pure functions of (seed, step) that return whole batches on the device.

classification: label-offset episodes of image classes
labels:         how classes are named in an episode: one-hot, or strings of characters
jitter:         random rotation and translation of drawings
randomness:     the random numbers of a step
"""

from episodes.classification import ClassificationEpisodes, Episode
from episodes.jitter import Jitter
from episodes.labels import LABELS, Labels, OneHot, Strings

__all__ = ["LABELS", "ClassificationEpisodes", "Episode", "Jitter", "Labels", "OneHot", "Strings"]
