"""scripts/report.py: everything about a run in one file, opened in a browser too."""

import json
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from data import InputError, load
from mann.evaluation.instances import SequenceTrace, first_sequence
from mann.evaluation.task_costs import TaskTrace, settings_of, task_traces
from mann.models.classifier import Classifier
from mann.models.network import Access
from mann.reporting.evaluation_file import evaluation_from_json
from mann.runs import Run, load_run
from mann.settings import TaskConfig, preset
from tests.scripts.running import OF_MEMORY, SMALL, Command, copied, without


def content(path: Path) -> dict[str, Any]:
    """Return the steps that a report holds."""
    (found,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', path.read_text(), re.S)
    return json.loads(found)


def numbers(packed: str) -> list[float]:
    return (numpy.frombuffer(b64decode(packed), numpy.uint8) / 255).tolist()


def agrees(packed: str, values: torch.Tensor) -> bool:
    return numbers(packed) == pytest.approx(values.flatten().tolist(), abs=0.5 / 255 + 1e-6)


def first_access(run: Path) -> tuple[SequenceTrace, Access]:
    """Return the first test sequence of a classification run, and its accesses to the memory."""
    loaded = load_run(Run(run), torch.device("cpu"))
    config, split = loaded.classification
    classes, _ = load("folder", config.root, config.size, split)
    assert isinstance(loaded.model, Classifier)
    seen = first_sequence(loaded.model, config, classes, split)
    assert seen.access is not None
    return seen, seen.access


@pytest.fixture(params=["lrua"])
def run(request: pytest.FixtureRequest, trained_once: Callable[..., Path], tiny: list[object], tmp_path: Path) -> Path:
    """Return the folder of a classification run with a scheme, with a name that HTML has to escape."""
    return copied(trained_once(*tiny[1:], "--addressing", request.param), tmp_path / "<b>run & co")


def test_a_report_before_the_evaluation_says_what_to_run(command: Command, run: Path) -> None:
    status, output, errors = command("report", run)
    assert (status, output, errors) == (0, f"{run / 'report.html'}\n", "")
    text = (run / "report.html").read_text()
    assert "Not evaluated yet: evaluate the run" in text
    assert "<h1>&lt;b&gt;run &amp; co</h1>" in text and "<b>" not in text
    for name in ("scheme.usage_decay", "0.99", "label_scale"):
        assert name in text


def test_its_figures_are_those_of_the_evaluation(command: Command, run: Path, tmp_path: Path) -> None:
    assert command("evaluate", run, "--episodes", 10).status == 0
    assert command("report", run, "--out", tmp_path / "there.html").status == 0
    text = (tmp_path / "there.html").read_text()
    evaluation = json.loads((run / "evaluation.json").read_text())
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>([\d.]+)</td><td>([\d.]+-[\d.]+)</td><td>(\d+)</td>', text)
    assert rows == [
        (
            {1: "1st", 2: "2nd"}[entry["instance"]],
            f"{100 * entry['accuracy']:.1f}",
            f"{100 * entry['low']:.1f}-{100 * entry['high']:.1f}",
            str(entry["observations"]),
        )
        for entry in evaluation["instances"]
    ]
    assert text.count("data:image/png;base64,") == 3  # instances, training, memory
    assert not (run / "report.html").exists()


def test_the_steps_of_a_classification_are_what_the_network_did(command: Command, run: Path) -> None:
    assert command("report", run).status == 0
    found = content(run / "report.html")
    seen, access = first_access(run)
    assert found["size"] == 8 and len(found["steps"]) == 4
    usage = access.addressing.usage
    for number, step in enumerate(found["steps"]):
        assert agrees(step["input"], seen.episode.images[number, 0])
        assert all(agrees(head, access.write.weights[number, 0, j]) for j, head in enumerate(step["writes"]))
        assert all(agrees(head, access.read_weights[number, 0, j]) for j, head in enumerate(step["reads"]))
        assert agrees(step["usage"], usage[number, 0] / usage.max())
        label, answer = seen.episode.targets[number, 0, 0], seen.logits[number, 0, 0].argmax()
        assert (step["label"], step["answer"], step["right"]) == (
            str(int(label)),
            str(int(answer)),
            bool(label == answer),
        )
        assert step["presentation"] == {1: "1st", 2: "2nd"}[int(seen.episode.presentation[number, 0])]


@pytest.mark.parametrize("run", ["delta"], indirect=True)
def test_the_steps_of_a_scheme_with_features_are_its_keys_and_queries(command: Command, run: Path) -> None:
    assert command("report", run).status == 0
    text, found = (run / "report.html").read_text(), content(run / "report.html")
    seen, access = first_access(run)
    for kind, weights in (("keys", access.write.weights), ("queries", access.read_weights)):
        for number, step in enumerate(found["steps"]):
            assert "writes" not in step and "usage" not in step
            scaled = 0.5 + 0.5 * weights[number, 0] / weights.abs().max()
            assert all(agrees(head, scaled[j]) for j, head in enumerate(step[kind]))
    assert "The class that was bound" in text


@pytest.mark.parametrize("model", ["memory", "recurrent"])
def test_a_task_is_reported_with_and_without_memory(command: Command, tmp_path: Path, model: str) -> None:
    run, options = tmp_path / "run", [*SMALL, "--model", model, "--sizes.longest", 5, "--run", tmp_path / "run"]
    recurrent = model == "recurrent"
    assert command("train", "copy", *(without(options, *OF_MEMORY) if recurrent else options)).status == 0
    if recurrent:  # once is enough
        assert command("evaluate", run, "--episodes", 4).status == 0
    assert command("report", run).status == 0
    text, found = (run / "report.html").read_text(), content(run / "report.html")
    assert ("length 120" in text) == recurrent == ("Not evaluated" not in text)
    assert text.count("data:image/png;base64,") == 3  # sequences, training; sizes, or memory
    assert ("This network has no external memory" in text) == recurrent
    example = first_trace(run)
    for number, step in enumerate(found["steps"]):
        assert agrees(step["input"], example.episode.inputs[number, 0])
        assert step["has_target"] == bool(example.episode.mask[number, 0])
        assert agrees(step["target"], example.episode.targets[number, 0])
        assert agrees(step["output"], example.outputs[number, 0].sigmoid())
        assert ("writes" in step) == (not recurrent)
        if example.access is not None:
            assert agrees(step["writes"][0], example.access.write.weights[number, 0, 0])


def first_trace(run: Path) -> TaskTrace:
    """Return the first pictured sequence of a run of a task."""
    loaded = load_run(Run(run), torch.device("cpu"))
    return task_traces(loaded.model, loaded.task, torch.device("cpu"))[0]


def test_a_task_of_numbers_is_reported(command: Command, tmp_path: Path) -> None:
    assert command("train", "regression", *SMALL, "--run", tmp_path / "run").status == 0
    assert command("report", tmp_path / "run").status == 0
    found = content(tmp_path / "run" / "report.html")
    example = first_trace(tmp_path / "run")
    assert found["kind"] == "numbers" and found["steps"][0]["wrong"] is None
    assert found["steps"][3]["output"] == pytest.approx(example.outputs[3, 0].tolist(), abs=1e-3)


def test_what_is_no_run_is_refused(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "is" in refused("report", tmp_path / "absent")
    assert "the folder of a run?" in refused("report", tmp_path)


def test_a_damaged_evaluation_is_refused(refused: Callable[..., str], run: Path) -> None:
    (run / "evaluation.json").write_text("{")
    assert "evaluate the run again" in refused("report", run)


INSTANCE = {"instance": 1, "accuracy": 0.5, "low": 0.25, "high": 0.75, "observations": 8}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instances": None}, "instances: Input should be a valid array"),
        ({"instances": []}, "instances: List should have at least 1 item after validation, not 0"),
        ({"instances": [{**INSTANCE, "accuracy": 1.5}]}, "instances: Input should be less than or equal to 1"),
        ({"instances": [{**INSTANCE, "low": "0.5"}]}, "instances: Input should be a valid number"),
        ({"instances": [{**INSTANCE, "instance": 0}]}, "instances: Input should be greater than or equal to 1"),
        ({"episodes": 2.5}, "episodes: Input should be a valid integer"),
        ({"labels": 5}, "labels: Input should be a valid string"),
        ({"comment": "mine"}, "comment: Extra inputs are not permitted"),
        ({"task": "copy"}, "task: is copy, and the run's is classification"),
        ({"dataset": ...}, "dataset: Field required"),
    ],
)
def test_an_evaluation_edited_by_hand_is_refused(
    command: Command, refused: Callable[..., str], run: Path, change: dict[str, Any], message: str
) -> None:
    content = {
        **{"task": "classification", "dataset": "strokes", "split": "test", "episodes": 2, "classes": 2},
        **{"labels": "one-hot", "instances": [INSTANCE], "training": {}, "environment": {}},
    }
    (run / "evaluation.json").write_text(json.dumps(content))
    assert command("report", run).status == 0
    edited = {key: value for key, value in {**content, **change}.items() if value is not ...}
    (run / "evaluation.json").write_text(json.dumps(edited))
    assert f"evaluation.json is damaged ({message}): evaluate the run again" in refused("report", run)


def test_an_evaluation_of_a_task_is_checked(tmp_path: Path) -> None:
    config = preset("copy")
    assert isinstance(config, TaskConfig)
    names = ("bits_per_sequence", "wrong_bits_per_sequence", "exact_sequences", "bit_error_rate")
    figures = {**dict.fromkeys(names, 0.5), "intervals": dict.fromkeys(names, (0.25, 1.0))}
    results: list[dict[str, Any]] = [{"setting": setting, **figures} for setting in settings_of("copy", config.sizes)]
    content = {"task": "copy", "sequences": 2, "results": results, "training": {}, "environment": {}}
    found = evaluation_from_json(json.dumps(content), "there", config)
    assert (
        found["results"][5]["setting"] == {"length": 20} and found["results"][5]["intervals"]["bit_error_rate"][1] == 1
    )
    for change in (
        {"results": results[1:]},
        {"results": [*results[:-1], {**results[-1], "setting": {"length": 7}}]},
        {"results": [*results[:-1], {**results[-1], "intervals": {}}]},
        {"results": [*results[:-1], {**results[-1], "exact_sequences": "all"}]},
        {"task": "repeat-copy"},
    ):
        with pytest.raises(InputError, match=r"there is damaged .*: evaluate the run again"):
            evaluation_from_json(json.dumps({**content, **change}), "there", config)


@pytest.mark.parametrize("run", ["lrua", "delta"], indirect=True)
def test_in_a_browser_every_picture_is_seen_and_nothing_is_loaded(browser: Any, command: Command, run: Path) -> None:
    from playwright.sync_api import expect

    assert command("evaluate", run, "--episodes", 10).status == 0
    assert command("report", run).status == 0
    address = (run / "report.html").as_uri()
    for has_scripts in (True, False):
        context = browser.new_context(java_script_enabled=has_scripts, viewport={"width": 360, "height": 700})
        page = context.new_page()
        requests: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request, requests=requests: requests.append(request.url))
        page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
        page.on("pageerror", lambda error, complaints=complaints: complaints.append(str(error)))
        page.goto(address)
        pictures = page.locator("img").all()
        assert len(pictures) == 3
        for picture in pictures:
            picture.scroll_into_view_if_needed()
            assert picture.is_visible()
            assert picture.evaluate("(image) => image.complete && image.naturalWidth > 0")
        if has_scripts:
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            step = content(run / "report.html")["steps"][2]
            expect(page.locator("#number")).to_have_text("step 1 of 4")
            page.focus("#step")
            page.keyboard.press("ArrowRight")
            expect(page.locator("#number")).to_have_text("step 2 of 4")
            page.get_by_role("button", name="The next step").click()
            expect(page.locator("#input")).to_contain_text(
                f"label {step['label']}, presented for the {step['presentation']}"
            )
            bars = page.locator("#slots svg").first.locator("rect").all()
            heights = [float(bar.get_attribute("height") or "") / 54 for bar in bars]
            if "writes" in step:
                assert heights == pytest.approx(numbers(step["writes"][0]))
            else:  # bars up and down from the middle
                signed = [value - 0.5 for value in numbers(step["keys"][0])]
                tops = [float(bar.get_attribute("y") or "") / 54 for bar in bars]
                assert heights == pytest.approx([abs(value) for value in signed])
                assert tops == pytest.approx([0.5 - max(0, value) for value in signed])
                expect(page.locator("#slots h3").first).to_contain_text("key of the write")
        else:
            assert page.locator("noscript p").is_visible()
            assert not page.locator("#steps").is_visible()
        context.close()
        assert [url for url in requests if not url.startswith("data:")] == [address]
        assert complaints == []
