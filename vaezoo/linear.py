"""What a linear model makes of the data: a yardstick for what a variant may aim at."""

from typing import NamedTuple

import torch
from torch import Tensor


class LinearModel(NamedTuple):
    """The best linear VAE of some data.

    Args:
        std: of its likelihood, in the unit of x; so is the root mean squared error per value of what it reconstructs
            from a sample of its posterior.
        rate: its mean rate, nats.
    """

    std: float
    rate: float


@torch.no_grad()
def linear_model(x: Tensor, latents: int) -> LinearModel:
    r"""Probabilistic PCA, which is the optimum of a linear VAE with a Gaussian likelihood of one learned scale.

    With the eigenvalues :math:`\lambda_1 \ge \dots \ge \lambda_D` of the covariance and k components,

    .. math:: \sigma^2 = \frac1{D - k} \sum_{i > k} \lambda_i,\quad
              R = \frac12 \sum_{i \le k} \log\frac{\lambda_i}{\sigma^2}

    k is the number of latents, but at most half of the dimensions that the examples span.

    Args:
        x: examples, ``[N, *event]``.
        latents: number of latent dimensions, >= 1.

    Returns:
        LinearModel: :math:`\sigma`, above 0 even where all examples are the same, and R.

    Source: Tipping and Bishop, JRSS B 61 (1999), section 3.2; Lucas et al., NeurIPS 2019 (arXiv 1911.02469), section 4.

    Example:
        >>> import torch
        >>> x = torch.randn(20_000, 8) * torch.tensor([4.0, 4.0, 1, 1, 1, 1, 1, 1])
        >>> std, rate = linear_model(x, 2)  # 1 and 2 log 4
        >>> abs(std - 1) < 0.03 and abs(rate - 2.77) < 0.1
        True
    """
    wide = x.flatten(1).double()
    variances = torch.linalg.svdvals(wide - wide.mean(0)).square() / len(wide)
    k = max(1, min(latents, min(len(wide) - 1, wide.shape[1]) // 2))
    noise = (variances[k:].sum() / max(1, wide.shape[1] - k)).clamp(min=torch.finfo(x.dtype).eps)
    rate = 0.5 * (variances[:k] / noise).clamp(min=1).log().sum()
    return LinearModel(noise.sqrt().item(), rate.item())
