"""How a process uses the machine that it runs on."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from vaezoo.errors import UsageError
from vaezoo.sweep.slots import processes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of malloc.h


def matmul_precision(hardware: Any) -> str:
    """The mode of float32 matrix products that ``config.hardware`` comes to on this machine.

    ``auto`` is TF32 (``high``) on a GPU, oneDNN's (``medium``) on a CPU with AVX512 and no bfloat16 units (AMX), where
    it is float32 too and may be twice as fast as MKL, and else ``highest``.
    """
    if hardware.matmul_precision != "auto":
        return hardware.matmul_precision
    if accelerator(hardware) == "cuda":
        return "high"
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return "medium" if wide and not torch.cpu._is_amx_tile_supported() else "highest"


def prepare(hardware: Any) -> None:
    """Checks ``config.hardware`` against this machine; sets the threads and the arithmetic of this process.

    Denormal numbers (below 1e-38 in float32) count as 0 on CPUs: Adam's means of gradients that have become 0 shrink
    into them, and some processors compute with them far more slowly. Threads that computed before this call keep their
    mode.

    Raises:
        UsageError: as :func:`check`.
    """
    check(hardware)
    if accelerator(hardware) == "cpu":
        torch.set_flush_denormal(hardware.get("flush_denormal", False))  # runs of earlier versions have no such key
    keep_memory(hardware)
    if hardware.threads:
        torch.set_num_threads(hardware.threads)
    torch.set_float32_matmul_precision(matmul_precision(hardware))


def keep_memory(hardware: Any) -> None:
    """With ``config.hardware.keep_memory`` what tensors give back stays with this process while it lives.

    On CPUs only, and where malloc is glibc's.
    By default glibc maps each tensor of over 32 MiB anew and returns what is free at the heap's end; the kernel then
    clears every page again. See ``man mallopt``.
    """
    if accelerator(hardware) != "cpu" or not hardware.get("keep_memory", False):  # earlier versions' runs have no key
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, -1)


@contextmanager
def full_precision() -> Iterator[None]:
    """Inside, float32 matrix products and convolutions are computed in float32, not in TF32 or bfloat16."""
    products, convolutions = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions


def check(hardware: Any) -> None:
    """Compares what is asked for with what there is.

    Raises:
        UsageError: there is no GPU, or too few, or the devices do not fit the accelerator or the strategy.
    """
    kind, given = accelerator(hardware), hardware.devices
    asked = f"hardware.accelerator={hardware.accelerator}"
    if hardware.accelerator in ("gpu", "cuda", "mps") and kind == "cpu":
        raise UsageError(f"{asked}: this machine has no usable GPU; use hardware=cpu")
    if kind != "cuda" and hardware.strategy == "fsdp":  # on CPUs torch mixes up the optimizer state that it saves
        raise UsageError("hardware.strategy=fsdp needs CUDA GPUs, of which this machine has none; use ddp")
    if kind == "mps" and strategy_name(hardware) != "auto":
        raise UsageError(f"{asked}: several processes need CUDA GPUs or CPUs; use hardware.strategy=auto devices=1")
    if kind == "cpu" and (not isinstance(given, int) or given < 1) and not _default(hardware):
        raise UsageError(f"hardware.devices={given} must be a number of processes, at least 1, on a CPU")
    there = torch.cuda.device_count()
    last = given - 1 if isinstance(given, int) else -1 if given == "auto" else max(given)
    if kind == "cuda" and last >= there:
        raise UsageError(f"hardware.devices={given}: this machine has {there} usable GPU{'s' * (there > 1)}")


def accelerator(hardware: Any) -> str:
    """What ``hardware.accelerator`` comes to on this machine: ``cuda``, ``mps`` or ``cpu``."""
    wanted = hardware.accelerator
    if wanted in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "cuda"
    return "mps" if wanted in ("auto", "gpu", "mps") and torch.backends.mps.is_available() else "cpu"


def strategy_name(hardware: Any) -> str:
    """``hardware.strategy``; where that is ``auto``, ``ddp`` for several processes."""
    gpus = torch.cuda.device_count() if accelerator(hardware) == "cuda" else 0
    several = hardware.num_nodes * processes(hardware, gpus) > 1
    return "ddp" if several and hardware.strategy == "auto" else hardware.strategy


def _default(hardware: Any) -> bool:
    return hardware.devices == "auto" and hardware.strategy == "auto"
