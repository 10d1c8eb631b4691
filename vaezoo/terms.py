"""The objective as named per-example terms, in nats."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor


class Terms(Mapping[str, Tensor]):
    r"""Named terms of an objective and their weights; immutable.

    The loss is :math:`\sum_k w_k\, \mathrm{mean}_b\, t_k(b)`. What is reported is always the unweighted term.
    ``rate`` and names that start with ``rate_`` are rates, ``distortion`` is the distortion.

    Args:
        values: each ``[B]`` in nats, or ``[]`` where a term couples the batch.

    Example:
        >>> import torch
        >>> terms = Terms(distortion=torch.tensor([90.0, 110.0]), rate=torch.tensor([20.0, 30.0]))
        >>> terms.weighted(rate=4.0).loss
        tensor(200.)
        >>> terms.weighted(rate=4.0).elbo
        tensor([-110., -140.])
    """

    def __init__(self, **values: Tensor) -> None:
        self._values = values
        self._weights: dict[str, float | Tensor] = {}
        self._means: dict[str, Tensor] | None = None

    def weighted(self, **weights: float | Tensor) -> "Terms":
        """The same terms with new weights; a weight of 0 means reported, not optimised."""
        if unknown := weights.keys() - self._values.keys():
            raise ValueError(f"no term {sorted(unknown)} to weight; the terms are {list(self._values)}")
        other = Terms(**self._values)
        other._weights = {**self._weights, **weights}
        other._means = self._means
        return other

    @property
    def means(self) -> dict[str, Tensor]:
        """Batch mean of each raw term, ``[]`` each."""
        if self._means is not None:
            return self._means
        means = {name: value.mean() if value.ndim else value for name, value in self._values.items()}
        if torch.is_grad_enabled():  # means without a graph would give the loss no gradient
            self._means = means
        return means

    @property
    def loss(self) -> Tensor:
        """The minimised scalar, ``[]``."""
        total = None
        for name, mean in self.means.items():
            weight = self._weights.get(name, 1.0)
            if isinstance(weight, float | int):
                if weight == 0:
                    continue
                part = mean if weight == 1 else weight * mean
            else:
                part = weight * mean
            total = part if total is None else total + part
        if total is None:
            raise ValueError(f"every term has weight 0: {list(self._values)}")
        return total

    @property
    def rates(self) -> list[str]:
        """Names of the rate terms."""
        return [name for name in self._values if name == "rate" or name.startswith("rate_")]

    @property
    def elbo(self) -> Tensor | None:
        """``-(distortion + rates)``, ``[B]`` nats at weight 1; None where there is no rate or no distortion."""
        if "distortion" not in self._values or not self.rates:
            return None
        return -(self["distortion"] + sum(self[name] for name in self.rates))

    def __getitem__(self, name: str) -> Tensor:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        means = {name: mean.detach().item() for name, mean in self.means.items()}
        return "Terms(" + ", ".join(f"{k}={v:.4g}" for k, v in means.items()) + ")"
