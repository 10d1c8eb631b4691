"""Where a job of the pool may compute: its GPUs and its threads."""

import os
from typing import Any, NamedTuple

from vaezoo.errors import UsageError

OWN_PROCESSES = (".Pool", ".SlurmLauncher")  # a job of these has a command line of its own


class Slot(NamedTuple):
    """One place for one job at a time.

    Args:
        number: 0, 1, ...
        environment: variables of the job's process.
    """

    number: int
    environment: dict[str, str]


def slots(hardware: Any) -> list[Slot]:
    """The slots of this machine for jobs with these settings.

    On GPUs a slot is ``hardware.devices`` of them, and there are as many slots as fit; with more ``hardware.slots``
    several jobs share a GPU. On the CPU there is a slot per core. Threads are divided evenly.

    Args:
        hardware: the node ``hardware`` of a configuration.

    Raises:
        UsageError: there are too few GPUs.
    """
    gpus = visible_gpus() if hardware.accelerator in ("auto", "gpu", "cuda") else []
    if hardware.accelerator in ("gpu", "cuda") and not gpus:
        raise UsageError("hardware.accelerator=gpu: this machine has no usable GPU; use hardware=cpu_pool")
    width = processes(hardware, len(gpus))
    shares = [gpus[first : first + width] for first in range(0, len(gpus) - width + 1, width)]
    if gpus and not shares:
        raise UsageError(f"hardware.devices={width} is more than the {len(gpus)} visible GPUs")
    number = hardware.slots or len(shares) or max(1, cores() // width)
    threads = hardware.threads or max(1, cores() // (number * width))
    visible = [",".join(share) for share in shares] or [""]
    return [
        Slot(k, {"CUDA_VISIBLE_DEVICES": visible[k % len(visible)], "OMP_NUM_THREADS": str(threads)})
        for k in range(number)
    ]


def processes(hardware: Any, gpus: int) -> int:
    """How many processes of one machine a job trains with."""
    devices = hardware.devices
    if devices in ("auto", -1):
        return max(1, gpus)
    return devices if isinstance(devices, int) else len(devices)


def check_processes(hardware: Any, launcher: str) -> None:
    """Refuse a job of several processes where Lightning would start them by repeating the command of the whole sweep.

    Args:
        hardware: the node ``hardware`` of the job's configuration.
        launcher: the class that starts the jobs.

    Raises:
        UsageError: each process would start a sweep of its own.
    """
    if launcher.endswith(OWN_PROCESSES) or (hardware.num_nodes == 1 and not _several(hardware)):
        return
    raise UsageError(
        f"hardware.devices={hardware.devices} hardware.strategy={hardware.strategy}: in a sweep, a job of several "
        "processes needs hardware=local_gpus, hardware=cpu_pool or hardware=slurm; here each would start its own sweep"
    )


def _several(hardware: Any) -> bool:
    if hardware.strategy != "auto":
        return True
    gpus = hardware.accelerator != "cpu" and hardware.devices in ("auto", -1)
    return processes(hardware, len(visible_gpus()) if gpus else 0) > 1


def visible_gpus() -> list[str]:
    """The ids of the GPUs that this process may use."""
    import torch

    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",")[:count] if given else [str(number) for number in range(count)]


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
