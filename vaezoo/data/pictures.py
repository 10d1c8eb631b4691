"""Picture files of any size, decoded to one size."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vaezoo.data.decode import check_background, decode
from vaezoo.errors import UsageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")


def check_options(
    resize: int | None, crop: int | None, channels: int | None, background: str, levels: Sequence[float] | None
) -> None:
    """Raises UsageError for the first option that is out of range."""
    if channels not in (None, 1, 3):
        raise UsageError(f"dataset.channels={channels}: must be 1 or 3")
    for option, side in (("resize", resize), ("crop", crop)):
        if side is not None and side < 1:
            raise UsageError(f"dataset.{option}={side}: must be at least 1 pixel")
    check_background(background)
    if levels is not None and not (len(levels) == 2 and levels[0] < levels[1]):
        raise UsageError(f"dataset.levels={list(levels)}: must be two numbers [low,high] with low < high")


class Pictures(Dataset[Tensor]):
    """Files that become uint8 ``[C, H, W]`` when they are indexed.

    Args:
        files: paths of the pictures.
        resize: side after scaling, in pixels; None keeps the size, which must then be the same in every file.
        crop: side of the central square cut out before scaling, in pixels; None with ``resize`` is the largest one.
        channels: 1 (grey) or 3 (colour).
        background: colour behind transparent pixels.
        levels: the values of pictures of more than 8 bits that become 0 and 255; None takes 0 and 65535 for 16 bits.

    Raises:
        UsageError: a file cannot be decoded, is smaller than ``crop`` or has another size than the first one.
    """

    dtype = torch.uint8

    def __init__(
        self,
        files: Sequence[Path],
        resize: int | None,
        crop: int | None,
        channels: int,
        background: str = "white",
        levels: Sequence[float] | None = None,
    ) -> None:
        check_options(resize, crop, channels, background, levels)
        self.files, self.resize, self.crop, self.channels = list(files), resize, crop, channels
        self.background, self.levels = background, None if levels is None else tuple(levels)
        self.shape = tuple(self._decode(self.files[0]).shape)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int | slice | Tensor):
        """One picture for an int, the same pictures in another order or number for a slice or an index tensor."""
        if isinstance(index, int):
            picture = self._decode(self.files[index])
            if tuple(picture.shape) != self.shape:
                (_, height, width), (_, usual_height, usual_width) = picture.shape, self.shape
                raise UsageError(
                    f"{self.files[index]} has {width}x{height} pixels, others have {usual_width}x{usual_height}: "
                    "set dataset.resize to bring them to one size"
                )
            return picture
        chosen = self.files[index] if isinstance(index, slice) else [self.files[i] for i in index.tolist()]
        part = object.__new__(Pictures)
        part.__dict__.update(self.__dict__, files=chosen)
        return part

    def decode(self, index: Iterable[int]) -> Tensor:
        """Several pictures at once, uint8 ``[N, C, H, W]``."""
        with ThreadPoolExecutor() as pool:
            return torch.stack(list(pool.map(self.__getitem__, index)))

    @property
    def fingerprint(self) -> bytes:
        """Changes with the names and sizes of the files and with how they are decoded."""
        stamps = [(str(file.name), file.stat().st_size) for file in self.files]
        return repr((self.resize, self.crop, self.channels, self.background, self.levels, stamps)).encode()

    def _decode(self, file: Path) -> Tensor:
        picture = decode(file, self.channels, self.background, self.levels)
        if self.resize is not None or self.crop is not None:
            side = self.crop or min(picture.size)
            if side > min(picture.size):
                width, height = picture.size
                raise UsageError(f"{file} has {width}x{height} pixels, smaller than dataset.crop={side}")
            left, top = ((length - side) // 2 for length in picture.size)
            new = self.resize or side
            picture = picture.resize((new, new), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
        pixels = np.array(picture).reshape(*picture.size[::-1], self.channels)
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
