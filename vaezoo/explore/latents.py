"""What can be moved in a latent, and how far."""

from typing import Any

import torch
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.distributions import noise
from vaezoo.distributions.poincare_ball import EDGE
from vaezoo.errors import UsageError
from vaezoo.estimators import rate
from vaezoo.evaluate.undefined import undefined
from vaezoo.explore.paths import support_of
from vaezoo.variational import Variational

EXPLORE = 8  # first key of the noise
REACH = 3.0  # standard deviations of the codes that a slider goes to either side
STEPS = 120  # of a slider
ACTIVE = 0.01  # variance of the posterior mean, as of active units
MOST = 512  # sliders


class Latents:
    """The dimensions of a latent vector, or the choices of a one-hot latent, the most informative first.

    Args:
        model: any variant with a decoder, in eval mode.
        batch: examples that show where codes lie, where the model is.
        c: their conditions, ``[B, *condition]``.

    Raises:
        UsageError: the latent has no dimensions that could be moved one by one.
    """

    def __init__(self, model: Any, batch: Batch, c: Tensor | None) -> None:
        self.model, self.support = model, support_of(model)
        _check(model, batch)
        means = model.encode(batch.x, c)
        self.shape, self.like = means.shape[1:], means
        with noise.seeded(EXPLORE):
            z = _drawn(model, batch.x, c)
        importance = self._importance(batch, c, means)
        order = importance.argsort(descending=True).tolist()
        self.dimensions = [self._dimension(i, importance, means, z) for i in order]

    def values(self, z: Tensor) -> list[float]:
        """A latent as numbers: its coordinates, or the number of each choice."""
        if self.support == "one-hot":
            return z.argmax(-1).tolist()
        return (self.model.posterior.embed(z) if self.support == "sphere" else z).tolist()

    def latent(self, values: list[float], moved: int | None = None) -> Tensor:
        """The inverse of `values`, brought back to where latents live, ``[*latent]``.

        Args:
            values: one number per dimension or choice.
            moved: the dimension that was moved last; on the sphere the others give way to it.

        Raises:
            UsageError: the numbers are too few or too many, or not finite, or no such choice exists.
        """
        if not isinstance(values, list) or len(values) != self.shape[0]:
            raise UsageError(f"latent must be a list of {self.shape[0]} numbers")
        if not all(isinstance(v, int | float) and abs(v) < 1e6 for v in values):
            raise UsageError("latent must hold finite numbers below 1e6")
        if moved is not None and moved not in range(len(values)):
            raise UsageError(f"moved={moved} must be below {len(values)}")
        if self.support == "one-hot":
            if any(v not in range(self.shape[1]) for v in values):
                raise UsageError(f"latent must hold choices below {self.shape[1]}")
            return torch.eye(self.shape[1]).to(self.like)[[int(v) for v in values]]
        z = torch.tensor(values).to(self.like)
        if self.support == "sphere":
            return _on_sphere(z, moved)
        if self.support == "ball":
            radius = self.model.posterior.curvature**-0.5 * (1 - EDGE)
            return z * (radius / z.norm().clamp(min=radius))
        return z

    def _importance(self, batch: Batch, c: Tensor | None, means: Tensor) -> Tensor:
        """What dimensions are sorted by, ``[d]``; sets `ranked_by` and `kl`."""
        reason = undefined(self.model, batch, 0).get("kl_per_dimension")
        self.kl = reason is None
        if reason:
            self.ranked_by = f"Sorted by the variance of the codes, for there is no KL per dimension ({reason})."
            return means.var(0).flatten(1).sum(1) if means.ndim > 2 else means.var(0)
        self.ranked_by = f"Sorted by the KL of each, in nats, over {len(means):,} test examples."
        with noise.seeded(EXPLORE):
            ((q, p, z),) = self.model.latents(batch.x, c)
        return rate(q, p, z, per_dim=True).mean(0).flatten()

    def _dimension(self, i: int, importance: Tensor, means: Tensor, z: Tensor) -> dict[str, Any]:
        active = means[:, i].var(0).max().item() > ACTIVE or not isinstance(self.model, Variational)
        found = {"index": i, "active": active, "kl": importance[i].item() if self.kl else None}
        if self.support == "one-hot":
            return {**found, "low": 0, "high": self.shape[1] - 1, "step": 1}
        if self.support in ("sphere", "ball"):
            high = 1.0 if self.support == "sphere" else self.model.posterior.curvature**-0.5
            return {**found, "low": -high, "high": high, "step": 2 * high / STEPS}
        mean, reach = z[:, i].mean().item(), max(REACH * z[:, i].std().item(), 1e-3)
        return {**found, "low": mean - reach, "high": mean + reach, "step": 2 * reach / STEPS}


def _check(model: Any, batch: Batch) -> None:
    support, latent = support_of(model), model.shapes.latent
    if support == "codes":
        raise UsageError("Latents are codes: change them in the code map.")
    if isinstance(model, Variational):
        with noise.seeded(EXPLORE):
            levels = len(model.latents(batch.x[:1], model.condition(batch)[:1] if model.shapes.condition else None))  # type: ignore[index]
        if levels > 1:
            raise UsageError(f"There are {levels} levels of latents, and sliders move a single one.")
    if len(latent) != (2 if support == "one-hot" else 1):
        raise UsageError(f"A latent of shape {list(latent)} is a grid and has no single dimensions to move.")
    if latent[0] > MOST:
        raise UsageError(f"The latent has {latent[0]} dimensions; sliders are made for at most {MOST}.")


def _drawn(model: Any, x: Tensor, c: Tensor | None) -> Tensor:
    """A sample of q(z|x) for each example, so that their spread is that of q(z), ``[B, *latent]``."""
    return model.q(x, c).sample() if hasattr(model, "q") else model.encode(x, c)


def _on_sphere(z: Tensor, moved: int | None) -> Tensor:
    """The unit vector that keeps coordinate ``moved`` and scales the others; without it, that scales all."""
    if moved is None:
        return torch.nn.functional.normalize(z, dim=0)
    kept = z[moved].clamp(-1, 1)
    others = z.index_fill(0, torch.tensor([moved], device=z.device), 0)
    if others.norm() < 1e-6:
        others = torch.ones_like(z).index_fill(0, torch.tensor([moved], device=z.device), 0)
    others = others / others.norm() * (1 - kept.square()).clamp(min=0).sqrt()
    others[moved] = kept
    return others
