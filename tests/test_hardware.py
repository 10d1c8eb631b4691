"""What ``hardware`` sets in a process, and the precision plugin."""

import subprocess
import sys

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import LambdaCallback

from tests.conftest import quick_trainer
from vaezoo import hardware
from vaezoo.contract.subjects import built, digits
from vaezoo.precision import FullPrecision

FLUSHED = """
import torch, vaezoo
from vaezoo.hardware import prepare
prepare(vaezoo.compose(["hardware=cpu", "hardware.threads=2", "hardware.flush_denormal={flush}"]).hardware)
tiny = torch.ones(1 << 20, dtype=torch.int32).view(torch.float32)  # a denormal number, enough of them for two threads
print((tiny * 1.0 == 0).float().mean().item())
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
def test_products_are_float32_on_every_cpu(monkeypatch, capability, amx, mode):
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


def test_hooks_around_the_backward_pass_run_where_they_are_defined():
    heard = []
    listener = LambdaCallback(
        on_before_backward=lambda trainer, module, loss: heard.append(loss.item()),
        on_after_backward=lambda trainer, module: heard.append(any(p.grad is not None for p in module.parameters())),
    )
    trained(callbacks=[listener], plugins=[FullPrecision()])
    assert len(heard) == 4 and heard[1] is heard[3] is True and heard[0] != heard[2]


def test_training_is_that_of_lightnings_full_precision():
    ours, theirs = trained(plugins=[FullPrecision()]), trained()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def trained(**options):
    """A VAE after two batches."""
    model = built("vae")
    trainer = quick_trainer(limit_train_batches=2, limit_val_batches=0, **options)
    trainer.fit(model, datamodule=digits("vae"))
    assert trainer.global_step == 2 and trainer.precision == "32-true"
    return model
