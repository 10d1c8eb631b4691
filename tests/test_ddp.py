"""Several processes with gloo train, validate, measure, stop and resume as one does at the same global batch."""

import math
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as multiprocessing
from omegaconf import OmegaConf
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EMAWeightAveraging

from tests.conftest import free_port, quick_trainer
from vaezoo.build import build
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.configs import compose
from vaezoo.contract.subjects import narrow
from vaezoo.data.datamodule import DataModule
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.hardware import check, strategy_name
from vaezoo.interruption import Interrupted
from vaezoo.meters import NotFiniteError
from vaezoo.sharding import Unsharded
from vaezoo.train import LastStageEarlyStopping, _strategy
from vaezoo.variant import Variant

pytestmark = pytest.mark.xdist_group("ddp")  # one worker, which prepares what all tests look at once

GLOBAL_BATCH, HELD_OUT = 200, 299  # of the 1500 digits: held-out batches differ in size between the processes
PATIENCE = 300  # seconds until processes that wait for one another are ended
MODELS = {
    "beta_vae": ["variant.beta={linear:{end:2}}"],
    "beta_tcvae": [],
    "vamp_vae": [],
    "vq_vae": ["posterior.codes=16"],
    "vae_gan": [],
    "piwae": ["variant.bounds=2", "variant.samples=2"],
    "stacked_autoencoder": ["variant.hidden=[16]", "variant.greedy=0.5"],
    "ms_ssim_vae": ["likelihood=gaussian"],  # the likelihood's scale gets no gradient
}
PRECISION = {"vq_vae": "64-true"}  # in single precision rounding decides between codes that are equally near
SEVERAL = ("beta_vae", "vq_vae", "vae_gan")  # with four processes
SHARDED = ("beta_vae", "vamp_vae")
CUTS = (7, 4)  # batches; the latter is the last of an epoch
SINGLE = ("elbo", "distortion", "rate", "nll", "nll_standard_error", "squared_error", "active_units")
Facts = dict[str, Any]


def held(world: int) -> DataModule:
    sizes = {"batch_size": GLOBAL_BATCH // world, "eval_batch_size": 100 // world}
    data = DataModule("digits", **sizes, val_size=HELD_OUT, drop_last=True)
    data.setup()
    return data


def made(name: str, data: DataModule, *overrides: str) -> Variant:
    torch.manual_seed(0)
    config = narrow(compose([f"variant={name}", "dataset=digits", *MODELS[name], *overrides]))
    return build(config, data.shapes((8, 4, 4) if name == "vq_vae" else (4,)))


def fitted(name: str, world: int, *overrides: str, kind: str = "ddp", resume: Path | None = None, **options) -> Facts:
    """The trained model and what training, validation and evaluation say about it."""
    data = held(world)
    model = made(name, data, *overrides)
    strategy = _strategy(kind if world > 1 else "auto", model)
    options |= {"max_epochs": max(2, len(model.stages)), "precision": PRECISION.get(name, "32-true")}
    trainer = quick_trainer(devices=world, strategy=strategy, log_every_n_steps=2, **options)
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
    report = evaluate(model, data, k=5, progress=False, limit=200)
    return {
        "weights": model.state_dict(),
        "metrics": {**metrics, **{f"train/{key}": value for key, value in model.meters.latest.items()}},
        "report": {key: report[key] for key in ("measures", "kl_per_dimension", *SINGLE) if report[key] is not None},
        "epochs": trainer.current_epoch,
    }


def stopped_early(world: int) -> Facts:
    """Training with averaged weights that stops when the validation loss no longer falls by much."""
    early = LastStageEarlyStopping("val/loss", min_delta=1e9, patience=1, check_on_train_epoch_end=False)
    data = held(world)
    model = made("beta_vae", data)
    strategy = _strategy("ddp" if world > 1 else "auto", model)
    trainer = quick_trainer(devices=world, strategy=strategy, max_epochs=9, callbacks=[early, averaged()])
    trainer.fit(model, datamodule=data)
    return {"weights": model.state_dict(), "epochs": trainer.current_epoch}


class Cut(Callback):
    """Sends SIGTERM to the last process alone as its batch ``at`` starts."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if pl_module.batches_seen == self.at and trainer.global_rank == trainer.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)


def averaged() -> Callback:
    return EMAWeightAveraging(decay=0.9, use_buffers=False)


def resumed(world: int, folder: Path, at: int) -> Facts:
    """A run that is cut, and its continuation."""
    folder = folder / f"{world}-{at}"
    with pytest.raises(Interrupted) as stop:
        fitted("beta_vae", world, callbacks=[averaged(), Cut(at), Checkpoints(folder)])
    found = fitted("beta_vae", world, resume=folder / "last.ckpt", callbacks=[averaged(), Checkpoints(folder)])
    return {**found, "signal": stop.value.signal}


def sharded(name: str, world: int, folder: Path) -> Facts:
    """A run with FSDP, and the weights in its checkpoint."""
    folder = folder / f"{world}-{name}"
    found = fitted(name, world, kind="fsdp", callbacks=[Unsharded(), Checkpoints(folder)])
    return {**found, "saved": torch.load(folder / "last.ckpt")["state_dict"]}


def not_finite(world: int) -> str | None:
    """What every process raises when a term of the last one becomes NaN."""
    data = held(world)
    model = made("beta_vae", data)
    terms = model.terms
    model.terms = lambda batch: terms(batch).weighted(rate=math.nan if model.global_rank == world - 1 else 1.0)
    strategy = _strategy("ddp" if world > 1 else "auto", model)
    try:
        quick_trainer(devices=world, strategy=strategy, log_every_n_steps=1).fit(model, datamodule=data)
    except NotFiniteError as error:
        return str(error)
    return None


def everything(world: int, folder: Path) -> Facts:
    found: Facts = {name: fitted(name, world) for name in MODELS}
    found["averaged"] = fitted("beta_vae", world, callbacks=[averaged()])
    found["early"] = stopped_early(world)
    if world > 1:
        found |= {f"cut {at}": resumed(world, folder, at) for at in CUTS}
        found |= {f"{name}, sharded": sharded(name, world, folder) for name in SHARDED}
    return {**found, "error": not_finite(world)}


def several(world: int, folder: Path) -> Facts:
    return {name: fitted(name, world) for name in SEVERAL}


def process(rank: int, world: int, port: int, folder: Path, work: Callable[[int, Path], Facts]) -> None:
    torch.set_num_threads(1)
    if world > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0}
        fixed = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test", **place}
        os.environ.update({name: str(value) for name, value in fixed.items()})
    torch.save(work(world, folder), folder / f"{world}-{rank}.pt")


def outcomes_of(world: int, folder: Path, work: Callable[[int, Path], Facts]) -> list[Facts]:
    """What one process finds, and then each of ``world`` processes."""
    port = free_port()
    context = multiprocessing.spawn(process, (world, port, folder, work), nprocs=world, join=False)
    try:
        process(0, 1, port, folder, work)
        deadline = time.monotonic() + PATIENCE
        while not context.join(timeout=1):
            assert time.monotonic() < deadline, "the processes wait for one another"
    finally:
        for each in context.processes:
            each.kill()
    return [torch.load(folder / f"{name}.pt") for name in ("1-0", *(f"{world}-{rank}" for rank in range(world)))]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    return outcomes_of(2, tmp_path_factory.mktemp("ddp"), everything)


def assert_same(one: Facts, first: Facts, second: Facts) -> None:
    for key in one["weights"]:
        assert torch.equal(first["weights"][key], second["weights"][key]), f"{key} differs between the processes"
        torch.testing.assert_close(
            first["weights"][key], one["weights"][key], atol=1e-5, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


def assert_same_numbers(one: Facts, first: Facts, second: Facts) -> None:
    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one["metrics"], rel=1e-4, abs=1e-5)
    assert first["report"] == second["report"]
    assert first["report"].keys() == one["report"].keys()
    for key, value in one["report"].items():
        assert first["report"][key] == pytest.approx(value, rel=1e-4, abs=1e-5), key


@pytest.mark.parametrize("name", [*MODELS, "averaged", "early"])
def test_two_processes_train_to_the_weights_of_one(outcomes, name) -> None:
    assert_same(*(outcome[name] for outcome in outcomes))


@pytest.mark.parametrize("name", [*MODELS, "averaged"])
def test_two_processes_measure_what_one_measures(outcomes, name) -> None:
    assert_same_numbers(*(outcome[name] for outcome in outcomes))


def test_early_stopping_stops_every_process_at_the_same_epoch(outcomes) -> None:
    assert [outcome["early"]["epochs"] for outcome in outcomes] == [2, 2, 2]


@pytest.mark.parametrize("at", CUTS)
def test_a_run_cut_on_one_process_resumes_to_the_uninterrupted_one(outcomes, at) -> None:
    for outcome in outcomes[1:]:
        cut = outcome[f"cut {at}"]
        assert cut["signal"] == signal.SIGTERM
        for key, value in outcome["averaged"]["weights"].items():
            assert torch.equal(cut["weights"][key], value), key


@pytest.mark.parametrize("name", SHARDED)
def test_two_processes_that_share_the_weights_train_and_measure_as_one(outcomes, name) -> None:
    """FSDP on CPUs, where all of it works but for the optimizer's state in a checkpoint; it has not run on GPUs."""
    one, *others = outcomes
    facts = [one[name], *(other[f"{name}, sharded"] for other in others)]
    assert_same(*facts)
    assert_same_numbers(*facts)
    for key, value in facts[1]["weights"].items():
        assert torch.equal(facts[1]["saved"][key], value), key


def test_every_process_stops_at_a_term_that_is_not_finite_on_one(outcomes) -> None:
    one, first, second = (outcome["error"] for outcome in outcomes)
    assert one.startswith("loss became nan at batch 1") and second == one
    assert first.startswith("a term of another process is not finite")


@pytest.mark.slow
def test_four_processes_train_and_measure_as_one(tmp_path) -> None:
    one, *others = outcomes_of(4, tmp_path, several)
    for name in SEVERAL:
        for other in others[1:]:
            assert_same(one[name], others[0][name], other[name])
            assert_same_numbers(one[name], others[0][name], other[name])


# -- what is refused ---------------------------------------------------------------------------------------------------


def hardware(*overrides: str) -> Any:
    return compose(["hardware=cpu", *overrides]).hardware


@pytest.mark.parametrize("devices", ["-1", "auto", "[0,1]"])
def test_ddp_on_cpus_needs_a_number_of_processes(devices) -> None:
    with pytest.raises(UsageError, match=r"hardware.devices=.* must be a number of processes, at least 1, on a CPU"):
        check(hardware("hardware.strategy=ddp", f"hardware.devices={devices}"))


def test_ddp_is_refused_on_apple_gpus(monkeypatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for overrides in (["hardware.strategy=ddp"], ["hardware.devices=2"]):
        with pytest.raises(UsageError, match=r"hardware.accelerator=mps: several processes need CUDA GPUs or CPUs"):
            check(hardware("hardware.accelerator=mps", *overrides))


@pytest.mark.parametrize("devices", ["3", "[0,2]"])
def test_more_gpus_than_there_are_are_refused(monkeypatch, devices) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UsageError, match=r"hardware.devices=.*: this machine has 2 usable GPUs"):
        check(hardware("hardware.accelerator=gpu", f"hardware.devices={devices}"))
    check(hardware("hardware.accelerator=gpu", "hardware.devices=[0,1]"))


def test_several_devices_without_a_strategy_are_data_parallel() -> None:
    assert strategy_name(hardware("hardware.devices=2")) == "ddp"
    assert strategy_name(hardware()) == "auto"
    assert strategy_name(OmegaConf.merge(hardware(), {"num_nodes": 2})) == "ddp"


def test_sharding_is_refused_without_cuda_gpus(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"hardware.strategy=fsdp needs CUDA GPUs"):
        check(hardware("hardware.strategy=fsdp"))


@pytest.mark.parametrize("name", ["vae_gan", "stacked_autoencoder"])
def test_sharding_is_refused_for_several_updates(name) -> None:
    with pytest.raises(UsageError, match=r"hardware.strategy=fsdp needs one update of all parameters"):
        _strategy("fsdp", made(name, held(1)))
