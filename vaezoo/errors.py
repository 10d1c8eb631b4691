"""The one kind of error that a user can cause, told in one line."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """A wrong argument, name, file or combination; the message is one sentence that says what is allowed."""


def near(name: str, options: Iterable[str]) -> str:
    """``"; did you mean 'x'?"`` for the option nearest to ``name``, or an empty string."""
    match = get_close_matches(str(name), list(options), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
