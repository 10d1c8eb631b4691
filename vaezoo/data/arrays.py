"""Arrays of your own: .npz, .npy, .pt, .mat, .h5 or .amat."""

from collections.abc import Mapping
from pathlib import Path

import torch

from vaezoo.data.labels import encode
from vaezoo.data.layout import examples
from vaezoo.data.raw import Part, Raw, shuffled
from vaezoo.data.say import listed, say
from vaezoo.data.stored import Readers, open_arrays
from vaezoo.errors import UsageError, near

KNOWN = {"x": "y", "X": "y", "x_train": "y_train", "X_train": "y_train", "train_images": "train_labels"}
SPLITS = {"test": ("test",), "val": ("val", "valid", "validation")}


def load(
    root: Path,
    path: str,
    x: str = "x",
    y: str | None = "y",
    test_size: int | None = None,
    channels: str | None = None,
    hidden_label: int | str | None = None,
) -> Raw:
    """Pictures, vectors or signals from one file.

    ``x`` is uint8 (level k stands for k/255), bool or float, of shape ``[N, D]``, ``[N, H, W]``, ``[N, C, H, W]`` or
    ``[N, H, W, C]``. Float pictures lie in [0, 1]. Arrays of only 0 and 1 are binary, float vectors outside of [0, 1]
    are real. A file that holds ``x_test`` and ``x_val`` (and their labels ``y_test`` and ``y_val``) gives these splits;
    otherwise ``test_size`` examples are held out, chosen by seed 0. The layouts of Keras (``x_train``, ``y_train``,
    ``x_test``, ...) and of MedMNIST (``train_images``, ``train_labels``, ``val_images``, ...) are known too.

    Args:
        root: folder that a relative ``path`` starts from.
        path: a .npy or .amat file with x alone, or a .npz, .pt (a dict of tensors), .mat, .h5 or .hdf5 file of named
            arrays. A .npy file may be larger than the memory.
        x: name of the examples.
        y: name of the labels: integers, strings, booleans or one-hot rows become classes, floats ``[N, *]`` stay
            numbers. None for none; the default need not exist.
        test_size: examples held out for test; None is a tenth. Unused where the file has a test split.
        channels: ``first`` or ``last``, the axis of the channels where the shape does not say it, and of signals
            ``[N, C, T]`` or ``[N, T, C]``.
        hidden_label: the label that stands for "unknown", such as -1; None: every label is a class.

    Raises:
        UsageError: the file is missing or unreadable, or an array has the wrong name, shape or values.
    """
    file = root / Path(path).expanduser()
    readers = open_arrays(file)
    names = _names(readers, x, y, path)
    stored = {name: readers[name]() for name, _ in names.values()}
    labels = {label or f"labels of {split}": readers[label]() if label else None for split, (_, label) in names.items()}
    parts, support = examples(stored, channels)
    encoded, classes = encode(labels, hidden_label)
    for (name, label), part, y_part in zip(names.values(), parts, encoded, strict=True):
        if y_part is not None and len(y_part) != len(part):
            raise UsageError(f"array {label} has {len(y_part)} labels for {len(part)} examples of {name}")
    found = {split: Part(part, y_part) for split, part, y_part in zip(names, parts, encoded, strict=True)}
    if "test" not in found:
        return shuffled(*found["train"], test_size, path, support, found.get("val"), classes)
    train, order = found["train"], torch.randperm(len(parts[0]), generator=torch.Generator().manual_seed(0))
    train = Part(train.x[order], None if train.y is None else train.y[order])
    return Raw(train, found["test"], found.get("val"), support, classes)


def _names(readers: Readers, x: str, y: str | None, path: str) -> dict[str, tuple[str, str | None]]:
    """The names of examples and labels of each split; says which these are where the file does not have x alone."""
    if x not in readers:
        x = next((name for name in KNOWN if x == "x" and name in readers), x)
    if x not in readers:
        raise UsageError(f"dataset.x={x}: {path} holds {listed(list(readers))}{near(x, readers)}")
    if y == "y" and y not in readers:
        y = KNOWN.get(x)
    elif y is not None and y not in readers:
        raise UsageError(f"dataset.y={y}: {path} holds {listed(list(readers))}{near(y, readers)}")
    found: dict[str, tuple[str, str | None]] = {"train": (x, y if y in readers else None)}
    for split, words in SPLITS.items():
        for word in words:
            name, label = _sibling(x, word), y and _sibling(y, word)
            if name in readers and name != x:
                found[split] = name, label if label in readers else None
    _check_labels(found)
    taken = [name for pair in found.values() for name in pair if name]
    others = [name for name in readers if name not in taken]
    if others or x != "x" or len(found) > 1:
        unused = f"; not used: {listed(others)}" if others else ""
        say(f"{path}: {'; '.join(f'{split} from {_and(pair)}' for split, pair in found.items())}{unused}")
    return found


def _check_labels(found: Mapping[str, tuple[str, str | None]]) -> None:
    """A split without labels beside one that has them: the name is wrong, or one would be lost."""
    (_, y), *others = found.values()
    for name, label in others:
        if label is None and y is not None:
            raise UsageError(f"there are labels {y} and none of {name}: add them, or set dataset.y=null")


def _and(pair: tuple[str, str | None]) -> str:
    return " and ".join(name for name in pair if name)


def _sibling(name: str, split: str) -> str:
    """The name of the same array of another split: ``x_test`` of ``x`` and of ``x_train``."""
    return name.replace("train", split) if "train" in name else f"{name}_{split}"
