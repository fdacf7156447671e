"""Draw and be recognised: `demo [options]`. A page in the browser, served by this machine to itself."""

import contextlib
import functools
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from data import InputError
from data.omniglot import is_downloaded
from mann.cli.command_line import parse
from mann.page.deck import Deck, OmniglotDeck, StrokesDeck
from mann.page.learner import Learner
from mann.page.session import Session

DESCRIPTION: Final = """See one-shot learning happen: draw characters, name each once, and draw them again.

  demo.py                          the pretrained network omniglot-5, in the browser
  demo.py --model runs/mine        the network of a run
  demo.py --root path/to/omniglot  characters from Omniglot too, to watch instead of drawing

The page shows the network's answer before the name is given, and the accesses to its memory. It is served to this
machine alone, loads nothing from elsewhere and keeps nothing. Ctrl-C ends it.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    model: str = "omniglot-5"
    """Name of pretrained weights, or the folder of a run."""
    root: Path | None = None
    """Folder with Omniglot's images (none: as downloaded by an earlier training, if there was one)."""
    port: int = 8642
    """Port of the page; 0: any free port."""
    browser: bool = True
    """Open the page in the browser."""


def decks(size: int, root: Path | None) -> dict[str, Callable[[], Deck]]:
    """Return by name the functions that make the available decks of characters, for images of `size` pixels a side."""
    found: dict[str, Callable[[], Deck]] = {"strokes": functools.partial(StrokesDeck, size)}
    if root is not None or is_downloaded():
        found["omniglot"] = functools.partial(OmniglotDeck, size, root)
    return found


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="demo.py", description=DESCRIPTION)
    try:
        from mann.page.server import loopback_socket, page_server
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs {error.name}: python -m pip install --editable '.[demo]'") from error
    learner = Learner.load(options.model)
    session = Session(learner, decks(learner.config.size, options.root), seed=None)
    with loopback_socket(options.port) as listener:
        server, address = page_server(session, listener)
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if options.browser:
            # The socket listens already: the browser waits for the answer.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):  # raised again when the server has ended properly
            server.run(sockets=[listener])
    return 0
