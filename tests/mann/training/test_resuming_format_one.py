"""A run that mann 0.1.0 began is continued as if it had not been interrupted."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from data import ImageClasses, InputError, Split
from mann.problems import train
from mann.runs import Run
from mann.settings import Config
from tests.mann.settings.old_format import as_format_one
from tests.mann.training.comparing import OFTEN, assert_same, bits, position, stop_after
from tests.mann.training.conftest import Start


def rewrite_in_format_one(run: Run, config: Config) -> None:
    """Rewrite the files of a run as mann 0.1.0 wrote them."""
    text = as_format_one(config)
    (run.folder / "config.json").write_text(text)
    for path in run.checkpoints.glob("*/training.pt"):
        training: dict[str, Any] = torch.load(path, weights_only=True)
        training["carried"] = training.pop("carry")
        torch.save({**training, "config": text}, path)


@pytest.mark.parametrize("memory", ["wiped", "persistent"])
def test_an_old_run_continues_to_the_same_weights(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start, memory: Any
) -> None:
    config = replace(tiny_config, memory=memory)
    whole, old = start("whole", config), start("old", config)
    train(config, tiny_classes, tiny_split, whole, OFTEN)
    train(config, tiny_classes, tiny_split, old, OFTEN, stopping=stop_after(5))
    saved = position(old).training["carry"]
    rewrite_in_format_one(old, config)
    assert old.config() == config
    assert bits(position(old).training["carry"]) == bits(saved) and bool(saved) == (memory == "persistent")
    train(old.config(), tiny_classes, tiny_split, old, OFTEN)  # pyright: ignore[reportArgumentType]
    assert_same(whole, old)


def test_a_checkpoint_of_a_later_format_is_refused_in_one_line(
    tiny_config: Config, tiny_classes: ImageClasses, tiny_split: Split, start: Start
) -> None:
    run = start("run", tiny_config)
    train(tiny_config, tiny_classes, tiny_split, run, OFTEN, stopping=stop_after(2))
    path = run.checkpoints / "000000002" / "training.pt"
    training: dict[str, Any] = torch.load(path, weights_only=True)
    torch.save({**training, "config": training["config"].replace('"format": 2', '"format": 3')}, path)
    with pytest.raises(InputError, match="format 3 is of a later version of mann") as refusal:
        train(tiny_config, tiny_classes, tiny_split, run, OFTEN)
    assert "\n" not in str(refusal.value)
