"""Configuration, weights, results and pictures of a folder belong to one run."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import vaezoo
from vaezoo import cli, runs
from vaezoo.build import load_data
from vaezoo.data import datamodule
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate_run
from vaezoo.files import checksum
from vaezoo.folder import checkpoint
from vaezoo.sweep.job import run_once

SMALL = ["encoder.hidden=[8]", "decoder.hidden=[8]", "latent=2", "trainer.progress_bar=false", "hardware.threads=1"]


def train(*overrides: str):
    return vaezoo.train(vaezoo.compose([*SMALL, *overrides]))


def more(*overrides: str):
    return vaezoo.train(vaezoo.compose(["trainer.progress_bar=false", *overrides]))


def bytes_of(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != runs.LOCK)
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def read(folder: Path, name: str):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    return train("trainer.max_epochs=2", "evaluate.k=3", f"run_dir={tmp_path_factory.mktemp('runs') / 'run'}").path


@pytest.fixture
def run(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_results_name_the_weights_that_they_were_measured_on(run) -> None:
    weights = checksum(run / runs.WEIGHTS)
    assert read(run, runs.RESULTS)["weights"] == read(run, runs.RECORD)["weights"] == weights
    evaluate_run(run, k=2, progress=False)
    assert [entry["weights"] for entry in read(run, runs.RESULTS)["others"]] == [weights]


def test_a_finished_folder_is_refused_and_stays_as_it_was(run) -> None:
    before = bytes_of(run)
    with pytest.raises(UsageError, match=r"holds a finished run: .* resume=.* overwrite=true"):
        train("variant=beta_vae", f"run_dir={run}")
    assert bytes_of(run) == before


def test_an_unfinished_run_with_a_checkpoint_is_refused(run) -> None:
    (run / runs.WEIGHTS).unlink()
    (run / runs.RECORD).write_text(json.dumps({**read(run, runs.RECORD), "status": "interrupted"}))
    with pytest.raises(UsageError, match=r"holds an unfinished run \(interrupted\): .* resume="):
        train(f"run_dir={run}")


def test_overwrite_replaces_everything_that_the_old_run_left(run) -> None:
    (run / "samples.png").write_bytes(b"of the old weights")
    own = train(
        "variant=autoencoder",
        "trainer.max_epochs=1",
        "evaluate.k=0",
        "callbacks=none",
        f"run_dir={run}",
        "overwrite=true",
    )
    assert own.path == run
    assert not {"samples.png", "pictures/samples.png", "checkpoints/last.ckpt", runs.HISTORY} & bytes_of(run).keys()


def test_overwrite_keeps_the_old_run_where_the_new_one_cannot_start(run) -> None:
    before = bytes_of(run)
    for wrong in (["variant=stacked_autoencoder", "trainer.max_epochs=1"], ["prior=vamp", "posterior=full"]):
        with pytest.raises(UsageError):
            train(*wrong, f"run_dir={run}", "overwrite=true")
    assert bytes_of(run) == before


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["latent=7"], "latent=7 cannot change on resume: .* keeps its latent=2"),
        (["encoder.hidden=[7]"], r"keeps its encoder.hidden=\[8\]"),
        (["seed=1"], "keeps its seed=0"),
        (["trainer.max_epochs=1"], "trainer.max_epochs=1 is less than the 2 epochs"),
        (["dataset.batch_size=100000"], "keeps its dataset.batch_size=128"),
        (["optimizer=adamw"], "keeps its optimizer=adam"),
        (["trainer.ema=0.9"], "keeps its trainer.ema=null"),
        (["run_dir=elsewhere"], "run_dir=elsewhere cannot change"),
    ],
)
def test_what_cannot_change_on_resume_leaves_the_run_as_it_was(run, overrides, message) -> None:
    before = bytes_of(run)
    with pytest.raises(UsageError, match=message):
        more(f"resume={run}", *overrides)
    assert bytes_of(run) == before


def test_a_checkpoint_of_another_model_or_a_broken_one_is_refused(run, tmp_path) -> None:
    other = train("encoder.hidden=[9]", "trainer.max_epochs=1", "evaluate.k=0", f"run_dir={tmp_path / 'other'}").path
    last = run / "checkpoints" / "last.ckpt"
    shutil.copy(other / "checkpoints" / "last.ckpt", last)
    before = bytes_of(run)
    with pytest.raises(UsageError, match=r"weights of another model: .*encoder.* is \[9, 64\] instead of \[8, 64\]"):
        more(f"resume={run}", "trainer.max_epochs=3")
    assert bytes_of(run) == before
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(UsageError, match="cannot be read"):
        more(f"resume={run}", "trainer.max_epochs=3")


def test_a_run_goes_on_from_its_latest_checkpoint(run) -> None:
    last, best = (run / "checkpoints" / name for name in ("last.ckpt", "best.ckpt"))
    for first, latest in ((1, best), (2, last)):
        os.utime(last, (first, first))
        os.utime(best, (3 - first, 3 - first))
        assert checkpoint(run) == latest
    last.unlink()
    assert checkpoint(run) == best and checkpoint(run / "nowhere") is None


def test_a_run_that_had_stopped_early_is_not_trained_further(tmp_path) -> None:
    options = ["trainer.max_epochs=30", "trainer.early_stopping=2", "optimizer.lr=1e-12", "evaluate.k=1"]
    path = train(*options, f"run_dir={tmp_path / 'run'}").path
    before = read(path, runs.RECORD)
    more(f"resume={path}", "evaluate.k=2")
    after = read(path, runs.RECORD)
    assert before["epochs"] < 6 and (after["epochs"], after["weights"]) == (before["epochs"], before["weights"])


def test_results_of_earlier_weights_are_history(run) -> None:
    old = read(run, runs.RECORD)["weights"]
    more(f"resume={run}", "trainer.max_epochs=3", "evaluate.k=2")
    results, (past,) = read(run, runs.RESULTS), read(run, runs.HISTORY)["evaluations"]
    assert (results["k"], results["others"], past["k"], past["weights"]) == (2, [], 3, old)
    assert results["weights"] == read(run, runs.RECORD)["weights"] != old


def test_a_damaged_file_of_results_does_not_keep_a_run_from_going_on(run, capsys) -> None:
    (run / runs.RESULTS).write_text((run / runs.RESULTS).read_text()[:30])
    more(f"resume={run}", "trainer.max_epochs=3", "evaluate.k=2")
    assert "results.json is damaged" in capsys.readouterr().err
    assert read(run, runs.RESULTS)["k"] == 2 and runs.state(run) == "finished"


@pytest.mark.parametrize("name", [runs.RESULTS, runs.CONFIG, runs.WEIGHTS])
def test_a_finished_job_with_a_damaged_file_is_trained_again(name, tmp_path) -> None:
    config = vaezoo.compose([*SMALL, "trainer.max_epochs=1", "evaluate.k=2", f"run_dir={tmp_path}/job"])
    run_once(config)
    weights = (tmp_path / "job" / runs.WEIGHTS).read_bytes()
    file = tmp_path / "job" / name
    file.write_bytes(file.read_bytes()[:30])
    assert runs.state(tmp_path / "job") == "broken"
    run_once(config)
    assert runs.state(tmp_path / "job") == "finished" and (tmp_path / "job" / runs.WEIGHTS).read_bytes() == weights


def test_a_run_that_goes_on_has_no_weights_and_no_results_until_it_is_finished(run, monkeypatch) -> None:
    class Full(RuntimeError):
        pass

    def fail(*arguments, **options):
        raise Full

    monkeypatch.setattr("vaezoo.variants.vae.VAE.terms", fail)
    with pytest.raises(Full):
        more(f"resume={run}", "trainer.max_epochs=3")
    assert not (run / runs.WEIGHTS).exists() and not (run / runs.RESULTS).exists()
    assert [entry["k"] for entry in read(run, runs.HISTORY)["evaluations"]] == [3]
    with pytest.raises(UsageError, match=runs.WEIGHTS):
        evaluate_run(run, k=1, progress=False)
    monkeypatch.undo()
    more(f"resume={run}", "trainer.max_epochs=2", "evaluate.k=2")  # to where it was: the same weights again
    results = read(run, runs.RESULTS)
    assert not (run / runs.HISTORY).exists() and [results["k"], *(each["k"] for each in results["others"])] == [3, 2]


def test_evaluate_waits_for_nobody_who_fills_the_folder(run) -> None:
    with runs.hold(run), pytest.raises(UsageError, match="in use by another process"):
        evaluate_run(run, k=1, progress=False)


def test_options_of_the_optimizer_that_change_on_resume_take_effect(run) -> None:
    before = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    done = more(f"resume={run}", "trainer.max_epochs=3", "optimizer.lr=1e-12", "evaluate.k=0")
    for name, value in done.model.state_dict().items():
        torch.testing.assert_close(value, before[name], atol=1e-9, rtol=0)


def test_evaluate_takes_a_split_and_a_limit(run, capsys) -> None:
    assert cli.main(["evaluate", str(run), "--k", "1", "--split", "val", "--limit", "30", "--threads", "1"]) == 0
    assert "val split, 30 images, k=1" in capsys.readouterr().out
    assert cli.main(["evaluate", str(run), "--limit", "0"]) == 2
    assert "--limit: 0 must be a whole number from 1" in capsys.readouterr().err


def test_data_that_have_changed_are_refused(tmp_path) -> None:
    file, rng = tmp_path / "x.npz", np.random.default_rng(0)
    np.savez(file, x=rng.random((100, 5)).astype("float32"))
    source = ["dataset=arrays", f"dataset.path={file}", f"run_dir={tmp_path / 'run'}", "likelihood=gaussian"]
    path = train(*source, "trainer.max_epochs=1", "evaluate.k=1").path
    np.savez(file, x=10 * rng.random((100, 5)).astype("float32"))
    datamodule._cache.clear()
    for use in (lambda: evaluate_run(path, k=1), lambda: load_data(path), lambda: more(f"resume={path}")):
        before = bytes_of(path)
        with pytest.raises(UsageError, match="was trained on other data"):
            use()
        assert bytes_of(path) == before
    assert evaluate_run(path, k=1, progress=False, allow_other_data=True)["k"] == 1
    more(f"resume={path}", "allow_other_data=true", "trainer.max_epochs=2", "evaluate.k=1")
