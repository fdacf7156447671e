"""The use of memory in one sequence: writes and reads of every slot, the class that a slot is bound to, usage counts.

All functions take tensors of a batch of one sequence, as `MemoryNetwork.trace` returns them. Steps, slots and heads
count from 0.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy
from torch import Tensor

from episodes import Episode
from mann.addressing import WeightsAre
from mann.models.network import Access

BOUND = 0.1
"""A slot counts as written or read where the weight, summed over heads, is above this."""

# By the name of the field in the state of the addressing scheme.
_USAGE_TITLES: Final[Mapping[str, str]] = {
    "usage": "usage of the slots",
    "age": "age of the slots: steps since they were last in use",
}


def only_sequence(tensor: Tensor) -> numpy.ndarray:
    """Return the only sequence of a batch [time, 1, ...] as float64 [time, ...].

    Raises:
        ValueError: the batch has another size.
    """
    if tensor.shape[1] != 1:
        raise ValueError(f"expected a batch of one sequence, got {tensor.shape[1]}")
    return tensor[:, 0].double().numpy(force=True)


class AnsweredSequence(NamedTuple):
    """The labels of a sequence and the answers to it. Classes are numbered in the order of their labels.

    Attributes:
        names: The labels of the classes, as text.
        classes: int [time], the class of each image.
        presentations: int [time], how often the class has been presented, this time included.
        answers: The label answered at each step, as text.
        answered: int [time], the class with that label; -1 if no class of the sequence has it.
    """

    names: list[str]
    classes: numpy.ndarray
    presentations: numpy.ndarray
    answers: list[str]
    answered: numpy.ndarray

    @property
    def correct(self) -> numpy.ndarray:
        """Whether each answer is correct, bool [time]."""
        return self.answered == self.classes


def answered_sequence(episode: Episode, logits: Tensor) -> AnsweredSequence:
    """Return the labels of an episode and the most probable answers to it.

    Args:
        episode: A batch of one sequence.
        logits: [time, 1, characters, symbols].

    Raises:
        ValueError: there is more than one sequence.
    """
    labels, answers = (
        [tuple(label) for label in only_sequence(characters).astype(int).tolist()]
        for characters in (episode.targets, logits.argmax(-1))
    )
    number = {label: place for place, label in enumerate(sorted(set(labels)))}
    return AnsweredSequence(
        names=[_label_text(label) for label in number],
        classes=numpy.array([number[label] for label in labels]),
        presentations=only_sequence(episode.presentation).astype(int),
        answers=[_label_text(answer) for answer in answers],
        answered=numpy.array([number.get(answer, -1) for answer in answers]),
    )


def _label_text(label: Sequence[int]) -> str:
    """Return a label as text: a number, or a string of the letters from a on."""
    return str(label[0]) if len(label) == 1 else "".join(chr(ord("a") + character) for character in label)


class SlotAccess(NamedTuple):
    """Writes to and reads from the slots in one sequence; all arrays are [time, slots].

    Where weights are features, a memory has no slots that hold one thing: each step's write is a place of its own.

    Attributes:
        writes, reads: Weights, summed over heads; where weights are features, see `slot_access`.
        image_writes: bool, the writes above `BOUND` that are taken to store the image of their own step.
        label_writes: bool, those that are taken to add the label of the image before.
        classes: int, the class of the image that a write belongs to.
    """

    writes: numpy.ndarray
    reads: numpy.ndarray
    image_writes: numpy.ndarray
    label_writes: numpy.ndarray
    classes: numpy.ndarray


def slot_access(access: Access, classes: numpy.ndarray, weights_are: WeightsAre = "weightings") -> SlotAccess:
    """Return the writes and reads of one sequence, and the class that each write belongs to.

    The label of an image is an input of the next step. A write may therefore store the image of its own step, or the
    label of the image before, and only its place tells which: a write to a slot that was written or read at the step
    before, and of which less than half is erased, is taken to add the label. Every other write is taken to store the
    image.

    Features are compared with each other instead: the places are the steps, step `s` writes to place `s` what belongs
    to the label that arrives at that step, that of the image before, and a later step reads place `s` with the product
    of its query and that step's key (`matches`).

    Args:
        access: [time, 1, ...], as `MemoryNetwork.trace` returns it.
        classes: int [time], the class of each image.
        weights_are: What the scheme's weights are.

    Raises:
        ValueError: there is more than one sequence.
    """
    # The first entry is a placeholder: no write of the first step adds a label.
    previous = numpy.concatenate([classes[:1], classes[:-1]])
    if weights_are == "features":
        return _access_of_steps(access, classes, previous)
    writes, reads = (only_sequence(weights).sum(1) for weights in (access.write.weights, access.read_weights))
    in_use, erased = (writes > BOUND) | (reads > BOUND), only_sequence(access.write.keep).mean(-1) < 0.5
    in_use_before = numpy.concatenate([numpy.zeros_like(in_use[:1]), in_use[:-1]])
    label_writes = (writes > BOUND) & in_use_before & ~erased
    return SlotAccess(
        writes=writes,
        reads=reads,
        image_writes=(writes > BOUND) & ~label_writes,
        label_writes=label_writes,
        classes=numpy.where(label_writes, previous[:, None], classes[:, None]),
    )


def matches(access: Access) -> numpy.ndarray:
    """Return the product of each step's queries and each earlier or same step's keys, the mean over reading heads.

    Returns:
        [time, time]. Row t, column s: how much of what all heads wrote at step s is read at step t, after the decay in
        between, and as long as no later write corrects it; 0 for later steps.

    Raises:
        ValueError: there is more than one sequence.
    """
    # Where heads have slots of their own, the products of one head's query and another's keys are 0.
    keys, queries = (only_sequence(weights).sum(1) for weights in (access.write.weights, access.read_weights))
    keep, heads = only_sequence(access.write.keep).mean(-1), access.read_weights.shape[2]
    found = numpy.zeros((len(keys), len(keys)))
    decayed = numpy.zeros_like(keys)
    for step, (key, query, kept) in enumerate(zip(keys, queries, keep, strict=True)):
        decayed = decayed * kept
        decayed[step] = key
        found[step] = decayed @ query / heads
    return found


def _access_of_steps(access: Access, classes: numpy.ndarray, previous: numpy.ndarray) -> SlotAccess:
    """Return the writes and reads of places that are steps; see `slot_access`."""
    time = len(classes)
    own = numpy.eye(time, dtype=bool)
    label_writes = own & (numpy.arange(time) > 0)
    return SlotAccess(
        writes=own.astype(float),
        reads=matches(access),
        image_writes=own & ~label_writes,
        label_writes=label_writes,
        classes=numpy.where(label_writes, previous[:, None], classes[:, None]),
    )


def by_first_write(slots: SlotAccess) -> numpy.ndarray:
    """Return the slots with a weight above `BOUND` in the order of their first write, int [slots in use].

    Slots that were only read follow, in the order of their first read.
    """
    time = len(slots.writes)
    above = [weights > BOUND for weights in (slots.writes, slots.reads)]
    first_write, first_read = (numpy.where(marked.any(0), marked.argmax(0), time) for marked in above)
    order = numpy.lexsort((first_read, first_write))
    return order[numpy.minimum(first_write, first_read)[order] < time]


class Usage(NamedTuple):
    """The usage counts of an addressing scheme: a description of the quantity, and its values [time, slots]."""

    title: str
    values: numpy.ndarray


def usage_of(access: Access) -> Usage | None:
    """Return the usage counts of one sequence; None if the addressing scheme has none.

    Raises:
        ValueError: there is more than one sequence.
    """
    for name, title in _USAGE_TITLES.items():
        if hasattr(access.addressing, name):
            return Usage(title, only_sequence(getattr(access.addressing, name)))
    return None
