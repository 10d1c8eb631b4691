"""One run from its configuration to its folder, and back."""

import csv
import json

import pytest
import torch

import vaezoo
from vaezoo.errors import UsageError
from vaezoo.interruption import Interrupted

SMALL = ["encoder.hidden=[16]", "decoder.hidden=[16]", "latent=2", "trainer.progress_bar=false", "hardware.threads=1"]


def run(tmp_path, *overrides, name="run"):
    return vaezoo.train(vaezoo.compose([*SMALL, "evaluate.k=3", *overrides, f"run_dir={tmp_path / name}"]))


def test_a_run_folder_holds_everything_that_the_run_was(tmp_path) -> None:
    done = run(tmp_path, "trainer.max_epochs=2", "dataset.binarise=static", "likelihood=bernoulli")
    found = {str(path.relative_to(done.path)) for path in done.path.rglob("*") if path.is_file()}
    pictures = {f"pictures/{name}.png" for name in ("reconstructions", "samples", "traversals", "latent")}
    files = {"config.yaml", "run.json", "metrics.csv", "results.json", "model.safetensors"}
    assert found == files | pictures | {"checkpoints/last.ckpt", "checkpoints/best.ckpt", ".lock"}
    about = json.loads((done.path / "run.json").read_text())
    assert about["status"] == "finished" and about["data"]["checksum"] and about["versions"]["torch"]
    assert json.loads((done.path / "results.json").read_text())["nll"] == done.results["nll"]


def test_metrics_rows_are_in_order_and_hold_raw_terms(tmp_path) -> None:
    done = run(tmp_path, "trainer.max_epochs=3", "variant=beta_vae", "trainer.log_every_n_batches=4")
    rows = list(csv.DictReader((done.path / "metrics.csv").open()))
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(set(steps))
    last = rows[-1]
    assert float(last["val/loss"]) == pytest.approx(
        float(last["val/distortion"]) + 4 * float(last["val/rate"]), rel=1e-4
    )
    assert float(last["val/elbo"]) == pytest.approx(-float(last["val/distortion"]) - float(last["val/rate"]), rel=1e-4)


def test_loaded_model_is_the_trained_one(tmp_path) -> None:
    done = run(tmp_path, "trainer.max_epochs=1", "prior=vamp", "prior.components=5")
    loaded = vaezoo.load(done.path)
    x = torch.rand(3, *loaded.shapes.event)
    assert torch.equal(loaded.encode(x), done.model.encode(x))
    assert loaded.sample(4).shape == (4, *loaded.shapes.event)
    with pytest.raises(UsageError, match="not a finished run"):
        vaezoo.load(tmp_path)


def test_resume_goes_on_in_the_runs_own_folder_and_configuration(tmp_path, monkeypatch) -> None:
    whole = run(tmp_path, "trainer.max_epochs=4", "variant=beta_vae", name="whole")
    cut = run(tmp_path, "trainer.max_epochs=4", "variant=beta_vae", name="cut")
    first = run(tmp_path, "trainer.max_epochs=2", "variant=beta_vae", name="short")
    more = vaezoo.train(vaezoo.compose([f"resume={first.path}", "trainer.max_epochs=4", "trainer.progress_bar=false"]))
    assert more.path == first.path and type(more.model).__name__ == "BetaVAE"
    for a, b, c in zip(*(each.model.state_dict().values() for each in (whole, cut, more)), strict=True):
        assert torch.equal(a, b) and torch.equal(a, c)
    rows = [
        (row["step"], row["train/loss"], row["val/loss"]) for row in csv.DictReader((whole.path / "metrics.csv").open())
    ]
    assert rows == [
        (r["step"], r["train/loss"], r["val/loss"]) for r in csv.DictReader((more.path / "metrics.csv").open())
    ]
    with pytest.raises(UsageError, match="variant=vae cannot change on resume"):
        vaezoo.train(vaezoo.compose([f"resume={first.path}", "variant=vae"]))
    with pytest.raises(UsageError, match="there is no"):
        vaezoo.train(vaezoo.compose([f"resume={tmp_path / 'nowhere'}"]))


def test_early_stopping_belongs_to_the_last_stage(tmp_path) -> None:
    stack = ["variant=stacked_autoencoder", "variant.hidden=[8]", "variant.greedy=1.0", "optimizer.lr=1e-9"]
    overrides = [*stack, "trainer.max_epochs=30", "trainer.early_stopping=2", "trainer.progress_bar=false", "latent=2"]
    done = vaezoo.train(vaezoo.compose([*overrides, "callbacks=none", f"run_dir={tmp_path / 'stack'}"]))
    epochs = json.loads((done.path / "run.json").read_text())["epochs"]
    assert 20 < epochs < 28  # two stages of ten epochs each, then a few of the third


def test_averaged_weights_are_what_a_run_leaves(tmp_path) -> None:
    plain = run(tmp_path, "trainer.max_epochs=2", name="plain")
    averaged = run(tmp_path, "trainer.max_epochs=2", "trainer.ema=0.9", name="averaged")
    last = torch.load(averaged.path / "checkpoints" / "last.ckpt", weights_only=True)
    for name, value in averaged.model.state_dict().items():
        assert torch.equal(value, last["state_dict"][name])
        torch.testing.assert_close(last["current_model_state"][name], plain.model.state_dict()[name])


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["likelihood=bernoulli"], "likelihood=bernoulli needs binary values .* use likelihood=discretised_logistic"),
        (["prior=vamp", "posterior=full"], "prior=vamp needs posterior=diagonal"),
        (["variant=autoencoder", "prior=vamp"], "prior=vamp has no effect: variant=autoencoder uses"),
        (["encoder=none"], "encoder=none does not fit variant=vae"),
        (["variant=stacked_autoencoder", "trainer.max_epochs=2"], "max_epochs=2 is too few"),
        (["variant=vae_gan", "trainer.accumulate=2"], "accumulate_grad_batches.* does not work"),
    ],
)
def test_what_does_not_fit_is_one_sentence_before_training(tmp_path, overrides, message) -> None:
    config = vaezoo.compose([*overrides, "trainer.progress_bar=false", f"run_dir={tmp_path / 'run'}"])
    with pytest.raises(UsageError, match=message):
        vaezoo.train(config)


def test_a_relaxed_bernoulli_is_reported_as_no_likelihood(tmp_path) -> None:
    done = run(tmp_path, "trainer.max_epochs=1", "likelihood=bernoulli", "likelihood.allow_relaxed=true")
    assert any("not a likelihood" in reason for reason in done.results["reasons"].values())


def test_an_interrupted_run_says_so_in_its_record(tmp_path, monkeypatch) -> None:
    import os
    import signal

    from vaezoo.variants.vae import VAE

    start = VAE.on_train_epoch_start

    def stop(self) -> None:
        start(self)
        if self.current_epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(VAE, "on_train_epoch_start", stop)
    with pytest.raises(Interrupted):
        run(tmp_path, "trainer.max_epochs=3")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
