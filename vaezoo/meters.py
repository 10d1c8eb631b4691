"""Running means of raw terms, in nats."""

from collections import defaultdict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaezoo.terms import Terms

if TYPE_CHECKING:
    from vaezoo.variant import Variant


class NotFiniteError(FloatingPointError):
    """A term of the objective became NaN or infinite."""


class Meters:
    """Collects raw terms: for training since the last flush, for held-out data over the split.

    A training step appends what the loss has computed anyway; tensors are read only when the window is flushed.
    """

    def __init__(self) -> None:
        self._window: dict[str, list[Tensor]] = defaultdict(list)
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self.flushed = 0  # batches seen at the last flush
        self.latest: dict[str, float] = {}

    def train(self, terms: Terms, loss: Tensor, prefix: str = "") -> None:
        """Adds one training batch."""
        for name, mean in terms.means.items():
            self._window[prefix + name].append(mean.detach())
        self._window[prefix + "loss"].append(loss.detach())

    def flush(self, model: "Variant") -> None:
        """Means over the window since the last flush, to the loggers as ``train/...``.

        Raises:
            NotFiniteError: a term of the window is NaN or infinite; says which and at which batch.
        """
        window, self._window = self._window, defaultdict(list)
        if not window:
            return
        first, self.flushed = self.flushed, model.batches_seen + 1
        stacked = {name: torch.stack(values).float() for name, values in window.items()}
        means = _mean_over_ranks(torch.stack([values.mean() for values in stacked.values()]))
        if not torch.isfinite(means).all():  # on every process at once, or the others would wait for ever
            what = _first_not_finite(stacked, first, self.flushed) or "a term of another process is not finite"
            raise NotFiniteError(
                f"{what} (epoch {model.current_epoch}); the last good checkpoint is kept."
                " A smaller optimizer.lr or optimizer.clip=1 often helps"
            )
        self.latest = dict(zip(stacked, means.tolist(), strict=True))
        row = {"epoch": model.current_epoch} | {f"train/{name}": value for name, value in self.latest.items()}
        for logger in model.trainer.loggers:
            logger.log_metrics(row, step=self.flushed)

    def held_out(self, terms: Terms, size: int) -> None:
        """Adds one batch of ``size`` held-out examples."""
        for name, mean in {**terms.means, "loss": terms.loss}.items():
            added = mean.detach() * size
            self._sums[name] = self._sums[name] + added if name in self._sums else added
        self._count += size

    def report(self, model: "Variant", split: str) -> None:
        """Means over the split and over all processes, logged as ``val/...`` or ``test/...``."""
        sums, count = self._sums, self._count
        self._sums, self._count = {}, 0
        if not count:
            return
        totals = torch.stack(
            [*(value.float() for value in sums.values()), torch.tensor(float(count), device=model.device)]
        )
        if torch.distributed.is_initialized():
            torch.distributed.all_reduce(totals)
        means = dict(zip(sums, (totals[:-1] / totals[-1]).tolist(), strict=True))
        rates = [value for name, value in means.items() if name == "rate" or name.startswith("rate_")]
        if rates and "distortion" in means:
            means["elbo"] = -(means["distortion"] + sum(rates))
        if not model.trainer.sanity_checking:
            row = {f"{split}/{name}": value for name, value in means.items()}
            fitting = model.trainer.state.fn == "fit"  # then we log at our own step, which train rows have too
            model.log_dict(row, logger=not fitting)
            for logger in model.trainer.loggers if fitting else []:
                logger.log_metrics(row, step=model.batches_seen + 1)


def _first_not_finite(window: dict[str, Tensor], first: int, last: int) -> str:
    for name, values in window.items():
        if len(bad := (~torch.isfinite(values)).nonzero()):
            at = int(bad[0])
            return f"{name} became {values[at].item()} at batch {first + 1 + at * (last - first) // len(values)}"
    return ""


def _mean_over_ranks(means: Tensor) -> Tensor:
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(means)
        means = means / torch.distributed.get_world_size()
    return means
