"""Metrics against references that do not use them."""

import json
import math
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor, nn

from vaezoo.data.raw import Part
from vaezoo.data.split import Split
from vaezoo.distributions.diagonal_normal import DiagonalNormal
from vaezoo.distributions.full_normal import FullNormal
from vaezoo.evaluate.evaluate import evaluate
from vaezoo.evaluate.latents import ActiveUnits, MutualInformation, PerDimensionKL
from vaezoo.evaluate.mean import Mean, SquaredError
from vaezoo.evaluate.nll import bits_per_dim
from vaezoo.evaluate.results import format_results, write_results
from vaezoo.likelihoods.bernoulli import Bernoulli
from vaezoo.priors.mixture import MixturePrior
from vaezoo.shapes import Shapes
from vaezoo.variants.autoencoder import Autoencoder
from vaezoo.variants.stacked_autoencoder import StackedAutoencoder
from vaezoo.variants.vae import VAE

SHAPES = Shapes(event=(5,), latent=(2,), support="real")
NOISE = 0.5  # standard deviation of x given z


class Vector(nn.Module):
    """A network that does nothing."""

    features: tuple[int, ...] = (5,)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        return x


class Projection(nn.Linear):
    """z to W z + b."""

    features = (5,)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return super().forward(z)


class Posterior(nn.Module):
    """The exact posterior of the linear model, or a diagonal one with ``wide`` times its standard deviations."""

    density, support, factorised = "any", "real", False

    def __init__(self, decoder: nn.Linear, wide: float = 1.0, full: bool = False) -> None:
        super().__init__()
        w = decoder.weight.detach()
        covariance = (torch.eye(2) + w.T @ w / NOISE**2).inverse()
        self.gain, self.offset, self.wide, self.full = covariance @ w.T / NOISE**2, decoder.bias.detach(), wide, full
        self.covariance = covariance

    def forward(self, h: Tensor) -> DiagonalNormal | FullNormal:
        mean = (h - self.offset) @ self.gain.T
        if self.full:
            return FullNormal(mean, torch.linalg.cholesky(self.covariance).expand(len(h), 2, 2))
        return DiagonalNormal(mean, (self.covariance.diagonal().sqrt() * self.wide).log())

    def embed(self, z: Tensor) -> Tensor:
        return z


class Likelihood(nn.Module):
    """N(x; h, NOISE^2)."""

    discrete, fits = False, ("real",)

    def forward(self, h: Tensor) -> DiagonalNormal:
        return DiagonalNormal(h, torch.tensor(math.log(NOISE)))


def linear(wide: float = 1.0, full: bool = False, **parts) -> VAE:
    """A model whose evidence is known."""
    torch.manual_seed(0)
    decoder = Projection(2, 5)
    posterior = Posterior(decoder, wide, full)
    return VAE(
        shapes=SHAPES, encoder=Vector(), decoder=decoder, posterior=posterior, likelihood=Likelihood(), **parts
    ).eval()


def evidence(model: VAE, x: Tensor) -> Tensor:
    """log p(x) in closed form, [B]."""
    w, b = model.decoder.weight, model.decoder.bias
    return torch.distributions.MultivariateNormal(b, w @ w.T + NOISE**2 * torch.eye(5)).log_prob(x).detach()


def data(size: int = 60, x: Tensor | None = None) -> SimpleNamespace:
    """A stand-in for a DataModule with one split."""
    if x is None:
        x = torch.randn(size, 5, generator=torch.Generator().manual_seed(1))
    return SimpleNamespace(split=lambda name: Split(name, Part(x)))


def test_nll_is_the_evidence_under_the_exact_posterior():
    model, points = linear(full=True), data()
    report = evaluate(model, points, k=3, progress=False)
    exact = -evidence(model, points.split("test").x)
    assert report["nll"] == pytest.approx(exact.mean().item(), abs=1e-4)
    assert report["nll_standard_error"] == pytest.approx(exact.std().item() / math.sqrt(60), rel=1e-4)
    assert report["kl_per_dimension"] is None and "sum over dimensions" in report["reasons"]["kl_per_dimension"]


def test_iw_bound_falls_with_k_towards_the_evidence():
    model, points = linear(wide=1.5), data()
    exact = -evidence(model, points.split("test").x).mean().item()
    bounds = [evaluate(model, points, k=k, progress=False)["nll"] for k in (1, 10, 1000)]
    assert bounds[0] > bounds[1] > bounds[2] > exact - 0.01
    assert bounds[2] == pytest.approx(exact, abs=0.02)


def test_elbo_is_minus_distortion_minus_rate_and_below_minus_nll():
    report = evaluate(linear(wide=1.5), data(), k=100, progress=False)
    assert report["elbo"] == pytest.approx(-report["distortion"] - report["rate"], abs=1e-6)
    assert report["elbo"] < -report["nll"]
    assert report["rate"] == pytest.approx(sum(report["kl_per_dimension"]), abs=1e-5)
    assert report["rate_is"] == "exact"
    assert evaluate(linear(prior=MixturePrior), data(), k=1, progress=False)["rate_is"] == "sampled"


@pytest.mark.parametrize("k", [1, 7, 250, 251])
def test_k_samples_are_decoded_per_image(k):
    model, rows = linear(), []
    model.decoder.register_forward_hook(lambda module, args, out: rows.append(len(out)))
    with torch.no_grad():
        model.log_likelihood(torch.randn(4, 5), k)
    assert sum(rows) == 4 * k
    assert max(rows) <= 1000


def test_numbers_repeat_and_depend_on_the_seed():
    model = linear(wide=1.5)
    first, again, other = (evaluate(model, data(), k=5, progress=False, seed=seed)["nll"] for seed in (0, 0, 1))
    assert first == again != other


def test_evaluation_leaves_model_and_generator_as_they_were():
    model = linear().train()
    model.decoder.eval()
    before = torch.random.get_rng_state()
    evaluate(model, data(), k=2, progress=False)
    assert model.training and not model.decoder.training
    assert torch.equal(before, torch.random.get_rng_state())


def test_limit_takes_the_first_images():
    assert evaluate(linear(), data(60), k=5, limit=50, progress=False)["nll"] == pytest.approx(
        evaluate(linear(), data(x=data(60).split("test").x[:50]), k=5, progress=False)["nll"], abs=1e-9
    )


@pytest.mark.parametrize("variant", [Autoencoder, StackedAutoencoder])
def test_deterministic_model_has_reasons_in_place_of_a_likelihood(variant):
    report = evaluate(variant(shapes=SHAPES), data(), k=5, progress=False)
    missing = ("elbo", "rate", "nll", "bits_per_dim", "active_units", "mutual_information", "kl_per_dimension")
    assert all(report[name] is None and "no prior" in report["reasons"][name] for name in missing)
    assert report["rate_is"] is None and report["nll_standard_error"] is None
    assert report["squared_error"] > 0 and math.isfinite(report["distortion"])


def test_relaxed_bernoulli_is_reported_as_no_likelihood():
    shapes = SHAPES.replace(support="unit")
    model = VAE(shapes=shapes, likelihood=partial(Bernoulli, allow_relaxed=True))
    report = evaluate(model, data(x=torch.rand(20, 5)), k=5, progress=False)
    assert "not a likelihood" in report["reasons"]["nll"] and report["bits_per_dim"] is None
    exact = VAE(shapes=SHAPES.replace(support="binary"), likelihood=partial(Bernoulli, allow_relaxed=True))
    binary = evaluate(exact, data(x=torch.rand(20, 5).round()), k=5, progress=False)
    assert "nll" not in binary["reasons"] and binary["bits_per_dim"] == pytest.approx(binary["nll"] / (5 * math.log(2)))


def test_k_zero_leaves_the_likelihood_out():
    report = evaluate(linear(), data(), k=0, progress=False)
    assert report["nll"] is None and report["elbo"] is not None and "k=0" in report["reasons"]["nll"]


def test_result_that_is_not_finite_is_null():
    points = torch.randn(4, 5)
    points[0, 0] = math.inf
    report = evaluate(linear(), data(x=points), k=2, progress=False)
    assert report["nll"] is None and "the result is" in report["reasons"]["nll"]
    json.dumps(report, allow_nan=False)


def test_bits_per_dim_of_mass_and_of_dequantised_density():
    assert bits_per_dim(5 * math.log(2), SHAPES, discrete=True) == pytest.approx(1.0)
    assert bits_per_dim(0.0, SHAPES.replace(support="unit"), discrete=False) == pytest.approx(8.0)  # uniform density


def test_active_units_counts_dimensions_whose_means_vary():
    means = torch.randn(2000, 4) * torch.tensor([1.0, 0.2, 0.05, 0.0]) + 3
    meter = ActiveUnits()
    for part in means.split(300):
        meter.update(part)
    assert meter.compute() == 2 == (means.var(0, correction=0) > 0.01).sum()


def test_mutual_information_of_separate_codes_is_log_n_and_of_equal_codes_zero():
    for spread, expected in ((1000.0, math.log(50)), (0.0, 0.0)):
        meter = MutualInformation(lambda x, c: DiagonalNormal(x, torch.zeros(2)))
        x = torch.arange(50.0)[:, None].repeat(1, 2) * spread
        for part in x.split(20):
            meter.update(part, part + torch.randn(part.shape))
        assert meter.compute().item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_mutual_information_is_the_sum_over_all_pairs(full):
    model, x = linear(full=full), torch.randn(300, 5)
    z = model.q(x).sample()
    pairs = torch.stack([model.q(x[j : j + 1]).log_prob(z) for j in range(300)])  # [j, i]
    meter = MutualInformation(model.q)
    meter.update(x[:130], z[:130])
    meter.update(x[130:], z[130:])
    expected = pairs.diagonal() - pairs.logsumexp(0) + math.log(300)
    assert meter.compute().item() == pytest.approx(expected.mean().item(), abs=1e-4)
    assert meter.compute() <= math.log(300)


def test_squared_error_sums_over_dimensions():
    meter = SquaredError()
    meter.update(torch.zeros(3, 1, 2, 2), torch.ones(3, 1, 2, 2))
    assert meter.compute() == 4


def _measured(rank: int, world: int, folder: Path) -> None:
    """Evaluates and fills every metric by hand with this process's share of the same 80 examples."""
    model = linear(wide=1.5)
    report = evaluate(model, data(130), k=5, progress=False)
    x = data(80).split("test").x[rank::world]
    meters = [Mean(), SquaredError(), ActiveUnits(0.5), PerDimensionKL(), MutualInformation(model.q)]
    q = model.q(x)
    for meter, given in zip(meters, [(x[:, 0],), (x, 0 * x), (x,), (q, model.p()), (x, q.mean)], strict=True):
        meter.update(*given)
    values = [meter.compute().tolist() for meter in meters]
    (folder / f"{world}.{rank}").write_text(json.dumps([report, values]))


def _process(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    _measured(rank, 2, folder)
    torch.distributed.destroy_process_group()


def test_two_processes_measure_what_one_does(tmp_path):
    method = "fork" if sys.platform == "linux" else "spawn"  # forks need not import everything again
    torch.multiprocessing.start_processes(_process, (tmp_path,), nprocs=2, start_method=method)
    _measured(0, 1, tmp_path)
    (one, ones), *others = (json.loads((tmp_path / name).read_text()) for name in ("1.0", "2.0", "2.1"))
    for two, twos in others:
        for name in one.keys() - {"seconds", "images_per_second"}:
            inexact = isinstance(one[name], float | list)
            assert two[name] == (pytest.approx(one[name], abs=1e-6) if inexact else one[name])
        for value, expected in zip(twos, ones, strict=True):
            assert value == pytest.approx(expected, abs=1e-6)


def test_results_of_other_k_are_kept_beside(tmp_path):
    small, large = ({**evaluate(linear(), data(), k=k, progress=False)} for k in (2, 20))
    for report in (large, small, small):
        write_results(tmp_path, report)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["k"] == 20 and [other["k"] for other in stored["others"]] == [2]
    assert stored["nll"] == large["nll"]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_table_shows_numbers_and_reasons():
    table = format_results(evaluate(linear(), data(), k=5, progress=False))
    assert "60 images, k=5" in table and "rate (exact)" in table and "+-" in table
    assert "no bits per dimension" in next(line for line in table.splitlines() if "bits/dim" in line)
