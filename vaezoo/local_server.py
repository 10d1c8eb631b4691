"""A server for the browser of this machine only, which the dashboard and the explorer share."""

import json
import webbrowser
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from vaezoo.errors import UsageError

LOOPBACK = "127.0.0.1"


class LocalServer(ThreadingHTTPServer):
    """Listens on the loopback interface only; ``url`` is where.

    Args:
        handler: answers requests that it has admitted.
        port: 0 takes any that is free.

    Raises:
        UsageError: the port is taken, or is none.
    """

    daemon_threads = True

    def __init__(self, handler: type["LocalHandler"], port: int = 0) -> None:
        if not 0 <= port < 2**16:
            raise UsageError(f"--port={port} must be from 0 to {2**16 - 1}")
        try:
            super().__init__((LOOPBACK, port), handler)
        except OSError as error:
            raise UsageError(f"--port={port} cannot be used ({error.strerror}); --port=0 takes a free one") from None
        self.hosts = {f"{name}:{self.server_port}" for name in (LOOPBACK, "localhost")}

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def run(self, about: str = "", show: bool = False) -> None:
        """Answers until it is interrupted.

        Args:
            about: told beside the address.
            show: open the page in the browser.
        """
        print(f"{self.url}  ({about}Ctrl-C ends)", flush=True)
        if show:
            webbrowser.open(self.url)
        try:
            self.serve_forever()
        except KeyboardInterrupt:
            print()


class LocalHandler(BaseHTTPRequestHandler):
    """One request to a `LocalServer`."""

    server_version, sys_version = "vaezoo", ""
    timeout = 60  # seconds for which a silent connection is kept
    headers_of_all: dict[str, str] = {"Cache-Control": "no-store"}

    def admitted(self) -> bool:
        """Whether the page itself asks.

        Another ``Host`` is a page elsewhere whose name was made to point to this machine; another ``Origin`` is one
        that asks across sites. Both are answered with 403.
        """
        server = cast(LocalServer, self.server)
        origins = {None, *(f"http://{host}" for host in server.hosts)}
        if self.headers.get("Host") in server.hosts and self.headers.get("Origin") in origins:
            return True
        self.say(HTTPStatus.FORBIDDEN, {"error": f"this page is at {server.url} and nowhere else"})
        return False

    def say(self, status: HTTPStatus, answer: dict[str, Any]) -> None:
        """Sends JSON."""
        self.send(status, json.dumps(answer).encode(), "application/json")

    def send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        """Sends a body of a media type."""
        self.send_response(status)
        about = {"Content-Type": f"{kind}; charset=utf-8", "Content-Length": str(len(body))}
        for name, value in {**self.headers_of_all, **about}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a slider, or a poll for news, asks many times."""
