"""Multi-sample bounds against a model whose log p(x) is known, and their gradients against quadrature."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.test_exact import LINEAR, N, batch_of, close, evidence, gradients, in_expectation, linear, set_posterior
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.posteriors.full import FullPosterior
from vaezoo.priors.vamp import VampPrior
from vaezoo.shapes import Shapes
from vaezoo.variants.ciwae import CIWAE
from vaezoo.variants.dreg_iwae import DRegIWAE
from vaezoo.variants.iwae import IWAE
from vaezoo.variants.miwae import MIWAE
from vaezoo.variants.piwae import PIWAE
from vaezoo.variants.vae import VAE

SAMPLED = {"prior": partial(VampPrior, components=2)}  # a prior whose rate has no closed form


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def x():
    """Correlated data, ``[N, D]``."""
    return torch.randn(N, 5, dtype=torch.double) @ torch.randn(5, 5, dtype=torch.double) + 1.0


def twin(model, variant, **options):
    """Another variant with the same weights."""
    other = linear(variant, **options)
    other.load_state_dict(model.state_dict())
    return other


def step(terms, x):
    """The terms that an update gives, always from the same noise."""
    with noise.seeded(1):
        return terms(batch_of(x))


def slopes(loss, model, *parts):
    """Gradient of every parameter of these parts, by name, zero where there is none."""
    named = {name: parameter for name, parameter in model.named_parameters() if name.startswith(parts)}
    values = torch.autograd.grad(loss, [*named.values()], retain_graph=True, allow_unused=True, materialize_grads=True)
    return dict(zip(named, values, strict=True))


# -- values ------------------------------------------------------------------------------------------------------------


def test_iwae_bound_increases_with_k_to_the_evidence(x):
    model = linear(IWAE, samples=4096)
    set_posterior(model, x)
    model.posterior.head.bias.data[2:] += 0.5  # wider than the posterior, so that the weights are bounded
    log_p = evidence(model).log_prob(x)
    ways = [twin(model, MIWAE, bounds=4096 // k, samples=k) for k in (1, 4, 16, 64, 256)]  # of sharing 4096 samples out
    with torch.no_grad():
        bounds = [-step(way.terms, x)["iw_bound"] for way in (*ways, model)]
    for smaller, larger in pairwise(bounds):
        assert (smaller <= larger).all()  # on the same samples this is Jensen's inequality, without noise
    assert (log_p - bounds[0]).mean() > 0.1 and (log_p - bounds[-1]).abs().mean() < 0.02


def test_iwae_is_the_evidence_at_the_exact_posterior(x):
    model = linear(IWAE, samples=3, posterior=FullPosterior)
    set_posterior(model, x)
    terms = step(model.terms, x)
    close(-terms["iw_bound"], evidence(model).log_prob(x))
    close(terms.elbo, -terms["iw_bound"])  # all weights are equal, so Jensen's gap is none


def test_iwae_with_one_sample_is_the_sampled_elbo(x):
    model = linear(IWAE, samples=1, **SAMPLED)
    vae = twin(model, VAE, **SAMPLED)
    ours, theirs = step(model.terms, x).loss, step(vae.terms, x).loss
    close(ours, theirs)
    close(gradients(ours, model), gradients(theirs, vae))
    closed = linear(IWAE, samples=1)  # where the VAE's rate is a closed form they agree in expectation
    expected = in_expectation(lambda x: closed.elbo(x).elbo, x)
    close(in_expectation(lambda x: -closed.terms(batch_of(x))["iw_bound"], x), expected)


def test_miwae_of_single_samples_is_the_elbo_of_many(x):
    model = linear(MIWAE, bounds=7, samples=1)
    other = twin(model, CIWAE, beta=1.0, samples=7)
    terms, expected = step(model.terms, x), step(other.terms, x)
    close(-terms["iw_bound"], terms.elbo)
    close(terms.loss, expected.loss)
    close(gradients(terms.loss, model), gradients(expected.loss, other))


def test_ciwae_at_beta_one_is_the_vae_with_a_sampled_rate(x):
    model = linear(CIWAE, beta=1.0, samples=1, **SAMPLED)
    vae = twin(model, VAE, **SAMPLED)
    ours, theirs = step(model.terms, x).loss, step(vae.terms, x).loss
    close(ours, theirs)
    close(gradients(ours, model), gradients(theirs, vae))


def test_ciwae_is_linear_in_beta(x):
    model = linear(CIWAE, beta=0.3)
    elbo, iwae = (step(twin(model, CIWAE, beta=beta).terms, x).loss for beta in (1.0, 0.0))
    assert elbo > iwae + 0.01
    close(step(model.terms, x).loss, 0.3 * elbo + 0.7 * iwae)


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_iwae_gradient_weighs_the_samples_by_their_detached_softmax(x):
    model = linear(IWAE)
    with noise.seeded(1):
        log_weights = model.log_weights(x, 5)  # [K, B]
    by_hand = -(log_weights.softmax(0).detach() * log_weights).sum(0).mean()
    evenly = -log_weights.mean()
    ours = gradients(step(model.terms, x).loss, model)
    close(ours, gradients(by_hand, model))
    assert not torch.allclose(ours[0], gradients(evenly, model)[0], rtol=1e-2)


def test_piwae_moves_each_network_along_its_own_bound(x):
    model = linear(PIWAE, bounds=3, samples=4)
    theta, phi = model.stages[0].updates
    iwae, miwae = twin(model, IWAE, samples=12), twin(model, MIWAE, bounds=3, samples=4)
    for update, other, parts in (
        (theta, iwae, ("decoder", "likelihood", "prior")),
        (phi, miwae, ("encoder", "posterior")),
    ):
        own = {id(parameter) for parameter in update.parameters}
        named = {name for name, parameter in model.named_parameters() if id(parameter) in own}
        assert named == {name for name, _ in model.named_parameters() if name.startswith(parts)}
        ours, theirs = step(partial(model.stages[0].terms, update), x).loss, step(other.terms, x).loss
        close(ours, theirs)
        close(slopes(ours, model, *parts), slopes(theirs, other, *parts))


class Nodes:
    """Gauss-Hermite nodes of two independent normal values in place of noise, one pair for each row of the batch."""

    def __init__(self, n):
        nodes, weights = (torch.from_numpy(each) for each in np.polynomial.hermite_e.hermegauss(n))
        self.epsilon = torch.cartesian_prod(nodes, nodes).T.unsqueeze(-1)  # [2, n * n, 1]
        self.weights = torch.outer(weights, weights).flatten() / (2 * math.pi)  # they sum to 1

    def draw(self, kind, shape, dtype, device):
        assert (kind, shape) == ("normal", self.epsilon.shape)
        return self.epsilon


def test_dreg_gradient_is_that_of_the_bound_in_expectation():
    shapes = Shapes(event=(2,), latent=(1,), range=(-5.0, 5.0))
    model, other = (variant(shapes=shapes, samples=2, **LINEAR).double() for variant in (DRegIWAE, IWAE))
    other.load_state_dict(model.state_dict())
    nodes = Nodes(60)
    x = torch.tensor([[1.3, -0.4]], dtype=torch.double).expand(60 * 60, 2)
    found = []
    for each in (model, other):
        with noise.source(nodes):
            expectation = (nodes.weights * each.terms(batch_of(x))["iw_bound"]).sum()
        found.append((expectation, gradients(expectation, each)))
    assert sum(gradient.abs().sum() for gradient in found[0][1]) > 0.1
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-7)


def test_dreg_gradient_is_steadier_than_that_of_iwae(x):
    model = linear(DRegIWAE, samples=8)
    set_posterior(model, x)
    model.posterior.head.bias.data[2:] += 0.1
    variances = []
    for each in (model, twin(model, IWAE, samples=8)):
        losses = (each.terms(batch_of(x)).loss for _ in range(50))
        draws = [torch.cat([g.flatten() for g in gradients(loss, each.posterior)]) for loss in losses]
        variances.append(torch.stack(draws).var(0).sum())
    assert variances[0] < 0.3 * variances[1]


def test_dreg_with_one_sample_has_no_variance_at_the_exact_posterior(x):
    model = linear(DRegIWAE, samples=1, posterior=FullPosterior)
    set_posterior(model, x)
    plain = twin(model, IWAE, samples=1, posterior=FullPosterior)
    for gradient in gradients(step(model.terms, x).loss, model.posterior):  # the encoder has no parameters
        close(gradient, torch.zeros_like(gradient))
    assert max(gradient.abs().max() for gradient in gradients(step(plain.terms, x).loss, plain.posterior)) > 1e-3


@pytest.mark.parametrize("parts", [{}, SAMPLED])
def test_dreg_moves_the_generative_model_as_iwae_does(parts, x):
    model = linear(DRegIWAE, **parts)
    other = twin(model, IWAE, **parts)
    ours, theirs = step(model.terms, x).loss, step(other.terms, x).loss
    close(ours, theirs)
    generative = ("decoder", "likelihood", "prior")
    close(slopes(ours, model, *generative), slopes(theirs, other, *generative))
    assert not torch.allclose(gradients(ours, model.posterior)[0], gradients(theirs, other.posterior)[0], rtol=1e-3)


def test_dreg_evaluates_without_gradients(x):
    model = linear(DRegIWAE).eval()
    other = twin(model, IWAE).eval()
    with torch.no_grad():
        close(dict(step(model.terms, x)), dict(step(other.terms, x)))


@pytest.mark.parametrize(
    "variant, wrong",
    [
        (IWAE, {"samples": 0}),
        (MIWAE, {"bounds": 0}),
        (PIWAE, {"samples": -1}),
        (CIWAE, {"beta": 1.5}),
        (DRegIWAE, {"samples": 0}),
    ],
)
def test_wrong_numbers_are_refused_at_construction(variant, wrong):
    (name,) = wrong
    with pytest.raises(UsageError, match=f"variant.{name}={wrong[name]}"):
        linear(variant, **wrong)
