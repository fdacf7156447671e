"""The table of a task has the planted costs, parts and estimators; plots have the planted marks."""

from io import StringIO
from typing import Any

import numpy
import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console

from mann.evaluation.task_costs import SWEEPS, TaskTrace
from mann.reporting.task_figures import draw_sizes, plot_sequences, task_table
from tests.mann.planted_access import task_episode


def test_the_table_of_a_task_has_the_costs_by_size() -> None:
    measured = {"wrong_bits_per_sequence": 1.5, "exact_sequences": 0.5, "bit_error_rate": 0.125}
    spread = {"intervals": dict.fromkeys(("bits_per_sequence", *measured), (0.25, 99.5))}
    evaluation = {
        "task": "repeat-copy",
        "sequences": 64,
        "results": [
            {"setting": {}, "bits_per_sequence": 0.00123, **measured, **spread},
            {
                "setting": {"length": 20, "repeats": 3},
                "bits_per_sequence": 93.55,
                **measured,
                **spread,
                "parts": {"end marker": {"bits_per_sequence": 7.5, **measured}},
                "references": {"Bayes estimate": {"cost": 92.25, "above": 1.3, "interval": (1.2, 1.4)}},
            },
        ],
    }
    console = Console(width=100, record=True, file=StringIO())
    console.print(task_table(evaluation))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "as in training 0.00123 0.25 to 99.5 1.5 50.00% 12.50%" in lines
    assert "length 20, repeats 3 93.55 0.25 to 99.5 1.5 50.00% 12.50%" in lines
    assert "end marker 7.5 1.5 50.00% 12.50%" in lines
    assert "Bayes estimate 92.25" in lines
    assert any("+1.3 (+1.2 to +1.4)" in line for line in lines)


def token_evaluation() -> dict[str, Any]:
    """Return an evaluation of parity: right up to a length of 40, and half right beyond it."""
    results = [
        {
            "setting": setting,
            "token_accuracy": accuracy,
            "exact_sequences": accuracy,
            "nats_per_token": 0.25,
            "intervals": {
                "token_accuracy": (accuracy - 0.1, accuracy),
                "exact_sequences": (0, 1),
                "nats_per_token": (0, 1),
            },
        }
        for setting in SWEEPS["parity"][0].settings()
        for accuracy in [1.0 if setting["length"] <= 40 else 0.5]
    ]
    return {"task": "parity", "sequences": 64, "results": results}


def test_the_table_of_a_task_of_tokens_has_shares_in_percent() -> None:
    console = Console(width=100, record=True, file=StringIO())
    console.print(task_table(token_evaluation()))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert "length 500 50.00% 40.00% to 50.00% 50.00% 0.25" in lines
    assert any("the interval is that of the accuracy" in line for line in lines)


def test_the_accuracy_of_tokens_is_drawn_on_a_linear_axis_up_to_all() -> None:
    axes = Figure().add_subplot()
    draw_sizes(axes, SWEEPS["parity"][0], {"run": token_evaluation()}, trained=40)
    assert axes.get_yscale() == "linear" and axes.get_ylim() == (0, pytest.approx(1.02))
    assert axes.get_title().startswith("parity: accuracy against length") and axes.get_ylabel() == "token accuracy"
    lengths, accuracies = (values.tolist() for values in map(numpy.asarray, axes.lines[0].get_data()))
    assert lengths[-1] == 500 and accuracies[:4] == [1.0] * 4 and set(accuracies[4:]) == {0.5}


def test_a_plot_without_results_at_the_sizes_of_its_sweep_is_empty() -> None:
    axes = Figure().add_subplot()
    evaluation = {"task": "continuous-recall", "sequences": 2, "results": []}
    draw_sizes(axes, SWEEPS["continuous-recall"][0], {"run": evaluation}, trained=2)
    assert len(axes.lines[0].get_xdata()) == 0  # pyright: ignore[reportArgumentType]
    assert axes.get_title().startswith("continuous-recall: accuracy against pairs")


def test_wrong_tokens_are_marked_where_an_answer_counts() -> None:
    episode = task_episode(3, 2)
    episode.targets[1:] = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]])
    outputs = torch.zeros(3, 1, 2)
    outputs[:, 0, 0] = 2.0  # the first token at each step: wrong at the second, and at the first nothing counts
    (axes,) = plot_sequences("parity", [TaskTrace({"length": 1}, episode, outputs, None)]).axes
    steps, rows = (numpy.asarray(values).tolist() for values in axes.lines[0].get_data())
    inputs = episode.inputs.shape[-1]
    assert steps == [1] and rows == [inputs + 2 + 2]
    assert axes.get_xlabel() == "step; wrong tokens: 1 of 2"
