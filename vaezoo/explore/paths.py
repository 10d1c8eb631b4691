"""Ways from one latent to another that stay where latents live."""

from collections.abc import Callable
from math import pi
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vaezoo.distributions.poincare_ball import exp_centre, log_centre, mobius_add
from vaezoo.errors import UsageError

NEARLY = 1e-3  # radians


class Way(NamedTuple):
    """Its name, and the function of the ends ``[d]`` and of ``t [n]`` in [0, 1] that gives the points ``[n, d]``."""

    name: str
    points: Callable[[Tensor, Tensor, Tensor], Tensor]


def way(model: Any) -> Way:
    """The way that suits a model's latents.

    Raises:
        UsageError: there is nothing between two of its latents.
    """
    support = support_of(model)
    if support == "real":
        return Way("the straight line", straight)
    if support == "sphere":
        return Way("the great circle", great_circle)
    if support == "ball":
        curvature = model.posterior.curvature
        return Way("the geodesic of the Poincaré ball", lambda a, b, t: geodesic(a, b, t, curvature))
    if support == "one-hot":
        raise UsageError("There is nothing between two choices: latents are one-hot, so move the choices one by one.")
    raise UsageError(f"There is nothing between two latents: they are {support}, so change them one by one.")


def support_of(model: Any) -> str:
    """Where latents live; without a posterior that says so, in R^d."""
    return getattr(getattr(model, "posterior", None), "support", "real")


def straight(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """(1 - t) a + t b, for latents of any shape."""
    return torch.lerp(a, b, t.view(-1, *[1] * a.ndim))


def great_circle(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    r"""Unit vectors at equal angles from a to b, the shorter way.

    .. math:: \frac{\sin((1 - t)\omega)\, a + \sin(t\omega)\, b}{\sin\omega},\quad \cos\omega = \langle a, b\rangle

    Raises:
        UsageError: a and b are opposite, where all great circles are equally short.

    Source: Shoemake, SIGGRAPH 1985.
    """
    angle = torch.atan2((a - b).norm(), (a + b).norm()) * 2
    if angle > pi - NEARLY:
        raise UsageError("These two latents are opposite points of the sphere, between which no way is the shortest.")
    t = t[:, None]
    if angle < NEARLY:
        return torch.nn.functional.normalize(straight(a, b, t[:, 0]), dim=-1)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


def geodesic(a: Tensor, b: Tensor, t: Tensor, c: float) -> Tensor:
    r"""Points of the ball of curvature -c at equal distances from a to b, :math:`a \oplus t \otimes (-a \oplus b)`.

    Source: Ganea et al., NeurIPS 2018 (arXiv 1805.09112), eq. 11.
    """
    start, step = a.double()[None], log_centre(mobius_add(-a.double()[None], b.double()[None], c), c)
    return mobius_add(start, exp_centre(t.double()[:, None] * step, c), c).to(a)
