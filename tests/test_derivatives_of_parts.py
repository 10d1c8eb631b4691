"""Derivatives of posteriors, priors, likelihoods and estimators against finite differences, after sampling.

Every part of the registry, every closed form, every distribution and every estimator is met, or a test here fails.
"""

import inspect
import pkgutil
from contextlib import nullcontext
from importlib import import_module
from itertools import product

import pytest
import torch
from torch.distributions import Distribution

from tests.derivatives import (
    BF16,
    DECLARED,
    FLOOR,
    HELD,
    LARGEST,
    Held,
    differences,
    directions,
    fixed_noise,
    within,
)
from vaezoo import distributions, estimators, registry
from vaezoo.distributions import kl, noise
from vaezoo.distributions.full_normal import FullNormal
from vaezoo.distributions.location_scale import LocationScale
from vaezoo.distributions.polar_angle import PolarAngle
from vaezoo.distributions.von_mises_fisher import VonMisesFisher
from vaezoo.shapes import Shapes

B, F = 4, 5  # examples, features
VECTOR = Shapes(event=(6,), latent=(3,), features=(F,), condition=(2,), support="real", range=(-9.0, 9.0))
UNIT = VECTOR.replace(range=(0.0, 1.0), train_size=100)
GRID = VECTOR.replace(latent=(4, 2, 2), features=(F, 2, 2), condition=())
NARROW = {"hidden": (8,), "components": 3, "exemplars": 3, "channels": 4, "layers": 2, "codes": 7, "steps": 2}
POSTERIORS = {  # what is built: options and sizes other than those of VECTOR
    **{name: [({}, VECTOR)] for name in ("full", "planar", "radial", "iaf", "householder", "point")},
    "diagonal": [({}, VECTOR), ({}, GRID)],
    "laplace": [({}, VECTOR), ({}, GRID)],
    "poincare": [({}, VECTOR), ({"curvature": 0.3}, VECTOR)],
    "von_mises_fisher": [({}, VECTOR), ({}, VECTOR.replace(latent=(2,)))],
    "gumbel": [({}, VECTOR.replace(latent=(2, 3))), ({"straight_through": True}, VECTOR.replace(latent=(2, 3)))],
    "vq": [({}, GRID), ({"update": "loss"}, GRID)],
    "residual_vq": [({"stages": 2}, GRID)],
    "product_vq": [({"groups": 2}, GRID)],
    "fsq": [({"levels": (5, 4)}, GRID)],
    "lfq": [({"bits": 4}, GRID)],
}
LIKELIHOODS = {
    "bernoulli": [{}],
    "categorical": [{}],
    "continuous_bernoulli": [{}],
    "discretised_logistic": [{"scale": scale} for scale in ("fixed", "shared", "pixel")],
    "discretised_logistic_mixture": [{"components": 3}],
    "gaussian": [{"scale": scale} for scale in ("fixed", "shared", "pixel", "optimal")],
    "laplace": [{"scale": scale} for scale in ("fixed", "shared", "pixel")],
    "log_cosh": [{"scale": scale} for scale in ("fixed", "shared", "pixel")],
}
ASKED = [(name, options) for name, cases in LIKELIHOODS.items() for options in cases]
EXTREMES = ("random", "zeros", "ones", "one example", "far")


def away(part, std=0.3):
    """The part in double precision, away from its start, in train mode."""
    with torch.no_grad(), noise.seeded(1):
        for parameter in part.double().train().parameters():
            parameter.add_(std * torch.randn_like(parameter))
    return part


def made(group, name, options, shapes, std=0.3):
    """A part of the registry with small networks."""
    cls = registry.load(group, name)
    narrow = {key: value for key, value in NARROW.items() if key in inspect.signature(cls).parameters}
    with noise.seeded(0):
        return away(cls(shapes, **{**narrow, **options}), std)


def inputs(kind, *shape):
    """Features or data, double."""
    with noise.seeded(2):
        values = torch.randn(1 if kind == "one example" else B, *shape, dtype=torch.double)
    return {"zeros": 0 * values, "ones": torch.ones_like(values), "far": 4 * values}.get(kind, values)


def weighed(value):
    """One number per example, in which every element has a weight of its own."""
    weights = torch.linspace(0.5, 1.5, value[0].numel(), dtype=value.dtype).view_as(value[0])
    return (value * weights).flatten(1).sum(1)


# -- posteriors and priors ---------------------------------------------------------------------------------------------


class Pair:
    """A posterior, a prior on the same space and an encoder between which the prior may ask.

    Args:
        posterior: name, options and sizes.
        prior: its name, or None for a posterior without one.
        kind: one of ``EXTREMES``.
        std: of the parameters around their start.
    """

    def __init__(self, posterior, prior=None, kind="random", std=0.3):
        name, options, shapes = posterior
        self.posterior, self.prior = made("posterior", name, options, shapes, std), None
        if prior is not None:
            event = getattr(self.posterior, "event", shapes.latent)
            codes, curvature = getattr(self.posterior, "codes", 0), getattr(self.posterior, "curvature", 0.0)
            sizes = shapes.replace(latent=event, codes=codes, curvature=curvature)
            sizes = sizes if prior == "conditional" else sizes.replace(condition=())
            self.prior = made("prior", prior, {}, sizes, std)
        self.h, self.c = inputs(kind, *shapes.features).requires_grad_(), inputs(kind, *VECTOR.condition)
        with noise.seeded(3):
            self.weight = torch.randn(6, self.h[0].numel(), dtype=torch.double, requires_grad=True)

    def to(self, dtype):
        """The pair in another precision."""
        for part in (self.posterior, self.prior):
            if part is not None:
                part.to(dtype)
        self.h, self.weight = (each.detach().to(dtype).requires_grad_() for each in (self.h, self.weight))
        self.c = self.c.to(dtype)
        return self

    def q_of(self, x):
        return self.posterior((x.flatten(1) @ self.weight).tanh().view(-1, *self.h.shape[1:]))

    def q(self):
        return self.posterior(self.h)

    def p(self):
        return self.prior(self.q_of, self.c)

    @property
    def leaves(self):
        parts = [part for part in (self.posterior, self.prior) if part is not None]
        return [self.h, *(p for part in parts for p in part.parameters()), self.weight]

    def values(self):
        """A step's: a sample, then the rate, then the densities, then moments."""
        q = self.q()
        p = None if self.prior is None else self.p()
        z = q.rsample()
        found = {"z": weighed(z)}
        if p is not None:
            found["rate"] = estimators.rate(q, p, z)
            if (form := kl.closed_form(q, p)) is not None and form.per_dim:
                found["rate per dimension"] = weighed(estimators.rate(q, p, z, per_dim=True))
            point = q.sample() if self.posterior.support == "codes" else z
            found |= {"log p": p.log_prob(point), "log q": q.log_prob(point)}
        penalties = getattr(q, "penalties", {})
        moments = {name: weighed(getattr(q, name)) for name in ("mean", "stddev") if defines(q, name)}
        return found | moments | penalties


def defines(q, name):
    """Whether a distribution has this moment."""
    made_of = {name, "variance"} if name == "stddev" else {name}
    return any(getattr(type(q), each) is not getattr(Distribution, each) for each in made_of)


def pairs():
    """Every posterior, with every prior that has its support and can be built."""
    for name in registry.names("posterior"):
        for options, shapes in POSTERIORS[name]:
            posterior, support = (name, options, shapes), registry.load("posterior", name).support
            if registry.load("posterior", name).density == "none":
                yield pytest.param(posterior, None, id=label(posterior, None))
                continue
            for prior in registry.names("prior"):
                cls = registry.load("prior", prior)
                if cls.support == support and (not cls.needs or name in cls.needs):
                    if prior == "conditional" and not shapes.condition:
                        continue
                    yield pytest.param(posterior, prior, id=label(posterior, prior))


def label(posterior, prior):
    name, options, shapes = posterior
    return ", ".join(map(str, [name, *options.values(), len(shapes.latent), prior]))


def slow(case):
    """The case with the mark of a slow test."""
    return pytest.param(*case.values, id=case.id, marks=pytest.mark.slow)


def data(pair, kind):
    """The pair with this kind of data."""
    return pytest.param(*pair.values, kind, id=f"{pair.id}, {kind}")


PAIRS = list(pairs())
SIMPLE = (None, "standard", "uniform_sphere", "poincare", "uniform_categorical", "uniform_codes")
ONCE = [pair for pair in PAIRS if pair.values[1] in SIMPLE]  # each posterior once
HEAVY = ("full", "householder")  # matrices of 1000 x 1000 for each example


def identity(posterior):
    """The test that is declared for a posterior or for one of its options."""
    name, options, _ = posterior
    keys = [("posterior", key) for key in (name, *(f"{name}, {option}" for option in options))]
    return next((DECLARED[key].identity for key in keys if key in DECLARED), None)


def stepped(pair, posterior):
    """The values of a pair as a function of its leaves."""
    declared = identity(posterior)
    held = Held() if declared == HELD else None

    def values():
        with fixed_noise():
            if held is None:
                found = pair.values()
            else:
                with held():
                    found = pair.values()
        if declared not in (None, HELD):
            del found["z"]
        return found

    return values


@pytest.mark.parametrize(
    ("posterior", "prior", "kind"),
    [
        data(pair, kind) if kind == "random" or pair in ONCE else slow(data(pair, kind))
        for pair in PAIRS
        for kind in EXTREMES
    ],
)
def test_rate_and_density_have_their_derivatives_after_sampling(posterior, prior, kind):
    pair = Pair(posterior, prior, kind)
    values = stepped(pair, posterior)
    within(differences(values, pair.leaves))
    for leaf in pair.leaves if kind == "random" and prior in SIMPLE else [pair.h]:
        within(differences(values, [leaf]))


@pytest.mark.parametrize(("posterior", "prior"), ONCE)
def test_rate_and_sample_in_mixed_precision_have_the_gradients_of_double(posterior, prior):
    """Under bfloat16 autocast, of the same noise; what reads the sample is weighed as a decoder would."""
    gradients = []
    for dtype, context in ((torch.double, nullcontext()), (torch.float, torch.autocast("cpu", torch.bfloat16))):
        pair = Pair(posterior, prior).to(dtype)
        with fixed_noise(), context:
            q, p = pair.q(), pair.prior and pair.p()
            z = q.rsample()
            loss = weighed(z).mean() + (estimators.rate(q, p, z).mean() if p else 0)
        found = torch.autograd.grad(loss, pair.leaves, allow_unused=True, materialize_grads=True)
        gradients.append(torch.cat([each.double().flatten() for each in found]))
    exact, rounded = gradients
    assert rounded.isfinite().all() and (rounded - exact).norm() <= BF16 * exact.norm()


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("posterior", "prior"), [each if each in ONCE and each.values[0][0] not in HEAVY else slow(each) for each in PAIRS]
)
def test_derivatives_hold_for_one_latent_and_for_a_thousand(posterior, prior, size):
    name, options, shapes = posterior
    least = {"von_mises_fisher": 2, "product_vq": 2}.get(name, 1)
    latent = (size, 2) if name == "gumbel" else (max(size, least), *shapes.latent[1:])
    posterior = (name, options, shapes.replace(latent=latent))
    pair = Pair(posterior, prior, std=0.3 if size == 1 else 0.02)
    if name == "poincare" and size == 1000:  # far from the edge, where double precision tells points apart too
        with torch.no_grad():
            for parameter in pair.posterior.parameters():
                parameter *= 0.02
            pair.posterior.head.bias[size:] -= 3
    within(differences(stepped(pair, posterior), pair.leaves))


MOMENTS = {
    "nothing": lambda q: None,
    "rsample": lambda q: q.rsample() if q.has_rsample else q.sample(),
    "sample": lambda q: q.sample((2,)),
    "moments without a graph": lambda q: [getattr(q, name) for name in ("mean", "stddev", "mode") if defines(q, name)],
}


@pytest.mark.parametrize(("posterior", "prior"), [pair for pair in PAIRS if pair.values[1]])
def test_rate_has_the_same_gradient_before_and_after_whatever_was_asked_for(posterior, prior):
    """Nothing that is made without a graph, in a draw or in a moment, is kept for the rate."""
    pair, gradients = Pair(posterior, prior), []
    for ask in MOMENTS.values():
        for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
            q, p = pair.q(), pair.p()
            with mode(), fixed_noise():
                ask(q), ask(p)
            with fixed_noise():
                value = estimators.rate(q, p, q.rsample())
            gradients.append([torch.zeros(())])
            if value.requires_grad:
                gradients[-1] = torch.autograd.grad(value.sum(), pair.leaves, allow_unused=True, materialize_grads=True)
    assert all(all(map(torch.equal, gradients[0], other)) for other in gradients)
    assert prior == "uniform_codes" or any(each.any() for each in gradients[0])


@pytest.mark.parametrize(("posterior", "prior"), [pair for pair in PAIRS if pair.values[1]])
def test_density_depends_on_values_and_moves_no_state(posterior, prior):
    pair = Pair(posterior, prior)
    q, p, other = pair.q(), pair.p(), pair.q()
    with fixed_noise():
        z = q.rsample()
    for distribution in (q, p):
        value = z if distribution is q or pair.posterior.support != "codes" else q.sample()
        before, random = [each.clone() for each in state(pair)], torch.get_rng_state()
        first = distribution.log_prob(value)
        distribution.sample((3,))
        torch.set_rng_state(random)
        torch.testing.assert_close(distribution.log_prob(value.clone()), first, rtol=1e-9, atol=1e-9)
        assert torch.equal(random, torch.get_rng_state()), "a density draws no noise"
        assert all(map(torch.equal, before, state(pair))), "a density moves no state"
    torch.testing.assert_close(other.log_prob(z.detach()), q.log_prob(z), rtol=1e-9, atol=1e-9)


def state(pair):
    """Parameters and buffers."""
    return [tensor for part in (pair.posterior, pair.prior) for tensor in part.state_dict().values()]


def test_sample_on_the_sphere_has_the_derivative_of_its_mean_over_tangents():
    """At a fixed angle the sample is uniform on a circle about mu: of that mean, not of each point, is the gradient."""
    with noise.seeded(0):
        h, kappa = torch.randn(3).double().requires_grad_(), torch.tensor(4.0).double().requires_grad_()
        a, frame = torch.randn(2, 3).double(), torch.randn(3, 2).double()
    turn = torch.linspace(0, 2 * torch.pi, 65, dtype=torch.double)[:-1]
    circle = torch.stack([turn.cos(), turn.sin()], -1)  # [64, 2]

    def tangents(mu):
        """Equally spaced unit tangents at mu, ``[64, 3]``."""
        return circle @ torch.linalg.qr(torch.cat([mu.unsqueeze(1), frame], 1)).Q[:, 1:].T

    def quantity(z):
        return (z @ a[0]).square() * (z @ a[1]).exp()

    class Angle:
        def draw(self, kind, shape, dtype, device):
            return torch.full(shape, 0.3, dtype=dtype) if kind == "uniform" else tangents(mu.detach())

    mu = torch.nn.functional.normalize(h, dim=0)
    with noise.source(Angle()):
        z = VonMisesFisher(mu.expand(64, 3), kappa.expand(64)).rsample()
    ours = torch.autograd.grad(quantity(z).mean(), (h, kappa))

    def mean():
        with noise.source(Angle()):
            theta = PolarAngle(3, kappa).rsample()
        at = torch.nn.functional.normalize(h, dim=0)
        return {"mean": quantity(theta.cos() * at + theta.sin() * tangents(at))}

    for leaf, gradient in zip((h, kappa), ours, strict=True):
        for seed in range(3):
            found = differences(mean, [leaf], seed)["mean"]
            along = (gradient * directions([leaf], seed)[0]).sum().item()
            assert abs(along - found.difference) <= LARGEST * max(abs(along), gradient.norm().item())


# -- likelihoods -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EXTREMES)
@pytest.mark.parametrize("lead", [(), (2,)], ids=["", "samples"])
@pytest.mark.parametrize(("name", "options"), ASKED, ids=str)
def test_likelihood_has_its_derivative(name, options, lead, kind):
    support = "unit" if "unit" in registry.load("likelihood", name).fits else "levels"
    part = made("likelihood", name, options, UNIT.replace(support=support))
    h = inputs(kind, F).expand(*lead, -1, F).clone().requires_grad_()
    x = (inputs("far" if kind == "far" else "random", 6).sigmoid() * 255).round() / 255
    x = x[: h.shape[-2]] if kind not in ("zeros", "ones") else torch.full_like(x, float(kind == "ones"))

    def values():
        px = part(h)
        return {"log p": px.log_prob(x), "mean": weighed(px.mean.flatten(0, -2))}

    within(differences(values, [h, *part.parameters()]))
    within(differences(values, [h]))


@pytest.mark.parametrize(("name", "options"), ASKED, ids=str)
def test_likelihood_in_mixed_precision_has_the_gradient_of_double(name, options):
    gradients, x = [], (inputs("random", 6).sigmoid() * 255).round() / 255
    for dtype, context in ((torch.double, nullcontext()), (torch.float, torch.autocast("cpu", torch.bfloat16))):
        part = made("likelihood", name, options, UNIT.replace(support="levels")).to(dtype)
        h = inputs("random", F).to(dtype).requires_grad_()
        with context:
            loss = part(h).log_prob(x.to(dtype)).mean()
        found = torch.autograd.grad(loss, [h, *part.parameters()])
        gradients.append(torch.cat([each.double().flatten() for each in found]))
    exact, rounded = gradients
    assert rounded.isfinite().all() and (rounded - exact).norm() <= BF16 * exact.norm()


# -- estimators --------------------------------------------------------------------------------------------------------


def leaves(kind, *shapes):
    """Leaves of the given shapes, whose first dimension is the batch."""
    return [inputs(kind, *shape[1:]).mul(0.7 + 0.2 * k).requires_grad_() for k, shape in enumerate(shapes)]


def names_of(parts):
    return parts._asdict()


imq = estimators.kernel_for("imq", 3, scales=(0.5, 1.0))
rbf = estimators.kernel_for("rbf", 3)
ESTIMATORS = {
    "log_mean_exp": lambda x, *_: estimators.log_mean_exp(x, 1),
    "importance_terms": lambda x, y, *_: estimators.importance_terms(x, y),
    "gathered": lambda x, *_: weighed(estimators.gathered(x)),
    "own_rows": lambda x, *_: weighed(estimators.own_rows(x)),
    "decomposed_rate": lambda x, y, s: names_of(estimators.decomposed_rate(x, y, s, x.square().sum(1), 50)),
    "decomposed_rate, stratified": lambda x, y, s: names_of(
        estimators.decomposed_rate(x, y, s, x.square().sum(1), 50, stratified=True)
    ),
    "permuted": lambda x, *_: weighed(estimators.permuted(x)),
    "covariance": lambda x, *_: weighed(estimators.covariance(x)),
    "imq": lambda x, *_: estimators.imq(x.square(), (0.5, 1.0)),
    "rbf": lambda x, *_: estimators.rbf(x.square(), (0.5, 1.0)),
    "mmd_u": lambda x, y, *_: {"imq": estimators.mmd_u(x, y, imq), "rbf": estimators.mmd_u(x, y, rbf)},
    "mmd_v": lambda x, y, *_: {"imq": estimators.mmd_v(x, y, imq), "rbf": estimators.mmd_v(x, y, rbf)},
    "sliced_wasserstein": lambda x, y, *_: estimators.sliced_wasserstein(x, y, 7),
}
CHECKED_OTHERWISE = {
    "rate": test_rate_and_density_have_their_derivatives_after_sampling,
    "is_exact": None,  # says whether, and has no derivative
    "kernel_for": None,  # gives imq or rbf
}
TIES = [("sliced_wasserstein", "zeros"), ("sliced_wasserstein", "ones")]  # declared


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(("name", "kind"), [case for case in product(ESTIMATORS, EXTREMES) if case not in TIES])
def test_estimator_has_its_derivative(name, kind, size):
    arguments = leaves(kind, *[(B, size)] * 3)

    def values():
        with fixed_noise():
            found = ESTIMATORS[name](*arguments)
        return dict(found) if hasattr(found, "keys") else {"value": found}

    within(differences(values, arguments, floor=FLOOR * max(1, size / 10)))  # sums over the dimensions cancel


@pytest.mark.parametrize("kind", ["zeros", "ones"])
def test_equal_codes_that_move_together(kind):
    code, (y,) = inputs(kind, 3)[:1].requires_grad_(), leaves("random", (B, 3))

    def values():
        with fixed_noise():
            return {"distance": estimators.sliced_wasserstein(code.expand(B, 3), y, 7)}

    within(differences(values, [code, y]))


# -- nothing is left out -----------------------------------------------------------------------------------------------


def test_every_estimator_is_checked():
    """Each public function of the module."""
    public = {
        name
        for name, each in inspect.getmembers(estimators, inspect.isfunction)
        if each.__module__ == estimators.__name__ and not name.startswith("_")
    }
    assert public == {name.split(",")[0] for name in ESTIMATORS} | set(CHECKED_OTHERWISE)


def test_every_part_of_the_registry_is_checked():
    assert set(POSTERIORS) == set(registry.names("posterior"))
    assert set(LIKELIHOODS) == set(registry.names("likelihood"))
    assert {pair.values[1] for pair in PAIRS} - {None} == set(registry.names("prior"))
    options = {f"{name}, {key}" for name, cases in POSTERIORS.items() for given, _ in cases for key in given}
    assert {name for group, name in DECLARED if group == "posterior"} <= set(POSTERIORS) | options


def full_pair():
    """Two full normals, of which no prior is one."""
    with noise.seeded(0):
        mean, lower = torch.randn(2, B, 3).double(), torch.randn(2, B, 3, 3).double().tril()
    lower.diagonal(dim1=-2, dim2=-1).abs_().add_(0.5)
    tensors = [each.requires_grad_() for each in (*mean.clone(), *lower.clone())]
    return tensors, lambda: (FullNormal(tensors[0], tensors[2].tril()), FullNormal(tensors[1], tensors[3].tril()))


def test_divergence_of_full_normals_has_its_derivative():
    tensors, pair = full_pair()
    within(differences(lambda: {"rate": estimators.rate(*pair(), tensors[0])}, tensors))


def test_every_closed_form_and_every_distribution_is_checked():
    """All that the modules of distributions define is met by a pair or a likelihood above."""
    for module in pkgutil.iter_modules(distributions.__path__):
        import_module(f"{distributions.__name__}.{module.name}")
    met, forms = set(), {tuple(map(type, full_pair()[1]()))}
    for posterior, prior in (pair.values for pair in PAIRS):
        pair = Pair(posterior, prior)
        found = (pair.q(), *([] if prior is None else [pair.p()]))
        met |= set(map(type, found))
        forms |= {tuple(map(type, found))} if prior and kl.closed_form(*found) else set()
    for likelihood, options in ASKED:
        part = made("likelihood", likelihood, options, UNIT.replace(support="levels"))
        met.add(type(part(inputs("random", F))))
    defined = {each for each in subclasses(Distribution) if each.__module__.startswith(distributions.__name__)}
    assert {each for each in defined if not inspect.isabstract(each)} - met == {LocationScale}
    assert forms == set(kl._closed_forms)


def subclasses(cls):
    """All subclasses, of these too."""
    return {cls}.union(*(subclasses(each) for each in cls.__subclasses__()))


@pytest.mark.parametrize(("posterior", "prior"), [pair for pair in PAIRS if pair.values[1]])
def test_samples_that_are_not_reparameterised_carry_no_gradient(posterior, prior):
    pair = Pair(posterior, prior)
    for distribution in (pair.q(), pair.p()):
        assert not distribution.sample((2,)).requires_grad
        if not distribution.has_rsample:
            with pytest.raises(NotImplementedError):
                distribution.rsample()


def test_a_wrong_gradient_is_found():
    x = torch.tensor([0.3, -0.7]).double().requires_grad_()
    right = differences(lambda: {"value": x.square() * x}, [x])["value"]
    wrong = differences(lambda: {"value": x.square() * (x - 1e-3 * (x - x.detach()))}, [x])["value"]
    assert right.error < 1e-9 and wrong.error > LARGEST
