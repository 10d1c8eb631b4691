"""The command line: what it prints, what it writes, and that user errors are one line and exit code 2."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from vaezoo import choices, cli, completion, registry

QUICK = ["trainer=debug", "evaluate.k=2", "encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "callbacks=none"]


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs the command in an empty folder; returns exit code, output and error output."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vaezoo"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "")

    def call(*arguments):
        try:
            code = cli.main(arguments)
        except SystemExit as stop:
            code = stop.code
        return code, *capfd.readouterr()

    return call


def test_no_description_imports_torch():
    code = (
        "import sys; from vaezoo.cli import main\n"
        "for line in ('--help', 'list', 'list --group prior', 'show beta_vae', 'train --help', 'completion bash',"
        " 'complete -- vaezoo'):\n"
        "    try: main(line.split())\n"
        "    except SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


def test_help_gives_every_command_and_examples(run):
    code, out, _ = run("--help")
    assert code == 0 and "examples:" in out
    assert all(f"  {command}" in out for command in completion.COMMANDS)


def test_train_help_gives_every_group_and_option(run):
    code, out, _ = run("train", "--help")
    assert code == 0
    for group in choices.groups():
        assert group in out and all(option in out for option in choices.options(group))


def test_list_is_a_table_of_all_variants(run):
    code, out, _ = run("list")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert code == 0 and set(rows) == set(registry.names("variant"))
    assert "Higgins et al., ICLR 2017" in rows["beta_vae"] and "verified" in rows["beta_vae"]


def test_list_of_a_family_or_a_group(run):
    _, out, _ = run("list", "--family", "gaussian")
    assert "beta_vae" in out and "vae_gan" not in out
    _, out, _ = run("list", "--group", "encoder")
    assert all(name in out for name in registry.names("encoder"))
    code, _, error = run("list", "--family", "gausian")
    assert code == 2 and error.startswith("error: --family gausian is unknown; did you mean 'gaussian'?")


def test_show_gives_equation_options_and_limits(run):
    code, out, _ = run("show", "beta_vae")
    assert code == 0
    for text in (r"\beta\, KL", "variant.beta: float | Schedule = 4.0", "Limits: vae at beta=1.0", "Status: verified"):
        assert text in out
    _, out, _ = run("show", "vamp_vae")
    assert "Default parts: prior=vamp" in out
    _, out, _ = run("show", "mlp")
    assert "encoder=mlp" in out and "decoder=mlp" in out
    code, _, error = run("show", "beta_vea")
    assert code == 2 and "did you mean 'beta_vae'?" in error


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("train variant=beta_vea", "variant=beta_vea is unknown; did you mean 'beta_vae'?"),
        (
            "train variant=beta_vae variant.bta=4",
            "variant.bta is not an option of variant=beta_vae; did you mean 'beta'?",
        ),
        ("train variant", "cannot read 'variant'"),
        ("train -m variant=vae,beta_vea", "variant=beta_vea is unknown"),
        ("train resume=nowhere", "nowhere"),
        ("evaluate nowhere", "nowhere is not a run folder"),
        ("sample nowhere", "nowhere is not a run folder"),
        ("new beta_vae", "variant=beta_vae exists already"),
        ("new My-Idea", "must be snake_case"),
    ],
)
def test_a_user_error_is_one_line_and_code_2_and_leaves_nothing_behind(run, arguments, message):
    code, _, error = run(*arguments.split())
    assert code == 2
    assert error.startswith("error: ") and message in error and error.count("\n") == 1
    assert list(Path().rglob("*")) == []


def test_an_error_inside_a_run_is_one_line_too(run):
    code, _, error = run("train", *QUICK, "posterior=none")
    assert code == 2
    assert error.startswith("error: posterior=none does not fit variant=vae") and error.count("\n") == 1
    assert not [path for path in Path("runs").rglob("*") if path.is_file()]


def test_train_then_evaluate_and_sample(run):
    code, out, _ = run("train", *QUICK, "run_dir=here")
    assert code == 0 and f"run: {Path('here').absolute()}" in out
    config = yaml.safe_load(Path("here/config.yaml").read_text())
    assert config["choices"]["variant"] == "vae" and config["overrides"] == [*QUICK, "run_dir=here"]
    assert not Path("here/.hydra").exists() and not list(Path().rglob("*.log"))
    code, out, _ = run("evaluate", "here", "--k", "3")
    assert code == 0 and "ELBO" in out and "k=3" in out
    code, out, _ = run("sample", "here", "-n", "4")
    assert code == 0 and out.strip() == str(Path("here/samples.png"))
    assert Path("here/samples.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_runs_every_combination_in_a_folder_named_by_it(run):
    code, _, _ = run("train", "-m", *QUICK, "evaluate.k=0", "variant=vae,beta_vae", "sweep_dir=all")
    assert code == 0
    beta, plain = sorted(path.parent.name for path in Path("all").glob("*/run.json"))
    assert beta.startswith("beta_vae-digits-") and plain.startswith("vae-digits-") and "-seed0-" in plain


@pytest.mark.slow
@pytest.mark.parametrize("start", [["-m", "vaezoo"], ["-c", "from vaezoo.cli import main; raise SystemExit(main())"]])
def test_ddp_starts_its_other_process_from_any_way_to_call_the_command(tmp_path, start):
    command = [sys.executable, *start, "train", *QUICK, "hardware=cpu_ddp", "evaluate.k=0", "run_dir=here"]
    environment = {**os.environ, "PYTHONPATH": str(registry.PACKAGE.parent)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "here" / "model.safetensors").is_file()
    assert done.stdout.count("run: ") == 1


@pytest.mark.parametrize(
    "line, expected",
    [
        ("vaezoo tr", ["train"]),
        ("vaezoo train var", ["variant="]),
        ("vaezoo train variant=beta_v", ["beta_vae"]),
        ("vaezoo train -m variant=vae,beta_v", ["vae,beta_vae"]),
        ("vaezoo train variant=beta_vae variant.", ["variant.beta="]),
        ("vaezoo train encoder.h", ["encoder.hidden="]),
        ("vaezoo train trainer.max", ["trainer.max_epochs="]),
        ("vaezoo train hardware=c", ["cpu", "cpu_ddp", "cpu_pool"]),
        ("vaezoo show vamp_", ["vamp_vae", "vamp_vae_mnist"]),
        ("vaezoo train nothing=x", []),
    ],
)
def test_completion_answers(line, expected):
    assert completion.candidates(line) == expected


def test_completion_works_in_bash():
    script = (
        f'vaezoo() {{ {sys.executable} -m vaezoo "$@"; }}; eval "$(vaezoo completion bash)"; '
        'COMP_LINE="vaezoo train variant=beta_v"; COMP_POINT=${#COMP_LINE}; _vaezoo; echo "${COMPREPLY[@]}"; '
        "complete -p vaezoo"
    )
    environment = {**os.environ, "PYTHONPATH": str(registry.PACKAGE.parent)}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["beta_vae", "complete -o default -F _vaezoo vaezoo"]
