"""Draw and be recognised: python scripts/demo.py [options]. A page in the browser, served by this machine to itself."""

import contextlib
import functools
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from commands import one_line_errors, parse

from data import InputError
from data.omniglot import is_here
from mann.page.deck import Deck, OmniglotDeck, StrokesDeck
from mann.page.session import Learner, Session

DESCRIPTION = """See one-shot learning happen: draw characters, name each once, and draw them again.

  demo.py                          the pretrained network omniglot-5, in the browser
  demo.py --model runs/mine        the network of a run
  demo.py --root path/to/omniglot  drawings from Omniglot too, for those who will not draw

The page shows what the network says before it is told a name, and what its memory did. It is served to this machine
alone, loads nothing from elsewhere and keeps nothing. Ctrl-C ends it.
"""


@dataclass(frozen=True)
class Options:
    """The options of the command."""

    model: str = "omniglot-5"
    """Name of pretrained weights, or the folder of a run."""
    root: Path | None = None
    """Folder with Omniglot's images (none: as downloaded by an earlier training, if there was one)."""
    port: int = 8642
    """Where the page is served; 0: at any port that is free."""
    browser: bool = True
    """Open the page in the browser."""


def decks(size: int, root: Path | None) -> dict[str, Callable[[], Deck]]:
    """Return what makes the decks of characters that are there, for images of so many pixels a side."""
    found: dict[str, Callable[[], Deck]] = {"strokes": functools.partial(StrokesDeck, size)}
    if root is not None or is_here():
        found["omniglot"] = functools.partial(OmniglotDeck, size, root)
    return found


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    options = parse(Options, arguments, prog="demo.py", description=DESCRIPTION)
    try:
        from mann.page.server import listening, server_of
    except ModuleNotFoundError as error:
        raise InputError(f"the page needs {error.name}: python -m pip install --editable '.[demo]'") from error
    learner = Learner.of(options.model)
    session = Session(learner, decks(learner.config.size, options.root), seed=None)
    with listening(options.port) as listener:
        server, address = server_of(session, listener)
        print(f"{address} (Ctrl-C ends it)", flush=True)
        if options.browser:
            # The socket listens already: the browser waits for the answer.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        with contextlib.suppress(KeyboardInterrupt):  # raised again when the server has ended properly
            server.run(sockets=[listener])
    return 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main(sys.argv[1:]))
