"""CelebA: 202 599 aligned faces with 40 attributes."""

from pathlib import Path

from vaezoo.data.download import torchvision
from vaezoo.data.pictures import Pictures
from vaezoo.data.raw import Part, Raw
from vaezoo.errors import UsageError, near


def load(root: Path, resize: int | None = 64, crop: int | None = 148, attribute: str | None = None) -> Raw:
    """Colour pictures ``[3, resize, resize]`` in the published split into 162 770, 19 867 and 19 962.

    Args:
        root: folder of all data.
        resize: side of the pictures, in pixels.
        crop: side of the central square that is cut out of the 178x218 pixels first.
        attribute: name of the attribute that becomes the label (1 where it holds); None gives all 40 as floats.

    Raises:
        UsageError: the files are missing and cannot be downloaded, or there is no such attribute.

    Source: Liu et al., ICCV 2015; downloaded by torchvision into ``root/celeba``.
    """
    chosen = [{"split": name, "target_type": "attr"} for name in ("train", "test", "valid")]
    parts = []
    for split in torchvision("CelebA", root, "celeba", chosen):
        files = [root / "celeba" / "img_align_celeba" / name for name in split.filename]
        names = [name for name in split.attr_names if name]
        if attribute is not None and attribute not in names:
            allowed = ", ".join(names)
            raise UsageError(f"dataset.attribute={attribute}: must be one of {allowed}{near(attribute, names)}")
        y = split.attr.float() if attribute is None else split.attr[:, names.index(attribute)].long()
        parts.append(Part(Pictures(files, resize, crop, channels=3), y))
    train, test, val = parts
    return Raw(train, test, val)
