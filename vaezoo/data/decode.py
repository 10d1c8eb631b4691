"""One picture file as 8-bit grey or colour."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageOps

from vaezoo.data.say import say
from vaezoo.errors import UsageError

GREY = ("1", "L", "LA", "La", "I", "F")
TURNED = range(5, 9)  # EXIF orientations that exchange width and height
ORIENTATION = 274


class Header(NamedTuple):
    """What is known of a picture before it is decoded.

    Args:
        size: width and height as it is shown, pixels.
        grey: whether it has no colour.
    """

    size: tuple[int, int]
    grey: bool


def header(file: Path) -> Header:
    """Size and colour of a picture file.

    Raises:
        UsageError: it is not a picture.
    """
    try:
        with Image.open(file) as opened:
            width, height = opened.size
            turned = opened.getexif().get(ORIENTATION) in TURNED
            grey = opened.mode in GREY or opened.mode.startswith("I;") or _grey_palette(opened)
            return Header((height, width) if turned else (width, height), grey)
    except Exception as error:  # decoders raise many types on broken files
        raise UsageError(f"{file} cannot be read as a picture ({error})") from error


def decode(file: Path, channels: int, background: str = "white", levels: Sequence[float] | None = None) -> Image.Image:
    """A picture in mode L or RGB, turned as its EXIF data say.

    Args:
        file: of any format that Pillow reads; of several frames the first.
        channels: 1 (grey) or 3 (colour).
        background: colour behind transparent pixels.
        levels: the values of a picture of more than 8 bits that become 0 and 255; None takes 0 and 65535 for 16 bits.

    Raises:
        UsageError: it cannot be decoded, or has values outside of ``levels`` or, without ``levels``, 32 bits.
    """
    try:
        with Image.open(file) as opened:
            frames = getattr(opened, "n_frames", 1)
            sixteen = opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format == "PNG")
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except Exception as error:
        raise UsageError(f"{file} cannot be read as a picture ({error})") from error
    if frames > 1:
        say("of pictures with several frames the first frame is taken")
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bits(file, picture, sixteen, levels)
    if picture.has_transparency_data:
        picture = _on(picture.convert("RGBA"), background)
    return picture.convert("RGB" if channels == 3 else "L")


def check_background(background: str) -> None:
    """Raises UsageError if the colour is unknown."""
    try:
        ImageColor.getrgb(background)
    except ValueError as error:
        raise UsageError(f"dataset.background={background}: must be a colour such as white or #808080") from error


def _eight_bits(file: Path, picture: Image.Image, sixteen: bool, levels: Sequence[float] | None) -> Image.Image:
    values = np.asarray(picture).astype(np.float64)
    if levels is None and not sixteen:
        raise UsageError(
            f"{file} has 32 bits and values in [{values.min():g}, {values.max():g}]: set "
            "dataset.levels=[low,high], the values that become 0 and 255"
        )
    low, high = (0, 65535) if levels is None else levels
    if not (values.min() >= low and values.max() <= high):
        raise UsageError(
            f"{file} has values in [{values.min():g}, {values.max():g}], outside of dataset.levels=[{low:g},{high:g}]"
        )
    say(f"pictures of more than 8 bits: values {low:g} to {high:g} are scaled to levels 0 to 255 (dataset.levels)")
    return Image.fromarray(((values - low) * (255 / (high - low))).round().astype(np.uint8))


def _on(picture: Image.Image, background: str) -> Image.Image:
    if picture.getchannel("A").getextrema()[0] == 255:
        return picture.convert("RGB")
    say(f"transparent pixels are composed over {background} (dataset.background)")
    return Image.alpha_composite(Image.new("RGBA", picture.size, background), picture).convert("RGB")


def _grey_palette(opened: Image.Image) -> bool:
    if opened.mode not in ("P", "PA"):
        return False
    palette = np.array(opened.getpalette("RGB")).reshape(-1, 3)
    return bool((palette == palette[:, :1]).all())
