"""What a linear model makes of the data: a yardstick for what a variant may aim at."""

from typing import NamedTuple

import torch
from torch import Tensor


class LinearModel(NamedTuple):
    """The best linear VAE of some data.

    Args:
        error: root mean squared error per value of its reconstructions, in the unit of x.
        rate: its mean rate, nats.
    """

    error: float
    rate: float


@torch.no_grad()
def linear_model(x: Tensor, latents: int) -> LinearModel:
    r"""Probabilistic PCA, which is the optimum of a linear VAE with a Gaussian likelihood of one learned scale.

    With the eigenvalues :math:`\lambda_1 \ge \dots \ge \lambda_D` of the covariance and k components,

    .. math:: \epsilon^2 = \frac1D \sum_{i > k} \lambda_i,\quad
              R = \frac12 \sum_{i \le k} \log\frac{\lambda_i}{\sigma^2},\quad
              \sigma^2 = \frac1{D - k} \sum_{i > k} \lambda_i

    k is the number of latents, but at most half of the dimensions that the examples span.

    Args:
        x: examples, ``[N, *event]``, at least 2 different ones.
        latents: number of latent dimensions, >= 1.

    Returns:
        LinearModel: :math:`\epsilon` and R.

    Source: Tipping and Bishop, JRSS B 61 (1999), section 3.2; Lucas et al., NeurIPS 2019 (arXiv 1911.02469), section 4.

    Example:
        >>> import torch
        >>> x = torch.randn(20_000, 8) * torch.tensor([4.0, 4.0, 1, 1, 1, 1, 1, 1])
        >>> error, rate = linear_model(x, 2)  # sqrt(6 / 8) and 2 log 4
        >>> abs(error - 0.87) < 0.03 and abs(rate - 2.77) < 0.1
        True
    """
    wide = x.flatten(1).double()
    variances = torch.linalg.svdvals(wide - wide.mean(0)).square() / len(wide)
    k = max(1, min(latents, min(len(wide) - 1, wide.shape[1]) // 2))
    rest = variances[k:].sum().clamp(min=torch.finfo(x.dtype).eps)  # of examples that are all the same
    noise = rest / max(1, wide.shape[1] - k)
    rate = 0.5 * (variances[:k] / noise).clamp(min=1).log().sum()
    return LinearModel((rest / wide.shape[1]).sqrt().item(), rate.item())
