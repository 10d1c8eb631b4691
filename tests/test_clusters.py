"""SLURM, Ray and Optuna as far as one machine can try them, and the rule that ends hopeless runs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.synthetic import synthetic_run
from vaezoo import configs, describe, runs
from vaezoo.callbacks.prune import Prune, best_until
from vaezoo.configs import compose
from vaezoo.errors import UsageError
from vaezoo.sweep import command
from vaezoo.sweep.plugins import EXTRAS, check_plugin
from vaezoo.sweep.study import searched, summary
from vaezoo.yaml_page import entries, headline

ROOT = Path(__file__).parents[1]
TINY = [
    *("dataset=digits", "encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "evaluate.k=0", "callbacks=none"),
    *("trainer.max_epochs=1", "trainer.limit_train_batches=1", "trainer.progress_bar=false", "hardware.threads=1"),
]


def has(package: str) -> bool:
    """Whether a plugin of Hydra is installed."""
    try:
        return importlib.util.find_spec(f"hydra_plugins.{package}") is not None
    except ModuleNotFoundError:
        return False


needs_submitit = pytest.mark.skipif(not has("hydra_submitit_launcher"), reason="needs pip install 'vaezoo[sweep]'")
needs_optuna = pytest.mark.skipif(not has("hydra_optuna_sweeper"), reason="needs pip install 'vaezoo[optuna]'")


def vaezoo(*arguments: str, code: int = 0) -> str:
    """What a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", "vaezoo", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


# -- launchers ---------------------------------------------------------------------------------------------------------


def launcher(*overrides: str) -> dict:
    """The resolved node ``hydra.launcher``."""
    from omegaconf import OmegaConf

    from vaezoo.configs import _compose

    config = _compose(["run_dir=r", *overrides])
    return OmegaConf.to_container(config.hydra.launcher, resolve=True)


@needs_submitit
def test_one_key_gives_a_slurm_job_its_processes_and_gpus():
    node = launcher("hardware=slurm", "hardware.devices=4", "hardware.num_nodes=2", "sweep_dir=s")
    assert node["_target_"].endswith("SlurmLauncher")
    assert (node["gpus_per_node"], node["tasks_per_node"], node["nodes"]) == (4, 4, 2)
    assert compose(["hardware=slurm", "hardware.devices=4"]).hardware.devices == 4


@needs_submitit
def test_a_slurm_job_on_cpus_asks_for_no_gpu():
    assert launcher("hardware=slurm", "hardware.accelerator=cpu", "sweep_dir=s")["gpus_per_node"] is None


@needs_submitit
def test_the_batch_script_asks_slurm_for_all_of_it(tmp_path, monkeypatch):
    from submitit.slurm.slurm import SlurmExecutor

    node = launcher("hardware=slurm", "hydra.launcher.partition=long", f"sweep_dir={tmp_path}")
    monkeypatch.setattr("shutil.which", lambda name: name)
    executor = SlurmExecutor(tmp_path, max_num_timeout=node["max_num_timeout"])
    names = ("partition", "gpus_per_node", "nodes", "cpus_per_task", "signal_delay_s")
    executor.update_parameters(
        time=node["timeout_min"], ntasks_per_node=node["tasks_per_node"], **{k: node[k] for k in names}
    )
    text = executor._make_submission_file_text("run", "1")
    for line in ("partition=long", "gpus-per-node=1", "ntasks-per-node=1", "time=240", "signal=USR2@120"):
        assert f"#SBATCH --{line}\n" in text


@needs_submitit
@pytest.mark.slow
def test_submitit_runs_jobs_once(tmp_path):
    command = ["train", "-m", "hardware=slurm_local", *TINY, "seed=0,1", f"sweep_dir={tmp_path}"]
    vaezoo(*command)
    found = runs.find(tmp_path)
    assert [runs.state(path) for path in found] == ["finished", "finished"]
    written = [(path / runs.RECORD).stat().st_mtime_ns for path in found]
    vaezoo(*command)
    assert [(path / runs.RECORD).stat().st_mtime_ns for path in found] == written


@pytest.mark.parametrize("option", EXTRAS)
def test_a_missing_plugin_is_told_with_the_command_that_installs_it(option):
    group, _, name = option.rpartition("/")
    with pytest.raises(UsageError, match=rf"^{group}={name} .*pip install 'vaezoo\[{EXTRAS[option]}\]'$"):
        check_plugin(option)


@pytest.mark.skipif(has("hydra_ray_launcher"), reason="hydra-ray-launcher is installed")
def test_hardware_ray_without_ray_is_refused_in_a_sentence():
    with pytest.raises(UsageError, match=r"pip install 'vaezoo\[ray\]'"):
        compose(["hardware=ray"])


def test_show_hardware_explains_every_option():
    page = describe.page("hardware")
    for file in (ROOT / "conf" / "hardware").glob("*.yaml"):
        assert headline(file.read_text()), file
        assert f"hardware={file.stem} " in page
    assert "hydra.launcher.partition" in page


def test_the_comments_of_a_yaml_file_are_read_by_key():
    text = "# @package _global_\n# what it is\na:\n  b: 1 # why\n  c: x#y\nhardware:\n  d: [1, 2]\n"
    assert headline(text) == "what it is"
    assert entries(text) == {
        "a": ("", ""),
        "a.b": ("1", "why"),
        "a.c": ("x#y", ""),
        "hardware": ("", ""),
        "d": ("[1, 2]", ""),
    }


# -- search ------------------------------------------------------------------------------------------------------------


@needs_optuna
def test_a_search_goes_on_with_the_trial_that_was_cut(tmp_path):
    import optuna

    from vaezoo.sweep.study import take_up

    storage = f"sqlite:///{tmp_path}/study.db"
    assert take_up("s", storage, "minimize") == (0, 0)
    study = optuna.load_study("s", storage)
    done, cut = study.ask(), study.ask()
    for trial in (done, cut):
        trial.suggest_float("lr", 1e-4, 1e-2, log=True)
    study.tell(done, 1.0)
    assert take_up("s", storage, "minimize") == (1, 2)
    assert optuna.load_study("s", storage).ask().suggest_float("lr", 1e-4, 1e-2, log=True) == cut.params["lr"]
    assert take_up("s", storage, "minimize") == (1, 3)


@needs_optuna
def test_a_parameter_that_a_variant_does_not_have_can_be_left_out(capsys):
    search = ["sweep=optuna", "variant=beta_vae", "variant.beta=interval(1,8)"]
    with pytest.raises(UsageError, match=r"variant\.warmup is not an option .*; '~variant\.warmup' leaves it out"):
        configs.check_sweep(search)
    asked = []
    words = ["optuna", *search[1:], "~variant.warmup"]
    assert command.main(words, lambda given: asked.append(given) or 0) == 0
    assert configs.check_sweep(asked[0][1:]) == Path("sweeps/optuna")
    with pytest.raises(UsageError, match=r"sweep=optuna does not search latnt; did you mean 'latent'\?"):
        command.main(["optuna", "~latnt"], lambda given: 0)
    assert searched({"latent": "choice(2,4)", "variant.warmup": "choice(0,1)"}, ["variant.warmup"]) == {
        "latent": "choice(2,4)"
    }


def test_a_search_names_its_pruned_trials_and_the_best_run(tmp_path):
    for name, state, elbo in (("a", "finished", -90.0), ("b", "pruned", -95.0), ("c", "finished", -80.0)):
        place = synthetic_run(tmp_path / name, state=state, reason="it was worse" if state == "pruned" else None)
        (place / runs.METRICS).write_text(f"step,epoch,val/elbo\n1,0,{elbo}\n")
    synthetic_run(tmp_path / "d", state="failed", reason="ValueError: no")
    lines = summary(tmp_path).splitlines()
    assert lines[0] == "4 trials: 2 finished, 1 failed, 1 pruned"
    assert lines[1] == f"pruned: {tmp_path / 'b'}: it was worse"
    assert lines[2].startswith(f"best: {tmp_path / 'c'}: -ELBO 80.00 (") and "variant=vae" in lines[2]


@needs_optuna
@pytest.mark.slow
def test_a_second_start_of_a_search_trains_only_what_is_missing(tmp_path):
    command = ["train", "-m", "sweep=optuna", *TINY[:2], *TINY[4:], f"sweep_dir={tmp_path}"]
    vaezoo(*command, "hydra.sweeper.n_trials=1")
    (first,) = runs.find(tmp_path)
    before = (first / runs.RECORD).stat().st_mtime_ns
    printed = vaezoo(*command, "hydra.sweeper.n_trials=2")
    assert len(runs.find(tmp_path)) == 2
    assert "2 trials: 2 finished" in printed and f"best: {tmp_path}/vae-" in printed
    assert (first / runs.RECORD).stat().st_mtime_ns == before


# -- the median rule ---------------------------------------------------------------------------------------------------


def sibling(folder: Path, name: str, elbos: list[float], dataset: str = "digits", epochs: int = 10) -> Path:
    """A run folder with a curve and nothing else."""
    path = folder / name
    path.mkdir()
    choices = {"dataset": dataset, "likelihood": "bernoulli"}
    config = {"choices": choices, "trainer": {"max_epochs": epochs}, "overrides": []}
    (path / runs.CONFIG).write_text(json.dumps(config))
    lines = [f"{10 * epoch},{epoch},{elbo}" for epoch, elbo in enumerate(elbos)]
    (path / runs.METRICS).write_text("\n".join(["step,epoch,val/elbo", *lines, ""]))
    return path


def judge(folder: Path, elbos: list[float], **options) -> int | None:
    """The epoch after which a run with this curve ends; None if it goes on."""
    own = sibling(folder, "own", [])
    prune = Prune(own, 10, **{"after": 0.2, "siblings": 3, **options})
    strategy = SimpleNamespace(broadcast=lambda value: value)
    trainer = SimpleNamespace(state=SimpleNamespace(fn="fit"), strategy=strategy, loggers=[], should_stop=False)
    model = SimpleNamespace(stage_index=0, stages=[None])
    for trainer.current_epoch, elbo in enumerate(elbos):
        trainer.callback_metrics = {"val/elbo": elbo}
        prune.on_validation_end(trainer, model)
        if trainer.should_stop:
            assert prune.reason
            return trainer.current_epoch + 1
    return None


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three siblings whose best values after two epochs are -100, -90 and -80."""
    for name, curve in {"a": [-120, -100, -95], "b": [-90, -99, -89], "c": [-130, -80, -70]}.items():
        sibling(tmp_path, name, curve)
    return tmp_path


def test_a_run_worse_than_the_median_of_the_running_bests_ends(three):
    assert judge(three, [-150, -91, -60]) == 2


def test_a_run_as_good_as_the_median_goes_on(three):
    assert judge(three, [-150, -90, -89]) is None


def test_the_best_of_a_run_counts_and_not_its_last(three):
    assert judge(three, [-85, -300]) is None


def test_no_run_ends_before_its_share_of_the_epochs(three):
    assert judge(three, [-500, -500, -500], after=0.3) == 3


def test_no_run_ends_without_enough_siblings(three):
    assert judge(three, [-500, -500, -500], siblings=4) is None


def test_runs_of_other_data_or_other_length_are_no_siblings(three):
    sibling(three, "d", [-10, -10], dataset="mnist")
    sibling(three, "e", [-10, -10], epochs=20)
    assert judge(three, [-500, -500, -500], siblings=4) is None


def test_siblings_that_have_not_come_as_far_do_not_count(three):
    assert best_until(three / "a", 2) == -95
    assert best_until(three / "a", 3) is None
    assert judge(three, [-80, -80, -80, -500]) is None


@pytest.mark.parametrize("value", ["{share:0.5}", "{after:2}", "{siblings:0}", "4"])
def test_prune_refuses_what_it_does_not_know(value):
    with pytest.raises(UsageError, match=r"trainer\.prune"):
        compose([f"trainer.prune={value}"])


def test_a_pruned_run_is_recorded_as_such_and_not_run_again(tmp_path):
    for name in "ab":
        sibling(tmp_path, name, [1e6] * 10)
    for path in tmp_path.iterdir():  # as the run below
        text = (path / runs.CONFIG).read_text().replace("bernoulli", "discretised_logistic")
        (path / runs.CONFIG).write_text(text)
    own = [f"run_dir={tmp_path}/own", "hardware=cpu", "trainer.max_epochs=10", "trainer.prune={after:0,siblings:2}"]
    (tmp_path / "own").mkdir()
    config = compose([*TINY[:6], *TINY[7:], "evaluate.k=5", *own])
    from vaezoo.sweep.job import run_once

    value = run_once(config)
    found = runs.read(tmp_path / "own")
    assert found.state == "pruned"
    assert "median of 2 siblings 1000000.00" in found.reason
    assert found.record["epochs"] == 1
    assert value == -best_until(found.path, 0)
    written = (found.path / runs.RECORD).stat().st_mtime_ns
    assert run_once(config) == value
    assert (found.path / runs.RECORD).stat().st_mtime_ns == written
