"""The explorer behind a page, for the browser of this machine only."""

import inspect
import json
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from vaezoo.errors import UsageError
from vaezoo.explore.explorer import Explorer

LOOPBACK = "127.0.0.1"
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


class Server(ThreadingHTTPServer):
    """Answers the page's questions; ``server.url`` is where.

    It listens on the loopback interface only, and refuses requests whose ``Host`` is another name (a page elsewhere may
    have its name resolved to this machine) or that come from another origin. Paths are looked up in a table.

    Args:
        explorer: what is asked.
        port: 0 for any that is free.

    Raises:
        UsageError: the port is taken.
    """

    daemon_threads = True

    def __init__(self, explorer: Explorer, port: int = 0) -> None:
        self.explorer = explorer
        try:
            super().__init__((LOOPBACK, port), Handler)
        except OSError as error:
            raise UsageError(f"--port={port} cannot be used ({error.strerror}); 0 takes any that is free") from None
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """One request: a file of the page, or a question as ``POST /api/NAME`` with its arguments as a JSON object."""

    server: Server
    server_version, sys_version = "vaezoo", ""
    timeout = 60  # seconds for which a silent connection is kept

    def do_GET(self) -> None:
        if not self._admitted():
            return
        if self.path not in PAGE:
            self._say(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})
            return
        kind, parts = PAGE[self.path]
        self._send(HTTPStatus.OK, b"\n".join(part.read_bytes() for part in parts), kind)

    def do_POST(self) -> None:
        if not self._admitted():
            return
        name = self.path.removeprefix("/api/")
        if name == self.path or name not in QUESTIONS:
            self._say(HTTPStatus.NOT_FOUND, {"error": "there is no such question"})
            return
        try:
            self._say(HTTPStatus.OK, getattr(self.server.explorer, name)(**self._arguments(name)))
        except UsageError as error:
            self._say(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Exception as error:  # the page says it, and the next question may go well
            self._say(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}: {error}"})
            raise

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a slider asks many times a second."""

    def _admitted(self) -> bool:
        origin = self.headers.get("Origin")
        if self.headers.get("Host") in self.server.hosts and origin in {
            None,
            *(f"http://{h}" for h in self.server.hosts),
        }:
            return True
        self._say(HTTPStatus.FORBIDDEN, {"error": f"this page is at {self.server.url} and nowhere else"})
        return False

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

    def _say(self, status: HTTPStatus, answer: dict[str, Any]) -> None:
        self._send(status, json.dumps(answer).encode(), "application/json")

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        for key, value in {
            **HEADERS,
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)


def serve(explorer: Explorer, port: int = 0, open_browser: bool = False) -> None:
    """Serves until it is interrupted.

    Args:
        explorer: what is asked.
        port: 0 for any that is free.
        open_browser: show the page in the browser.
    """
    with Server(explorer, port) as server:
        print(f"{server.url}  (Ctrl-C ends)", flush=True)
        if open_browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended")
