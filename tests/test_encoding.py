"""Text is read and written as UTF-8 whatever the locale: every call names its encoding."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = [*(ROOT / "vaezoo").rglob("*.py"), *(ROOT / "scripts").glob("*.py"), *(ROOT / "docs").glob("*.py")]
BINARY = "b"


def unnamed(source: str) -> list[int]:
    """The lines of the calls that leave the encoding of a text to the locale."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _is_text(call) and "encoding" not in {k.arg for k in call.keywords}]


def _is_text(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    method, keywords = name.rpartition(".")[2], {k.arg: ast.unparse(k.value) for k in call.keywords}
    if method in ("read_text", "write_text", "TextIOWrapper", "fdopen"):
        return True
    if name.startswith("subprocess."):
        return "text" in keywords or "universal_newlines" in keywords
    if method != "open" or name in ("Image.open", "webbrowser.open", "os.open", "archive.open"):
        return False
    literals = [arg.value for arg in call.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    modes = [text for text in literals if set(text) <= set("rwaxbt+")]
    return BINARY not in keywords.get("mode", "".join(modes))


@pytest.mark.parametrize(
    "source",
    [
        "path.read_text()",
        "open('x')",
        "path.open('w')",
        "subprocess.run([], text=True)",
        "path.write_text('x')",
    ],
)
def test_a_call_without_encoding_is_found(source):
    assert unnamed(source) == [1]


def test_every_text_is_utf_8():
    found = {str(path.relative_to(ROOT)): lines for path in SOURCES if (lines := unnamed(path.read_text("utf-8")))}
    assert not found
