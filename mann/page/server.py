"""The web server of the page, for this machine alone.

The browser loads the files of the page, and reads and changes the session with small JSON requests. Only the page
itself has access: the socket is bound to the loopback address, the Host and Origin headers of a request have to be the
page's own (which refuses other sites, also those whose name was rebound to this address), and a Content-Security-Policy
forbids the browser to load anything from elsewhere.
"""

import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from annotated_types import Ge, Le, Len
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from data import InputError
from mann.page.session import Session
from mann.page.session_view import session_view

LARGEST_REQUEST = 64 * 1024
"""The largest body of a request in bytes. A drawing takes a few thousand."""
LOOPBACK = "127.0.0.1"

_HERE = Path(__file__).parent
_FILES = {
    "/": "page.html",
    "/page.css": "page.css",
    "/answer.css": "answer.css",
    "/memory.css": "memory.css",
    "/icon.svg": "icon.svg",
    "/page.js": "page.js",
    "/actions.js": "actions.js",
    "/answer.js": "answer.js",
    "/elements.js": "elements.js",
    "/memory.js": "memory.js",
    "/pen.js": "pen.js",
    "/requests.js": "requests.js",
    "/state.js": "state.js",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_Coordinate = Annotated[float, Ge(0), Le(1)]


class _Body(BaseModel):
    """The body of a request, without unknown keys."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PresentBody(_Body):
    """A drawing: strokes of points (x, y) in [0, 1]; no strokes remove the pending drawing."""

    strokes: Annotated[list[Annotated[list[tuple[_Coordinate, _Coordinate]], Len(1)]], Len(0, 500)]


class NameBody(_Body):
    """The name of the pending drawing."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]


class DealBody(_Body):
    """The deck of the next drawing."""

    source: Annotated[str, StringConstraints(max_length=24)]


class EmptyBody(_Body):
    """The body of a request without arguments."""


def page_application(session: Session, hosts: Sequence[str]) -> Starlette:
    """Return the web application of a session.

    Args:
        session: The session.
        hosts: The accepted Host headers, such as "127.0.0.1:8000".
    """
    actions: dict[str, tuple[type[_Body], Callable[[Any], None]]] = {
        "present": (PresentBody, lambda body: session.present(body.strokes)),
        "name": (NameBody, lambda body: session.name(body.name)),
        "deal": (DealBody, lambda body: session.deal(body.source)),
        "undo": (EmptyBody, lambda _: session.undo()),
        "forget": (EmptyBody, lambda _: session.forget()),
    }

    def endpoint(kind: type[_Body], act: Callable[[Any], None]) -> Callable[[Request], Any]:
        async def respond(request: Request) -> Response:
            act(await _body_of(request, kind))
            return JSONResponse(session_view(session))

        return respond

    async def state(_: Request) -> Response:
        return JSONResponse(session_view(session))

    return Starlette(
        routes=[
            *(Route(path, _file_endpoint(name)) for path, name in _FILES.items()),
            Route("/session", state),
            *(Route(f"/{name}", endpoint(*action), methods=["POST"]) for name, action in actions.items()),
        ],
        middleware=[Middleware(Guard, hosts=frozenset(hosts))],
        exception_handlers={HTTPException: _request_error, InputError: _input_error, Exception: _server_error},
    )


def _file_endpoint(name: str) -> Callable[[Request], Any]:
    """Return the endpoint of a file of the page."""
    path = _HERE / name

    async def respond(_: Request) -> Response:
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

    return respond


async def _body_of(request: Request, kind: type[_Body]) -> _Body:
    """Return the validated body of a request.

    Raises:
        HTTPException: the body is too large, is no JSON, or is not valid.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the content type of a request has to be application/json"
        )
    body, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        # A body that is too large is read to the end without being kept: a client whose connection is closed while it
        # sends would not receive the error.
        if size <= LARGEST_REQUEST:
            body += piece
    if size > LARGEST_REQUEST:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"a request has at most {LARGEST_REQUEST} bytes: draw with fewer strokes",
        )
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "request"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}") from error


async def _request_error(_: Request, error: Exception) -> Response:
    """Respond to an invalid request."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _input_error(_: Request, error: Exception) -> Response:
    """Respond to an action that is not possible in the current state of the session."""
    return JSONResponse({"error": str(error)}, HTTPStatus.CONFLICT)


async def _server_error(_: Request, error: Exception) -> Response:
    """Respond after an error of the program itself, which the server logs."""
    return JSONResponse({"error": f"the program failed ({type(error).__name__})"}, HTTPStatus.INTERNAL_SERVER_ERROR)


class Guard:
    """Middleware that refuses requests of other origins, and adds the security headers to every response."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]):
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":  # the events at the start and the end of the server
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        if host not in self.hosts or origin not in (None, f"http://{host}"):
            foreign = f"host {host!r}" if host not in self.hosts else f"origin {origin!r}"
            refusal = JSONResponse({"error": f"{foreign} is not this page's own"}, HTTPStatus.FORBIDDEN)
            await refusal(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers)


def loopback_socket(port: int) -> socket.socket:
    """Return a listening socket that only this machine can reach.

    Args:
        port: From 0 to 65535; 0 chooses a free port.

    Raises:
        InputError: the port is not available.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"`port` is {port}: it has to be from 0 to 65535")
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise InputError(f"`port` {port} is not available ({error}): choose another") from error


def page_server(session: Session, listener: socket.socket) -> tuple[uvicorn.Server, str]:
    """Return a server, which `server.run(sockets=[listener])` starts, and the URL of its page."""
    port = listener.getsockname()[1]
    app = page_application(session, [f"{name}:{port}" for name in (LOOPBACK, "localhost")])
    config = uvicorn.Config(app, log_level="warning", server_header=False, ws="none", timeout_graceful_shutdown=1)
    return uvicorn.Server(config), f"http://{LOOPBACK}:{port}/"
