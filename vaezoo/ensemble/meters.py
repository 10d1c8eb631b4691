"""The meters of all members: each writes what a run of its own would write."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from pytorch_lightning.loggers import Logger
from torch import Tensor

from vaezoo.meters import Meters, NotFiniteError
from vaezoo.terms import Terms


class MemberMeters(Meters):
    """One :class:`~vaezoo.meters.Meters` per member; a member with a NaN is reported no more, and the others go on.

    Args:
        loggers: those of each member.
    """

    def __init__(self, loggers: Sequence[Sequence[Logger]]) -> None:
        super().__init__()
        self._loggers = [list(own) for own in loggers]
        self._each = [Meters() for _ in loggers]
        self.failed: dict[int, NotFiniteError] = {}  # by number of the member

    def trained(self, means: Mapping[str, Tensor], losses: Tensor) -> None:
        """Adds one training batch: mean of each raw term and loss of each member, ``[M]``."""
        own = zip(*(values.detach().unbind() for values in means.values()), strict=True)
        for meters, values, loss in zip(self._each, own, losses.detach().unbind(), strict=True):
            meters.train(Terms(**dict(zip(means, values, strict=True))), loss)

    def validated(self, means: Mapping[str, Tensor], losses: Tensor, size: int) -> None:
        """Adds one held-out batch of ``size`` examples, as :meth:`trained`."""
        own = zip(*(values.unbind() for values in means.values()), strict=True)
        for meters, values, loss in zip(self._each, own, losses.unbind(), strict=True):
            terms = Terms(**dict(zip(means, values, strict=True)), loss=loss)
            meters.held_out(terms.weighted(**dict.fromkeys(means, 0.0)), size)

    def flush(self, model: Any) -> None:
        """The window since the last flush, to each member's loggers.

        Raises:
            NotFiniteError: no member is finite any more.
        """
        for number, meters in enumerate(self._each):
            try:
                meters.flush(self._seat(number, model))
            except NotFiniteError as error:
                reason = str(error).partition(";")[0]  # the rest is about checkpoints, of which there are none
                self.failed.setdefault(number, NotFiniteError(reason))
        if len(self.failed) == len(self._each):
            raise self.failed[0]
        alive = [meters.latest for number, meters in enumerate(self._each) if number not in self.failed]
        self.latest = {name: sum(latest[name] for latest in alive) / len(alive) for name in alive[0]}

    def report(self, model: Any, split: str) -> None:
        """Means over the split, to each member's loggers."""
        for number, meters in enumerate(self._each):
            meters.report(self._seat(number, model), split)

    def _seat(self, number: int, model: Any) -> Any:
        """What a member's meters ask of the model that they report on."""
        loggers = [] if number in self.failed else self._loggers[number]
        trainer = SimpleNamespace(loggers=loggers, sanity_checking=False, state=SimpleNamespace(fn="fit"))
        return SimpleNamespace(
            batches_seen=model.batches_seen,
            current_epoch=model.current_epoch,
            device=model.device,
            trainer=trainer,
            log_dict=lambda *row, **options: None,
        )
