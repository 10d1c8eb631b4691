"""The diagonal Gaussian that flows start from."""

from vaezoo.errors import UsageError
from vaezoo.posteriors.diagonal import DiagonalPosterior
from vaezoo.shapes import Shapes


def base_normal(name: str, shapes: Shapes, log_std_min: float, log_std_max: float) -> DiagonalPosterior:
    """The posterior q_0(z_0|x) over vectors.

    Args:
        name: the posterior that asks for it.
        shapes: reads ``features`` ``(F,)`` and ``latent`` ``(d,)``.
        log_std_min: lower bound of log std, nats; a hard clamp.
        log_std_max: upper bound of log std, nats; a hard clamp.

    Raises:
        UsageError: the latent or the features are a grid, or the bounds are not in order.
    """
    if len(shapes.latent) != 1 or len(shapes.features) != 1:
        raise UsageError(f"posterior={name} needs a vector latent, such as latent=20; got latent={shapes.latent}")
    return DiagonalPosterior(shapes, log_std_min, log_std_max)


def checked_steps(steps: int, at_least: int = 1) -> int:
    """The number of steps of a flow.

    Raises:
        UsageError: there are fewer than ``at_least``.
    """
    if steps < at_least:
        raise UsageError(f"posterior.steps={steps} must be >= {at_least}")
    return steps
