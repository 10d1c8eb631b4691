"""Objectives against models whose log p(x) is known: linear networks and Gaussians."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from pytorch_lightning.callbacks import LambdaCallback
from torch import nn
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from tests.conftest import quick_trainer
from vaezoo import estimators, variational
from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.networks import mlp
from vaezoo.networks.tied import TiedLayer
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.posteriors.full import FullPosterior
from vaezoo.priors.vamp import VampPrior
from vaezoo.shapes import Shapes
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.beta_vae import BetaVAE
from vaezoo.variants.stacked_autoencoder import StackedAutoencoder
from vaezoo.variants.vae import VAE
from vaezoo.variants.vae_gan import VAEGAN
from vaezoo.variants.vamp_vae import VampVAE

D, d, N = 5, 2, 40
SHAPES = Shapes(event=(D,), latent=(d,), range=(-5.0, 5.0))
LINEAR = {
    "encoder": partial(mlp.Encoder, hidden=()),
    "decoder": partial(mlp.Decoder, hidden=()),
    "likelihood": partial(Gaussian, scale="fixed", bounded=False),
}
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def x():
    """Correlated data, ``[N, D]``."""
    return torch.randn(N, D, dtype=torch.double) @ torch.randn(D, D, dtype=torch.double) + 1.0


def batch_of(x):
    return Batch(x, None, torch.arange(len(x)))


def linear(variant=VAE, **options):
    """A variant with linear networks, in double precision."""
    return variant(shapes=SHAPES, **{**LINEAR, **options}).double()


def decoder_of(model):
    """W, b and s of p(x|z) = N(x; W z + b, s^2 I)."""
    head = model.likelihood.location_scale.head.layer
    return head.weight, head.bias, model.likelihood.location_scale.log_scale.exp()


@torch.no_grad()
def set_decoder(model, weight, bias, std):
    """p(x|z) = N(x; W z + b, s^2 I)."""
    own_weight, own_bias, _ = decoder_of(model)
    own_weight.copy_(weight)
    own_bias.copy_(bias)
    model.likelihood.location_scale.log_scale.fill_(math.log(std))


def evidence(model):
    """The exact p(x) = N(x; b, W W^T + s^2 I)."""
    weight, bias, std = decoder_of(model)
    return MultivariateNormal(bias, weight @ weight.T + std**2 * torch.eye(D, dtype=torch.double))


def exact_posterior(model, x):
    """p(z|x) = N(M^-1 W^T (x - b), s^2 M^-1) with M = W^T W + s^2 I."""
    weight, bias, std = decoder_of(model)
    precision = weight.T @ weight + std**2 * torch.eye(d, dtype=torch.double)
    mean = torch.linalg.solve(precision, weight.T @ (x - bias).T).T
    return MultivariateNormal(mean, std**2 * torch.linalg.inv(precision))


@torch.no_grad()
def set_posterior(model, x):
    """Mean of q(z|x) as in the exact posterior, and its covariance too, or for a diagonal q the best one."""
    weight, bias, std = decoder_of(model)
    covariance = exact_posterior(model, x).covariance_matrix[0]
    slope = covariance @ weight.T / std**2
    head = model.posterior.head
    head.weight.zero_()
    head.weight[:d], head.bias[:d] = slope, -slope @ bias
    if isinstance(model.posterior, FullPosterior):
        scale = torch.linalg.cholesky(covariance)
        head.bias[d:] = scale.diagonal().log()
        model.posterior.lower.bias.copy_(d * scale[1, :1] / scale[1, 1])  # d = 2 has one entry below the diagonal
    else:
        head.bias[d:] = -0.5 * torch.linalg.inv(covariance).diagonal().log()


class SigmaPoints:
    """+-sqrt(d) along each axis instead of noise: their mean is exact for polynomials of degree 3 in z."""

    def draw(self, kind, shape, dtype, device):
        axes = math.sqrt(d) * torch.eye(d, dtype=dtype)
        return torch.cat([axes, -axes]).repeat(shape[-2] // (2 * d), 1).expand(shape)


def in_expectation(terms, x):
    """Terms of each example averaged over z exactly; ``terms`` maps x to a ``[B]`` that is quadratic in z."""
    with noise.source(SigmaPoints()):
        return terms(x.repeat_interleave(2 * d, 0)).unflatten(0, (-1, 2 * d)).mean(1)


# -- the evidence ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("posterior", [DiagonalPosterior, FullPosterior])
def test_elbo_never_exceeds_the_evidence(posterior, x):
    for _ in range(10):
        model = linear(posterior=posterior)
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.5)
        gap = evidence(model).log_prob(x) - in_expectation(lambda x: model.elbo(x).elbo, x)  # noqa: B023
        q = model.q(x)
        scale = torch.diag_embed(q.stddev) if posterior is DiagonalPosterior else q.scale_tril
        assert (gap > 0).all()
        close(gap, kl_divergence(MultivariateNormal(q.mean, scale_tril=scale), exact_posterior(model, x)))


def test_elbo_is_the_evidence_at_the_exact_posterior(x):
    model = linear(posterior=FullPosterior)
    set_posterior(model, x)
    log_p = evidence(model).log_prob(x)
    close(in_expectation(lambda x: model.elbo(x).elbo, x), log_p)
    close(model.log_weights(x, 7), log_p.expand(7, N))  # every single sample has the weight p(x)


def test_iw_bound_increases_with_k(x):
    model = linear()
    set_posterior(model, x)
    model.posterior.head.bias.data[d:] += 0.5  # wider than the posterior, so that the weights are bounded
    log_p = evidence(model).log_prob(x)
    with torch.no_grad():
        log_weights = model.log_weights(x, 4096)
    bounds = [estimators.log_mean_exp(log_weights.unflatten(0, (-1, k)), 1).mean(0) for k in (1, 4, 16, 64, 256, 4096)]
    for smaller, larger in pairwise(bounds):
        assert (smaller <= larger).all()  # on the same samples this is Jensen's inequality, without noise
    assert (log_p - bounds[0]).mean() > 0.1 and (log_p - bounds[-1]).abs().mean() < 0.02


def test_iw_bound_with_one_sample_is_the_elbo(x):
    model = linear()
    bound = in_expectation(lambda x: model.log_likelihood(x, 1), x)
    close(bound, in_expectation(lambda x: model.elbo(x).elbo, x))


@pytest.mark.parametrize("k", [1, 7, 250])
def test_log_likelihood_uses_exactly_k_samples(k, x, monkeypatch):
    model, drawn = linear(), []

    class Counted:
        def draw(self, kind, shape, dtype, device):
            drawn.append(torch.randn(shape, dtype=dtype))
            return drawn[-1]

    monkeypatch.setattr(variational, "ROWS", 100 * N)  # pieces of 100 samples
    with noise.source(Counted()):
        bound = model.log_likelihood(x, k)
    epsilon = torch.cat(drawn)
    assert epsilon.shape == (k, N, d)

    class Same:
        def draw(self, kind, shape, dtype, device):
            return epsilon

    with noise.source(Same()):
        close(bound, estimators.log_mean_exp(model.log_weights(x, k), 0))


# -- linear models -----------------------------------------------------------------------------------------------------


def principal(x):
    """Eigenvalues, falling, and eigenvectors of the biased covariance."""
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    return values.flip(0), vectors.flip(1)


def ppca(model, x, rotation=None):
    """The parameters of greatest likelihood, and that likelihood per example (Tipping and Bishop 1999, eq. 4)."""
    values, vectors = principal(x)
    variance = values[d:].mean()
    weight = vectors[:, :d] * (values[:d] - variance).sqrt()
    set_decoder(model, weight if rotation is None else weight @ rotation, x.mean(0), variance.sqrt())
    set_posterior(model, x)
    return -0.5 * (values[:d].log().sum() + (D - d) * variance.log() + D * math.log(2 * math.pi) + D)


def test_linear_vae_reaches_the_likelihood_of_ppca(x):
    model = linear()
    best = ppca(model, x)
    close(evidence(model).log_prob(x).mean(), best)
    close(in_expectation(lambda x: model.elbo(x).elbo, x).mean(), best)


def test_full_posterior_closes_the_gap_of_a_rotated_decoder(x):
    angle = torch.tensor(0.6, dtype=torch.double)
    rotation = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    diagonal, full = linear(), linear(posterior=FullPosterior)
    best = ppca(diagonal, x, rotation)
    precision = torch.linalg.inv(exact_posterior(diagonal, x).covariance_matrix[0])
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert gap > 0.01
    close(in_expectation(lambda x: diagonal.elbo(x).elbo, x).mean(), best - gap)
    ppca(full, x, rotation)
    close(in_expectation(lambda x: full.elbo(x).elbo, x).mean(), best)


def test_linear_autoencoder_is_pca(x):
    model = linear(Autoencoder)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=2000, tolerance_change=0, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = model.terms(batch_of(x)).loss
        value.backward()
        return value

    optimizer.step(loss)
    values, vectors = principal(x)
    squared_error = 2 * model.terms(batch_of(x)).loss - D * math.log(2 * math.pi)
    torch.testing.assert_close(squared_error, values[d:].sum(), rtol=1e-6, atol=1e-6)
    span, _ = torch.linalg.qr(decoder_of(model)[0].detach())
    torch.testing.assert_close(span @ span.T, vectors[:, :d] @ vectors[:, :d].T, rtol=1e-3, atol=1e-3)


# -- variants ----------------------------------------------------------------------------------------------------------


def gradients(loss, module):
    """Of every parameter, zero where the loss does not depend on it."""
    parameters = list(module.parameters())
    return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)


def test_beta_zero_optimises_the_distortion_alone(x):
    model = linear(BetaVAE, beta=0.0)
    terms = model.terms(batch_of(x))
    assert (terms["rate"] > 0).all()
    close(terms.loss, terms["distortion"].mean())
    close(gradients(terms.loss, model), gradients(terms["distortion"].mean(), model))


def test_beta_weighs_the_rate_and_nothing_else(x):
    terms = linear(BetaVAE, beta=0.3).terms(batch_of(x))
    close(terms.loss, (terms["distortion"] + 0.3 * terms["rate"]).mean())
    close(terms.elbo, -(terms["distortion"] + terms["rate"]))


def test_vamp_with_one_component_is_the_gaussian_divergence(x):
    model = linear(VampVAE, prior=partial(VampPrior, components=1))
    q, u = model.q(x), model.q(model.prior.inputs)
    divergence = kl_divergence(Normal(q.mean, q.stddev), Normal(u.mean, u.stddev)).sum(1)
    close(in_expectation(lambda x: model.terms(batch_of(x))["rate"], x), divergence)


def test_tied_gradient_is_that_of_the_encoder_plus_the_transposed_one_of_the_decoder(x):
    tied = TiedLayer(D, d, nn.Tanh(), nn.Identity()).double()
    decoder = nn.Linear(d, D).double()
    with torch.no_grad():
        decoder.weight.copy_(tied.f.weight.T)
        decoder.bias.copy_(tied.bias)
    tied.back(tied(x)).square().sum().backward()
    encoder_weight = tied.f.weight.detach().clone().requires_grad_()
    decoder(torch.tanh(nn.functional.linear(x, encoder_weight, tied.f.bias))).square().sum().backward()
    close(tied.f.weight.grad, encoder_weight.grad + decoder.weight.grad.T)


def stacked(hidden):
    return StackedAutoencoder(shapes=SHAPES, hidden=hidden).double()


def test_unrolled_stack_is_the_composition_of_its_layers(x):
    model = stacked((4, 3))
    h = x
    for layer in model.layers:
        h = layer.code(h @ layer.f.weight.T + layer.f.bias)
    close(model.encode(x), h)
    for layer in reversed(model.layers):
        h = layer.output(h @ layer.f.weight + layer.bias)
    close(model.reconstruct(x), h)


def test_stack_of_one_layer_is_its_own_greedy_stage(x):
    model = stacked(())
    close(model.layer_terms(batch_of(x), 0).loss, model.terms(batch_of(x)).loss)


def test_greedy_stage_moves_its_own_layer_only(digits):
    model = StackedAutoencoder(shapes=digits.shapes((3,)), hidden=(6, 5))
    seen = [copy_of(model)]
    remember = LambdaCallback(on_train_epoch_end=lambda *_: seen.append(copy_of(model)))
    quick_trainer(max_epochs=4, limit_val_batches=0, callbacks=[remember]).fit(model, datamodule=digits)
    for k in range(3):
        changed = {name for name in seen[k] if not torch.equal(seen[k][name], seen[k + 1][name])}
        assert changed == {name for name in seen[k] if name.startswith(f"layers.{k}.")}
    assert all(not torch.equal(seen[3][name], seen[4][name]) for name in seen[3])  # fine-tuning moves all


def copy_of(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


class Flat(nn.Flatten):
    """A critic's network whose features are the values of x."""

    features = (D,)

    def forward(self, x, c=None):
        return super().forward(x)


def test_vae_gan_with_identity_features_and_no_game_is_the_vae_of_unit_variance(x):
    model, vae = linear(VAEGAN, critic=Flat()), linear()
    vae.load_state_dict(model.state_dict(), strict=False)
    with noise.seeded(1):
        expected = vae.terms(batch_of(x))
    with noise.seeded(1):
        encoding = model.terms(batch_of(x))
    with noise.seeded(1):
        decoding = model.game(batch_of(x))["decoder"]
    close(encoding.loss, expected.loss - 0.5 * D * math.log(2 * math.pi))
    close(gradients(encoding.loss, model.posterior), gradients(expected.loss, vae.posterior))
    close(gradients(decoding["feature"].mean(), model.likelihood), gradients(expected.loss, vae.likelihood))


def test_vae_gan_reconstruction_does_not_move_the_critic(digits):
    class WithoutJudging(VAEGAN):
        def game(self, batch):
            return {**super().game(batch), "critic": None}

    network = partial(mlp.Encoder, hidden=(8,))
    model = WithoutJudging(shapes=digits.shapes((3,)), encoder=network, decoder=partial(mlp.Decoder, hidden=(8,)))
    before = copy_of(model)
    quick_trainer(limit_train_batches=3, limit_val_batches=0).fit(model, datamodule=digits)
    still = {name for name, value in copy_of(model).items() if torch.equal(value, before[name])}
    assert still - {"likelihood.location_scale.raw"} == {name for name in before if name.startswith("critic.")}
