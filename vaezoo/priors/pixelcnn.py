"""The gated PixelCNN as prior of discrete codes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from vaezoo.distributions.autoregressive_codes import AutoregressiveCodes, Choose
from vaezoo.errors import UsageError
from vaezoo.registry import register
from vaezoo.shapes import Shapes


@register(paper="van den Oord et al., NeurIPS 2016, eq. 2 and figure 2", url="https://arxiv.org/abs/1606.05328")
class PixelCNNPrior(nn.Module):
    r"""Codes row by row, each given all those above it and to its left.

    .. math:: p(z|c) = \prod_s \prod_{i} p(z_{s,i} \,|\, z_{s,<i}, z_{<s}, c)

    The layers are causal without masks: their input is shifted by one position, and from then on no convolution looks
    ahead. Where codes have several maps (the stages of a residual quantizer, the groups of a product), map s is drawn
    after the maps before it, which it sees whole; a vector of codes is read as maps of one code each. Every position
    has a learned bias.

    Args:
        shapes: reads ``latent``, the shape of the codes ``(h, w)``, ``(S, h, w)`` or ``(S,)``, ``codes``, K, and
            ``condition``, of a map ``(C, h', w')`` that is resized to the codes, or of a vector.
        channels: width of each layer, >= 1.
        layers: number of gated layers, >= 1; each sees one row further up and one column further left.

    Raises:
        UsageError: a size is below 1, or the latents are no codes in such a shape.

    Source: van den Oord et al., NeurIPS 2016 (arXiv 1606.05328), eq. 2 and figure 2.
    """

    support = "codes"
    needs = ()

    def __init__(self, shapes: Shapes, channels: int = 64, layers: int = 6) -> None:
        super().__init__()
        for name, value in (("channels", channels), ("layers", layers)):
            if value < 1:
                raise UsageError(f"prior.{name}={value} must be >= 1")
        if not shapes.codes or len(shapes.latent) not in (1, 2, 3):
            raise UsageError(f"prior=pixelcnn needs codes of shape (h, w), (S, h, w) or (S,), not {shapes.latent}")
        self.event, self.codes = shapes.latent, shapes.codes
        self.maps = {1: (*self.event, 1, 1), 2: (1, *self.event), 3: self.event}[len(self.event)]  # S, h, w
        s = self.maps[0]
        self.embedding = nn.Embedding(s * self.codes, channels)  # of each map's codes
        self.position = nn.Parameter(torch.zeros(s, channels, *self.maps[1:]))
        self.before: nn.Module | None = None  # reads the maps before
        if s > 1:
            twice = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
            self.before = nn.Sequential(twice[0], nn.ReLU(), twice[1])
        self.condition = nn.Conv2d(shapes.condition[0], channels, 3, padding=1) if shapes.condition else None
        self.layers = nn.ModuleList(GatedLayer(channels) for _ in range(layers))
        self.out = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(s * channels, s * channels, 1, groups=s),
            nn.ReLU(),
            nn.Conv2d(s * channels, s * self.codes, 1, groups=s),
        )

    def forward(self, q_of: Callable[[Tensor], Distribution], c: Tensor | None = None) -> AutoregressiveCodes:
        """p(z), or p(z|c) for conditions ``c [B, *condition]``."""
        return AutoregressiveCodes(self.logits, self.scan, self.event, self.position, c)

    def logits(self, codes: Tensor, c: Tensor | None = None) -> Tensor:
        """Logits ``[N, K, *event]`` of each code given those before it, of ``codes [N, *event]``."""
        s = self.maps[0]
        offsets = self.codes * torch.arange(s, device=codes.device).view(-1, 1, 1)
        e = self.embedding(codes.reshape(-1, *self.maps) + offsets).movedim(-1, 2)  # [N, S, C, h, w]
        known = self._known(F.pad(e[:, :-1], (0, 0, 0, 0, 0, 0, 1, 0)).cumsum(1), c)  # sums over the maps before
        v = (F.pad(e, (0, 0, 1, -1)) + known).flatten(0, 1)  # the code above, [N S, C, h, w]
        h = (F.pad(e, (1, -1)) + known).flatten(0, 1)  # the code to the left
        for layer in self.layers:
            v, h = layer(v, h)
        out = single(self.out(h.reshape(len(codes), -1, *h.shape[2:])))  # [N, S K, h, w]
        return out.unflatten(1, (s, self.codes)).transpose(1, 2).reshape(len(codes), self.codes, *self.event)

    def scan(self, n: int, choose: Choose, c: Tensor | None = None) -> None:
        """Hands the logits ``[N, K]`` of each code i in turn to ``choose(i, logits)``, which returns the codes ``[N]``.

        The same logits as above at the cost of one pass in all: each layer keeps the row above and the code before.
        """
        maps, rows, columns = self.maps
        layers: list[Any] = list(self.layers)
        earlier = self.position.new_zeros(n, 1, *self.position.shape[1:])
        for s in range(maps):
            known = self._known(earlier, c, s)[:, 0]  # [N, C, h, w]
            drawn = torch.zeros_like(known)
            over = [torch.zeros_like(known[:, :, :1]) for _ in layers]  # what each layer read in the row above
            for row in range(rows):
                v = known[:, :, row : row + 1] + (drawn[:, :, row - 1 : row] if row else 0)
                links = []
                for k, layer in enumerate(layers):
                    above = layer.up(F.pad(torch.cat([over[k], v], 2), (1, 1)))
                    links.append(layer.link(above))
                    over[k], v = v, v + gated(above)
                before = [torch.zeros_like(v[..., :1]) for _ in layers]  # what each layer read one code before
                for column in range(columns):
                    h = known[:, :, row : row + 1, column : column + 1]
                    h = h + (drawn[:, :, row : row + 1, column - 1 : column] if column else 0)
                    for k, layer in enumerate(layers):
                        beside = layer.left(torch.cat([before[k], h], 3)) + links[k][..., column : column + 1]
                        before[k], h = h, h + layer.back(gated(beside))
                    code = choose((s * rows + row) * columns + column, self._head(h, s))
                    drawn[:, :, row, column] = self.embedding(code + s * self.codes)
            earlier = earlier + drawn.unsqueeze(1)

    def _known(self, earlier: Tensor, c: Tensor | None, s: int | None = None) -> Tensor:
        """What the layers know of each position beside its neighbours, ``[N, S, C, h, w]``, or that of map s alone."""
        known = self.position if s is None else self.position[s : s + 1]
        if self.before is not None:
            known = known + self.before(earlier.flatten(0, 1)).unflatten(0, (len(earlier), -1))
        if self.condition is not None and c is not None:
            picture = c.reshape(*c.shape[:2], *(c.shape[2:] or (1, 1)))
            known = known + self.condition(F.interpolate(picture, self.maps[1:])).unsqueeze(1)
        return known.expand(len(earlier), *known.shape[-4:])

    def _head(self, h: Tensor, s: int) -> Tensor:
        """Logits ``[N, K]`` of a code of map s from what the last layer made of it, ``[N, C, 1, 1]``."""
        for name in ("1", "3"):
            weight, bias = (each.chunk(self.maps[0])[s] for each in self.out.get_submodule(name).parameters())
            h = F.conv2d(h.relu(), weight, bias)
        return single(h.flatten(1))


class GatedLayer(nn.Module):
    r"""One step of the two stacks: v looks up and to both sides, h to the left, and h reads v.

    .. math:: y = \tanh(W_f * x) \odot \sigma(W_g * x)

    Args:
        channels: width of either stack.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.up = nn.Conv2d(channels, 2 * channels, (2, 3))
        self.left = nn.Conv2d(channels, 2 * channels, (1, 2))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.back = nn.Conv2d(channels, channels, 1)

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Maps v and h, ``[N, C, h, w]`` each, to the same shapes."""
        above = self.up(F.pad(v, (1, 1, 1, 0)))
        beside = self.left(F.pad(h, (1, 0))) + self.link(above)
        return v + gated(above), h + self.back(gated(beside))


def gated(x: Tensor) -> Tensor:
    """tanh of one half of the channels times the sigmoid of the other, ``[N, C, h, w]`` of ``[N, 2 C, h, w]``."""
    values, gates = x.chunk(2, 1)
    return values.tanh() * gates.sigmoid()


def single(logits: Tensor) -> Tensor:
    """The logits in single precision at least: densities need it under autocast."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))
