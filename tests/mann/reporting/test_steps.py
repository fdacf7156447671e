"""A sequence step by step has the planted images, labels, bits, weights and usage."""

from base64 import b64decode

import numpy
import pytest
import torch

from mann.evaluation.instances import SequenceTrace
from mann.evaluation.task_costs import TaskTrace
from mann.reporting.steps import classification_steps, task_steps
from tests.mann.planted_access import Usage, answers, one_sequence, planted, task_episode, weightings


def unpacked(text: str) -> list[float]:
    """Return the numbers that were packed as bytes in base64."""
    return (numpy.frombuffer(b64decode(text), numpy.uint8) / 255).tolist()


def test_the_steps_of_a_classification_have_images_labels_and_weights() -> None:
    episode, writes = one_sequence(3, 1, 3), weightings(3, 1, 2, (0, 0, 0, 1.0), (1, 0, 1, 0.6))
    reads = weightings(3, 2, 2, (2, 1, 0, 0.4))
    usage = Usage(torch.tensor([[[0.0, 1.0]], [[2.0, 3.0]], [[4.0, 1.0]]]))
    found = classification_steps(SequenceTrace(episode, answers(1, 1, 4), planted(writes, reads, usage)))
    assert (found["kind"], found["size"]) == ("images", 4)
    steps = found["steps"]
    for step, image in zip(steps, episode.images[:, 0], strict=True):
        assert unpacked(step["input"]) == pytest.approx(image.flatten().tolist(), abs=0.5 / 255 + 1e-6)
    assert [step["label"] for step in steps] == ["3", "1", "3"]
    assert [step["answer"] for step in steps] == ["1", "1", "4"]
    assert [step["right"] for step in steps] == [False, True, False]
    assert [step["presentation"] for step in steps] == ["1st", "1st", "2nd"]
    assert [[unpacked(head) for head in step["writes"]] for step in steps] == [[[1, 0]], [[0, 0.6]], [[0, 0]]]
    assert [unpacked(head) for head in steps[2]["reads"]] == [[0, 0], [0.4, 0]]
    # As fractions of the largest usage, 4.
    assert unpacked(steps[1]["usage"]) == pytest.approx([0.5, 0.75], abs=0.5 / 255)


def test_features_are_keys_and_queries_with_0_in_the_middle() -> None:
    keys, queries = weightings(2, 1, 2, (0, 0, 0, -2.0), (1, 0, 1, 1.0)), weightings(2, 1, 2, (1, 0, 0, 0.5))
    trace = SequenceTrace(one_sequence(3, 1), answers(1, 1), planted(keys, queries), "features")
    steps = classification_steps(trace)["steps"]
    assert "writes" not in steps[0] and "reads" not in steps[0]
    found = [[unpacked(head) for head in step[kind]] for kind in ("keys", "queries") for step in steps]
    expected = [[[0, 0.5]], [[0.5, 0.75]], [[0.5, 0.5]], [[1, 0.5]]]
    numpy.testing.assert_allclose(found, expected, atol=0.5 / 255)


def test_the_steps_of_a_task_of_bits_have_probabilities_and_wrong_bits() -> None:
    episode = task_episode(3, 1)
    episode.targets[2, 0, 1] = 1
    outputs = torch.full((3, 1, 2), -1.0)
    outputs[2, 0, 0] = 2.0
    found = task_steps(TaskTrace({}, episode, outputs, None))
    assert found["kind"] == "bits"
    last = found["steps"][2]
    assert [step["has_target"] for step in found["steps"]] == [False, False, True]
    assert unpacked(last["target"]) == [0, 1]
    assert unpacked(last["output"]) == pytest.approx([0.881, 0.269], abs=0.003)
    assert last["wrong"] == 2 and "writes" not in last


def test_numbers_that_are_no_bits_are_not_packed() -> None:
    episode = task_episode(2, 1)
    episode.targets[1, 0, 0] = -1.5
    found = task_steps(TaskTrace({}, episode, torch.full((2, 1, 2), 0.25), None))
    assert found["kind"] == "numbers"
    assert (found["steps"][1]["target"], found["steps"][1]["output"]) == ([-1.5, 0.0], [0.25, 0.25])
    assert found["steps"][1]["wrong"] is None


def test_the_steps_of_a_task_of_tokens_have_probabilities_and_wrong_tokens() -> None:
    episode = task_episode(3, 2)
    episode.targets[1:] = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    outputs = torch.zeros(3, 1, 2)
    outputs[1:, 0, 0] = 2.0
    found = task_steps(TaskTrace({}, episode, outputs, None), tokens=True)
    assert found["kind"] == "bits"
    assert unpacked(found["steps"][1]["output"]) == pytest.approx([0.881, 0.119], abs=0.003)
    assert [step["wrong"] for step in found["steps"][1:]] == [1, 0]
