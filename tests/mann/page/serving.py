"""A page that is being served, for tests."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from mann.page.deck import StrokesDeck
from mann.page.server import listening, server_of
from mann.page.session import Learner, Session


class Served(NamedTuple):
    """A session and the address of its page."""

    session: Session
    address: str

    @property
    def host(self) -> str:
        return self.address.removeprefix("http://").rstrip("/")

    def ask(self, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Send a request as somebody would who is no browser; returns status, content and headers."""
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent = {"Host": self.host, "Content-Type": "application/json", **headers}
            connection.request("GET" if body is None else "POST", path, None if body is None else content, sent)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()


@contextmanager
def served() -> Iterator[Served]:
    """Serve the page of a session with the pretrained network."""
    session = Session(Learner.of("omniglot-5"), {"strokes": lambda: StrokesDeck(20)})
    with listening(0) as listener:
        server, address = server_of(session, listener)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Served(session, address)
        finally:
            server.should_exit = True
            thread.join()
