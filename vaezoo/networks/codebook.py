"""A codebook: nearest neighbours, and how its vectors follow what they stand for."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaezoo.distributions import noise
from vaezoo.errors import UsageError

LLOYD = 10  # steps of k-means before training
SEEDING = 4096  # inputs among which k-means++ chooses; at least four times the codes


class Codebook(nn.Module):
    r"""K vectors, of which each input is given the nearest.

    .. math:: z(v) = \arg\min_k \|v - e_k\|^2

    With ``update="ema"`` the vectors are running means of their inputs, which no gradient moves: a batch in which code
    k stands for n_k inputs gives

    .. math:: N_k \leftarrow \gamma N_k + (1 - \gamma) n_k,\quad m_k \leftarrow \gamma m_k + (1 - \gamma)
              \sum_{v: z(v) = k} v,\quad e_k = m_k / \tilde N_k,\quad
              \tilde N_k = \frac{N_k + \epsilon}{\sum_j N_j + K \epsilon} \sum_j N_j

    With ``"loss"`` they are parameters, moved by the penalty :math:`\|\mathrm{sg}[v] - e\|^2`. In either way a code
    whose N falls below ``revive`` times the mean of N is dead and starts anew from a random input of the batch, with
    the mean as its N. Statistics are those of all processes, so the codebooks of these stay equal.

    Args:
        codes: K, >= 1.
        size: dimensions of a vector, >= 1.
        update: ``ema`` or ``loss``.
        decay: gamma, in [0, 1).
        revive: share of the mean N below which a code is dead, in [0, 1); 0 revives none.
        smoothing: Laplace smoothing epsilon, in inputs, >= 0.

    Raises:
        UsageError: an argument is out of range.

    Source: van den Oord et al., NeurIPS 2017 (arXiv 1711.00937), eq. 1 and appendix A.1.
    """

    counts: Tensor
    sums: Tensor

    def __init__(
        self,
        codes: int,
        size: int,
        update: Literal["ema", "loss"] = "ema",
        decay: float = 0.99,
        revive: float = 0.1,
        smoothing: float = 1e-5,
    ) -> None:
        super().__init__()
        if codes < 1:
            raise UsageError(f"posterior.codes={codes} must be >= 1")
        if update not in ("ema", "loss"):
            raise UsageError(f"posterior.update={update!r} must be ema or loss")
        for name, value in (("decay", decay), ("revive", revive)):
            if not 0 <= value < 1:
                raise UsageError(f"posterior.{name}={value} must be in [0, 1)")
        self.learned, self.decay, self.revive, self.smoothing = update == "loss", decay, revive, smoothing
        vectors = torch.randn(codes, size) / size**0.5
        self.vectors = nn.Parameter(vectors) if self.learned else nn.Buffer(vectors)  # e, [K, d]
        self.register_buffer("counts", torch.ones(codes))  # N, [K]
        self.register_buffer("sums", vectors.clone())  # m, [K, d]
        self._seen: tuple[Tensor, Tensor] | None = None

    def forward(self, v: Tensor) -> Tensor:
        """Codes, long ``[*]``, of ``v [*, d]``; in train mode :meth:`move` will follow them."""
        rows = v.detach().reshape(-1, v.shape[-1])
        codes = self.nearest(rows)
        if self.training:
            self._seen = rows, codes
        return codes.view(v.shape[:-1])

    @torch.no_grad()
    def nearest(self, rows: Tensor) -> Tensor:
        """Codes, long ``[n]``, of ``rows [n, d]``: one product of matrices, in float32 at least."""
        e = self.vectors.to(torch.promote_types(self.vectors.dtype, torch.float32))
        with torch.autocast(e.device.type, enabled=False):
            return torch.addmm(e.square().sum(1), rows.to(e.dtype), e.T, alpha=-2).argmin(1)

    def look_up(self, codes: Tensor) -> Tensor:
        """The vectors e, ``[*, d]``, of codes ``[*]``."""
        return F.embedding(codes, self.vectors)

    def penalties(self, v: Tensor, e: Tensor) -> dict[str, Tensor]:
        """``commitment``, ``|v - sg[e]|^2``, and with ``update="loss"`` ``codebook``, ``|sg[v] - e|^2``.

        Squares are summed over the dimensions and averaged over the positions, as in the paper: ``[B]`` from v and e
        ``[B, P, d]``.
        """
        found = {"commitment": (v - e.detach()).square().sum(-1).mean(-1)}
        if self.learned:
            found["codebook"] = (v.detach() - e).square().sum(-1).mean(-1)
        return found

    @torch.no_grad()
    def fit(self, v: Tensor) -> None:
        """Starts the vectors from the means of k-means over ``v [*, d]``, each with the share of its inputs as N / K.

        The means start from k-means++ (Arthur and Vassilvitskii, SODA 2007) over ``SEEDING`` of the inputs. Codes in
        excess of the inputs start equal to others, and are revived later.
        """
        from sklearn.cluster import kmeans_plusplus

        rows, k = v.detach().reshape(-1, v.shape[-1]), len(self.vectors)
        seed = int(noise.uniform((), rows.double()) * 2**32)
        order = noise.uniform((len(rows),), rows).argsort()[: max(SEEDING, 4 * k)]
        _, first = kmeans_plusplus(rows[order].double().cpu().numpy(), min(k, len(order)), random_state=seed)
        chosen = order[torch.from_numpy(first).to(rows.device)]
        self.vectors.copy_(rows[chosen[torch.arange(k, device=rows.device) % len(chosen)]])
        for _ in range(LLOYD):
            counts, sums = self._statistics(rows, self.nearest(rows))
            self.vectors.copy_(torch.where(counts > 0, sums / counts.clamp(min=1), self.vectors))
        self.counts.copy_(counts.squeeze(1) * (k / len(rows)))
        self.sums.copy_(self.counts.unsqueeze(1) * self.vectors)

    @torch.no_grad()
    def move(self) -> None:
        """Follows the last batch, over all processes."""
        if self._seen is None:
            return
        (rows, codes), self._seen = self._seen, None
        size = rows.shape[1]
        counts, sums, drawn = _over_processes(torch.cat([*self._statistics(rows, codes), self._drawn(rows)], 1)).split(
            [1, size, size], 1
        )
        self.counts.lerp_(counts.squeeze(1), 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        total = self.counts.sum()
        mean = total / len(self.counts)
        dead = self.counts < self.revive * mean
        self.counts.copy_(torch.where(dead, mean, self.counts))
        dead = dead.unsqueeze(1)
        self.sums.copy_(torch.where(dead, mean * drawn, self.sums))
        moved = self.vectors if self.learned else self.sums / self.smoothed().unsqueeze(1)
        self.vectors.copy_(torch.where(dead, drawn, moved))

    def smoothed(self) -> Tensor:
        """N with Laplace smoothing, ``[K]``; the sum stays."""
        total = self.counts.sum()
        return (self.counts + self.smoothing) * (total / (total + len(self.counts) * self.smoothing))

    def _statistics(self, rows: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """How many inputs each code stands for ``[K, 1]``, and their sums ``[K, d]``."""
        sums = torch.zeros_like(self.sums).index_add_(0, codes, rows.to(self.sums.dtype))
        ones = sums.new_ones(len(codes), 1)
        return sums.new_zeros(len(sums), 1).index_add_(0, codes, ones), sums

    def _drawn(self, rows: Tensor) -> Tensor:
        """K random inputs of all processes, ``[K, d]``: those that are here, and zeros in place of the others."""
        rank, world = noise.place()
        n = len(rows)
        u = noise.uniform((len(self.sums),), self.sums)  # equal in all processes
        at = (u * (n * world)).long().clamp(max=n * world - 1) - rank * n
        here = ((at >= 0) & (at < n)).unsqueeze(1)
        return torch.where(here, rows[at.clamp(0, n - 1)].to(self.sums.dtype), torch.zeros_like(self.sums))


def _over_processes(x: Tensor) -> Tensor:
    if noise.place()[1] > 1:
        torch.distributed.all_reduce(x)
    return x
