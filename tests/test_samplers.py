"""Samplers that are fitted to codes after training."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaezoo import cli, samplers
from vaezoo.data.raw import Part
from vaezoo.data.split import Split
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.networks import conv, mlp
from vaezoo.priors.conditional import ConditionalPrior
from vaezoo.samplers import training
from vaezoo.samplers.codes import Codes
from vaezoo.samplers.fit import draw, fit
from vaezoo.samplers.flow import MaskedAutoregressiveFlow
from vaezoo.shapes import Shapes
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.cvae import CVAE
from vaezoo.variants.stacked_autoencoder import StackedAutoencoder
from vaezoo.variants.vae import VAE

SHAPES = Shapes(event=(2,), latent=(2,), support="real")
SMALL = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}
FAST = {"flow": {"steps": 2, "hidden": (16,)}, "two_stage": {"hidden": (16,)}}


class Identity(nn.Module):
    """A network that does nothing."""

    features = (2,)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return x


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    """Fewer steps than a user's samplers take."""
    monkeypatch.setattr(training, "LEAST", 300)
    monkeypatch.setattr(training, "MOST", 300)


def identity() -> Autoencoder:
    """An autoencoder whose code is x."""
    model = Autoencoder(shapes=SHAPES, encoder=Identity(), decoder=Identity(), likelihood=Gaussian)
    with torch.no_grad():
        model.posterior.head.weight.copy_(torch.eye(2))
        model.posterior.head.bias.zero_()
    return model.eval()


def module_of(x: Tensor) -> SimpleNamespace:
    """A stand-in for a DataModule."""
    return SimpleNamespace(split=lambda name: Split(name, Part(x)))


def correlated(n: int = 2000) -> Tensor:
    """Points of N((1, -2), [[1, .8], [.8, 1]]) with exactly these moments."""
    x = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    x = (x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov(correction=0))).T
    return (x @ torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.double).T + torch.tensor([1.0, -2.0])).float()


def bent(n: int = 2000) -> Tensor:
    """A banana: z2 is the square of z1, with little noise."""
    e = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    return torch.stack([e[:, 0], e[:, 0].square() + 0.3 * e[:, 1]], 1)


def assert_moments(z: Tensor, expected: Tensor, atol: float) -> None:
    torch.testing.assert_close(z.mean(0), expected.mean(0), rtol=0, atol=atol)
    torch.testing.assert_close(z.T.cov(), expected.T.cov(), rtol=0, atol=atol)


def test_every_sampler_is_found():
    assert samplers.names() == ["aggregate", "flow", "mixture", "prior", "two_stage"]


@pytest.mark.parametrize("name, options", [("mixture", {"components": 1}), ("aggregate", {}), ("flow", FAST["flow"])])
def test_samples_have_mean_and_covariance_of_the_codes(name, options):
    """A mixture of one component is the Gaussian with the moments of the codes; the others have them too."""
    x = correlated()
    sampler = fit(name, identity(), module_of(x), **options)
    with noise.seeded(1):
        assert_moments(sampler(20_000), x, atol=0.08)


def test_two_stage_learns_the_moments_of_the_codes(monkeypatch):
    monkeypatch.setattr(training, "LEAST", 800)
    monkeypatch.setattr(training, "MOST", 800)
    x = correlated()
    sampler = fit("two_stage", identity(), module_of(x), hidden=(32,))
    with noise.seeded(1):
        assert_moments(sampler(20_000), x, atol=0.2)


def test_mixture_finds_clusters_that_a_gaussian_does_not():
    x = torch.cat([correlated(500), correlated(500) + 10])
    sampler = fit("mixture", identity(), module_of(x), components=2)
    with noise.seeded(1):
        z = sampler(4000)
    between = ((z.sum(1) > 5) & (z.sum(1) < 13)).float().mean()  # the clusters' sums are -1 +- 1.9 and 19 +- 1.9
    assert between < 0.01 and (z.sum(1) > 9).float().mean() == pytest.approx(0.5, abs=0.03)


def test_aggregate_gives_posterior_samples_of_training_examples():
    x = bent(50)
    sampler = fit("aggregate", identity(), module_of(x))
    z = sampler(400)
    nearest = torch.cdist(z.double(), x.double()).min(1)
    assert nearest.values.max() < 1e-5 and len(nearest.indices.unique()) > 45


def test_flow_describes_a_bent_density_better_than_a_gaussian():
    x = bent()
    z = (x - x.mean(0)) / x.std(0)
    flow = MaskedAutoregressiveFlow(2, steps=3, hidden=(32,))
    start = flow.log_prob(z).mean()
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1).mean()
    torch.testing.assert_close(start, expected)
    with noise.seeded(0):
        training.train(flow, lambda batch: -flow.log_prob(batch).mean(), z, epochs=20)
    gaussian = torch.distributions.MultivariateNormal(z.mean(0), z.T.cov())
    fresh = (bent(4000)[2000:] - x.mean(0)) / x.std(0)
    assert flow.log_prob(fresh).mean() > gaussian.log_prob(fresh).mean() + 0.5


def test_flow_inverts_and_integrates_to_one():
    with noise.seeded(0):
        flow = MaskedAutoregressiveFlow(2, steps=2, hidden=(8,)).double()
        for parameter in flow.parameters():
            nn.init.normal_(parameter, std=0.2)
        u = torch.randn(50, 2, dtype=torch.double)
    z = flow.inverse(u)
    jacobians = torch.func.vmap(torch.func.jacrev(lambda point: flow_of(flow, point)))(z)
    torch.testing.assert_close(torch.stack([flow_of(flow, point) for point in z]), u)
    log_prob = torch.distributions.Normal(0.0, 1.0).log_prob(u).sum(1) + jacobians.det().abs().log()
    torch.testing.assert_close(flow.log_prob(z), log_prob)
    axis = torch.linspace(-12, 12, 400, dtype=torch.double)
    density = flow.log_prob(torch.cartesian_prod(axis, axis)).exp().sum() * (24 / 399) ** 2
    assert density.item() == pytest.approx(1.0, abs=1e-3)


def flow_of(flow: MaskedAutoregressiveFlow, z: Tensor) -> Tensor:
    """u of one z."""
    for step in flow.steps:
        mean, log_std = step(z[None])[0]
        z = (z - mean) * torch.exp(-log_std)
    return z


@pytest.mark.parametrize("name", samplers.names())
def test_a_sampler_is_a_function_of_its_seeds(name, digits, monkeypatch):
    monkeypatch.setattr(training, "MOST", 20)
    model = VAE(shapes=digits.shapes((2,)), **SMALL)
    options = FAST.get(name, {})
    first, again, other = (fit(name, model, digits, seed, **options) for seed in (0, 0, 1))
    drawn = []
    for sampler in (first, again, other):
        with noise.seeded(7):
            drawn.append(sampler(20))
    assert drawn[0].shape == (20, 2) and torch.equal(drawn[0], drawn[1])
    if name in ("flow", "two_stage"):
        assert not torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], first(20))
    assert model.training


def test_prior_sampler_is_the_ancestral_draw(digits):
    model = VAE(shapes=digits.shapes((2,)), **SMALL).eval()
    with noise.seeded(1):
        first = draw(model, 30, fit("prior", model, digits))
    with noise.seeded(1):
        assert torch.equal(first, model.sample(30))


@pytest.mark.parametrize("name", ["mixture", "aggregate"])
def test_grid_codes_keep_their_shape(name, digits):
    networks = {"encoder": partial(conv.Encoder, channels=(4, 8)), "decoder": partial(conv.Decoder, channels=(4, 8))}
    model = VAE(shapes=digits.shapes((3, 2, 2)), **networks).eval()
    sampler = fit(name, model, digits)
    assert sampler(5).shape == (5, 3, 2, 2)
    assert model.sample(5, sampler=sampler).shape == (5, 1, 8, 8)


@pytest.mark.parametrize("make", [Autoencoder, StackedAutoencoder])
def test_a_model_without_a_prior_is_sampled_through_its_codes(make, digits):
    networks = SMALL if make is Autoencoder else {"hidden": (16,)}
    model = make(shapes=digits.shapes((2,)), **networks).eval()
    pictures = draw(model, 6, fit("mixture", model, digits, components=3))
    assert pictures.shape == (6, 1, 8, 8) and pictures.std() > 0
    with pytest.raises(UsageError, match=r"^sampler=prior: .* has no prior; use one of aggregate"):
        fit("prior", model, digits)


def test_what_cannot_be_sampled_is_refused_in_one_sentence(digits):
    shapes = digits.shapes((2,))
    conditional = CVAE(shapes=shapes, prior=ConditionalPrior, **SMALL)
    with pytest.raises(UsageError, match="codes of a conditional model depend on its condition"):
        fit("mixture", conditional, digits)
    model = VAE(shapes=shapes, **SMALL)
    with pytest.raises(UsageError, match=r"sampler=mixtur must be one of .*; did you mean 'mixture'\?"):
        fit("mixtur", model, digits)
    model.posterior.support = "codes"
    with pytest.raises(UsageError, match="these latents live on codes: use sampler=prior or sampler=aggregate"):
        fit("flow", model, digits)
    assert fit("aggregate", model, digits)(3).shape == (3, 2)
    large = Codes(VAE(shapes=digits.shapes((600,)), **SMALL), digits.split("train"))
    with pytest.raises(UsageError, match="at most 512 values"), torch.no_grad():
        _ = large.flat


def test_the_command_writes_a_picture_or_an_array(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    from vaezoo import compose
    from vaezoo import train as run

    quick = ["trainer.max_epochs=1", "trainer.limit_train_batches=2", "trainer.progress_bar=false", "logger=none"]
    small = ["encoder.hidden=[16]", "decoder.hidden=[16]", "latent=2", "evaluate.k=0", "callbacks=none"]
    run(compose(["variant=autoencoder", "run_dir=auto", *quick, *small]))
    run(compose(["variant=cvae", "run_dir=conditional", *quick, *small]))
    capsys.readouterr()
    assert cli.main(["sample", "auto", "--sampler", "mixture", "--n", "9", "--out", "a.npy"]) == 0
    assert capsys.readouterr().out.strip() == "a.npy" and np.load("a.npy").shape == (9, 1, 8, 8)
    assert cli.main(["sample", "auto", "--sampler", "mixture", "--n", "9", "--out", "b.pt"]) == 0
    np.testing.assert_array_equal(torch.load("b.pt", weights_only=True).numpy(), np.load("a.npy"))
    assert cli.main(["sample", "conditional", "--n", "25", "--out", "c.png"]) == 0
    assert Path("c.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["sample", "auto"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: sampler=prior: Autoencoder has no prior; use one of") and error.count("\n") == 1
    assert cli.main(["sample", "auto", "--sampler", "mixture", "--out", "d.txt"]) == 2
    assert "must end in .png, .npy or .pt" in capsys.readouterr().err
