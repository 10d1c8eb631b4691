"""A run that is asked to make room saves where it stands, and what had handled the signal before takes over."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from functools import partial
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback
from safetensors.torch import load_file

from tests.conftest import quick_trainer
from vaezoo import runs
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.configs import compose
from vaezoo.data.datamodule import DataModule
from vaezoo.interruption import SIGNALS, Interrupted
from vaezoo.networks import mlp
from vaezoo.train import train
from vaezoo.variants.vae import VAE

PATIENCE = 240  # seconds
TINY = [
    "encoder.hidden=[16]",
    "decoder.hidden=[16]",
    "dataset.val_size=100",
    "trainer.progress_bar=false",
    "hardware=cpu",
    "hardware.threads=1",
    "callbacks.pictures=false",
    "evaluate.k=2",
]


class Signal(Callback):
    """Sends a signal to this process as batch 3 starts."""

    def __init__(self, number: int) -> None:
        self.number = number

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        if pl_module.batches_seen == 3:
            os.kill(os.getpid(), self.number)


def fit(folder: Path, *callbacks: Callback) -> None:
    data = DataModule("digits", batch_size=200)
    data.setup()
    part = {"encoder": partial(mlp.Encoder, hidden=(4,)), "decoder": partial(mlp.Decoder, hidden=(4,))}
    model = VAE(shapes=data.shapes((2,)), **part)
    quick_trainer(callbacks=[*callbacks, Checkpoints(folder)]).fit(model, datamodule=data)


@pytest.fixture
def received():
    """The signals that reach the handlers which were there before the run; they come back afterwards."""
    numbers: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: numbers.append(number)) for number in SIGNALS}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: signal.Signals(number).name)
def test_a_signal_saves_first_and_leaves_the_rest_to_the_handler_before(number, received, tmp_path) -> None:
    with pytest.raises(Interrupted) as stop:
        fit(tmp_path, Signal(number))
    done = torch.load(tmp_path / "last.ckpt")["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]
    assert (stop.value.signal, done, received) == (number, 4, [])
    signal.raise_signal(stop.value.signal)
    assert received == [number]


def test_a_run_that_ends_gives_the_signals_back(received, tmp_path) -> None:
    fit(tmp_path)
    for number in SIGNALS:
        signal.raise_signal(number)
    assert received == list(SIGNALS)


@pytest.mark.parametrize("phase", ["evaluate", "write_pictures"])
def test_a_signal_while_a_run_is_measured_or_drawn_stops_it_and_resume_goes_on(phase, tmp_path, monkeypatch) -> None:
    module = sys.modules["vaezoo.train"]
    usual, config = getattr(module, phase), compose([*TINY, "callbacks.pictures=true", f"run_dir={tmp_path}/run"])

    def stopped(*arguments, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
        pytest.fail("the signal was not heard")

    monkeypatch.setattr(module, phase, stopped)
    with pytest.raises(Interrupted, match="SIGTERM"):
        train(config)
    assert runs.state(tmp_path / "run") == "interrupted"
    monkeypatch.setattr(module, phase, usual)
    done = train(compose([f"resume={tmp_path}/run", "trainer.progress_bar=false"]))
    assert runs.state(done.path) == "finished" and done.results["k"] == 2
    assert (done.path / "pictures" / "samples.png").is_file()


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o007])
@pytest.mark.skipif(sys.platform == "win32", reason="there is no umask")
def test_files_of_a_run_have_the_permissions_of_the_umask(mask, tmp_path) -> None:
    before = os.umask(mask)
    try:
        run = train(compose([*TINY, "trainer.max_epochs=1", "callbacks.pictures=true", f"run_dir={tmp_path}/run"])).path
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in run.rglob("*") if file.is_file()}
    assert {"model.safetensors", "last.ckpt", "results.json", "samples.png", ".lock"} <= modes.keys()
    assert set(modes.values()) == {0o666 & ~mask}, modes


def test_trainers_of_finished_runs_are_freed(tmp_path, monkeypatch) -> None:
    module, made = sys.modules["vaezoo.train"], []
    usual = module._trainer

    def spied(*arguments):
        trainer = usual(*arguments)
        made.extend([weakref.ref(trainer), weakref.ref(trainer.callbacks[-1])])
        return trainer

    monkeypatch.setattr(module, "_trainer", spied)
    for number in range(2):
        options = ["trainer.max_epochs=1", "trainer.ema=0.9", f"run_dir={tmp_path}/{number}"]
        made.append(weakref.ref(train(compose([*TINY, *options])).model))
    gc.collect()
    assert len(made) == 6 and not any(each() for each in made)


def waits_for(done, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, f"no {what} after {PATIENCE} seconds"
        time.sleep(0.02)


def child(pid: int) -> int:
    """The first process that another one started."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def assert_same_weights(one: Path, other: Path) -> None:
    expected = load_file(one / "model.safetensors")
    for name, value in load_file(other / "model.safetensors").items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and finds processes in /proc")
def test_nothing_is_lost_by_kills() -> None:
    script = Path(__file__).parents[1] / "scripts" / "check_kills.py"
    done = subprocess.run([sys.executable, script, "--kills", "10"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the job's process in /proc")
def test_a_preempted_job_of_submitit_is_queued_again_and_continues(tmp_path) -> None:
    """Through Hydra's launcher and submitit's local executor, which handles the signal as its SLURM executor does."""
    pytest.importorskip("submitit")
    settings = [*TINY, "trainer.max_epochs=60"]
    sweep = [*settings, "hardware=slurm_local", f"sweep_dir={tmp_path}/sweep", "seed=0"]
    command = [sys.executable, "-m", "vaezoo", "train", "-m", *sweep]
    with (tmp_path / "console").open("w") as console:
        launcher = subprocess.Popen(command, stdout=console, stderr=subprocess.STDOUT)
        try:
            whole = train(compose([*settings, f"run_dir={tmp_path}/whole"])).path
            waits_for(lambda: list(tmp_path.glob("sweep/*/checkpoints/best.ckpt")), "checkpoint")
            controller = int(next(tmp_path.glob("sweep/.submitit/*/*_submitted.pkl")).parent.name)
            os.kill(child(controller), signal.SIGUSR2)
            waits_for(lambda: launcher.poll() is not None, "end of the sweep")
        finally:
            launcher.kill()
    (job,) = runs.find(tmp_path / "sweep")
    log = "".join(file.read_text() for file in tmp_path.glob("sweep/.submitit/*/*log*"))
    assert "stopped by SIGUSR2" in log and "Requeued job" in log, log
    assert launcher.returncode == 0 and runs.state(job) == "finished"
    assert_same_weights(whole, job)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
def test_data_parallel_run_stops_with_its_code_and_resumes_to_the_uninterrupted_one(tmp_path) -> None:
    vaezoo = [sys.executable, "-m", "vaezoo", "train"]
    settings = [*TINY, "hardware=cpu_ddp", "hardware.devices=2", "trainer.max_epochs=60"]
    assert subprocess.run([*vaezoo, *settings, f"run_dir={tmp_path}/whole"], capture_output=True).returncode == 0
    cut = tmp_path / "cut"
    process = subprocess.Popen([*vaezoo, *settings, f"run_dir={cut}"], stderr=subprocess.PIPE, text=True)
    waits_for((cut / "checkpoints" / "best.ckpt").is_file, "checkpoint")
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + signal.SIGTERM, told
    assert f"stopped by SIGTERM; to continue: vaezoo train resume={cut}" in told
    assert json.loads((cut / "run.json").read_text())["status"] == "interrupted"
    assert subprocess.run([*vaezoo, f"resume={cut}"], capture_output=True).returncode == 0
    assert runs.state(cut) == "finished"
    assert_same_weights(tmp_path / "whole", cut)
