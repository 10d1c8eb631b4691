"""Pictures of runs, small enough to travel inside a page."""

import base64
import io
import sys
from functools import lru_cache
from pathlib import Path

from PIL import Image

from vaezoo.comparison import Row
from vaezoo.files import inside
from vaezoo.run_files import PICTURES, Broken, picture

KINDS = ("reconstructions", "samples", "traversals", "latent")
BYTES = 9_000_000  # of all pictures; base64 makes 12 MB of them
Pictures = dict[str, dict[str, str]]  # by key of the row and kind, data URIs
WIDE, NARROW, USUAL = 640, 320, 30_000  # pixels; bytes of a wide picture


def thumbnails(rows: list[Row]) -> Pictures:
    """For the key of each row, its pictures as data URIs, until the page is full.

    Args:
        rows: those that matter most first; a row shows the pictures of its first run that has some.
    """
    pictured = [(row.key, files) for row in rows if (files := _files(row))]
    width = WIDE if USUAL * sum(len(files) for _, files in pictured) < BYTES else NARROW
    found: Pictures = {}
    room = BYTES
    for key, files in pictured:
        tried = {file.stem: _encoded(file, file.stat().st_mtime_ns, width) for file in files}
        encoded = {kind: data for kind, data in tried.items() if data}
        room -= sum(map(len, encoded.values()))
        if room < 0:
            break
        found[key] = {
            kind: f"data:image/webp;base64,{base64.b64encode(data).decode()}" for kind, data in encoded.items()
        }
    return found


def _files(row: Row) -> list[Path]:
    for run in row.runs:
        places = (run.path / PICTURES / f"{kind}.png" for kind in KINDS)
        if files := [file for file in places if file.exists() and inside(run.path, file)]:
            return files
    return []


@lru_cache(maxsize=4096)
def _encoded(file: Path, modified: int, width: int) -> bytes:
    """WebP of a picture, as it was when it was modified; nothing, and a warning, where it cannot be read."""
    try:
        image = picture(file)
    except Broken as error:
        print(f"warning: {error}; it is left out", file=sys.stderr)
        return b""
    if image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.BOX)
    encoded = io.BytesIO()
    image.save(encoded, "WEBP", quality=75, method=2)
    return encoded.getvalue()
