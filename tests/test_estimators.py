import pytest
import torch

from vaezoo import estimators
from vaezoo.distributions import kl, noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.full_normal import FullNormal
from vaezoo.distributions.normal_mixture import NormalMixture
from vaezoo.distributions.point_mass import PointMass
from vaezoo.distributions.standard_normal import StandardNormal

B, D = 4, 3


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def q():
    return DiagonalNormal(torch.randn(B, D), 0.3 * torch.randn(B, D))


@pytest.fixture
def standard():
    return StandardNormal((D,), torch.zeros(()))


@pytest.fixture
def mixture():
    return NormalMixture(torch.randn(5), torch.randn(5, D), torch.zeros(5, D))


def test_rate_is_the_closed_form_where_there_is_one(q, standard):
    rate = estimators.rate(q, standard, q.rsample())
    assert estimators.is_exact(q, standard) and rate.shape == (B,)
    assert torch.equal(rate, estimators.rate(q, standard, q.rsample()))


def test_rate_is_the_one_sample_estimate_where_there_is_no_closed_form(q, mixture):
    z = q.rsample()
    rate = estimators.rate(q, mixture, z)
    assert not estimators.is_exact(q, mixture) and rate.shape == (B,)
    assert torch.equal(rate, q.log_prob(z) - mixture.log_prob(z))


def test_rate_is_the_expectation_of_the_one_sample_estimate(q, standard):
    single = NormalMixture(torch.zeros(1), torch.zeros(1, D), torch.zeros(1, D))  # N(0, I) without a closed form
    estimates = estimators.rate(q, single, q.sample((20_000,)))
    error = 5 * estimates.std(0) / 20_000**0.5
    assert ((estimates.mean(0) - estimators.rate(q, standard, q.mean)).abs() < error).all()


@pytest.mark.parametrize("shape", [(D,), (2, 3, 3)])
def test_rate_per_dimension_sums_to_the_rate(shape):
    q = DiagonalNormal(torch.randn(B, *shape), torch.randn(B, *shape), event_dims=len(shape))
    p = StandardNormal(shape, torch.zeros(()))
    each = estimators.rate(q, p, q.mean, per_dim=True)
    assert each.shape == (B, *shape)
    torch.testing.assert_close(each.flatten(1).sum(1), estimators.rate(q, p, q.mean))


def test_rate_per_dimension_is_refused_where_the_rate_is_no_sum(q, mixture, standard):
    full = FullNormal(q.mean, torch.diag_embed(q.stddev))
    for posterior, prior in ((q, mixture), (full, standard)):
        with pytest.raises(ValueError, match="no rate per dimension"):
            estimators.rate(posterior, prior, q.mean, per_dim=True)


def test_rate_of_a_point_mass_is_refused(standard):
    q = PointMass(torch.zeros(B, D))
    with pytest.raises(NotImplementedError, match="no density"):
        estimators.rate(q, standard, q.mean)


def test_rate_does_not_fall_back_to_sampling_when_a_closed_form_fails(standard):
    class Faulty(DiagonalNormal):
        pass

    @kl.register(Faulty, StandardNormal)
    def _faulty(q, p):
        raise NotImplementedError("a bug in the body")

    q = Faulty(torch.zeros(B, D), torch.zeros(B, D))
    with pytest.raises(NotImplementedError, match="a bug in the body"):
        estimators.rate(q, standard, q.mean)


def test_log_mean_exp_equals_its_definition_and_does_not_overflow():
    log_weights = torch.randn(7, B).double()
    torch.testing.assert_close(estimators.log_mean_exp(log_weights, 0), log_weights.exp().mean(0).log())
    torch.testing.assert_close(estimators.log_mean_exp(torch.full((3, 2), -2000.0), 0), torch.full((2,), -2000.0))
