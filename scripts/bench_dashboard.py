"""What a dashboard over many runs costs: `python scripts/bench_dashboard.py [--runs 2000] [--seeds 2] [--page FILE]`.

Prints seconds to build the page, its size, and, where a browser and Playwright are installed, milliseconds to the first
paint, to the first table and to the whole page, each the median of five fresh loads.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import ARGUMENTS, NAMES
from tests.many_runs import fill
from vaezoo.dashboard import write

LOADS = 5
MARKS = """() => new Promise((done) => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  done([paint ? paint.startTime : 0, performance.getEntriesByName("table")[0].startTime,
    performance.getEntriesByType("navigation")[0].loadEventEnd]);
})"""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--runs", type=int, default=2000, help="run folders (default: 2000)")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each configuration (default: 2)")
    parser.add_argument("--page", type=Path, help="measure this page and build none")
    given = parser.parse_args()
    if given.page:
        print(load(given.page))
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        fill(place / "runs", given.runs // given.seeds, given.seeds, epochs=40)
        start, used = time.perf_counter(), time.process_time()
        line = write([place / "runs"], place / "page.html")
        seconds, processor = time.perf_counter() - start, time.process_time() - used
        print(f"built in {seconds:.1f} s ({processor:.1f} s of processor time): {line.partition('  ')[2]}")
        print(load(place / "page.html"))


def load(page: Path) -> str:
    """Median times of fresh loads, in words."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        browser = None
    if browser is None:
        return "not opened: no browser, or no playwright, is installed"
    times = []
    with sync_playwright() as driver:
        for _ in range(LOADS):
            running = driver.chromium.launch(executable_path=browser, args=[*ARGUMENTS, "--disable-sync"])
            opened = running.new_page(viewport={"width": 1280, "height": 900})
            opened.add_init_script(
                "new MutationObserver((_, seen) => document.querySelector('#leaderboard table') && "
                "(performance.mark('table'), seen.disconnect())).observe(document, {childList: true, subtree: true});"
            )
            opened.goto(page.resolve().as_uri())
            opened.wait_for_timeout(200)
            times.append(opened.evaluate(MARKS))
            running.close()
    paint, table, whole = (median(column) for column in zip(*times, strict=True))
    return f"first paint {paint:.0f} ms, leaderboard {table:.0f} ms, whole page {whole:.0f} ms (median of {LOADS})"


if __name__ == "__main__":
    main()
