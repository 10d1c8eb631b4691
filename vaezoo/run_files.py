"""The files of a run folder: each is read whole, is absent, or is refused with the reason. Nothing here needs torch."""

import csv
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vaezoo.errors import UsageError
from vaezoo.run_kinds import KINDS, REQUIRED, fault

if TYPE_CHECKING:
    from PIL import Image

METRICS = "metrics.csv"
WEIGHTS, PICTURES = "model.safetensors", "pictures"


class Broken(UsageError):
    """A file is there, but not as vaezoo writes it.

    Args:
        file: which one.
        why: e.g. ``it is empty``.
    """

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(f"{file} is damaged: {why}")
        self.file, self.why = file, why


def contents(file: Path) -> dict[str, Any]:
    """What config.yaml, run.json, results.json or job.json holds; empty where there is no such file.

    Raises:
        Broken: the file cannot be read, or holds something else.
    """
    text = _text(file)
    if text is None:
        return {}
    try:
        found = json.loads(text) if file.suffix == ".json" else yaml.load(text, _Loader)
    except json.JSONDecodeError as error:
        raise Broken(file, f"line {error.lineno}: {error.msg}") from None
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "not YAML"
        raise Broken(file, f"line {mark.line + 1}: {problem}" if mark else problem) from None
    except (ValueError, RecursionError) as error:
        raise Broken(file, str(error)) from None
    if why := fault(found, KINDS.get(file.name, {})):
        raise Broken(file, why)
    if missing := [name for name in REQUIRED.get(file.name, ()) if found.get(name) is None]:
        raise Broken(file, f"it has no {', '.join(missing)}")
    return found


def columns(file: Path) -> dict[str, list[float | None]]:
    """metrics.csv by column; None where a row has no value. A last line that was cut is left out.

    Raises:
        Broken: the file cannot be read, or holds something else than numbers.
    """
    text = _text(file)
    if text is None:
        return {}
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    if "step" not in (rows.fieldnames or ()):
        raise Broken(file, "it has no column named step")
    found: dict[str, list[float | None]] = {}
    try:
        for row in rows:
            for name, value in row.items():
                found.setdefault(name, []).append(float(value) if value else None)
    except (ValueError, TypeError, csv.Error):
        width = len(rows.fieldnames or ())
        raise Broken(file, f"line {rows.line_num} does not hold {width} numbers") from None
    return found


def picture(file: Path) -> "Image.Image":
    """A picture in RGB.

    Raises:
        Broken: it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return opened.convert("RGB")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise Broken(file, _said(file) or f"not a picture that can be read ({type(error).__name__})") from None


def check_weights(file: Path) -> None:
    """Whether the weights are as long as their header says; nothing where there are none.

    Raises:
        Broken: they are not.
    """
    from safetensors import SafetensorError, safe_open

    if not file.exists():
        return
    try:
        with safe_open(file, "numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise Broken(file, _said(file) or f"not weights that can be read ({error})") from None


def _text(file: Path) -> str | None:
    """The text of a file; None where there is none."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Broken(file, _said(file) or f"{error.strerror}") from None
    except UnicodeDecodeError as error:
        raise Broken(file, f"byte {error.start} is not UTF-8") from None
    if not text.strip():
        raise Broken(file, "it is empty")
    return text


def _said(file: Path) -> str:
    """What can be said of a file without reading it."""
    if file.is_dir():
        return "it is a folder"
    return "it is empty" if file.is_file() and not file.stat().st_size else ""


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The C loader where there is one, which is ten times faster; numbers are as OmegaConf reads them."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*)(?:\.[\d_]*)?(?:[eE][-+]?\d+)$"),  # 1e-3, which YAML 1.1 takes for a string
    list("-+0123456789"),
)
