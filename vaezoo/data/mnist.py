"""MNIST: 70 000 handwritten digits."""

from pathlib import Path

from vaezoo.data.download import torchvision
from vaezoo.data.raw import Part, Raw


def load(root: Path) -> Raw:
    """Grey pictures ``[1, 28, 28]`` with 10 classes; 60 000 for training and validation, 10 000 for test.

    Source: LeCun et al., Proc. IEEE 1998; downloaded by torchvision into ``root/MNIST/raw``.
    """
    train, test = torchvision("MNIST", root, "MNIST/raw", [{"train": True}, {"train": False}])
    return Raw(Part(train.data[:, None], train.targets), Part(test.data[:, None], test.targets))
