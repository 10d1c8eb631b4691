"""The Poincare ball: maps between its points and tangent vectors at its centre."""

import torch
from torch import Tensor

TINY = 1e-24  # squared norm below which the maps at the centre are linear
EDGE = 1e-5  # points are kept this share of the radius away from the edge, which single precision can tell apart


def mobius_add(x: Tensor, y: Tensor, c: float) -> Tensor:
    r"""x (+) y in the ball of radius 1 / sqrt(c), the translation of y that takes the centre to x.

    .. math:: x \oplus y = \frac{(1 + 2c\langle x, y\rangle + c|y|^2)\,x + (1 - c|x|^2)\,y}
              {1 + 2c\langle x, y\rangle + c^2|x|^2|y|^2}
    """
    xy, xx, yy = ((a * b).sum(-1, keepdim=True) for a, b in ((x, y), (x, x), (y, y)))
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c**2 * xx * yy)


def exp_centre(v: Tensor, c: float) -> Tensor:
    r"""The point at distance \|v\| from the centre in the direction v, which is exp_0(v / 2).

    .. math:: \tau(v) = \tanh(\sqrt c\,|v| / 2)\, \frac{v}{\sqrt c\,|v|}
    """
    length = (c * v.square().sum(-1, keepdim=True)).clamp(min=TINY).sqrt()
    return torch.tanh(length / 2) / length * v


def log_centre(z: Tensor, c: float) -> Tensor:
    r"""The inverse of :func:`exp_centre`, 2 artanh(sqrt(c) \|z\|) z / (sqrt(c) \|z\|)."""
    length = (c * z.square().sum(-1, keepdim=True)).clamp(TINY, 1 - 1e-14).sqrt()
    return 2 * torch.atanh(length) / length * z


def inside(z: Tensor, c: float) -> Tensor:
    """z, pulled back along its radius where it is too near the edge for single precision.

    The edge of what is left lies at a distance of 12.2 / sqrt(c) from the centre.
    """
    length = (c * z.square().sum(-1, keepdim=True)).clamp(min=TINY).sqrt()
    return z * ((1 - EDGE) / length).clamp(max=1)


def log_volume(z: Tensor, c: float) -> Tensor:
    """log of the density of the Riemannian volume with respect to that of the coordinates, d log(2 / (1 - c |z|^2))."""
    return z.shape[-1] * torch.log(2 / (1 - c * z.square().sum(-1)))
