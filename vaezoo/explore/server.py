"""The explorer behind a page, for the browser of this machine only."""

import inspect
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

from vaezoo.errors import UsageError
from vaezoo.explore.explorer import Explorer
from vaezoo.local_server import LocalHandler, LocalServer

BODY = 1_000_000  # bytes of a question at most
QUESTIONS = ("about", "thumbnails", "encode", "draw", "decode", "interpolate", "usage", "alternatives", "neighbours")
HERE = Path(__file__).parent
LOOK = HERE.parent / "dashboard" / "style.css"  # one for both
SCRIPTS = [HERE / f"{name}.js" for name in ("core", "decode", "codes", "samples", "main")]
PAGE: dict[str, tuple[str, list[Path]]] = {
    "/": ("text/html", [HERE / "page.html"]),
    "/page.css": ("text/css", [LOOK, HERE / "page.css"]),
    "/page.js": ("text/javascript", SCRIPTS),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server(LocalServer):
    """Answers the page's questions. Paths are looked up in a table.

    Args:
        explorer: what is asked.
        port: 0 for any that is free.
    """

    def __init__(self, explorer: Explorer, port: int = 0) -> None:
        self.explorer = explorer
        super().__init__(Handler, port)


class Handler(LocalHandler):
    """One request: a file of the page, or a question as ``POST /api/NAME`` with its arguments as a JSON object."""

    server: Server
    headers_of_all = HEADERS

    def do_GET(self) -> None:
        if not self.admitted():
            return
        if self.path not in PAGE:
            self.say(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})
            return
        kind, parts = PAGE[self.path]
        self.send(HTTPStatus.OK, b"\n".join(part.read_bytes() for part in parts), kind)

    def do_POST(self) -> None:
        if not self.admitted():
            return
        name = self.path.removeprefix("/api/")
        if name == self.path or name not in QUESTIONS:
            self.say(HTTPStatus.NOT_FOUND, {"error": "there is no such question"})
            return
        try:
            self.say(HTTPStatus.OK, getattr(self.server.explorer, name)(**self._arguments(name)))
        except UsageError as error:
            self.say(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Exception as error:  # the page says it, and the next question may go well
            self.say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}: {error}"})
            raise

    def _arguments(self, name: str) -> dict[str, Any]:
        if self.headers.get_content_type() != "application/json":  # which other sites cannot send unasked
            raise UsageError("a question must be application/json")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > BODY:
            raise UsageError(f"a question must say its length, at most {BODY} bytes")
        try:
            arguments = json.loads(self.rfile.read(int(length)))
            inspect.signature(getattr(self.server.explorer, name)).bind(**arguments)
        except (ValueError, TypeError) as error:
            raise UsageError(f"the question is not understood: {error}") from None
        return arguments


def serve(explorer: Explorer, port: int = 0, show: bool = False) -> None:
    """Serves until it is interrupted.

    Args:
        explorer: what is asked.
        port: 0 for any that is free.
        show: open the page in the browser.
    """
    with Server(explorer, port) as server:
        server.run(show=show)
