"""Settings of tasks whose networks train in a second."""

from typing import Any

from episodes import Copy
from mann.settings import TaskConfig, changed, preset


def tiny(task: str = "copy", **options: Any) -> TaskConfig:
    """Return settings of a small network."""
    config = preset(task)
    assert isinstance(config, TaskConfig)
    sizes = {"sizes": Copy(bits=2, shortest=1, longest=2)} if task == "copy" else {}
    return changed(config, {**sizes, "hidden_size": 8, "slots": 5, "word_size": 4, "batch": 4, **options})
