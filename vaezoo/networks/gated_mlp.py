"""Fully connected networks with gates."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.functional import glu

from vaezoo.networks.layers import flat_size, joined, refuse_grid, widths
from vaezoo.shapes import Shapes


class GatedLinear(nn.Module):
    r"""One gated layer, :math:`h = (Wx + b) \odot \sigma(Vx + c)`, as a single product of double width.

    Source: Tomczak & Welling, "VAE with a VampPrior", AISTATS 2018, section 5.1.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.both = nn.Linear(inputs, 2 * outputs)  # [W; V]

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``[N, inputs]`` to ``[N, outputs]``."""
        return glu(self.both(x), dim=-1)


def stack(inputs: int, hidden: Sequence[int]) -> nn.Sequential:
    """Gated layers of the given widths; no layer at all is the identity."""
    return nn.Sequential(*(GatedLinear(a, b) for a, b in zip([inputs, *hidden], hidden, strict=False)))


class Encoder(nn.Module):
    """Gated dense layers from the flattened x, joined with the flattened c, to a feature vector.

    Args:
        shapes: sizes of the data, the latent and the condition; the latent is not a grid.
        hidden: width of each layer, first the one that reads x.

    Raises:
        UsageError: a width is below 1 or the latent is a grid.
    """

    def __init__(self, shapes: Shapes, hidden: tuple[int, ...] = (300, 300)) -> None:
        super().__init__()
        refuse_grid(shapes.latent, "gated_mlp")
        inputs = flat_size(shapes.event, shapes.condition)
        self.layers = stack(inputs, widths("encoder.hidden", hidden))
        self.features = ([inputs, *hidden][-1],)

    def forward(self, x: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps x ``[N, *event]`` and c ``[N, *condition]`` to ``[N, F]``."""
        return self.layers(joined(x, c))


class Decoder(nn.Module):
    """Gated dense layers from the flattened z, joined with the flattened c, to a feature vector.

    Args:
        shapes: sizes of the latent and the condition.
        hidden: width of each layer, first the one that reads z.

    Raises:
        UsageError: a width is below 1.
    """

    def __init__(self, shapes: Shapes, hidden: tuple[int, ...] = (300, 300)) -> None:
        super().__init__()
        inputs = flat_size(shapes.latent, shapes.condition)
        self.layers = stack(inputs, widths("decoder.hidden", hidden))
        self.features = ([inputs, *hidden][-1],)

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Maps z ``[N, *latent]`` and c ``[N, *condition]`` to ``[N, F]``."""
        return self.layers(joined(z, c))
