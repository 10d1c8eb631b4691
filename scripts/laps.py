"""The time that a training takes, beside a rival that trains in turn with it."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def now() -> float:
    """Seconds, once the GPU has done what it was given."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


class Laps:
    """Seconds of each block of 50 steps (of a quarter of the steps, where there are under 200).

    Args:
        steps: steps of the training that is timed.
        rival: after each block it gives the seconds that it took for as many steps, so that both see the machine in
            the same state.
    """

    def __init__(self, steps: int, rival: Iterator[float] | None = None) -> None:
        self.steps, self.block, self.rival = steps, block(steps), rival
        self.done = 0
        self.times: list[float] = []
        self.others: list[float] = []
        self._begin = now()

    def step(self) -> None:
        """To be called after each step."""
        self.done += 1
        if self.done % self.block == 0:
            self.times.append(now() - self._begin)
            if self.rival:
                self.others.append(next(self.rival))
            self._begin = now()

    @property
    def seconds(self) -> float:
        """Of all steps, as if each block took as long as the median one."""
        return median(self.times) * self.steps / self.block


def block(steps: int) -> int:
    """Steps of one block."""
    return min(50, max(1, steps // 4))


def as_it_comes(side: Callable[[], float]) -> float:
    """What ``side`` gives with PyTorch's own arithmetic.

    It runs in a thread of its own, for the threads that help a thread compute keep its mode for denormal numbers.
    """

    def run() -> float:
        torch.set_flush_denormal(False)
        return side()

    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(run).result()
    finally:
        torch.set_float32_matmul_precision(chosen)
