"""What an invertible map makes of a normal distribution."""

from collections.abc import Callable

from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions.diagonal_normal import DiagonalNormal


class Flowed(Distribution):
    r"""The distribution of z = f(z_0), z_0 ~ N(mean, diag(std^2)), for an invertible f.

    .. math:: \log q(z) = \log q_0(z_0) - \log\left|\det\frac{\partial f}{\partial z_0}\right|

    The z_0 of the last draw is remembered; that of any other z takes the inverse of f, which is slow.

    Args:
        base: q_0, with vectors ``[B, d]``.
        flow: z_0 ``[..., B, d]`` to z ``[..., B, d]`` and log|det df/dz_0| ``[..., B]``.
        inverse: z ``[..., B, d]`` to z_0 ``[..., B, d]``, with its first derivatives.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(
        self,
        base: DiagonalNormal,
        flow: Callable[[Tensor], tuple[Tensor, Tensor]],
        inverse: Callable[[Tensor], Tensor],
    ) -> None:
        self.base, self.flow, self.inverse = base, flow, inverse
        self._last: tuple[Tensor, Tensor, Tensor] | None = None  # a draw, the z_0 it came from, and log|det| there
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """f at the mean of the base, a central value and not the expectation, which has no closed form."""
        return self.flow(self.base.mean)[0]

    @property
    def stddev(self) -> Tensor:
        """That of the base: the scale of a draw before the flow bends it."""
        return self.base.stddev

    @property
    def variance(self) -> Tensor:
        """That of the base."""
        return self.base.variance

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        z_0 = self.base.rsample(sample_shape)
        z, log_det = self.flow(z_0)
        self._last = (z, z_0, log_det)
        return z

    def log_prob(self, value: Tensor) -> Tensor:
        z_0, log_det = self.origin(value)
        return self.base.log_prob(z_0) - log_det

    def origin(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The z_0 ``[..., B, d]`` that ``value`` comes from, and log|det| ``[..., B]`` there."""
        if self._last is not None and value is self._last[0]:  # what the inverse would find
            return self._last[1:]
        z_0 = self.inverse(value)
        return z_0, self.flow(z_0)[1]
