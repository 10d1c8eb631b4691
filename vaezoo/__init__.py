"""A zoo of autoencoders and VAEs: each variant one short file, every other choice an axis of its own."""

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

from vaezoo.registry import register

if TYPE_CHECKING:
    from vaezoo.autoencoder import Autoencoder as Autoencoder
    from vaezoo.batch import Batch as Batch
    from vaezoo.build import load as load
    from vaezoo.build import load_data as load_data
    from vaezoo.configs import compose as compose
    from vaezoo.programme import Stage as Stage
    from vaezoo.programme import Update as Update
    from vaezoo.schedules import Schedule as Schedule
    from vaezoo.shapes import Shapes as Shapes
    from vaezoo.terms import Terms as Terms
    from vaezoo.train import train as train
    from vaezoo.variant import Variant as Variant
    from vaezoo.variational import Variational as Variational

__version__ = "0.1.0"

_LAZY = {  # torch is imported when one of these is asked for, and not before
    "Autoencoder": "vaezoo.autoencoder",
    "Batch": "vaezoo.batch",
    "Schedule": "vaezoo.schedules",
    "Shapes": "vaezoo.shapes",
    "Stage": "vaezoo.programme",
    "Terms": "vaezoo.terms",
    "Update": "vaezoo.programme",
    "Variant": "vaezoo.variant",
    "Variational": "vaezoo.variational",
    "compose": "vaezoo.configs",
    "load": "vaezoo.build",
    "load_data": "vaezoo.build",
    "train": "vaezoo.train",
}
__all__ = [*_LAZY, "register"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'vaezoo' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)


class _Package(types.ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "train" and isinstance(value, types.ModuleType):
            value = value.train  # `vaezoo.train` is the function, whoever imports the module of that name
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
