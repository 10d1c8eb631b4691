"""Signals that ask a run to stop: at once outside training, at the next safe moment in it (see `Checkpoints`)."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class Interrupted(Exception):
    """The run was asked to stop and can go on from its last checkpoint; ``signal`` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


class ProcessLost(Exception):
    """Another process of the same run has died; the run can go on from its last checkpoint."""

    def __init__(self, error: BaseException) -> None:
        cause = str(error).splitlines()[0].split(". ")[0].split("] ")[-1]
        super().__init__(f"another process of this run was lost ({cause})")


def process_is_lost(error: BaseException) -> bool:
    """Whether an error is that of a collective operation in which a process no longer takes part."""
    from torch.distributed import DistError

    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and "/gloo/" in str(error))


@contextmanager
def heard() -> Iterator[None]:
    """Context manager: each of ``SIGNALS`` raises :class:`Interrupted`; the handlers are restored on exit."""
    before = handle(_stop)
    try:
        yield
    finally:
        restore(before)


def handle(handler: Callable[[int, FrameType | None], None]) -> dict[int, Any]:
    """Installs a handler of ``SIGNALS`` and returns those that were there; none outside the main thread."""
    try:
        return {number: signal.signal(number, handler) for number in SIGNALS}
    except ValueError:  # not the main thread, where no signal arrives either
        return {}


def restore(handlers: dict[int, Any]) -> None:
    """Installs what `handle` has replaced."""
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Interrupted(number)
