"""Numbers that change with the progress of training, e.g. the weight of the rate during warm-up."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from vaezoo.errors import UsageError, near

FORMS: dict[str, dict[str, float]] = {
    "constant": {"value": 1.0},
    "linear": {"start": 0.0, "end": 1.0, "begin": 0.0, "until": 1.0},
    "cosine": {"start": 0.0, "end": 1.0, "begin": 0.0, "until": 1.0},
    "cyclical": {"start": 0.0, "end": 1.0, "cycles": 4.0, "ramp": 0.5},
}
EXAMPLE = "{linear:{start:0,end:1,until:0.1}}"


class Schedule(nn.Module):
    r"""A scalar s(t) of the progress t in [0, 1]; ``schedule()`` gives its present value.

    =========  ==============================================================================================
    form       s(t)
    =========  ==============================================================================================
    constant   ``value``
    linear     from ``start`` to ``end`` while t goes from ``begin`` to ``until``, constant outside
    cosine     the same with :math:`(1-\cos \pi r)/2` in place of r
    cyclical   ``cycles`` equal periods, each a linear ramp over the first ``ramp`` of the period, then ``end``
    =========  ==============================================================================================

    A schedule reads nothing but t, so it survives a resume; in evaluation it stands at its end value.

    Args:
        form: one of the forms above.
        arguments: the form's numbers; those left out keep their default.
    """

    value: Tensor

    def __init__(self, form: str = "constant", **arguments: float) -> None:
        super().__init__()
        self.form, self.arguments = form, {**FORMS[form], **arguments}
        self.register_buffer("value", torch.tensor(self.at(1.0)), persistent=False)

    @classmethod
    def of(cls, given: "float | Mapping[str, Any] | Schedule", minimum: float = -math.inf) -> "Schedule":
        """A schedule from a number, from ``{"linear": {"start": 0, "end": 1, "until": 0.1}}`` or from a schedule.

        Raises:
            UsageError: the form or an argument is unknown, or a value lies below ``minimum``.
        """
        if isinstance(given, Schedule):
            return given
        form, arguments = cls.parse(given)
        schedule = cls(form, **arguments)
        lowest = min(schedule.arguments.get(name, math.inf) for name in ("value", "start", "end"))
        if lowest < minimum:
            where = "" if lowest == given else f"; {lowest} is not"
            raise UsageError(f"{given} must be at least {minimum}{where}")
        return schedule

    @classmethod
    def warmup(cls, share: float) -> "Schedule":
        """From 0 to 1 over the first ``share`` of training, in [0, 1]; 1 throughout if ``share`` is 0.

        Raises:
            UsageError: ``share`` is no share.
        """
        if not 0 <= share <= 1:
            raise UsageError(f"warmup={share} must be a share of training, in [0, 1]")
        return cls("linear", until=share) if share else cls("constant", value=1.0)

    @staticmethod
    def parse(given: Any) -> tuple[str, dict[str, float]]:
        """Form and arguments of what a configuration gives; no tensor is touched.

        Raises:
            UsageError: ``given`` is neither a number nor a mapping of one form to its numbers.
        """
        if isinstance(given, Real) and not isinstance(given, bool):
            return "constant", {"value": float(given)}
        if not isinstance(given, Mapping) or len(given) != 1:
            raise UsageError(f"expected a number or a schedule such as {EXAMPLE}, got {given!r}")
        (form, arguments), *_ = given.items()
        if form not in FORMS:
            raise UsageError(f"{form!r} is no schedule; there are {', '.join(FORMS)}{near(form, FORMS)}")
        for name, value in (arguments or {}).items():
            if name not in FORMS[form]:
                allowed = FORMS[form]
                raise UsageError(f"{form} has no {name!r}; it has {', '.join(allowed)}{near(name, allowed)}")
            if not isinstance(value, Real) or isinstance(value, bool):
                raise UsageError(f"{form}.{name} expects a number, got {value!r}")
        return form, {name: float(value) for name, value in (arguments or {}).items()}

    def at(self, progress: float) -> float:
        """s(t) for t = ``progress``."""
        a = self.arguments
        if self.form == "constant":
            return a["value"]
        if self.form == "cyclical":
            phase = progress * a["cycles"] % 1.0 if progress < 1.0 else 1.0
            ramp = min(1.0, phase / max(a["ramp"], 1e-12))
        else:
            ramp = min(1.0, max(0.0, (progress - a["begin"]) / max(a["until"] - a["begin"], 1e-12)))
            if self.form == "cosine":
                ramp = (1 - math.cos(math.pi * ramp)) / 2
        return a["start"] + (a["end"] - a["start"]) * ramp

    def set(self, progress: float) -> None:
        """Moves the present value to s(``progress``)."""
        if self.form != "constant":
            self.value.fill_(self.at(progress))

    def forward(self) -> "float | Tensor":
        """The present value: a plain number if constant, else a tensor ``[]``."""
        return self.arguments["value"] if self.form == "constant" else self.value

    def extra_repr(self) -> str:
        """The form and its numbers."""
        return f"{self.form}, " + ", ".join(f"{k}={v:g}" for k, v in self.arguments.items())
