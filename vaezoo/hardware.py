"""How a process uses the machine that it runs on."""

from typing import Any

import torch

from vaezoo.errors import UsageError


def matmul_precision(setting: str) -> str:
    """The mode of float32 matrix products: ``auto`` is TF32 (``high``) on a GPU and oneDNN's (``medium``) on a CPU."""
    return setting if setting != "auto" else "high" if torch.cuda.is_available() else "medium"


def prepare(hardware: Any) -> None:
    """Sets the threads and the matrix products of this process as ``config.hardware`` asks.

    Raises:
        UsageError: a GPU is asked for and there is none.
    """
    if hardware.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        where = f"hardware.accelerator={hardware.accelerator}"
        raise UsageError(f"{where}: this machine has no usable GPU; use hardware=cpu")
    if hardware.threads:
        torch.set_num_threads(hardware.threads)
    torch.set_float32_matmul_precision(matmul_precision(hardware.matmul_precision))
