"""Terms that couple the examples of a batch: what they are by definition, and that two processes equal one."""

import itertools
import math
import os
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as multiprocessing
from pytorch_lightning import Trainer
from torch import Tensor, nn

from tests.conftest import free_port, quick_trainer
from vaezoo import estimators
from vaezoo.batch import Batch
from vaezoo.build import build
from vaezoo.configs import compose
from vaezoo.contract.subjects import built, objectives, shapes_of_digits, small, some
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.full_normal import FullNormal
from vaezoo.distributions.standard_normal import StandardNormal
from vaezoo.errors import UsageError
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.networks import mlp
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.posteriors.full import FullPosterior
from vaezoo.posteriors.point import PointPosterior
from vaezoo.priors.mixture import MixturePrior
from vaezoo.shapes import Shapes
from vaezoo.train import _strategy
from vaezoo.variants.aae import AAE
from vaezoo.variants.beta_tcvae import BetaTCVAE
from vaezoo.variants.beta_vae import BetaVAE
from vaezoo.variants.dip_vae import DIPVAE
from vaezoo.variants.factor_vae import FactorVAE
from vaezoo.variants.info_vae import InfoVAE
from vaezoo.variants.swae import SWAE
from vaezoo.variants.wae_mmd import WAEMMD

pytestmark = pytest.mark.xdist_group("coupled")  # one worker, which prepares what all tests look at once

NAMES = ["beta_tcvae", "factor_vae", "dip_vae", "info_vae", "wae_mmd", "swae", "aae"]
CORRELATED = torch.tensor([[1.0, 0.7], [0.7, 1.5]])
TOTAL_CORRELATION = 0.5 * float(CORRELATED.diagonal().log().sum() - CORRELATED.logdet())


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


def codes_are_data(cls, log_std: float = -7.0, posterior=DiagonalPosterior, **arguments):
    """A model of points in the plane with q(z|x) = N(x, exp(log_std)^2 I)."""
    linear = {"encoder": partial(mlp.Encoder, hidden=()), "decoder": partial(mlp.Decoder, hidden=())}
    model = cls(shapes=Shapes(event=(2,), latent=(2,)), posterior=posterior, **linear, **arguments)
    nn.init.zeros_(model.posterior.head.weight)
    nn.init.zeros_(model.posterior.head.bias)
    with torch.no_grad():
        model.posterior.head.weight[:2].copy_(torch.eye(2))
        model.posterior.head.bias[2:].fill_(log_std)
    return model


def points(x: Tensor) -> Batch:
    return Batch(x, None, torch.arange(len(x)))


def normal_points(n: int, covariance: Tensor = CORRELATED) -> Tensor:
    return torch.randn(n, 2) @ torch.linalg.cholesky(covariance).T


def whitened(x: Tensor) -> Tensor:
    centred = x - x.mean(0)
    factor = torch.linalg.cholesky(centred.T @ centred / len(x))
    return torch.linalg.solve_triangular(factor, centred.T, upper=False).T


class Ratio(nn.Module):
    """A critic with the logit log N(z; 0, p) - log N(z; 0, q), times ``factor``."""

    def __init__(self, p: Tensor, q: Tensor, factor: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        means = torch.zeros(2), torch.full((2,), shift)
        self.p, self.q = (FullNormal(m, torch.linalg.cholesky(s)) for m, s in zip(means, (p, q), strict=True))
        self.factor = factor

    def forward(self, z: Tensor) -> Tensor:
        return self.factor * (self.p.log_prob(z) - self.q.log_prob(z))


# -- the rate in three parts -------------------------------------------------------------------------------------------


def some_posteriors(n: int, *latent: int) -> DiagonalNormal:
    mean, log_std = torch.randn(n, *latent).double(), (0.5 * torch.randn(n, *latent) - 1).double()
    return DiagonalNormal(mean, log_std, event_dims=len(latent))


def parts_of(q: DiagonalNormal, z: Tensor, size: int, stratified: bool = True) -> estimators.RateParts:
    p = StandardNormal(q.event_shape, z)
    return estimators.decomposed_rate(z, q.mean, q.log_std, p.log_prob(z), size, stratified)


def log_densities(q: DiagonalNormal, z: Tensor) -> Tensor:
    """log q(z_i | x_j) of every dimension, ``[B, B, d]``."""
    normal = torch.distributions.Normal(q.mean, q.stddev)
    return normal.log_prob(z.unsqueeze(1)).flatten(2)


@pytest.mark.parametrize("stratified", [False, True])
@pytest.mark.parametrize("latent", [(3,), (2, 2, 2)])
def test_parts_of_the_rate_sum_to_it_example_by_example(stratified, latent):
    q = some_posteriors(6, *latent)
    z = q.rsample()
    rate = q.log_prob(z) - StandardNormal(latent, z).log_prob(z)
    torch.testing.assert_close(sum(parts_of(q, z, 50, stratified)), rate, atol=1e-12, rtol=0)


def test_stratified_parts_are_exact_where_the_batch_is_the_dataset():
    q = some_posteriors(7, 3)
    z = q.rsample()
    each = log_densities(q, z)
    log_qz, log_product = estimators.log_mean_exp(each.sum(2), 1), estimators.log_mean_exp(each, 1).sum(1)
    expected = (q.log_prob(z) - log_qz, log_qz - log_product, log_product - StandardNormal((3,), z).log_prob(z))
    torch.testing.assert_close(tuple(parts_of(q, z, 7)), expected)


def test_stratified_estimate_of_the_aggregate_is_unbiased():
    q, size = some_posteriors(5, 2), 5
    z = q.rsample()
    log_qz_x = log_densities(q, z).sum(2)
    batches = [[0, *others] for others in itertools.combinations(range(1, size), 2)]  # all that hold example 0
    estimates = []
    for batch in batches:
        drawn = DiagonalNormal(q.mean[batch], q.log_std[batch])
        mutual_information = parts_of(drawn, z[batch], size).mutual_information[0]
        estimates.append((log_qz_x[0, 0] - mutual_information).exp())
    torch.testing.assert_close(torch.stack(estimates).mean(), log_qz_x[0].exp().mean())


def test_weighted_estimate_is_that_of_the_paper():
    q, size = some_posteriors(6, 3), 100
    z = q.rsample()
    each, constant = log_densities(q, z), math.log(6 * size)
    log_qz, log_product = each.sum(2).logsumexp(1) - constant, (each.logsumexp(1) - constant).sum(1)
    torch.testing.assert_close(parts_of(q, z, size, stratified=False).total_correlation, log_qz - log_product)


@pytest.mark.parametrize("stratified", [False, True])
def test_gradients_of_the_parts_are_those_of_their_definition(stratified):
    mean, log_std, z = (torch.randn(5, 3).double().requires_grad_() for _ in range(3))
    q, size = DiagonalNormal(mean, log_std), 20
    weights = torch.full((5, 5), (size - 1) / (size * 4) if stratified else 1 / (size * 5)).double()
    if stratified:
        weights.fill_diagonal_(1 / size)
    each = log_densities(q, z)
    log_qz = (each.sum(2) + weights.log()).logsumexp(1)
    log_product = (each + weights.log().unsqueeze(2)).logsumexp(1).sum(1)
    expected = (q.log_prob(z) - log_qz, log_qz - log_product, log_product - StandardNormal((3,), z).log_prob(z))
    for ours, theirs in zip(parts_of(q, z, size, stratified), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
        gradients = (torch.autograd.grad(t.sum(), [mean, log_std, z], retain_graph=True) for t in (ours, theirs))
        torch.testing.assert_close(*gradients)


def test_mutual_information_lies_between_0_and_log_n():
    for spread, expected in ((0.0, 0.0), (1.0, None), (1e3, math.log(8))):
        mean = spread * torch.randn(8, 2).double()
        q = DiagonalNormal(mean, torch.zeros_like(mean))
        drawn = torch.stack([parts_of(q, q.rsample(), 8).mutual_information for _ in range(100)])
        assert (drawn <= math.log(8) + 1e-8).all()
        assert drawn.mean() > -1e-8
        if expected is not None:
            torch.testing.assert_close(drawn.mean(), torch.tensor(expected).double(), atol=1e-8, rtol=0)


def test_total_correlation_of_a_gaussian_is_its_closed_form():
    noise_variance = 0.3  # of q(z|x); the means have the rest of the covariance
    mean = normal_points(1500, CORRELATED - noise_variance * torch.eye(2))
    q = DiagonalNormal(mean, torch.full_like(mean, 0.5 * math.log(noise_variance)))
    assert float(parts_of(q, q.rsample(), 1500).total_correlation.mean()) == pytest.approx(TOTAL_CORRELATION, abs=0.03)


def test_parts_stay_accurate_for_narrow_posteriors_in_single_precision():
    q = DiagonalNormal(3 * torch.randn(20, 4), torch.full((20, 4), -7.0))
    z = q.rsample()
    wide = DiagonalNormal(q.mean.double(), q.log_std.double())
    exact = parts_of(wide, z.double(), 20)
    for ours, theirs in zip(parts_of(q, z, 20), exact, strict=True):
        torch.testing.assert_close(ours.double(), theirs, atol=1e-4, rtol=1e-5)


def test_beta_tcvae_refuses_what_it_has_no_marginals_of():
    with pytest.raises(UsageError, match="posterior=diagonal"):
        BetaTCVAE(shapes=Shapes(event=(2,), latent=(2,)), posterior=FullPosterior)


# -- FactorVAE ---------------------------------------------------------------------------------------------------------


def test_permuting_keeps_each_column():
    z = torch.randn(50, 3, 2)
    shuffled = estimators.permuted(z)
    assert torch.equal(shuffled.sort(0).values, z.sort(0).values)
    assert not torch.equal(shuffled, z)
    whole = torch.randn(4000, 1).expand(4000, 2)
    assert abs(float(torch.corrcoef(estimators.permuted(whole.contiguous()).T)[0, 1])) < 0.06


def test_optimal_critic_gives_the_total_correlation():
    model, batch = codes_are_data(FactorVAE, gamma=5.0), points(normal_points(200_000))
    product = CORRELATED.diagonal().diag()
    losses = []
    for factor in (0.8, 1.0, 1.25):
        model.critic = Ratio(CORRELATED, product, factor)
        with noise.seeded(1):
            losses.append(float(model.game(batch)["critic"].loss.detach()))
    assert losses[1] < min(losses[0], losses[2])
    model.critic = Ratio(CORRELATED, product)
    terms = model.terms(batch)
    means = {name: float(value.detach().mean()) for name, value in terms.items()}
    assert means["total_correlation"] == pytest.approx(TOTAL_CORRELATION, abs=0.02)
    expected = means["distortion"] + means["rate"] + 5 * means["total_correlation"]
    assert float(terms.loss.detach()) == pytest.approx(expected)
    model.critic = Ratio(CORRELATED, CORRELATED)
    assert float(model.game(batch)["critic"].loss.detach()) == pytest.approx(math.log(2))


# -- DIP ---------------------------------------------------------------------------------------------------------------


def test_covariance_divides_by_the_size_of_the_batch():
    x = torch.randn(9, 3)
    torch.testing.assert_close(estimators.covariance(x), torch.cov(x.T, correction=0))


def test_dip_penalties_vanish_for_whitened_means():
    x, variance = whitened(normal_points(40)), 0.4
    first = codes_are_data(DIPVAE, kind="i").terms(points(x))
    second = codes_are_data(DIPVAE, 0.5 * math.log(variance), kind="ii").terms(points(math.sqrt(1 - variance) * x))
    for terms in (first, second):
        assert max(terms["off_diagonal"].item(), terms["diagonal"].item()) < 1e-10


def test_dip_kinds_agree_for_deterministic_codes():
    batch = points(normal_points(40))
    first, second = (codes_are_data(DIPVAE, kind=kind).terms(batch) for kind in ("i", "ii"))  # std = exp(-7)
    for name in ("off_diagonal", "diagonal"):
        torch.testing.assert_close(first[name], second[name], atol=1e-5, rtol=1e-5)


def test_dip_weights_and_penalties_are_those_of_the_paper():
    x = normal_points(40)
    terms = codes_are_data(DIPVAE, lambda_od=3.0, lambda_d=7.0).terms(points(x))
    means, c = {name: value.detach().mean() for name, value in terms.items()}, torch.cov(x.T, correction=0)
    assert float(means["off_diagonal"]) == pytest.approx(2 * float(c[0, 1] ** 2), rel=1e-4)
    assert float(means["diagonal"]) == pytest.approx(float((c.diagonal() - 1).square().sum()), rel=1e-4)
    elbo = float(means["distortion"] + means["rate"])
    assert float(terms.loss.detach()) == pytest.approx(
        elbo + 3 * float(means["off_diagonal"]) + 7 * float(means["diagonal"])
    )
    assert [codes_are_data(DIPVAE, kind=kind).lambda_d for kind in ("i", "ii")] == [100.0, 10.0]


# -- divergences of samples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_mmd_is_the_sum_over_pairs_of_its_definition(name):
    x, y, scale = torch.randn(4, 3).double(), torch.randn(5, 3).double(), 2 * 3 * 0.5**2

    def k(a: Tensor, b: Tensor) -> Tensor:
        squared = (a - b).square().sum()
        return scale / (scale + squared) if name == "imq" else torch.exp(-squared / scale)

    def mean(pairs) -> Tensor:
        return torch.stack([k(a, b) for a, b in pairs]).mean()

    kernel, cross = estimators.kernel_for(name, 3, std=0.5), 2 * mean(itertools.product(x, y))
    unbiased = mean(itertools.permutations(x, 2)) + mean(itertools.permutations(y, 2)) - cross
    torch.testing.assert_close(estimators.mmd_u(x, y, kernel), unbiased)
    biased = mean(itertools.product(x, x)) + mean(itertools.product(y, y)) - cross
    torch.testing.assert_close(estimators.mmd_v(x, y, kernel), biased)


@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_mmd_u_is_unbiased(name):
    kernel = estimators.kernel_for(name, 2, scales=(0.1, 1.0, 10.0))
    drawn = torch.stack([estimators.mmd_u(torch.randn(10, 2), torch.randn(10, 2), kernel) for _ in range(600)])
    assert abs(float(drawn.mean())) < 4 * float(drawn.std()) / 600**0.5
    assert (drawn < 0).any()


@pytest.mark.parametrize("name", ["imq", "rbf"])
def test_mmd_v_is_never_negative(name):
    kernel, x = estimators.kernel_for(name, 2), torch.randn(10, 2)
    assert all(estimators.mmd_v(x, torch.randn(6, 2), kernel) > 0 for _ in range(50))
    assert float(estimators.mmd_v(x, x.flip(0), kernel)) == pytest.approx(0, abs=1e-12)


def test_mmd_of_gaussians_is_its_closed_form():
    shift, covariance = torch.tensor([1.0, -0.5]), CORRELATED
    kernel, scale = estimators.kernel_for("rbf", 2), 4.0  # exp(-|x - y|^2 / C), C = 2 d

    def expected(total: Tensor, delta: Tensor) -> float:
        root = (torch.eye(2) + 2 / scale * total).det().rsqrt()
        return float(root * torch.exp(-0.5 * delta @ torch.linalg.inv(scale / 2 * torch.eye(2) + total) @ delta))

    eye, zero = torch.eye(2), torch.zeros(2)
    exact = expected(2 * eye, zero) + expected(2 * covariance, zero) - 2 * expected(eye + covariance, shift)
    pairs = [(torch.randn(200, 2), normal_points(200, covariance) + shift) for _ in range(100)]
    drawn = torch.stack([estimators.mmd_u(x, y, kernel) for x, y in pairs])
    assert abs(float(drawn.mean()) - exact) < 4 * float(drawn.std()) / 10  # 4 standard errors: 0.01 of 0.17


@pytest.mark.parametrize("arguments", [{"name": "imc"}, {"name": "imq", "std": 0.0}, {"name": "rbf", "scales": ()}])
def test_kernel_refuses_what_it_does_not_know(arguments):
    with pytest.raises(UsageError, match=r"kernel"):
        estimators.kernel_for(dimensions=2, **arguments)


def test_sliced_wasserstein_of_a_sample_with_itself_is_zero():
    x = torch.randn(30, 4)
    assert float(estimators.sliced_wasserstein(x, x, 20)) == 0
    assert float(estimators.sliced_wasserstein(x, x[torch.randperm(30)], 20)) == pytest.approx(0, abs=1e-12)


def test_sliced_wasserstein_of_shifted_gaussians_is_the_squared_shift_over_d():
    shift = torch.tensor([2.0, -1.0, 0.5])
    same, other = torch.randn(2000, 3), torch.randn(2000, 3)
    for y in (same, other):
        found = estimators.sliced_wasserstein(same + shift, y, 300)
        assert float(found) == pytest.approx(float(shift.square().sum()) / 3, rel=0.12)


def test_duplicated_codes_change_no_estimate():
    q = some_posteriors(5, 2)
    z, y = q.rsample(), torch.randn(5, 2).double()
    kernel = estimators.kernel_for("imq", 2)
    twice = DiagonalNormal(q.mean.repeat(2, 1), q.log_std.repeat(2, 1))
    for once, again in zip(parts_of(q, z, 50, False), parts_of(twice, z.repeat(2, 1), 50, False), strict=True):
        torch.testing.assert_close(again, once.repeat(2))
    torch.testing.assert_close(estimators.covariance(z.repeat(2, 1)), estimators.covariance(z))
    doubled = estimators.mmd_v(z.repeat(2, 1), y.repeat(2, 1), kernel)
    torch.testing.assert_close(doubled, estimators.mmd_v(z, y, kernel))
    with noise.seeded(1):
        sliced = estimators.sliced_wasserstein(z, y, 10)
    with noise.seeded(1):
        torch.testing.assert_close(estimators.sliced_wasserstein(z.repeat(2, 1), y.repeat(2, 1), 10), sliced)


# -- variants ----------------------------------------------------------------------------------------------------------


def test_info_vae_keeps_the_rate_that_beta_vae_keeps():
    info = codes_are_data(InfoVAE, 0.0, alpha=0.7, weight=0.3)
    beta = codes_are_data(BetaVAE, 0.0, beta=0.3)
    beta.load_state_dict(info.state_dict(), strict=False)  # but the rate of the linear model
    losses = []
    for model in (info, beta):
        with noise.seeded(1):
            losses.append(model.terms(points(normal_points(20))).loss)
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("arguments", [{"alpha": 1.2}, {"alpha": 0.2, "weight": 0.5}])
def test_info_vae_refuses_to_reward_a_divergence(arguments):
    with pytest.raises(UsageError, match="alpha"):
        codes_are_data(InfoVAE, **arguments)


def test_info_vae_refuses_a_prior_that_nothing_would_train():
    with pytest.raises(UsageError, match="leaves the prior nothing to learn from"):
        codes_are_data(InfoVAE, alpha=1.0, prior=MixturePrior)
    codes_are_data(InfoVAE, 0.0, alpha=0.5, prior=MixturePrior)


def test_aae_critic_has_the_value_of_its_optimum():
    model = codes_are_data(AAE, posterior=PointPosterior)
    same, shifted = points(torch.randn(20_000, 2)), points(torch.randn(20_000, 2) + 1)
    model.critic = Ratio(torch.eye(2), torch.eye(2))
    assert float(model.judging(same).loss) == pytest.approx(2 * math.log(2))
    losses = []
    for factor in (0.7, 1.0, 1.4, -1.0):
        model.critic = Ratio(torch.eye(2), torch.eye(2), factor, shift=1.0)
        losses.append(float(model.judging(shifted).loss))
    assert losses[1] == min(losses)
    grid = torch.linspace(-9, 11, 20_001).double()  # along the shift, of length sqrt 2
    p, q = (torch.distributions.Normal(m, 1.0).log_prob(grid) for m in (0.0, math.sqrt(2)))
    half = torch.logaddexp(p, q) - math.log(2)
    divergence = 0.5 * torch.trapezoid(p.exp() * (p - half) + q.exp() * (q - half), grid)
    assert losses[1] == pytest.approx(2 * math.log(2) - 2 * float(divergence), abs=0.02)


def test_aae_encoder_plays_against_the_critic():
    batch, losses = points(torch.randn(50, 2) + 1), []
    for players, weight in ((2, 0.5), (3, 0.5)):
        model = codes_are_data(AAE, posterior=PointPosterior, players=players, weight=weight)
        model.critic = Ratio(torch.eye(2), torch.eye(2), shift=1.0)
        assert len(model.stages[0].updates) == players
        terms = model.terms(batch)
        losses.append(float((terms.loss - terms["distortion"].mean()).detach()))
        move = torch.autograd.grad(model.fooling(batch).loss, model.posterior.head.bias)[0]
        assert (move > 0).all()  # descending moves the codes towards the prior
    assert losses == pytest.approx([0.5 * float(terms["game"].mean()), 0.0], abs=1e-6)


@pytest.mark.parametrize("optimizer, betas", [({"lr": 0.01}, (0.5, 0.9)), ({"lr": 0.01, "name": "sgd"}, None)])
def test_the_steps_of_the_aae_follow_the_optimizer(optimizer, betas):
    model = codes_are_data(AAE, posterior=PointPosterior, game_lr=0.25, optimizer=optimizer)
    (own,), *game = [made.param_groups for made in model.configure_optimizers()]
    assert own["lr"] == 0.01 and [group["lr"] for (group,) in game] == [0.0025, 0.0025]
    assert [group.get("betas") for (group,) in game] == [betas] * 2
    with pytest.raises(UsageError, match=r"variant\.game_lr=0 must be"):
        codes_are_data(AAE, posterior=PointPosterior, game_lr=0)


@pytest.mark.parametrize("cls", [WAEMMD, SWAE, AAE])
def test_a_random_encoder_has_its_rate_reported_and_not_optimised(cls):
    batch = points(normal_points(30))
    terms = codes_are_data(cls, 0.0).terms(batch)
    assert terms["rate"].shape == (30,)
    weights = {name: terms._weights.get(name, 1.0) for name in terms}
    assert weights["rate"] == 0 and weights["distortion"] == 1
    assert "rate" not in codes_are_data(cls, posterior=PointPosterior).terms(batch)


@pytest.mark.parametrize("name", NAMES)
def test_one_example_has_finite_terms(name):
    for terms in objectives(built(name), Batch(*(value[:1] for value in some(name)))).values():
        assert terms.loss.isfinite()


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_agrees_with_single(name):
    model, batch = built(name), some(name)
    reports = []
    for mixed in (False, True):
        with noise.seeded(1), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms = model.terms(batch)
        terms.loss.backward()
        reports.append({key: float(value.detach()) for key, value in terms.means.items()})
    assert reports[1] == pytest.approx(reports[0], rel=0.05, abs=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_grid_latents_have_finite_terms(name):
    config = small(name, "encoder=conv", "decoder=conv", "latent=[2,2,2]")
    model = built(name, config, shapes_of_digits(name).replace(latent=(2, 2, 2)))
    assert model.terms(some(name)).loss.isfinite()


def test_point_codes_sample_and_have_no_likelihood(digits):
    model = WAEMMD(shapes=digits.shapes((3,)), posterior=PointPosterior, **DENSE)
    report = evaluate(model, digits, k=2, limit=40, progress=False)
    assert report["nll"] is None and report["rate"] is None and "no density" in report["reasons"]["nll"]
    assert report["squared_error"] > 0 and report["distortion"] is not None
    assert model.sample(5).shape == (5, *digits.shapes((3,)).event)


@pytest.mark.parametrize("name", ["beta_tcvae", "dip_vae", "factor_vae", "info_vae"])
def test_build_refuses_point_codes_where_a_density_is_needed(name):
    with pytest.raises(UsageError, match="density"):
        build(compose([f"variant={name}", "posterior=point"]), shapes_of_digits("vae"))


# -- two processes -----------------------------------------------------------------------------------------------------

GLOBAL_BATCH = 100
DENSE = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}
POINT = {"posterior": PointPosterior, **DENSE}
MODELS = {
    "beta_tcvae": lambda shapes: BetaTCVAE(shapes=shapes, estimator="stratified", **DENSE),
    "factor_vae": lambda shapes: FactorVAE(shapes=shapes, hidden=(16, 16), **DENSE),
    "dip_vae": lambda shapes: DIPVAE(shapes=shapes, kind="ii", **DENSE),
    "info_vae": lambda shapes: InfoVAE(shapes=shapes, **DENSE),
    "wae_mmd": lambda shapes: WAEMMD(shapes=shapes, weight=100.0, **POINT),
    "swae": lambda shapes: SWAE(shapes=shapes, **POINT),
    "aae": lambda shapes: AAE(shapes=shapes, hidden=(16,), **POINT),
}


def train_all(rank: int, world: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if world > 1:
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world, "GROUP_RANK": 0}
        fixed = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "coupled", **place}
        os.environ.update({name: str(value) for name, value in fixed.items()})
    sizes = {"batch_size": GLOBAL_BATCH // world, "eval_batch_size": GLOBAL_BATCH // world}
    data = DataModule("digits", **sizes, val_size=199, drop_last=True)  # the last held-out batches differ in size
    data.setup()
    found = {}
    for name, make in MODELS.items():
        torch.manual_seed(0)
        model = make(data.shapes((4,)))
        strategy = _strategy("ddp" if world > 1 else "auto", model)
        trainer: Trainer = quick_trainer(devices=world, strategy=strategy, limit_train_batches=4)
        trainer.fit(model, datamodule=data)
        metrics = {key: float(value) for key, value in trainer.callback_metrics.items()}
        found[name] = {"weights": model.state_dict(), "metrics": metrics, "train": model.meters.latest}
    if world > 1:
        with noise.ranks(rank, world), torch.no_grad():
            found["gathered"] = estimators.gathered(torch.full((3 - rank, 2), float(rank)))
    torch.save(found, folder / f"{world}-{rank}.pt")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coupled")
    port = free_port()
    context = multiprocessing.spawn(train_all, (2, port, folder), nprocs=2, join=False)
    train_all(0, 1, port, folder)
    while not context.join():
        pass
    return [torch.load(folder / f"{name}.pt") for name in ("1-0", "2-0", "2-1")]


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_train_to_the_weights_of_one(outcomes, name):
    one, first, second = (outcome[name]["weights"] for outcome in outcomes)
    for key in one:
        assert torch.equal(first[key], second[key]), f"{key} differs between the processes"
        torch.testing.assert_close(
            first[key], one[key], atol=1e-5, rtol=1e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_report_what_one_reports(outcomes, name):
    one, first, second = (outcome[name] for outcome in outcomes)
    assert first["train"] == pytest.approx(one["train"], rel=1e-4, abs=1e-5)
    assert first["metrics"] == second["metrics"]
    # held-out batches of unequal size get other noise; codes without noise give the same terms
    if name in ("wae_mmd", "swae"):
        assert first["metrics"] == pytest.approx(one["metrics"], rel=1e-4, abs=1e-5)


def test_held_out_rows_are_gathered_though_their_numbers_differ(outcomes):
    expected = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0]).unsqueeze(1).expand(5, 2)
    for outcome in outcomes[1:]:
        assert torch.equal(outcome["gathered"], expected)
