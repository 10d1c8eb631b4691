"""What ``hardware`` sets in a process."""

import platform
import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf

from vaezoo import hardware

FLUSHED = """
import torch, vaezoo
from vaezoo.hardware import prepare
prepare(vaezoo.compose(["hardware=cpu", "hardware.threads=2", "hardware.flush_denormal={flush}"]).hardware)
tiny = torch.ones(1 << 20, dtype=torch.int32).view(torch.float32)  # a denormal number, enough of them for two threads
print((tiny * 1.0 == 0).float().mean().item())
"""

KEPT = """
import resource, torch, vaezoo
from vaezoo.hardware import prepare
prepare(vaezoo.compose(["hardware=cpu", "hardware.keep_memory={keep}"]).hardware)
def cleared():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24)  # 64 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
for _ in range(5): cleared()
print(max(cleared() for _ in range(5)))
"""


@pytest.mark.parametrize(
    ("capability", "amx", "mode"),
    [
        ("AVX512", False, "medium"),
        ("AVX512", True, "highest"),
        ("AVX2", False, "highest"),
        ("DEFAULT", False, "highest"),
    ],
)
def test_bfloat16_units_are_left_alone_by_default(monkeypatch, capability, amx, mode):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    chosen = {"accelerator": "cpu", "matmul_precision": "auto"}
    assert hardware.matmul_precision(OmegaConf.create(chosen)) == mode
    assert hardware.matmul_precision(OmegaConf.create({**chosen, "matmul_precision": "high"})) == "high"


@pytest.mark.parametrize(("flush", "share"), [("true", 1.0), ("false", 0.0)])
def test_denormal_numbers_count_as_zero_in_every_thread(flush, share):
    done = subprocess.run([sys.executable, "-c", FLUSHED.format(flush=flush)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == share


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="memory is kept by glibc's malloc")
@pytest.mark.parametrize(("keep", "least", "most"), [("true", 0, 8), ("false", 32, 1 << 14)])
def test_memory_of_tensors_is_kept(keep, least, most):
    done = subprocess.run([sys.executable, "-c", KEPT.format(keep=keep)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert least <= int(done.stdout) <= most + 8  # pages that the kernel cleared: of 4 KiB, or of 2 MiB
