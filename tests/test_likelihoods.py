"""Likelihoods are normalised, equal their references, start where they say and refuse data that they do not fit."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vaezoo import registry
from vaezoo.distributions import noise
from vaezoo.distributions.bernoulli_logits import BernoulliLogits
from vaezoo.distributions.categorical_levels import CategoricalLevels
from vaezoo.distributions.continuous_bernoulli import ContinuousBernoulliLogits
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.discretised_logistic import DiscretisedLogistic
from vaezoo.distributions.discretised_logistic_mixture import DiscretisedLogisticMixture
from vaezoo.distributions.laplace import DiagonalLaplace
from vaezoo.errors import UsageError
from vaezoo.likelihoods.bernoulli import Bernoulli
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.likelihoods.laplace import Laplace
from vaezoo.likelihoods.support import check
from vaezoo.shapes import Shapes

NAMES = registry.names("likelihood")
LEVELS = torch.arange(256, dtype=torch.float64) / 255
EVENTS = [(1, 8, 8), (1, 28, 20), (3, 32, 32), (7,)]


def features_of(event: tuple[int, ...], grid: bool) -> tuple[int, ...]:
    return (4, *(event[1:] if len(event) == 3 else (2, 2))) if grid else (5,)


def sizes(event: tuple[int, ...] = (7,), features: tuple[int, ...] = (5,), **more) -> Shapes:
    return Shapes(event=event, latent=(2,), features=features, support="levels", **more)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)  # [B, 1]


# --- normalisation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-4, 1e-2, 0.3, 30.0])
@pytest.mark.parametrize("mean", [-2.0, 0.0, 0.31, 1.0, 5.0])
def test_masses_of_all_levels_sum_to_one(mean: float, scale: float) -> None:
    x = LEVELS.unsqueeze(-1)  # [256, 1]
    m, log_s = column(mean), column(math.log(scale))
    single = DiscretisedLogistic(m, log_s)
    mixture = DiscretisedLogisticMixture(
        torch.tensor([[[0.3], [-1.0]]]).double(), torch.stack([m, 1 - m], 1), torch.stack([log_s, log_s + 1], 1)
    )
    free = CategoricalLevels(torch.randn(1, 1, 256, dtype=torch.float64) / scale)
    for p in (single, mixture, free):
        assert p.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12 + 1e-15 / scale)  # logits of 1 / scale


def test_masses_of_both_binary_values_sum_to_one() -> None:
    p = BernoulliLogits(column(-30.0, -1.0, 0.0, 5.0))
    total = p.log_prob(column(0.0)).exp() + p.log_prob(column(1.0)).exp()
    torch.testing.assert_close(total, torch.ones(4).double())


def test_densities_integrate_to_one() -> None:
    nodes = torch.linspace(0, 1, 200_001, dtype=torch.float64)
    unit = ContinuousBernoulliLogits(column(-50.0, -1.0, -0.49, 0.0, 1e-6, 0.51, 20.0))
    total = torch.trapezoid(unit.log_prob(nodes[:, None, None]).exp(), nodes, dim=0)
    torch.testing.assert_close(total, torch.ones(7).double(), rtol=0, atol=1e-7)
    line = 40 * nodes - 20
    for p in (
        DiagonalLaplace(column(0.3, -1.0), column(-1.0, 0.2)),
        DiagonalNormal(column(0.3, -1.0), column(-1, 0.2)),
    ):
        total = torch.trapezoid(p.log_prob(line[:, None, None]).exp(), line, dim=0)
        torch.testing.assert_close(total, torch.ones(2).double(), rtol=0, atol=1e-6)


# --- references ------------------------------------------------------------------------------------------------------


def test_bernoulli_equals_torch() -> None:
    logits, x = torch.randn(4, 3, 6), torch.rand(3, 6).round()  # logits [k, B, D], x [B, D]
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x.expand(4, 3, 6)).sum(-1)
    torch.testing.assert_close(BernoulliLogits(logits).log_prob(x), expected)


def test_continuous_bernoulli_equals_torch() -> None:
    logits, x = column(-8.0, -2.0, -0.3, -1e-3, 0.0, 0.2, 0.499, 0.501, 3.0, 9.0), torch.rand(10, 1).double()
    ours, theirs = ContinuousBernoulliLogits(logits), torch.distributions.ContinuousBernoulli(logits=logits)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x).sum(-1), rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.mean, theirs.mean, rtol=0, atol=1e-5)


def test_continuous_bernoulli_adds_its_log_normaliser_to_bernoulli() -> None:
    logits, x = torch.randn(5, 6, dtype=torch.float64), torch.rand(5, 6, dtype=torch.float64)
    rate = logits.sigmoid()
    log_c = (2 * torch.atanh(1 - 2 * rate) / (1 - 2 * rate)).log().sum(-1)
    difference = ContinuousBernoulliLogits(logits).log_prob(x) - BernoulliLogits(logits).log_prob(x)
    torch.testing.assert_close(difference, log_c)
    assert (difference > 6 * math.log(2)).all()


def test_laplace_equals_torch() -> None:
    mean, log_scale, x = torch.randn(3, 3, 6).unbind()
    expected = torch.distributions.Laplace(mean, log_scale.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(DiagonalLaplace(mean, log_scale).log_prob(x), expected)


def test_normal_equals_torch() -> None:
    mean, log_std, x = torch.randn(3, 3, 6).unbind()
    expected = torch.distributions.Normal(mean, log_std.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(DiagonalNormal(mean, log_std).log_prob(x), expected)


def test_discretised_logistic_equals_differences_of_the_cdf() -> None:
    mean, log_s, x = column(0.2, 0.5, 0.9), column(-3.0, -2.0, -1.0), LEVELS[[0, 100, 255]].unsqueeze(-1)
    upper = torch.sigmoid((x + 1 / 510 - mean) / log_s.exp()).where(x < 1, torch.ones(1).double())
    lower = torch.sigmoid((x - 1 / 510 - mean) / log_s.exp()).where(x > 0, torch.zeros(1).double())
    torch.testing.assert_close(DiscretisedLogistic(mean, log_s).log_prob(x), (upper - lower).log().sum(-1))


def test_discretised_logistic_equals_the_papers_convention() -> None:
    k, m, s = torch.arange(1, 255).double().unsqueeze(-1), 0.4, 0.05  # inner levels
    x, m_paper, s_paper = k / 256, (255 * m + 0.5) / 256, 255 / 256 * s
    expected = (torch.sigmoid((x + 1 / 256 - m_paper) / s_paper) - torch.sigmoid((x - m_paper) / s_paper)).log().sum(-1)
    torch.testing.assert_close(DiscretisedLogistic(column(m), column(math.log(s))).log_prob(k / 255), expected)


def test_mixture_of_one_is_the_discretised_logistic() -> None:
    mean, log_s, x = torch.rand(3, 4), torch.randn(3, 4) - 2, LEVELS[torch.randint(256, (3, 4))].float()
    one = DiscretisedLogisticMixture(torch.randn(3, 1, 4), mean.unsqueeze(1), log_s.unsqueeze(1))
    single = DiscretisedLogistic(mean, log_s)
    torch.testing.assert_close(one.log_prob(x), single.log_prob(x))
    torch.testing.assert_close(one.mean, single.mean)


def test_vanishing_scale_puts_all_mass_on_one_level() -> None:
    x = LEVELS.float().unsqueeze(-1)
    for level, mean in ((0, -0.1), (0, 0.0), (77, 77.3 / 255), (255, 1.2)):
        p = DiscretisedLogistic(torch.tensor([[mean]]), torch.tensor([[-12.0]]))
        masses = p.log_prob(x).exp()
        assert masses[level].item() == pytest.approx(1, abs=1e-6) and masses.argmax().item() == level
        assert p.mean.item() == pytest.approx(level / 255, abs=1 / 510)


def test_uniform_logits_cost_eight_bits_per_dim() -> None:
    p = CategoricalLevels(torch.zeros(2, 3, 5, 256), event_dims=2)
    bits = -p.log_prob(LEVELS.float()[torch.randint(256, (2, 3, 5))]) / (15 * math.log(2))
    torch.testing.assert_close(bits, torch.full((2,), 8.0))


@pytest.mark.parametrize("scale", [3e-3, 0.05, 0.5])
def test_mean_of_discretised_logistic_is_within_half_a_level(scale: float) -> None:
    p = DiscretisedLogistic(column(-0.3, 0.0, 0.2, 0.7, 1.4), column(math.log(scale)))
    exact = (p.log_prob(LEVELS[:, None, None]).exp() * LEVELS.unsqueeze(-1)).sum(0)
    torch.testing.assert_close(p.mean.squeeze(-1), exact, rtol=0, atol=1 / 510)


# --- scales of the Gaussian ------------------------------------------------------------------------------------------


def test_fixed_gaussian_is_half_the_squared_error() -> None:
    likelihood = Gaussian(sizes(), scale="fixed", std=0.5)
    px, x = likelihood(torch.randn(3, 5)), torch.rand(3, 7)
    squared_error = (x - px.mean).square().sum(-1)
    constant = 7 * math.log(0.5) + 3.5 * math.log(2 * math.pi)
    torch.testing.assert_close(-px.log_prob(x), squared_error / (2 * 0.25) + constant)


def test_optimal_std_gives_the_closed_form_nll() -> None:
    likelihood = Gaussian(sizes(), scale="optimal")
    px, x = likelihood(torch.randn(4, 5)), torch.rand(4, 7)
    squared_error = (x - px.mean).square().mean()
    expected = 3.5 * (1 + torch.log(2 * math.pi * squared_error))
    torch.testing.assert_close(-px.log_prob(x).mean(), expected)


def test_optimal_std_obeys_the_envelope_theorem() -> None:
    likelihood = Gaussian(sizes(), scale="optimal", bounded=False)
    h, x = torch.randn(4, 5, requires_grad=True), torch.rand(4, 7)
    px = likelihood(h)
    (held,) = torch.autograd.grad(-px.log_prob(x).mean(), h, retain_graph=True)
    (full,) = torch.autograd.grad(3.5 * torch.log((x - px.mean).square().mean()), h)
    torch.testing.assert_close(held, full)


def test_optimal_std_is_held_in_evaluation() -> None:
    likelihood = Gaussian(sizes(), scale="optimal")
    h, x = torch.randn(4, 5), torch.rand(4, 7)
    for _ in range(200):
        px = likelihood(h)
        before = likelihood.location_scale.log_scale.clone()
        px.log_prob(x)
        assert torch.equal(before, likelihood.location_scale.log_scale), "a density moves no state"
        likelihood.optimum.move()
    held = likelihood.location_scale.log_scale.clone()
    assert held.exp().item() == pytest.approx((x - px.mean).square().mean().sqrt().item(), rel=1e-4)
    likelihood.eval()
    alone, together = likelihood(h[:1]).log_prob(x[:1]), likelihood(h).log_prob(x)
    torch.testing.assert_close(alone, together[:1])
    assert torch.equal(held, likelihood.location_scale.log_scale)


def test_optimal_std_has_a_floor() -> None:
    likelihood = Gaussian(sizes(), scale="optimal")
    px = likelihood(torch.randn(4, 5))
    nll = -px.log_prob(px.mean.detach())
    torch.testing.assert_close(nll, torch.full((4,), 7 * (-6 + 0.5 * math.log(2 * math.pi))))


@pytest.mark.parametrize("scale", ["fixed", "shared", "optimal", "pixel"])
def test_scale_starts_where_asked(scale: str) -> None:
    likelihood = Gaussian(sizes(), scale=scale, std=0.3).eval()
    torch.testing.assert_close(likelihood(torch.zeros(2, 5)).stddev, torch.full((2, 7), 0.3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": "optimum"}, "did you mean 'optimal'"),
        ({"std": 0.0, "scale": "fixed"}, "must start above 0"),
        ({"std": 1e-3}, "must start above 0.00248"),
    ],
)
def test_wrong_scales_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Gaussian(sizes(), **arguments)


def test_squashed_mean_of_real_data_is_refused() -> None:
    with pytest.raises(UsageError, match="bounded=true"):
        Laplace(sizes().replace(support="real"), bounded=True)


# --- start -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [False, True])
def test_bernoulli_starts_at_the_product_of_pixel_means(grid: bool) -> None:
    x = (torch.rand(50, 2, 4, 4) < torch.rand(2, 1, 1)).float()
    x[:, 0, 0, 0] = 0  # a pixel that is never lit keeps a finite logit
    features = features_of((2, 4, 4), grid)
    likelihood = Bernoulli(sizes((2, 4, 4), features, mean=x.mean(0), train_size=50))
    rate = x.mean((0, 2, 3)).view(2, 1, 1).expand(2, 4, 4) if grid else x.mean(0).clamp(0.5 / 51, 1 - 0.5 / 51)
    expected = torch.distributions.Bernoulli(probs=rate).log_prob(x).sum((-3, -2, -1))
    torch.testing.assert_close(likelihood(torch.zeros(50, *features)).log_prob(x), expected)


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("continuous_bernoulli", "categorical")])
def test_mean_starts_at_the_mean_example(name: str, grid: bool) -> None:
    mean = torch.tensor([0.25, 0.5, 0.6]).view(3, 1, 1).expand(3, 4, 4)
    features = features_of((3, 4, 4), grid)
    likelihood = registry.load("likelihood", name)(sizes((3, 4, 4), features, mean=mean, train_size=1000)).eval()
    atol = 0.12 if "mixture" in name else 0.04 if "logistic" in name else 1e-5
    torch.testing.assert_close(likelihood(torch.zeros(1, *features)).mean[0], mean, rtol=0, atol=atol)


# --- every likelihood ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("name", NAMES)
def test_leading_sample_dims_broadcast(name: str, event: tuple[int, ...], grid: bool) -> None:
    features = features_of(event, grid)
    likelihood = registry.load("likelihood", name)(sizes(event, features)).eval()
    h, x = torch.randn(3, 2, *features), torch.rand(2, *event).round()  # k = 3, B = 2
    px = likelihood(h)
    assert px.log_prob(x).shape == (3, 2)
    assert px.batch_shape == (3, 2) and px.event_shape == event and px.mean.shape == (3, 2, *event)
    torch.testing.assert_close(px.log_prob(x)[1], likelihood(h[1]).log_prob(x), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_samples_lie_in_the_support_and_average_to_the_mean(name: str) -> None:
    torch.manual_seed(0)
    px = registry.load("likelihood", name)(sizes()).eval()(torch.randn(2, 5))
    with noise.seeded(1):
        x = px.sample((4000,))
    assert x.shape == (4000, 2, 7) and not x.requires_grad
    if name == "bernoulli":
        assert set(x.unique().tolist()) == {0.0, 1.0}
    elif name.startswith(("discretised", "categorical")):
        torch.testing.assert_close((255 * x).round(), 255 * x, rtol=0, atol=1e-4)
    if name not in ("gaussian", "laplace", "log_cosh"):
        assert x.min() >= 0 and x.max() <= 1
    assert px.log_prob(x).isfinite().all()
    error = 5 * x.std(0) / math.sqrt(4000) + 1e-3
    assert ((x.mean(0) - px.mean).abs() < error).all()


@pytest.mark.parametrize("size", [0.0, 1e-4, 30.0, 1e4])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_at_extreme_features(name: str, size: float) -> None:
    likelihood = registry.load("likelihood", name)(sizes())
    h = (size * torch.randn(6, 5)).requires_grad_()
    x = LEVELS.float()[torch.randint(256, (6, 7))]
    px = likelihood(h)
    px.log_prob(x.round() if name == "bernoulli" else x).sum().backward()
    assert h.grad is not None and h.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in likelihood.parameters())
    (slope,) = torch.autograd.grad(likelihood(h).mean.sum(), h)
    assert slope.isfinite().all()


@pytest.mark.parametrize("log_scale", [-50.0, -8.0, 0.0, 1.3, 20.0, 200.0])
@pytest.mark.parametrize("mean", [-1e3, 0.0, 0.5, 1e3])
def test_discretised_logistic_is_finite_at_extreme_parameters(mean: float, log_scale: float) -> None:
    m = torch.full((256, 1), mean, requires_grad=True)
    log_s = torch.full((256, 1), log_scale, requires_grad=True)
    log_prob = DiscretisedLogistic(m, log_s).log_prob(LEVELS.float().unsqueeze(-1))
    slopes = torch.autograd.grad(log_prob.sum(), (m, log_s))
    assert all(t.isfinite().all() for t in (log_prob, *slopes))


def test_gradient_of_log_sinhc_matches_finite_differences() -> None:
    logits = column(-4.0, -0.51, -0.49, -1e-3, 0.0, 0.2, 0.499, 0.501, 7.0).requires_grad_()
    x = torch.rand(9, 1).double()
    assert torch.autograd.gradcheck(lambda a: ContinuousBernoulliLogits(a).log_prob(x), (logits,), atol=1e-6)
    assert torch.autograd.gradcheck(lambda a: ContinuousBernoulliLogits(a).mean, (logits,), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_log_prob_is_float32_under_autocast(name: str) -> None:
    likelihood = registry.load("likelihood", name)(sizes())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert likelihood(torch.randn(2, 5)).log_prob(torch.zeros(2, 7)).dtype == torch.float32


def test_grid_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="grid"):
        Bernoulli(sizes((1, 8, 8), (4, 7, 7)))


# --- fit to the data -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_traits_are_stated(name: str) -> None:
    likelihood: Any = registry.load("likelihood", name)
    assert set(likelihood.fits) <= {"binary", "levels", "unit", "real"} and isinstance(likelihood.discrete, bool)


@pytest.mark.parametrize("support", ["binary", "levels", "unit", "real"])
@pytest.mark.parametrize("name", NAMES)
def test_check_agrees_with_fits(name: str, support: str) -> None:
    likelihood: Any = registry.load("likelihood", name)
    if support in likelihood.fits:
        check(likelihood, support)
    else:
        with pytest.raises(UsageError, match=f"likelihood={name} needs .* and the data are .*; use likelihood="):
            check(likelihood, support)


def test_bernoulli_on_grey_levels_names_the_ways_out() -> None:
    with pytest.raises(UsageError) as caught:
        check(Bernoulli, "levels", dataset="mnist")
    assert str(caught.value) == (
        "likelihood=bernoulli needs binary values and dataset 'mnist' yields 256 grey levels; "
        "use likelihood=discretised_logistic (or dataset.binarise=dynamic; "
        "or likelihood.allow_relaxed=true, whose result is not a likelihood)"
    )
    check(Bernoulli, "levels", dataset="mnist", allow_relaxed=True)


def test_relaxing_does_not_extend_to_real_data_or_other_likelihoods() -> None:
    for likelihood, support in ((Bernoulli, "real"), (registry.load("likelihood", "categorical"), "unit")):
        with pytest.raises(UsageError):
            check(likelihood, support, allow_relaxed=True)
