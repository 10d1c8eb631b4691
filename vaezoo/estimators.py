"""Estimators of the terms of an objective, as pure functions; everything in nats."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributed.nn import functional as differentiable
from torch.distributions import Distribution
from torch.nn.functional import normalize, pad

from vaezoo.distributions import noise
from vaezoo.distributions.flowed import Flowed
from vaezoo.distributions.kl import closed_form
from vaezoo.errors import UsageError, near
from vaezoo.terms import Terms


def is_exact(q: Distribution, p: Distribution) -> bool:
    """Whether :func:`rate` is a closed form for these distributions rather than an estimate."""
    return closed_form(q, p) is not None


def rate(q: Distribution, p: Distribution, z: Tensor, per_dim: bool = False) -> Tensor:
    r"""KL(q || p): exact where a closed form is registered for the two types, else from the sample.

    .. math:: \mathrm{KL}(q \| p) = \mathbb E_{z \sim q} [\log q(z) - \log p(z)]

    That of a flow is estimated as the closed form of its base q_0, where there is one, and what the flow adds to it: an
    estimate without variance where the flow is the identity.

    .. math:: \mathrm{KL}(q \| p) = \mathrm{KL}(q_0 \| p) + \mathbb E_{z_0 \sim q_0} \left[\log p(z_0) - \log p(z)
              - \log\left|\det\frac{\partial z}{\partial z_0}\right|\right]

    Args:
        q: posterior with batch shape ``[B]``.
        p: prior with batch shape ``[B]`` or none.
        z: a sample from q, ``[B, *latent]`` (or ``[k, B, *latent]``: the estimate, not the closed form, is ``[k, B]``).
        per_dim: return one value per latent dimension, ``[B, *latent]``.

    Returns:
        ``[B]`` nats; the estimate may be negative.

    Raises:
        ValueError: ``per_dim`` for distributions without a closed form that is a sum over dimensions.
    """
    form = closed_form(q, p)
    if per_dim:
        if form is None or not form.per_dim:
            pair = f"{type(q).__name__} and {type(p).__name__}"
            raise ValueError(f"no rate per dimension for {pair}: it is not a closed form that sums over dimensions")
        return form.function(q, p)
    if form is not None:
        return form(q, p)
    if isinstance(q, Flowed) and (of_base := closed_form(q.base, p)) is not None:
        z_0, log_det = q.origin(z)
        return of_base(q.base, p) + p.log_prob(z_0) - p.log_prob(z) - log_det
    return q.log_prob(z) - p.log_prob(z)


def log_mean_exp(log_weights: Tensor, dim: int) -> Tensor:
    """log of the mean of exp(log_weights) over ``dim``, which is removed."""
    return torch.logsumexp(log_weights, dim) - math.log(log_weights.shape[dim])


def importance_terms(log_px: Tensor, log_ratio: Tensor, bounds: int = 1) -> Terms:
    """Minus an importance-weighted bound; distortion and rate are means over the samples, at weight 0.

    Args:
        log_px: log p(x|z) of each sample, ``[K, B]``.
        log_ratio: log p(z) - log q(z|x) of each sample, ``[K, B]``.
        bounds: bounds that share the samples out among them and are averaged, a divisor of K.
    """
    bound = log_mean_exp((log_px + log_ratio).unflatten(0, (bounds, -1)), 1).mean(0)
    terms = Terms(distortion=-log_px.mean(0), rate=-log_ratio.mean(0), iw_bound=-bound)
    return terms.weighted(distortion=0.0, rate=0.0)


def gathered(x: Tensor) -> Tensor:
    """The rows of all processes, ``[world * B, ...]``, in the order of the global batch; gradients flow to all of them.

    A term that couples the batch is computed on this by every process, so that it is what one process would compute.
    Outside training, where processes do not walk through the data in step, it is x.
    """
    _, world = noise.place()
    if world == 1:
        return x
    if torch.is_grad_enabled():
        return torch.cat(differentiable.all_gather(x.contiguous()))
    sizes = [torch.zeros(1, dtype=torch.long, device=x.device) for _ in range(world)]  # held out: one more or less
    torch.distributed.all_gather(sizes, sizes[0].new_tensor([len(x)]))
    longest = int(max(sizes))
    rows = [x.new_empty(longest, *x.shape[1:]) for _ in sizes]
    torch.distributed.all_gather(rows, pad(x, [0, 0] * (x.ndim - 1) + [0, longest - len(x)]))
    return torch.cat([mine[: int(size)] for mine, size in zip(rows, sizes, strict=True)])


def own_rows(x: Tensor) -> Tensor:
    """This process's rows of what :func:`gathered` gave in training, ``[B, ...]`` of ``[world * B, ...]``."""
    rank, world = noise.place()
    return x.chunk(world)[rank]


# -- what couples the codes of a batch ---------------------------------------------------------------------------------


class RateParts(NamedTuple):
    """What the rate consists of; the three sum to the one-sample estimate of the rate, example by example."""

    mutual_information: Tensor
    total_correlation: Tensor
    dimension_kl: Tensor


def decomposed_rate(
    z: Tensor, mean: Tensor, log_std: Tensor, log_pz: Tensor, size: int, stratified: bool = False
) -> RateParts:
    r"""Mutual information, total correlation and dimension-wise KL of diagonal normal posteriors.

    .. math:: \log\frac{q(z|x)}{p(z)} = \log\frac{q(z|x)}{q(z)} + \log\frac{q(z)}{\prod_j q(z_j)}
              + \log\frac{\prod_j q(z_j)}{p(z)},\quad q(z) = \frac1N \sum_n q(z|x_n)

    From a batch of B of the N examples, :math:`q(z_i) \approx \sum_j w_{ij}\, q(z_i|x_j)`. *Weighted*:
    :math:`w_{ij} = 1/(NB)`, biased. *Stratified*: :math:`w_{ii} = 1/N` and :math:`w_{ij} = (N-1)/(N(B-1))` elsewhere,
    so that the estimate of q(z), not that of its log, is unbiased, and exact if the batch is all there is. The paper
    gives one of the other examples a weight of its own, and the authors' code puts 1/N into the first column of w
    rather than on the diagonal; here all others weigh the same. First derivatives are exact, there are no second ones.

    Args:
        z: a sample of each posterior, ``[B, *latent]``.
        mean: ``[B, *latent]``.
        log_std: natural logarithm of the standard deviations, ``[B, *latent]``.
        log_pz: log p(z) of the samples, ``[B]`` nats; p factorises.
        size: N, examples in the dataset, >= 1; at least B is used.
        stratified: whether the weights are the stratified ones.

    Returns:
        RateParts: ``[B]`` nats each.

    Source: Chen et al., NeurIPS 2018 (arXiv 1802.04942), eqs. 2 and 3, appendix C.
    """
    count, size = len(z), max(size, len(z))
    # log N(z_i; m_j, s_j) = -z^2 / 2s^2 + z m / s^2 - m^2 / 2s^2 - log s + c is a product of matrices. The squares
    # cancel: hence double precision, which neither autocast nor TF32 reduces
    each, location, log_scale = (value.flatten(1).T.double() for value in (z, mean, log_std))  # [d, B]
    precision, constant = torch.exp(-2 * log_scale), -log_scale - 0.5 * math.log(2 * math.pi)
    left = torch.stack([each.square(), each, torch.ones_like(each)], -1)  # [d, B, 3]
    squares = constant - 0.5 * precision * location.square()
    right = torch.stack([-0.5 * precision, precision * location, squares], 1)  # [d, 3, B]
    log_weights = left.new_full((), -math.log(size * count))
    if stratified:
        others = (size - 1) / (size * max(count - 1, 1))
        log_weights = left.new_full((count, count), others).fill_diagonal_(1 / size).log()
    log_qz = _log_mixture(left.transpose(0, 1).flatten(1), right.flatten(0, 1), log_weights)  # [B]
    log_product = _log_mixture(left, right, log_weights).sum(0)  # [B]
    log_qz_x = (constant - 0.5 * precision * (each - location).square()).sum(0)
    parts = (log_qz_x - log_qz, log_qz - log_product, log_product - log_pz.double())
    return RateParts(*(part.to(log_pz.dtype) for part in parts))


def _log_mixture(left: Tensor, right: Tensor, log_weights: Tensor) -> Tensor:
    """log sum_j exp(left_i . right_j + log w_ij), ``[..., B]`` of ``[..., B, K]`` and ``[..., K, B]``."""
    with torch.no_grad():
        scores = (left @ right).add_(log_weights)
        highest = scores.amax(-1, keepdim=True)
        # exp(-80) adds nothing beside exp(0), and CPUs are many times slower where exp underflows
        shares = scores.sub_(highest).clamp_(min=-80).exp_()
        total = shares.sum(-1, keepdim=True)
        shares /= total
    # the gradient of a log-sum-exp is that of its arguments weighted by their shares: no graph over [..., B, B]
    linear = (left * (shares @ right.transpose(-1, -2))).sum(-1)
    return (highest + total.log()).squeeze(-1) + (linear - linear.detach())


def permuted(z: Tensor) -> Tensor:
    r"""A sample of :math:`\prod_j q(z_j)` from one of q(z): each dimension is permuted over the batch on its own.

    The permutations are the same on every process, for the same z.

    Args:
        z: codes of the global batch, ``[B, *latent]``.

    Source: Kim and Mnih, ICML 2018 (arXiv 1802.05983), algorithm 1.
    """
    return z.gather(0, noise.uniform(z.shape, z).argsort(0))


def covariance(x: Tensor) -> Tensor:
    r"""Covariance of the batch, with 1/B, ``[d, d]`` of ``[B, *latent]``.

    .. math:: \frac1B \sum_b (x_b - \bar x)(x_b - \bar x)^T

    Source: Kumar et al., ICLR 2018 (arXiv 1711.00848), section 3.
    """
    wide = x.flatten(1).double()  # neither autocast nor TF32 reduces it
    centred = wide - wide.mean(0)
    return (centred.T @ centred / len(x)).to(x.dtype)


Kernel = Callable[[Tensor], Tensor]  # of the squared distance


def imq(squared_distance: Tensor, scales: Sequence[float]) -> Tensor:
    r"""Inverse multiquadric, :math:`\sum_C C / (C + \|x - y\|^2)`, whose tails reach far codes.

    Source: Tolstikhin et al., ICLR 2018 (arXiv 1711.01558), section 4; the authors' code sums over several C.
    """
    return sum((scale / (scale + squared_distance) for scale in scales), squared_distance.new_zeros(()))


def rbf(squared_distance: Tensor, scales: Sequence[float]) -> Tensor:
    r"""Gaussian, :math:`\sum_C \exp(-\|x - y\|^2 / C)`. Source: Gretton et al., JMLR 13 (2012), section 8."""
    return sum((torch.exp(-squared_distance / scale) for scale in scales), squared_distance.new_zeros(()))


KERNELS: dict[str, Callable[..., Tensor]] = {"imq": imq, "rbf": rbf}


def kernel_for(name: str, dimensions: int, std: float = 1.0, scales: Sequence[float] = (1.0,)) -> Kernel:
    r"""The kernel of codes in d dimensions, with :math:`C = 2 d s^2` times each scale.

    2 d s^2 is the mean squared distance of two draws from N(0, s^2 I).

    Args:
        name: ``imq`` or ``rbf``.
        dimensions: d, >= 1.
        std: s, > 0.
        scales: factors of C, each > 0; the kernels are summed.

    Raises:
        UsageError: the name is unknown, or a number is not positive.

    Source: Tolstikhin et al., ICLR 2018 (arXiv 1711.01558), section 4.
    """
    if name not in KERNELS:
        raise UsageError(f"variant.kernel={name} is unknown{near(name, KERNELS)} (options: {', '.join(KERNELS)})")
    if not scales or min(std, *scales) <= 0:
        raise UsageError(f"a kernel needs a positive std and positive scales; std={std}, scales={list(scales)}")
    return partial(KERNELS[name], scales=[2 * dimensions * std**2 * scale for scale in scales])


def mmd_u(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    r"""Squared maximum mean discrepancy, unbiased: 0 in the mean for samples of one law, hence often negative.

    .. math:: \frac1{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac1{m(m-1)} \sum_{i \ne j} k(y_i, y_j)
              - \frac2{nm} \sum_{ij} k(x_i, y_j)

    Args:
        x: ``[n, *event]``; a mean over no pair (n = 1) counts as 0.
        y: ``[m, *event]``.
        kernel: k as a function of the squared distance.

    Returns:
        ``[]``. Source: Gretton et al., JMLR 13 (2012), eq. 3.
    """
    within = [kernel(_squared_distances(a, a)) for a in (x, y)]
    means = [(k.sum() - k.diagonal().sum()) / max(len(k) * (len(k) - 1), 1) for k in within]
    return (means[0] + means[1] - 2 * kernel(_squared_distances(x, y)).mean()).to(torch.result_type(x, y))


def mmd_v(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """Squared maximum mean discrepancy of the two empirical laws: biased upwards, and never negative.

    Arguments as for :func:`mmd_u`, from which it differs in the pairs i = j. Source: Gretton et al., JMLR 13 (2012),
    eq. 5.
    """
    xx, yy, xy = (kernel(_squared_distances(a, b)).mean() for a, b in ((x, x), (y, y), (x, y)))
    return (xx + yy - 2 * xy).to(torch.result_type(x, y))


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """||x_i - y_j||^2, ``[n, m]``, as a product of matrices. It cancels, hence double precision."""
    x, y = x.flatten(1).double(), y.flatten(1).double()
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    return torch.addmm(norms, x, y.T, alpha=-2)


def sliced_wasserstein(x: Tensor, y: Tensor, projections: int) -> Tensor:
    r"""Squared 2-Wasserstein distance of the projections on random directions, which sorting gives.

    .. math:: \frac1{Ln} \sum_{l=1}^L \sum_{i=1}^n
              \left( (\theta_l \cdot x)_{(i)} - (\theta_l \cdot y)_{(i)} \right)^2,\quad \|\theta_l\| = 1

    A shift by v adds :math:`\|v\|^2 / d` in the mean. The directions are the same on every process.

    Args:
        x: ``[n, *event]``.
        y: ``[n, *event]``.
        projections: L, >= 1.

    Returns:
        ``[]``. Source: Kolouri et al., ICLR 2019 (arXiv 1804.01947), algorithm 1.
    """
    wide = [a.flatten(1).double() for a in (x, y)]  # neither autocast nor TF32 reduces it
    directions = normalize(noise.normal((projections, wide[0].shape[1]), wide[0]), dim=1)  # [L, d]
    ordered = [(directions @ a.T).sort(1).values for a in wide]  # [L, n] each
    return (ordered[0] - ordered[1]).square().mean().to(torch.result_type(x, y))
