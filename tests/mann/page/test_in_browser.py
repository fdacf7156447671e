"""The page in a real browser: Chromium, driven by Playwright."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mann.page.serving import Site

sync_api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")

PATIENCE = 30_000
"""Milliseconds to wait for changes of the page: the machine may be busy."""
sync_api.expect.set_options(timeout=PATIENCE)


class OpenPage:
    """A page in a browser, with its requests and errors."""

    def __init__(self, page: Any, address: str):
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.goto(address)

    def wait_for_text(self, place: str, words: str) -> None:
        """Wait until an element contains words."""
        sync_api.expect(self.page.locator(place)).to_contain_text(words)

    def wait_for_answers(self) -> None:
        """Wait until all requests of the page have been answered."""
        sync_api.expect(self.page.locator("body[aria-busy=false]")).to_have_count(1)

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Wait until a condition is true."""
        for _ in range(PATIENCE // 20):
            if happened():
                return
            self.page.wait_for_timeout(20)
        raise AssertionError("the condition is still false")

    def fits(self) -> bool:
        """Return whether nothing is wider than the screen."""
        return self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.fixture
def opened(browser: Any, site: Site) -> Iterator[OpenPage]:
    """Return the page with a blank memory, in a wide window."""
    site.session.forget()
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    found = OpenPage(context.new_page(), site.address)
    found.wait_for_text("#answer", "Draw a character")
    yield found
    found.wait_for_answers()  # a later request would disturb the next test
    context.close()
    assert [url for url in found.requests if not url.startswith(site.address)] == []


# Two strokes each, the drawing area from 0 to 1.
CHARACTERS = {
    "cross": [[(0.5, 0.15), (0.5, 0.85)], [(0.15, 0.5), (0.85, 0.5)]],
    "roof": [[(0.15, 0.6), (0.5, 0.2), (0.85, 0.6)], [(0.2, 0.8), (0.8, 0.8)]],
    "hook": [[(0.3, 0.15), (0.3, 0.8), (0.75, 0.8)], [(0.6, 0.2), (0.75, 0.35)]],
    "steps": [[(0.2, 0.2), (0.5, 0.2), (0.5, 0.5), (0.8, 0.5), (0.8, 0.8)], [(0.2, 0.5), (0.2, 0.8)]],
    "gate": [[(0.2, 0.85), (0.2, 0.2), (0.8, 0.2), (0.8, 0.85)], [(0.35, 0.55), (0.65, 0.55)]],
}


def draw(page: Any, character: list[list[tuple[float, float]]], slightly: float = 0.0) -> None:
    """Draw with the mouse; slightly: how much the drawing is sheared, shrunk and moved."""
    area = page.locator("#canvas").bounding_box()
    for stroke in character:
        for number, (x, y) in enumerate(stroke):
            across = x * (1 - slightly) + slightly * (0.3 - 0.5 * y)
            down = y * (1 - 0.5 * slightly) + slightly * 0.4
            place = (area["x"] + across * area["width"], area["y"] + down * area["height"])
            if number == 0:
                page.mouse.move(*place)
                page.mouse.down()
            else:
                page.mouse.move(*place, steps=6)
        page.mouse.up()


def strokes_of(site: Site) -> int:
    """Return the number of strokes of the pending drawing."""
    pending = site.session.now.pending
    return 0 if pending is None or pending.strokes is None else len(pending.strokes)


def test_five_characters_are_recognised_when_they_are_drawn_again(opened: OpenPage, site: Site) -> None:
    page = opened.page
    for name, character in CHARACTERS.items():
        draw(page, character)
        opened.wait_for_answers()
        opened.wait_for_text("#answer", "sure")
        page.fill("#name", name)
        page.press("#name", "Enter")
        opened.wait_for_text("#names", name)
    for name, character in CHARACTERS.items():
        draw(page, character, slightly=0.12)
        opened.wait_for_answers()
        opened.wait_for_text("#answer", "This is")
        # The answer and the probabilities are displayed before the name is given.
        (best,) = page.locator("#names button.best").all()
        assert best.locator(".label").inner_text() in page.locator("#answer").inner_text()
        shares = [float(share.strip("<>%")) for share in page.locator("#names .share").all_inner_texts()]
        assert sum(shares) == pytest.approx(100, abs=5)
        page.get_by_role("button", name=name).click()
        opened.wait_for_text("#answer", name)
        sync_api.expect(page.locator("#answer span")).to_be_visible()
    drawings = site.session.now.drawings
    assert [len(drawing.strokes or ()) for drawing in drawings] == [2] * 10
    assert sum(drawing.answer.best == number for number, drawing in enumerate(drawings[5:])) >= 4
    # The picture of the memory has marks of writes and reads.
    assert page.locator("#slots path").count() >= 10 and page.locator("#slots circle").count() >= 10
    assert opened.errors == []


def test_undo_and_clear(opened: OpenPage, site: Site) -> None:
    page = opened.page
    draw(page, CHARACTERS["cross"])
    page.keyboard.press("1")
    opened.wait_for_text("#names", "A")
    draw(page, CHARACTERS["roof"])
    opened.wait_for_text("#answer", "What is it?")
    opened.wait_until(lambda: strokes_of(site) == 2)
    page.click("#undo")  # the last stroke
    opened.wait_until(lambda: strokes_of(site) == 1)
    page.click("#clear")
    opened.wait_for_text("#answer", "Draw a character")
    assert site.session.now.pending is None and len(site.session.now.drawings) == 1
    page.click("#undo")  # the name
    opened.wait_for_text("#answer", "What is it?")
    assert not site.session.now.names and strokes_of(site) == 2
    page.reload()  # the session is stored on the server
    opened.wait_for_text("#answer", "What is it?")
    page.click("#forget")
    opened.wait_for_text("#summary", "The memory is empty")


def test_errors_are_displayed_and_the_page_goes_on(opened: OpenPage, site: Site) -> None:
    page = opened.page
    page.evaluate("fetch('/present', {method: 'POST', body: '{', headers: {'Content-Type': 'application/json'}})")
    scribble = [(0.1 + 0.8 * (number % 2), 0.1 + number / 8000) for number in range(6000)]
    page.evaluate(
        """(points) => {
            const canvas = document.querySelector("#canvas"), area = canvas.getBoundingClientRect();
            canvas.setPointerCapture = () => {};
            canvas.hasPointerCapture = () => true;
            const send = (kind, [x, y]) => canvas.dispatchEvent(new PointerEvent(kind, {
                isPrimary: true, button: 0, pointerId: 1, bubbles: true,
                clientX: area.left + x * area.width, clientY: area.top + y * area.height}));
            send("pointerdown", points[0]);
            points.forEach((point) => send("pointermove", point));
            send("pointerup", points.at(-1));
        }""",
        scribble,
    )
    opened.wait_for_text("#error", "a request has at most 65536 bytes")
    page.keyboard.press("Escape")
    sync_api.expect(page.locator("#error")).to_be_hidden()
    draw(page, CHARACTERS["cross"])
    opened.wait_for_text("#answer", "Something new")


def test_everything_can_be_done_with_the_keyboard(opened: OpenPage, site: Site) -> None:
    page = opened.page
    page.focus("#canvas")
    for key in ("Space", *["ArrowUp"] * 6, "Space", *["ArrowLeft"] * 4, "Space", *["ArrowRight"] * 8, "Space"):
        page.keyboard.press(key)
    opened.wait_for_text("#answer", "Something new")
    opened.wait_until(lambda: strokes_of(site) == 2)
    page.keyboard.press("n")
    page.keyboard.type("tee")
    page.keyboard.press("Enter")
    opened.wait_for_text("#names", "tee")
    for _ in range(2):
        page.keyboard.press("d")
        opened.wait_for_text("#answer", "It is")
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#answer span")).to_be_visible()
    assert [drawing.truth for drawing in site.session.now.drawings] == ["A", "B"]
    page.keyboard.press("z")
    opened.wait_for_text("#answer", "It is B")
    # Every button and field has a label.
    assert (
        page.locator("button:not([disabled]), input, canvas[tabindex]").evaluate_all(
            "(all) => all.filter((one) => one.offsetParent && !(one.ariaLabel || one.textContent.trim()))"
        )
        == []
    )


def test_a_finger_draws_on_a_narrow_screen(browser: Any, site: Site) -> None:
    site.session.forget()
    context = browser.new_context(viewport={"width": 320, "height": 640}, has_touch=True, color_scheme="dark")
    opened = OpenPage(context.new_page(), site.address)
    page = opened.page
    opened.wait_for_text("#answer", "Draw a character")
    assert opened.fits()
    finger = context.new_cdp_session(page)
    area = page.locator("#canvas").bounding_box()

    def touch(kind: str, x: float, y: float) -> None:
        points = (
            [] if kind == "touchEnd" else [{"x": area["x"] + x * area["width"], "y": area["y"] + y * area["height"]}]
        )
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.2, 0.3)
    for number in range(1, 8):
        touch("touchMove", 0.2 + 0.08 * number, 0.3 + 0.05 * number)
    touch("touchEnd", 0, 0)
    opened.wait_for_text("#answer", "Something new")
    assert page.evaluate("window.scrollY") == 0
    assert site.session.now.pending is not None and site.session.now.pending.strokes is not None
    stroke = site.session.now.pending.strokes[0]
    assert strokes_of(site) == 1 and len(stroke) >= 5 and stroke[0] == pytest.approx((0.2, 0.3), abs=0.01)
    for _ in range(8):
        page.get_by_role("button", name="Draw one for me").click()
        page.get_by_role("button", name="It is").click()
        sync_api.expect(page.locator("#answer span")).to_be_visible()
    assert opened.fits() and page.locator("#names li").count() == 5
    context.close()
    assert opened.errors == []
