"""What a map makes of a normal distribution, with a density that is known for its own samples."""

from collections.abc import Callable

from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size

from vaezoo.distributions.diagonal_normal import DiagonalNormal


class Flowed(Distribution):
    r"""The distribution of z = f(z_0), z_0 ~ N(mean, diag(std^2)), for an invertible f whose inverse is not known.

    .. math:: \log q(z) = \log q_0(z_0) - \log\left|\det\frac{\partial f}{\partial z_0}\right|

    Args:
        base: q_0, with vectors ``[B, d]``.
        flow: z_0 ``[..., B, d]`` to z ``[..., B, d]`` and log|det df/dz_0| ``[..., B]``.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, base: DiagonalNormal, flow: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        self.base, self.flow = base, flow
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
        """log q ``[..., B]`` of the tensor that was drawn last.

        Raises:
            ValueError: ``value`` is another tensor.
        """
        z_0, log_det = self.origin(value)
        return self.base.log_prob(z_0) - log_det

    def origin(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The z_0 ``[..., B, d]`` that the tensor drawn last came from, and log|det| ``[..., B]`` there.

        Raises:
            ValueError: ``value`` is another tensor.
        """
        if self._last is None or value is not self._last[0]:
            raise ValueError("the density of a flow is known at the tensor that its last rsample or sample returned")
        return self._last[1:]
