"""Posteriors and priors that are made by invertible maps, against Jacobians, torch and quadrature."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

import vaezoo
from tests.test_exact import D, evidence, linear, set_decoder
from vaezoo import estimators
from vaezoo.build import build
from vaezoo.distributions import noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.flowed import Flowed
from vaezoo.distributions.kl import closed_form
from vaezoo.distributions.standard_normal import StandardNormal
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.networks.masked import MADE
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.posteriors.householder import HouseholderPosterior
from vaezoo.posteriors.iaf import IAFPosterior
from vaezoo.posteriors.planar import PlanarPosterior
from vaezoo.posteriors.radial import RadialPosterior
from vaezoo.priors.autoregressive import AutoregressivePrior
from vaezoo.priors.exemplar import ExemplarPrior
from vaezoo.priors.flow import FlowPrior
from vaezoo.priors.standard import StandardPrior
from vaezoo.shapes import Shapes
from vaezoo.variants.vae import VAE

N, F, d = 6, 8, 4
VECTOR = Shapes(event=(7,), latent=(d,), features=(F,))
GRID = VECTOR.replace(latent=(2, 2, 3))
FLOWS = {
    "planar": partial(PlanarPosterior, steps=3),
    "radial": partial(RadialPosterior, steps=3),
    "iaf": partial(IAFPosterior, steps=3, hidden=(9, 7)),
}
POSTERIORS = {**FLOWS, "householder": partial(HouseholderPosterior, steps=3)}
PRIORS = {
    "flow": partial(FlowPrior, steps=4, hidden=(9,)),
    "autoregressive": partial(AutoregressivePrior, hidden=(9, 7)),
    "mixture of three": partial(AutoregressivePrior, hidden=(9,), components=3, order=(1, 0)),
}
P = StandardNormal((d,), torch.zeros((), dtype=torch.double))
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def h():
    return torch.randn(N, F, dtype=torch.double)


@torch.no_grad()
def trained(part, std=0.3):
    """The part in double precision, away from its start."""
    for parameter in part.double().parameters():
        parameter.add_(std * torch.randn_like(parameter))
    return part


def jacobians(function, z):
    """d function(z)_n / d z_n for each example, ``[N, d, d]``."""
    full = torch.autograd.functional.jacobian(function, z)  # [N, d, N, d]
    return full.diagonal(dim1=0, dim2=2).movedim(-1, 0)


# -- posteriors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FLOWS)
def test_log_determinant_is_that_of_the_jacobian(name, h):
    q = trained(FLOWS[name](VECTOR))(h)
    z_0 = q.base.rsample()
    jacobian = jacobians(lambda z: q.flow(z)[0], z_0)
    log_det = q.flow(z_0)[1]
    close(log_det, torch.linalg.slogdet(jacobian).logabsdet)
    assert log_det.abs().max() > 0.1


@pytest.mark.parametrize("name", ["planar", "radial"])
def test_constrained_flow_keeps_its_orientation(name, h):
    """The determinant of an invertible step is positive everywhere, whatever the encoder says."""
    q = trained(FLOWS[name](VECTOR, steps=1), std=3.0)(h)
    for z in 3 * q.base.mean + 3 * torch.randn(20, N, d, dtype=torch.double):
        log_det = q.flow(z)[1]
        determinant = torch.linalg.det(jacobians(lambda z: q.flow(z)[0], z))
        assert log_det.isfinite().all() and (determinant > -1e-9).all()
        torch.testing.assert_close(log_det.exp(), determinant, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", POSTERIORS)
def test_samples_are_processed_in_one_batch_as_one_by_one(name, h):
    q = trained(POSTERIORS[name](VECTOR))(h)
    with noise.seeded(1):
        z = q.rsample((5,))
    log_q = q.log_prob(z)
    assert z.shape == (5, N, d) and log_q.shape == (5, N)
    with noise.seeded(1):
        z_0 = q.base.rsample((5,))
    q_0 = DiagonalNormal(q.base.mean, q.base.log_std)
    for k in range(5):
        single = Flowed(q_0, q.flow, q.inverse) if isinstance(q, Flowed) else type(q)(q_0, q.vectors)
        with noise.source(Replay((z_0[k] - q_0.mean) / q_0.stddev)):
            z_k = single.rsample()
        close(z_k, z[k])
        close(single.log_prob(z_k), log_q[k])


class Replay:
    """A source of noise that gives what it holds."""

    def __init__(self, held):
        self.held = held

    def draw(self, kind, shape, dtype, device):
        assert kind == "normal" and tuple(shape) == self.held.shape
        return self.held


@pytest.mark.parametrize("name", FLOWS)
def test_density_at_any_value_is_that_at_the_draw(name, h):
    q = trained(FLOWS[name](VECTOR))(h)
    first = q.rsample((3,))
    expected = q.log_prob(first)
    second = q.sample()
    assert not second.requires_grad and q.log_prob(second).shape == (N,)
    for same in (first, first.clone(), first.detach()):  # after another draw
        close(q.log_prob(same), expected)
        close(q.flow(q.inverse(same))[0], first)
    assert not torch.allclose(q.log_prob(first + 0.1), expected)


@pytest.mark.parametrize("name", FLOWS)
def test_gradient_at_a_fixed_value_is_that_of_the_density_there(name, h):
    """At a constant z as in the implicit function theorem; at the draw itself z moves too, and so it is in a clone."""
    q = trained(FLOWS[name](VECTOR))(h.requires_grad_())
    z = q.rsample()
    own, cloned = (torch.autograd.grad(q.log_prob(each).sum(), h, retain_graph=True)[0] for each in (z, z.clone()))
    close(cloned, own)
    value = z.detach().requires_grad_()
    at_h, at_z = torch.autograd.grad(q.log_prob(value).sum(), (h, value), retain_graph=True)
    (moved,) = torch.autograd.grad(z, h, at_z)
    close(at_h + moved, own)


@pytest.mark.parametrize("name", ["planar", "radial"])
def test_flow_starts_as_the_diagonal_posterior(name, h):
    posterior, x = FLOWS[name](VECTOR).double(), torch.randn(N, 7, dtype=torch.double)
    assert_elbo_of_the_diagonal_posterior(posterior, posterior.base, x)


def test_open_gates_are_the_diagonal_posterior(h):
    posterior, x = trained(FLOWS["iaf"](VECTOR)), torch.randn(N, 7, dtype=torch.double)
    for network in posterior.networks:
        network.last.weight.data[d:].zero_()
        network.last.bias.data[d:].fill_(50.0)
    assert_elbo_of_the_diagonal_posterior(posterior, posterior.base, x)


def test_no_reflection_is_the_diagonal_posterior(h):
    posterior, x = trained(HouseholderPosterior(VECTOR, steps=0)), torch.randn(N, 7, dtype=torch.double)
    assert_elbo_of_the_diagonal_posterior(posterior, posterior.base, x)


def assert_elbo_of_the_diagonal_posterior(posterior, diagonal, x):
    """Both posteriors give the same ELBO for the same noise, with a rate estimated from the sample."""
    parts = {"encoder": nn.Linear(7, F), "decoder": nn.Linear(d, 5)}
    first = VAE(shapes=VECTOR, posterior=posterior, **parts).double()
    second = VAE(shapes=VECTOR, posterior=diagonal, **parts).double()
    second.load_state_dict(first.state_dict(), strict=False)
    weights = []
    for model in (first, second):
        with noise.seeded(3):
            weights.append(model.log_weights(x, 3))
    close(*weights)


def test_rate_of_an_open_flow_is_the_closed_form_of_its_base(h):
    q = IAFPosterior(VECTOR, gate=50.0).double()(h)
    close(estimators.rate(q, P, q.rsample()), closed_form(q.base, P)(q.base, P))


@pytest.mark.parametrize("name", FLOWS)
def test_rate_of_a_flow_has_the_mean_of_the_plain_estimate_and_less_variance(name, h):
    q = trained(FLOWS[name](VECTOR), std=0.1)(h)
    with torch.no_grad():
        z = q.rsample((20_000,))
        estimate, plain = estimators.rate(q, P, z), q.log_prob(z) - P.log_prob(z)  # [k, N]
    error = (estimate - plain).std(0) / len(z) ** 0.5
    assert ((estimate.mean(0) - plain.mean(0)).abs() < 5 * error).all()
    assert (estimate.std(0) < 0.7 * plain.std(0)).all()


def test_iaf_starts_near_the_diagonal_posterior(h):
    q = IAFPosterior(VECTOR, gate=6.0).double()(h)
    z_0 = q.base.rsample()
    z, log_det = q.flow(z_0)
    assert 0 < (z - z_0).abs().max() < 0.05 and log_det.abs().max() < 0.05


def test_iaf_jacobian_is_triangular_in_its_order_and_the_order_turns(h):
    for steps, upper in ((1, True), (2, False)):
        posterior = trained(IAFPosterior(VECTOR, steps=2, hidden=(9,)))
        contexts = [network.context(h) for network in posterior.networks]
        posterior.networks = posterior.networks[steps - 1 : steps]
        flow = partial(posterior.flow, contexts[steps - 1 : steps])
        jacobian = jacobians(lambda z: flow(z)[0], torch.randn(N, d, dtype=torch.double))  # noqa: B023
        zero = jacobian.triu(1) if upper else jacobian.tril(-1)
        filled = jacobian.tril(-1) if upper else jacobian.triu(1)
        assert (zero == 0).all() and (filled != 0).sum() == N * d * (d - 1) / 2


def test_iaf_is_inverted_by_solving_one_dimension_after_the_other(h):
    posterior = trained(IAFPosterior(VECTOR, steps=1, hidden=(9,)))
    flow = partial(posterior.flow, [posterior.networks[0].context(h)])
    z_0 = torch.randn(N, d, dtype=torch.double)
    z = flow(z_0)[0]
    found = torch.zeros_like(z)
    for i in range(d):
        m, s = posterior.networks[0](found, posterior.networks[0].context(h)).unbind(-2)
        found[:, i] = (m + (z - m) / s.sigmoid())[:, i]
    close(found, z_0)


def test_every_iaf_parameter_of_the_first_dimension_depends_on_the_features(h):
    posterior = trained(IAFPosterior(VECTOR, steps=1, hidden=(9,)))
    network = posterior.networks[0]
    out = network(torch.zeros(N, d, dtype=torch.double), network.context(h))
    assert (out.std(0) > 0).all()


def test_planar_constraint_holds_where_it_binds(h):
    posterior = trained(PlanarPosterior(VECTOR, steps=1), std=5.0)
    u = posterior.u(h)
    w = posterior.wb(h)[:, :-1]
    z = torch.randn(N, d, dtype=torch.double)
    moved = (posterior(h).flow(z)[0] - z) / (posterior.wb(h)[:, -1] + (w * z).sum(1)).tanh()[:, None]
    assert ((w * u).sum(1) < -1).any() and ((w * moved).sum(1) > -1 - 1e-9).all()
    across = moved - u  # what the constraint moved is along w
    close(across - (across * w).sum(1, keepdim=True) * w / w.square().sum(1, keepdim=True), torch.zeros_like(u))


@pytest.mark.parametrize("name", FLOWS)
def test_importance_weights_of_a_flow_converge_to_the_evidence(name):
    x = torch.randn(4, D, dtype=torch.double)
    model = linear(posterior=FLOWS[name]).eval()
    trained(model.posterior, std=0.2)
    set_decoder(model, torch.randn(D, 2), torch.randn(D), 1.5)
    model.posterior.base.head.weight.data.mul_(0.1)
    model.posterior.base.head.bias.data.copy_(torch.tensor([0.0, 0.0, 0.5, 0.5]))  # wider than the posterior
    weights = model.log_weights(x, 10_000).detach().exp() / evidence(model).log_prob(x).exp()
    error = weights.std(0) / 10_000**0.5
    assert ((weights.mean(0) - 1).abs() < 5 * error).all() and (error < 0.03).all()
    bound = model.log_likelihood(x, 10_000)
    assert (bound - evidence(model).log_prob(x)).abs().max() < 0.1


def test_householder_is_the_turned_gaussian(h):
    q = trained(HouseholderPosterior(VECTOR, steps=3))(h)
    turn = torch.stack([vector_of_reflections(q.vectors, n) for n in range(N)])
    close(turn @ turn.mT, torch.eye(d, dtype=torch.double).expand(N, d, d))
    close(torch.linalg.det(turn), -torch.ones(N, dtype=torch.double))  # three reflections
    other = as_torch(q, turn)
    z = q.rsample((5,))
    close(q.log_prob(z), other.log_prob(z))
    close(q.mean, other.mean)
    close(q.variance, other.variance)
    close(q.stddev, other.stddev)


def test_householder_samples_have_the_turned_covariance(h):
    q = trained(HouseholderPosterior(VECTOR, steps=2))(h[:1])
    turn = vector_of_reflections(q.vectors, 0)
    epsilon = torch.cat([torch.eye(d), -torch.eye(d)]).double().unsqueeze(1) * math.sqrt(d)  # their covariance is I
    with noise.source(Replay(epsilon)):
        z = q.rsample((2 * d,)).squeeze(1)
    close(z.T.cov(correction=0), turn @ q.base.variance[0].diag() @ turn.T)


def test_householder_divergence_is_that_of_torch(h):
    q = trained(HouseholderPosterior(VECTOR, steps=3))(h)
    other = as_torch(q, torch.stack([vector_of_reflections(q.vectors, n) for n in range(N)]))
    mean, log_std = torch.randn(2, N, d, dtype=torch.double)
    zero, eye = torch.zeros(d, dtype=torch.double), torch.eye(d, dtype=torch.double)
    for p, reference in [
        (StandardNormal((d,), zero), MultivariateNormal(zero, eye)),
        (DiagonalNormal(mean, log_std), MultivariateNormal(mean, scale_tril=torch.diag_embed(log_std.exp()))),
    ]:
        assert estimators.is_exact(q, p)
        close(estimators.rate(q, p, q.mean), kl_divergence(other, reference))
        with pytest.raises(ValueError, match="no rate per dimension"):
            estimators.rate(q, p, q.mean, per_dim=True)


def vector_of_reflections(vectors, n):
    """The matrix U of example n, from the vectors themselves."""
    turn = torch.eye(d, dtype=torch.double)
    for v in vectors:
        turn = (torch.eye(d, dtype=torch.double) - 2 * v[n].outer(v[n]) / v[n].dot(v[n])) @ turn
    return turn


def as_torch(q, turn):
    covariance = turn @ torch.diag_embed(q.base.variance) @ turn.mT
    return MultivariateNormal((turn @ q.base.mean.unsqueeze(-1)).squeeze(-1), covariance)


@pytest.mark.parametrize("name", POSTERIORS)
def test_autocast_leaves_flows_in_single_precision(name):
    with torch.autocast("cpu", torch.bfloat16):
        q = POSTERIORS[name](VECTOR)(torch.randn(N, F))
        z = q.rsample()
        assert z.dtype == q.log_prob(z).dtype == q.mean.dtype == torch.float32


@pytest.mark.parametrize("name", POSTERIORS)
def test_flows_refuse_what_they_cannot_do(name):
    with pytest.raises(UsageError, match=rf"posterior={name} needs a vector latent.*\(2, 2, 3\)"):
        POSTERIORS[name](GRID)
    with pytest.raises(UsageError, match=r"steps=-1"):
        POSTERIORS[name](VECTOR, steps=-1)
    with pytest.raises(UsageError, match=r"log_std_min=3"):
        POSTERIORS[name](VECTOR, log_std_min=3.0, log_std_max=1.0)


def test_flows_state_their_traits():
    assert [POSTERIORS[name].func.density for name in POSTERIORS] == ["own", "own", "own", "any"]
    assert not any(posterior.func.factorised for posterior in POSTERIORS.values())


# -- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hidden", [(3,), (9,), (9, 20), (40, 5, 40)])
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (0,)])
def test_conditionals_depend_on_the_dimensions_before(order, hidden):
    network = trained(MADE(order, hidden, outputs=2))
    jacobian = torch.autograd.functional.jacobian(network, torch.randn(len(order), dtype=torch.double))
    place = torch.empty(len(order), dtype=torch.long)
    place[list(order)] = torch.arange(len(order))
    before = place[:, None] > place  # [out, in]
    assert (jacobian[:, ~before] == 0).all()
    if max(hidden) == hidden[0] and min(hidden) >= len(order):  # wide enough to use every dimension
        assert (jacobian[:, before] != 0).all()


@pytest.mark.parametrize("order", [(0, 1, 1, 3), (0, 1), (1, 2, 3, 4)])
def test_an_order_that_is_no_permutation_is_refused(order):
    with pytest.raises(UsageError, match=r"prior.order=.*permutation of the 4 dimensions"):
        AutoregressivePrior(VECTOR, order=order)


# -- priors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [VECTOR, GRID, VECTOR.replace(latent=(1,))], ids=["vector", "grid", "one"])
@pytest.mark.parametrize("prior", [FlowPrior, AutoregressivePrior, partial(AutoregressivePrior, components=3)])
def test_prior_starts_as_the_standard_one(prior, shapes):
    p, standard = prior(shapes)(None), StandardPrior(shapes)(None)
    z = torch.randn(2, 5, *shapes.latent)
    torch.testing.assert_close(p.log_prob(z), standard.log_prob(z))
    assert p.batch_shape == () and p.event_shape == shapes.latent
    assert p.log_prob(z).shape == (2, 5) and p.sample((2, 5)).shape == z.shape and p.sample().shape == shapes.latent


@pytest.mark.parametrize("name", PRIORS)
def test_prior_integrates_to_one(name):
    p = trained(PRIORS[name](VECTOR.replace(latent=(2,))), std=0.25)(None)
    axis = torch.linspace(-12, 12, 401, dtype=torch.double)
    z = torch.cartesian_prod(axis, axis)
    density = p.log_prob(z).detach().exp()
    assert (density.sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1, abs=1e-4)
    assert (density - StandardNormal((2,), z).log_prob(z).exp()).abs().max() > 0.01


@pytest.mark.parametrize("name", PRIORS)
def test_samples_of_a_prior_follow_its_density(name):
    p = trained(PRIORS[name](VECTOR.replace(latent=(2,))), std=0.25)(None)
    axis = torch.linspace(-12, 12, 401, dtype=torch.double)
    z = torch.cartesian_prod(axis, axis)
    weights = p.log_prob(z).detach().softmax(0)
    draws = p.sample((10_000,))
    for moment in (lambda z: z, lambda z: z.square(), lambda z: z.prod(-1, keepdim=True), lambda z: (z > 0.3).double()):
        exact = weights @ moment(z)
        values = moment(draws)
        assert ((values.mean(0) - exact).abs() < 5 * values.std(0) / 100 + 1e-3).all()


def test_flow_prior_is_inverted_exactly_and_has_the_determinant_of_its_jacobian():
    prior = trained(PRIORS["flow"](VECTOR))
    z = torch.randn(N, d, dtype=torch.double)
    u, log_det = prior.normalise(z)
    close(prior.generate(u), z)
    close(log_det, torch.linalg.slogdet(jacobians(lambda z: prior.normalise(z)[0], z)).logabsdet)
    assert (u - z).abs().min() > 1e-6  # no dimension is left out


def test_components_of_the_autoregressive_prior_part_in_training():
    prior = AutoregressivePrior(VECTOR, components=2, hidden=(9,))
    z = torch.randn(200, d).sign() * 2 + 0.1 * torch.randn(200, d)
    optimizer = torch.optim.Adam(prior.parameters(), 0.03)
    for _ in range(150):
        loss = -prior(None).log_prob(z).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    one_normal = d * (0.5 * math.log(2 * math.pi * math.e) + math.log(2))
    assert loss.item() < 0.8 * one_normal


@pytest.mark.parametrize("prior", [FlowPrior, AutoregressivePrior])
def test_samples_of_a_prior_are_drawn_for_the_global_batch(prior):
    p = trained(prior(VECTOR))(None)
    whole, halves = None, []
    with noise.seeded(5):
        whole = p.sample((6,))
    for rank in range(2):
        with noise.seeded(5), noise.ranks(rank, 2), noise.batch_first():
            halves.append(p.sample((3,)))
    close(torch.cat(halves), whole)


@pytest.mark.parametrize("posterior", [DiagonalPosterior, FLOWS["iaf"]])
def test_one_exemplar_is_a_gaussian_around_its_code(posterior):
    posterior, encoder = trained(posterior(VECTOR)), nn.Linear(7, F).double()
    prior = ExemplarPrior(VECTOR, exemplars=1).double()
    x = torch.randn(3, 7, dtype=torch.double)
    prior.start(x[:1])
    prior.log_std.data.fill_(-0.4)
    p = prior(lambda x: posterior(encoder(x)))
    z = torch.randn(2, 5, d, dtype=torch.double)
    mean = posterior(encoder(x[:1])).mean
    close(p.log_prob(z), DiagonalNormal(mean, torch.full_like(mean, -0.4)).log_prob(z))
    p.log_prob(z).sum().backward()
    assert encoder.weight.grad.abs().sum() > 0 and prior.log_std.grad.abs() > 0


def test_exemplars_come_from_the_start_and_are_saved():
    x, prior = torch.randn(10, 7), ExemplarPrior(VECTOR, exemplars=4)
    prior.start(x)
    assert torch.equal(prior.state_dict()["examples"], x[[0, 2, 5, 7]])
    few = ExemplarPrior(VECTOR, exemplars=13)
    few.start(x)
    assert torch.equal(few.examples, torch.cat([x, x[:3]]))
    with pytest.raises(UsageError, match="exemplars=0"):
        ExemplarPrior(VECTOR, exemplars=0)


# -- in a model --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def composed(digits):
    """A function from overrides to a model with narrow networks."""
    narrow = ["encoder.hidden=[16]", "decoder.hidden=[16]", "latent=5", "dataset=digits"]

    def compose(*overrides):
        return build(vaezoo.compose(["variant=vae", *narrow, *overrides]), digits.shapes((5,)))

    return compose


@pytest.mark.parametrize("prior", ["standard", "mixture", "flow", "autoregressive", "exemplar"])
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_pairs_of_posterior_and_prior_train(posterior, prior, composed, digits):
    model = composed(f"posterior={posterior}", f"prior={prior}")
    batch = digits.split("train")[:20]
    model.start(batch.x)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for _ in range(2):
        loss = model.terms(batch).loss
        optimizer.zero_grad()
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
    exact = estimators.is_exact(model.q(batch.x), model.p())
    assert exact == ((posterior, prior) == ("householder", "standard"))


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_flows_are_evaluated(posterior, composed, digits):
    model = composed(f"posterior={posterior}", "prior=flow")
    found = evaluate(model, digits, k=3, limit=6, progress=False)
    for name in ("elbo", "distortion", "rate", "nll", "active_units", "squared_error"):
        assert math.isfinite(found[name])
    assert found["rate_is"] == "sampled"
    assert (found["mutual_information"] is None) == (posterior != "householder")


@pytest.mark.parametrize("prior", ["flow", "autoregressive", "exemplar"])
def test_priors_sample_for_the_decoder_and_repeat(prior, composed, digits):
    model = composed(f"prior={prior}").eval()
    model.start(digits.split("train")[:20].x)
    draws = []
    for seed in (0, 0, 1):
        with noise.seeded(seed):
            draws.append(model.sample(4))
    assert draws[0].shape == (4, *digits.shapes((5,)).event)
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_vamp_refuses_a_flow(composed):
    with pytest.raises(UsageError, match="prior=vamp needs posterior=diagonal, not posterior=planar"):
        composed("posterior=planar", "prior=vamp")
