"""The TensorBoard log of a run."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from mann.runs import Run, RunReader


@contextmanager
def tensorboard(run: Run, start: int) -> Iterator[SummaryWriter | None]:
    """Open the TensorBoard log; None in processes that only read the run.

    TensorBoard discards the entries of an earlier process after step `start`, which are logged again.
    """
    if isinstance(run, RunReader):
        yield None
        return
    before = threading.excepthook

    def quiet(failed: threading.ExceptHookArgs) -> None:
        # TensorBoard's writer thread raises its error in the main thread too: one report is enough.
        if not issubclass(failed.exc_type, OSError):
            before(failed)

    threading.excepthook = quiet
    try:
        with SummaryWriter(str(run.folder / "tensorboard"), purge_step=start + 1 if start else None) as board:
            yield board
    finally:
        threading.excepthook = before


def log_to_tensorboard(board: SummaryWriter | None, line: dict[str, Any]) -> None:
    """Write the numbers of a line of metrics; a number within a group under both names."""
    if board is None:
        return
    for name, value in line.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                label = f"instance {int(inner):02d}" if inner.isdigit() else inner
                board.add_scalar(f"{name}/{label}", number, line["step"])
        elif name not in ("step", "episodes", "seconds") and value is not None:
            board.add_scalar(name.replace("_", " "), value, line["step"])
    board.flush()  # like metrics.jsonl: on disk before the checkpoint that follows
