"""A sequence step by step, as plain data for a page: what came in, what was answered, what memory did.

Numbers are bytes in base64, 255 the largest, so that a page of a long sequence stays small.
"""

from base64 import b64encode
from typing import Any

import numpy
from torch import Tensor

from mann.evaluation.instances import Seen
from mann.evaluation.task_costs import Example
from mann.models.network import Access
from mann.reporting.access_plot import labelled, usage_of
from mann.reporting.style import ordinal

Plain = dict[str, Any]


def classification_steps(seen: Seen) -> Plain:
    """Return the steps of a classification: drawings, labels, answers."""
    shown = labelled(seen.episode, seen.logits)
    steps = [
        {
            "input": _packed(image),
            "label": shown.names[shown.classes[step]],
            "answer": shown.answers[step],
            "right": bool(shown.right[step]),
            "presentation": ordinal(int(shown.presentations[step])),
        }
        for step, image in enumerate(_only(seen.episode.images))
    ]
    return {"kind": "drawings", "size": seen.episode.images.shape[-1], "steps": _with_memory(steps, seen.access)}


def task_steps(example: Example) -> Plain:
    """Return the steps of a task: vectors, what was asked for, what was answered.

    Bits are from 0 to 1, answers probabilities. Other numbers are returned as they are.
    """
    inputs, targets, asked = (_only(part) for part in example.episode)
    bits = example.outputs.shape == example.episode.targets.shape and bool(((targets == 0) | (targets == 1)).all())
    outputs = _only(example.outputs.sigmoid() if bits else example.outputs)
    plain = bits and inputs.min() >= 0 and inputs.max() <= 1
    steps = [
        {
            "input": _packed(inputs[step]) if plain else numpy.round(inputs[step], 3).tolist(),
            "asked": bool(asked[step]),
            "target": _packed(targets[step]) if plain else numpy.round(targets[step], 3).tolist(),
            "output": _packed(outputs[step]) if plain else numpy.round(outputs[step], 3).tolist(),
            "wrong": int(((outputs[step] > 0.5) != (targets[step] > 0.5)).sum()) if bits else None,
        }
        for step in range(len(inputs))
    ]
    return {"kind": "bits" if plain else "numbers", "steps": _with_memory(steps, example.access)}


def _with_memory(steps: list[Plain], access: Access | None) -> list[Plain]:
    """Add to each step the weights of every head, and the use of the slots as a share of the largest."""
    if access is None:
        return steps
    usage = usage_of(access)
    heads = {"writes": _only(access.write.weights), "reads": _only(access.read_weights)}
    return [
        {
            **step,
            **{name: [_packed(head) for head in weights[number]] for name, weights in heads.items()},
            **({} if usage is None else {"usage": _packed(usage.values[number] / max(1e-9, usage.values.max()))}),
        }
        for number, step in enumerate(steps)
    ]


def _only(tensor: Tensor) -> numpy.ndarray:
    """Return the only sequence of a batch, float64 [time, ...]."""
    return tensor[:, 0].double().numpy(force=True)


def _packed(values: numpy.ndarray) -> str:
    """Return numbers from 0 to 1 as bytes in base64."""
    return b64encode(numpy.rint(255 * values.clip(0, 1)).astype(numpy.uint8).tobytes()).decode()
