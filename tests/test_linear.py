"""The linear VAE of the data, and the variants whose defaults follow it."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from tests.conftest import quick_trainer
from tests.test_flags import SMALL
from vaezoo.distributions import noise
from vaezoo.linear import linear_model
from vaezoo.variants.annealed_vae import AnnealedVAE
from vaezoo.variants.geco_vae import GecoVAE
from vaezoo.variants.info_vae import InfoVAE

D, K = 7, 2


def test_it_is_probabilistic_pca():
    """Against the model itself: W = U (L - s^2)^(1/2), its exact posterior, and samples of it."""
    torch.manual_seed(0)
    x = torch.randn(500, D).double() @ torch.randn(D, D).double() + 3
    std, rate = linear_model(x, K)
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    values, vectors = values.flip(0), vectors.flip(1)
    assert std == pytest.approx(values[K:].mean().sqrt().item())
    w = vectors[:, :K] * (values[:K] - std**2).sqrt()
    m = w.T @ w + std**2 * torch.eye(K)  # diagonal, since the columns of W are orthogonal
    q = Normal(centred @ w @ torch.linalg.inv(m), (std**2 / m.diagonal()).sqrt())
    prior = Normal(torch.zeros(K).double(), torch.ones(K).double())
    assert rate == pytest.approx(kl_divergence(q, prior).sum(1).mean().item())
    errors = [(centred - q.sample() @ w.T).square().mean() for _ in range(500)]
    assert torch.stack(errors).mean().sqrt().item() == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize("x", [torch.zeros(5, 3), torch.randn(1, 4), torch.randn(3, 1), torch.randn(4, 2, 3)])
@pytest.mark.parametrize("latents", [1, 50])
def test_few_or_equal_examples_have_one_too(x, latents):
    std, rate = linear_model(x, latents)
    assert std > 0 and 0 <= rate < 1000


@pytest.mark.parametrize("cls, given", [(AnnealedVAE, "capacity"), (InfoVAE, "weight"), (GecoVAE, "tolerance")])
def test_a_default_that_follows_the_data_is_the_number_that_one_would_give(digits, cls, given):
    """The same objective as with the number itself, in training and after the weights were written and read."""
    x = digits.split("train")[:200]
    std, rate = linear_model(digits.split("train")[:: max(1, len(digits.split("train")) // 1000)].x, 3)
    numbers = {"capacity": 0.5 * rate, "weight": 2.5 * rate + 0.5, "tolerance": std}
    model = cls(shapes=digits.shapes((3,)), **SMALL)
    quick_trainer(limit_train_batches=2, limit_val_batches=1).fit(model, datamodule=digits)
    same = cls(shapes=digits.shapes((3,)), **{given: numbers[given]}, **SMALL)
    read = cls(shapes=digits.shapes((3,)), **SMALL)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    losses = []
    for each in (model, same, read):
        each.load_state_dict(weights)
        with noise.seeded(1):
            losses.append(each.train().terms(x).loss.item())
        if cls is GecoVAE:
            each.move()
            losses[-1] = each.constraint.item()
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
