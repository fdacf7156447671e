"""The server of the page: the files that it serves, and the requests that it accepts and refuses."""

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

import mann.page
from data import InputError
from mann.page.server import loopback_socket
from tests.mann.page.serving import Site

FOLDER = Path(mann.page.__file__).parent
STROKES = {"strokes": [[[0.2, 0.2], [0.8, 0.5]]]}


def test_every_file_of_the_page_is_served_with_its_type_and_a_strict_policy(site: Site) -> None:
    types = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    paths = {f"/{path.name}": path for path in FOLDER.iterdir() if path.suffix in types}
    assert len([path for path in paths.values() if path.suffix == ".js"]) > 1
    paths["/"] = paths.pop("/page.html")
    for address, path in paths.items():
        status, content, headers = site.get(address)
        assert (status, content) == (200, path.read_bytes()), address
        assert headers["content-type"].partition(";")[0] == types[path.suffix]
        assert headers["content-security-policy"] == (
            "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
    assert site.get("/session")[2]["content-security-policy"].startswith("default-src 'self';")


def test_modules_import_only_modules_that_are_served(site: Site) -> None:
    waiting, found = ["/page.js"], set()
    while waiting:
        address = waiting.pop()
        found.add(address)
        status, content, _ = site.get(address)
        assert status == 200, address
        imported = re.findall(r'from "([^"]+)"', content.decode())
        assert all(name.startswith("./") for name in imported)
        waiting += {name.removeprefix(".") for name in imported} - found
    assert found == {f"/{path.name}" for path in FOLDER.glob("*.js")}


@pytest.mark.parametrize(
    "path",
    [
        *("/page.html", "/session.py", "/server.py", "/__init__.py", "/js/page.js", "/PAGE.JS", "/.."),
        *("/../page/page.js", "/%2e%2e/page/session.py", "/..%2f__init__.py", "/static/page.css", "//page.js"),
    ],
)
def test_unknown_paths_are_refused(site: Site, path: str) -> None:
    status, content, headers = site.ask(path)
    assert (status, content) == (404, {"error": "Not Found"})
    assert headers["content-security-policy"].startswith("default-src 'self';")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "example.org"},
        {"Host": "127.0.0.1"},
        {"Host": "localhost.example.org"},
        {"Origin": "http://example.org"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1"},
    ],
    ids=str,
)
def test_requests_of_other_sites_are_refused(site: Site, headers: dict[str, str]) -> None:
    before = site.session.now
    for path, body in (("/session", None), ("/page.js", None), ("/present", STROKES)):
        status, content, _ = site.ask(path, body, **headers)
        assert status == 403 and content["error"].endswith("is not this page's own")
    assert site.session.now is before


def test_the_page_is_served_to_this_machine_alone(site: Site) -> None:
    port = int(site.host.split(":")[1])
    others = {entry[4][0] for entry in socket.getaddrinfo(socket.gethostname(), port, socket.AF_INET)}
    for address in {*others, "127.0.0.2"} - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=5):
            pass
    assert site.ask("/session", Origin=f"http://{site.host}")[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/present", b"{", 422, "Invalid JSON"),
        ("/present", {}, 422, "strokes: Field required"),
        ("/present", {**STROKES, "more": 1}, 422, "more: Extra inputs are not permitted"),
        ("/present", {"strokes": [[[0.2]]]}, 422, "strokes.0.0"),
        ("/present", {"strokes": [[]]}, 422, "strokes.0"),
        ("/present", {"strokes": [[[0.2, 1.5]]]}, 422, "strokes.0.0.1: Input should be less than or equal to 1"),
        ("/present", b'{"strokes": [[[NaN, 0.5]]]}', 422, "strokes.0.0.0|Invalid JSON"),
        ("/present", {"strokes": [[[0.5, 0.5]] * 500_000]}, 413, "a request has at most 65536 bytes"),
        ("/name", {"name": "  "}, 422, "name: String should have at least 1 character"),
        ("/name", {"name": "x" * 30}, 422, "name: String should have at most 24"),
        ("/name", {"name": "a"}, 409, "there is no drawing to name"),
        ("/undo", {}, 409, "there is nothing to undo"),
        ("/deal", {"source": "elsewhere"}, 409, "there are no characters named 'elsewhere'"),
        ("/elsewhere", {}, 404, "Not Found"),
        ("/session", {}, 405, "Method Not Allowed"),
        ("/page.js", {}, 405, "Method Not Allowed"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_invalid_requests_are_refused_with_a_reason_and_change_nothing(
    site: Site, path: str, body: Any, status: int, message: str
) -> None:
    before = site.session.now
    found, content, headers = site.ask(path, body)
    assert found == status
    assert any(part in content["error"] for part in message.split("|"))
    assert headers["content-type"] == "application/json"
    assert site.session.now is before
    assert site.ask("/session")[0] == 200


def test_a_request_has_to_be_json(site: Site) -> None:
    """Other sites can submit forms here without a preflight request, but no JSON."""
    body = json.dumps(STROKES).encode()
    status, content, _ = site.ask("/present", body, **{"Content-Type": "text/plain"})
    assert (status, content["error"]) == (415, "the content type of a request has to be application/json")


def test_an_error_of_the_program_is_reported_as_such(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Any) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(site.session, "present", broken)
    status, content, _ = site.ask("/present", STROKES)
    assert (status, content["error"]) == (500, "the program failed (RuntimeError)")
    monkeypatch.undo()
    assert site.ask("/session")[0] == 200


def test_ports_that_are_not_available_are_refused() -> None:
    with loopback_socket(0) as taken:
        address, port = taken.getsockname()
        assert address == "127.0.0.1"
        with pytest.raises(InputError, match=f"`port` {port} is not available .*: choose another"):
            loopback_socket(port)
    for port in (-1, 65536):
        with pytest.raises(InputError, match=f"`port` is {port}: it has to be from 0 to 65535"):
            loopback_socket(port)
