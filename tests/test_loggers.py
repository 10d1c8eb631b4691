"""Numbers reach their files, once, and stay there."""

import csv
import importlib.util
import json
import math
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from omegaconf import OmegaConf
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from tests import wandb_file
from tests.conftest import quick_trainer
from vaezoo import compose
from vaezoo.callbacks import loggers, metrics_csv
from vaezoo.callbacks.checkpoints import Checkpoints
from vaezoo.callbacks.flat import flat_config, flat_results
from vaezoo.callbacks.loggers import close, make_loggers
from vaezoo.callbacks.metrics_csv import MetricsCSV
from vaezoo.callbacks.record import Record
from vaezoo.cli import main
from vaezoo.data.datamodule import DataModule
from vaezoo.errors import UsageError
from vaezoo.meters import NotFiniteError
from vaezoo.train import train
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


def test_rows_that_are_whole_are_written_every_few_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics_csv, "SECONDS", 1e6)
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"a": 1.0}, step=1)
    logger.log_metrics({"a": 2.0}, step=2)
    assert not (tmp_path / "metrics.csv").exists()
    monkeypatch.setattr(metrics_csv, "SECONDS", -1.0)
    logger.log_metrics({"b": 3.0}, step=2)
    logger.log_metrics({"a": 4.0}, step=3)
    assert [(row["a"], row["b"]) for row in rows(tmp_path / "metrics.csv")] == [("1.0", ""), ("2.0", "3.0")]


def test_a_row_that_grows_after_it_was_written_is_written_again_in_its_place(tmp_path):
    logger = MetricsCSV(tmp_path / "metrics.csv")
    logger.log_metrics({"a": 1.0, "b": 1.0}, step=1)
    logger.log_metrics({"a": 2.0}, step=2)
    logger.save()
    for metrics in ({"b": 3.0}, {"c": 4.0}):  # a column that is there, and a new one
        logger.log_metrics(metrics, step=2)
        logger.save()
    logger.log_metrics({"a": 5.0}, step=3)
    logger.save()
    found = [(row["step"], row["a"], row["b"], row["c"]) for row in rows(tmp_path / "metrics.csv")]
    assert found == [("1", "1.0", "1.0", ""), ("2", "2.0", "3.0", "4.0"), ("3", "5.0", "", "")]


def test_metrics_reach_as_far_as_the_checkpoint(tmp_path):
    class Look(Checkpoints):
        """Reads metrics.csv at each save, as it lies on disk."""

        seen: list[tuple[int, int]] = []

        def save(self, trainer, name):
            super().save(trainer, name)
            step = torch.load(self.folder / f"{name}.ckpt")["loops"]["fit_loop"]["epoch_loop.batch_progress"]
            self.seen.append((int(rows(tmp_path / "metrics.csv")[-1]["step"]), step["total"]["processed"]))

    data = DataModule("digits", batch_size=200)
    data.setup()
    logger = MetricsCSV(tmp_path / "metrics.csv")
    trainer = quick_trainer(max_epochs=2, logger=logger, callbacks=[Look(tmp_path)])
    trainer.fit(VAE(shapes=data.shapes((2,))), datamodule=data)
    assert Look.seen and all(row == trained for row, trained in Look.seen)
    steps = [row["step"] for row in rows(tmp_path / "metrics.csv")]
    assert len(set(steps)) == len(steps)


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
    kinds = [type(logger) for logger in make_loggers(options(["csv", "tensorboard"]), tmp_path, CONFIG)]
    assert kinds == [MetricsCSV, TensorBoardLogger]


def test_several_loggers_are_chosen_by_a_list():
    assert compose(["logger=[wandb,tensorboard]"]).logger.name == ["wandb", "tensorboard"]
    for given, message in {"[wandb,none]": "none alone", "[csv,wandbb]": "did you mean 'wandb'"}.items():
        with pytest.raises(UsageError, match=message):
            compose([f"logger={given}"])
    with pytest.raises(UsageError, match="a run takes one variant"):
        compose(["variant=[vae,beta_vae]"])


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


# -- whole runs, read back ---------------------------------------------------------------------------------------------

SMALL = [
    *("dataset=digits", "likelihood=laplace", "latent=3", "encoder.hidden=[8]", "decoder.hidden=[8]"),
    *("trainer.max_epochs=2", "trainer.limit_train_batches=3", "trainer.progress_bar=false", "evaluate.k=2"),
    *("hardware=cpu", "hardware.threads=1", "callbacks.pictures_every_n_epochs=1", "callbacks.checkpoints=false"),
]
PICTURES = {"pictures/reconstructions", "pictures/samples", "pictures/traversals"}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in; what a command changes in this process is put back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    for name in ("HYDRA_FULL_ERROR", "WANDB_MODE"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    yield tmp_path
    torch.set_float32_matmul_precision(precision)
    torch.set_num_threads(threads)


def files_of_wandb(run: Path) -> list[Path]:
    return sorted(run.glob("wandb/offline-run-*/*.wandb"))


def logged_by(run: Path) -> tuple[set[str], dict[str, float]]:
    """Names in metrics.csv, and numbers of results.json as the loggers name them."""
    (names, *_) = [set(row) for row in rows(run / "metrics.csv")]
    return names, flat_results(json.loads((run / "results.json").read_text()))


def test_jobs_of_one_process_are_runs_of_their_own_in_wandb_and_hold_what_they_logged(place):
    swept = ["train", "-m", *SMALL, "seed=0,1", "logger=wandb", "logger.group=night", "hydra/launcher=basic"]
    assert main([*swept, "hydra.sweep.dir=sweep"]) == 0
    found = [next(path.parent.rglob("wandb_id.txt")).parent for path in sorted((place / "sweep").glob("*/config.yaml"))]
    assert len(found) == 2
    ids = set()
    for seed, run in enumerate(found):
        (file,) = files_of_wandb(run)
        told = wandb_file.read_ended(file)
        ids.add(told.run.run_id)
        assert told.run.run_id == (run / "wandb_id.txt").read_text().strip() and told.exit_code == 0
        assert told.run.run_group == "night" and "vae" in told.run.display_name and run.name in told.run.display_name
        assert set(told.run.tags) == {"vae", "digits", "laplace"}
        assert (told.config["variant"], told.config["dataset"], told.config["seed"]) == ("vae", "digits", seed)
        assert told.config["optimizer/lr"] == 1e-3 and "choices" not in told.config

        names, numbers = logged_by(run)
        tables = {"pictures/epochs", "test/kl_per_dimension_table"}
        told_tables = tables | ({"test/reasons"} if "test/reasons" in told.keys else set())
        assert told.keys == (names - {"step"}) | {"trainer/global_step"} | set(numbers) | PICTURES | told_tables
        for row in rows(run / "metrics.csv"):
            step = [line for line in told.history if line["trainer/global_step"] == int(row["step"])]
            merged = {key: value for line in step for key, value in line.items()}
            for name in names - {"step"}:
                assert merged[name] == pytest.approx(float(row[name])), name
        assert {name: told.summary[name] for name in numbers} == pytest.approx(numbers)
        elbos = [float(row["val/elbo"]) for row in rows(run / "metrics.csv")]
        distortions = [float(row["val/distortion"]) for row in rows(run / "metrics.csv")]
        assert told.summary["val/elbo"]["max"] == pytest.approx(max(elbos))
        assert told.summary["val/distortion"]["min"] == pytest.approx(min(distortions))
        table = json.loads(next(file.parent.glob("files/media/table/test/kl*.json")).read_text())
        assert [nats for _, nats in table["data"]] == json.loads((run / "results.json").read_text())["kl_per_dimension"]
        drawn = sorted(file.parent.glob("files/media/table/pictures/epochs_*.json"))
        epochs = [json.loads(path.read_text())["data"][-1][0] for path in drawn]
        assert sorted(epochs) == [1, 2]
    assert len(ids) == 2


def test_a_run_that_fails_is_marked_failed_and_the_next_one_is_its_own(place):
    with pytest.raises(NotFiniteError):
        train(compose([*SMALL, "logger=wandb", "optimizer.lr=1e30", "run_dir=broken", "callbacks.pictures=false"]))
    train(compose([*SMALL, "logger=wandb", "run_dir=whole", "callbacks.pictures=false"]))
    broken, whole = (wandb_file.read_ended(*files_of_wandb(place / name)) for name in ("broken", "whole"))
    assert (broken.exit_code, whole.exit_code) == (1, 0)
    assert broken.run.run_id != whole.run.run_id

    assert main(["evaluate", "whole", "--k", "7"]) == 0
    first, second = (wandb_file.read_ended(path) for path in files_of_wandb(place / "whole"))
    assert first.run.run_id == second.run.run_id == whole.run.run_id
    assert second.history[-1]["test/k"] == 7
    assert second.history[-1]["trainer/global_step"] == first.history[-1]["trainer/global_step"]


def test_tensorboard_holds_what_metrics_csv_and_the_evaluation_hold(place):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = train(compose([*SMALL, "logger=tensorboard", "run_dir=a", "variant=beta_vae", "variant.beta=2.5"])).path
    told = EventAccumulator(str(run / "tensorboard"), {"scalars": 0, "images": 0})
    told.Reload()
    names, numbers = logged_by(run)
    assert set(told.Tags()["scalars"]) == (names - {"step"}) | set(numbers)
    for name in names - {"step"}:
        stored = [(int(row["step"]), pytest.approx(float(row[name]), rel=1e-6)) for row in rows(run / "metrics.csv")]
        assert [(event.step, event.value) for event in told.Scalars(name)] == stored, name
    assert {name: told.Scalars(name)[-1].value for name in numbers} == pytest.approx(numbers, rel=1e-5)
    assert set(told.Tags()["images"]) == PICTURES
    assert [event.step for event in told.Images("pictures/samples")] == [3, 6]
    assert "test/kl_per_dimension" in told.Tags()["distributions"]
    data = told.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    chosen = HParamsPluginData.FromString(data).session_start_info.hparams
    assert chosen["variant"].string_value == "beta_vae" and chosen["variant/beta"].number_value == 2.5
    data = told.SummaryMetadata("_hparams_/experiment").plugin_data.content
    shown = HParamsPluginData.FromString(data).experiment.metric_infos
    assert {metric.name.tag for metric in shown} == set(numbers)


def test_flat_names():
    config = compose(["variant=beta_vae", "variant.beta=8"])
    flat = flat_config(OmegaConf.to_container(config, resolve=True))
    assert flat["variant"] == "beta_vae" and flat["variant/beta"] == 8 and flat["seed"] == 0
    assert not [key for key in flat if "_target_" in key or key.startswith(("choices", "logger/", "callbacks/"))]
    assert not any(isinstance(value, dict) for value in flat.values())
    results = {
        **{"split": "test", "nll": 80.5, "elbo": None, "kl_per_dimension": [1.0], "others": [{"nll": 2.0}]},
        **{"measures": {"perplexity": 7.5}, "quality": {"prior": {"fid_clf": 3.0}, "maf": None}},
    }
    expected = {"test/nll": 80.5, "test/perplexity": 7.5, "test/quality/prior/fid_clf": 3.0}
    assert flat_results(results) == expected
    assert flat_results({}) == {}


def test_report_in_wandb_says_what_it_lacks(monkeypatch, capsys):
    script = Path(__file__).parents[1] / "scripts" / "wandb_report.py"
    spec = importlib.util.spec_from_file_location("wandb_report", script)
    report = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(report)
    monkeypatch.setattr(sys, "argv", ["wandb_report.py", "--entity", "me"])
    for package, key, told in ((None, True, "pip install wandb-workspaces"), ("there", False, "wandb login")):
        monkeypatch.setattr(report.importlib.util, "find_spec", lambda name, found=package: found)
        monkeypatch.setattr(report, "has_key", lambda found=key: found)
        assert report.main() == 2
        line = capsys.readouterr().err
        assert told in line and line.count("\n") == 1


# -- run.json ----------------------------------------------------------------------------------------------------------


def fit(tmp_path, model=None, **flags):
    digits = DataModule("digits")
    digits.setup()
    model = model or VAE(shapes=digits.shapes((2,)))
    config = SimpleNamespace(seed=0)
    record = Record(tmp_path, config, digits, model)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = Trainer(accelerator="cpu", logger=False, callbacks=[record], max_epochs=2, **quiet, **flags)
    try:
        trainer.fit(model, datamodule=digits)
        record.finish(trainer)
    except ArithmeticError as error:
        record.stop(trainer, error)
        raise


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
