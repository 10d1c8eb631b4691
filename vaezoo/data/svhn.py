"""SVHN: 99 289 house numbers cut to one digit."""

from pathlib import Path
from typing import Any

import torch

from vaezoo.data.download import torchvision
from vaezoo.data.raw import Part, Raw


def load(root: Path) -> Raw:
    """Colour pictures ``[3, 32, 32]`` with 10 classes; 73 257 for training and validation, 26 032 for test.

    Source: Netzer et al., NIPS workshop 2011; downloaded by torchvision as ``root/*_32x32.mat``.
    """
    train, test = torchvision("SVHN", root, "*_32x32.mat", [{"split": "train"}, {"split": "test"}])
    return Raw(_part(train), _part(test))


def _part(split: Any) -> Part:
    return Part(torch.from_numpy(split.data).contiguous(), torch.from_numpy(split.labels).long())
