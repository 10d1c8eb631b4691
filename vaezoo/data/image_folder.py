"""Any folder of pictures."""

from pathlib import Path

import torch

from vaezoo.data.pictures import SUFFIXES, Pictures
from vaezoo.data.raw import Part, Raw, shuffled
from vaezoo.errors import UsageError


def load(
    root: Path, resize: int | None = 64, crop: int | None = None, channels: int = 3, test_size: int | None = None
) -> Raw:
    """Pictures of any size below ``root``; sub-folders give the labels, in the order of their names.

    Where ``root`` holds ``train`` and ``test`` folders (and perhaps ``val``) they are the splits; otherwise
    ``test_size`` pictures are held out, chosen by seed 0.

    Args:
        root: folder of the pictures.
        resize: side of the pictures in pixels; None keeps their size, which must then be the same in all.
        crop: side of the central square that is cut out first, in pixels; None is the largest square.
        channels: 1 (grey) or 3 (colour).
        test_size: pictures held out for test; None is a tenth. Unused where there is a ``test`` folder.

    Raises:
        UsageError: the folder is missing or empty, or a file cannot be read.
    """
    if not root.is_dir():
        raise UsageError(f"dataset.root={root}: no such folder")
    splits = {name: root / name for name in ("train", "test", "val") if (root / name).is_dir()}
    if {"train", "test"} <= splits.keys():
        classes = sorted({name for folder in splits.values() for name in _classes(folder)})
        parts = {name: _part(folder, classes, resize, crop, channels) for name, folder in splits.items()}
        return Raw(parts["train"], parts["test"], parts.get("val"))
    x, y = _part(root, _classes(root), resize, crop, channels)
    return shuffled(x, y, test_size, str(root))


def _classes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def _part(folder: Path, classes: list[str], resize: int | None, crop: int | None, channels: int) -> Part:
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise UsageError(f"{folder} holds no pictures ({', '.join(SUFFIXES)})")
    names = [file.relative_to(folder).parts[0] for file in files]
    labels = torch.tensor([classes.index(name) if name in classes else -1 for name in names]) if classes else None
    return Part(Pictures(files, resize, crop, channels), labels)
