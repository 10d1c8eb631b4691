"""Run folders as they are found on disk."""

import json
import multiprocessing
import sys
import time
from pathlib import Path

import pytest

from vaezoo import runs
from vaezoo.errors import UsageError


def _fill(folder: Path, status: str | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / runs.CONFIG).write_text(
        "choices: {variant: vae, dataset: digits, likelihood: bernoulli}\nseed: 3\noverrides: []\n"
    )
    if status:
        (folder / runs.RECORD).write_text(json.dumps({"status": status, "reason": None}))
    return folder


def _hold(folder: Path, ready: "multiprocessing.Event") -> None:  # type: ignore[valid-type]
    with runs.hold(folder):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_find_does_not_look_for_runs_inside_runs(tmp_path: Path) -> None:
    _fill(tmp_path / "b" / "one", "finished")
    _fill(tmp_path / "a", "failed")
    (tmp_path / "a" / "inner").mkdir()
    (tmp_path / "a" / "inner" / runs.CONFIG).write_text("")
    assert runs.find(tmp_path) == [tmp_path / "a", tmp_path / "b" / "one"]
    assert runs.find(tmp_path / "a") == [tmp_path / "a"]
    with pytest.raises(UsageError, match="is not a folder"):
        runs.find(tmp_path / "nowhere")


def test_a_run_that_says_running_is_dead_unless_somebody_holds_it(tmp_path: Path) -> None:
    folder = _fill(tmp_path / "run", "running")
    assert runs.state(folder) == "dead"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=_hold, args=(folder, ready))
    worker.start()
    try:
        assert ready.wait(30)
        assert runs.state(folder) == "running"
        with pytest.raises(UsageError, match="in use by another process"), runs.hold(folder):
            pass
    finally:
        worker.kill()
        worker.join()
    assert runs.state(folder) == "dead"
    with runs.hold(folder):
        pass


def test_an_empty_folder_does_not_outlive_its_lock(tmp_path: Path) -> None:
    with runs.hold(tmp_path / "refused"):
        assert (tmp_path / "refused").is_dir()
    assert not (tmp_path / "refused").exists()


def test_what_a_record_says(tmp_path: Path) -> None:
    folder = _fill(tmp_path / "run", "finished")
    (folder / runs.METRICS).write_text("step,epoch,val/elbo\n1,,\n2,0,-3.5\n3,")  # the last line was cut
    record = runs.read(folder)
    assert (record.variant, record.dataset, record.likelihood, record.seed) == ("vae", "digits", "bernoulli", 3)
    assert record.columns == {"step": [1, 2], "epoch": [None, 0], "val/elbo": [None, -3.5]}
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / runs.JOB).write_text(json.dumps({"overrides": [], "choices": {"variant": "iwae"}, "seed": 1}))
    queued = runs.read(tmp_path / "job")
    assert (queued.state, queued.variant, queued.seed) == ("queued", "iwae", 1)


def test_reading_runs_does_not_import_torch() -> None:
    import subprocess

    code = "import sys, vaezoo.runs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
