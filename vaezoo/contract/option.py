"""The pytest plugin that adds ``--variant``; an installed vaezoo brings it into every pytest session."""

from typing import Any


def pytest_addoption(parser: Any) -> None:
    """Adds the option."""
    text = "variant that vaezoo.contract tests, may be repeated; without it, every registered one"
    parser.getgroup("vaezoo").addoption("--variant", action="append", metavar="NAME", help=text)
