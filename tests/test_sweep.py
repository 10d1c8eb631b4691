"""Sweeps: which jobs run, in which folders, beside each other, again after a crash, and what the exit code says."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from omegaconf import OmegaConf

from vaezoo import choices, cli, configs, identity, registry, runs, settings
from vaezoo.errors import UsageError
from vaezoo.sweep import crew, done, job, slots
from vaezoo.sweep.command import presets
from vaezoo.sweep.composer import Composer
from vaezoo.sweep.metric import optimized_metric

TRAIN = import_module("vaezoo.train")  # `vaezoo.train` is the function
TINY = ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "callbacks.pictures=false", "evaluate.k=0"]
QUICK = ["trainer=debug", *TINY]
# A job without torch: what it does depends on its seed. It keeps the folder's lock as a real one does.
STUB = """
import fcntl, json, os, pathlib, signal, sys, time
place = pathlib.Path(sys.argv[-1][len("run_dir='"):-1])
seed = json.loads((place / "job.json").read_text())["seed"]
lock = open(place / ".lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
record = place / "run.json"
if record.exists() and json.loads(record.read_text())["status"] == "finished": sys.exit()
def tell(status, reason=None):
    record.write_text(json.dumps({"status": status, "reason": reason}))
def stop(number, frame):
    tell("interrupted", "stopped"); sys.exit(128 + number)
signal.signal(signal.SIGTERM, stop)
with open(place / "starts", "a") as file: file.write("x")
(place / "environment.json").write_text(json.dumps(dict(os.environ)))
(place / "arguments.json").write_text(json.dumps(sys.argv))
(place / "config.yaml").write_text("choices: {}\\noverrides: []\\n")
tell("running")
if seed == 7: tell("failed", "ValueError: seven"); sys.exit(1)
if seed == 8: os.kill(os.getpid(), signal.SIGKILL)
if seed == 9: time.sleep(60)
if seed == 6: print("no such module"); os.unlink(record); sys.exit(1)
if seed >= 20: time.sleep(1.0)
(place / "metrics.csv").write_text("step,epoch,val/elbo\\n1,0,-" + str(90 + seed) + "\\n2,1,-" + str(80 + seed) + "\\n")
tell("finished")
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vaezoo"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return tmp_path


@pytest.fixture
def stubs(place, monkeypatch):
    """The pool's jobs are stubs."""
    script = place / "stub.py"
    script.write_text(STUB)
    real = crew.Task.command
    monkeypatch.setattr(crew.Task, "command", lambda task: [sys.executable, "-S", str(script), *real(task)[2:]])
    return place


def vaezoo(*arguments) -> int:
    try:
        return cli.main(arguments)
    except SystemExit as stop:
        return stop.code


def pool(*arguments, slots=4) -> int:
    return vaezoo("train", "-m", "hardware=cpu_pool", f"hardware.slots={slots}", "sweep_dir=all", *arguments)


def folder(seed: int) -> Path:
    return next(Path("all").glob(f"*-seed{seed}-*"))


def starts(seed: int) -> int:
    return len((folder(seed) / "starts").read_text())


# -- identity ----------------------------------------------------------------------------------------------------------


@cache
def name(*overrides) -> str:
    return configs._compose([*overrides]).hydra.sweep.subdir


def test_a_folder_is_named_by_what_a_run_is_and_a_digest_of_it():
    axes, _, digits = name("variant=beta_vae", "likelihood=bernoulli", "seed=3").rpartition("-")
    assert axes == "beta_vae-digits-bernoulli-seed3" and len(digits) == 8 and int(digits, 16) >= 0


@pytest.mark.parametrize(
    "one, other",
    [
        (("variant=beta_vae", "seed=1"), ("seed=1", "variant=beta_vae")),
        (("variant=beta_vae",), ("variant=beta_vae", "variant.beta=4", "latent=20", "encoder=mlp")),
        ((), ("run_dir=x", "sweep_dir=y", "logger=wandb", "callbacks=none", "trainer.progress_bar=false")),
        ((), ("hardware=cpu_pool", "hardware.slots=3", "hardware.workers=2", "dataset.root=/data")),
        (("experiment=vae_mnist",), ("experiment=vae_mnist", "trainer.max_epochs=345")),
    ],
)
def test_the_same_configuration_has_the_same_folder_however_it_is_written(one, other):
    assert name(*one) == name(*other)


@pytest.mark.parametrize(
    "override",
    ["seed=1", "latent=3", "optimizer.lr=2e-3", "hardware.precision=bf16-mixed", "hardware.devices=2", "evaluate.k=3"],
)
def test_another_configuration_has_another_folder(override):
    assert name() != name(override)


def test_one_batch_is_not_all_batches():
    assert name("trainer.limit_train_batches=1") != name("trainer.limit_train_batches=1.0")


def test_an_edited_experiment_has_another_folder(tmp_path, monkeypatch):
    for module in (choices, configs):
        monkeypatch.setattr(module, "plugin_dirs", lambda: {"other": tmp_path})
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    names = []
    for rate in (1e-3, 1e-4, 1e-3):
        file.write_text(f"# @package _global_\noptimizer:\n  lr: {rate}\n")
        names.append(name.__wrapped__("experiment=mine"))
    assert names[0] == names[2] == name() != names[1]


def test_the_identity_of_a_recorded_run_is_that_of_its_folder():
    config = configs.compose(["variant=beta_vae"])
    plain = OmegaConf.to_container(OmegaConf.create(OmegaConf.to_yaml(config, resolve=True)))
    assert identity.folder_name(plain, plain["choices"]) == name("variant=beta_vae")


# -- one job -----------------------------------------------------------------------------------------------------------


def config_of(place: Path, *overrides):
    config = configs.compose([*TINY, "trainer.max_epochs=2", "trainer.progress_bar=false", *overrides])
    config.run_dir = str(place)
    return config


def test_a_finished_job_gives_its_result_again_and_does_not_train(place, monkeypatch):
    value = job.run_once(config_of(place / "a"))
    assert runs.state("a") == "finished"
    losses = [-elbo for elbo in runs.read("a").columns["val/elbo"] if elbo is not None]
    assert value == min(losses) and len(losses) == 2
    assert json.loads(Path("a/job.json").read_text())["choices"]["variant"] == "vae"
    monkeypatch.setattr(TRAIN, "fill", None)
    assert job.run_once(config_of(place / "a")) == value


def test_an_interrupted_job_continues_and_ends_as_one_that_was_not(place, monkeypatch):
    from vaezoo.callbacks.checkpoints import Checkpoints
    from vaezoo.interruption import Interrupted

    job.run_once(config_of(place / "whole"))
    start = Checkpoints.on_train_start
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_train_start", lambda *a: (start(*a), os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(Interrupted):
            job.run_once(config_of(place / "cut"))
    assert runs.state("cut") == "interrupted"
    job.run_once(config_of(place / "cut"))
    assert runs.state("cut") == "finished"
    assert Path("cut/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


def test_a_checkpoint_of_another_configuration_is_not_continued(place, monkeypatch):
    continued = []
    job.run_once(config_of(place / "a"))
    job.note(place / "a", status="failed")
    monkeypatch.setattr(TRAIN, "fill", lambda config, checkpoint: continued.append(checkpoint))
    job.run_once(config_of(place / "a"))
    job.run_once(config_of(place / "a", "optimizer.lr=1e-2"))
    assert continued == [str(place / "a" / "checkpoints" / "last.ckpt"), None]
    assert not Path("a/checkpoints").exists()


def test_a_finished_run_of_another_configuration_is_not_overwritten(place):
    Path("a").mkdir()
    OmegaConf.save(configs.compose([*TINY, "seed=1"]), "a/config.yaml", resolve=True)
    job.note(Path("a"), status="finished")
    with pytest.raises(UsageError, match="holds a finished run of another configuration"):
        job.run_once(config_of(place / "a"))


@pytest.mark.parametrize(
    "error, said",
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
            "2.00 GiB: try a smaller dataset.b",
        ),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "try a smaller dataset.batch_size"),
        (ValueError("first\nlast"), "last"),
        (UsageError("posterior=none does not fit"), "posterior=none does not fit"),
    ],
)
def test_a_job_that_raises_says_why_in_one_line(place, monkeypatch, error, said):
    def fill(config, checkpoint):
        raise error

    monkeypatch.setattr(TRAIN, "fill", fill)
    with pytest.raises(job.JobFailed):
        job.run_once(config_of(place / "a"))
    found = runs.read("a")
    assert found.state == "failed" and said in found.reason and "\n" not in found.reason


def test_runs_of_a_sweep_are_one_group_in_wandb(place, monkeypatch):
    seen = []
    monkeypatch.setattr(TRAIN, "fill", lambda config, checkpoint: seen.append(config.logger.group))
    job.run_once(config_of(place / "mine" / "a", "logger=wandb"))
    job.run_once(config_of(place / "mine" / "b", "logger=wandb", "logger.group=given"))
    assert seen == ["mine", "given"]


@pytest.mark.parametrize(
    "text, value",
    [
        ("step,epoch,val/elbo,val/distortion\n1,0,-90,80\n2,1,-85,70\n3,2,-88,60\n", 85),
        ("step,epoch,val/distortion,val/loss\n1,0,80,3\n2,1,,\n3,1,nan,1\n", 80),
        ("step,epoch,val/loss\n1,0,0.5\n", 0.5),
        ("step,epoch,train/loss\n1,0,0.5\n", None),
    ],
)
def test_the_metric_is_the_best_bound_else_the_best_distortion_else_the_best_loss(tmp_path, text, value):
    (tmp_path / "metrics.csv").write_text(text)
    assert optimized_metric(tmp_path) == value


def test_the_basic_launcher_goes_on_after_a_job_that_raises(place, capfd):
    assert vaezoo("train", "-m", *QUICK, "sweep_dir=all", "posterior=none,diagonal") == 1
    error = capfd.readouterr().err
    assert (
        "failed: all/vae-digits-" in error
        and "posterior=none does not fit variant=vae" in error
        and "1 of 2 jobs" in error
    )
    assert sorted(runs.state(path) for path in runs.find("all")) == ["failed", "finished"]


def test_a_sweep_without_a_pool_says_what_it_does(place, capfd):
    assert vaezoo("train", "-m", *QUICK, "sweep_dir=all", "seed=0,1", "posterior=diagonal,none") == 1
    out, error = capfd.readouterr()
    names = [folder.name for folder in Path("all").iterdir() if folder.is_dir()]
    lines = [line for line in out.splitlines() if " of 4 " in line]
    assert (
        out.startswith("4 jobs in ") and len(lines) == 8 and all(any(name in line for name in names) for line in lines)
    )
    assert [line.split()[0] for line in lines] == ["1", "1", "2", "2", "3", "3", "4", "4"]
    ends = lines[1::2]
    assert (
        sum("best -ELBO" in line for line in ends)
        == sum("failed: posterior=none does not" in line for line in ends)
        == 2
    )
    assert all(", about 0:" in line for line in ends[:-1]) and "to go" not in ends[-1]
    assert "2 failed, 2 finished" in out and "best -ELBO" in out.splitlines()[-7]  # the pool's table
    assert "encoder.hidden" not in out + error and "#0" not in out + error  # no override strings


def test_what_a_cut_sweep_never_started_is_queued(place, monkeypatch, capfd):
    started = []

    def fill(config, checkpoint):
        started.append(config.seed)
        if len(started) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(TRAIN, "fill", fill)
    assert vaezoo("train", "-m", *QUICK, "sweep_dir=all", "seed=range(6)") == 130
    capfd.readouterr()
    assert started == [0, 1] and vaezoo("sweep", "status", "all") == 0
    assert "6 jobs in all: 6 queued" in capfd.readouterr().out  # the stub leaves no run.json


def test_other_launchers_leave_the_plan_too(place, monkeypatch):
    monkeypatch.setattr(BasicLauncher, "launch", lambda *args, **options: [])
    assert vaezoo("train", "-m", *QUICK, "sweep_dir=all", "seed=0,1,2", "hydra/launcher=basic") == 0
    assert sorted(job.queued(path)["seed"] for path in runs.find("all")) == [0, 1, 2]


# -- the pool ----------------------------------------------------------------------------------------------------------


def test_a_widened_sweep_trains_only_what_is_new(stubs, capfd):
    assert pool("seed=0,1") == 0
    assert pool("seed=1,2,0") == 0
    assert [starts(seed) for seed in (0, 1, 2)] == [1, 1, 1]
    out = capfd.readouterr().out
    assert "2 of 3 jobs in all are finished\njob 1 " in out and "81.00" in out


def test_a_finished_job_is_known_without_its_configuration_until_an_option_changes(stubs, monkeypatch, capfd):
    assert pool("seed=0,1") == 0
    composed = []
    compose = Composer.load_sweep_config
    monkeypatch.setattr(Composer, "load_sweep_config", lambda *args: composed.append(args[2]) or compose(*args))
    assert pool("seed=0,1") == 0
    assert "2 of 2 jobs in all are finished" in capfd.readouterr().out and not composed
    assert pool("seed=0,1,2") == 0
    checked = len(composed) - 1  # the new job is composed
    composed.clear()
    monkeypatch.setattr(done, "options_stamp", lambda: "an option was edited")
    monkeypatch.setattr(job, "options_stamp", lambda: "an option was edited")
    assert pool("seed=0,1") == 0
    assert len(composed) == checked + 2 and checked  # checked again, and both jobs composed
    assert "2 finished before" in capfd.readouterr().out and [starts(seed) for seed in (0, 1)] == [1, 1]
    assert all(json.loads((folder(seed) / "job.json").read_text())["options"][:2] == "an" for seed in (0, 1))


def test_a_preset_that_is_finished_is_known_without_torch(stubs, conf_of_presets):
    line = ["sweep=mine", "hardware=cpu_pool", "hardware.slots=4"]
    conf_of_presets(lines="['seed=1,2', 'seed=1 latent=3', 'seed=2']")
    assert done.all_over(line) is None
    assert vaezoo("train", "-m", *line) == 0
    assert done.all_over(line) == "3 of 3 jobs in all are finished"
    assert done.all_over([*line, "seed=7"]) is None
    assert done.all_over([*line, "hydra/sweeper=basic"]) is None
    assert done.all_over(["sweep=no_such_preset"]) is None
    assert done.all_over(["variant=glob(*)"]) is None


def test_a_configuration_from_elsewhere_is_always_composed(stubs):
    assert pool("seed=0") == 0
    master = OmegaConf.create({"hydra": {"runtime": {"config_sources": [{"provider": "main"}]}}})
    (known,) = done.over("all", master)
    assert known == ("hardware=cpu_pool", "seed=0")
    master.hydra.runtime.config_sources.append({"provider": "command-line"})
    assert done.over("all", master) == set()


def test_of_whole_numbers_the_ends_are_checked():
    assert configs._telling(["seed=3", "seed=-1", "seed=7", "seed=0"]) == ["seed=-1", "seed=7"]
    assert configs._telling(["seed=3"]) == ["seed=3"]
    words = ["variant=vae", "variant=iwae", "variant=beta_vae"]
    assert configs._telling(words) == words


def test_jobs_that_fail_in_any_way_harm_no_others_and_are_told_at_the_end(stubs, capfd):
    assert pool("seed=0,6,7,8,1") == 1
    assert [runs.state(folder(seed)) for seed in (0, 6, 7, 8, 1)] == ["finished", *["failed"] * 3, "finished"]
    error = capfd.readouterr().err
    for seed, reason in ((6, "no such module"), (7, "ValueError: seven"), (8, "killed by SIGKILL; if memory ran out")):
        assert f"failed: {folder(seed)}: {reason}" in error
    assert "error: 3 of 5 jobs did not finish" in error


def test_status_tells_the_states_and_retry_runs_what_did_not_finish(stubs, capfd):
    pool("seed=0,7")
    capfd.readouterr()
    assert vaezoo("sweep", "status", "all") == 0
    out = capfd.readouterr().out
    assert out.startswith("2 jobs in all: 1 finished, 1 failed\n") and f"{folder(7)}: ValueError: seven" in out
    stub = stubs / "stub.py"
    stub.write_text(STUB.replace("seed == 7", "False"))
    assert vaezoo("sweep", "retry", "all", "optimizer.lr=1") == 2
    assert "its configuration has changed" in capfd.readouterr().err
    assert vaezoo("sweep", "retry", "all") == 0
    assert [starts(0), starts(7)] == [1, 2] and runs.state(folder(7)) == "finished"
    assert vaezoo("sweep", "retry", "all") == 0
    assert "holds no job that did not finish" in capfd.readouterr().out and starts(7) == 2


def tasks(*seeds) -> list[crew.Task]:
    made = [crew.Task(Path(f"all/x-seed{seed}-x").absolute(), [f"seed={seed}"], [], {}, seed, 2) for seed in seeds]
    for task in made:
        job.queue(task.place, task.overrides, task.choices, task.seed)
    return made


def work(made: list[crew.Task], number: int = 2) -> list[str]:
    crew.Crew(made, [slots.Slot(k, {}) for k in range(number)], lambda: None).work()
    return [task.state for task in made]


def test_two_launchers_at_once_start_each_job_once(stubs):
    seeds = range(20, 24)
    other = tasks(*seeds)
    thread = threading.Thread(target=work, args=(other, 1))
    thread.start()
    assert work(tasks(*seeds), 1) == ["finished"] * 4
    thread.join()
    assert [task.state for task in other] == ["finished"] * 4
    assert [starts(seed) for seed in seeds] == [1] * 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_jobs_and_is_the_exit_code(stubs, number):
    def send():
        while not list(stubs.glob("all/*/run.json")):
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    with pytest.raises(SystemExit) as stop:
        work(tasks(9, 10), 1)
    assert stop.value.code == 128 + number
    assert runs.state(folder(9)) == "interrupted" and runs.state(folder(10)) == "queued"


def test_what_another_process_fills_is_waited_for(stubs):
    """An orphan of a launcher that was killed finishes its job, and nobody starts it again."""
    (task,) = tasks(20)
    orphan = subprocess.Popen([sys.executable, "-S", "stub.py", f"run_dir='{task.place}'"])
    while not (task.place / "run.json").exists():
        time.sleep(0.02)
    assert work([task]) == ["finished"] and task.metric == 100
    assert orphan.wait() == 0 and starts(20) == 1


def test_jobs_get_their_slot_and_say_what_they_are(stubs, monkeypatch):
    monkeypatch.setattr(slots, "cores", lambda: 6)
    assert pool("seed=1", "hardware.devices=2", slots=1) == 0
    environment = json.loads((folder(1) / "environment.json").read_text())
    assert environment["CUDA_VISIBLE_DEVICES"] == "" and environment["OMP_NUM_THREADS"] == "3"
    about = json.loads((folder(1) / "job.json").read_text())
    assert "seed=1" in about["overrides"] and about["seed"] == 1 and about["choices"]["variant"] == "vae"
    assert (folder(1) / "console.txt").is_file()
    assert "hardware.strategy=ddp" in json.loads((folder(1) / "arguments.json").read_text())


def hardware(**options):
    return settings.Hardware(accelerator="gpu", **options)


def test_gpus_are_shared_out_one_per_job_or_several(monkeypatch):
    monkeypatch.setattr(slots, "visible_gpus", lambda: ["0", "1", "4", "5"])
    monkeypatch.setattr(slots, "cores", lambda: 8)
    visible = lambda **given: [s.environment["CUDA_VISIBLE_DEVICES"] for s in slots.slots(hardware(**given))]  # noqa: E731
    assert visible() == ["0", "1", "4", "5"]
    assert visible(devices=2) == ["0,1", "4,5"]
    assert visible(devices=3) == ["0,1,4"]
    assert visible(slots=6) == ["0", "1", "4", "5", "0", "1"]
    assert slots.slots(hardware(devices=2))[0].environment["OMP_NUM_THREADS"] == "2"
    with pytest.raises(UsageError, match="more than the 4 visible GPUs"):
        slots.slots(hardware(devices=5))
    monkeypatch.setattr(slots, "visible_gpus", list)
    with pytest.raises(UsageError, match="no usable GPU"):
        slots.slots(hardware())


def test_visible_gpus_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert slots.visible_gpus() == ["3", "5"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert slots.visible_gpus() == ["0", "1"]


# -- guards and presets ------------------------------------------------------------------------------------------------


def test_ddp_is_refused_in_a_sweep_before_a_job_starts_but_in_the_pool(place, capfd):
    assert vaezoo("train", "-m", *QUICK, "seed=0,1", "hardware=cpu_ddp") == 2
    assert "needs hardware=local_gpus" in capfd.readouterr().err and list(place.iterdir()) == []
    assert configs.check_sweep(["seed=0,1", "hardware=cpu_ddp", "hydra/launcher=pool"]) == Path("sweeps/default")


@pytest.mark.parametrize(
    "options, gpus, refused",
    [
        ({"accelerator": "cpu", "devices": 2}, 0, True),
        ({"accelerator": "gpu", "devices": "auto"}, 2, True),
        ({"accelerator": "gpu", "devices": "auto"}, 1, False),
        ({"accelerator": "gpu", "devices": [1]}, 2, False),
        ({"accelerator": "cpu", "devices": "auto"}, 2, False),
        ({"accelerator": "gpu", "num_nodes": 2}, 1, True),
    ],
)
def test_only_jobs_of_several_processes_are_refused(monkeypatch, options, gpus, refused):
    monkeypatch.setattr(slots, "visible_gpus", lambda: ["0", "1"][:gpus])
    slots.check_processes(settings.Hardware(**options), "hydra_plugins.vaezoo.Pool")
    with pytest.raises(UsageError) if refused else nullcontext():
        slots.check_processes(settings.Hardware(**options), "hydra._internal.core_plugins.basic_launcher.BasicLauncher")


def test_resume_is_refused_in_a_sweep():
    with pytest.raises(UsageError, match="resume continues one run"):
        configs.check_sweep(["seed=0,1", "resume=x"])


def test_the_command_line_wins_over_a_preset():
    assert configs.check_sweep(["sweep=beta", "variant.beta=3", "sweep_dir=x", "hardware=cpu_pool"]) == Path("x")
    for launcher in ("cpu_pool", "local_gpus"):
        sweep = configs._compose(["sweep=beta", f"hardware={launcher}"])
        assert sweep.hydra.launcher._target_ == "hydra_plugins.vaezoo.Pool"


@pytest.mark.parametrize("preset", [pytest.param(p, marks=[pytest.mark.slow] * (p != "beta")) for p in presets()])
def test_every_job_of_a_preset_composes(preset):
    assert configs.check_sweep([f"sweep={preset}"]) == Path("sweeps") / preset


def test_the_values_of_a_preset_are_checked(conf_of_presets):
    conf_of_presets(params="{variant.beta: '1,abc'}")
    with pytest.raises(UsageError, match=r"variant\.beta=abc: expected a number"):
        configs.check_sweep(["sweep=mine", "variant=beta_vae"])
    conf_of_presets(lines="[seed=1, 'variant=beta_vea seed=2']")
    with pytest.raises(UsageError, match="did you mean 'beta_vae'"):
        configs.check_sweep(["sweep=mine"])


@pytest.fixture
def conf_of_presets(tmp_path, monkeypatch):
    """Writes the preset ``mine``."""
    for module in (choices, configs):
        monkeypatch.setattr(module, "plugin_dirs", lambda: {"other": tmp_path / "conf"})

    def write(**sweeper):
        file = tmp_path / "conf" / "sweep" / "mine.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        values = "".join(f"    {key}: {value}\n" for key, value in sweeper.items())
        file.write_text(f"# @package _global_\n# Mine\nsweep_dir: all\nhydra:\n  sweeper:\n{values}")

    return write


def test_products_run_side_by_side_and_the_command_line_wins(stubs, conf_of_presets):
    conf_of_presets(lines="['seed=1,2', 'seed=1 latent=3', 'seed=2']")
    assert vaezoo("sweep", "mine", "hardware=cpu_pool", "optimizer=adamw") == 0
    about = [json.loads(file.read_text()) for file in Path("all").glob("*/job.json")]
    assert sorted((a["seed"], "latent=3" in a["overrides"], a["choices"]["optimizer"]) for a in about) == [
        (1, False, "adamw"),
        (1, True, "adamw"),
        (2, False, "adamw"),
    ]


def test_sweep_help_lists_the_presets(capsys):
    assert cli.main(["sweep", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out and about and about in out for name, about in presets().items())
    assert cli.main(["sweep", "zo"]) == 2
    assert "there is no preset 'zo'; did you mean 'zoo'?" in capsys.readouterr().err


def test_status_does_not_import_torch(tmp_path):
    job.queue(tmp_path / "a", [], {}, 0)
    code = "import sys; from vaezoo.cli import main; main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, "sweep", "status", str(tmp_path)]).returncode == 0


# -- real processes ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_survives_the_death_of_a_job_and_of_its_launcher(place):
    """Both are killed, the sweep is started again, and every folder holds the run that was not disturbed."""
    environment = {**os.environ, "PYTHONPATH": str(registry.PACKAGE.parent)}
    jobs = [*TINY, "seed=0,1", "trainer.max_epochs=200"]
    command = [sys.executable, "-m", "vaezoo", "train", "-m", *jobs, "hardware=cpu_pool", "hardware.slots=2"]

    def start(where):
        return subprocess.Popen([*command, f"sweep_dir={where}"], env=environment)

    launcher = start("all")
    while sum(runs.state(file.parent) == "running" for file in place.glob("all/*/metrics.csv")) < 2:
        assert launcher.poll() is None
        time.sleep(0.2)
    os.kill(_children(launcher.pid)[0], signal.SIGKILL)
    os.kill(launcher.pid, signal.SIGKILL)
    launcher.wait()
    while (states := sorted(runs.state(path) for path in runs.find(place / "all")))[0] != "dead":
        assert states == ["running", "running"]  # until the system has cleared the process away
    assert states[1] in ("running", "finished")  # the other job goes on by itself
    assert start("all").wait() == 0
    assert start("whole").wait() == 0
    assert [runs.state(path) for path in runs.find(place)] == ["finished"] * 4
    for path in runs.find(place / "all"):
        whole = place / "whole" / path.name / "model.safetensors"
        assert (path / "model.safetensors").read_bytes() == whole.read_bytes()


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
