"""scripts/demo.py: the page where one draws, from start to end."""

import http.client
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from data import ImageClasses, read_split
from mann.cli.demo import decks
from tests.scripts.running import SCRIPTS, Refused


def test_it_serves_the_page_until_it_is_interrupted(tmp_path: Path) -> None:
    arguments = [sys.executable, str(SCRIPTS / "demo.py"), "--no-browser", "--port", "0"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        address = process.stdout.readline().split()[0]
        assert address.startswith("http://127.0.0.1:")
        connection = http.client.HTTPConnection(address.removeprefix("http://").rstrip("/"), timeout=60)
        connection.request("GET", "/")
        answer = connection.getresponse()
        assert answer.status == 200 and b"<title>" in answer.read()
        connection.close()
        process.send_signal(signal.SIGINT)
        assert (process.wait(60), process.stderr.read()) == (0, "")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_served_is_refused(refused: Refused, tmp_path: Path) -> None:
    assert "no pretrained model is named 'omniglot-6'" in refused("demo", "--model", "omniglot-6")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refusal = refused("demo", "--no-browser", "--port", port)
    assert refusal.startswith(f"--port {port} is not available") and refusal.endswith("choose another")
    assert "--port is 70000: it has to be from 0 to 65535" in refused("demo", "--no-browser", "--port", 70000)


def test_without_its_libraries_it_says_what_to_install(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "mann.page.server", raising=False)
    refusal = refused("demo", "--no-browser")
    assert refusal == "the page needs uvicorn: python -m pip install --editable '.[demo]'"


def test_characters_are_dealt_from_omniglot_where_its_images_are(
    omniglot: ImageClasses,
    omniglot_root: Path,
    data_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MANN_CACHE", str(data_cache))
    assert list(decks(20, None)) == ["strokes"]  # nothing was downloaded here
    found = decks(20, omniglot_root)
    assert list(found) == ["strokes", "omniglot"]
    deck = found["omniglot"]()
    assert len(deck) == 423
    first = omniglot.select(read_split("omniglot-1200-423").test[:1])
    assert all(
        numpy.array_equal(image, expected) and strokes is None
        for (image, strokes), expected in zip(deck.drawings(0), first.images[0].numpy(), strict=True)
    )
