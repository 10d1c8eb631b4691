"""From a decoder's features to the parameters of p(x|z)."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError
from vaezoo.shapes import Shapes


class Head(nn.Module):
    """One affine map to the parameters of every value of an example.

    A 1x1 convolution where features and event are both grids of the same height and width, else a dense layer.

    Args:
        shapes: ``features`` and ``event`` are read.
        starts: for each parameter of a value, what it is before training where h = 0, ``[*event]``; a convolution
            starts from the average over positions. One tensor in place of a list: the parameter has no dimension.

    Raises:
        UsageError: features and event are grids of different sizes.
    """

    def __init__(self, shapes: Shapes, starts: Sequence[Tensor] | Tensor) -> None:
        super().__init__()
        features, event = shapes.features, shapes.event
        bias = starts.unsqueeze(0) if isinstance(starts, Tensor) else torch.stack(list(starts))  # [parameters, *event]
        self.features, self.outputs = features, event if isinstance(starts, Tensor) else tuple(bias.shape)
        self.dim = -1 - len(event)  # dimension of the output that counts parameters
        self.layer: nn.Linear | nn.Conv2d
        if len(features) == 3 and len(event) == 3:
            if features[1:] != event[1:]:
                raise UsageError(f"the decoder ends in a grid of {features[1:]} and the data are {event[1:]} pictures")
            self.layer = nn.Conv2d(features[0], len(bias) * event[0], 1)
            bias = bias.mean((-2, -1))
        else:
            self.layer = nn.Linear(prod(features), bias.numel())
        assert self.layer.bias is not None
        with torch.no_grad():
            self.layer.bias.copy_(bias.flatten())

    def forward(self, h: Tensor) -> Tensor:
        """Parameters from features ``[*lead, *features]``.

        Returns:
            ``[*lead, parameters, *event]``, at least float32; ``[*lead, *event]`` where ``starts`` is one tensor.
        """
        lead = h.shape[: h.ndim - len(self.features)]
        h = h if len(lead) == 1 else h.reshape(-1, *self.features)
        out = self.layer(h if isinstance(self.layer, nn.Conv2d) else h.flatten(1))
        out = out.float() if out.dtype.itemsize < 4 else out  # densities are float32 under autocast
        return out.reshape(*lead, *self.outputs)


def start_mean(shapes: Shapes, margin: float = 0.0) -> Tensor:
    """The mean training example at the head's resolution, ``[*event]``; the middle of the range without one.

    Args:
        shapes: ``mean``, ``range``, ``features`` and ``event`` are read.
        margin: least distance from the ends of the range.
    """
    low, high = shapes.range
    mean = torch.full(shapes.event, (low + high) / 2) if shapes.mean is None else shapes.mean.detach().float().cpu()
    if len(shapes.features) == 3 and len(shapes.event) == 3:
        mean = mean.mean((-2, -1), keepdim=True).expand(shapes.event)
    return mean.clamp(low + margin, high - margin)
