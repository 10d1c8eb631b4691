"""Numbers reach their files, once, and stay there."""

import csv
import json
import math
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer

from vaezoo.callbacks import loggers
from vaezoo.callbacks.loggers import MetricsCSV, close, make_loggers
from vaezoo.callbacks.record import Record
from vaezoo.data.datamodule import DataModule
from vaezoo.errors import UsageError
from vaezoo.variants.vae import VAE


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_columns_grow_and_steps_share_a_row(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"train/loss": 3.0}, step=50)
    logger.save()
    logger.log_metrics({"train/loss": 2.0}, step=100)
    logger.save()
    logger.log_metrics({"train/loss": 1.0}, step=150)
    logger.log_metrics({"val/elbo": -1.5, "epoch": 0}, step=150)
    logger.finalize("success")
    written = rows(tmp_path / "metrics.csv")
    assert [row["step"] for row in written] == ["50", "100", "150"]
    assert [row["val/elbo"] for row in written] == ["", "", "-1.5"]
    assert [float(row["train/loss"]) for row in written] == [3.0, 2.0, 1.0]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_file_is_written_every_few_seconds(tmp_path, monkeypatch):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"a": 1.0}, step=1)
    assert not (tmp_path / "metrics.csv").exists()
    monkeypatch.setattr(loggers, "SECONDS", -1.0)
    logger.log_metrics({"a": 2.0}, step=2)
    assert len(rows(tmp_path / "metrics.csv")) == 2


def test_resume_keeps_earlier_rows_and_replaces_later_ones(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,old\n50,0,5.0\n100,1,4.0\n150,2,3.0\n200,2,")  # killed while it wrote a line
    logger = MetricsCSV(path, resuming=True)
    logger.log_metrics({"new": 1.0}, step=150)
    logger.save()
    assert [(row["step"], row["old"], row["new"]) for row in rows(path)] == [
        ("50", "5.0", ""),
        ("100", "4.0", ""),
        ("150", "", "1.0"),
    ]


def test_new_run_does_not_keep_another_runs_rows(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,old\n50,0,5.0\n")
    logger = MetricsCSV(path)
    logger.log_metrics({"new": 1.0}, step=150)
    logger.save()
    assert rows(path) == [{"step": "150", "epoch": "", "new": "1.0"}]


CONFIG = {"seed": 0, "choices": {"variant": "vae", "dataset": "digits", "likelihood": "bernoulli"}}


def options(name: str):
    wandb = {"project": "p", "group": "g", "job_type": "train", "tags": ["mine"], "offline": True}
    return OmegaConf.create({"name": name, **wandb})


def test_names(tmp_path):
    assert make_loggers(options("none"), tmp_path, CONFIG) == []
    assert [type(logger) for logger in make_loggers(options("csv"), tmp_path, CONFIG)] == [MetricsCSV]
    with pytest.raises(UsageError, match="did you mean 'wandb'"):
        make_loggers(options("wandbb"), tmp_path, CONFIG)


def test_missing_tensorboard_is_told_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install vaezoo\[tensorboard\]"):
        make_loggers(options("tensorboard"), tmp_path, CONFIG)


def test_wandb_runs_are_apart_and_a_resumed_run_keeps_its_id(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    ids = []
    for folder, resuming in (("a", False), ("b", False), ("a", True)):
        made = make_loggers(options("wandb"), tmp_path / folder, CONFIG, resuming)
        made[1].log_metrics({"loss": 1.0}, step=1)
        run = made[1].experiment
        ids.append(run.id)
        assert set(run.tags) == {"vae", "digits", "bernoulli", "mine"} and run.group == "g"
        close(made)
    assert ids[0] == ids[2] != ids[1]
    assert (tmp_path / "a" / "wandb_id.txt").read_text().strip() == ids[0]
    assert len(list((tmp_path / "b" / "wandb").glob(f"offline-run-*-{ids[1]}"))) == 1


def fit(tmp_path, model=None, **flags):
    digits = DataModule("digits")
    digits.setup()
    model = model or VAE(shapes=digits.shapes((2,)))
    config = SimpleNamespace(seed=0)
    record = Record(tmp_path, config, digits, model)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[record], max_epochs=2, **quiet, **flags)
    trainer.fit(model, datamodule=digits)


def test_record_says_what_was_run(tmp_path):
    fit(tmp_path, limit_train_batches=3)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["status"] == "finished" and run["reason"] is None
    assert run["shapes"]["event"] == [1, 8, 8] and run["shapes"]["latent"] == [2]
    assert run["data"]["name"] == "digits" and len(run["data"]["checksum"]) == 16
    assert run["parameters"]["total"] >= run["parameters"]["trainable"] > 0
    assert run["images_per_second"] == pytest.approx(2 * 3 * 128 / run["seconds"], rel=0.05)
    assert run["hardware"]["matmul_precision"] == torch.get_float32_matmul_precision()
    assert run["versions"]["vaezoo"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_record_says_why_a_run_failed(tmp_path):
    digits = DataModule("digits")
    digits.setup()
    model = VAE(shapes=digits.shapes((2,)))
    model.terms = lambda batch: 1 / 0
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, model)
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["status"] == "failed" and "ZeroDivisionError" in run["reason"]
    assert math.isfinite(run["seconds"])
