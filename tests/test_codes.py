"""Discrete codes: quantizers, codebooks, their priors, and the six variants made of them."""

from functools import partial
from itertools import pairwise, product
from math import log

import pytest
import torch
from torch.nn.functional import one_hot

from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.distributions.uniform_codes import UniformCodes
from vaezoo.errors import UsageError
from vaezoo.estimators import is_exact, rate
from vaezoo.evaluate.codes import code_counts, codes_used, perplexity
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.networks import conv
from vaezoo.networks.codebook import Codebook
from vaezoo.posteriors.fsq import FSQPosterior
from vaezoo.posteriors.lfq import LFQPosterior, bit_entropy, mean_entropy
from vaezoo.posteriors.product_vq import ProductVQPosterior
from vaezoo.posteriors.residual_vq import ResidualVQPosterior
from vaezoo.posteriors.vq import VQPosterior
from vaezoo.priors.pixelcnn import PixelCNNPrior
from vaezoo.priors.uniform_codes import UniformCodesPrior
from vaezoo.shapes import Shapes
from vaezoo.variants.fsq_vae import FSQVAE
from vaezoo.variants.lfq_vae import LFQVAE
from vaezoo.variants.vq_vae import VQVAE
from vaezoo.variants.vq_vae_2 import VQVAE2

GRID = Shapes(event=(1, 8, 8), latent=(4, 2, 3), features=(5, 2, 3))
VECTOR = Shapes(event=(1, 8, 8), latent=(4,), features=(5,))
QUANTIZERS = {
    "vq": partial(VQPosterior, codes=7),
    "vq, loss": partial(VQPosterior, codes=7, update="loss"),
    "residual": partial(ResidualVQPosterior, stages=3, codes=7),
    "product": partial(ProductVQPosterior, groups=2, codes=7),
    "fsq": partial(FSQPosterior, levels=(5, 4, 3)),
    "lfq": partial(LFQPosterior, bits=5),
}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


# -- posteriors --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUANTIZERS)
def test_straight_through_is_the_embedding_with_the_gradient_of_the_vector(name):
    posterior = QUANTIZERS[name](GRID)
    q = posterior(torch.randn(6, 5, 2, 3))
    assert torch.equal(q.rsample(), q.embedding) and torch.equal(q.rsample((2,))[1], q.embedding)
    weight = torch.randn_like(q.embedding)
    (gradient,) = torch.autograd.grad((weight * q.rsample()).sum(), q.vectors)
    assert torch.equal(gradient, weight)


@pytest.mark.parametrize("shapes", [GRID, VECTOR], ids=["grid", "vector"])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_embedding_of_the_codes_is_what_the_posterior_reads(name, shapes):
    posterior = QUANTIZERS[name](shapes)
    q = posterior(torch.randn(6, *shapes.features))
    assert q.codes.shape == (6, *posterior.event) and q.embedding.shape == (6, *posterior.embedded)
    assert q.codes.min() >= 0 and q.codes.max() < posterior.codes
    torch.testing.assert_close(posterior.embed(q.sample()), q.embedding)
    folded = q.codes.view(3, 2, *posterior.event)
    torch.testing.assert_close(posterior.embed(folded).flatten(0, 1), q.embedding)
    assert posterior.embed(q.embedding) is q.embedding
    if posterior.books > 1:
        assert posterior.event[0] == posterior.books


def test_codes_have_probability_one_and_others_none():
    q = QUANTIZERS["vq"](GRID)(torch.randn(6, 5, 2, 3))
    assert torch.equal(q.log_prob(q.sample()), torch.zeros(6))
    assert torch.equal(q.log_prob(q.rsample((3,))), torch.zeros(3, 6))
    other = q.sample().clone()
    other[2, 1, 1] = (other[2, 1, 1] + 1) % 7
    assert q.log_prob(other).tolist() == [0, 0, -torch.inf, 0, 0, 0]


def test_rate_of_codes_is_their_exact_code_length():
    q = QUANTIZERS["residual"](GRID)(torch.randn(6, 5, 2, 3))
    uniform = UniformCodes((3, 2, 3), 7, torch.zeros(()))
    learned = PixelCNNPrior(GRID.replace(latent=(3, 2, 3), codes=7), channels=4, layers=2)(None)
    assert is_exact(q, uniform) and is_exact(q, learned)
    torch.testing.assert_close(rate(q, uniform, q.rsample()), torch.full((6,), 18 * log(7)))
    torch.testing.assert_close(rate(q, learned, q.rsample()), -learned.log_prob(q.sample()))


def test_one_residual_stage_is_vector_quantisation():
    _equals_vq(partial(ResidualVQPosterior, stages=1), "stages.0")


def test_one_product_group_is_vector_quantisation():
    _equals_vq(partial(ProductVQPosterior, groups=1), "groups.0")


def _equals_vq(make, book):
    plain, other = VQPosterior(GRID, codes=7), make(GRID, codes=7)
    other.load_state_dict({key.replace("book", book): value for key, value in plain.state_dict().items()})
    h = torch.randn(6, 5, 2, 3)
    for _ in range(2):  # before and after the codebook has moved
        p, q = plain(h), other(h)
        assert torch.equal(q.codes.squeeze(1), p.codes)
        torch.testing.assert_close((q.embedding, q.penalties), (p.embedding, p.penalties))
        for posterior in (plain, other):
            with noise.seeded(1):
                next(part for part in posterior.modules() if isinstance(part, Codebook)).move()


def test_residuals_shrink_where_zero_is_a_code():
    posterior = ResidualVQPosterior(GRID, stages=4, codes=7)
    for book in posterior.stages:
        book.vectors[0] = 0
    v = 3 * torch.randn(10, 6, 4)
    codes, e, _ = posterior.quantise(v)
    sums = torch.stack([book.look_up(each) for book, each in zip(posterior.stages, codes.unbind(1), strict=True)])
    norms = (v - sums.cumsum(0)).norm(dim=-1)
    assert (norms[0] <= v.norm(dim=-1) + 1e-6).all()
    assert all((after <= before + 1e-6).all() for before, after in pairwise(norms))
    torch.testing.assert_close(sums.sum(0), e)


def test_parts_of_a_product_are_quantised_apart():
    posterior = ProductVQPosterior(GRID, groups=2, codes=7)
    v = torch.randn(10, 6, 4)
    changed = torch.cat([v[..., :2], torch.randn(10, 6, 2)], -1)
    (codes, e, _), (others, f, _) = posterior.quantise(v), posterior.quantise(changed)
    assert torch.equal(codes[:, 0], others[:, 0]) and not torch.equal(codes[:, 1], others[:, 1])
    assert torch.equal(e[..., :2], f[..., :2])


@pytest.mark.parametrize("levels", [(5, 3), (8, 5, 5, 5), (2, 2, 4), (7,)])
def test_fsq_codes_and_lattice_are_in_bijection(levels):
    posterior = FSQPosterior(VECTOR, levels=levels)
    codes = torch.arange(posterior.codes)
    lattice = posterior.embed(codes.unsqueeze(1))  # [K, d]
    assert len(lattice.unique(dim=0)) == posterior.codes and lattice.abs().max() <= 1
    again, e, penalties = posterior.quantise(lattice.unsqueeze(1))
    assert torch.equal(again.flatten(), codes) and torch.equal(e.squeeze(1), lattice)
    assert not penalties and {name.split(".")[0] for name, _ in posterior.named_parameters()} == {"head"}


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 8])
def test_fsq_reaches_every_level(levels):
    posterior = FSQPosterior(VECTOR, levels=(levels,))
    v = torch.linspace(-20, 20, 4001).view(-1, 1, 1)
    reached = posterior.quantise(posterior.bounded(v) / posterior.reach)[0].flatten()
    assert reached.unique().tolist() == [*range(levels)]
    assert (reached.diff() >= 0).all()
    torch.testing.assert_close(posterior.bounded(torch.zeros(1)), torch.zeros(1), atol=1e-5, rtol=0)


def test_lfq_entropies_at_confident_uniform_codes():
    bits = 3
    words = torch.tensor([*product((-1.0, 1.0), repeat=bits)])  # every code once
    logits = 4 * words / 0.01
    torch.testing.assert_close(bit_entropy(logits).sum(-1), torch.zeros(2**bits), atol=1e-6, rtol=0)
    torch.testing.assert_close(mean_entropy(logits), torch.tensor(bits * log(2)))
    torch.testing.assert_close(mean_entropy(logits[[0, 0, 7, 7]]), torch.tensor(log(2)), atol=1e-6, rtol=0)


def test_lfq_entropies_are_those_of_the_enumerated_codes():
    posterior = LFQPosterior(VECTOR, bits=4, temperature=0.7)
    v = torch.randn(10, 6, 4)
    penalties = posterior.quantise(v)[2]
    codes = posterior.look_up(torch.arange(16).view(16, 1, 1)).squeeze(1)  # [16, 4]
    q = (-(v.unsqueeze(-2) - codes).square().sum(-1) / 0.7).softmax(-1)  # [10, 6, 16]
    torch.testing.assert_close(penalties["entropy"], -(q * q.log()).sum(-1).mean(1))
    mean = q.mean((0, 1))
    torch.testing.assert_close(penalties["mean_entropy"], -(mean * mean.log()).sum())


def test_lfq_is_fsq_with_two_levels_up_to_an_affine_map():
    v = torch.randn(50, 6, 3)
    signs, fsq = LFQPosterior(VECTOR, bits=3), FSQPosterior(VECTOR, levels=(2, 2, 2))
    shift = torch.atanh(torch.tensor(1 / 1.001))
    codes, e, _ = fsq.quantise(fsq.bounded(v - shift))
    others, f, _ = signs.quantise(v)
    assert torch.equal(codes, others)
    torch.testing.assert_close(2 * e + 1, f)


@pytest.mark.parametrize(
    "make, text",
    [
        (partial(VQPosterior, codes=0), "codes=0 must be >= 1"),
        (partial(VQPosterior, update="mean"), "update='mean' must be ema or loss"),
        (partial(VQPosterior, decay=1.0), "decay=1.0 must be in"),
        (partial(ResidualVQPosterior, stages=0), "stages=0 must be >= 1"),
        (partial(ProductVQPosterior, groups=3), "groups=3 must be >= 1 and divide the size 4"),
        (partial(FSQPosterior, levels=(5, 1)), r"levels=\[5, 1\] must list"),
        (partial(LFQPosterior, bits=0), "bits=0 must be in"),
        (partial(PixelCNNPrior, channels=0), "channels=0 must be >= 1"),
        (PixelCNNPrior, "needs codes of shape"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(make, text):
    with pytest.raises(UsageError, match=f"^.*{text}.*$"):
        make(GRID)


# -- codebooks ---------------------------------------------------------------------------------------------------------


def test_codes_are_the_nearest_vectors_in_mixed_precision_too():
    book, v = Codebook(50, 8), torch.randn(200, 8)
    nearest = torch.cdist(v.double(), book.vectors.double()).argmin(1)
    assert torch.equal(book(v), nearest)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(book(v), nearest)


def test_codebook_gets_no_gradient_from_the_reconstruction():
    posterior = VQPosterior(GRID, codes=7, update="loss")
    q = posterior(torch.randn(6, 5, 2, 3))
    q.rsample().square().sum().backward()
    assert posterior.book.vectors.grad is None and posterior.head.weight.grad.abs().sum() > 0


def test_codebook_term_moves_the_codebook_and_commitment_the_encoder():
    book = Codebook(1, 3, update="loss")
    v = torch.randn(4, 5, 3, requires_grad=True)
    e = book.look_up(book(v))
    terms = book.penalties(v, e)
    torch.testing.assert_close(terms["commitment"], (v - e).square().sum(-1).mean(-1))
    torch.testing.assert_close(terms["codebook"], terms["commitment"])
    of_vector, of_book = torch.autograd.grad(terms["commitment"].sum(), [v, book.vectors], allow_unused=True)
    torch.testing.assert_close(of_vector, 2 * (v - e) / 5)
    assert of_book is None
    of_vector, of_book = torch.autograd.grad(terms["codebook"].sum(), [v, book.vectors], allow_unused=True)
    torch.testing.assert_close(of_book, (2 * (e - v) / 5).sum((0, 1)).unsqueeze(0))
    assert of_vector is None


def test_running_means_of_a_constant_batch_become_its_cluster_means():
    book = Codebook(3, 2, decay=0.8, revive=0.0, smoothing=0.0)
    centres = torch.tensor([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    book.vectors.copy_(centres)
    v = centres.repeat(5, 1) + torch.randn(15, 2)
    for _ in range(100):
        codes = book(v)
        book.move()
    means = torch.stack([v[codes == k].mean(0) for k in range(3)])
    torch.testing.assert_close(book.vectors, means, atol=1e-5, rtol=0)
    torch.testing.assert_close(book.counts, torch.full((3,), 5.0))


def test_a_single_code_is_constant_and_the_mean():
    book, v = Codebook(1, 4, decay=0.5), torch.randn(30, 4)
    for _ in range(40):
        codes = book(v)
        book.move()
    assert not codes.any() and perplexity(code_counts(codes.view(5, 6), 1, 1)) == 1
    torch.testing.assert_close(book.vectors[0], v.mean(0), atol=1e-5, rtol=0)


def test_laplace_smoothing_keeps_the_sum():
    book = Codebook(6, 2, smoothing=0.5)
    book.counts.copy_(torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0, 30.0]))
    smoothed = book.smoothed()
    torch.testing.assert_close(smoothed.sum(), book.counts.sum())
    assert smoothed.min() > 0 and (smoothed.diff() >= 0).all()


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_dead_codes_start_anew_from_the_batch(update):
    book = Codebook(5, 2, update=update, decay=0.5, revive=0.1)
    with torch.no_grad():
        book.vectors[3:] += 1e3  # nothing is near
    v = torch.randn(40, 2)
    for _ in range(10):
        book(v)
        book.move()
    assert (torch.cdist(book.vectors.detach(), v).min(1).values < 3).all()
    sleeping = Codebook(5, 2, revive=0.0, decay=0.5)
    sleeping.vectors[4] = sleeping.sums[4] = 1e3
    for _ in range(10):
        sleeping(v)
        sleeping.move()
    assert sleeping.vectors[4].min() > 500


def test_kmeans_finds_clusters_that_lie_apart():
    centres = 50 * torch.randn(6, 3)
    v = (centres.repeat(30, 1) + 0.1 * torch.randn(180, 3)).view(18, 10, 3)
    book = Codebook(24, 3)
    book.fit(v)
    assert torch.cdist(centres, book.vectors).min(1).values.max() < 0.5
    torch.testing.assert_close(book.counts.sum(), torch.tensor(24.0))
    excess = Codebook(300, 3)
    excess.fit(few := torch.randn(40, 3))
    torch.testing.assert_close(excess.look_up(excess.nearest(few)), few)


@pytest.mark.parametrize("seed", range(20))
def test_as_many_codes_as_clusters_find_each_of_them(seed):
    with noise.seeded(seed):
        centres = 50 * torch.randn(8, 3)
        v = centres.repeat(30, 1) + 0.1 * torch.randn(240, 3)
    books = [Codebook(8, 3) for _ in range(3)]
    for book, key in zip(books, (seed, seed, seed + 1), strict=True):
        with noise.seeded(key):
            book.fit(v)
        assert torch.cdist(centres, book.vectors).min(1).values.max() < 0.5
    assert torch.equal(books[0].vectors, books[1].vectors) and not torch.equal(books[0].vectors, books[2].vectors)


def test_perplexity_is_between_one_and_the_number_of_codes():
    uniform, single = torch.full((2, 8), 3.0), one_hot(torch.tensor([[4], [0]]), 8).sum(1).float()
    torch.testing.assert_close(perplexity(uniform), torch.tensor(8.0))
    torch.testing.assert_close(perplexity(single), torch.tensor(1.0))
    counts = code_counts(torch.randint(8, (20, 2, 3, 3)), 2, 8)
    assert counts.sum() == 20 * 18 and 1 < perplexity(counts) < 8
    assert codes_used(single) == 1 and codes_used(uniform) == 8


# -- priors ------------------------------------------------------------------------------------------------------------

EVENTS = {(2, 2): 3, (2, 1, 2): 3, (3,): 3, (1, 5): 2}  # shape of the codes: K


def pixelcnn(event, codes, condition=(), layers=4):
    prior = PixelCNNPrior(GRID.replace(latent=event, codes=codes, condition=condition), channels=6, layers=layers)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return prior


@pytest.mark.parametrize("event", [(4, 5), (3, 2, 2), (6,)], ids=str)
def test_pixelcnn_sees_all_codes_before_a_code_and_none_after(event):
    prior = pixelcnn(event, codes=3, layers=5).double()
    read = []
    prior.embedding.register_forward_hook(lambda *args: read.append(args[-1].requires_grad_()))
    logits = prior.logits(torch.randint(3, (2, *event))).flatten(2)  # [2, K, n]
    for i in range(logits.shape[-1]):
        (gradient,) = torch.autograd.grad(logits[..., i].square().sum(), read[0], retain_graph=True)
        influence = gradient.abs().sum((0, -1)).flatten()  # of each position, in order
        assert (influence[i:] == 0).all() and (influence[:i] > 0).all(), f"position {i}: {influence}"


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_pixelcnn_sums_to_one_over_all_codes(event):
    codes, size = EVENTS[event], torch.Size(event).numel()
    everything = torch.tensor([*product(range(codes), repeat=size)]).view(-1, *event)
    p = pixelcnn(event, codes)(None)
    assert len(everything) == codes**size
    torch.testing.assert_close(p.log_prob(everything).exp().sum(), torch.tensor(1.0), atol=1e-5, rtol=0)
    c = torch.randn(2, 4, 1, 1)
    conditional = pixelcnn(event, codes, condition=(4, 1, 1))(None, c)
    given = conditional.log_prob(everything.unsqueeze(1).expand(-1, 2, *event))  # [K^n, 2]
    torch.testing.assert_close(given.exp().sum(0), torch.ones(2), atol=1e-5, rtol=0)
    assert (given[:, 0] - given[:, 1]).abs().max() > 1e-3


@pytest.mark.parametrize("condition", [(), (4, 1, 1), (4, 2, 3)], ids=str)
@pytest.mark.parametrize("event", [(4, 5), (3, 2, 2), (6,)], ids=str)
def test_pixelcnn_draws_from_the_logits_that_it_is_judged_by(event, condition):
    prior, n = pixelcnn(event, codes=5, condition=condition).double(), 3
    c = torch.randn(n, *condition, dtype=torch.float64) if condition else None
    codes = torch.randint(5, (n, *event))
    handed = []

    def choose(i, logits):
        handed.append(logits)
        return codes.flatten(1)[:, i]

    prior.scan(n, choose, c)
    torch.testing.assert_close(torch.stack(handed, 2), prior.logits(codes, c).flatten(2), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("prior", ["pixelcnn", "uniform_codes"])
def test_samples_occur_as_often_as_their_probability_says(prior):
    event, codes, n = (2, 1, 1), 3, 5000
    shapes = GRID.replace(latent=event, codes=codes)
    p = pixelcnn(event, codes)(None) if prior == "pixelcnn" else UniformCodesPrior(shapes)(None)
    everything = torch.tensor([*product(range(codes), repeat=2)]).view(-1, *event)
    expected = p.log_prob(everything).exp()
    z = p.sample((n,))
    frequencies = (z.view(n, 1, -1) == everything.view(1, -1, 2)).all(-1).double().mean(0)
    assert ((frequencies - expected).abs() < 4.5 * (expected * (1 - expected) / n).sqrt() + 1e-9).all()


def test_samples_of_a_rank_are_its_share_of_the_global_draw():
    c, prior = torch.randn(4, 3), pixelcnn((2, 2), 5, condition=(3,))
    with noise.seeded(0):
        everyone = prior(None, c).sample()
    with noise.seeded(0), noise.ranks(1, 2):
        assert torch.equal(prior(None, c[2:]).sample(), everyone[2:])


@pytest.mark.parametrize(
    ("dtype", "kept"), [(torch.double, torch.double), (torch.float, torch.float), (torch.bfloat16, torch.float)]
)
def test_pixelcnn_has_logits_of_its_precision_and_single_at_least(dtype, kept):
    prior = PixelCNNPrior(VECTOR.replace(latent=(2, 2), codes=3), channels=4, layers=1).to(dtype)
    p, found = prior(lambda x: None), []
    prior.scan(1, lambda i, logits: found.append(logits) or logits.argmax(1))
    assert {p.log_prob(p.sample((2,))).dtype, *(logits.dtype for logits in found)} == {kept}


def test_pixelcnn_learns_to_code_below_the_uniform_rate():
    prior = PixelCNNPrior(GRID.replace(latent=(2, 2), codes=4), channels=8, layers=2)
    optimizer = torch.optim.Adam(prior.parameters(), 1e-2)
    first = torch.randint(4, (64, 1, 1))
    codes = (first + torch.tensor([[0, 1], [2, 3]])) % 4  # each follows from the first one: log 4 nats
    for _ in range(60):
        optimizer.zero_grad()
        loss = -prior(None).log_prob(codes).mean()
        loss.backward()
        optimizer.step()
    assert log(4) - 0.1 < loss < log(4) + 0.3


# -- variants ----------------------------------------------------------------------------------------------------------

DIGITS = Shapes(event=(1, 8, 8), latent=(6, 4, 4), support="levels")
SMALL = {
    "encoder": partial(conv.Encoder, channels=(8, 8)),
    "decoder": partial(conv.Decoder, channels=(8, 8)),
    "posterior": partial(VQPosterior, codes=16),
    "prior": partial(PixelCNNPrior, channels=8, layers=2),
}


def some_digits(digits, n=20):
    return digits.split("train")[:n]


def test_vq_vae_2_without_its_top_level_is_a_vq_vae(digits):
    whole, plain = (cls(shapes=DIGITS, **SMALL).double() for cls in (VQVAE2, VQVAE))
    with torch.no_grad():
        for parameter in [*whole.top.up.parameters(), *whole.top.mix.parameters()]:
            parameter.zero_()
    own = {name: value for name, value in whole.state_dict().items() if not name.startswith("prior")}
    plain.load_state_dict(own, strict=False)
    x, y, index = some_digits(digits)
    batch = Batch(x.double(), y, index)
    two, one = whole.latents(batch.x)[-1].q, plain.latents(batch.x)[-1].q
    assert torch.equal(two.codes, one.codes)
    torch.testing.assert_close((two.rsample(), two.penalties), (one.rsample(), one.penalties))
    torch.testing.assert_close(whole.terms(batch)["distortion"], plain.terms(batch)["distortion"])


def test_vq_vae_2_decodes_both_levels(digits):
    model = VQVAE2(shapes=DIGITS, **SMALL).eval()
    x = some_digits(digits).x
    torch.testing.assert_close(model.decode(model.encode(x)).log_prob(x), -model.elbo(x)["distortion"])
    top, bottom = model.latents(x)
    read = model.top.above(top.z) + model.posterior.embed(bottom.z)
    torch.testing.assert_close(read, bottom.q.embedding)
    assert top.z.shape == (20, 2, 2) and bottom.z.shape == (20, 4, 4)


@pytest.mark.parametrize("cls, rates", [(VQVAE, ["rate"]), (VQVAE2, ["rate_1", "rate_2"])])
def test_likelihood_of_a_point_posterior_is_distortion_plus_rate(cls, rates, digits):
    model = cls(shapes=DIGITS, **SMALL).eval()
    x = some_digits(digits).x
    terms = model.elbo(x)
    assert terms.rates == rates
    torch.testing.assert_close(model.log_likelihood(x, 3), terms.elbo)


def test_evaluation_measures_codes(digits):
    model = VQVAE(shapes=digits.shapes((6, 4, 4)), **{**SMALL, "prior": UniformCodesPrior})
    found = evaluate(model, digits, k=7, progress=False, limit=60)
    assert found["rate_is"] == "exact" and found["rate"] == pytest.approx(16 * log(16))
    assert found["nll"] == pytest.approx(found["distortion"] + found["rate"], rel=1e-5)
    assert found["measures"]["uniform_rate"] == pytest.approx(found["rate"])
    assert 1 <= found["measures"]["perplexity"] <= found["measures"]["codes_used"] <= 16
    for name in ("mutual_information", "kl_per_dimension", "active_units"):
        assert found[name] is None and found["reasons"][name]


def test_a_prior_without_parameters_has_no_stage():
    stages = [VQVAE(shapes=DIGITS, **{**SMALL, "prior": prior}).stages for prior in (UniformCodesPrior, SMALL["prior"])]
    assert [[stage.name for stage in each] for each in stages] == [["codes"], ["codes", "prior"]]


def test_the_prior_learns_from_the_rate_alone(digits):
    model = VQVAE(shapes=DIGITS, **SMALL)
    batch = some_digits(digits)
    model.terms(batch).loss.backward()
    assert all(parameter.grad is None for parameter in model.prior.parameters())
    model.zero_grad()
    model.stages[1].updates[0].terms(batch).loss.backward()
    moved = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert moved == {"prior"}


@pytest.mark.parametrize("cls, posterior", [(VQVAE, FSQPosterior), (LFQVAE, VQPosterior)])
def test_a_weight_without_its_term_is_refused(cls, posterior):
    with pytest.raises(UsageError, match=f"weighs .* which {posterior.__name__} does not give"):
        cls(shapes=DIGITS, **{**SMALL, "posterior": posterior})


def test_fsq_vae_optimises_the_distortion_alone(digits):
    model = FSQVAE(shapes=DIGITS, **{**SMALL, "posterior": FSQPosterior})
    terms = model.terms(some_digits(digits))
    torch.testing.assert_close(terms.loss, terms["distortion"].mean())
