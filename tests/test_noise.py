import pytest
import torch
from torch import nn

from vaezoo.distributions import noise
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.full_normal import FullNormal
from vaezoo.distributions.normal_mixture import NormalMixture
from vaezoo.distributions.standard_normal import StandardNormal

LIKE = torch.zeros(())
KINDS = {"normal": noise.normal, "uniform": noise.uniform, "gumbel": noise.gumbel}


class Constant:
    def draw(self, kind, shape, dtype, device):
        return torch.full(shape, 0.0 if kind == "uniform" else 2.0, dtype=dtype, device=device)


def test_reseed_is_a_pure_function_of_its_keys():
    noise.reseed(1, 2, 3)
    first = noise.normal((5,), LIKE)
    torch.randn(17)
    noise.reseed(1, 2, 3)
    assert torch.equal(first, noise.normal((5,), LIKE))


def test_reseed_gives_different_streams_for_different_keys():
    keys = [(), (0,), (0, 0), (1, 2), (2, 1), (1,), (-1,), (0, 1), (1, 0), (2**63,)]
    draws = []
    for key in keys:
        noise.reseed(*key)
        draws.append(float(noise.normal((1,), LIKE)))
    assert len(set(draws)) == len(keys)


def test_streams_of_consecutive_keys_are_uncorrelated():
    draws = []
    for k in range(400):
        noise.reseed(0, k)
        draws.append(noise.normal((20,), LIKE))
    table = torch.stack(draws)
    assert abs(table.mean()) < 4 / 8000**0.5
    assert abs((table[1:] * table[:-1]).mean()) < 4 / 7980**0.5


def test_reseed_makes_dropout_reproducible():
    dropout, x = nn.Dropout(), torch.ones(64)
    noise.reseed(7)
    first = dropout(x)
    noise.reseed(7)
    assert torch.equal(first, dropout(x))


def test_seeded_restores_the_generator():
    noise.reseed(3)
    expected = noise.normal((4,), LIKE)
    noise.reseed(3)
    with noise.seeded(9):
        inside = noise.normal((4,), LIKE)
    assert torch.equal(noise.normal((4,), LIKE), expected)
    noise.reseed(9)
    assert torch.equal(noise.normal((4,), LIKE), inside)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [0, 1])
def test_slices_of_two_ranks_make_up_the_draw_of_one(kind, batch):
    draw = KINDS[kind]
    parts = []
    for rank in (0, 1):
        with noise.ranks(rank, 2), noise.seeded(5):
            parts.append(draw((4, 6), LIKE, batch))
    whole = [4, 6]
    whole[batch] *= 2
    with noise.ranks(0, 1), noise.seeded(5):
        assert torch.equal(torch.cat(parts, batch), draw(whole, LIKE, batch))


def test_draws_without_batch_are_equal_on_all_ranks():
    with noise.ranks(0, 2), noise.seeded(5):
        first = noise.normal((4,), LIKE)
    with noise.ranks(1, 2), noise.seeded(5):
        assert torch.equal(first, noise.normal((4,), LIKE))
    with noise.seeded(5):
        assert torch.equal(first, noise.normal((4,), LIKE))


@pytest.mark.parametrize("samples", [(), (3,)])
def test_samples_of_two_ranks_make_up_those_of_one(samples):
    mean, scale = torch.randn(8, 2), torch.eye(2).expand(8, 2, 2)

    def draw(rows):
        normal = DiagonalNormal(mean[rows], torch.zeros(()))
        return [q.rsample(samples) for q in (normal, FullNormal(mean[rows], scale[rows]))]

    with noise.seeded(1):
        whole = draw(slice(None))
    parts = []
    for rank in (0, 1):
        with noise.ranks(rank, 2), noise.seeded(1):
            parts.append(draw(slice(4 * rank, 4 * rank + 4)))
    for one, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([first, second], len(samples)), one)


@pytest.mark.parametrize("prior", ["standard", "mixture"])
def test_batch_first_slices_samples_of_a_prior(prior):
    mixture = NormalMixture(torch.zeros(4), torch.randn(4, 2), torch.zeros(4, 2))
    p = StandardNormal((2,), LIKE) if prior == "standard" else mixture
    with noise.seeded(1):
        whole = p.sample((8,))
    parts = []
    for rank in (0, 1):
        with noise.ranks(rank, 2), noise.seeded(1), noise.batch_first():
            parts.append(p.sample((4,)))
    assert torch.equal(torch.cat(parts), whole)


def test_settings_end_with_their_context_even_after_an_error():
    for context in (noise.ranks(1, 2), noise.batch_first(), noise.source(Constant())):
        with pytest.raises(ZeroDivisionError), context:
            _ = 1 / 0
    noise.reseed(0)
    first = noise.normal((2,), LIKE, 0)
    torch.manual_seed(0)
    noise.reseed(0)
    assert torch.equal(first, torch.randn(2))


def test_source_replaces_every_draw():
    with noise.source(Constant()):
        q = DiagonalNormal(torch.ones(3, 2), torch.zeros(3, 2))
        assert torch.equal(q.rsample(), torch.full((3, 2), 3.0))
        assert (noise.uniform((2,), LIKE) > 0).all()
        assert noise.gumbel((2,), LIKE).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_uniform_excludes_both_ends(dtype):
    with noise.seeded(0):
        u = noise.uniform((200_000,), torch.zeros((), dtype=dtype))
    assert u.dtype == dtype
    assert 0 < u.min() < 0.01 and 0.99 < u.max() < 1


def test_moments_of_the_draws():
    with noise.seeded(0):
        n, u, g = (draw((400_000,), LIKE) for draw in KINDS.values())
    assert n.mean() == pytest.approx(0, abs=0.01) and n.std() == pytest.approx(1, abs=0.01)
    assert u.mean() == pytest.approx(0.5, abs=0.005) and u.var() == pytest.approx(1 / 12, abs=0.002)
    assert g.mean() == pytest.approx(0.5772, abs=0.01) and g.var() == pytest.approx(torch.pi**2 / 6, abs=0.02)
