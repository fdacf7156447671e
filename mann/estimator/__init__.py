"""A trained memory as a scikit-learn classifier, and weights that come with the package.

one_shot:   OneShotClassifier: fit, partial_fit, predict, save, load
pretrained: pretrained weights by name
weights/    the weights with their settings and cards
"""

from mann.estimator.one_shot import OneShotClassifier
from mann.estimator.pretrained import load_pretrained, pretrained_names

__all__ = ["OneShotClassifier", "load_pretrained", "pretrained_names"]
