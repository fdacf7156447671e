"""A page that is being served, for tests."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mann.page.deck import StrokesDeck
from mann.page.learner import Learner
from mann.page.server import loopback_socket, page_server
from mann.page.session import Session


class Site(NamedTuple):
    """A session and the URL of its page."""

    session: Session
    address: str

    @property
    def host(self) -> str:
        return self.address.removeprefix("http://").rstrip("/")

    def get(self, path: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
        """Send a GET request; returns status, content and headers with names in lower case."""
        return self._send("GET", path, None, headers)

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Send JSON, or a GET request without a body; returns status, JSON content and headers."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **headers}
        method, content = ("GET", None) if body is None else ("POST", content)
        status, received, answered = self._send(method, path, content, sent)
        return status, json.loads(received), answered

    def _send(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            connection.request(method, path, content, {"Host": self.host, **headers})
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()


@contextmanager
def serve() -> Iterator[Site]:
    """Serve the page of a session with the pretrained network."""
    session = Session(Learner.load("omniglot-5"), {"strokes": lambda: StrokesDeck(20)})
    with loopback_socket(0) as listener:
        server, address = page_server(session, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Site(session, address)
        finally:
            server.should_exit = True
            thread.join()
