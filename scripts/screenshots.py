"""Pictures of a dashboard for the documentation: `python scripts/screenshots.py PAGE [--out docs/images]`.

Writes dashboard-WIDTH-SCHEME.png at 1280 and 390 pixels, light and dark. Needs Chromium and Playwright.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import ARGUMENTS, NAMES, everything

SIZES = {1280: 1000, 390: 844}  # pixels: width and height


def main() -> None:
    """Takes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("page", type=Path, help="what `vaezoo dashboard` wrote")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder (default: docs/images)")
    parser.add_argument("--full", action="store_true", help="the whole page, not only its first screen")
    given = parser.parse_args()
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        sys.exit(f"error: no browser is installed: none of {', '.join(NAMES)} is on the PATH")
    from playwright.sync_api import sync_playwright

    given.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=browser, args=[*ARGUMENTS, "--disable-sync"])
        for width, height in SIZES.items():
            for scheme in ("light", "dark"):
                page = running.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.goto(given.page.resolve().as_uri())
                everything(page)
                file = given.out / f"dashboard-{width}-{scheme}.png"
                page.screenshot(path=file, full_page=given.full)
                print(file)
        running.close()


if __name__ == "__main__":
    main()
