"""Any folder of pictures."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from vaezoo.data.decode import header
from vaezoo.data.folders import Files, find
from vaezoo.data.pictures import Pictures, check_options
from vaezoo.data.raw import Part, Raw, shuffled
from vaezoo.data.say import say
from vaezoo.errors import UsageError


def load(
    root: Path,
    resize: int | None = None,
    crop: int | None = None,
    channels: int | None = None,
    test_size: int | None = None,
    background: str = "white",
    levels: Sequence[float] | None = None,
) -> Raw:
    """Pictures below ``root``; sub-folders give the labels, in the order of their names.

    Where ``root`` holds a folder ``train`` and one of ``val`` and ``test`` (in any case; ``training``, ``valid``,
    ``validation``, ``dev`` and ``testing`` too) they are the splits. Without a ``test`` folder ``test_size`` training
    pictures are held out, chosen by seed 0. Hidden files and folders are passed over.

    Args:
        root: folder of the pictures.
        resize: side of the pictures in pixels; None keeps their size, which must then be the same in all.
        crop: side of the central square that is cut out first, in pixels; None with ``resize`` is the largest square.
        channels: 1 (grey) or 3 (colour); None is 1 where all pictures are grey, else 3.
        test_size: pictures held out for test; None is a tenth. Unused where there is a ``test`` folder.
        background: colour behind transparent pixels, a name or ``#rrggbb``.
        levels: the values of pictures of more than 8 bits that become levels 0 and 255; None takes 0 and 65535 for 16
            bits and refuses others.

    Raises:
        UsageError: the folder is missing or empty, a file cannot be read, or sizes differ without ``resize``.
    """
    check_options(resize, crop, channels, background, levels)
    splits, classes, found = find(root)
    if channels is None or (resize is None and crop is None):
        channels = _uniform([file for files in splits.values() for file in files], resize or crop, channels)

    def part(files: Files) -> Part:
        numbers = {name: number for number, name in enumerate(classes)}
        labels = torch.tensor([numbers.get(name or "", -1) for name in files.values()]) if classes else None
        return Part(Pictures(list(files), resize, crop, channels, background, levels), labels)

    parts, names = {name: part(files) for name, files in splits.items()}, tuple(classes) or None
    say(f"{found}; {'x'.join(map(str, parts['train'].x.shape))}")
    if "test" in parts:
        return Raw(parts["train"], parts["test"], parts.get("val"), label_names=names)
    return shuffled(*parts["train"], test_size, str(root), val=parts.get("val"), label_names=names)


def _uniform(files: list[Path], side: int | None, channels: int | None) -> int:
    """The channels of all pictures, whose sizes are compared unless they are brought to one."""
    with ThreadPoolExecutor() as pool:
        headers = list(pool.map(header, files))
    if side is None:
        for file, each in zip(files, headers, strict=True):
            if each.size != headers[0].size:
                (width, height), (usual_width, usual_height) = each.size, headers[0].size
                raise UsageError(
                    f"{file} has {width}x{height} pixels, {files[0].name} has {usual_width}x{usual_height}: "
                    "set dataset.resize to bring them to one size"
                )
    if channels is not None:
        return channels
    grey = sum(each.grey for each in headers)
    if 0 < grey < len(files):
        say(f"{grey} of {len(files)} pictures are grey and become colour (dataset.channels=1 makes all grey)")
    return 1 if grey == len(files) else 3
