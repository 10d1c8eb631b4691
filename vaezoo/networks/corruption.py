"""The corruptions that denoising models undo."""

from typing import Literal, get_args

from torch import Tensor

from vaezoo.distributions import noise
from vaezoo.errors import UsageError, near

Kind = Literal["gaussian", "masking"]


def corrupt(x: Tensor, kind: Kind, amount: float) -> Tensor:
    r"""x with noise added, or with a share of its values set to 0.

    .. math:: \tilde x = x + \sigma\,\epsilon,\ \epsilon \sim N(0, I)\qquad\text{or}\qquad
              \tilde x_j = x_j m_j,\ P(m_j = 0) = \nu

    What is kept is not scaled up by 1/(1 - nu), as dropout would. An amount of 0 returns x itself and draws nothing.

    Args:
        x: data, ``[B, *event]``.
        kind: ``gaussian`` or ``masking``.
        amount: standard deviation sigma >= 0 in the unit of x, or share nu in [0, 1] of the values that are lost.

    Source: Vincent et al., JMLR 11 (2010), section 3.3.
    """
    if amount == 0:
        return x
    if kind == "gaussian":
        return x + amount * noise.normal(x.shape, like=x, batch=0)
    return x * (noise.uniform(x.shape, like=x, batch=0) >= amount)


def check(kind: Kind, amount: float) -> None:
    """Refuses what :func:`corrupt` cannot do.

    Raises:
        UsageError: the kind is unknown, or the amount is negative, or above 1 for masking.
    """
    if kind not in get_args(Kind):
        kinds = get_args(Kind)
        raise UsageError(f"variant.corruption={kind} must be one of {', '.join(kinds)}{near(kind, kinds)}")
    if amount < 0 or (kind == "masking" and amount > 1):
        allowed = "in [0, 1], the share of values set to 0" if kind == "masking" else ">= 0, a standard deviation"
        raise UsageError(f"variant.amount={amount} with variant.corruption={kind} must be {allowed}")
