import math
from typing import Any

import pytest
import torch
from torch import nn

from vaezoo import estimators
from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.posteriors.full import FullPosterior
from vaezoo.posteriors.point import PointPosterior
from vaezoo.priors.mixture import MixturePrior
from vaezoo.priors.standard import StandardPrior
from vaezoo.priors.vamp import VampPrior
from vaezoo.shapes import Shapes

VECTOR = Shapes(event=(6,), latent=(3,), features=(8,))
GRID = Shapes(event=(1, 8, 8), latent=(2, 4, 4), features=(5, 4, 4))
POSTERIORS: list[Any] = [DiagonalPosterior, FullPosterior, PointPosterior]


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def encoder():
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh())


@pytest.fixture
def q_of(encoder):
    posterior = DiagonalPosterior(VECTOR)
    return lambda x: posterior(encoder(x))


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize("shapes", [VECTOR, GRID, GRID.replace(features=(8,))], ids=["vector", "grid", "to grid"])
def test_posterior_has_the_shape_of_the_latent(posterior, shapes):
    if posterior is FullPosterior and len(shapes.latent) > 1:
        with pytest.raises(UsageError, match=r"needs a vector latent.*\(2, 4, 4\)"):
            posterior(shapes)
        return
    q = posterior(shapes)(torch.randn(7, *shapes.features))
    assert q.batch_shape == (7,) and q.event_shape == shapes.latent
    assert q.rsample((2,)).shape == (2, 7, *shapes.latent) and q.stddev.shape == (7, *shapes.latent)


@pytest.mark.parametrize("posterior", [DiagonalPosterior, PointPosterior])
@pytest.mark.parametrize("latent", [(3,), (2, 5, 5)])
def test_posterior_refuses_features_on_another_grid(posterior, latent):
    with pytest.raises(UsageError, match="does not fit"):
        posterior(GRID.replace(latent=latent))


@pytest.mark.parametrize("posterior", [DiagonalPosterior, FullPosterior])
def test_log_std_stays_within_its_bounds(posterior):
    q = posterior(VECTOR, log_std_min=-2.0, log_std_max=1.0)(1e4 * torch.randn(50, 8))
    log_std = q.log_std if posterior is DiagonalPosterior else q.scale_tril.diagonal(dim1=1, dim2=2).log()
    assert log_std.min().item() == pytest.approx(-2, abs=1e-5) and log_std.max().item() == pytest.approx(1, abs=1e-5)
    with pytest.raises(UsageError, match="log_std_min=3"):
        posterior(VECTOR, log_std_min=3.0, log_std_max=1.0)


def test_full_posterior_starts_as_the_diagonal_one_with_the_same_head():
    full, diagonal = FullPosterior(VECTOR), DiagonalPosterior(VECTOR)
    diagonal.load_state_dict(full.state_dict(), strict=False)
    h, p = torch.randn(7, 8), StandardPrior(VECTOR)(None)
    q, r = full(h), diagonal(h)
    assert torch.equal(q.scale_tril, torch.diag_embed(r.stddev))
    torch.testing.assert_close(estimators.rate(q, p, q.mean), estimators.rate(r, p, r.mean))


def test_full_posterior_fills_every_entry_below_the_diagonal():
    full = FullPosterior(VECTOR)
    nn.init.normal_(full.lower.weight)
    L = full(torch.randn(7, 8)).scale_tril
    assert torch.equal(L != 0, torch.ones(3, 3).tril().bool().expand(7, 3, 3))
    assert (L.diagonal(dim1=1, dim2=2) > 0).all()
    assert full.lower.weight.shape[0] == 3


@pytest.mark.parametrize("posterior", [DiagonalPosterior, FullPosterior])
def test_autocast_leaves_the_parameters_of_the_posterior_in_single_precision(posterior):
    with torch.autocast("cpu", torch.bfloat16):
        q = posterior(VECTOR)(torch.randn(7, 8))
        assert q.mean.dtype == q.rsample().dtype == torch.float32


@pytest.mark.parametrize("prior", [StandardPrior, MixturePrior, VampPrior])
def test_prior_has_the_shape_of_the_latent_and_no_batch_shape(prior, q_of):
    p = prior(VECTOR)(q_of)
    assert p.batch_shape == () and p.event_shape == (3,)
    assert p.sample((5,)).shape == (5, 3) and p.log_prob(torch.zeros(2, 5, 3)).shape == (2, 5)


@pytest.mark.parametrize("prior", [StandardPrior, MixturePrior, VampPrior])
def test_prior_takes_grid_latents(prior):
    encoder, posterior = nn.Conv2d(1, 5, 2, 2), DiagonalPosterior(GRID)
    p = prior(GRID)(lambda x: posterior(encoder(x)))
    assert p.sample((3,)).shape == (3, 2, 4, 4) and p.log_prob(p.sample((3,))).shape == (3,)


@pytest.mark.parametrize("prior", [MixturePrior, VampPrior])
def test_number_of_components_must_be_positive(prior):
    with pytest.raises(UsageError, match="components=0"):
        prior(VECTOR, components=0)


def test_mixture_of_one_at_the_origin_is_the_standard_prior():
    mixture = MixturePrior(VECTOR, components=1)
    nn.init.zeros_(mixture.means)
    z = torch.randn(9, 3)
    torch.testing.assert_close(mixture(None).log_prob(z), StandardPrior(VECTOR)(None).log_prob(z))


def test_vamp_of_one_gives_the_divergence_from_the_posterior_at_its_input(q_of):
    vamp, x = VampPrior(VECTOR, components=1), torch.rand(4, 6)
    q, p = q_of(x), vamp(q_of)
    z = q.sample((20_000,))
    estimates = estimators.rate(q, p, z)
    exact = estimators.rate(q, q_of(vamp.inputs), z)
    assert ((estimates.mean(0) - exact).abs() < 5 * estimates.std(0) / 20_000**0.5).all()


def test_vamp_of_one_at_the_example_itself_has_rate_zero(q_of):
    vamp, x = VampPrior(VECTOR, components=1), torch.rand(1, 6)
    vamp.inputs.data.copy_(x)
    q = q_of(x)
    assert estimators.rate(q, vamp(q_of), q.sample((50,))).abs().max() < 1e-5


def test_vamp_at_all_examples_has_at_most_the_rate_of_log_n(q_of):
    x = torch.rand(8, 6)
    vamp = VampPrior(VECTOR, components=8)
    vamp.inputs.data.copy_(x)
    q = q_of(x)
    rate = estimators.rate(q, vamp(q_of), q.sample((5000,))).mean()
    assert 0 <= rate.item() <= math.log(8)


def test_gradient_reaches_encoder_and_pseudo_inputs_through_the_vamp_prior(encoder, q_of):
    vamp = VampPrior(VECTOR, components=5)
    vamp(q_of).log_prob(torch.randn(4, 3)).sum().backward()
    assert encoder[0].weight.grad.abs().sum() > 0
    assert vamp.inputs.grad is not None
    assert vamp.inputs.grad.abs().min() > 0  # none starts in the flat part of the hard tanh


def test_vamp_keeps_pseudo_inputs_in_the_range_of_the_data(q_of):
    vamp, seen = VampPrior(VECTOR.replace(range=(-1.0, 3.0))), torch.zeros(())

    def look(u):
        nonlocal seen
        seen = u
        return q_of(u)

    vamp.inputs.data.sub_(1).mul_(100)
    vamp(look)
    assert seen.min() == -1 and seen.max() == 3


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-2.0, 2.0), (float("-inf"), float("inf"))])
def test_vamp_starts_near_the_mean_example_inside_the_range(bounds):
    mean = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.9, 1.0])
    inputs = VampPrior(VECTOR.replace(range=bounds, mean=mean)).inputs
    assert (inputs > bounds[0]).all() and (inputs < bounds[1]).all()
    assert (inputs - mean).abs().max() < 0.25
    assert (inputs.std(0) > 0.005).all()


def test_vamp_starts_from_data_only_when_asked():
    x = torch.rand(4, 6)
    vamp, other = VampPrior(VECTOR, components=6, from_data=True), VampPrior(VECTOR, components=6)
    before = other.inputs.clone()
    vamp.start(x)
    other.start(x)
    assert (vamp.inputs[:4] - x).abs().max() < 0.1 and (vamp.inputs[4:] - x[:2]).abs().max() < 0.1
    assert torch.equal(other.inputs, before)


def test_vamp_refuses_a_posterior_that_is_not_a_diagonal_gaussian(encoder):
    posterior = FullPosterior(VECTOR)
    with pytest.raises(UsageError, match=r"needs posterior=diagonal.*FullNormal"):
        VampPrior(VECTOR)(lambda x: posterior(encoder(x)))


def test_parts_state_their_traits():
    assert {p.density for p in POSTERIORS} == {"any", "none"} and PointPosterior.density == "none"
    assert [p.factorised for p in POSTERIORS] == [True, False, False]
    assert VampPrior.needs == ("diagonal",) and StandardPrior.needs == MixturePrior.needs == ()
    assert {p.support for p in POSTERIORS} == {"real"}
    assert StandardPrior.support == MixturePrior.support == VampPrior.support == "real"
