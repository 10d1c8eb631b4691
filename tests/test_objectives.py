"""Re-weighted and constrained objectives, the second stage, and the log-cosh and MS-SSIM distortions."""

import math
from functools import partial

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch.distributions import Normal, kl_divergence
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from tests.conftest import quick_trainer
from tests.test_exact import D, N, batch_of, close, copy_of, gradients, linear
from vaezoo.distributions import noise
from vaezoo.distributions.hyperbolic_secant import HyperbolicSecant
from vaezoo.errors import UsageError
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.likelihoods.log_cosh import LogCosh
from vaezoo.networks import mlp
from vaezoo.shapes import Shapes
from vaezoo.similarity import ms_ssim
from vaezoo.variants.annealed_vae import AnnealedVAE
from vaezoo.variants.denoising_vae import DenoisingVAE
from vaezoo.variants.free_bits_vae import FreeBitsVAE
from vaezoo.variants.geco_vae import GecoVAE
from vaezoo.variants.log_cosh_vae import LogCoshVAE
from vaezoo.variants.ms_ssim_vae import MSSSIMVAE
from vaezoo.variants.two_stage_vae import TwoStageVAE

SMALL = {"encoder": partial(mlp.Encoder, hidden=(8,)), "decoder": partial(mlp.Decoder, hidden=(8,))}


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def x():
    """Correlated data, ``[N, D]``."""
    return torch.randn(N, D, dtype=torch.double) @ torch.randn(D, D, dtype=torch.double) + 1.0


@pytest.fixture
def pictures(digits):
    """A few digits, ``[8, 1, 8, 8]``."""
    return digits.split("train")[:8].x.double()


# -- rates -------------------------------------------------------------------------------------------------------------


def test_free_bits_is_the_sum_of_the_greater_of_lambda_and_the_mean_rate(x):
    model = linear(FreeBitsVAE)
    q = model.q(x)
    means = kl_divergence(Normal(q.mean, q.stddev), Normal(0.0, 1.0)).mean(0)  # [d]
    low, high = sorted(means.tolist())
    model.free = (low + high) / 2  # one dimension above lambda, one below
    terms = model.terms(batch_of(x))
    close(terms["free_bits"].item(), model.free + high)
    close(terms["rate"].mean().item(), low + high)
    close(terms.loss, terms["distortion"].mean() + terms["free_bits"])
    weight, _ = gradients(terms["free_bits"], model.posterior)
    moved = weight.unflatten(0, (2, -1)).abs().sum((0, 2)) > 0  # rows of mean and of log std, by dimension
    assert moved.tolist() == (means > model.free).tolist()


def test_annealed_penalty_vanishes_where_the_mean_rate_is_the_capacity(x):
    model = linear(AnnealedVAE, gamma=1000.0, growth=0.5)
    rates = model.elbo(x)["rate"].detach()
    model.capacity = rates.mean().item()
    assert rates.std() > 0.1  # per example the distance would not vanish
    terms = model.terms(batch_of(x))
    close(terms["distance"].item(), 0.0)
    for progress, capacity in ((0.0, 0.0), (0.25, model.capacity / 2), (0.5, model.capacity), (1.0, model.capacity)):
        model.growth.set(progress)
        close(model.terms(batch_of(x))["distance"].item(), model.capacity - capacity)
    model.capacity *= 3
    terms = model.terms(batch_of(x))
    close(terms.loss, terms["distortion"].mean() + 1000 * (model.capacity - terms["rate"].mean()))


def test_geco_multiplier_follows_the_constraint(x):
    model = linear(GecoVAE, step=0.5, momentum=0.75)
    expected, average = 0.0, 0.0
    for n, tolerance in enumerate((1e3, 3.0, 1.0, 0.5, 2.0)):
        model.tolerance = tolerance
        with noise.seeded(n):
            model.terms(batch_of(x))
            model.move()
        with noise.seeded(n):
            (latent,) = model.latents(x)
        squared_error = (x - model.decode(latent.z).mean).square().mean().item()
        average += max(1 / (n + 1), 0.25) * (squared_error / tolerance**2 - 1 - average)
        expected = min(20.0, max(-20.0, expected + 0.5 * average))
        close(model.log_multiplier.item(), expected)
    for tolerance, falls in ((1e3, True), (1e-3, False)):  # met with room to spare, violated
        other = linear(GecoVAE, tolerance=tolerance, step=1e-3)
        other.terms(batch_of(x))
        other.move()
        assert (other.log_multiplier < 0) == falls


def test_geco_multiplier_only_moves(digits):
    model = GecoVAE(shapes=digits.shapes((3,)), **SMALL, step=1.0, tolerance=0.1)
    batch = digits.split("train")[:8]
    for mode in (True, False):
        model.train(mode)
        with noise.seeded(1):
            before = model.terms(batch)
        with noise.seeded(1):
            assert torch.equal(model.terms(batch).loss, before.loss)
        assert model.moves == 0 and model.log_multiplier == 0
    model.train()
    quick_trainer(limit_train_batches=3, limit_val_batches=1).fit(model, datamodule=digits)
    assert model.moves == 3 and model.log_multiplier > 3
    terms = model.terms(batch)
    expected = model.log_multiplier.exp() * terms["distortion"].mean() + terms["rate"].mean()
    torch.testing.assert_close(terms.loss, expected)


# -- another x, another z ----------------------------------------------------------------------------------------------


def test_denoising_vae_reconstructs_the_clean_x_from_the_corrupted_one(x):
    model = linear(DenoisingVAE, corruption="masking", amount=1.0)
    with noise.seeded(1):
        noise.uniform(x.shape, like=x, batch=0)  # what the corruption draws
        expected = model.elbo(x, q=model.q(torch.zeros_like(x)))
    with noise.seeded(1):
        terms = model.terms(batch_of(x))
    close(dict(terms), dict(expected))
    with noise.seeded(1):
        noisy = linear(DenoisingVAE, corruption="gaussian", amount=0.5)
        noisy.load_state_dict(model.state_dict())
    rates = [noisy.terms(batch_of(x))["rate"] for _ in range(2)]
    assert (rates[0] != rates[1]).all()  # the code's posterior depends on the noise


def test_second_stage_leaves_the_first_alone(digits):
    model = TwoStageVAE(shapes=digits.shapes((3,)), **SMALL, hidden=(8,))
    seen = [copy_of(model)]
    remember = LambdaCallback(on_train_epoch_end=lambda *_: seen.append(copy_of(model)))
    quick_trainer(max_epochs=2, limit_val_batches=0, callbacks=[remember]).fit(model, datamodule=digits)
    for k, in_second in enumerate((False, True)):
        changed = {name for name in seen[k] if not torch.equal(seen[k][name], seen[k + 1][name])}
        assert changed == {name for name in seen[k] if name.startswith("second.") == in_second}


def test_learned_variance_is_best_at_the_squared_error(x):
    model = linear(TwoStageVAE, hidden=(4,), likelihood=partial(Gaussian, bounded=False))
    z, scale = model.encode(x), model.likelihood.location_scale
    squared_error = (x - model.decode(z).mean).square().mean().item()
    for factor in (0.5, 1.0, 2.0):
        with torch.no_grad():
            std = math.sqrt(factor * squared_error)
            scale.raw.fill_(scale.least + math.log(math.expm1(math.log(std) - scale.least)))
        distortion = -model.decode(z).log_prob(x).mean()
        (slope,) = torch.autograd.grad(distortion, [scale.raw])
        expected = 0.5 * D * (math.log(2 * math.pi * factor * squared_error) + 1 / factor)
        assert distortion.item() == pytest.approx(expected)
        assert slope.item() == pytest.approx(0.0, abs=1e-6) if factor == 1 else (slope > 0) == (factor > 1)


def test_two_stage_bound_is_that_of_the_first_stage(x):
    model = linear(TwoStageVAE, hidden=(4,))
    (first,), (second,) = (stage.updates for stage in model.stages)
    with noise.seeded(1):
        expected = model.elbo(x)
    with noise.seeded(1):
        found = first.terms(batch_of(x))
    close(dict(found), dict(expected))
    with noise.seeded(1):
        codes = model.second.elbo(model.latents(x)[0].z)
    with noise.seeded(1):
        found = second.terms(batch_of(x))
    close(found["code_distortion"] + found["code_rate"], -codes.elbo)
    with noise.seeded(1):
        terms = model.terms(batch_of(x))
    close(terms.elbo, -terms["distortion"] - terms["rate"])
    close(dict(terms, **expected), dict(terms))


def test_samples_come_through_the_second_stage(x):
    model = linear(TwoStageVAE, hidden=(4,))
    second = model.second.likelihood.location_scale
    with torch.no_grad():
        second.head.layer.weight.zero_()
        second.head.layer.bias.copy_(torch.tensor([3.0, -2.0]))
        second.raw.fill_(-20.0)  # the least scale, exp(-6)
    z = model.ancestral(100)
    torch.testing.assert_close(z.mean(0), torch.tensor([3.0, -2.0]).double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(z.std(0).log(), torch.full((2,), -6.0).double(), rtol=0, atol=0.3)


# -- MS-SSIM -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 20), (3, 64, 64)])
def test_ms_ssim_of_identical_pictures_is_one(shape):
    x = torch.rand(4, *shape, dtype=torch.double)
    close(ms_ssim(x, x), torch.ones(4).double())
    y = torch.rand_like(x)
    value = ms_ssim(x, y)
    assert (value > 0).all() and (value < 0.9).all()
    close(ms_ssim(y, x), value)


def test_ms_ssim_equals_torchmetrics():
    x = torch.nn.functional.avg_pool2d(torch.rand(2, 1, 210, 202, dtype=torch.double), 19, 1)  # [2, 1, 192, 184]
    x = (x - x.amin()) / (x.amax() - x.amin())
    y = 0.8 * x + 0.1 + 0.1 * torch.rand_like(x)
    expected = multiscale_structural_similarity_index_measure(y, x, reduction="none", data_range=1.0)
    torch.testing.assert_close(ms_ssim(x, y), expected, rtol=1e-3, atol=1e-3)


def test_ms_ssim_prefers_a_shift_of_brightness_to_noise(pictures):
    x = 0.2 + 0.6 * pictures
    shifted = x + 0.1
    noisy = x + 0.1 * (2 * torch.rand_like(x).round() - 1)  # the same squared error
    assert (ms_ssim(x, shifted) > ms_ssim(x, noisy)).all()


@pytest.mark.parametrize("other", [lambda x: x, lambda x: 1 - x, torch.zeros_like, torch.rand_like])
def test_ms_ssim_has_a_finite_gradient(other, pictures):
    y = other(pictures).clone().requires_grad_()
    value = ms_ssim(pictures, y)
    (gradient,) = torch.autograd.grad(value.sum(), y)
    assert value.isfinite().all() and gradient.isfinite().all()


def test_ms_ssim_vae_optimises_the_dissimilarity_and_the_rate(digits):
    model = MSSSIMVAE(shapes=digits.shapes((3,)), **SMALL, scale=7.0)
    terms = model.terms(digits.split("train")[:8])
    assert (terms["dissimilarity"] > 0).all() and (terms["dissimilarity"] < 1).all()
    torch.testing.assert_close(terms.loss, 7.0 * terms["dissimilarity"].mean() + terms["rate"].mean())
    assert terms.elbo is not None


# -- log-cosh ----------------------------------------------------------------------------------------------------------

LINE = torch.linspace(-60, 60, 200_001, dtype=torch.double)


def secant(mean, scale):
    """One value with this mean and scale."""
    values = torch.tensor([[mean], [math.log(scale)]], dtype=torch.double)
    return HyperbolicSecant(values[:1], values[1:])


@pytest.mark.parametrize("mean, scale", [(0.3, 0.1), (-1.0, 2.0)])
def test_hyperbolic_secant_integrates_to_one(mean, scale):
    p = secant(mean, scale)
    density = p.log_prob(LINE[:, None, None]).exp().squeeze(1)
    assert torch.trapezoid(density, LINE).item() == pytest.approx(1, abs=1e-9)
    variance = torch.trapezoid(density * (LINE - mean) ** 2, LINE).item()
    assert variance == pytest.approx(p.variance.item(), rel=1e-6)


@pytest.mark.parametrize("u", [0.02, 0.3, 0.5, 0.99])
def test_hyperbolic_secant_samples_invert_its_distribution_function(u):
    class Constant:
        def draw(self, kind, shape, dtype, device):
            return torch.full(shape, u, dtype=dtype)

    p = secant(0.4, 0.7)
    with noise.source(Constant()):
        drawn = p.rsample().item()
    below = torch.linspace(-60, drawn, 200_001, dtype=torch.double)
    mass = torch.trapezoid(p.log_prob(below[:, None, None]).exp().squeeze(1), below)
    assert mass.item() == pytest.approx(u, abs=1e-6)


def test_log_cosh_is_quadratic_near_and_absolute_far():
    p = secant(0.0, 0.5)
    peak = p.log_prob(torch.zeros(1, 1).double())
    for error, loss in ((1e-3, 0.5 * (1e-3 / 0.5) ** 2), (1e4, 1e4 / 0.5 - math.log(2))):
        assert (peak - p.log_prob(torch.full((1, 1), error).double())).item() == pytest.approx(loss, rel=1e-5)


def test_log_cosh_loss_of_the_paper_is_that_of_beta_a(x):
    a = 4.0
    model = linear(LogCoshVAE, beta=a, likelihood=partial(LogCosh, a=a, bounded=False))
    with noise.seeded(1):
        terms = model.terms(batch_of(x))
    with noise.seeded(1):
        (latent,) = model.latents(x)
    error = x - model.decode(latent.z).mean
    paper = torch.cosh(a * error).log().sum(1) / a + terms["rate"]
    constant = D * math.log(math.pi / a) / a
    torch.testing.assert_close(terms.loss / a, paper.mean() + constant, rtol=1e-6, atol=0)  # log a is held in float32


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variant, wrong",
    [
        (FreeBitsVAE, {"free": -0.1}),
        (AnnealedVAE, {"gamma": -1.0}),
        (AnnealedVAE, {"capacity": -1.0}),
        (GecoVAE, {"tolerance": 0.0}),
        (GecoVAE, {"step": -1.0}),
        (GecoVAE, {"momentum": 1.0}),
        (DenoisingVAE, {"amount": 1.5}),
        (TwoStageVAE, {"second": 0.0}),
        (MSSSIMVAE, {"window": 4}),
        (MSSSIMVAE, {"scale": 0.0}),
    ],
)
def test_wrong_numbers_are_refused_at_construction(variant, wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=f"variant.{name}={wrong[name]}"):
        linear(variant, **wrong)


def test_ms_ssim_needs_pictures():
    with pytest.raises(UsageError, match="needs pictures"):
        MSSSIMVAE(shapes=Shapes(event=(7,), latent=(2,)), **SMALL)
