"""Mistakes of every kind: one line that names the key, the value and what is allowed, before any work starts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import vaezoo
from vaezoo import cli, configs, construction, registry
from vaezoo.build import build
from vaezoo.choices import CONFIG_DIR
from vaezoo.command_line import environment
from vaezoo.errors import UsageError

QUICK = ["trainer=debug", "encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "callbacks=none", "logger=none"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(CONFIG_DIR, raising=False)
    return tmp_path


@pytest.fixture
def experiment(folder):
    """Writes ``conf/experiment/x.yaml`` into the working folder."""

    def write(content):
        file = folder / "conf" / "experiment" / "x.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    return write


def refusal(*words):
    """The message of the refused words, which is one line."""
    with pytest.raises(UsageError) as caught:
        vaezoo.compose(words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "words, message",
    [
        ("variant=null", "variant=null is unknown (options: "),
        ("variant=1", "variant=1 is unknown (options: "),
        ("variant={a:1}", "variant={'a': 1} is unknown"),
        ("hydra=1", "hydra cannot be set as a whole (hydra=1"),
        ("~variant", "variant cannot be removed (~variant; options: "),
        (f"variant={'q' * 5000}", "... is unknown (options: "),
        (f"{'q' * 5000}=1", "a key has at most 200 characters"),
        ("variant=beta_vae variant.beta=nan", "variant.beta=nan must be a finite number"),
        ("optimizer.lr=inf", "optimizer.lr=inf must be a finite number"),
        ("optimizer.args={x:-inf}", "optimizer.args.x=-inf must be a finite number"),
        ("dataset.batch_size=1" + "0" * 30, "must be below 2**63 in size"),
        ("seed=4294967296", "seed=4294967296 must be from 0 to 4294967295"),
        ("seed=99999999999", "seed=99999999999 must be from 0 to 4294967295"),
        ("hardware.threads=100000", "hardware.threads=100000 must be from 1 to 4096, or null"),
        ("run_dir=null", "run_dir=null must be a path"),
        ("run_dir=[1]", "run_dir=[1] must be a path"),
        ("resume=''", "resume='' must be a path, or null"),
        ("run_dir=a,b", """a name with a comma is quoted: 'run_dir="a,b"'"""),
        ("dataset.val_size=0", "dataset.val_size=0: must be at least 1"),
        ("dataset=arrays dataset.path=x.npz seeed=1", "seeed is not an option; did you mean 'seed'?"),
        ("dataset=arrays dataset.path=x.npz seed=${oc.env:NOPE}", "seed=${oc.env:NOPE}: "),
        ("dataset=image_folder dataset.root=x seed=${latent}x", "seed="),
        ("latent=${latent}", "latent=${latent}: "),
        ("variant beta_vae", "cannot read 'variant': write KEY=VALUE, such as variant=beta_vae"),
        ("lr=1e-3", "lr is not an option; did you mean 'optimizer.lr'?"),
        ("epochs=5", "epochs is not an option; did you mean 'trainer.max_epochs'?"),
        ("batch_size=64", "batch_size is not an option; did you mean 'dataset.batch_size'?"),
        ("beta=4", "beta is not an option; did you mean 'variant.beta', an option of variant=beta_tcvae"),
        ("variant=beta_vae beta=4", "beta is not an option; did you mean 'variant.beta'?"),
        ("experiment=./x.yaml", "a file of yours is found as conf/experiment/NAME.yaml"),
    ],
)
def test_a_wrong_word_is_one_line(folder, words, message):
    assert message in refusal(*words.split())


@pytest.mark.parametrize(
    "content, message",
    [
        (b"latent:\t5\n", "x.yaml, line 1: not YAML"),
        (b"latent: [5\n", "x.yaml, line 2: not YAML"),
        (b"latent: 5\nlatent: 6\n", "x.yaml, line 2: not YAML (found duplicate key latent)"),
        (b"seed: 1\nlatent: \xe9\n", "x.yaml, line 2: not UTF-8"),
        (b"a: &a {b: *a}\n", "x.yaml: not YAML"),
        (b"- 3\n", "x.yaml: must hold keys and values"),
        (b"latent: ${latent}\n", "latent: "),
        (b"latent: .nan\n", "latent=nan must be a finite number"),
        (b"latnet: 5\n", "latnet is not an option; did you mean 'latent'?"),
        (b"optimizer:\n  lrr: 1\n", "optimizer.lrr is not an option of optimizer=adam; did you mean 'lr'?"),
        (b"defaults:\n  - override /variant: nope\n", "variant=nope is unknown"),
        (b"defaults: 3\n", "defaults must be a list"),
        (b"# @package experiment\nlatent: 3\n", "experiment=x: the first line of its file must be"),
    ],
)
def test_a_broken_experiment_is_one_line(experiment, content, message):
    experiment(content)
    assert message in refusal("experiment=x")


@pytest.mark.parametrize(
    "start", [b"", b"\xef\xbb\xbf", b"# @package _global_\n", b"\xef\xbb\xbf# @package _global_\n"]
)
def test_an_experiment_of_the_working_folder_is_found(experiment, start):
    experiment(start + "latent: 5 # dépôt\n".encode())
    assert vaezoo.compose(["experiment=x"]).latent == 5


def test_a_folder_of_options_is_found_by_processes_too(folder, monkeypatch):
    (folder / "mine" / "sweep").mkdir(parents=True)
    (folder / "mine" / "sweep" / "x.yaml").write_text("hydra:\n  sweeper:\n    params:\n      latent: '2,3'\n")
    assert "sweep=x is unknown" in refusal("sweep=x")
    monkeypatch.setenv(CONFIG_DIR, str(folder / "mine"))
    assert vaezoo.compose(["sweep=x"]).choices.sweep == "x"
    (folder / "mine" / "sweep" / "beta.yaml").write_text("")
    assert "sweep=beta is defined by both vaezoo and " in refusal("seed=1")


def test_a_preset_of_the_folder_is_listed(folder, capsys, monkeypatch):
    monkeypatch.setenv(CONFIG_DIR, "")  # put back afterwards
    (folder / "mine" / "sweep").mkdir(parents=True)
    (folder / "mine" / "sweep" / "x.yaml").write_text("# What it is for\nlatent: 2\n")
    assert cli.main(["sweep", "nope", "--config-dir", "mine"]) == 2
    assert ", x, zoo)" in capsys.readouterr().err and os.environ[CONFIG_DIR] == str(folder / "mine")
    assert cli.main(["sweep", "--help"]) == 0 and "What it is for" in capsys.readouterr().out


def test_folders_of_another_project_are_left_alone(folder):
    (folder / "conf" / "model").mkdir(parents=True)
    (folder / "conf" / "model" / "x.yaml").write_text("a: [")
    (folder / "conf" / "config.yaml").write_text("a: [")
    assert vaezoo.compose().seed == 0


def test_a_sweep_checks_ranges_of_the_data_and_has_no_run_dir(folder):
    with pytest.raises(UsageError, match=r"dataset\.batch_size=0: must be at least 1"):
        configs.check_sweep(["dataset.batch_size=64,0"])
    with pytest.raises(UsageError, match="use sweep_dir="):
        configs.check_sweep(["run_dir=a", "seed=0,1"])


def test_home_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "it's home"))
    assert vaezoo.compose(["run_dir=~/x"]).run_dir == str(folder / "it's home" / "x")


@pytest.mark.parametrize(
    "words, message",
    [
        ("variant=beta_vae variant.beta=-0.5", "variant.beta=-0.5 must be at least 0.0"),
        (
            "variant=beta_vae variant.beta={linear:{start:-1}}",
            "variant.beta={'linear': {'start': -1}} must be at least",
        ),
        ("variant.warmup=-3", "variant.warmup=-3.0 must be a share of training"),
        ("encoder.hidden=[0]", "encoder.hidden=[0] must list"),
        ("encoder.activation=foo", "encoder.activation='foo' is not one of"),
        ("latent=1000000000000", "the model is too large (latent=1000000000000, "),
    ],
)
def test_what_a_constructor_refuses_names_the_whole_key(words, message, digits):
    config = vaezoo.compose(words.split())
    with pytest.raises(UsageError) as caught:
        build(config, digits.shapes((config.latent,)))
    assert str(caught.value).startswith(message)


def test_a_model_too_large_for_the_machine_is_refused_before_it_is_filled(monkeypatch, digits):
    monkeypatch.setattr(construction, "memory", lambda: 1e6)
    with pytest.raises(UsageError, match=r"the model is too large .* at least .* GB to train, and this machine has"):
        build(vaezoo.compose(), digits.shapes((20,)))
    monkeypatch.setattr(construction, "memory", lambda: 1e9)
    build(vaezoo.compose(), digits.shapes((20,)))


def test_shares_of_less_than_one_batch_and_places_that_are_files_are_refused(folder):
    with pytest.raises(UsageError, match=r"trainer\.limit_train_batches=0\.0001 of 11 batches is less than one"):
        vaezoo.train(vaezoo.compose([*QUICK, "trainer.limit_train_batches=0.0001"]))
    Path("file").touch()
    for place in ("file", "file/x", "/proc/x"):
        with pytest.raises(UsageError, match=f"run_dir={place} must be a folder that can be written"):
            vaezoo.train(vaezoo.compose([*QUICK, f"run_dir={place}"]))


def test_without_importance_samples_the_rest_is_measured(folder):
    vaezoo.train(vaezoo.compose([*QUICK, "evaluate.k=0", "run_dir=a"]))
    results = json.loads(Path("a/results.json").read_text())
    assert (
        results["elbo"] < 0 and results["nll"] is None and results["reasons"]["nll"] == "k=0 leaves the likelihood out"
    )


@pytest.mark.parametrize(
    "words, message",
    [
        ("trian", "vaezoo trian is not a command; did you mean 'train'?"),
        ("train -x", "-x is not an argument of vaezoo train (flags: --cfg, "),
        ("train --config-dirr=x", "did you mean '--config-dir'?"),
        ("train --config-dir nowhere", "--config-dir nowhere is not a folder"),
        ("evaluate r --k -1", "--k: -1 must be a whole number from 0"),
        ("evaluate r --kk 3", "--kk is not an argument of vaezoo evaluate; did you mean '--k'?"),
        ("evaluate", "the following arguments are required: RUN"),
        ("sample r -n 0", "-n/--n: 0 must be a whole number from 1"),
        ("show nopee", "nopee is not a variant, a part or an option"),
        ("list --group nope", "--group nope is unknown"),
    ],
)
def test_a_wrong_command_is_one_line(folder, capsys, words, message):
    assert cli.main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "name", ["dataset", "trainer", "optimizer", "arrays", "logger", "sweep=beta", "experiment", "prior"]
)
def test_every_group_and_option_has_a_page(capsys, name):
    assert cli.main(["show", name]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 2


def test_options_of_yaml_groups_are_listed(capsys):
    assert cli.main(["list", "--group", "dataset"]) == 0
    assert "fashion_mnist" in capsys.readouterr().out


def _process(words, folder, redirect="", **environment_):
    script = f'exec "{sys.executable}" -m vaezoo {words} {redirect}'
    variables = {**os.environ, "PYTHONPATH": str(registry.PACKAGE.parent), **environment_}
    return subprocess.run(["bash", "-c", script], cwd=folder, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize("words", ["variant=beta_vae variant.bta=1", "trainer.max_epochs=x"])
def test_a_wrong_name_is_reported_without_importing_torch(folder, words):
    command = f"import sys; from vaezoo.cli import main; code = main({['train', *words.split()]})"
    script = f"{command}; sys.exit(code + 10 * ('torch' in sys.modules))"
    variables = {**os.environ, "PYTHONPATH": str(registry.PACKAGE.parent)}
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, env=variables)
    assert done.returncode == 2, done.stderr


def test_output_that_is_full_or_closed_is_one_line(folder):
    if Path("/dev/full").exists():
        full = _process("list", folder, "> /dev/full")
        assert full.returncode == 2 and full.stderr.startswith("error: ") and full.stderr.count("\n") == 1
    closed = _process("list", folder, ">&-")
    assert (closed.returncode, closed.stderr) == (0, "")


def test_any_locale_prints_what_it_can(folder):
    done = _process(
        "show beta_vae", folder, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii"
    )
    assert (done.returncode, done.stderr) == (0, "") and "beta" in done.stdout


def test_what_the_machine_refuses_is_told_from_a_bug():
    assert environment(OSError(28, "No space left on device", "x")) == "x cannot be used: No space left on device"
    assert "cannot be written" in environment(RuntimeError("PytorchStreamWriter failed writing file"))
    assert environment(RuntimeError("shapes differ")) is None and environment(KeyError("x")) is None
