"""Conditional models against unconditional ones and against a linear model whose log p(x|c) is known."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.conftest import quick_trainer
from vaezoo.batch import Batch
from vaezoo.build import read_shapes, write_shapes
from vaezoo.callbacks.pictures import conditions, samples
from vaezoo.data.datamodule import DataModule
from vaezoo.distributions import noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.errors import UsageError
from vaezoo.estimators import rate
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.likelihoods.gaussian import Gaussian
from vaezoo.networks import conv, mlp
from vaezoo.priors.conditional import ConditionalPrior
from vaezoo.priors.standard import StandardPrior
from vaezoo.priors.vamp import VampPrior
from vaezoo.shapes import Shapes
from vaezoo.variants.cvae import CVAE, quadrants
from vaezoo.variants.vae import VAE

D, d, N, CLASSES = 5, 2, 30, 3
SHAPES = Shapes(event=(D,), latent=(d,), classes=CLASSES, range=(-5.0, 5.0))
LINEAR = {
    "encoder": partial(mlp.Encoder, hidden=()),
    "decoder": partial(mlp.Decoder, hidden=()),
    "likelihood": partial(Gaussian, scale="fixed", bounded=False),
}
SMALL = {"encoder": partial(mlp.Encoder, hidden=(16,)), "decoder": partial(mlp.Decoder, hidden=(16,))}
PICTURES = Shapes(event=(1, 8, 8), latent=(d,), classes=CLASSES, support="levels")


@pytest.fixture(autouse=True)
def _seed():
    with noise.seeded(0):
        yield


@pytest.fixture
def batch():
    """Vectors in double precision with every label."""
    return Batch(torch.randn(N, D, dtype=torch.double), torch.arange(N) % CLASSES, torch.arange(N))


@pytest.fixture
def pictures():
    """Pictures with labels."""
    return Batch(torch.rand(12, 1, 8, 8), torch.arange(12) % CLASSES, torch.arange(12))


def linear(**options):
    """A linear CVAE in double precision, with random weights in its prior."""
    model = CVAE(shapes=SHAPES, **{**LINEAR, "prior": partial(ConditionalPrior, hidden=()), **options}).double()
    for parameter in model.prior.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_label_conditions_are_one_hot_and_zero_where_hidden(batch):
    y = torch.tensor([2, 0, -1])
    c = linear().condition(Batch(batch.x[:3], y, torch.arange(3)))
    assert c.dtype == torch.double and c.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("visible, share", [(1, 1 / 4), (2, 1 / 2), (3, 3 / 4)])
def test_an_image_condition_is_the_picture_with_the_other_quadrants_zero(pictures, visible, share):
    model = CVAE(shapes=PICTURES, condition="image", visible=visible, prior=ConditionalPrior)
    c, mask = model.condition(pictures), quadrants((1, 8, 8), visible)
    assert mask.mean() == pytest.approx(share) and mask[0, 7, 0] == 1 and mask[0, 7, 7] == 0
    assert torch.equal(c[:, mask > 0], pictures.x[:, mask > 0]) and not c[:, mask == 0].any()


def test_cvae_that_ignores_its_condition_is_the_vae(batch):
    """Zero weights on c: the loss and the gradients of all shared weights are those of a VAE."""
    model, other = linear(prior=StandardPrior), VAE(shapes=SHAPES, **LINEAR).double()
    with torch.no_grad():
        # networks without hidden layers leave c to the heads
        model.posterior.head.weight[:, D:] = 0
        other.posterior.head.weight.copy_(model.posterior.head.weight[:, :D])
        other.posterior.head.bias.copy_(model.posterior.head.bias)
        mine, theirs = (m.likelihood.location_scale.head.layer for m in (model, other))
        mine.weight[:, d:] = 0
        theirs.weight.copy_(mine.weight[:, :d])
        theirs.bias.copy_(mine.bias)
    losses = []
    for either in (model, other):
        with noise.seeded(1):
            losses.append(either.terms(batch).loss)
        losses[-1].backward()
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    torch.testing.assert_close(model.posterior.head.weight.grad[:, :D], other.posterior.head.weight.grad)
    torch.testing.assert_close(mine.weight.grad[:, :d], theirs.weight.grad)


def test_conditional_prior_starts_as_the_standard_one(batch):
    model = CVAE(shapes=SHAPES, **LINEAR, prior=ConditionalPrior).double()
    c = model.condition(batch)
    p = model.p(c)
    assert p.batch_shape == (N,) and not p.mean.any() and torch.equal(p.stddev, torch.ones(N, d).double())
    with noise.seeded(1):
        learned = model.terms(batch)["rate"]
    model.prior = StandardPrior(SHAPES).double()
    with noise.seeded(1):
        torch.testing.assert_close(learned, model.terms(batch)["rate"])


def test_rate_is_the_divergence_of_two_normals(batch):
    model = linear()
    c = model.condition(batch)
    q, p = model.q(batch.x, c), model.p(c)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Independent(torch.distributions.Normal(q.mean, q.stddev), 1),
        torch.distributions.Independent(torch.distributions.Normal(p.mean, p.stddev), 1),
    )
    torch.testing.assert_close(model.terms(batch)["rate"], expected)
    assert rate(q, DiagonalNormal(q.mean, q.log_std), q.mean).abs().max() == 0


def test_conditional_nll_is_the_conditional_evidence(batch):
    """p(x|z,c) = N(Wz + Vc + b, s^2), p(z|c) = N(m, S): log p(x|c) = log N(Wm + Vc + b, WSW' + s^2)."""
    model = linear().eval()
    c = model.condition(batch)
    layer, p = model.likelihood.location_scale.head.layer, model.p(c)
    w, v = layer.weight[:, :d], layer.weight[:, d:]
    s2 = (2 * model.likelihood.location_scale.log_scale).exp()
    covariance = w * p.variance[:, None] @ w.T + s2 * torch.eye(D)  # [N, D, D]
    exact = MultivariateNormal(p.mean @ w.T + c @ v.T + layer.bias, covariance).log_prob(batch.x).detach()
    with torch.no_grad():  # q, diagonal, with the exact mean and a little more than the exact spread
        precision = torch.diag_embed(1 / p.variance) + w.T @ w / s2
        residual = batch.x - c @ v.T - layer.bias
        right = residual @ w / s2 + p.mean / p.variance
        mean = torch.linalg.solve(precision, right[..., None])[..., 0]
        spread = precision.inverse().diagonal(dim1=1, dim2=2).sqrt() * 1.2
    q = DiagonalNormal(mean, spread.log())
    bound = torch.logsumexp(model.log_weights(batch.x, 20_000, c, {"q": q, "p": p}), 0) - math.log(20_000)
    torch.testing.assert_close(bound.detach(), exact, rtol=0, atol=0.05)
    elbo = model.elbo(batch.x, c, q).elbo
    assert elbo.mean() < exact.mean()
    model.q = lambda x, c=None: q
    assert model.log_likelihood(batch.x, 200, c).shape == (N,)
    torch.testing.assert_close(model.log_likelihood(batch.x, 5000, c).mean(), exact.mean(), rtol=0, atol=0.05)


def test_samples_depend_on_the_condition():
    model = linear().float().eval()
    c = torch.eye(CLASSES).repeat_interleave(400, 0)
    means = model.sample(len(c), c).view(CLASSES, 400, D).mean(1)
    layer = model.likelihood.location_scale.head.layer
    expected = torch.cat([model.p(torch.eye(CLASSES)).mean, torch.eye(CLASSES)], 1) @ layer.weight.T + layer.bias
    torch.testing.assert_close(means, expected.detach(), rtol=0, atol=0.25)
    assert (expected[0] - expected[1]).norm() > 0.5


@pytest.mark.parametrize("networks", [mlp, conv])
@pytest.mark.parametrize("condition", ["label", "continuous", "image"])
def test_every_condition_trains(condition, networks):
    """Two batches with dense and convolutional networks: the weights that read c move."""
    if condition == "continuous":
        data = DataModule("tests.test_conditional", batch_size=20)
    else:
        data = DataModule("digits", batch_size=20)
    data.setup()
    options = {"hidden": (16,)} if networks is mlp else {"channels": (4, 8)}
    parts = {
        "encoder": partial(networks.Encoder, **options),
        "decoder": partial(networks.Decoder, **options),
        "prior": ConditionalPrior,
    }
    model = CVAE(shapes=data.shapes((d,)), condition=condition, **parts)
    before = model.prior.head.weight.detach().clone()
    quick_trainer(limit_train_batches=2, limit_val_batches=1).fit(model, datamodule=data)
    assert not torch.equal(before, model.prior.head.weight)
    stored = read_shapes(write_shapes(model.shapes))
    assert stored.condition == model.shapes.condition and stored.label == data.shapes((d,)).label


def load(root):
    """A dataset whose labels are floats, for the test above."""
    from vaezoo.data.raw import shuffled

    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (100, 1, 8, 8), generator=generator, dtype=torch.uint8)
    return shuffled(x, torch.rand(100, 3, generator=generator), 20, "floats")


def test_pictures_of_samples_have_one_column_per_class(pictures):
    model = CVAE(shapes=PICTURES, **SMALL, prior=ConditionalPrior).eval()
    chosen = conditions(model, pictures)
    assert torch.equal(chosen, torch.eye(CLASSES))
    assert samples(model, pictures).shape[1] > 0
    hidden = pictures._replace(y=torch.full((12,), -1))
    assert len(conditions(model, hidden)) == 8
    assert conditions(VAE(shapes=PICTURES, **SMALL), pictures) is None


def test_evaluation_of_a_conditional_model_is_complete(digits):
    model = CVAE(shapes=digits.shapes((2,)), **SMALL, prior=ConditionalPrior)
    report = evaluate(model, digits, k=3, limit=40, progress=False)
    for name in ("elbo", "rate", "nll", "active_units", "mutual_information", "kl_per_dimension", "squared_error"):
        assert report[name] is not None, f"{name}: {report['reasons']}"
    assert report["rate_is"] == "exact" and report["elbo"] <= -report["nll"] + 1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: CVAE(shapes=SHAPES.replace(classes=0)), "variant.condition=label needs labels"),
        (lambda: CVAE(shapes=SHAPES, condition="continuous"), "needs labels that are floats"),
        (lambda: CVAE(shapes=SHAPES, condition="image"), "needs pictures"),
        (lambda: CVAE(shapes=PICTURES, condition="image", visible=4), "variant.visible=4"),
        (lambda: VAE(shapes=SHAPES, prior=ConditionalPrior), "prior=conditional needs a condition"),
        (lambda: CVAE(shapes=SHAPES, prior=VampPrior), "prior=vamp has no condition"),
    ],
)
def test_what_cannot_be_conditioned_is_refused_in_one_sentence(make, message):
    with pytest.raises(UsageError, match=message) as error:
        make()
    assert "\n" not in str(error.value)
