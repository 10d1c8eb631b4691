"""A distribution that puts everything on one point."""

from torch import Tensor
from torch.distributions import Distribution
from torch.types import _size


class PointMass(Distribution):
    """The code of a deterministic autoencoder: samples and mean are ``value``, there is no density.

    Args:
        value: ``[B, *event]``.
        event_dims: how many trailing dimensions form one event, >= 1.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]
    has_rsample = True

    def __init__(self, value: Tensor, event_dims: int = 1) -> None:
        self.value = value
        super().__init__(value.shape[:-event_dims], value.shape[-event_dims:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def mode(self) -> Tensor:
        return self.value

    @property
    def stddev(self) -> Tensor:
        return self.value.new_zeros(self.value.shape)

    def rsample(self, sample_shape: _size = ()) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)

    def sample(self, sample_shape: _size = ()) -> Tensor:
        return self.rsample(sample_shape).detach()

    def log_prob(self, value: Tensor) -> Tensor:
        """Raises NotImplementedError: rate and likelihood of a deterministic code are undefined."""
        raise NotImplementedError("a point mass has no density, so it has neither a rate nor a likelihood")
