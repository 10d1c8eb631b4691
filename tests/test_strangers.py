"""The folder of a stranger's run: what it names is neither imported nor called, and what it says is only text."""

import ast
import importlib
import inspect
import io
import json
import os
import pickle
import pkgutil
import random
import re
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType

import pytest
import torch
import yaml
from omegaconf import OmegaConf

import vaezoo
from tests.conftest import quick_trainer
from vaezoo import cli, registry, runs, trust
from vaezoo.build import load_data
from vaezoo.configs import node as node_of
from vaezoo.dashboard.page import render
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate_run
from vaezoo.explore.run import open_run
from vaezoo.samplers.write import sample_run
from vaezoo.sweep import job

QUICK = ["trainer.max_epochs=1", "trainer.progress_bar=false", "evaluate.k=1", "callbacks.pictures=false"]
SMALL = ["encoder.hidden=[4]", "decoder.hidden=[4]", "latent=2", "hardware.threads=1", *QUICK]
NET = """\
from pathlib import Path
from torch import nn

Path(__file__).with_name("ran").touch()


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(64, 4))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("runs") / "run"
    return vaezoo.train(vaezoo.compose([*SMALL, f"run_dir={place}"])).path


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def change(run: Path, **nodes) -> Path:
    """Replaces top-level nodes of a run's configuration."""
    file = run / runs.CONFIG
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **nodes}))
    return run


def config_of(run: Path) -> dict:
    return yaml.safe_load((run / runs.CONFIG).read_text())


# -- every callable that there is, in every place, through every command -----------------------------------------------

PACKAGES = ("numpy", "torch", "joblib", "pytorch_lightning", "lightning_fabric", "hydra", "hydra_zen", "omegaconf")
PLAYFUL = {"antigravity", "this", "idlelib", "turtledemo", "test", "lib2to3", "__main__", "pip"}  # act when imported
WORST = [  # in the sample whatever the seed
    *("numpy.load", "numpy.save", "numpy.memmap", "numpy.fromfile", "torch.load", "torch.save", "torch.hub.load"),
    *("joblib.load", "joblib.dump", "builtins.eval", "builtins.exec", "builtins.open", "builtins.__import__"),
    *("os.system", "os.execv", "os.remove", "subprocess.run", "subprocess.Popen", "shutil.copy", "shutil.rmtree"),
    *("pickle.loads", "runpy.run_path", "importlib.import_module", "pathlib.Path.write_text", "code.interact"),
    *("hydra.utils.call", "hydra.utils.instantiate", "hydra.utils.get_method", "hydra_zen.funcs.zen_processing"),
    *("functools.partial", "omegaconf.OmegaConf.save", "pytorch_lightning.Trainer", "torch.utils.cpp_extension.load"),
    *("distutils.spawn.spawn", "vaezoo.files.write", "vaezoo.networks.custom.from_file", "vaezoo.train"),
    *("vaezoo.sweep.crew._kill", "vaezoo.build.load", "vaezoo.variants.vae.VAE.load_from_checkpoint"),
]


def modules() -> list[ModuleType]:
    """The standard library with its submodules, and what importing the packages has brought."""
    found = {}
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        for top in sorted(sys.stdlib_module_names - PLAYFUL):
            with_submodules(top, found)
        for package in PACKAGES:
            importlib.import_module(package)
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in PACKAGES and isinstance(module, ModuleType):
            found[name] = module
    return list(found.values())


def with_submodules(name: str, found: dict[str, ModuleType]) -> None:
    try:
        found[name] = importlib.import_module(name)
    except Exception:
        return  # of another platform
    for inner in pkgutil.iter_modules(getattr(found[name], "__path__", ())):
        if inner.name not in ("__main__", "test", "tests", "idle_test"):
            with_submodules(f"{name}.{inner.name}", found)


def callables() -> list[str]:
    """An import path, the shortest, of each public function, class and method of a class that there is."""
    found: dict[int, str] = {}
    for module in modules():
        for name, value in list(vars(module).items()):
            if not name.startswith("_") and callable(value):
                keep(found, f"{module.__name__}.{name}", value)
                for key, inner in list(vars(value).items()) if inspect.isclass(value) else ():
                    inner = getattr(inner, "__func__", inner)
                    if not key.startswith("_") and callable(inner):
                        keep(found, f"{module.__name__}.{name}.{key}", inner)
    return sorted(set(found.values()))


def keep(found: dict[int, str], path: str, value: object) -> None:
    found[id(value)] = min(found.get(id(value), path), path, key=lambda text: (len(text), text))


def places(target: str, canary: str) -> dict[str, dict]:
    """Where a configuration can name a target, as top-level nodes that replace those of a run; all would be called."""
    call = {"_target_": target, "_args_": [canary]}
    good = {group: config_part(group) for group in registry.GROUPS}
    data = {"_target_": trust.DATA, "source": "digits"}
    found = {group: {group: {**call, "_partial_": True}} for group in registry.GROUPS}
    for group in registry.GROUPS:
        found[f"{group}, called"] = {group: call}
        found[f"{group}, nested"] = {group: {**good[group], "x": call}}
    found |= {f"{role}.target": {role: custom(role, target, canary)} for role in ("encoder", "decoder")}
    found |= {
        "dataset": {"dataset": call},
        "dataset, nested": {"dataset": {**data, "path": call}},
        "dataset, in a list": {"dataset": {**data, "path": [[{"x": call}]]}},
        "dataset, as an argument": {"dataset": {**data, "_args_": [call]}},
        "dataset, a list": {"dataset": [call]},
        "dataset.source": {"dataset": {**data, "source": target}},
        "zen": {"encoder": {"_target_": "hydra_zen.funcs.zen_processing", "_zen_target": target, "_zen_partial": True}},
        "partial": {"encoder": {"_target_": "functools.partial", "_partial_": True, "_args_": [target]}},
        "interpolated": {"encoder": {**good["encoder"], "_target_": "${x}"}, "x": target},
        "a part by interpolation": {"encoder": "${logger}", "logger": call},
        "a schedule": {"variant": {**good["variant"], "warmup": {"linear": call}}},
    }
    blocks = ("optimizer", "trainer", "hardware", "logger", "callbacks", "evaluate", "choices", "overrides", "anything")
    return found | {block: {block: call} for block in blocks}


def config_part(group: str) -> dict:
    name = {"encoder": "mlp", "decoder": "mlp", "posterior": "diagonal", "prior": "standard", "variant": "vae"}
    entry = registry.find(group, name.get(group, "bernoulli"))
    return {"_target_": entry.target.replace(":", "."), "_partial_": True, "_convert_": "all"}


def custom(role: str, target: str, canary: str) -> dict:
    place = f"vaezoo.networks.custom.{role.title()}"
    return {"_target_": place, "_partial_": True, "_convert_": "all", "target": target, "args": {"file": canary}}


def through_the_command(*words: str):
    def call(run: Path) -> None:
        said = io.StringIO()
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            if cli.main([words[0], str(run), *words[1:]]) == 2:
                raise UsageError(said.getvalue())

    return call


COMMANDS = {
    "load": vaezoo.load,
    "load_data": load_data,
    "evaluate_run": lambda run: evaluate_run(run, k=1, progress=False),
    "sample_run": sample_run,
    "open_run": open_run,
    "vaezoo evaluate": through_the_command("evaluate", "--k", "1"),
    "vaezoo sample": through_the_command("sample"),
    "vaezoo explore": through_the_command("explore"),
    "resume=": lambda run: vaezoo.train(resuming(run)),
    "encoder.run=": lambda run: importlib.import_module("vaezoo.networks.pretrained").Encoder(shapes(), run=str(run)),
}


def resuming(run: Path):
    config = SOME.copy()
    config.resume = str(run)
    return config


def shapes():
    return vaezoo.Shapes(event=(1, 8, 8), latent=(2,))


SOME = vaezoo.compose(QUICK)
ARMED: list[str] | None = None  # what has happened since the trap was set; None while it is not
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ACTS = ("import", "exec", "marshal", "pickle", "os.", "subprocess", "socket", "shutil", "ctypes", "webbrowser")
HARMLESS = ("os.listdir", "os.scandir", "os.walk", "os.getxattr")


def watch(event: str, arguments: tuple) -> None:
    if ARMED is None:
        return
    if event == "open":
        wrote = isinstance(arguments[2], int) and arguments[2] & WRITES
        if wrote and Path(os.fsdecode(arguments[0])).name != runs.LOCK:
            ARMED.append(f"opened {arguments[0]} for writing")
    elif event.startswith(ACTS) and event not in HARMLESS:
        there = {"import": lambda: arguments[0] in sys.modules, "os.mkdir": lambda: Path(arguments[0]).exists()}
        if not there.get(event, bool)():
            ARMED.append(f"{event} {arguments[:1]!r}")


@pytest.fixture(scope="module")
def trap():
    """A context in which nothing may be imported, compiled, called by Hydra, started, or written but a run's lock."""
    sys.addaudithook(watch)
    from hydra._internal.instantiate import _instantiate2

    def called(*arguments, **options):
        if ARMED is not None:
            ARMED.append(f"Hydra called {arguments[:1]!r}")
        raise AssertionError("called")

    @contextmanager
    def armed():
        global ARMED
        with pytest.MonkeyPatch.context() as patch:
            for name in ("_call_target", "_locate"):
                patch.setattr(_instantiate2, name, called)
            ARMED = events = []
            try:
                yield events
            finally:
                ARMED = None

    return armed


def test_the_trap_works(trap, tmp_path) -> None:
    with trap() as events:
        (tmp_path / "written").write_text("")
        importlib.import_module("ast")  # is there already
        with pytest.raises(Exception, match="locating"):
            __import__("hydra").utils.instantiate({"_target_": "os.getcwd"})
        exec("1")
    assert len(events) >= 3 and any("written" in event for event in events)
    assert any("Hydra" in event for event in events) and any(event.startswith("exec") for event in events)


def refused(targets: list[str], run: Path, trap, every_place: bool) -> Counter:
    """Tries each target in one place through one command, or in each place through the reader that all commands use."""
    least = {**dict.fromkeys(("dataset", "optimizer", "seed", *registry.GROUPS)), "choices": {}, "overrides": []}
    base, tried = least if every_place else config_of(run), Counter()  # a small file is read ten times faster
    canary = run.parent / "canary"
    canary.mkdir(exist_ok=True)
    commands = list(COMMANDS)
    config_file = run / runs.CONFIG
    names = list(places("x", ""))
    for command in commands:  # what they import before they refuse is imported now
        change(run, encoder={"_target_": "os.system"})
        with pytest.raises(UsageError):
            COMMANDS[command](run)
    for number, target in enumerate(targets):
        nodes = places(target, str(canary / "x"))
        command, name = commands[number % len(commands)], names[number // len(commands) % len(names)]
        config_file.write_text(json.dumps({**base, **nodes[name]}))
        before = sorted(os.listdir(run))
        with trap() as events, pytest.raises(UsageError, match=r"--trust|is damaged"):
            COMMANDS[command](run)
        assert not events, (target, name, command, events)
        assert sorted({*os.listdir(run)} - {runs.LOCK}) == sorted({*before} - {runs.LOCK})
        tried[command] += 1
        if every_place:
            with trap() as events:
                for node in nodes.values():
                    with pytest.raises(UsageError, match=r"--trust"):
                        trust.check(node, "config.yaml")
            assert not events, (target, events)
            tried["in every place"] += len(nodes)
    assert not list(canary.iterdir())
    return tried


def test_no_callable_is_executed_by_any_command(run, trap) -> None:
    others = callables()
    assert len(others) > 10_000
    chosen = WORST + random.Random(0).sample(others, 60)
    tried = refused(chosen, run, trap, every_place=False)
    assert sum(tried.values()) == len(chosen) and min(tried.values()) >= 9 and set(tried) == set(COMMANDS)


@pytest.mark.slow
def test_no_callable_is_executed_by_any_command_in_any_place(run, trap) -> None:
    chosen = WORST + callables()
    tried = refused(chosen, run, trap, every_place=True)
    print(f"\n{len(chosen)} callables, {len(places('', ''))} places, 0 executed: {dict(tried)}")
    assert tried["in every place"] == len(chosen) * len(places("", ""))


def test_reports_execute_nothing(run, trap, tmp_path) -> None:
    for number, node in enumerate(places("os.system", f"touch {tmp_path}/canary").values()):
        change(Path(shutil.copytree(run, tmp_path / "all" / str(number))), **node)
    commands = (["table"], ["table", "--format", "csv"], ["dashboard", "-o", str(tmp_path / "x.html")])
    for first, *rest in commands:
        with redirect_stdout(io.StringIO()):
            cli.main([first, str(tmp_path / "all"), *rest])  # imports what it needs
            with trap() as events:
                cli.main([first, str(tmp_path / "all"), *rest])
        assert not [event for event in events if "/.x." not in event], events  # the page's own draft
    assert not (tmp_path / "canary").exists()


# -- configurations that are allowed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("group", registry.GROUPS)
def test_every_option_of_the_registry_is_allowed(group) -> None:
    for name in registry.names(group):
        if name != "custom":
            trust.check({group: OmegaConf.to_container(OmegaConf.structured(node_of(group, name)))}, "a configuration")


@pytest.mark.parametrize("name", ["digits", "mnist", "celeba"])
def test_every_dataset_of_the_package_is_allowed(name) -> None:
    composed = vaezoo.compose([f"dataset={name}"])
    trust.check(OmegaConf.to_container(composed, resolve=False), "a configuration", recorded=False)


def test_a_class_that_an_entry_point_names_by_another_module_is_allowed(run, monkeypatch) -> None:
    entry = registry.Entry("mine", "encoder", "vaezoo.contract.subjects:Loss", "somebody's package")
    from vaezoo.networks import mlp

    monkeypatch.setattr(registry, "load", lambda group, name: mlp.Decoder)
    there = registry.entries("encoder")
    other = {**config_part("encoder"), "_target_": "vaezoo.networks.mlp.Decoder"}
    with pytest.raises(UsageError, match="does not name an installed encoder"):
        trust.read_config(change(run, encoder=other))
    monkeypatch.setattr(registry, "entries", lambda group: {**there, "mine": entry} if group == "encoder" else there)
    trust._check_part("encoder", other, "config.yaml")


# -- code of a user's own ----------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path) -> Path:
    """A run with a network from a file, which leaves a file `ran` beside it when it is executed."""
    (tmp_path / "net.py").write_text(NET)
    given = ["encoder=custom", f"encoder.target={tmp_path}/net.py:Net", "latent=2", f"run_dir={tmp_path}/own"]
    path = vaezoo.train(vaezoo.compose([*QUICK, *given])).path
    (tmp_path / "ran").unlink()
    return path


def test_a_file_that_a_folder_names_needs_trust(own) -> None:
    said = rf"encoder\.target='{own.parent}/net\.py:Net' .*--trust .*trust=True in Python.*trust=true"
    for name, command in COMMANDS.items():
        with pytest.raises(UsageError, match=said):
            command(own)
        assert not (own.parent / "ran").exists(), name
    assert vaezoo.load(own, trust=True).encode(torch.zeros(1, 1, 8, 8)).shape == (1, 2)
    assert (own.parent / "ran").exists()
    assert load_data(own, trust=True).name == "digits"
    assert cli.main(["evaluate", str(own), "--k", "1", "--trust"]) == 0
    assert cli.main(["sample", str(own), "--trust"]) == 0
    assert open_run(own, trust=True).about()["variant"] == "vae"


def test_resume_needs_trust_of_the_present_command(own) -> None:
    again = [f"resume={own}", "trainer.max_epochs=2"]
    assert config_of(own)["trust"] is False
    change(own, trust=True)  # what the folder says of itself does not count
    with pytest.raises(UsageError, match="trust=true"):
        vaezoo.train(vaezoo.compose([*QUICK, *again]))
    assert not (own.parent / "ran").exists()
    vaezoo.train(vaezoo.compose([*again, "trust=true", "trainer.progress_bar=false"]))
    assert json.loads((own / runs.RECORD).read_text())["epochs"] == 2


def test_an_encoder_of_a_run_that_names_a_file_needs_trust(own, tmp_path) -> None:
    given = [*QUICK, "encoder=pretrained", f"encoder.run={own}", "latent=2", f"run_dir={tmp_path}/next"]
    with pytest.raises(UsageError, match=r"encoder\.target"):
        vaezoo.train(vaezoo.compose(given))
    assert not (own.parent / "ran").exists()
    after = vaezoo.train(vaezoo.compose([*given, "trust=true"])).path
    with pytest.raises(UsageError, match=r"encoder\.target"):
        vaezoo.load(after)
    assert vaezoo.load(after, trust=True).shapes.latent == (2,)


def test_a_module_of_ones_own_as_dataset_needs_trust(run, tmp_path, monkeypatch) -> None:
    (tmp_path / "own_data").mkdir()
    (tmp_path / "own_data" / "__init__.py").write_text("from vaezoo.data.digits import load\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    change(run, dataset={**config_of(run)["dataset"], "source": "own_data.digits"})
    (tmp_path / "own_data" / "digits.py").write_text("from vaezoo.data.digits import load\n")
    with pytest.raises(UsageError, match=r"dataset\.source='own_data\.digits' .*--trust"):
        load_data(run)
    assert "own_data" not in sys.modules
    assert load_data(run, trust=True).name == "own_data.digits"


# -- what else a configuration may say ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["${oc.env:SECRET}", "${oc.decode:'[1]'}", "${vz_folder:}", "${seed}", "x${oc.env:SECRET}", "${hydra:job.name}"],
)
def test_interpolations_are_refused_unresolved(run, monkeypatch, text) -> None:
    monkeypatch.setenv("SECRET", "do-not-tell")
    for node in ({"logger": {"name": text}}, {"dataset": {**config_of(run)["dataset"], "root": text}}, {"x": [[text]]}):
        with pytest.raises(UsageError, match="is an interpolation") as error:
            trust.read_config(change(run, **node))
        assert "do-not-tell" not in str(error.value)


def test_yaml_builds_no_objects(run, tmp_path) -> None:
    tag = f"!!python/object/apply:os.system ['touch {tmp_path}/canary']"
    (run / runs.CONFIG).write_text(f"{(run / runs.CONFIG).read_text()}\nx: {tag}\n")
    for name, command in COMMANDS.items():
        with pytest.raises(UsageError, match=r"is damaged: .* could not determine a constructor"):
            command(run)
        assert not (tmp_path / "canary").exists(), name


class Bomb:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_checkpoint_is_no_pickle(run, tmp_path) -> None:
    torch.save({"state_dict": Bomb(tmp_path / "canary")}, run / "checkpoints" / "last.ckpt")
    (run / "checkpoints" / "best.ckpt").write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    for checkpoint in (run, run / "checkpoints" / "best.ckpt"):
        with pytest.raises(UsageError, match="cannot be read"):
            vaezoo.train(vaezoo.compose([f"resume={checkpoint}", "trainer.max_epochs=2", "trust=true"]))
    (run / runs.WEIGHTS).write_bytes(pickle.dumps(Bomb(tmp_path / "canary")))
    with pytest.raises(Exception, match=r"(?i)header|safetensors|deserializ"):
        vaezoo.load(run, trust=True)
    assert not (tmp_path / "canary").exists()


def test_nothing_in_the_package_unpickles() -> None:
    for file in registry.PACKAGE.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)):
            name, options = ast.unparse(call.func), {k.arg: ast.unparse(k.value) for k in call.keywords}
            assert not re.search(r"^(pickle|dill|joblib|shelve|marshal)\.|yaml\.(unsafe|full)_load", name), file
            if name == "torch.load":
                assert options["weights_only"] == "True", file
            if name == "np.load":
                assert options.get("allow_pickle", "False") == "False", file
            if name.endswith("trainer.fit") and "ckpt_path" in options:
                assert options["weights_only"] == "True", file


# -- paths -------------------------------------------------------------------------------------------------------------


def test_links_through_which_files_would_be_written_outside_are_refused(run, tmp_path) -> None:
    (tmp_path / "private").mkdir()
    (run / "inside").symlink_to("checkpoints")
    vaezoo.load(run)
    for name, to in (
        ("pictures", "private"),
        ("wandb", "private"),
        ("metrics.csv", "nothing"),
        ("checkpoints/x", ".."),
    ):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(tmp_path / to)
        with pytest.raises(UsageError, match=rf"{run / name} is a link to {tmp_path / to}, .*--trust"):
            vaezoo.load(run)
        vaezoo.load(run, trust=True)
        (run / name).unlink()
    assert not list((tmp_path / "private").iterdir())


def test_what_a_link_leads_to_is_read_and_stays_as_it_is(run, tmp_path) -> None:
    (tmp_path / "cache").mkdir()
    names = (runs.CONFIG, runs.RECORD, runs.RESULTS, runs.WEIGHTS, runs.METRICS)
    for name in names:
        (run / name).rename(tmp_path / "cache" / name)
        (run / name).symlink_to(tmp_path / "cache" / name)
    before = {name: (tmp_path / "cache" / name).read_bytes() for name in names}
    for draft in (runs.CONFIG, runs.RESULTS):
        stem, suffix = draft.split(".")
        (run / f".{stem}.{os.getpid()}.{suffix}").symlink_to(tmp_path / "cache" / runs.RECORD)
    evaluate_run(run, k=2, progress=False)
    vaezoo.train(vaezoo.compose([f"resume={run}", "trainer.max_epochs=2", "trainer.progress_bar=false"]))
    assert {name: (tmp_path / "cache" / name).read_bytes() for name in names} == before
    assert json.loads((run / runs.RECORD).read_text())["epochs"] == 2


def test_a_lock_that_is_a_link_is_not_followed(run, tmp_path) -> None:
    (tmp_path / "private").write_text("private")
    (run / runs.LOCK).unlink(missing_ok=True)
    (run / runs.LOCK).symlink_to(tmp_path / "private")
    (run / runs.RECORD).write_text(json.dumps({"status": "running"}))
    assert runs.read(run).state == "dead"
    with pytest.raises(UsageError, match=r"\.lock cannot be used"), runs.hold(run):
        pass
    assert (tmp_path / "private").read_text() == "private"


def test_no_picture_from_outside_gets_into_a_page(run, tmp_path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "private.png")
    (run / "pictures").mkdir()
    shutil.copy(tmp_path / "private.png", run / "pictures" / "samples.png")
    assert "data:image/webp" in render([runs.read(run)], "")
    (run / "pictures" / "samples.png").unlink()
    (run / "pictures" / "samples.png").symlink_to(tmp_path / "private.png")
    assert "data:image/webp" not in render([runs.read(run)], "")


def test_paths_that_a_folder_records_are_not_followed(run, tmp_path) -> None:
    change(run, run_dir=str(tmp_path / "elsewhere"), sweep_dir=str(tmp_path / "elsewhere"), resume=str(tmp_path))
    evaluate_run(run, k=1, progress=False)
    vaezoo.train(vaezoo.compose([f"resume={run}", "trainer.max_epochs=2", "trainer.progress_bar=false"]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


# -- jobs of a sweep ---------------------------------------------------------------------------------------------------


def queue(place: Path, *overrides: str) -> Path:
    (place / "job").mkdir(parents=True, exist_ok=True)
    about = {"overrides": list(overrides), "choices": {"variant": "vae"}, "seed": 0}
    (place / "job" / runs.JOB).write_text(json.dumps(about))
    return place


@pytest.mark.parametrize(
    "override",
    [
        *("-m", "--config-dir=/tmp", "hydra.searchpath=[file:///tmp]", "hydra/launcher=pool", "+hydra.x=1", "~hydra"),
        *("resume=elsewhere", "trust=true", "dataset.root=${oc.env:HOME}", "+encoder@decoder=mlp", "seed=\n"),
        *("++hydra.sweep.dir=elsewhere", "++hydra.launcher._target_=os.system"),
    ],
)
def test_overrides_of_a_strangers_job_are_checked(tmp_path, override) -> None:
    with pytest.raises(UsageError, match=r"has no place in a job's overrides|is not an override"):
        job.job_overrides(runs.read(queue(tmp_path, "seed=1", override) / "job"))


@pytest.mark.parametrize("override", [3, None, {"a": 1}])
def test_overrides_of_a_strangers_job_that_are_not_text_are_damage(tmp_path, override) -> None:
    found = runs.read(queue(tmp_path, "seed=1", override) / "job")
    assert found.state == "broken" and "not a list of texts" in found.faults[runs.JOB]


def retry(place: Path, *flags: str) -> str:
    command = [sys.executable, "-m", "vaezoo", "sweep", "retry", str(place), *flags]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    return done.stderr + done.stdout


@pytest.mark.slow
def test_retry_names_no_code_unless_it_is_trusted(tmp_path) -> None:
    (tmp_path / "net.py").write_text(NET)
    target = f"encoder.target={tmp_path}/net.py:Net".replace(":", "\\:")
    for overrides in (
        ["encoder=custom", target],
        [f"++encoder._target_={__name__}.Bomb"],
        ["++variant.x={_target_:os.system}"],
        ["dataset.source=os.path"],
        ["hydra/sweeper=optuna"],
    ):
        assert "--trust" in retry(queue(tmp_path / "sweep", *QUICK, *overrides)), overrides
        assert not (tmp_path / "ran").exists()
    shutil.rmtree(tmp_path / "sweep")
    sweep = ["train", "-m", "encoder=custom", target, "seed=0", f"sweep_dir={tmp_path}/sweep", "latent=2", *QUICK]
    command = [sys.executable, "-m", "vaezoo", *sweep]
    subprocess.run(command, check=True, capture_output=True)  # named on the command line, and so trusted
    (folder,) = (tmp_path / "sweep").glob("vae-*")
    assert (tmp_path / "ran").exists() and runs.state(folder) == "finished"
    (tmp_path / "ran").unlink()
    (folder / runs.RECORD).write_text(json.dumps({"status": "interrupted"}))
    assert "--trust" in retry(tmp_path / "sweep") and not (tmp_path / "ran").exists()
    retry(tmp_path / "sweep", "--trust")
    assert runs.state(folder) == "finished" and (tmp_path / "ran").exists()


# -- text --------------------------------------------------------------------------------------------------------------

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\x1b]0;x\x07`[a](javascript:1)|\\input{x}$&%"


@pytest.fixture
def evil(run) -> runs.RunRecord:
    """A run all of whose texts are hostile."""
    config, results = config_of(run), json.loads((run / runs.RESULTS).read_text())
    choices = {**config["choices"], "variant": f"={EVIL}", "dataset": EVIL, "likelihood": EVIL}
    change(run, choices=choices, logger={"name": EVIL}, overrides=[EVIL])
    (run / runs.RESULTS).write_text(
        json.dumps({**results, "measures": {EVIL: 1.0}, "reasons": {EVIL: EVIL, "nll": EVIL}, "flags": [EVIL]})
    )
    about = json.loads((run / runs.RECORD).read_text())
    (run / runs.RECORD).write_text(json.dumps({**about, "reason": EVIL, "versions": {EVIL: EVIL}}))
    (run / runs.METRICS).write_text(f'step,epoch,val/elbo,"train/{EVIL}"\n1,0,-3.5,1\n')
    return runs.read(run)


def test_no_text_of_a_run_becomes_part_of_a_page(evil) -> None:
    page = render([evil], EVIL)
    assert page.count("<script") == 3 and page.count("</script") == 3 and "<img src=x" not in page


@pytest.mark.parametrize("format", ["txt", "md", "tex", "csv"])
def test_tables_escape_the_text_of_a_run(evil, format) -> None:
    from vaezoo.comparison import compare
    from vaezoo.tables.table import table

    text = table(compare([evil]), format)
    assert "alert" in text and "\x1b" not in text and "\x07" not in text
    if format == "md":
        outside_of_code = re.sub(r"``.*?``", "", text)
        assert not re.search(r"(?<!\\)[<\[]", outside_of_code.replace("<br>", ""))
    if format == "tex":
        assert r"\input" not in text and r"\textbackslash{}input\{x\}" in text
    if format == "csv":
        assert "'=<" in text and not re.search(r"(^|,)\"?[=@+]", text, re.MULTILINE)


def test_the_state_of_a_sweep_is_printed_without_control_characters(run, capsys) -> None:
    (run / runs.RECORD).write_text(json.dumps({"status": "failed", "reason": EVIL}))
    assert cli.main(["sweep", "status", str(run.parent)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_a_figure_takes_no_text_for_mathematics(evil, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    cli.main(["figure", str(evil.path), "--kind", "rd", "-o", str(tmp_path / "x.svg")])
    svg = (tmp_path / "x.svg").read_text()
    assert "<script" not in svg and "<img" not in svg and "alert" in svg


# -- weights of a loaded model -----------------------------------------------------------------------------------------


def test_a_loaded_model_keeps_no_gradients_and_can_be_trained_further(run) -> None:
    model = vaezoo.load(run)
    x = torch.rand(4, 1, 8, 8, requires_grad=True)
    assert not model.encode(x.detach()).requires_grad and model.encode(x).requires_grad
    model.requires_grad_(True)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    data = load_data(run)
    quick_trainer(max_epochs=1).fit(model, datamodule=data)
    moved = [name for name, p in model.named_parameters() if not torch.equal(p, before[name])]
    assert moved == list(before)
