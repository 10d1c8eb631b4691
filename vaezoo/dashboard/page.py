"""The page: template, style, scripts and data in one file that asks nobody for anything."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import vaezoo
from vaezoo import files, runs
from vaezoo.dashboard.data import data
from vaezoo.dashboard.thumbnails import Pictures, thumbnails
from vaezoo.errors import UsageError
from vaezoo.runs import RunRecord

HERE = Path(__file__).parent
SCRIPTS = ("core", "chart", "table", "panels", "parallel", "pictures", "main")


def write(places: Sequence[Path], out: Path) -> str:
    """Writes the page over all runs at or below some places.

    Args:
        places: run folders, or folders that hold some.
        out: the file.

    Returns:
        str: What was written, in one line.

    Raises:
        UsageError: a place does not exist, or holds no run.
    """
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; it must be a file, such as {out / 'dashboard.html'}")
    found = gather(places)
    text = render([runs.read(path) for path in found], title(places))
    files.write(out, text)
    return f"{out}  ({len(found)} runs, {len(text.encode()) / 1e6:.1f} MB)"


def gather(places: Sequence[Path]) -> list[Path]:
    """The run folders at or below some places.

    Raises:
        UsageError: a place does not exist, or there is none.
    """
    if found := runs.find(*places):
        return found
    raise UsageError(
        f"no run below {' '.join(map(str, places))}: a run folder holds config.yaml, a queued job job.json"
    )


def title(places: Sequence[Path]) -> str:
    """A name for the page: the last part of each place."""
    names = [place.resolve().name for place in places]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def render(records: Sequence[RunRecord], title: str) -> str:
    """The page as one string of HTML.

    Args:
        records: any runs.
        title: what the page is called.
    """
    contents, pictures = collect(records, title)
    return assemble(contents, pictures)


def collect(records: Sequence[RunRecord], title: str) -> tuple[dict[str, Any], Pictures]:
    """What the page shows, and its pictures."""
    contents, rows = data(records, title)
    return contents, thumbnails(rows)


def assemble(contents: dict[str, Any], pictures: Pictures, live: str | None = None) -> str:
    """Template, style, scripts and data in one string.

    Args:
        contents: what :func:`collect` found.
        pictures: the same.
        live: the version of the data, if the page is to ask its server for newer ones.
    """
    script = "\n".join((HERE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    return Template((HERE / "page.html").read_text(encoding="utf-8")).substitute(
        title=escape(contents["title"]),
        version=escape(vaezoo.__version__),
        connect="'self'" if live else "'none'",
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        script=f'"use strict";\n(() => {{\n{script}\n}})();',
        data=as_json(contents | {"live": live}),
        pictures=as_json(pictures),
    )


def as_json(value: Any) -> str:
    """Compact JSON that no HTML parser takes for the end of a script."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
