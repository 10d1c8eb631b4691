"""Which examples are used for what, and which labels are shown."""

import torch
from torch import Tensor

from vaezoo.data.raw import Part
from vaezoo.errors import UsageError


def hold_out(train: Part, size: int | None, name: str) -> tuple[Part, Part]:
    """Training and validation examples: the last ``size`` (None: a tenth) of those of the dataset ``name``."""
    x, y = train
    size = max(1, len(x) // 10) if size is None else size
    if size >= len(x):
        raise UsageError(f"dataset.val_size={size}: must be below the {len(x)} training examples of {name}")
    if y is None:
        return Part(x[:-size]), Part(x[-size:])
    return Part(x[:-size], y[:-size]), Part(x[-size:], y[-size:])


def chosen(train: Part, size: int | None, seed: int, name: str) -> Part:
    """``size`` of the training examples (None: all), as many of each class, in the order of the data."""
    if size is None:
        return train
    x, y = train
    if size > len(x):
        raise UsageError(f"dataset.train_size={size}: must be at most the {len(x)} training examples of {name}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    if y is not None and y.ndim == 1 and not y.is_floating_point():
        turn = torch.empty(len(x), dtype=torch.long)  # how many of its class come before an example
        for label in y.unique():
            members = (y[order] == label).nonzero()[:, 0]
            turn[members] = torch.arange(len(members))
        order = order[turn.argsort(stable=True)]
    kept = order[:size].sort().values
    return Part(x[kept], None if y is None else y[kept])


def shown(y: Tensor | None, fraction: float, seed: int, name: str) -> Tensor | None:
    """Labels of which a fraction is kept, the same in each class; the others are -1."""
    if fraction == 1:
        return y
    if y is None or y.is_floating_point():
        raise UsageError(f"dataset.label_fraction={fraction}: {name} has no class labels to hide")
    kept = torch.full_like(y, -1)
    generator = torch.Generator().manual_seed(seed)
    for label in y.unique():
        members = (y == label).nonzero()[:, 0]
        some = members[torch.randperm(len(members), generator=generator)]
        kept[some[: max(1, round(fraction * len(members)))]] = label
    return kept
