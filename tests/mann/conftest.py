"""A classification run small enough to train within a second."""

from pathlib import Path

import pytest
import torch

from data import ImageClasses, Split
from mann.addressing import LRUA
from mann.evaluation.held_out import HeldOut
from mann.problems import classification
from mann.runs import Run
from mann.settings import Config, Memory


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    """Return settings of 12 steps."""
    scheme = LRUA(
        read_heads=2,
        key_strength=8.0,
        write_vector="add",
        least_used="own",
        zeroed="all",
        usage_decay=0.99,
        start="paired",
    )
    return Config(
        "strokes",
        size=8,
        rotations=True,
        classes=2,
        labels="one-hot",
        presentations=2,
        counting="exact",
        jitter_rotation=0.0,
        jitter_translation=0.0,
        model=Memory(hidden_size=8, slots=6, word_size=4, scheme=scheme),
        schedule="cosine",
        warm_up=3,
        clip_to_median=1.2,
        batch=2,
        episodes=24,
    )


@pytest.fixture(scope="session")
def tiny_classes() -> ImageClasses:
    """Return 20 classes of 4 random images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (20, 4, 8, 8), dtype=torch.uint8, generator=generator)
    return ImageClasses(images, torch.full((20,), 4), tuple(f"class{index:02d}" for index in range(20)))


@pytest.fixture(scope="session")
def tiny_split(tiny_classes: ImageClasses) -> Split:
    """Return 12 classes to train on, 4 to validate and 4 to test on."""
    names = tiny_classes.names
    return Split(names[:12], names[12:16], names[16:])


@pytest.fixture
def tiny_run(tmp_path: Path, tiny_config: Config, tiny_split: Split) -> Run:
    """Return a started run with nothing done yet."""
    run = Run(tmp_path / "run")
    run.start(tiny_config, tiny_split, {"command": "none"})
    return run


@pytest.fixture
def short_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validate on few episodes, for speed."""
    monkeypatch.setattr(classification, "VALIDATION", HeldOut(seed=10**9, episodes=20))
