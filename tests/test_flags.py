"""Results that cannot be right are flagged, and sound ones are not."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from vaezoo import compose
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.evaluate.evaluate import evaluate, evaluate_run
from vaezoo.evaluate.results import format_results
from vaezoo.networks import mlp
from vaezoo.train import train
from vaezoo.variants.aae import AAE
from vaezoo.variants.annealed_vae import AnnealedVAE
from vaezoo.variants.beta_vae import BetaVAE
from vaezoo.variants.cvae import CVAE
from vaezoo.variants.vae import VAE

SMALL = {"encoder": partial(mlp.Encoder, hidden=(32,)), "decoder": partial(mlp.Decoder, hidden=(32,))}


def trained(folder, *overrides):
    quiet = ["logger=none", "callbacks=none", "trainer.progress_bar=false", f"run_dir={folder}", "evaluate.k=2"]
    return train(compose([*quiet, "dataset=digits", "latent=4", "hardware=cpu", *overrides]))


def flagged(model, digits):
    with noise.seeded(0):
        return evaluate(model, digits, k=1, limit=200, progress=False)["flags"]


def constant(module: nn.Module) -> None:
    """What the last layer of a part reads no longer matters."""
    nn.init.zeros_(module.weight)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sound") / "run", "trainer.max_epochs=8", "optimizer.lr=0.005")


def test_a_sound_run_has_no_flags(sound):
    assert sound.results["flags"] == []
    assert "WARNING" not in format_results(sound.results)


def test_diverged_training_is_flagged_and_printed(tmp_path):
    run = trained(tmp_path / "run", "trainer.max_epochs=1", "optimizer.lr=100")
    found = " ".join(run.results["flags"])
    assert "NLL" in found and "worse than the mean example" in found
    again = evaluate_run(run.path, k=2, progress=False)
    assert again["flags"] == run.results["flags"]
    assert all(f"WARNING: {flag}" in format_results(again) for flag in again["flags"])


def test_evaluations_of_earlier_versions_are_printed_without_flags(sound):
    assert "NLL" in format_results({key: value for key, value in sound.results.items() if key != "flags"})


@pytest.mark.parametrize(
    "cls, options, asked",
    [
        (BetaVAE, {"beta": 1.0}, False),
        (BetaVAE, {"beta": 4.0}, True),
        (AnnealedVAE, {"capacity": 5.0}, False),
        (AnnealedVAE, {"capacity": 0.0}, True),
    ],
)
def test_a_collapse_is_flagged_where_the_objective_does_not_ask_for_it(digits, cls, options, asked):
    model = cls(shapes=digits.shapes((3,)), **options, **SMALL)
    for parameter in model.posterior.parameters():
        nn.init.zeros_(parameter)
    assert any("posterior has collapsed" in flag for flag in flagged(model, digits)) != asked


@pytest.mark.parametrize("cls", [VAE, CVAE])
def test_equal_samples_are_flagged(digits, cls):
    model = cls(shapes=digits.shapes((3,)).replace(condition=(10,) if cls is CVAE else ()), **SMALL)
    constant(model.likelihood.location_scale.head.layer)
    assert any("samples are nearly equal" in flag for flag in flagged(model, digits))


@pytest.mark.parametrize("factor, lost", [(0.0, False), (1.0, True)])
def test_a_lost_game_is_flagged(digits, factor, lost):
    model = AAE(shapes=digits.shapes((3,)), hidden=(4,), **SMALL)
    with torch.no_grad():
        model.posterior.head.bias.fill_(50.0)  # far from the prior

    class Critic(nn.Module):
        def forward(self, z):
            return factor * (100 - z.square().sum(1))

    model.critic = Critic()
    assert any("critic has won" in flag for flag in flagged(model, digits)) == lost


def test_numbers_that_are_not_finite_are_flagged(digits):
    model = VAE(shapes=digits.shapes((3,)), **SMALL)
    with torch.no_grad():
        model.likelihood.location_scale.raw.fill_(torch.inf)
    assert any("not a finite number" in flag for flag in flagged(model, digits))


def test_codes_that_are_all_the_same_are_flagged(tmp_path):
    run = trained(tmp_path / "run", "variant=vq_vae", "encoder=mlp", "decoder=mlp", "prior=uniform_codes", "latent=8",
                  "trainer.max_epochs=1", "posterior.codes=1")  # fmt: skip
    assert any("codes have collapsed" in flag for flag in run.results["flags"])


def test_errors_of_standardised_data_are_compared_in_units_of_the_data(tmp_path):
    """Of columns whose scales differ by a factor of 1e6; the model reconstructs the mean."""
    rows = torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e3, 1.0, 1e-3])
    np.save(tmp_path / "rows.npy", rows.numpy())
    data = DataModule("arrays", path=str(tmp_path / "rows.npy"), standardise=True, val_size=100, test_size=100)
    data.setup()
    model = VAE(shapes=data.shapes((2,)), **SMALL)
    constant(model.likelihood.location_scale.head.layer)
    assert flagged(model, data) == ["all samples are nearly equal: their variance is 0.00% of that of the data"]
