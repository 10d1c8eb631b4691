"""Posteriors beyond the Gaussian and their spaces: sphere, Poincare ball, one-hot choices, Laplace."""

import math
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.special import gammaln, ive
from torch import nn

import vaezoo
from tests.conftest import quick_trainer
from vaezoo import estimators
from vaezoo.batch import Batch
from vaezoo.build import build, latent_shape
from vaezoo.callbacks.pictures import Skipped, traversals
from vaezoo.contract.subjects import Recorder, Twice, doubled
from vaezoo.distributions import noise
from vaezoo.distributions.laplace import DiagonalLaplace
from vaezoo.distributions.one_hot_categorical import OneHotCategorical
from vaezoo.distributions.poincare_ball import exp_centre, inside, log_centre, log_volume, mobius_add
from vaezoo.distributions.polar_angle import PolarAngle, log_area
from vaezoo.distributions.standard_normal import StandardNormal
from vaezoo.distributions.uniform_sphere import UniformSphere
from vaezoo.distributions.von_mises_fisher import VonMisesFisher
from vaezoo.distributions.wrapped_normal import WrappedNormal
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.likelihoods.bernoulli import Bernoulli
from vaezoo.networks import mlp
from vaezoo.posteriors.gumbel import GumbelPosterior
from vaezoo.posteriors.laplace import LaplacePosterior
from vaezoo.posteriors.poincare import PoincarePosterior
from vaezoo.posteriors.von_mises_fisher import VonMisesFisherPosterior
from vaezoo.priors.poincare import PoincarePrior
from vaezoo.priors.uniform_categorical import UniformCategoricalPrior
from vaezoo.priors.uniform_sphere import UniformSpherePrior
from vaezoo.shapes import Shapes
from vaezoo.variants.vae import VAE

DIMENSIONS = (2, 3, 5, 11, 40)
KAPPAS = np.geomspace(0.01, 500, 25)
VECTOR = Shapes(event=(6,), latent=(3,), features=(8,))
CHOICES = VECTOR.replace(latent=(2, 3))
close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-6)


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


def sphere(m, kappa, n=1, dtype=torch.double):
    """n von Mises-Fisher distributions of one concentration around random directions."""
    direction = nn.functional.normalize(torch.randn(n, m, dtype=dtype), dim=-1)
    return VonMisesFisher(direction, torch.full((n,), kappa, dtype=dtype))


def within(estimates, exact, errors=5.0):
    """Whether the mean over dimension 0 is within this many standard errors of the exact value."""
    standard_error = estimates.std(0) / len(estimates) ** 0.5
    return ((estimates.mean(0) - exact).abs() < errors * standard_error + 1e-12).all()


# -- sphere ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", DIMENSIONS)
def test_bessel_functions_of_the_sphere_equal_those_of_scipy(m):
    kappa = torch.tensor(KAPPAS, requires_grad=True)
    angle, order = PolarAngle(m, kappa), m / 2 - 1
    log_bessel = np.log(ive(order, KAPPAS))
    constant = 0.5 * math.log(math.pi) + gammaln((m - 1) / 2) - order * np.log(KAPPAS / 2)
    ratio = torch.tensor(ive(m / 2, KAPPAS) / ive(order, KAPPAS))
    close(angle.log_normaliser.detach(), torch.tensor(log_bessel + constant), rtol=1e-10, atol=1e-10)
    close(angle.mean_cosine.detach(), ratio, rtol=1e-10, atol=1e-12)
    (slope,) = torch.autograd.grad(angle.log_normaliser.sum(), kappa, retain_graph=True)
    close(slope, ratio - 1, rtol=1e-9, atol=1e-10)
    (slope,) = torch.autograd.grad(angle.mean_cosine.sum(), kappa)
    close(slope, 1 - ratio.square() - (m - 1) / kappa.detach() * ratio, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("m", DIMENSIONS)
def test_vmf_divergence_equals_quadrature_and_does_not_depend_on_the_direction(m):
    for kappa in (0.01, 1.0, 20.0, 500.0):
        q = sphere(m, kappa, n=3)
        kl = estimators.rate(q, UniformSphere(m, torch.zeros(()).double()), q.mean)
        log_c = (m / 2 - 1) * math.log(kappa) - m / 2 * math.log(2 * math.pi) - math.log(ive(m / 2 - 1, kappa)) - kappa
        area = math.exp(log_area(m - 1))

        def integrand(theta, kappa=kappa, log_c=log_c, area=area):
            log_q = kappa * math.cos(theta) + log_c
            return area * math.sin(theta) ** (m - 2) * math.exp(log_q) * (log_q + log_area(m))

        expected = sum(quad(integrand, a, b, epsabs=1e-12)[0] for a, b in [(0, 0.3), (0.3, 1.2), (1.2, math.pi)])
        close(kl, torch.full((3,), expected).double())
    if m == 3:
        kappa = torch.tensor([0.1, 2.0, 30.0]).double()
        q = VonMisesFisher(sphere(3, 1.0, 3).direction, kappa)
        closed = kappa / kappa.tanh() - 1 + (kappa / kappa.sinh()).log()
        close(estimators.rate(q, UniformSphere(3, kappa[0]), q.mean), closed)


def test_vmf_integrates_to_one_on_the_sphere_and_on_the_circle():
    height = torch.linspace(-1, 1, 2001).double()[:-1] + 5e-4  # equal steps of height cut equal areas
    height, longitude = torch.meshgrid(height, 2 * math.pi * torch.arange(720).double() / 720, indexing="ij")
    radius = (1 - height.square()).sqrt()
    z = torch.stack([radius * longitude.cos(), radius * longitude.sin(), height], -1)
    for kappa in (0.5, 10.0):
        q = sphere(3, kappa)
        assert (q.log_prob(z).exp().mean() * 4 * math.pi).item() == pytest.approx(1, abs=1e-5)
        around = 2 * math.pi * torch.arange(400).double() / 400
        circle = sphere(2, kappa).log_prob(torch.stack([around.cos(), around.sin()], -1))
        assert (circle.exp().mean() * 2 * math.pi).item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("m, kappa", [(2, 0.5), (2, 300.0), (3, 4.0), (5, 0.01), (11, 30.0), (40, 500.0)])
def test_vmf_samples_are_unit_vectors_with_the_mean_cosine(m, kappa):
    q = sphere(m, kappa, dtype=torch.float32)
    z = q.sample((20_000,))[:, 0]
    assert z.dtype == torch.float32 and (z.norm(dim=-1) - 1).abs().max() < 1e-6
    cosine = (z * q.direction).sum(-1).double()
    assert within(cosine, ive(m / 2, kappa) / ive(m / 2 - 1, kappa))
    second = 1 - (m - 1) / kappa * ive(m / 2, kappa) / ive(m / 2 - 1, kappa)
    assert within(cosine.square(), second)
    assert within(z - cosine.float().unsqueeze(-1) * q.direction, 0.0)  # no preferred tangent
    assert within(q.log_prob(z).double() + log_area(m), estimators.rate(q, UniformSphere(m, z[0, 0]), z).double())


@pytest.mark.parametrize("m, kappa", [(2, 3.0), (3, 0.1), (3, 40.0), (11, 10.0)])
def test_vmf_gradients_by_reparameterisation_are_those_of_the_expectation(m, kappa):
    """Of E[(a.z)^2], known from the second moments, with respect to the direction and the concentration."""
    direction = torch.randn(m, dtype=torch.double)
    a = torch.randn(m, dtype=torch.double)
    parameters = direction.expand(4000, m).clone().requires_grad_(), torch.full((4000,), kappa).double()
    parameters[1].requires_grad_()
    z = VonMisesFisher(nn.functional.normalize(parameters[0], dim=-1), parameters[1]).rsample()
    sampled = torch.autograd.grad((z @ a).square().sum(), parameters)
    direction, concentration = direction.requires_grad_(), torch.tensor(kappa).double().requires_grad_()
    mu = nn.functional.normalize(direction, dim=-1)
    angle = PolarAngle(m, concentration)
    along = 1 - (m - 1) / concentration * angle.mean_cosine  # E[cos^2]
    second = along * (a @ mu).square() + (1 - along) / (m - 1) * (a @ a - (a @ mu).square())
    exact = torch.autograd.grad(second, (direction, concentration))
    assert within(sampled[0], exact[0]) and within(sampled[1], exact[1])


def test_vmf_quantiles_invert_the_distribution_function_and_so_does_their_derivative():
    kappa = torch.tensor([0.3, 7.0, 200.0]).double().requires_grad_()
    u = torch.linspace(0.001, 0.999, 9).double()
    angle = PolarAngle(3, kappa)  # m = 3: F is elementary
    theta = angle._quantile(u.expand(3, 9))
    k = kappa.unsqueeze(1)
    cosine = 1 + torch.log1p(-u * -torch.expm1(-2 * k)) / k
    close(theta.detach().cos(), cosine.detach(), rtol=0, atol=1e-8)
    got, exact = (torch.autograd.grad(value.sum(), kappa)[0] for value in (theta.cos(), cosine))
    close(got, exact, rtol=1e-5, atol=1e-7)


def test_vmf_samples_are_a_function_of_noise_that_names_its_batch():
    q = sphere(5, 3.0, n=6)
    with noise.seeded(1):
        whole = q.sample((2,))
    parts = []
    for rank in range(2):
        part = VonMisesFisher(q.direction[3 * rank : 3 * rank + 3], q.concentration[3 * rank : 3 * rank + 3])
        with noise.seeded(1), noise.ranks(rank, 2):
            parts.append(part.sample((2,)))
    close(torch.cat(parts, 1), whole, rtol=0, atol=1e-12)


def test_uniform_sphere_has_no_preferred_direction():
    p = UniformSphere(4, torch.zeros(()))
    z = p.sample((20_000,))
    assert within(z, 0.0) and within(z.square(), 0.25) and (z.norm(dim=-1) - 1).abs().max() < 1e-6
    assert p.log_prob(z[:2]).tolist() == pytest.approx([-math.log(2 * math.pi**2)] * 2)


# -- Laplace -----------------------------------------------------------------------------------------------------------


def test_laplace_divergence_equals_quadrature_per_dimension():
    mean, log_scale = torch.tensor([[0.3, -2.0]]).double(), torch.tensor([[0.5, -1.5]]).double()
    q, p = DiagonalLaplace(mean, log_scale), StandardNormal((2,), mean[0, 0])
    expected = []
    for mu, b in zip(mean[0].tolist(), log_scale.exp()[0].tolist(), strict=True):

        def integrand(z, mu=mu, b=b):
            log_q = -abs(z - mu) / b - math.log(2 * b)
            return math.exp(log_q) * (log_q + 0.5 * z**2 + 0.5 * math.log(2 * math.pi))

        expected.append(quad(integrand, mu - 60 * b, mu)[0] + quad(integrand, mu, mu + 60 * b)[0])
    close(estimators.rate(q, p, mean, per_dim=True), torch.tensor([expected]).double())
    close(estimators.rate(q, p, mean), torch.tensor([sum(expected)]).double())


# -- Poincare ball -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [0.3, 1.0, 2.5])
def test_wrapped_normal_integrates_to_one(c):
    """With respect to the Riemannian volume, in polar coordinates by distance from the centre."""
    q = WrappedNormal(torch.tensor([0.3, -0.2]).double(), torch.tensor([-0.5, 0.3]).double(), c)
    distance = torch.linspace(0, 11, 801).double()[:-1] + 11 / 1600
    around = torch.linspace(0, 2 * math.pi, 201).double()[:-1]
    v = distance[:, None, None] * torch.stack([around.cos(), around.sin()], -1)
    ring = 2 * math.pi * torch.sinh(c**0.5 * distance) / c**0.5  # length of a circle in the hyperbolic plane
    total = (q.log_prob(exp_centre(v, c)).exp().mean(1) * ring).sum() * 11 / 800
    assert total.item() == pytest.approx(1, abs=1e-4)


def test_volume_of_the_ball_is_that_of_the_metric():
    c, r = 0.7, 1.3
    edge = float(exp_centre(torch.tensor([r, 0.0]).double(), c)[0])
    radius = torch.linspace(0, edge, 4001).double()[:-1] + edge / 8000
    density = log_volume(torch.stack([radius, 0 * radius], -1), c).exp()
    area = (2 * math.pi * radius * density).sum() * edge / 4000
    assert area.item() == pytest.approx(2 * math.pi / c * (math.cosh(c**0.5 * r) - 1), rel=1e-6)


def test_maps_of_the_ball_are_inverse_to_each_other():
    v, x = torch.randn(50, 4, dtype=torch.double), 0.4 * torch.randn(50, 4, dtype=torch.double).tanh()
    for c in (0.1, 1.0, 1.5):
        close(log_centre(exp_centre(v, c), c), v)
        z = mobius_add(x, exp_centre(v, c), c)
        assert (c * z.square().sum(-1) < 1).all()
        close(mobius_add(-x, z, c), exp_centre(v, c))
    assert torch.equal(exp_centre(torch.zeros(1, 3), 1.0), torch.zeros(1, 3))


def test_points_of_the_ball_stay_inside_with_finite_densities_and_gradients():
    mean = inside(exp_centre(torch.tensor([[50.0, 0.0], [0.0, 0.0]]), 1.0), 1.0).requires_grad_()
    log_std = torch.full((2, 2), 1.5, requires_grad=True)
    q = WrappedNormal(mean, log_std, 1.0)
    z = q.rsample((200,))
    log_q = q.log_prob(z)
    assert (z.norm(dim=-1) < 1).all() and log_q.isfinite().all()
    gradients = torch.autograd.grad(log_q.sum() + z.sum(), (mean, log_std))
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_wrapped_normal_is_flat_without_curvature():
    """As c -> 0: N(mu, S / 4) in coordinates, whose volume element is 2^d."""
    mean, log_std = torch.tensor([0.3, -0.4, 1.0]).double(), torch.tensor([0.0, 0.5, -1.0]).double()
    q = WrappedNormal(mean, log_std, 1e-8)
    flat = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp() / 2), 1)
    z = flat.sample((20,))
    close(q.log_prob(z) + log_volume(z, 1e-8), flat.log_prob(z), rtol=1e-5, atol=1e-5)
    with noise.seeded(1):
        drawn = q.sample((5,))
    with noise.seeded(1):
        epsilon = noise.normal((5, 3), mean)
    close(drawn, mean + log_std.exp() / 2 * epsilon, rtol=1e-5, atol=1e-5)


def test_rate_of_the_ball_is_unbiased_at_the_centre():
    """There it is the Gaussian divergence: the volume factors of q and p are the same."""
    log_std = torch.tensor([[-1.0, 0.2, -0.3]]).double()
    p = WrappedNormal(torch.zeros(3).double(), torch.zeros(3).double(), 0.9)
    q = WrappedNormal(torch.zeros(1, 3).double(), log_std, 0.9)
    rates = estimators.rate(q, p, q.sample((5000,)))
    assert within(rates, 0.5 * ((2 * log_std).exp() - 1 - 2 * log_std).sum())
    shifted = WrappedNormal(torch.full((1, 3), 0.2).double(), log_std, 0.9)
    z = shifted.sample((20_000,))
    assert within((p.log_prob(z) - shifted.log_prob(z)).exp(), 1.0)  # E_q[p / q] = 1


# -- one-hot choices ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.1, 0.5, 1.0, 10.0])
def test_gumbel_argmax_has_the_probabilities(temperature):
    q = OneHotCategorical(torch.randn(1, 2, 4), temperature)
    relaxed, hard = q.rsample((20_000,)), q.sample((20_000,))
    assert within(nn.functional.one_hot(relaxed.argmax(-1), 4).float(), q.mean) and within(hard, q.mean)
    close(relaxed.sum(-1), torch.ones(20_000, 1, 2))
    assert (relaxed.max(-1)[0].mean() > 0.95) == (temperature == 0.1)


def test_straight_through_is_one_hot_forward_and_relaxed_backward():
    logits = torch.randn(5, 2, 3, requires_grad=True)
    draws, slopes = [], []
    for straight_through in (True, False):
        with noise.seeded(1):
            draws.append(OneHotCategorical(logits, 0.7, straight_through).rsample())
        slopes.append(torch.autograd.grad((draws[-1] * torch.arange(3.0)).sum(), logits)[0])
    assert set(draws[0].unique().tolist()) == {0.0, 1.0} and (draws[0].sum(-1) == 1).all()
    assert torch.equal(draws[0].argmax(-1), draws[1].argmax(-1))
    close(slopes[0], slopes[1])


def test_categorical_divergence_equals_enumeration():
    q, p = OneHotCategorical(2 * torch.randn(4, 2, 3)), OneHotCategorical(torch.randn(2, 3))
    every = codes(2, 3).unsqueeze(1)  # [9, 1, 2, 3]
    log_q, log_p = q.log_prob(every), p.log_prob(every)
    close(log_q.logsumexp(0), torch.zeros(4), atol=1e-5)
    expected = (log_q.exp() * (log_q - log_p)).sum(0)
    close(estimators.rate(q, p, q.sample()), expected, rtol=1e-5, atol=1e-5)
    assert estimators.rate(q, p, q.sample(), per_dim=True).shape == (4, 2, 1)
    uniform = UniformCategoricalPrior(CHOICES)(None)
    assert estimators.rate(OneHotCategorical(torch.zeros(1, 2, 3)), uniform, every[0]).abs().max() < 1e-6


def test_gumbel_likelihood_agrees_with_enumeration():
    """n = 2, K = 3: log p(x) is a sum over 9 codes, which importance samples approach; the ELBO is below it."""
    model = chooser().eval()
    x = torch.rand(4, 6).round()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
        every = codes(2, 3)  # [9, 2, 3]
        log_p = model.decode(every.unsqueeze(1).expand(-1, 4, -1, -1)).log_prob(x)
        exact = (log_p + model.p().log_prob(every).unsqueeze(1)).logsumexp(0)
        assert (model.log_likelihood(x, 1000) - exact).abs().max() < 0.05
        q = model.q(x)
        log_q = q.log_prob(every.unsqueeze(1))
        elbo = (log_q.exp() * (log_p + model.p().log_prob(every).unsqueeze(1) - log_q)).sum(0)
        assert (elbo < exact).all()
        assert within(model.elbo(x.repeat(4000, 1)).elbo.view(4000, 4), elbo)


def test_gumbel_samples_are_relaxed_in_training_only():
    model, x = chooser(), torch.rand(4, 6).round()
    (latent,) = model.latents(x)
    assert latent.z.min() > 0 and latent.z.max() < 1 and latent.z.requires_grad
    (latent,) = model.eval().latents(x)
    assert set(latent.z.unique().tolist()) == {0.0, 1.0}


def test_gumbel_temperature_anneals_as_a_schedule():
    posterior = GumbelPosterior(CHOICES)
    levels = []
    for progress in (0.0, 0.25, 0.5, 1.0):
        posterior.temperature.set(progress)
        levels.append(float(posterior(torch.randn(2, 8)).temperature))
    assert levels == pytest.approx([1.0, 0.75, 0.5, 0.5])
    assert GumbelPosterior(CHOICES, temperature=0.3)(torch.randn(2, 8)).temperature == 0.3


def test_learned_categorical_prior_starts_uniform_and_learns():
    model = chooser(partial(UniformCategoricalPrior, learned=True))
    close(model.p().mean, torch.full((2, 3), 1 / 3))
    model.elbo(torch.rand(4, 6).round())["rate"].sum().backward()
    assert model.prior.logits.grad.abs().max() > 0
    assert not list(UniformCategoricalPrior(CHOICES).parameters())


def codes(n, k):
    """Every one-hot matrix, ``[K^n, n, K]``."""
    return torch.stack([torch.eye(k)[list(choice)] for choice in product(range(k), repeat=n)])


def chooser(prior=UniformCategoricalPrior):
    return VAE(
        shapes=CHOICES.replace(support="binary"),
        encoder=partial(mlp.Encoder, hidden=(8,)),
        decoder=partial(mlp.Decoder, hidden=(8,)),
        posterior=GumbelPosterior,
        prior=prior,
        likelihood=Bernoulli,
    )


# -- parts -------------------------------------------------------------------------------------------------------------

NAMES = ("von_mises_fisher", "laplace", "poincare", "gumbel")
PRIORS = {"von_mises_fisher": "uniform_sphere", "poincare": "poincare", "gumbel": "uniform_categorical"}
SMALL = ("dataset=digits", "encoder.hidden=[16]", "decoder.hidden=[16]")


@pytest.mark.parametrize("name", NAMES)
def test_posterior_brings_its_prior_unless_another_is_chosen(name):
    assert vaezoo.compose([f"posterior={name}"]).choices.prior == PRIORS.get(name, "standard")
    assert vaezoo.compose(["prior=mixture", f"posterior={name}"]).choices.prior == "mixture"


def test_gumbel_brings_its_latent_unless_another_is_chosen():
    assert vaezoo.compose(["posterior=gumbel"]).latent == [20, 10]
    assert vaezoo.compose(["posterior=gumbel", "latent=[4,3]"]).latent == [4, 3]


@pytest.mark.parametrize(
    "overrides, message",
    [
        ("prior=standard posterior=von_mises_fisher", "prior=standard lives on real and posterior=von_mises_fisher on"),
        ("variant=vamp_vae posterior=von_mises_fisher", "prior=vamp lives on real and posterior=von_mises_fisher on"),
        ("variant=vamp_vae posterior=laplace", "prior=vamp needs posterior=diagonal, not posterior=laplace"),
        ("prior=poincare", "prior=poincare lives on ball and posterior=diagonal on real"),
        ("prior=uniform_sphere posterior=gumbel", "prior=uniform_sphere lives on sphere and posterior=gumbel on one-"),
        ("posterior=gumbel latent=20", "posterior=gumbel needs a latent of n choices among K >= 2, such as latent=[20"),
        ("posterior=von_mises_fisher latent=1", "needs a vector latent of at least 2 numbers"),
        ("posterior=poincare posterior.curvature=0", "posterior.curvature=0.0 must be > 0"),
        ("posterior=poincare latent=[4,4,4] encoder=conv", "posterior=poincare needs a vector latent"),
        ("posterior=von_mises_fisher posterior.kappa_min=0", "posterior.kappa_min=0.0 must be > 0"),
        ("posterior=gumbel posterior.temperature=0", "posterior.temperature=0 must be at least 0.001"),
        ("posterior=laplace posterior.log_scale_min=9", "posterior.log_scale_min=9.0 must be below log_scale_max=5.0"),
    ],
)
def test_what_does_not_fit_is_one_sentence(overrides, message, digits):
    config = vaezoo.compose(overrides.split())
    with pytest.raises(UsageError) as caught:
        build(config, digits.shapes(latent_shape(config.latent)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_family_trains_and_is_evaluated(name, digits):
    config = vaezoo.compose([f"posterior={name}", *SMALL])
    model = build(config, digits.shapes(latent_shape(config.latent)))
    quick_trainer(limit_train_batches=2, limit_val_batches=1).fit(model, datamodule=digits)
    report = evaluate(model, digits, k=5, limit=20, progress=False)
    assert report["rate_is"] == ("sampled" if name == "poincare" else "exact")
    for field in ("elbo", "nll", "rate", "distortion", "active_units", "mutual_information"):
        assert report[field] is not None and math.isfinite(report[field]), (field, report["reasons"])
    assert report["nll"] < -report["elbo"]
    sizes = {"laplace": 20, "gumbel": 20}
    assert len(report["kl_per_dimension"] or []) == sizes.get(name, 0)
    assert model.sample(3).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("name", NAMES)
def test_family_has_the_same_terms_twice_for_a_batch_and_its_noise_twice(name, digits):
    config = vaezoo.compose([f"posterior={name}", *SMALL])
    model = build(config, digits.shapes(latent_shape(config.latent)))
    batch, recorder = digits.split("train")[:6], Recorder()
    with noise.source(recorder):
        once = model.terms(batch)
    with noise.source(Twice(recorder.draws)):
        twice = model.terms(doubled(batch))
    for term, value in once.items():
        torch.testing.assert_close(twice[term], torch.cat([value, value]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("posterior", [VonMisesFisherPosterior, LaplacePosterior, PoincarePosterior, GumbelPosterior])
def test_family_has_the_shapes_of_its_latent_also_under_autocast(posterior):
    shapes = CHOICES if posterior is GumbelPosterior else VECTOR
    part, h = posterior(shapes), torch.randn(7, 8)
    with torch.autocast("cpu", torch.bfloat16):
        q = part(h)
        z = q.rsample((2,))
        assert z.dtype == q.mean.dtype == q.log_prob(z).dtype == torch.float32
    assert q.batch_shape == (7,) and q.event_shape == shapes.latent and z.shape == (2, 7, *shapes.latent)
    assert part.embed(z).shape == z.shape and q.log_prob(z).shape == (2, 7)
    z = q.rsample()
    gradients = torch.autograd.grad(q.log_prob(z).sum() + z.sum(), part.parameters())
    assert all(g.isfinite().all() and g.abs().max() > 0 for g in gradients)


def test_mean_of_the_sphere_is_embedded_on_it():
    posterior = VonMisesFisherPosterior(VECTOR)
    q = posterior(torch.randn(7, 8))
    assert (q.mean.norm(dim=-1) < 0.9).all()
    close(posterior.embed(q.mean), q.mode)


@pytest.mark.parametrize(
    "prior, shapes",
    [(UniformSpherePrior, VECTOR), (PoincarePrior, VECTOR.replace(curvature=0.5)), (UniformCategoricalPrior, CHOICES)],
)
def test_prior_of_a_family_has_the_shape_of_its_latent(prior, shapes):
    p = prior(shapes)(None)
    z = p.sample((5,))
    assert p.batch_shape == () and p.event_shape == shapes.latent == z.shape[1:]
    assert p.log_prob(z.expand(2, *z.shape)).shape == (2, 5)
    with pytest.raises(UsageError, match="latent"):
        prior(Shapes(event=(6,), latent=(2, 4, 4)))


def test_prior_on_the_ball_has_the_curvature_of_the_posterior():
    model = VAE(shapes=VECTOR, posterior=partial(PoincarePosterior, curvature=0.4), prior=PoincarePrior)
    assert model.p().curvature == model.q(torch.rand(2, 6)).curvature == 0.4


def test_traversal_flips_each_choice_with_the_largest_rate_first(digits):
    model = build(config := vaezoo.compose(["posterior=gumbel", "latent=[3,4]", *SMALL]), digits.shapes((3, 4))).eval()
    assert config.choices.prior == "uniform_categorical"
    with torch.no_grad():
        model.posterior.head.weight.zero_()
        model.posterior.head.bias.zero_()
        model.posterior.head.bias[4] = 3.0  # the second choice prefers its first value
        seen = []
        model.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
        picture = traversals(model, digits.split("test")[:50])
    z = seen[-1].view(3, 4, 3, 4)
    assert torch.equal(z[0, :, 1], torch.eye(4)) and (z[0, :, 0] == torch.eye(4)[0]).all()
    assert torch.equal(z[1, :, 1], torch.eye(4)[0].expand(4, 4)) and picture.shape[2] == 3


@pytest.mark.parametrize("name", ["von_mises_fisher", "poincare"])
def test_traversal_of_a_curved_space_is_skipped_with_a_reason(name, digits):
    config = vaezoo.compose([f"posterior={name}", *SMALL])
    model = build(config, digits.shapes((3,))).eval()
    with pytest.raises(Skipped, match="no straight lines"):
        traversals(model, Batch(*digits.split("test")[:5]))
