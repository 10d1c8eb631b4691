"""Run folders with a file that is empty, cut, garbage, of another type, missing or a folder: no command raises."""

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path

import pytest

from vaezoo import cli, configs, runs
from vaezoo.dashboard.server import Watch
from vaezoo.figures.figure import KINDS
from vaezoo.sweep import command, done, job

TRAIN = import_module("vaezoo.train")
PICTURE = f"{runs.PICTURES}/samples.png"
FILES = (runs.CONFIG, runs.RECORD, runs.RESULTS, runs.METRICS, runs.JOB, runs.WEIGHTS, PICTURE)
TINY = ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "trainer=debug", "trainer.progress_bar=false"]
WRONG = {runs.METRICS: "step,epoch\n1,two\n", runs.CONFIG: "- a\n- b\n"}


def empty(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def garbage(file: Path) -> None:
    file.write_bytes(b"\xff\xfe{\x80: [" * 9)


def another_type(file: Path) -> None:
    file.write_text(WRONG.get(file.name, "[1, 2]"))


def missing(file: Path) -> None:
    file.unlink()


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = (empty, cut, garbage, another_type, missing, folder)
# What may be absent, a table whose last line was cut, and pictures leave a run as good as it was.
HARMLESS = {(name, "missing") for name in FILES if name != runs.CONFIG} | {(runs.METRICS, "cut")}
HARMLESS |= {(PICTURE, damage.__name__) for damage in DAMAGES}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished job of a sweep."""
    place = tmp_path_factory.mktemp("trained") / "run"
    job.run_once(_config(place))
    shutil.rmtree(place / "checkpoints")
    assert runs.read(place).state == "finished" and all((place / name).is_file() for name in FILES)
    return place


def _config(place: Path):
    config = configs.compose([*TINY, "evaluate.k=1"])
    config.run_dir = str(place)
    return config


def _damaged(trained: Path, place: Path, name: str, damage) -> Path:
    copy = place / f"{damage.__name__}-{name.replace('/', '-')}"
    shutil.copytree(trained, copy)
    damage(copy / name)
    return copy


@pytest.fixture(scope="module")
def sweep(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good run, and one for each damage to each file."""
    place = tmp_path_factory.mktemp("sweep")
    shutil.copytree(trained, place / "good")
    for name in FILES:
        for damage in DAMAGES:
            _damaged(trained, place, name, damage)
    return place


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_is_broken_and_says_why(sweep: Path, name: str, damage) -> None:
    run = runs.read(sweep / f"{damage.__name__}-{name.replace('/', '-')}")
    if (name, damage.__name__) in HARMLESS:
        assert run.state == ("queued" if name == runs.RECORD else "finished") and not run.faults
    else:
        assert run.state == "broken" and set(run.faults) == {name} and run.reason == f"{name}: {run.faults[name]}"


def test_reports_list_damaged_runs_and_go_on(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = str(sweep)
    page = tmp_path / "page.html"
    figures = [["figure", place, "--kind", kind, "-o", str(tmp_path / f"{kind}.png")] for kind in KINDS]
    figures = figures if "matplotlib" in sys.modules or pytest.importorskip("matplotlib") else []
    formats = [["table", place, "--format", format] for format in ("txt", "md", "tex", "csv")]
    shown = []
    for arguments in (*formats, ["dashboard", place, "-o", str(page)], *figures, ["sweep", "status", place]):
        assert cli.main(arguments) == 0, arguments
        shown.append(capsys.readouterr().out)
    broken = [run for run in map(runs.read, runs.find(sweep)) if run.state == "broken"]
    assert len(broken) == len(FILES) * len(DAMAGES) - len(HARMLESS)
    for run in broken:
        assert f"{run.path.name}: {run.reason}" in shown[0] and f"{run.path}: {run.reason}" in shown[-1]
        assert f'"{run.path}",{run.seed},"broken",{json.dumps(run.reason)}' in page.read_text()
    assert len(Watch([sweep]).collected()[0]["rows"]) >= 1
    assert (tmp_path / "samples.png").is_file()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_what_needs_one_run_says_one_sentence(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage,
) -> None:
    monkeypatch.setattr("vaezoo.explore.server.serve", lambda *_: None)
    place = str(_damaged(trained, tmp_path, name, damage))
    needed = {runs.CONFIG, runs.RECORD, runs.WEIGHTS}
    for arguments, needs in (
        (["evaluate", place, "--k", "1"], needed | ({runs.RESULTS} if damage is not missing else set())),
        (["sample", place, "-o", str(tmp_path / "x.npy"), "-n", "2"], needed),
        (["explore", place], needed),
    ):
        code, error = cli.main(arguments), capsys.readouterr().err
        assert code == (2 if name in needs else 0), arguments
        if code:
            assert error.startswith("error: ") and error.count("\n") == 1 and name in error


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_sweep_trains_a_damaged_job_again(
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    damage,
) -> None:
    place, filled, retried = _damaged(trained, tmp_path, name, damage), [], []
    again = (name, damage.__name__) not in HARMLESS or (name, damage.__name__) == (runs.RECORD, "missing")
    known = bool(done.over(tmp_path))
    assert known == (not again and (name, damage.__name__) != (runs.JOB, "missing"))
    assert command.main(["retry", str(tmp_path)], lambda words: retried.append(words) or 0) == 0
    assert bool(retried) == again and again == ("no job" not in capsys.readouterr().out)
    monkeypatch.setattr(TRAIN, "fill", lambda config, checkpoint: filled.append(checkpoint))
    job.run_once(_config(place))
    trains = again and name != runs.JOB  # job.json is written again, and the run is whole
    assert filled == ([None] if trains else [])
    assert job.queued(place)["seed"] == 0 and trains != (place / runs.CONFIG).exists()


def test_a_seed_that_is_not_a_number_stops_nothing(trained: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(trained, place)
    config = place / runs.CONFIG
    config.write_text(config.read_text().replace("seed: 0\nlatent", "seed: zero\nlatent"))
    assert cli.main(["dashboard", str(tmp_path), "-o", str(tmp_path / "page.html")]) == 0
    assert runs.read(place).reason == "config.yaml: seed is 'zero', not an integer"


def test_results_of_other_weights_are_left_out(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "run"
    shutil.copytree(trained, place)
    for name, weights in ((runs.RECORD, "a" * 64), (runs.RESULTS, "b" * 64)):
        (place / name).write_text(json.dumps({**json.loads((place / name).read_text()), "weights": weights}))
    run = runs.read(place)
    assert (run.state, run.results, run.unmeasured) == ("finished", {}, "measured on other weights")
    assert cli.main(["table", str(place), "--metrics", "parameters"]) == 0
    (place / runs.RESULTS).write_text((place / runs.RESULTS).read_text().replace("b" * 64, "a" * 64))
    assert runs.read(place).results["nll"] and runs.read(place).unmeasured is None


def test_somebody_elses_folder_that_cannot_be_locked_is_read(trained: Path, tmp_path: Path, monkeypatch) -> None:
    def refused(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    place = tmp_path / "run"
    shutil.copytree(trained, place)
    (place / runs.RECORD).write_text(json.dumps({"status": "failed", "reason": "it did"}))
    monkeypatch.setattr("vaezoo.runs.FileLock.acquire", refused)
    assert runs.read(place).state == "failed"
