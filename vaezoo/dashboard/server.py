"""The page on this machine only, rebuilt when a run folder changes."""

import time
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any

from vaezoo import runs
from vaezoo.dashboard import page
from vaezoo.dashboard.thumbnails import Pictures
from vaezoo.local_server import LocalHandler, LocalServer
from vaezoo.runs import CONFIG, JOB, METRICS, RECORD, RESULTS, RunRecord

REST = 2.0  # seconds between two looks at the folders
WATCHED = (CONFIG, JOB, RECORD, RESULTS, METRICS, "pictures")


def serve(places: Sequence[Path], port: int = 0, show: bool = False) -> None:
    """Serves the page until it is interrupted.

    Args:
        places: run folders, or folders that hold some.
        port: 0 takes a free one.
        show: open the page in the browser.

    Raises:
        UsageError: a place does not exist, there is no run, or the port cannot be used.
    """
    found = page.gather(places)
    with Server(Watch(places), port) as server:
        server.run(f"{len(found)} runs; ", show)


class Watch:
    """Runs below some places; a folder is read again when a file of it changed.

    Args:
        places: run folders, or folders that hold some.
    """

    def __init__(self, places: Sequence[Path]) -> None:
        self.places = places
        self._known: dict[Path, tuple[tuple[int, ...], RunRecord]] = {}
        self._looked, self._version, self._built = -REST, time.time_ns(), ""
        self._lock = Lock()

    def version(self) -> str:
        """A name for the present state of all folders."""
        with self._lock:
            if time.monotonic() - self._looked > REST:
                self._look()
                self._looked = time.monotonic()
            return str(self._version)

    def collected(self) -> tuple[dict[str, Any], Pictures]:
        """What the page shows and its pictures, as the folders are now."""
        version = self.version()
        with self._lock:
            if self._built != version:
                records = [record for _, record in self._known.values()]
                contents, pictures = page.collect(records, page.title(self.places))
                self._collected = contents | {"live": version}, pictures
                self._built = version
            return self._collected

    def html(self) -> str:
        """The page, as the folders are now."""
        contents, pictures = self.collected()
        return page.assemble(contents, pictures, contents["live"])

    def _look(self) -> None:
        before = self._known
        self._known = {}
        for path in runs.find(*self.places):
            stamp = tuple((path / name).stat().st_mtime_ns if (path / name).exists() else 0 for name in WATCHED)
            old = before.get(path)
            unchanged = old and old[0] == stamp and (old[1].state != "running" or runs.state(path) == "running")
            self._known[path] = old if old and unchanged else (stamp, runs.read(path))
        if any(self._known[path] is not before.get(path) for path in self._known) or len(before) != len(self._known):
            self._version += 1


class Server(LocalServer):
    """Answers this machine with the page, its data and their version.

    Args:
        watch: the runs.
        port: 0 takes a free one.
    """

    def __init__(self, watch: Watch, port: int = 0) -> None:
        self.watch = watch
        super().__init__(Handler, port)


class Handler(LocalHandler):
    """One request: the page, its data, its pictures or their version."""

    server: Server

    def do_GET(self) -> None:
        if not self.admitted():
            return
        watch = self.server.watch
        answers = {
            "/": ("text/html", watch.html),
            "/version": ("text/plain", watch.version),
            "/data.json": ("application/json", lambda: page.as_json(watch.collected()[0])),
            "/pictures.json": ("application/json", lambda: page.as_json(watch.collected()[1])),
        }
        if self.path not in answers:
            self.say(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})
            return
        kind, answer = answers[self.path]
        self.send(HTTPStatus.OK, answer().encode(), kind)
