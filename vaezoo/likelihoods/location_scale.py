"""The mean and log-scale that Gaussian, Laplace and logistic likelihoods share."""

from math import exp, expm1, log

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaezoo.errors import UsageError, near
from vaezoo.likelihoods.head import Head, start_mean
from vaezoo.shapes import Shapes

MARGIN = 0.01  # a squashed mean starts this far inside [0, 1], where the sigmoid still has a slope


class LocationScale(nn.Module):
    r"""A mean and a log-scale for every value of an example.

    A learned log-scale is :math:`l + \mathrm{softplus}(r - l)` of an unbounded r, so that it stays above l.

    Args:
        shapes: sizes of the model.
        scale: one of ``options``: ``fixed``; ``optimal``, held in ``log_scale`` for the owner to set; ``shared``, one
            learned number; ``pixel``, given by the decoder for every value.
        start: the fixed scale, or where the others start, in units of x, > exp(least).
        bounded: squash the mean into [0, 1].
        least: lower bound l of a scale that is not fixed, as a logarithm.
        options: what ``scale`` may be.

    Raises:
        UsageError: scale is unknown, start is out of range, or bounded is asked for real data.
    """

    log_scale: Tensor

    def __init__(
        self,
        shapes: Shapes,
        scale: str,
        start: float,
        bounded: bool,
        least: float,
        options: tuple[str, ...] = ("fixed", "shared", "pixel"),
    ) -> None:
        super().__init__()
        if scale not in options:
            known = ", ".join(options)
            raise UsageError(f"likelihood.scale={scale} is unknown{near(scale, options)} (options: {known})")
        lowest = 0.0 if scale == "fixed" else exp(least)
        if not start > lowest:
            raise UsageError(f"the scale of the likelihood starts at {start} and must start above {lowest:.3g}")
        if bounded and shapes.support == "real":
            raise UsageError("likelihood.bounded=true squashes the mean into [0, 1] and the data are real")
        self.bounded, self.least, self.scale = bounded, least, scale
        self.event_dims = len(shapes.event)
        location = start_mean(shapes, MARGIN).logit() if bounded else start_mean(shapes)
        if scale in ("fixed", "optimal"):
            self.register_buffer("log_scale", torch.tensor(log(start)))
            self.head = Head(shapes, [location])
            return
        raw = torch.tensor(least + log(expm1(log(start) - least)))
        if scale == "shared":
            self.raw = nn.Parameter(raw)
            self.head = Head(shapes, [location])
        else:
            self.head = Head(shapes, [location, raw.expand_as(location)])

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean ``[*lead, *event]`` and log-scale, the same or ``[]``, from features ``[*lead, *features]``."""
        out = self.head(h).unbind(self.head.dim)
        mean = out[0].sigmoid() if self.bounded else out[0]
        if self.scale in ("fixed", "optimal"):
            return mean, self.log_scale
        raw = self.raw if self.scale == "shared" else out[1]
        return mean, self.least + F.softplus(raw - self.least)


def is_bounded(bounded: bool | None, shapes: Shapes) -> bool:
    """The user's choice; without one, whether the data lie in [0, 1]."""
    return shapes.support != "real" if bounded is None else bounded
