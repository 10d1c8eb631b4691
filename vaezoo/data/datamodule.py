"""The only DataModule: any dataset, split, binarised and batched in one way."""

import ast
import dataclasses
import importlib
import inspect
import os
import typing
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from omegaconf import OmegaConf
from pytorch_lightning import LightningDataModule
from torch import Tensor

from vaezoo.batch import Batch
from vaezoo.checks import check_type
from vaezoo.data import subsets
from vaezoo.data.loader import EvalLoader, Order, TrainLoader
from vaezoo.data.mapped import Mapped
from vaezoo.data.pictures import Pictures
from vaezoo.data.raw import Part, Raw
from vaezoo.data.say import say
from vaezoo.data.split import Split
from vaezoo.data.standardise import ABSURD, Scale, ratio
from vaezoo.errors import UsageError, near
from vaezoo.shapes import Shapes

BINARISE = ("none", "threshold", "static", "dynamic")
MEMORY = 4 * 2**30  # bytes of files that are kept in memory
YOURS = ("arrays", "image_folder", "table")  # files of the user, which are not in the folder of all data

_cache: dict[tuple, tuple[Any, Raw]] = {}


def datasets() -> list[str]:
    """Names of the datasets: the files of this folder that define ``load``."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return [file.stem for file in files if _defines_load(ast.parse(file.read_text(encoding="utf-8")))]


def _defines_load(module: ast.Module) -> bool:
    return any(isinstance(node, ast.FunctionDef) and node.name == "load" for node in module.body)


class DataModule(LightningDataModule):
    """Loads a dataset and yields :class:`vaezoo.batch.Batch`.

    Args:
        source: file of a dataset in this folder, or a module of yours (``package.module``) with
            ``load(root: Path, **options) -> Raw``.
        root: folder of all data, where None is ``$VAEZOO_DATA``, else ``data``; for ``image_folder`` the folder of the
            pictures, for ``arrays``, ``table`` and modules of yours the working folder if None.
        batch_size: training examples per batch and process, >= 1.
        eval_batch_size: validation and test examples per batch and process, >= 1.
        val_size: training examples held out for validation, the last ones; None takes the dataset's own validation
            split or, where it has none, a tenth.
        train_size: training examples to use, chosen by ``seed`` from those that are left, as many of each class (give
            or take one, and where there are enough); None takes all. A larger choice contains a smaller one.
        binarise: ``none``, ``threshold`` (x > 1/2), ``static`` (drawn once with P(1) = x, the same for every seed) or
            ``dynamic`` (drawn in each epoch; validation and test once).
        dequantise: turn level k into (k + u)/256 with u uniform on [0, 1).
        standardise: bring real vectors, and each channel of signals, to mean 0 and standard deviation 1 over the
            training examples; see :attr:`scale`.
        label_fraction: share of their labels that are shown, in (0, 1], the same in each class; others are -1.
        seed: seed of the order, of what is drawn in each epoch, and of which examples are used and labels shown.
        workers: processes that read files ahead, >= 0; unused for data in memory.
        drop_last: leave out a last training batch that is not full.
        in_memory: read picture files and .npy files once (True), when examples are asked for (False), or once if they
            take at most 4 GB (None).
        options: arguments of the dataset's ``load``.

    After ``setup``, ``scale`` is the :class:`vaezoo.data.standardise.Scale` of standardised data, else None:
    ``data.scale.undo(x)`` brings what a model gives into units of the data.

    Raises:
        UsageError: an argument or option is unknown or out of range; in ``setup``, if the data are.
    """

    name: str

    def __init__(
        self,
        source: str,
        root: str | None = None,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_size: int | None = None,
        train_size: int | None = None,
        binarise: str = "none",
        dequantise: bool = False,
        standardise: bool = False,
        label_fraction: float = 1.0,
        seed: int = 0,
        workers: int = 0,
        drop_last: bool = False,
        in_memory: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("eval_batch_size", eval_batch_size, 1),
            ("val_size", 1 if val_size is None else val_size, 1),
            ("train_size", 1 if train_size is None else train_size, 1),
            ("workers", workers, 0),
        ):
            if value < least:
                raise UsageError(f"dataset.{name}={value}: must be at least {least}")
        if not 0 < label_fraction <= 1:
            raise UsageError(f"dataset.label_fraction={label_fraction}: must be above 0 and at most 1")
        if binarise not in BINARISE:
            allowed = ", ".join(BINARISE)
            raise UsageError(f"dataset.binarise={binarise}: must be one of {allowed}{near(binarise, BINARISE)}")
        if dequantise and binarise != "none":
            raise UsageError(f"dataset.dequantise=true and dataset.binarise={binarise} exclude each other")
        if root is None:
            root = "." if source in YOURS or "." in source else os.environ.get("VAEZOO_DATA", "data")
        self.name, self.root = source, Path(root).expanduser()
        self.options = {
            name: list(v) if OmegaConf.is_list(v) or isinstance(v, tuple) else v for name, v in options.items()
        }
        self.batch_size, self.eval_batch_size, self.val_size = batch_size, eval_batch_size, val_size
        self.train_size = train_size
        self.binarise, self.dequantise, self.label_fraction = binarise, dequantise, label_fraction
        self.standardise = standardise
        self.scale: Scale | None = None
        self.seed, self.workers, self.drop_last, self.in_memory = seed, workers, drop_last, in_memory
        self._load = _find(source, self.options)
        self._splits: dict[str, Split] = {}

    def prepare_data(self) -> None:
        """Download and decode; Lightning calls it in one process before ``setup`` in all."""
        self._raw()

    def setup(self, stage: str | None = None) -> None:
        """Make the splits; data in memory move to the trainer's device."""
        raw = self._raw()
        train, val = raw.train, raw.val
        if val is None:
            train, val = subsets.hold_out(train, self.val_size, self.name)
        elif self.val_size is not None:
            raise UsageError(f"dataset.val_size={self.val_size}: {self.name} has a validation split of its own")
        for name, part in (("val", val), ("test", raw.test)):
            if _event(part) != _event(train):
                shapes = f"{_event(train)} and {_event(part)}"
                raise UsageError(f"train and {name} examples of {self.name} have different shapes: {shapes}")
        self._support = self._check_support(raw.support)
        labels = [part.y for part in (train, val, raw.test) if part.y is not None]
        counted = [int(y.max()) + 1 for y in labels if not y.is_floating_point()]
        self._classes = max(counted, default=0)
        self._label = next((tuple(y.shape[1:]) or (1,) for y in labels if y.is_floating_point()), ())
        train = subsets.chosen(train, self.train_size, self.seed, self.name)
        train = Part(train.x, subsets.shown(train.y, self.label_fraction, self.seed, self.name))
        self.scale = self._find_scale(train.x)
        for name, part in (("train", train), ("val", val), ("test", raw.test)):
            moved, fixed = self._moved(self._scaled(part)), name != "train"
            self._splits[name] = Split(name, moved, self.binarise, self.dequantise, self.seed, fixed, self.scale)
        self._mean = self._splits["train"].mean()

    def split(self, name: str) -> Split:
        """The split ``train``, ``val`` or ``test``; ``split(name)[:64]`` is a Batch."""
        if name not in self._splits:
            raise UsageError(f"no split {name!r}: after setup there are train, val and test{near(name, self._splits)}")
        return self._splits[name]

    def shapes(self, latent: tuple[int, ...]) -> Shapes:
        """What these data and a choice of latent size fix for the parts of a model."""
        event, low, high = tuple(self._mean.shape), 0.0, 1.0
        if self._support == "real":
            x = self.split("train").x
            assert not isinstance(x, Pictures)
            low, high = x.bounds if isinstance(x, Mapped) else (float(x.min()), float(x.max()))
        return Shapes(
            event=event,
            latent=tuple(latent),
            classes=self._classes,
            label=self._label,
            train_size=len(self.split("train")),
            support=self._support,
            range=(low, high),
            mean=self._mean,
        )

    @property
    def checksum(self) -> str:
        """First 16 hex digits of the SHA-256 of the stored data."""
        return self._raw().checksum

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """What the classes 0..C-1 are called; None where they are just numbers, or there are none."""
        return self._raw().label_names

    def train_dataloader(self) -> TrainLoader:
        """Shuffled training batches."""
        split, (rank, world) = self.split("train"), self._ranks()
        order = Order(len(split), self.batch_size, self.seed, rank, world, self.drop_last)
        return TrainLoader(split, order, self.workers)

    def val_dataloader(self) -> EvalLoader:
        """Validation batches in the order of the data."""
        return EvalLoader(self.split("val"), self.eval_batch_size, *self._ranks(), self.workers)

    def test_dataloader(self) -> EvalLoader:
        """Test batches in the order of the data."""
        return EvalLoader(self.split("test"), self.eval_batch_size, *self._ranks(), self.workers)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch where the model is; data in memory are there already."""
        return batch.to(device)

    def _raw(self) -> Raw:
        file = self.root / Path(str(self.options.get("path", ""))).expanduser()
        about = file.stat() if file.is_file() else None  # a file that has been written again is read again
        stamp = about and (about.st_mtime_ns, about.st_size)
        key = (self.name, str(self.root.absolute()), repr(sorted(self.options.items())), self.in_memory)
        if key not in _cache or _cache[key][0] != stamp:
            raw = self._load(self.root, **self.options)
            parts: dict[str, Any] = {"train": raw.train, "test": raw.test}
            parts |= {} if raw.val is None else {"val": raw.val}
            keep = sum(map(_bytes, parts.values())) <= MEMORY if self.in_memory is None else self.in_memory
            if keep:
                parts = {name: _decoded(part) for name, part in parts.items()}
            _cache[key] = stamp, dataclasses.replace(raw, **parts)
        return _cache[key][1]

    def _check_support(self, support: str) -> str:
        if self.dequantise:
            if support != "levels":
                raise UsageError(f"dataset.dequantise=true needs uint8 values, but {self.name} has {support} ones")
            return "unit"
        if self.binarise != "none":
            if support not in ("levels", "unit"):
                raise UsageError(
                    f"dataset.binarise={self.binarise} needs values in [0, 1], but {self.name} has {support} ones"
                )
            return "binary"
        return support

    def _find_scale(self, x: Tensor | Pictures | Mapped) -> Scale | None:
        vectors = self._support == "real" and not isinstance(x, Pictures) and x[:1][0].ndim < 3
        if not vectors:
            if self.standardise:
                raise UsageError(f"dataset.standardise=true needs real vectors or signals; {self.name} has none")
            return None
        if self.standardise:
            return Scale.of(x)  # type: ignore[arg-type]
        if isinstance(x, Tensor) and (factor := ratio(x)) > ABSURD:
            say(
                f"the standard deviations of the columns of {self.name} differ by a factor of {factor:.2g}: "
                "dataset.standardise=true would bring them to one scale"
            )
        return None

    def _scaled(self, part: Part) -> Part:
        if self.scale is None:
            return part
        x: Any = part.x
        return Part(x.scaled(self.scale) if isinstance(x, Mapped) else self.scale.apply(x), part.y)

    def _moved(self, part: Part) -> Part:
        if self.trainer is None or not isinstance(part.x, Tensor):
            return part
        device = self.trainer.strategy.root_device
        return Part(part.x.to(device), None if part.y is None else part.y.to(device))

    def _ranks(self) -> tuple[int, int]:
        if dist.is_available() and dist.is_initialized():
            return dist.get_rank(), dist.get_world_size()
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)


def _bytes(part: Part) -> int:
    """What a part takes once it is in memory, beyond what it takes now."""
    return 0 if isinstance(part.x, Tensor) else len(part.x) * prod(part.x.shape) * part.x.dtype.itemsize


def _decoded(part: Part) -> Part:
    return part if isinstance(part.x, Tensor) else Part(part.x.decode(range(len(part.x))), part.y)


def _event(part: Part) -> tuple[int, ...]:
    return tuple(part.x.shape[1:]) if isinstance(part.x, Tensor) else part.x.shape


def _find(source: str, options: dict[str, Any]) -> Callable[..., Raw]:
    if "." not in source and source not in (known := datasets()):
        raise UsageError(f"dataset.source={source}: must be one of {', '.join(known)}{near(source, known)}")
    try:
        load = importlib.import_module(source if "." in source else f"vaezoo.data.{source}").load
    except (ImportError, AttributeError) as error:
        raise UsageError(f"dataset.source={source}: cannot import a function load from it ({error})") from error
    allowed = [name for name in inspect.signature(load).parameters if name != "root"]
    try:
        hints = typing.get_type_hints(load)
    except NameError:  # a module of yours may import its types for a type checker only
        hints = {}
    for name, value in options.items():
        if name not in allowed:
            takes = f"takes the options {', '.join(allowed)}" if allowed else "takes no options of its own"
            raise UsageError(f"dataset.{name}: {source} {takes}{near(name, allowed)}")
        check_type(f"dataset.{name}", value, hints.get(name, Any))
    return load
