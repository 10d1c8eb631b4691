"""One self-contained page over any number of runs, made of what runs left on disk and of the registry alone."""

from vaezoo.dashboard.page import render, write
from vaezoo.dashboard.server import serve

__all__ = ["render", "serve", "write"]
