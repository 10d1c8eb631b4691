"""CIFAR-10: 60 000 colour pictures of ten kinds of object."""

from pathlib import Path
from typing import Any

import torch

from vaezoo.data.download import torchvision
from vaezoo.data.raw import Part, Raw


def load(root: Path) -> Raw:
    """Colour pictures ``[3, 32, 32]`` with 10 classes; 50 000 for training and validation, 10 000 for test.

    Source: Krizhevsky, technical report 2009; downloaded by torchvision into ``root/cifar-10-batches-py``.
    """
    train, test = torchvision("CIFAR10", root, "cifar-10-batches-py", [{"train": True}, {"train": False}])
    return Raw(_part(train), _part(test), label_names=tuple(train.classes))


def _part(split: Any) -> Part:
    return Part(torch.from_numpy(split.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(split.targets))
