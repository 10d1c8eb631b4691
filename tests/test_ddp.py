"""Two processes with gloo train, validate and evaluate as one process does at the same global batch."""

import math
import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from pytorch_lightning import Trainer

from tests.conftest import quick_trainer
from vaezoo.data.datamodule import DataModule
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.meters import NotFiniteError
from vaezoo.networks import conv, mlp
from vaezoo.train import _strategy
from vaezoo.variants.beta_vae import BetaVAE
from vaezoo.variants.stacked_autoencoder import StackedAutoencoder
from vaezoo.variants.vae_gan import VAEGAN
from vaezoo.variants.vamp_vae import VampVAE

GLOBAL_BATCH = 200
DENSE = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}
CONV = {"encoder": partial(conv.Encoder, channels=(8,)), "decoder": partial(conv.Decoder, channels=(8,))}
MODELS = {
    "beta_vae": lambda shapes: BetaVAE(shapes=shapes, beta={"linear": {"end": 2.0}}, **DENSE),
    "vamp_vae": lambda shapes: VampVAE(shapes=shapes, **DENSE),
    "stacked_autoencoder": lambda shapes: StackedAutoencoder(shapes=shapes, hidden=(16,), greedy=0.5),
    "vae_gan": lambda shapes: VAEGAN(shapes=shapes, **CONV),
}


def train_all(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if world > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0}
        fixed = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 29533, "TORCHELASTIC_RUN_ID": "test", **place}
        os.environ.update({name: str(value) for name, value in fixed.items()})
    found = {}
    for name, make in MODELS.items():
        sizes = {"batch_size": GLOBAL_BATCH // world, "eval_batch_size": 100 // world}
        data = DataModule("digits", **sizes, val_size=300, drop_last=True)
        data.setup()
        torch.manual_seed(0)
        model = make(data.shapes((4,)))
        trainer: Trainer = quick_trainer(
            devices=world, strategy=_strategy("ddp" if world > 1 else "auto", model), max_epochs=3
        )
        trainer.fit(model, datamodule=data)
        report = evaluate(model, data, k=5, progress=False, limit=100)
        names = ("nll", "rate", "distortion", "squared_error", "active_units")
        numbers = {key: report[key] for key in names if report[key] is not None}
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        found[name] = {"weights": model.state_dict(), "metrics": metrics, "report": numbers}
    found["error"] = error_of_rank_1(world)
    torch.save(found, folder / f"{world}-{rank}.pt")


def error_of_rank_1(world: int) -> str | None:
    """What every process raises when a term of the last one becomes NaN."""
    data = DataModule("digits", batch_size=100 // world)
    data.setup()
    model = BetaVAE(shapes=data.shapes((4,)), **DENSE)
    terms = model.terms
    model.terms = lambda batch: terms(batch).weighted(rate=math.nan if model.global_rank == world - 1 else 1.0)
    trainer = quick_trainer(
        devices=world, strategy=_strategy("ddp" if world > 1 else "auto", model), log_every_n_steps=1
    )
    try:
        trainer.fit(model, datamodule=data)
    except NotFiniteError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    multiprocessing.spawn(train_all, (1, folder), nprocs=1)
    multiprocessing.spawn(train_all, (2, folder), nprocs=2)
    return [torch.load(folder / f"{name}.pt") for name in ("1-0", "2-0", "2-1")]


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_train_to_the_weights_of_one(outcomes, name) -> None:
    one, first, second = (outcome[name]["weights"] for outcome in outcomes)
    for key in one:
        assert torch.equal(first[key], second[key]), f"{key} differs between the processes"
        torch.testing.assert_close(
            first[key], one[key], atol=1e-5, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_every_process_stops_at_a_term_that_is_not_finite_on_one(outcomes) -> None:
    one, first, second = (outcome["error"] for outcome in outcomes)
    assert one.startswith("loss became nan at batch 1") and second == one
    assert first.startswith("a term of another process is not finite")


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_measure_what_one_measures(outcomes, name) -> None:
    one, first, second = (outcome[name] for outcome in outcomes)
    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one["metrics"], rel=1e-4)
    assert first["report"] == second["report"]
    assert first["report"] == pytest.approx(one["report"], rel=1e-4)
