"""The page and its questions, on this machine alone.

The browser is given three files and asks for the session with small JSON requests. Only the page itself may ask: the
socket is bound to the loopback address, the Host and the Origin of a request have to be its own (a page of somebody
else's whose name was made to point here is refused), and the browser is told to load nothing from elsewhere.
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

LARGEST_REQUEST = 64 * 1024
"""Bytes. A drawing takes a few thousand."""
LOOPBACK = "127.0.0.1"

_HERE = Path(__file__).parent
_FILES = {"/": "page.html", "/page.css": "page.css", "/page.js": "page.js", "/icon.svg": "icon.svg"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_Share = Annotated[float, Ge(0), Le(1)]


class _Question(BaseModel):
    """What a request may hold: nothing but what is said here."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Look(_Question):
    """A drawing: strokes of points (x, y), the drawing area from 0 to 1."""

    strokes: Annotated[list[Annotated[list[tuple[_Share, _Share]], Len(1)]], Len(0, 500)]


class Call(_Question):
    """What a drawing is called."""

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=24)]


class Deal(_Question):
    """Where the next drawing comes from."""

    source: Annotated[str, StringConstraints(max_length=24)]


class Nothing(_Question):
    """A request that needs no more than its address."""


def page(session: Session, hosts: Sequence[str]) -> Starlette:
    """Return the page of a session; hosts: what browsers may call it, such as "127.0.0.1:8000"."""
    actions: dict[str, tuple[type[_Question], Callable[[Any], None]]] = {
        "look": (Look, lambda asked: session.look(asked.strokes)),
        "call": (Call, lambda asked: session.call(asked.name)),
        "deal": (Deal, lambda asked: session.deal(asked.source)),
        "undo": (Nothing, lambda _: session.undo()),
        "forget": (Nothing, lambda _: session.forget()),
    }

    def answering(kind: type[_Question], act: Callable[[Any], None]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            act(await _asked(request, kind))
            return JSONResponse(session.view())

        return answer

    async def state(_: Request) -> Response:
        return JSONResponse(session.view())

    return Starlette(
        routes=[
            *(Route(path, _file(name)) for path, name in _FILES.items()),
            Route("/session", state),
            *(Route(f"/{name}", answering(*action), methods=["POST"]) for name, action in actions.items()),
        ],
        middleware=[Middleware(Guard, hosts=frozenset(hosts))],
        exception_handlers={HTTPException: _refused, InputError: _impossible, Exception: _failed},
    )


def _file(name: str) -> Callable[[Request], Any]:
    """Return what answers with a file of the page."""
    path = _HERE / name

    async def answer(_: Request) -> Response:
        return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

    return answer


async def _asked(request: Request, kind: type[_Question]) -> _Question:
    """Return what a request asks for.

    Raises:
        HTTPException: it is too large, is no JSON, or does not hold what it should.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a request has to be application/json")
    body, size = bytearray(), 0
    async for piece in request.stream():
        size += len(piece)
        # Read to the end even so, but not kept: who is cut off while sending does not hear why.
        if size <= LARGEST_REQUEST:
            body += piece
    if size > LARGEST_REQUEST:
        raise HTTPException(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request may have {LARGEST_REQUEST} bytes: draw with fewer strokes"
        )
    try:
        return kind.model_validate_json(bytes(body))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "request"
        raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{where}: {first['msg']}") from error


async def _refused(_: Request, error: Exception) -> Response:
    """Say what is wrong with a request."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _impossible(_: Request, error: Exception) -> Response:
    """Say why something cannot be done now."""
    return JSONResponse({"error": str(error)}, HTTPStatus.CONFLICT)


async def _failed(_: Request, error: Exception) -> Response:
    """Say that the program is at fault; the server logs where."""
    return JSONResponse({"error": f"the program failed ({type(error).__name__})"}, HTTPStatus.INTERNAL_SERVER_ERROR)


class Guard:
    """Refuse what the page itself has not asked; tell the browser to load nothing from elsewhere."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]):
        self.app = app
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":  # the start and the end of the server
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        host, origin = request.headers.get("host", ""), request.headers.get("origin")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
            await send(message)

        if host not in self.hosts or origin not in (None, f"http://{host}"):
            foreign = f"host {host!r}" if host not in self.hosts else f"origin {origin!r}"
            refusal = JSONResponse({"error": f"{foreign} is not this page's own"}, HTTPStatus.FORBIDDEN)
            await refusal(scope, receive, guarded)
        else:
            await self.app(scope, receive, guarded)


def listening(port: int) -> socket.socket:
    """Return a socket that this machine alone can reach; port 0: any that is free.

    Raises:
        InputError: the port is taken or cannot be had.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"port {port} cannot be had: choose another with --port, from 0 to 65535")
    try:
        return socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise InputError(f"port {port} cannot be had ({error}): choose another with --port") from error


def server_of(session: Session, listener: socket.socket) -> tuple[uvicorn.Server, str]:
    """Return a server, which `server.run(sockets=[listener])` starts, and the address of its page."""
    port = listener.getsockname()[1]
    app = page(session, [f"{name}:{port}" for name in (LOOPBACK, "localhost")])
    config = uvicorn.Config(app, log_level="warning", server_header=False, ws="none", timeout_graceful_shutdown=1)
    return uvicorn.Server(config), f"http://{LOOPBACK}:{port}/"
