"""What every command shares: arguments that are refused in one line, and output that cannot be written."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from vaezoo.choices import CONFIG_DIR
from vaezoo.errors import UsageError, near
from vaezoo.files import printable


class Parser(argparse.ArgumentParser):
    """Raises UsageError instead of printing its usage, and says which flag is near."""

    def error(self, message: str) -> NoReturn:
        """As argparse's, in one line."""
        raise UsageError(f"{message.removeprefix('argument ')} ({self.prog} --help lists what is allowed)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's; an unknown flag is reported with the nearest known one."""
        given, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.refuse(unknown[0])
        return given, unknown

    def split(self, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The flags among some words, and the other words."""
        given, others = super().parse_known_args(list(words))
        for word in others:
            if word.startswith("-"):
                self.refuse(word)
        return given, others

    def refuse(self, word: str) -> NoReturn:
        """Reports a word that means nothing to the command."""
        flags = sorted(self._option_string_actions)
        meant = near(word.partition("=")[0], [flag for flag in flags if flag.startswith("--")])
        raise UsageError(f"{word} is not an argument of {self.prog}{meant} (flags: {', '.join(flags)})")


def take_config_dir(words: Sequence[str]) -> list[str]:
    """Makes the folder of ``--config-dir`` known, to processes that this one starts too; the other words are left.

    Raises:
        UsageError: it is not a folder.
    """
    parser = Parser("vaezoo train", add_help=False, allow_abbrev=False)
    parser.add_argument("-cd", "--config-dir", type=path)
    given, others = argparse.ArgumentParser.parse_known_args(parser, list(words))
    if given.config_dir is not None:
        if not given.config_dir.is_dir():
            raise UsageError(f"--config-dir {given.config_dir} is not a folder")
        os.environ[CONFIG_DIR] = str(given.config_dir.resolve())
    return others


def at_least(lowest: int, highest: float = 2**31 - 1) -> Callable[[str], int]:
    """A type for argparse: a whole number from ``lowest`` to ``highest``."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = lowest - 1
        if not lowest <= value <= highest:
            raise argparse.ArgumentTypeError(f"{text} must be a whole number from {lowest} to {highest}")
        return value

    return whole


def path(text: str) -> Path:
    """A type for argparse: the path with ``~`` expanded, which shells leave alone in ``--flag=~/x``."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} must be a path")
    return Path(text).expanduser()


def answer(command: Callable[[], int]) -> int:
    """Runs a command; what is not a bug ends in one line on standard error.

    Args:
        command: what to do; its exit code is passed on.

    Returns:
        int: the code; 2 after a user's error, or where a file or the output cannot be written; 130 after Ctrl-C.
    """
    with _output():
        try:
            code = command()
            sys.stdout.flush()
            return code
        except UsageError as error:
            return fail(str(error))
        except BrokenPipeError:
            _drop_output()
            return 0
        except KeyboardInterrupt:
            return fail("interrupted", 130)
        except Exception as error:
            about = environment(error)
            if about is None:
                raise
            _drop_output()
            return fail(about)


def fail(message: str, code: int = 2) -> int:
    """Prints the one line of an error."""
    with contextlib.suppress(OSError, ValueError):  # standard error is closed or full too
        print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    return code


def environment(error: BaseException | None) -> str | None:
    """What the machine refused, such as a full disk, where that caused an error; None for any other error."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            place = "a file, or the output," if error.filename is None else error.filename
            return f"{place} cannot be used: {error.strerror}"
        for sign in ("No space left on device", "PytorchStreamWriter failed"):
            if sign in str(error):
                return f"a file cannot be written ({str(error).splitlines()[0]})"
        error = error.__cause__
    return None


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Standard output that is closed counts as one that drops what is printed; characters it lacks become '?'."""
    if sys.stdout is None or sys.stderr is None:
        with open(os.devnull, "w", encoding="utf-8") as nowhere:  # holds the number of the closed file, too
            sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
            yield
        return
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    yield


def _drop_output() -> None:
    """What is still buffered can never be written: without this, Python reports it when it exits."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
