"""Codes of which each depends on those before it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional as F
from torch.types import _size

from vaezoo.distributions import noise

LogitsOf = Callable[[Tensor, Tensor | None], Tensor]
Choose = Callable[[int, Tensor], Tensor]
Scan = Callable[[int, Choose, Tensor | None], None]


class AutoregressiveCodes(Distribution):
    r"""Codes in the order in which their array is stored, the logits of each a function of those before it.

    .. math:: \log p(z|c) = \sum_i \log \mathrm{softmax}(a_i(z_{<i}, c))_{z_i}

    Args:
        logits_of: maps codes ``[N, *event]`` and their conditions ``[N, *condition]`` to a, ``[N, K, *event]``.
        scan: goes through the N D codes of N events in order, of whose conditions it is told: it hands each ``i`` and
            its logits ``[N, K]``, those of ``logits_of``, to a function that returns the chosen codes ``[N]``.
        event_shape: shape of one event.
        like: gives dtype and device of the noise.
        context: conditions c, ``[B, *condition]``, which give the batch shape ``[B]``; None for no batch shape.
    """

    arg_constraints: dict = {}  # type: ignore[assignment]

    def __init__(
        self,
        logits_of: LogitsOf,
        scan: Scan,
        event_shape: Sequence[int],
        like: Tensor,
        context: Tensor | None = None,
    ) -> None:
        self.logits_of, self.scan, self.context, self._like = logits_of, scan, context, like
        batch_shape = torch.Size() if context is None else context.shape[:1]
        super().__init__(batch_shape, torch.Size(event_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        lead = value.shape[: value.ndim - len(self._event_shape)]
        codes = value.reshape(-1, *self._event_shape)  # [N, *event]
        each = F.cross_entropy(self.logits_of(codes, self._contexts(lead)), codes, reduction="none")
        return -each.flatten(1).sum(1).reshape(lead)

    @torch.no_grad()
    def sample(self, sample_shape: _size = ()) -> Tensor:
        """Codes drawn one after the other, long ``[*sample_shape, *batch, *event]``."""
        lead = torch.Size((*sample_shape, *self._batch_shape))
        batch = len(sample_shape) if self._batch_shape else None
        u = noise.uniform((*lead, *self._event_shape), self._like, batch).reshape(lead.numel(), -1)
        codes = torch.zeros_like(u, dtype=torch.long)

        def choose(i: int, logits: Tensor) -> Tensor:
            passed = logits.softmax(1).cumsum(1) < u[:, i : i + 1]
            codes[:, i] = passed.sum(1).clamp(max=logits.shape[1] - 1)
            return codes[:, i]

        self.scan(lead.numel(), choose, self._contexts(lead))
        return codes.view(*lead, *self._event_shape)

    def _contexts(self, lead: torch.Size) -> Tensor | None:
        """One condition for each event of a value with these leading dimensions."""
        if self.context is None:
            return None
        each = self.context.shape[1:]
        return self.context.expand(*lead, *each).reshape(-1, *each)
