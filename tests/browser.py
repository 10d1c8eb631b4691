"""A browser that is installed here, driven by Playwright; its pages reach nothing but this machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
FAULTS = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
HARMFUL = ("serious", "critical")
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
OVERLAPS = """() => [...document.querySelectorAll("svg")].flatMap((svg) => {
  const texts = [...svg.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  return texts.flatMap(([a, p], index) => texts.slice(index + 1).filter(([, q]) => p.left < q.right - 1 &&
    q.left < p.right - 1 && p.top < q.bottom - 2 && q.top < p.bottom - 2).map(([b]) => `${a} over ${b}`));
})"""


@contextmanager
def launched() -> Iterator[Any]:
    """A running browser; the test is skipped where there is none, or no Playwright."""
    reason = "is not installed: pip install -e '.[dev]'"
    playwright = pytest.importorskip("playwright.sync_api", reason=f"playwright {reason}")
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)} is on the PATH")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=[*ARGUMENTS, "--disable-sync"])
        yield browser
        browser.close()


def everything(page: Any) -> None:
    """Scrolls through the page, so that every panel is drawn."""
    for section in page.locator("section.panel").all():
        section.scroll_into_view_if_needed()
        page.wait_for_timeout(30)
    page.evaluate("() => window.scrollTo({top: 0, behavior: 'instant'})")


def faults(page: Any) -> list[str]:
    """What axe-core finds that keeps people out, with the element."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text())
    return [
        f"{found['id']}: {node['html'][:160]}"
        for found in page.evaluate(FAULTS)
        if found["impact"] in HARMFUL
        for node in found["nodes"]
    ]
