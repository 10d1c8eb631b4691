"""Fashion-MNIST: 70 000 pictures of clothes."""

from pathlib import Path

from vaezoo.data.download import torchvision
from vaezoo.data.raw import Part, Raw


def load(root: Path) -> Raw:
    """Grey pictures ``[1, 28, 28]`` with 10 classes; 60 000 for training and validation, 10 000 for test.

    Source: Xiao et al., arXiv 1708.07747; downloaded by torchvision into ``root/FashionMNIST/raw``.
    """
    train, test = torchvision("FashionMNIST", root, "FashionMNIST/raw", [{"train": True}, {"train": False}])
    parts = Part(train.data[:, None], train.targets), Part(test.data[:, None], test.targets)
    return Raw(*parts, label_names=tuple(train.classes))
