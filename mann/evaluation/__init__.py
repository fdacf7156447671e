"""Figures of models on classes and sequences that they were not trained on; pure functions of a model and episodes.

held_out:          the fixed validation and test episodes
instances:         accuracy by instance
few_shot_accuracy: N-way K-shot accuracy
measurement:       the options of an evaluation of images as typed data
answers:           the cost of answers to the algorithmic tasks
task_costs:        that cost at the sizes of the training and beyond them
figures:           the main figures of a stored evaluation, and paired differences of two
intervals:         95% intervals
memory_use:        writes and reads of every slot in a sequence
"""

from mann.evaluation.few_shot_accuracy import evaluate_few_shot
from mann.evaluation.instances import evaluate
from mann.evaluation.measurement import Measurement
from mann.evaluation.task_costs import evaluate_task

__all__ = ["Measurement", "evaluate", "evaluate_few_shot", "evaluate_task"]
