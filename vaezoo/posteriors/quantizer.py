"""What the quantizers share: from features to vectors, from vectors to codes."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from vaezoo.distributions.codes import Codes
from vaezoo.posteriors.head import head
from vaezoo.shapes import Shapes

Quantised = tuple[Tensor, Tensor, dict[str, Tensor]]  # codes [B, G, P], their embedding [B, P, d], penalties


class Quantizer(nn.Module, ABC):
    r"""Posteriors that are point masses on codes: :math:`v = \mathrm{head}(h)`, then one code or more for each vector.

    A grid latent ``(d, h, w)`` has a vector at each of h x w positions, a latent ``(d,)`` has a single vector. The head
    is linear for vector features and a 1x1 convolution for grids.

    Args:
        shapes: reads ``features`` and ``latent``.
        channels: dimensions d of a vector.
        codes: K, the number of values of a code.
        books: codes of a vector, which then are the first dimension of the array of codes; None for one, without it.

    Raises:
        UsageError: the grid of the features is not that of the latent.
    """

    support = "codes"
    density = "own"
    factorised = False
    deterministic = True
    gives: ClassVar[tuple[str, ...]] = ()  # penalties that a variant may weigh

    def __init__(self, shapes: Shapes, channels: int, codes: int, books: int | None = None) -> None:
        super().__init__()
        grid = shapes.latent[1:]
        self.codes, self.books = codes, books or 1
        self.event = (books, *grid) if books else grid or (1,)
        self.embedded = (channels, *grid)
        self.head = head(shapes, self.embedded)

    @abstractmethod
    def quantise(self, v: Tensor) -> Quantised:
        """Codes ``[B, G, P]``, embedding ``[B, P, d]`` and penalties of ``v [B, P, d]``: G codes at P positions."""

    @abstractmethod
    def look_up(self, codes: Tensor) -> Tensor:
        """The embedding ``[*, P, d]`` of codes ``[*, G, P]``."""

    def fit(self, h: Tensor) -> None:
        """Data-dependent start from features ``h [N, *features]``; by default none."""

    def vectors(self, h: Tensor) -> Tensor:
        """What is quantised, ``[B, *embedded]``, of features ``h [B, *features]``."""
        dtype = self.head.weight.dtype  # undoes autocast: neighbours need the precision
        return self.head(h).to(dtype).reshape(-1, *self.embedded)

    def forward(self, h: Tensor) -> Codes:
        """q(z|x) of features ``h [B, *features]``."""
        v = self.vectors(h)
        with torch.autocast(v.device.type, enabled=False):
            codes, e, penalties = self.quantise(self.rows(v))
        return Codes(codes.reshape(-1, *self.event), self.arranged(e), v, penalties)

    def embed(self, z: Tensor) -> Tensor:
        """What the decoder reads, ``[*, *embedded]``: of codes their embedding; a floating z is one already."""
        if z.is_floating_point():
            return z
        lead = z.shape[: z.ndim - len(self.event)]
        return self.arranged(self.look_up(z.reshape(*lead, self.books, -1)))

    def rows(self, v: Tensor) -> Tensor:
        """One row per position, ``[B, P, d]``, of ``v [B, *embedded]``."""
        return v.flatten(2).transpose(1, 2) if v.ndim > 2 else v.unsqueeze(1)

    def arranged(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`, for any leading dimensions."""
        return rows.transpose(-2, -1).reshape(*rows.shape[:-2], *self.embedded)
