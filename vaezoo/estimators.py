"""Estimators of the terms of an objective, as pure functions; everything in nats."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaezoo.distributions.kl import closed_form


def is_exact(q: Distribution, p: Distribution) -> bool:
    """Whether :func:`rate` is a closed form for these distributions rather than an estimate."""
    return closed_form(q, p) is not None


def rate(q: Distribution, p: Distribution, z: Tensor, per_dim: bool = False) -> Tensor:
    r"""KL(q || p): exact where a closed form is registered for the two types, else from the sample.

    .. math:: \mathrm{KL}(q \| p) = \mathbb E_{z \sim q} [\log q(z) - \log p(z)]

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
    return q.log_prob(z) - p.log_prob(z) if form is None else form(q, p)


def log_mean_exp(log_weights: Tensor, dim: int) -> Tensor:
    """log of the mean of exp(log_weights) over ``dim``, which is removed."""
    return torch.logsumexp(log_weights, dim) - math.log(log_weights.shape[dim])


def gathered(x: Tensor) -> Tensor:
    """The rows of all processes, ``[world * B, ...]``, in the order of the global batch; gradients flow to all of them.

    A term that couples the batch is computed on this by every process, so that it is what one process would compute.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return x
    return torch.cat(torch.distributed.nn.functional.all_gather(x.contiguous()))
