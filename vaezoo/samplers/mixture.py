"""Latents from a mixture of Gaussians that is fitted to the codes."""

import warnings

import torch
from torch import Tensor

from vaezoo.distributions import noise
from vaezoo.errors import UsageError
from vaezoo.samplers.codes import Codes, Sampler


def fit(codes: Codes, seed: int = 0, components: int = 10) -> Sampler:
    r""":math:`z \sim \sum_k \pi_k \mathcal N(\mu_k, \Sigma_k)` with full covariances, fitted by EM.

    Args:
        codes: of the training examples.
        seed: seed of the start of EM.
        components: K, >= 1 and at most the number of examples.

    Raises:
        UsageError: ``components`` is out of range, or the codes are not vectors of moderate size.

    Source: Ghosh et al., ICLR 2020 (arXiv 1903.12436), section 4, with 10 components.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if not 1 <= components <= len(codes.split):
        raise UsageError(f"components={components} must be at least 1 and at most the {len(codes.split)} examples")
    z = codes.flat
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(components, random_state=seed).fit(z.double().cpu().numpy())
    weights, means, tril = (
        torch.as_tensor(values).to(z)
        for values in (
            mixture.weights_,
            mixture.means_,
            torch.linalg.cholesky(torch.as_tensor(mixture.covariances_)),  # [K, D, D]
        )
    )

    def sampler(n: int) -> Tensor:
        chosen = (noise.uniform((n,), z)[:, None] > weights.cumsum(0)[:-1]).sum(1)
        epsilon = noise.normal((n, z.shape[1]), z)
        drawn = means[chosen]
        for k in chosen.unique():  # [n, D, D] would be large
            drawn[chosen == k] += epsilon[chosen == k] @ tril[k].T
        return codes.shaped(drawn)

    return sampler
