"""A sequence step by step, as plain data for the HTML report: inputs, answers, and the use of memory.

Numbers from 0 to 1 are stored as bytes in base64, so that the report of a long sequence stays small.
"""

from base64 import b64encode
from typing import Any

import numpy

from mann.evaluation.figures import ordinal
from mann.evaluation.instances import SequenceTrace
from mann.evaluation.memory_use import answered_sequence, only_sequence, usage_of
from mann.evaluation.task_costs import TaskTrace

Plain = dict[str, Any]


def classification_steps(trace: SequenceTrace) -> Plain:
    """Return the steps of a classification: images, labels and answers."""
    sequence = answered_sequence(trace.episode, trace.logits)
    steps = [
        {
            "input": _packed(image),
            "label": sequence.names[sequence.classes[step]],
            "answer": sequence.answers[step],
            "right": bool(sequence.correct[step]),
            "presentation": ordinal(int(sequence.presentations[step])),
        }
        for step, image in enumerate(only_sequence(trace.episode.images))
    ]
    return {"kind": "images", "size": trace.episode.images.shape[-1], "steps": _with_memory(steps, trace)}


def task_steps(trace: TaskTrace, tokens: bool = False) -> Plain:
    """Return the steps of a task: inputs, targets and outputs; tokens: each answer is one of several tokens.

    For tasks of bits and of tokens, outputs are probabilities. Other numbers are returned unpacked.
    """
    inputs, targets, counted = (only_sequence(part) for part in trace.episode)
    bits = trace.outputs.shape == trace.episode.targets.shape and bool(((targets == 0) | (targets == 1)).all())
    probabilities = trace.outputs.softmax(-1) if tokens else trace.outputs.sigmoid()
    outputs = only_sequence(probabilities if bits else trace.outputs)
    plain = bits and inputs.min() >= 0 and inputs.max() <= 1
    steps = [
        {
            "input": _packed(inputs[step]) if plain else numpy.round(inputs[step], 3).tolist(),
            "has_target": bool(counted[step]),
            "target": _packed(targets[step]) if plain else numpy.round(targets[step], 3).tolist(),
            "output": _packed(outputs[step]) if plain else numpy.round(outputs[step], 3).tolist(),
            "wrong": _wrong(outputs[step], targets[step], tokens) if bits else None,
        }
        for step in range(len(inputs))
    ]
    return {"kind": "bits" if plain else "numbers", "steps": _with_memory(steps, trace)}


def _wrong(outputs: numpy.ndarray, targets: numpy.ndarray, tokens: bool) -> int:
    """Return how many answers of a step are wrong: bits, or the one token."""
    if tokens:
        return int(outputs.argmax() != targets.argmax())
    return int(((outputs > 0.5) != (targets > 0.5)).sum())


def _with_memory(steps: list[Plain], trace: SequenceTrace | TaskTrace) -> list[Plain]:
    """Add to each step the weights of every head, and the usage of the slots as a fraction of the largest.

    Features are called keys and queries, and are mapped from [-largest, largest] to [0, 1].
    """
    access = trace.access
    if access is None:
        return steps
    usage = usage_of(access)
    heads = {"writes": only_sequence(access.write.weights), "reads": only_sequence(access.read_weights)}
    if trace.weights_are == "features":
        heads = {"keys": _signed(heads["writes"]), "queries": _signed(heads["reads"])}
    return [
        {
            **step,
            **{name: [_packed(head) for head in weights[number]] for name, weights in heads.items()},
            **({} if usage is None else {"usage": _packed(usage.values[number] / max(1e-9, usage.values.max()))}),
        }
        for number, step in enumerate(steps)
    ]


def _signed(values: numpy.ndarray) -> numpy.ndarray:
    """Map numbers to [0, 1], 0 to the middle."""
    return 0.5 + 0.5 * values / max(1e-9, abs(values).max())


def _packed(values: numpy.ndarray) -> str:
    """Return numbers from 0 to 1 as bytes in base64."""
    return b64encode(numpy.rint(255 * values.clip(0, 1)).astype(numpy.uint8).tobytes()).decode()
