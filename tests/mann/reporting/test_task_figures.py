"""The table of a task has the planted costs, parts and estimators."""

from io import StringIO

from rich.console import Console

from mann.reporting.task_figures import task_table


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
