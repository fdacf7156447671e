"""The options of the training command are generated from the settings."""

import re

import pytest

from mann.cli.training_options import TASK_NAMES, parse_training, settings_given
from mann.settings import by_option, preset


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Return what the help of the training command prints."""
    with pytest.raises(SystemExit) as ended:
        parse_training([*arguments, "--help"], prog="train.py", description="Trains.")
    assert ended.value.code in (0, None)
    return capsys.readouterr().out


def entries(text: str) -> dict[str, str]:
    """Return the explanation of each option of a help text."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.strip("│| ").split()
        if option := re.match(r"[│| ]{0,4}(--[a-z][a-z.-]*)", line):
            found[option.group(1)] = []
        if found:
            next(reversed(found.values())).extend(words)
    return {name: " ".join(words) for name, words in found.items()}


@pytest.mark.parametrize("task", TASK_NAMES)
def test_every_option_of_a_task_is_explained_with_its_default(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = entries(help_of(capsys, task))
    for name, value in by_option(preset(task)).items():
        if name == "dataset":  # the subcommand
            continue
        option = f"--{name.replace('_', '-')}"
        assert option in found, option
        text = found[option]
        assert len(text.split()) > 4, text
        shown = "none" if value is None else str(value)
        assert f"(default: {shown})" in text or name.startswith("scheme."), (option, text)
    for option in ("--run", "--resume", "--preset", "--device", "--save-seconds"):
        assert "(default: " in found[option]
    # The options of schemes have the default of each scheme that has them.
    assert re.search(r"\(.*\blrua 2\b.*\)", found["--scheme.read-heads"])
    assert "unset" not in help_of(capsys, task)


def test_the_help_names_all_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    assert "Trains." in text
    for task in TASK_NAMES:
        assert f"• {task}" in text


def test_only_given_options_are_returned() -> None:
    assert parse_training(["copy"]) == {"task": "copy"}
    given = parse_training(["strokes", "--classes", "7", "--no-rotations", "--scheme.usage-decay", "0.5", "--resume"])
    assert given == {"task": "strokes", "classes": 7, "rotations": False, "scheme.usage_decay": 0.5, "resume": True}
    assert settings_given(given) == {"classes": 7, "rotations": False, "scheme.usage_decay": 0.5}


def test_options_of_several_schemes_take_the_values_of_each() -> None:
    for value, expected in (("each", "each"), ("3", 3)):
        assert parse_training(["copy", "--scheme.write-heads", value])["scheme.write_heads"] == expected
    for start in ("tape", "paired", "alike"):
        assert parse_training(["copy", "--scheme.start", start])["scheme.start"] == start


def test_none_is_written_as_in_the_help() -> None:
    assert parse_training(["copy", "--clip-to-median", "none"])["clip_to_median"] is None
