import pytest
import torch
from torch import distributions as td

from vaezoo.distributions import kl, noise
from vaezoo.distributions.bernoulli_logits import BernoulliLogits
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


def lower(*batch, dtype=torch.float32):
    off = torch.randn(*batch, D, D, dtype=dtype).tril(-1)
    return off + torch.diag_embed(torch.rand(*batch, D, dtype=dtype) + 0.5)


def diagonal(*batch, dtype=torch.float32):
    return DiagonalNormal(torch.randn(*batch, D, dtype=dtype), 0.5 * torch.randn(*batch, D, dtype=dtype))


def full(*batch, dtype=torch.float32):
    return FullNormal(torch.randn(*batch, D, dtype=dtype), lower(*batch, dtype=dtype))


def mixture(k=5, *event):
    return NormalMixture(torch.randn(k), 2 * torch.randn(k, *(event or (D,))), 0.5 * torch.randn(k, *(event or (D,))))


def divergence(q, p):
    form = kl.closed_form(q, p)
    assert form is not None
    return form(q, p)


def reference(p):
    """The same distribution from torch, in double precision."""
    if isinstance(p, DiagonalNormal):
        return td.Independent(td.Normal(p.mean.double(), p.stddev.double()), len(p.event_shape))
    if isinstance(p, StandardNormal):
        shape = p.event_shape
        return td.Independent(td.Normal(torch.zeros(shape).double(), torch.ones(shape).double()), len(shape))
    if isinstance(p, FullNormal):
        return td.MultivariateNormal(p.mean.double(), scale_tril=p.scale_tril.double())
    parts = td.Independent(td.Normal(p.means.double(), p.log_stds.double().exp()), len(p.event_shape))
    return td.MixtureSameFamily(td.Categorical(logits=p.logits.double()), parts)


MAKERS = {
    "diagonal": lambda: diagonal(B),
    "diagonal grid": lambda: DiagonalNormal(torch.randn(B, 2, 3, 3), torch.randn(B, 2, 3, 3), event_dims=3),
    "diagonal without batch": diagonal,
    "standard": lambda: StandardNormal((D,), torch.zeros(())),
    "standard grid": lambda: StandardNormal((2, 3, 3), torch.zeros(())),
    "full": lambda: full(B),
    "full without batch": full,
    "mixture": mixture,
    "mixture grid": lambda: mixture(5, 2, 3, 3),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("lead", [(), (6,), (2, 6)])
def test_log_prob_equals_that_of_torch(name, lead):
    p = MAKERS[name]()
    x = 2 * torch.randn(*lead, *p.batch_shape, *p.event_shape)
    value = p.log_prob(x)
    assert value.shape == (*lead, *p.batch_shape)
    torch.testing.assert_close(value.double(), reference(p).log_prob(x.double()), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_moments_equal_those_of_torch(name):
    p = MAKERS[name]()
    torch.testing.assert_close(p.mean.double(), reference(p).mean, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(p.stddev.double(), reference(p).stddev, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(p.variance.double(), reference(p).variance, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MAKERS)
def test_samples_have_the_moments_of_the_distribution(name):
    p = MAKERS[name]()
    z = p.sample((20_000,))
    assert z.shape == (20_000, *p.batch_shape, *p.event_shape) and not z.requires_grad
    assert ((z.mean(0) - p.mean).abs() < 5 * p.stddev / 20_000**0.5).all()
    torch.testing.assert_close(z.std(0), p.stddev, rtol=0.06, atol=0.0)


def test_samples_of_a_full_normal_have_its_covariance():
    p = full()
    torch.testing.assert_close(p.sample((100_000,)).T.cov(), p.scale_tril @ p.scale_tril.T, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", ["diagonal", "full", "mixture", "standard"])
def test_density_integrates_to_one(name):
    parameters = {
        "diagonal": lambda: DiagonalNormal(torch.tensor([0.5, -1.0]), torch.tensor([-0.5, 0.3])),
        "full": lambda: FullNormal(torch.tensor([0.5, -1.0]), torch.tensor([[0.8, 0.0], [-0.6, 0.5]])),
        "mixture": lambda: mixture(4, 2),
        "standard": lambda: StandardNormal((2,), torch.zeros(())),
    }
    axis = torch.linspace(-15, 15, 601)
    grid = torch.cartesian_prod(axis, axis)
    total = parameters[name]().log_prob(grid).double().exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["diagonal", "full", "diagonal grid"])
def test_rsample_carries_the_gradient_of_the_reparametrisation(name):
    p = MAKERS[name]()
    p.mean.requires_grad_()
    p.rsample((5,)).sum().backward()
    assert torch.equal(p.mean.grad, torch.full_like(p.mean, 5.0))


def test_full_equals_diagonal_where_nothing_is_off_the_diagonal():
    q = diagonal(B, dtype=torch.double)
    same, x = FullNormal(q.mean, torch.diag_embed(q.stddev)), torch.randn(7, B, D).double()
    torch.testing.assert_close(same.log_prob(x), q.log_prob(x))
    for p in (diagonal(dtype=torch.double), StandardNormal((D,), q.mean)):
        torch.testing.assert_close(divergence(same, p), divergence(q, p))


def test_bernoulli_is_the_same_with_gradients_without_and_under_vmap():
    logits = 20 * torch.randn(3, 4, 5, dtype=torch.float64)
    values = torch.randint(2, (4, 5)).double()
    followed = logits.clone().requires_grad_()
    plain = BernoulliLogits(logits).log_prob(values)
    with_gradient = BernoulliLogits(followed).log_prob(values)
    mapped = torch.vmap(lambda logits: BernoulliLogits(logits).log_prob(values))(followed)
    for found in (with_gradient, mapped):
        torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-12)
        (gradient,) = torch.autograd.grad(found.sum(), followed)
        torch.testing.assert_close(gradient, values - logits.sigmoid(), rtol=1e-12, atol=1e-12)


def test_mixture_of_one_is_the_normal():
    q = diagonal()
    p = NormalMixture(torch.randn(1), q.mean[None], q.log_std[None])
    x = 3 * torch.randn(50, D)
    torch.testing.assert_close(p.log_prob(x), q.log_prob(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("scale", "log_std"), [(1.0, -7.0), (30.0, -7.0), (1.0, 0.0), (1000.0, 0.0), (1000.0, 3.0)])
def test_log_prob_of_a_mixture_is_precise_at_any_distance(scale, log_std):
    p = NormalMixture(torch.zeros(50), scale * torch.randn(50, 40), log_std + 0.3 * torch.randn(50, 40))
    far, near = 2 * scale * torch.randn(30, 40), p.sample((30,))
    x = torch.cat([far, near]).requires_grad_()
    value = p.log_prob(x)
    torch.testing.assert_close(value.double(), reference(p).log_prob(x.double()), rtol=1e-5, atol=1e-4)
    assert torch.autograd.grad(value.sum(), x)[0].isfinite().all()


def test_gradients_of_a_mixture_equal_those_of_torch():
    p = mixture(20)
    leaves = [t.requires_grad_() for t in (p.logits, p.means, p.log_stds)]
    x = 3 * torch.randn(40, D)
    ours = torch.autograd.grad(p.log_prob(x).sum(), leaves)
    theirs = torch.autograd.grad(reference(p).log_prob(x.double()).sum(), leaves)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b.float(), rtol=1e-4, atol=1e-4)


def test_autocast_does_not_touch_the_log_prob_of_a_mixture():
    p = NormalMixture(torch.zeros(10), torch.randn(10, 40), torch.full((10, 40), -4.0))
    x = p.sample((16,))
    with torch.autocast("cpu", torch.bfloat16):
        value = p.log_prob(x)
    assert torch.equal(value, p.log_prob(x))


def test_components_are_drawn_with_their_weights():
    p = NormalMixture(torch.tensor([0.1, 0.0, 0.7, 0.2]).log(), torch.zeros(4, 1), torch.zeros(4, 1))
    counts = torch.bincount(p.sample_components((20_000,)), minlength=4) / 20_000
    torch.testing.assert_close(counts, torch.tensor([0.1, 0.0, 0.7, 0.2]), rtol=0, atol=0.015)


def test_component_log_probs_sum_to_the_density():
    p, x = mixture(6), torch.randn(2, 5, D)
    assert p.component_log_probs(x).shape == (2, 5, 6)
    torch.testing.assert_close(p.component_log_probs(x).logsumexp(-1), p.log_prob(x))


def test_point_mass_is_its_value_and_has_no_density():
    value = torch.randn(B, D, requires_grad=True)
    q = PointMass(value)
    assert torch.equal(q.mean, value) and torch.equal(q.stddev, torch.zeros(B, D))
    assert q.rsample((2,)).shape == (2, B, D) and q.rsample().requires_grad and not q.sample().requires_grad
    with pytest.raises(NotImplementedError, match="no density"):
        q.log_prob(value)


def test_constructors_leave_the_validation_of_torch_as_it_is():
    before = td.Distribution._validate_args
    for make in MAKERS.values():
        assert "Distribution" not in repr(make())
    assert td.Distribution._validate_args == before


PAIRS = {
    "diagonal, standard": (lambda: diagonal(B), lambda: StandardNormal((D,), torch.zeros(()))),
    "diagonal, diagonal": (lambda: diagonal(B), lambda: diagonal(B)),
    "diagonal, diagonal without batch": (lambda: diagonal(B), diagonal),
    "diagonal grid, diagonal grid": (MAKERS["diagonal grid"], MAKERS["diagonal grid"]),
    "diagonal grid, standard grid": (MAKERS["diagonal grid"], MAKERS["standard grid"]),
    "full, standard": (lambda: full(B), lambda: StandardNormal((D,), torch.zeros(()))),
    "full, diagonal": (lambda: full(B), lambda: diagonal(B)),
    "full, diagonal without batch": (lambda: full(B), diagonal),
    "full, full": (lambda: full(B), lambda: full(B)),
    "full, full without batch": (lambda: full(B), full),
}


def dense(p):
    """A multivariate normal of torch, for divergences between families."""
    r = reference(p)
    return td.MultivariateNormal(r.mean, torch.diag_embed(r.variance)) if isinstance(r, td.Independent) else r


@pytest.mark.parametrize("pair", PAIRS)
def test_closed_form_equals_the_divergence_of_torch(pair):
    q, p = (make() for make in PAIRS[pair])
    value = divergence(q, p)
    same = len(q.event_shape) > 1
    expected = td.kl_divergence(reference(q), reference(p)) if same else td.kl_divergence(dense(q), dense(p))
    assert value.shape == (B,)
    torch.testing.assert_close(value.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(td.kl_divergence(q, p), value)


@pytest.mark.parametrize("pair", PAIRS)
def test_closed_form_equals_the_mean_of_the_one_sample_estimate(pair):
    q, p = (make() for make in PAIRS[pair])
    z = q.sample((20_000,))
    estimates = q.log_prob(z) - p.log_prob(z)
    error = 5 * estimates.std(0) / 20_000**0.5
    assert ((estimates.mean(0) - divergence(q, p)).abs() < error + 1e-5).all()


@pytest.mark.parametrize("name", ["diagonal", "full", "diagonal grid"])
def test_divergence_from_itself_is_zero(name):
    q = MAKERS[name]()
    assert divergence(q, q).abs().max() < 2e-6


def test_divergence_keeps_its_precision_next_to_the_prior():
    log_std = torch.full((1, 1), 1e-4)
    q, p = DiagonalNormal(torch.zeros(1, 1), log_std), StandardNormal((1,), torch.zeros(()))
    assert float(divergence(q, p)) == pytest.approx(1e-8, abs=1e-11)


def test_lookup_is_by_exact_type():
    class Sharper(DiagonalNormal):
        pass

    q = Sharper(torch.zeros(B, D), torch.zeros(B, D))
    assert kl.closed_form(q, diagonal()) is None
    assert kl.closed_form(diagonal(B), mixture()) is None


def test_an_error_in_a_closed_form_is_raised():
    class Broken(DiagonalNormal):
        pass

    @kl.register(Broken, StandardNormal)
    def _broken(q, p):
        raise NotImplementedError("a bug in the body")

    q, p = Broken(torch.zeros(B, D), torch.zeros(B, D)), StandardNormal((D,), torch.zeros(()))
    with pytest.raises(NotImplementedError, match="a bug in the body"):
        divergence(q, p)
