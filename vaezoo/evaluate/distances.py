"""How far two sets of features are from each other, as pure functions in double precision."""

from typing import NamedTuple

import torch
from torch import Tensor

from vaezoo.distributions import noise

ROWS = 1000  # of a matrix of distances that is in memory at once


class KID(NamedTuple):
    """Mean over subsets and its standard deviation."""

    mean: float
    std: float


class PRDC(NamedTuple):
    """Precision and recall, density and coverage."""

    precision: float
    recall: float
    density: float
    coverage: float


def frechet_distance(x: Tensor, y: Tensor) -> float:
    r"""Squared Fréchet distance of the normals with the moments of x and y.

    .. math:: \|m_x - m_y\|^2 + \mathrm{tr}\left(S_x + S_y - 2\,(S_x^{1/2} S_y S_x^{1/2})^{1/2}\right)

    The matrix under the outer root is symmetric, so its root's trace is that of the roots of its eigenvalues. Biased by
    a term of order 1/n: compare only numbers from sets of the same sizes.

    Args:
        x: ``[N, F]``, N >= 2.
        y: ``[M, F]``, M >= 2.

    Source: Heusel et al., NIPS 2017 (arXiv 1706.08500), eq. 6.
    """
    x, y = x.double(), y.double()
    sx, sy = (torch.atleast_2d(a.T.cov()) for a in (x, y))
    values, vectors = torch.linalg.eigh(sx)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ sy @ root).clamp(min=0).sqrt().sum()
    return max(0.0, ((x.mean(0) - y.mean(0)).square().sum() + sx.trace() + sy.trace() - 2 * cross).item())


def polynomial_mmd(x: Tensor, y: Tensor) -> float:
    r"""Unbiased estimate of the squared MMD with the kernel :math:`k(x, y) = (x^T y / F + 1)^3`; it may be negative.

    Args:
        x: ``[N, F]``, N >= 2.
        y: ``[M, F]``, M >= 2.

    Source: Bińkowski et al., ICLR 2018 (arXiv 1801.01401), section 4.
    """
    x, y = x.double(), y.double()
    xx, yy, xy = ((a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = sum((k.sum() - k.trace()) / (len(k) * (len(k) - 1)) for k in (xx, yy))
    return float(within - 2 * xy.mean())


def kernel_distance(x: Tensor, y: Tensor, subsets: int = 50, size: int = 1000) -> KID:
    """Mean and standard deviation of :func:`polynomial_mmd` over random subsets of both sets.

    Args:
        x: ``[N, F]``.
        y: ``[M, F]``.
        subsets: how many, >= 2.
        size: examples in each, at most N and M.
    """
    size = min(size, len(x), len(y))
    values = []
    for _ in range(subsets):
        chosen = (noise.uniform((len(a),), a).argsort()[:size].to(a.device) for a in (x, y))
        values.append(polynomial_mmd(*(a[index] for a, index in zip((x, y), chosen, strict=True))))
    found = torch.tensor(values, dtype=torch.double)
    return KID(found.mean().item(), found.std().item())


def precision_recall_density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> PRDC:
    r"""Which set lies within the other, with balls B that reach to each point's k-th nearest neighbour in its own set.

    Precision: share of fakes in any ball of a real one; recall: the converse. Density: balls of real ones around a
    fake, over k, which is not bounded by 1; coverage: share of real ones with a fake in their ball. All are 1 for
    two equal sets without ties.

    Args:
        real: ``[N, F]``, N > k.
        fake: ``[M, F]``, M > k.
        k: neighbours, >= 1.

    Source: Naeem et al., ICML 2020 (arXiv 2002.09797), sections 2.2 and 3.1, with k = 5.
    """
    real, fake = real.double(), fake.double()
    reach, reach_fake = _reach(real, k), _reach(fake, k)
    precise = torch.zeros(len(fake), dtype=torch.bool)
    balls, recalled, covered = 0.0, 0.0, 0.0
    for rows, own in zip(real.split(ROWS), reach.split(ROWS), strict=True):
        distance = torch.cdist(rows, fake)  # [rows, M]
        inside = distance < own[:, None]
        precise |= inside.any(0)
        balls += inside.sum().item()
        covered += inside.any(1).sum().item()
        recalled += (distance < reach_fake).any(1).sum().item()
    return PRDC(precise.float().mean().item(), recalled / len(real), balls / (k * len(fake)), covered / len(real))


def _reach(x: Tensor, k: int) -> Tensor:
    """Distance of each point to its k-th nearest other one, ``[N]``."""
    return torch.cat([torch.cdist(rows, x).topk(k + 1, largest=False).values[:, -1] for rows in x.split(ROWS)])
