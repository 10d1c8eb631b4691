"""A normal distribution whose standard deviation is the best one for the values that it is asked about."""

from collections.abc import Callable

from torch import Tensor

from vaezoo.distributions.diagonal_normal import DiagonalNormal


class OptimalNormal(DiagonalNormal):
    r"""N(mean, s*^2 I), where s*^2 is the mean squared error of the values whose density is asked for.

    .. math:: -\frac1B \sum_b \log p(x_b) = \frac D2 \left(1 + \log 2\pi s_*^2\right), \quad
        s_*^2 = \frac1{BD} \sum_{b,i} (x_{bi} - \mu_{bi})^2

    ``log_prob`` couples the batch and is no density in x: it is an objective. Samples and ``stddev`` use a held value.
    No gradient flows through s*: at the optimum its share of the gradient is zero.

    Args:
        mean: ``[B, *event]``.
        log_std: held value, as for `DiagonalNormal`.
        event_dims: how many trailing dimensions form one event, >= 1.
        optimum: from the mean squared error ``[]`` to log s* ``[]``.
    """

    def __init__(self, mean: Tensor, log_std: Tensor, event_dims: int, optimum: Callable[[Tensor], Tensor]) -> None:
        super().__init__(mean, log_std, event_dims)
        self.optimum = optimum

    def log_prob(self, value: Tensor) -> Tensor:
        squared_error = (value - self.mean).detach().square().mean()
        return DiagonalNormal(self.mean, self.optimum(squared_error), len(self._event_shape)).log_prob(value)
