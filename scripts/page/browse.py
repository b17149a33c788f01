"""Looks at a page as its readers do: wide and narrow, light and dark, by keyboard, without script, on paper.

browse.py BROWSER PAGE PROFILE [FOLDER for screenshots]
"""

import base64
import sys
from pathlib import Path

from devtools import Browser

INSIDE = (Path(__file__).parent / "inside.js").read_text()
NOISE = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


class Checks:
    """Counts what holds, and says what does not."""

    def __init__(self) -> None:
        self.passed = self.failed = 0

    def none(self, what: str, complaints: list) -> None:
        """Holds if there are no complaints."""
        if complaints:
            self.failed += 1
            print(f"FAILED {what}: {complaints}")
        else:
            self.passed += 1

    def equal(self, what: str, found: object, expected: object) -> None:
        """Holds if both are equal."""
        self.none(what, [] if found == expected else [f"{found!r}, not {expected!r}"])


def load(browser: Browser, page: Path, width: int, scheme: str) -> None:
    """Opens the page afresh."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    browser.call("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", {"features": scheme})
    browser.events.clear()
    browser.call("Page.navigate", {"url": page.resolve().as_uri()})
    browser.wait_for("Page.loadEventFired")
    browser.evaluate(INSIDE)


def screenshots(browser: Browser, folder: Path, name: str) -> None:
    """The beginning of each section."""
    tops = "[...document.querySelectorAll('section')].map((s) => [s.id, s.getBoundingClientRect().top + scrollY])"
    for section, top in browser.evaluate(tops):
        clip = {"x": 0, "y": top, "width": browser.evaluate("innerWidth"), "height": 1400, "scale": 1}
        shot = browser.call("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
        (folder / f"{name}-{section}.png").write_bytes(base64.b64decode(shot["data"]))


def look(browser: Browser, checks: Checks, page: Path, width: int, scheme: str, shots: Path | None) -> None:
    """What holds at one width in one scheme."""
    where = f"{width} pixels, {scheme}"
    load(browser, page, width, scheme)
    if shots:
        screenshots(browser, shots, f"{width}-{scheme}")
    checks.none(f"{where}: overflow", browser.evaluate("page.overflow()"))
    browser.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    checks.none(f"{where}: overflow with everything open", browser.evaluate("page.overflow()"))
    checks.none(f"{where}: charts", browser.evaluate("page.charts()"))
    # Colours do not depend on the width, and looking beneath every text of every chart takes seconds.
    if width >= 1400:
        checks.none(f"{where}: contrast", browser.evaluate("page.contrast()"))
    checks.equal(f"{where}: ground", browser.evaluate("page.luminance() < 0.5"), scheme == "dark")
    noise = [event for event in browser.events if event.get("method") in NOISE]
    checks.none(f"{where}: console", noise)
    requests = [event["params"] for event in browser.events if event.get("method") == "Network.requestWillBeSent"]
    own = ("data:", page.resolve().as_uri())
    others = [url for url in (request["request"]["url"] for request in requests) if not url.startswith(own)]
    checks.none(f"{where}: requests", others)


def press(browser: Browser, key: str) -> None:
    """A key, down and up."""
    codes = {"Enter": 13, "Tab": 9}
    for kind in ("keyDown", "keyUp"):
        event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
        if key == "Enter" and kind == "keyDown":
            event["text"] = "\r"
        browser.call("Input.dispatchKeyEvent", event)


def use(browser: Browser, checks: Checks, page: Path) -> None:
    """Sorting and filtering, by keyboard alone."""
    load(browser, page, 1400, "light")
    browser.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    checks.none("ids", browser.evaluate("page.ids()"))
    count = len(browser.evaluate("page.milliseconds()"))
    for direction, backwards in (("ascending", False), ("descending", True)):
        browser.evaluate("page.header().querySelector('button').focus()")
        press(browser, "Enter")
        times = browser.evaluate("page.milliseconds()")
        checks.equal(f"sorted {direction}", times, sorted(times, reverse=backwards))
        checks.equal(f"said {direction}", browser.evaluate("page.header().getAttribute('aria-sort')"), direction)
    checks.equal("nothing is lost by sorting", len(times), count)
    browser.evaluate("page.table().querySelector('input').focus()")
    browser.call("Input.insertText", {"text": "Winograd conv3"})
    texts = browser.evaluate("page.rows().map((row) => row.textContent)")
    checks.none("filtered", [text for text in texts if "winograd" not in text or "conv3" not in text])
    checks.equal("some are left", 0 < len(texts) < count, True)
    said = browser.evaluate("page.table().querySelector('output').textContent")
    checks.equal("said what is left", said, f"{len(texts)} of {count} rows")
    press(browser, "Tab")
    inside = browser.evaluate("page.table().contains(document.activeElement)")
    checks.equal("the keyboard goes on to the table", inside, True)


def without_script(browser: Browser, checks: Checks, page: Path) -> None:
    """Everything is there, and no control that does nothing."""
    browser.call("Emulation.setScriptExecutionDisabled", {"value": True})
    load(browser, page, 1400, "light")
    checks.equal("no dead controls", browser.evaluate("document.querySelectorAll('button, input').length"), 0)
    checks.equal("rows without script", browser.evaluate("document.querySelectorAll('tbody tr').length > 20"), True)
    browser.call("Emulation.setScriptExecutionDisabled", {"value": False})


def paper(browser: Browser, checks: Checks, page: Path, shots: Path | None) -> None:
    """The page as PDF."""
    load(browser, page, 1400, "dark")
    pdf = base64.b64decode(browser.call("Page.printToPDF", {"printBackground": True})["data"])
    checks.equal("printed", pdf.startswith(b"%PDF") and len(pdf) > 50_000, True)
    if shots:
        (shots / "page.pdf").write_bytes(pdf)


def main() -> None:
    """Makes all checks; ends with 1 if one fails."""
    program, page, profile, *folder = sys.argv[1:]
    page, shots = Path(page), Path(folder[0]) if folder else None
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    checks, browser = Checks(), Browser(program, Path(profile))
    try:
        for width in (1400, 400):
            for scheme in ("light", "dark"):
                look(browser, checks, page, width, scheme, shots)
        use(browser, checks, page)
        without_script(browser, checks, page)
        paper(browser, checks, page, shots)
    finally:
        browser.close()
    print(f"page: {checks.passed} passed, {checks.failed} failed")
    sys.exit(1 if checks.failed else 0)


if __name__ == "__main__":
    main()
