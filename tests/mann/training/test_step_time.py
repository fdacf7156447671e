"""A training says when its steps suddenly take much longer."""

from pathlib import Path
from typing import Any

import pytest
import torch

from mann.problems import open_problem
from mann.runs import Run
from mann.settings import preset
from mann.training import fit, loop
from mann.training.step_time import REMEMBERED, WINDOW, StepTime


def ratios(*seconds: float) -> list[float]:
    """Return what is said of windows whose steps take these times."""
    step_time = StepTime()
    found = [step_time.slower(one) for one in seconds for _ in range(WINDOW)]
    return [round(ratio) for ratio in found if ratio is not None]


def test_ten_times_as_long_is_much_longer() -> None:
    assert ratios(0.01, 0.09, 0.2, 0.01, 0.05, 0.4) == [20, 40]


def test_the_first_step_which_is_compiled_and_a_pause_do_not_count() -> None:
    step_time = StepTime()
    steps = [30.0] + [0.01] * 50 + [3600.0] + [0.01] * 50
    assert [step_time.slower(one) for one in steps] == [None] * len(steps)


def test_sequences_may_become_longer_little_by_little() -> None:
    assert ratios(*(0.01 * 1.02**window for window in range(4 * REMEMBERED))) == []


def test_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slower(StepTime):
        """The third window, and the fifth, take 50 times as long."""

        steps = 0

        def slower(self, seconds: float) -> float | None:
            self.steps += 1
            return super().slower(0.5 if (self.steps - 1) // WINDOW in (2, 4) else 0.01)

    monkeypatch.setattr(loop, "StepTime", Slower)
    small: dict[str, Any] = {"batch": 1, "hidden_size": 4, "slots": 4, "sizes.longest": 1}
    config: Any = preset("copy", episodes=6 * WINDOW, **small)
    run = Run(tmp_path / "run")
    with pytest.warns(UserWarning, match=r"steps take 50 times as long as they did.*OMP_NUM_THREADS=1") as warned:
        fit(open_problem(config, run, torch.device("cpu")), config, run)
    assert len(warned) == 1
